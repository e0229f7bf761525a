// Numbers, times and sizes as people read them.
//
// Invariant: what a first view shows is written without the browser's Intl, which takes longer to load (some 20 ms on a quiet
// machine) than to draw all rows of a table.

/** @param {import("./api.js").Cell | undefined} value @returns {number} NaN for what is no number */
export const toNumber = (value) => (typeof value === "number" ? value : value == null ? NaN : Number(value));

/** A number with its thousands apart, written without Intl if it is whole. @param {number} n */
export const grouped = (n) => (Number.isInteger(n) ? String(n).replace(/\B(?=(\d{3})+$)/g, ",") : n.toLocaleString("en-US"));

/** A metric's value, in at most six digits. @param {import("./api.js").Cell | undefined} value */
export function number(value) {
  if (value == null) return "";
  const n = toNumber(value);
  if (Number.isNaN(n)) return "NaN";
  if (!Number.isFinite(n)) return n > 0 ? "∞" : "-∞";
  if (Number.isInteger(n) && Math.abs(n) < 1e15) return grouped(n);
  const size = Math.abs(n);
  if (size !== 0 && (size >= 1e6 || size < 1e-4)) return n.toExponential(3).replace("e+", "e");
  return String(Number(n.toPrecision(6)));
}

/** @param {number} count @param {string} one @param {string} [many] */
export const plural = (count, one, many = `${one}s`) => `${grouped(count)} ${count === 1 ? one : many}`;

/** @param {number} n */
export function bytes(n) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (n >= 1000 && unit < units.length - 1) {
    n /= 1000;
    unit += 1;
  }
  return `${unit === 0 || n >= 100 ? Math.round(n) : n.toFixed(1)} ${units[unit]}`;
}

/** @param {number} ms */
export function duration(ms) {
  if (!(ms >= 0)) return "";
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const s = Math.floor(ms / 1000);
  if (s < 60) return `${(ms / 1000).toFixed(1)} s`;
  const parts = /** @type {[number, string][]} */ ([
    [Math.floor(s / 86_400), "d"],
    [Math.floor(s / 3600) % 24, "h"],
    [Math.floor(s / 60) % 60, "min"],
    [s % 60, "s"],
  ]);
  const first = parts.findIndex(([count]) => count > 0);
  const shown = parts.slice(first, first + 2).filter(([count]) => count > 0);
  return shown.map(([count, unit]) => `${count} ${unit}`).join(" ");
}

/** Made when it is first used, and once: to make it takes a hundred times as long as to write a time with it. @type {Intl.DateTimeFormat | undefined} */
let moments;

/** A time to the second, as the browser's language has it. @param {number} ms */
export function moment(ms) {
  moments ??= new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
  const at = new Date(ms);
  return Number.isNaN(at.valueOf()) ? String(at) : moments.format(at);
}

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** @param {number} ms */
function day(ms) {
  const at = new Date(ms);
  return `${at.getDate()} ${MONTHS[at.getMonth()]} ${at.getFullYear()}`;
}

/** @param {number} ms @param {number} [now] */
export function ago(ms, now = Date.now()) {
  const s = (now - ms) / 1000;
  if (s < -60) return day(ms);
  if (s < 5) return "just now";
  if (s < 60) return `${Math.floor(s)} s ago`;
  if (s < 3600) return `${Math.floor(s / 60)} min ago`;
  if (s < 86_400) return `${Math.floor(s / 3600)} h ago`;
  if (s < 30 * 86_400) return `${Math.floor(s / 86_400)} d ago`;
  return day(ms);
}

/** What a device is called: its name, or the start of its id if it has none. @param {import("./api.js").Named} device */
export const called = (device) => device.name || device.id.slice(0, 10);

/** The end of a path. @param {string} path */
export const basename = (path) => path.slice(path.lastIndexOf("/") + 1);
