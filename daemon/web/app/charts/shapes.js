// Charts over runs that are drawn as SVG: scatter, bars, boxes, parallel coordinates.
//
// Each takes runs with the values of some columns, and tells which run the pointer is at.

import { shown, split, title } from "../columns.js";
import { number, toNumber } from "../format.js";
import { cls, html, useEffect, useRef, useState } from "../ui.js";
import { scaleOf, shade } from "./scale.js";
import { colorAt } from "./series.js";

/** @typedef {import("../api.js").Row} Row */
/** @typedef {{ runs: Row[], value: (run: Row, column: string) => import("../api.js").Cell, color: (run: Row) => string, onOpen: (run: Row) => void, height: number }} Data */

const LEFT = 56;
const RIGHT = 12;
const TOP = 8;
const BOTTOM = 34;
/** How near the pointer must be, in pixels. */
const NEAR = 18;

/** The width of the place where a chart is drawn, as it changes. */
function useWidth() {
  const ref = useRef(/** @type {HTMLDivElement | null} */ (null));
  const [width, setWidth] = useState(0);
  useEffect(() => {
    const observer = new ResizeObserver(() => setWidth(ref.current?.clientWidth ?? 0));
    observer.observe(/** @type {HTMLDivElement} */ (ref.current));
    return () => observer.disconnect();
  }, []);
  return /** @type {const} */ ([ref, width]);
}

/** Cuts a text to about as many pixels. @param {string} text @param {number} pixels */
const fit = (text, pixels) => (text.length * 6.4 <= pixels ? text : `${text.slice(0, Math.max(1, Math.floor(pixels / 6.4) - 1))}…`);

/** @param {{ scale: import("./scale.js").Scale, from: number, until: number, across: number, end: number }} props */
const LeftAxis = ({ scale, from, until, across, end }) => html`<g class="axis">
  ${scale.ticks.map(({ at, label }) => {
    const y = until + (from - until) * at;
    return html`<line x1=${across} x2=${end} y1=${y} y2=${y} /><text x=${across - 6} y=${y + 4} text-anchor="end">${fit(label, across - 8)}</text>`;
  })}</g>`;

/** @param {{ scale: import("./scale.js").Scale, from: number, until: number, y: number, top: number }} props */
const BottomAxis = ({ scale, from, until, y, top }) => html`<g class="axis">
  ${scale.ticks.map(({ at, label }) => {
    const x = from + (until - from) * at;
    return html`<line x1=${x} x2=${x} y1=${top} y2=${y} /><text x=${x} y=${y + 16} text-anchor="middle">${fit(label, Math.max(34, (until - from) / scale.ticks.length - 6))}</text>`;
  })}</g>`;

/** @param {{ run: Row, columns: string[], value: Data["value"] }} props */
const Tip = ({ run, columns, value }) => html`<div class="tip"><strong><bdi>${run.name}</bdi></strong>
  ${columns.map((column) => html`<div key=${column}><bdi>${title(column)}</bdi><b>${shown(column, value(run, column)) || "–"}</b></div>`)}</div>`;

/** @param {Data & { x: string, y: string }} props */
export function Scatter({ runs, value, color, onOpen, height, x, y }) {
  const [ref, width] = useWidth();
  const [near, setNear] = useState(/** @type {Row | null} */ (null));
  const [xs, ys] = [scaleOf(runs.map((run) => value(run, x))), scaleOf(runs.map((run) => value(run, y)))];
  const [right, bottom] = [width - RIGHT, height - BOTTOM];
  const dots = runs.flatMap((run) => {
    const [a, b] = [xs.at(value(run, x)), ys.at(value(run, y))];
    return a === null || b === null ? [] : [{ run, cx: LEFT + (right - LEFT) * a, cy: bottom + (TOP - bottom) * b }];
  });
  const point = (/** @type {PointerEvent} */ event) => {
    const box = /** @type {Element} */ (event.currentTarget).getBoundingClientRect();
    const [px, py] = [event.clientX - box.left, event.clientY - box.top];
    const distance = (/** @type {{ cx: number, cy: number }} */ dot) => Math.hypot(dot.cx - px, dot.cy - py);
    const best = dots.reduce((/** @type {typeof dots[0] | null} */ held, dot) => (held === null || distance(dot) < distance(held) ? dot : held), null);
    setNear(best && distance(best) < NEAR ? best.run : null);
  };
  return html`<div class="shape" ref=${ref}>
    ${width > 0 && html`<svg width=${width} height=${height} role="img" aria-label=${`${title(y)} by ${title(x)}: ${dots.length} runs`} onPointerMove=${point} onPointerLeave=${() => setNear(null)} onClick=${() => near && onOpen(near)}>
      <${LeftAxis} scale=${ys} from=${TOP} until=${bottom} across=${LEFT} end=${right} />
      <${BottomAxis} scale=${xs} from=${LEFT} until=${right} y=${bottom} top=${TOP} />
      <text class="axis-name" x=${right} y=${height - 4} text-anchor="end">${title(x)}</text>
      ${dots.map(({ run, cx, cy }) => html`<circle key=${run.id} class=${cls("dot", near === run && "near")} cx=${cx} cy=${cy} r=${near === run ? 6 : 4} fill=${color(run)} />`)}
    </svg>`}
    ${near && html`<${Tip} run=${near} columns=${[x, y]} value=${value} />`}
  </div>`;
}

