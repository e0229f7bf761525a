// From what the daemon sends of a series to what a chart draws.

import { toNumber } from "../format.js";

/** @typedef {"step" | "time" | "relative"} Axis */
/** @typedef {{ id: string, label: string, color: string, faint?: boolean, x: number[], y: (number | null)[] }} Line */

/** As many colours as can be told apart on light and on dark, in an order that keeps neighbours apart. */
const COLORS = ["#4c6ef5", "#f76707", "#12b886", "#e64980", "#7950f2", "#c08a00", "#1098ad", "#e03131", "#66a80f", "#ae3ec9", "#868e96", "#a0522d"];

/** @param {number} at */
export const colorAt = (at) => COLORS[at % COLORS.length];

/** @param {import("../api.js").Curve} curve @param {Axis} axis @param {number} start_ms */
export function points(curve, axis, start_ms) {
  const x = axis === "step" ? curve.steps : axis === "time" ? curve.times_ms.map((ms) => ms / 1000) : curve.times_ms.map((ms) => (ms - start_ms) / 1000);
  const y = curve.values.map((value) => {
    const n = toNumber(value);
    return Number.isFinite(n) ? n : null;
  });
  return oneEach(x, y);
}

/** A chart has one value at each place: of several the last stays. @param {number[]} x @param {(number | null)[]} y */
function oneEach(x, y) {
  if (x.every((value, at) => at === 0 || value > x[at - 1])) return { x, y };
  const last = new Map(x.map((value, at) => [value, y[at]]));
  const sorted = [...last].sort((a, b) => a[0] - b[0]);
  return { x: sorted.map(([value]) => value), y: sorted.map(([, value]) => value) };
}

/**
 * Smooths by an exponential moving average that starts unbiased; `weight` from 0, none, to below 1.
 * @param {(number | null)[]} y @param {number} weight
 */
export function smooth(y, weight) {
  let sum = 0;
  let total = 0;
  return y.map((value) => {
    if (value === null) return null;
    sum = weight * sum + (1 - weight) * value;
    total = weight * total + (1 - weight);
    return sum / total;
  });
}
