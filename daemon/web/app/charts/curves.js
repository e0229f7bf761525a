// Charts of metrics over runs: one for each metric, all on the same axis, with the same settings.

import { api } from "../api.js";
import { keepSetting, setting } from "../settings.js";
import { throttled, tick } from "../state.js";
import { html, signal, unlessNew, useEffect, useMemo, useRef, useState } from "../ui.js";
import { Plot } from "./plot.js";
import { band, points, smooth } from "./series.js";

/** @typedef {{ id: string, name: string, start_ms: number, color: string }} Subject */
/** @typedef {{ name: string, color: string, runs: ReadonlySet<string> }} Group Runs drawn as one band. */

/** @type {import("@preact/signals").Signal<{ axis: import("./series.js").Axis, logX: boolean, logY: boolean, smoothing: number }>} */
export const view = signal(setting("curves", { axis: "step", logX: false, logY: false, smoothing: 0 }));
view.subscribe((now) => keepSetting("curves", now));

/** Points of all lines of a chart together: what a screen can show, and a phone can draw. */
const POINTS = 40_000;

export function CurveSettings() {
  const now = view.value;
  const set = (/** @type {Partial<typeof now>} */ change) => (view.value = { ...now, ...change });
  const axes = /** @type {const} */ ([["step", "Step"], ["relative", "Relative"], ["time", "Time"]]);
  return html`
    <div class="curve-settings">
      <div class="switch" role="group" aria-label="Along the bottom">
        ${axes.map(([axis, title]) => html`<button aria-pressed=${now.axis === axis} onClick=${() => set({ axis })}>${title}</button>`)}
      </div>
      <label><input type="checkbox" checked=${now.logX} disabled=${now.axis === "time"} onChange=${() => set({ logX: !now.logX })} />log x</label>
      <label><input type="checkbox" checked=${now.logY} onChange=${() => set({ logY: !now.logY })} />log y</label>
      <label class="slider">Smoothing
        <input type="range" min="0" max="0.99" step="0.01" value=${now.smoothing} onInput=${(/** @type {any} */ event) => set({ smoothing: Number(event.target.value) })} />
        <output>${now.smoothing.toFixed(2)}</output></label>
    </div>
  `;
}

/** Curves that the daemon has, asked for again when something was logged.
 * @param {Subject[]} subjects @param {string} key @param {[number, number] | null} zoom @param {boolean} seen */
function useCurves(subjects, key, zoom, seen) {
  const { axis } = view.value;
  const [curves, setCurves] = useState(/** @type {import("../api.js").Curve[] | null} */ (null));
  const ids = subjects.map((subject) => subject.id).join();
  useEffect(() => {
    if (!seen) return undefined;
    const stop = new AbortController();
    const points = Math.round(Math.min(2_000, Math.max(100, POINTS / Math.max(1, subjects.length))));
    const scale = axis === "step" ? 1 : 1000;
    const range = zoom ? { from: Math.floor(zoom[0] * scale), to: Math.ceil(zoom[1] * scale) } : {};
    const query = { runs: subjects.map((subject) => subject.id), keys: [key], axis, points, ...range };
    const load = () => api.curves(query, stop.signal).then((now) => setCurves((before) => unlessNew(before, now)), () => {});
    const refresh = throttled(load, 1_000);
    const unsubscribe = tick.subscribe(() => void refresh());
    return () => {
      stop.abort();
      unsubscribe();
    };
  }, [ids, key, axis, zoom?.[0], zoom?.[1], seen]);
  return curves;
}

/** The curves of each group as one band. @param {import("../api.js").Curve[]} curves @param {Group[]} groups @param {Map<string, Subject>} subjects
 * @param {import("./series.js").Axis} axis @param {number} smoothing @returns {import("./series.js").Line[]} */
function bandsOf(curves, groups, subjects, axis, smoothing) {
  return groups.flatMap(({ name, color, runs }) => {
    const members = curves.filter((curve) => runs.has(curve.run));
    if (members.length === 0) return [];
    const { x, mean, low, high } = band(members.map((curve) => points(curve, axis, subjects.get(curve.run)?.start_ms ?? 0)));
    const line = { id: name, label: `${name} (${members.length})`, color, x };
    return [
      { ...line, id: `${name} high`, faint: true, edge: /** @type {const} */ ("high"), y: high },
      { ...line, id: `${name} low`, faint: true, edge: /** @type {const} */ ("low"), y: low },
      { ...line, y: smoothing ? smooth(mean, smoothing) : mean },
    ];
  });
}

/** @param {{ subjects: Subject[], metric: string, hidden: ReadonlySet<string>, height?: number, groups?: Group[] | null }} props */
export function MetricChart({ subjects, metric, hidden, height, groups = null }) {
  const box = useRef(/** @type {HTMLDivElement | null} */ (null));
  const [seen, setSeen] = useState(false);
  const [zoom, setZoom] = useState(/** @type {[number, number] | null} */ (null));
  const now = view.value;
  useEffect(() => setZoom(null), [now.axis]);
  useEffect(() => {
    const observer = new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && setSeen(true), { rootMargin: "300px" });
    observer.observe(/** @type {HTMLDivElement} */ (box.current));
    return () => observer.disconnect();
  }, []);
  const curves = useCurves(subjects, metric, zoom, seen);
  const lines = useMemo(() => {
    const by = new Map(subjects.map((subject) => [subject.id, subject]));
    if (groups) return bandsOf(curves ?? [], groups, by, now.axis, now.smoothing);
    return (curves ?? []).filter((curve) => by.has(curve.run) && !hidden.has(curve.run)).flatMap((curve) => {
      const { name, color, start_ms } = /** @type {Subject} */ (by.get(curve.run));
      const { x, y } = points(curve, now.axis, start_ms);
      const context = [curve.context.dataset_name, curve.context.model_id].filter(Boolean).join(" ");
      const line = { id: `${curve.run} ${context}`, label: context ? `${name} · ${context}` : name, color, x, y };
      if (now.smoothing === 0) return [line];
      return [{ ...line, faint: true }, { ...line, y: smooth(y, now.smoothing) }];
    });
  }, [curves, now, hidden, subjects, groups]);
  const zoomed = useMemo(() => (zoom ? lines.map((line) => within(line, zoom)) : lines), [lines, zoom?.[0], zoom?.[1]]);
  return html`
    <div class="chart" ref=${box}>
      ${curves === null ? html`<div class="chart-wait"><span>${metric}</span></div>`
        : html`<${Plot} title=${metric} lines=${zoomed} axis=${now.axis} logX=${now.logX} logY=${now.logY} zoom=${zoom} onZoom=${setZoom} height=${height} />`}
    </div>
  `;
}

/** @param {import("./series.js").Line} line @param {[number, number]} range */
function within(line, [from, to]) {
  const kept = line.x.map((_, at) => at).filter((at) => line.x[at] >= from && line.x[at] <= to);
  return { ...line, x: kept.map((at) => line.x[at]), y: kept.map((at) => line.y[at]) };
}
