// From what the daemon sends of a series to what a chart draws.

import { toNumber } from "../format.js";

/** @typedef {"step" | "time" | "relative"} Axis */
/** @typedef {{ id: string, label: string, color: string, faint?: boolean, edge?: "high" | "low", x: number[], y: (number | null)[] }} Line
 *   `edge`: a border of a band, the high one before the low one. */

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

/** The value of a curve at a place, between its points on a straight line; null where it has none. @param {{ x: number[], y: (number | null)[] }} curve */
function reader({ x, y }) {
  let at = 0;
  return (/** @type {number} */ place) => {
    if (x.length === 0 || place < x[0] || place > x[x.length - 1]) return null;
    while (at < x.length - 1 && x[at + 1] < place) at += 1;
    const [a, b] = [y[at], y[Math.min(at + 1, y.length - 1)]];
    if (x[at] === place || at === x.length - 1) return a;
    if (x[at + 1] === place) return b;
    return a === null || b === null ? null : a + ((b - a) * (place - x[at])) / (x[at + 1] - x[at]);
  };
}

/**
 * Many curves as one: their mean at each place, with the least and the greatest of them.
 * @param {{ x: number[], y: (number | null)[] }[]} curves
 */
export function band(curves) {
  const x = [...new Set(curves.flatMap((curve) => curve.x))].sort((a, b) => a - b);
  const readers = curves.map(reader);
  const rows = x.map((place) => /** @type {number[]} */ (readers.map((read) => read(place)).filter((value) => value !== null)));
  const over = (/** @type {(values: number[]) => number} */ take) => rows.map((values) => (values.length ? take(values) : null));
  return {
    x,
    mean: over((values) => values.reduce((sum, value) => sum + value, 0) / values.length),
    low: over((values) => Math.min(...values)),
    high: over((values) => Math.max(...values)),
  };
}