const MOST_BARS = 40;

/** @param {Data & { y: string }} props */
export function Bars({ runs, value, color, onOpen, height, y }) {
  const [ref, width] = useWidth();
  const [near, setNear] = useState(/** @type {Row | null} */ (null));
  const kept = runs.filter((run) => Number.isFinite(toNumber(value(run, y)))).slice(0, MOST_BARS);
  const most = Math.max(0, ...kept.map((run) => toNumber(value(run, y))));
  const least = Math.min(0, ...kept.map((run) => toNumber(value(run, y))));
  const right = width - RIGHT;
  const names = Math.min(150, width * 0.3);
  const line = Math.max(14, Math.min(26, (height - TOP) / Math.max(1, kept.length)));
  const at = (/** @type {number} */ n) => names + ((right - 60 - names) * (n - least)) / (most - least || 1);
  return html`<div class="shape scrolls" tabindex="0" role="region" aria-label=${title(y)} ref=${ref} style=${{ maxHeight: `${height}px` }}>
    ${width > 0 && html`<svg width=${width} height=${TOP + line * kept.length} role="img" aria-label=${`${title(y)} of ${kept.length} runs`} onPointerLeave=${() => setNear(null)}>
      ${kept.map((run, index) => {
        const [n, top] = [toNumber(value(run, y)), TOP + index * line];
        return html`<g key=${run.id} class="bar" onPointerEnter=${() => setNear(run)} onClick=${() => onOpen(run)}>
          <rect class="bar-room" x="0" y=${top} width=${width} height=${line} />
          <text x=${names - 8} y=${top + line / 2 + 4} text-anchor="end">${fit(run.name, names - 10)}</text>
          <rect x=${Math.min(at(0), at(n))} y=${top + 2} width=${Math.max(1, Math.abs(at(n) - at(0)))} height=${line - 4} rx="2" fill=${color(run)} />
          <text x=${Math.max(at(n), at(0)) + 6} y=${top + line / 2 + 4}>${number(n)}</text></g>`;
      })}
    </svg>`}
    ${near && runs.length > MOST_BARS && html`<p class="muted">the first ${MOST_BARS} runs</p>`}
  </div>`;
}

/** The value below which a part of the sorted numbers is. @param {number[]} sorted @param {number} part */
export function quantile(sorted, part) {
  const place = (sorted.length - 1) * part;
  const low = Math.floor(place);
  return sorted[low] + (sorted[Math.min(low + 1, sorted.length - 1)] - sorted[low]) * (place - low);
}

