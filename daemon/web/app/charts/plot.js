// A chart of lines, by uPlot: zoomed by dragging, its crosshair and what is dragged shared with the others on the view.
//
// Invariant: a chart stays what it is while someone drags over it or over another. New points come into the chart that is there,
// which is made anew only when its lines are others or look other; whatever comes during a drag waits for its end.

import uPlot from "uplot";
import { grouped, number } from "../format.js";
import { dark, theme } from "../state.js";
import { html, signal, useEffect, useMemo, useRef, useState } from "../ui.js";

/** @typedef {import("./series.js").Line} Line */
/** @typedef {{ title: string, lines: Line[], axis: import("./series.js").Axis, logX: boolean, logY: boolean, height?: number,
 *   onZoom: (range: [number, number] | null) => void, zoom: [number, number] | null }} PlotProps */

const MOST_IN_TIP = 12;

/** Whether someone drags over a chart. */
const dragging = signal(false);
for (const end of ["mouseup", "blur"]) addEventListener(end, () => (dragging.value = false));

/** What is given; during a drag, what was given before it. @template T @param {T} now */
function useHeld(now) {
  const held = useRef(now);
  if (!dragging.value) held.current = now;
  return held.current;
}

/** Colours of what is not data, from the style of the page. */
function ink() {
  const style = getComputedStyle(document.documentElement);
  const probe = document.createElement("span");
  document.body.append(probe);
  const read = (/** @type {string} */ name) => {
    probe.style.color = `var(${name})`;
    return getComputedStyle(probe).color;
  };
  const colors = { text: read("--muted"), line: read("--grid"), font: `12px ${style.fontFamily}` };
  probe.remove();
  return colors;
}

/** @param {number} seconds */
function span(seconds) {
  const s = Math.abs(seconds);
  if (s < 1) return `${Math.round(s * 1000)}ms`;
  if (s < 60) return `${Number(s.toFixed(1))}s`;
  if (s < 3600) return `${Number((s / 60).toFixed(1))}m`;
  return `${Number((s / 3600).toFixed(1))}h`;
}

/** @param {import("./series.js").Axis} axis @param {number} value */
export function place(axis, value) {
  if (axis === "step") return `step ${grouped(value)}`;
  return axis === "time" ? new Date(value * 1000).toLocaleString() : `after ${span(value)}`;
}

/** All lines on one axis: uPlot wants values at the same places, null where a line has none. @param {Line[]} lines */
function aligned(lines) {
  if (lines.length === 0) return /** @type {any} */ ([[]]);
  // A null of a line's own is a gap; a place that only other lines have is not.
  return uPlot.join(lines.map((line) => /** @type {any} */ ([line.x, line.y])), lines.map(() => [0, 2]));
}

/** What the axis at the left takes in pixels, for its longest name. @param {string[] | null} names */
const widthOf = (names) => 16 + 7 * Math.max(2, ...(names ?? []).map((name) => name.length));

/** @param {PlotProps} props @param {number} width @param {(at: { left: number, top: number, index: number } | null) => void} onHover */
function options(props, width, onHover) {
  const { lines, axis, logX, logY, height = 240 } = props;
  const { text, line, font } = ink();
  const common = { stroke: text, font, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1, size: 4 } };
  return /** @type {uPlot.Options} */ ({
    width,
    height,
    legend: { show: false },
    cursor: {
      sync: { key: `curves ${axis}` },
      drag: { x: true, y: false, setScale: false },
      points: { size: 7 },
      focus: { prox: 24 },
    },
    focus: { alpha: 0.35 },
    scales: {
      x: { time: axis === "time", distr: logX && axis !== "time" ? 3 : 1 },
      y: { distr: logY ? 3 : 1 },
    },
    // The last place along the bottom has its name below the line's end.
    padding: [8, 14, 0, 0],
    axes: [
      { ...common, size: 28, gap: 4, ...(axis === "relative" ? { values: (_, all) => all.map(span) } : {}) },
      { ...common, size: (_, all) => widthOf(all), gap: 4, values: (_, all) => all.map((value) => (value === null ? "" : number(value))) },
    ],
    series: [
      {},
      ...lines.map(({ label, color, faint, edge }) => ({
        label,
        stroke: edge ? "transparent" : faint ? `${color}40` : color,
        width: faint ? 1 : 1.6,
        points: { show: false },
        spanGaps: false,
      })),
    ],
    bands: lines.flatMap(({ edge, color }, at) => (edge === "high" ? [{ series: /** @type {[number, number]} */ ([at + 1, at + 2]), fill: `${color}2b` }] : [])),
    hooks: {
      setCursor: [
        (chart) => {
          const { left, top, idx } = chart.cursor;
          onHover(left !== undefined && left >= 0 && idx != null ? { left, top: top ?? 0, index: idx } : null);
        },
      ],
      setSelect: [
        (chart) => {
          const { left, width: wide } = chart.select;
          if (wide < 4) return;
          props.onZoom([chart.posToVal(left, "x"), chart.posToVal(left + wide, "x")]);
          chart.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
        },
      ],
    },
  });
}

