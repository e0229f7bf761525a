// Where the values of a column stand on an axis: as numbers, on a logarithm, or as words one beside the other.

import { number, toNumber } from "../format.js";

/** @typedef {import("../api.js").Cell} Cell */
/** @typedef {{ kind: "number" | "log" | "words", at: (value: Cell) => number | null, ticks: { at: number, label: string }[] }} Scale
 *   `at` is from 0 to 1, null for what has no place. */

const TICKS = 5;
const MOST_WORDS = 40;

/** Numbers that people would write at an axis. @param {number} low @param {number} high */
function round(low, high) {
  const rough = (high - low) / TICKS;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((size) => size >= rough) ?? power * 10;
  const ticks = [];
  for (let n = Math.ceil(low / step); n * step <= high + step * 1e-9; n++) ticks.push(n * step);
  return ticks;
}

/** @param {number} low @param {number} high @returns {Scale} */
function linear(low, high) {
  if (low === high) [low, high] = [low - (Math.abs(low) || 1) * 0.5, high + (Math.abs(high) || 1) * 0.5];
  const pad = (high - low) * 0.04;
  const [from, until] = [low - pad, high + pad];
  const place = (/** @type {number} */ n) => (n - from) / (until - from);
  return {
    kind: "number",
    at: (value) => (Number.isFinite(toNumber(value)) ? place(toNumber(value)) : null),
    ticks: round(low, high).map((n) => ({ at: place(n), label: number(n) })),
  };
}

/** @param {number} low @param {number} high @returns {Scale} */
function logarithmic(low, high) {
  const [from, until] = [Math.log10(low) - 0.1, Math.log10(high) + 0.1];
  const place = (/** @type {number} */ n) => (Math.log10(n) - from) / (until - from);
  const powers = [];
  const step = Math.max(1, Math.ceil((until - from) / 8));
  for (let power = Math.ceil(from); power <= until; power += step) powers.push(10 ** power);
  return {
    kind: "log",
    at: (value) => (toNumber(value) > 0 && Number.isFinite(toNumber(value)) ? place(toNumber(value)) : null),
    ticks: powers.map((n) => ({ at: place(n), label: number(n) })),
  };
}

/** @param {string[]} all @returns {Scale} */
function words(all) {
  const kept = all.slice(0, MOST_WORDS);
  const places = new Map(kept.map((word, at) => [word, (at + 0.5) / kept.length]));
  return {
    kind: "words",
    at: (value) => (value === null ? null : (places.get(String(value)) ?? null)),
    ticks: kept.map((word) => ({ at: /** @type {number} */ (places.get(word)), label: word })),
  };
}

/** Whether all that is there can be read as a number. @param {Cell[]} values */
export function areNumbers(values) {
  const there = values.filter((value) => value !== null);
  return there.length > 0 && there.every((value) => String(value).trim() !== "" && (!Number.isNaN(Number(value)) || value === "NaN" || String(value).endsWith("Infinity")));
}

/** The scale that shows these values best. @param {Cell[]} values @returns {Scale} */
export function scaleOf(values) {
  if (!areNumbers(values)) return words([...new Set(values.filter((value) => value !== null).map(String))].sort());
  const finite = values.map(toNumber).filter(Number.isFinite);
  if (finite.length === 0) return linear(0, 1);
  const [low, high] = [Math.min(...finite), Math.max(...finite)];
  return low > 0 && high / low >= 50 ? logarithmic(low, high) : linear(low, high);
}

/** From blue over green to yellow, told apart by those who see few colours too; `at` from 0 to 1. @param {number | null} at */
export function shade(at) {
  if (at === null) return "#868e96";
  const stops = [[70, 50, 127], [49, 104, 142], [33, 145, 140], [53, 183, 121], [180, 200, 45]];
  const scaled = Math.min(0.9999, Math.max(0, at)) * (stops.length - 1);
  const [a, b] = [stops[Math.floor(scaled)], stops[Math.floor(scaled) + 1]];
  const mixed = a.map((channel, index) => Math.round(channel + (b[index] - channel) * (scaled % 1)));
  return `rgb(${mixed.join(" ")})`;
}
