// Curves in the size of a word for the rows of a table: asked for together, kept, and asked for again while a run runs.

import { api } from "../api.js";
import { tick } from "../state.js";
import { html, signal, useEffect } from "../ui.js";
import { Sparkline } from "./sparkline.js";

const POINTS = 40;
/** Rows come into view one by one as the table scrolls; so long their curves are waited for. */
const GATHER_MS = 40;
const MOST_KEPT = 5_000;

/** @type {Map<string, import("@preact/signals").Signal<import("../api.js").Cell[] | null>>} */
const held = new Map();
/** @type {Map<string, Set<string>>} */
let wanted = new Map();

/** @param {string} run @param {string} key */
function curveOf(run, key) {
  const name = `${run} ${key}`;
  let curve = held.get(name);
  if (!curve) {
    if (held.size > MOST_KEPT) held.clear();
    curve = signal(/** @type {import("../api.js").Cell[] | null} */ (null));
    held.set(name, curve);
  }
  return curve;
}

/** @param {string} run @param {string} key */
function want(run, key) {
  if (wanted.size === 0) setTimeout(ask, GATHER_MS);
  wanted.set(key, (wanted.get(key) ?? new Set()).add(run));
}

async function ask() {
  const now = wanted;
  wanted = new Map();
  for (const [key, runs] of now) {
    const curves = await api.curves({ runs: [...runs], keys: [key], points: POINTS }).catch(() => []);
    for (const curve of curves) curveOf(curve.run, key).value = curve.values;
  }
}

/** @param {{ run: import("../api.js").Row, metric: string }} props */
export function RowCurve({ run, metric }) {
  const curve = curveOf(run.id, metric);
  const beat = run.status === "RUNNING" ? Math.floor(tick.value / 4) : 0;
  useEffect(() => {
    if (curve.peek() === null || beat) want(run.id, metric);
  }, [run.id, metric, beat]);
  return curve.value && html`<${Sparkline} values=${curve.value} />`;
}