/** @param {Data & { x: string, y: string }} props */
export function Boxes({ runs, value, height, x, y }) {
  const [ref, width] = useWidth();
  const ys = scaleOf(runs.map((run) => value(run, y)));
  /** @type {Map<string, number[]>} */
  const groups = new Map();
  for (const run of runs) {
    const [key, n] = [value(run, x), toNumber(value(run, y))];
    if (key === null || !Number.isFinite(n)) continue;
    groups.set(String(key), [...(groups.get(String(key)) ?? []), n]);
  }
  const isNumber = [...groups.keys()].every((key) => !Number.isNaN(Number(key)));
  const all = [...groups].sort(([a], [b]) => (isNumber ? Number(a) - Number(b) : a < b ? -1 : 1)).slice(0, 24);
  const [right, bottom] = [width - RIGHT, height - BOTTOM];
  const wide = (right - LEFT) / Math.max(1, all.length);
  const place = (/** @type {number} */ n) => bottom + (TOP - bottom) * (ys.at(n) ?? 0);
  return html`<div class="shape" ref=${ref}>
    ${width > 0 && html`<svg width=${width} height=${height} role="img" aria-label=${`${title(y)} by ${title(x)}: ${all.length} groups`}>
      <${LeftAxis} scale=${ys} from=${TOP} until=${bottom} across=${LEFT} end=${right} />
      <text class="axis-name" x=${right} y=${height - 4} text-anchor="end">${title(x)}</text>
      ${all.map(([key, values], index) => {
        const sorted = values.sort((a, b) => a - b);
        const [low, middle, high] = [0.25, 0.5, 0.75].map((part) => quantile(sorted, part));
        const reach = 1.5 * (high - low);
        const inside = sorted.filter((n) => n >= low - reach && n <= high + reach);
        const center = LEFT + wide * (index + 0.5);
        const half = Math.min(26, wide * 0.3);
        return html`<g key=${key} class="box" style=${{ color: colorAt(index) }}>
          <title>${`${key}: ${sorted.length} runs, median ${number(middle)}, half between ${number(low)} and ${number(high)}`}</title>
          <line x1=${center} x2=${center} y1=${place(inside[0])} y2=${place(low)} /><line x1=${center} x2=${center} y1=${place(high)} y2=${place(inside[inside.length - 1])} />
          <rect x=${center - half} y=${place(high)} width=${half * 2} height=${Math.max(1, place(low) - place(high))} rx="2" />
          <line class="median" x1=${center - half} x2=${center + half} y1=${place(middle)} y2=${place(middle)} />
          ${sorted.filter((n) => !inside.includes(n)).map((n) => html`<circle cx=${center} cy=${place(n)} r="2.5" />`)}
          <text x=${center} y=${bottom + 16} text-anchor="middle">${fit(key, wide - 4)}</text></g>`;
      })}
    </svg>`}
  </div>`;
}

/** @param {Data & { columns: string[] }} props */
export function Parallel({ runs, value, onOpen, height, columns }) {
  const [ref, width] = useWidth();
  const [near, setNear] = useState(/** @type {Row | null} */ (null));
  const scales = columns.map((column) => scaleOf(runs.map((run) => value(run, column))));
  const [top, bottom] = [26, height - 14];
  const x = (/** @type {number} */ at) => 46 + ((width - 110) * at) / Math.max(1, columns.length - 1);
  const last = columns.length - 1;
  // The last axis colours the lines: it is what the others lead to.
  const tint = (/** @type {Row} */ run) => shade(scales[last]?.at(value(run, columns[last])) ?? null);
  const path = (/** @type {Row} */ run) => {
    let pen = "M";
    return columns.map((column, at) => {
      const place = scales[at].at(value(run, column));
      if (place === null) return (pen = "M"), "";
      const step = `${pen}${x(at).toFixed(1)} ${(bottom + (top - bottom) * place).toFixed(1)}`;
      pen = "L";
      return step;
    }).join("");
  };
  return html`<div class="shape" ref=${ref}>
    ${width > 0 && html`<svg width=${width} height=${height} role="img" aria-label=${`${runs.length} runs over ${columns.map(title).join(", ")}`} onPointerLeave=${() => setNear(null)}>
      ${runs.map((run) => ({ run, d: path(run) })).filter(({ d }) => d.includes("L")).map(({ run, d }) => html`<path key=${run.id} class=${cls("strand", near && near !== run && "dim", near === run && "near")} d=${d} stroke=${tint(run)} onPointerEnter=${() => setNear(run)} onClick=${() => onOpen(run)} />`)}
      ${columns.map((column, at) => html`<g key=${column} class="axis parallel"><line x1=${x(at)} x2=${x(at)} y1=${top} y2=${bottom} />
        <text class="axis-title" x=${x(at)} y="14" text-anchor="middle">${fit(title(column), Math.max(60, (width - 110) / columns.length))}<title>${split(column).join(".")}</title></text>
        ${scales[at].ticks.map((tick) => html`<text x=${x(at) + 5} y=${bottom + (top - bottom) * tick.at + 4}>${fit(tick.label, 80)}</text>`)}</g>`)}
    </svg>`}
    ${near && html`<${Tip} run=${near} columns=${columns} value=${value} />`}
  </div>`;
}