/** Lines without what cannot stand on a logarithmic axis. @param {Line[]} lines @param {boolean} logX @param {boolean} logY */
function positive(lines, logX, logY) {
  if (!logX && !logY) return lines;
  return lines.map((line) => {
    const kept = line.x.map((_, at) => at).filter((at) => (!logX || line.x[at] > 0) && (!logY || line.y[at] === null || /** @type {number} */ (line.y[at]) > 0));
    return { ...line, x: kept.map((at) => line.x[at]), y: kept.map((at) => line.y[at]) };
  });
}

/** @param {PlotProps} props */
export function Plot(props) {
  const box = useRef(/** @type {HTMLDivElement | null} */ (null));
  const latest = useRef(props);
  latest.current = props;
  const [hover, setHover] = useState(/** @type {{ left: number, top: number, index: number } | null} */ (null));
  const chart = useRef(/** @type {uPlot | null} */ (null));
  const lines = useHeld(props.lines);
  const data = useMemo(() => aligned(positive(lines, props.logX && props.axis !== "time", props.logY)), [lines, props.logX, props.logY, props.axis]);
  const scheme = `${theme.value} ${dark.value}`;
  const look = lines.map(({ id, label, color, faint, edge }) => [id, label, color, faint, edge].join()).join("\n");
  useEffect(() => {
    const element = /** @type {HTMLDivElement} */ (box.current);
    const forward = { ...props, lines, onZoom: (/** @type {[number, number] | null} */ range) => latest.current.onZoom(range) };
    const made = new uPlot(options(forward, element.clientWidth || 300, setHover), data, element);
    chart.current = made;
    setHover(null);
    const observer = new ResizeObserver(() => element.clientWidth && made.setSize({ width: element.clientWidth, height: props.height ?? 240 }));
    observer.observe(element);
    const out = () => latest.current.onZoom(null);
    element.addEventListener("dblclick", out);
    return () => {
      observer.disconnect();
      element.removeEventListener("dblclick", out);
      made.destroy();
    };
  }, [look, props.logX, props.logY, props.axis, props.height, scheme]);
  useEffect(() => {
    if (chart.current?.data !== data) chart.current?.setData(data);
  }, [data]);

  const solid = lines.map((line, at) => ({ line, at })).filter(({ line }) => !line.faint);
  const tip = hover && hover.index < data[0].length && solid
    .map(({ line, at }) => ({ line, value: nearest(data[0], data[at + 1], hover.index) }))
    .filter((row) => row.value !== null)
    .sort((a, b) => /** @type {number} */ (b.value) - /** @type {number} */ (a.value));
  const right = hover !== null && box.current !== null && hover.left > box.current.clientWidth / 2;
  return html`
    <figure class="plot">
      <figcaption><bdi title=${props.title}>${props.title}</bdi>${props.zoom && html`<button class="chip" onClick=${() => props.onZoom(null)}>zoomed: show all</button>`}</figcaption>
      <div class="plot-box" ref=${box} onMouseDown=${(/** @type {MouseEvent} */ event) => event.button === 0 && (dragging.value = true)} role="img" aria-label=${`${props.title}: ${solid.length} curves`}></div>
      ${tip && tip.length > 0 && hover && html`
        <div class="tip" style=${right ? { left: "66px" } : { right: "12px" }}>
          <strong>${place(props.axis, data[0][hover.index])}</strong>
          ${tip.slice(0, MOST_IN_TIP).map(({ line, value }) => html`<div key=${line.id}><i style=${{ background: line.color }}></i><bdi>${line.label}</bdi><b>${number(value)}</b></div>`)}
          ${tip.length > MOST_IN_TIP && html`<div class="muted">and ${tip.length - MOST_IN_TIP} more</div>`}
        </div>`}
    </figure>
  `;
}

/** The value of a line at a place, or at the nearest place that it has. @param {number[]} x @param {(number | null | undefined)[]} y @param {number} index */
function nearest(x, y, index) {
  for (let off = 0; off < 64; off++) {
    const [before, after] = [y[index - off], y[index + off]];
    if (before != null) return before;
    if (after != null) return after;
  }
  return null;
}
