// A series in the size of a word.

import { toNumber } from "../format.js";
import { html } from "../ui.js";

const [WIDTH, HEIGHT] = [96, 22];

/** @param {{ values: import("../api.js").Cell[] }} props */
export function Sparkline({ values }) {
  const numbers = values.map(toNumber);
  const finite = numbers.filter(Number.isFinite);
  if (finite.length < 2) return null;
  const low = Math.min(...finite);
  const high = Math.max(...finite);
  const x = (/** @type {number} */ at) => 1 + (at * (WIDTH - 2)) / (numbers.length - 1);
  const y = (/** @type {number} */ value) => HEIGHT - 2 - ((value - low) / (high - low || 1)) * (HEIGHT - 4);
  let path = "";
  let pen = false;
  numbers.forEach((value, at) => {
    if (Number.isFinite(value)) path += `${pen ? "L" : "M"}${x(at).toFixed(1)} ${y(value).toFixed(1)}`;
    pen = Number.isFinite(value);
  });
  return html`<svg class="spark" viewBox=${`0 0 ${WIDTH} ${HEIGHT}`} width=${WIDTH} height=${HEIGHT} role="img" aria-label="course"><path d=${path} /></svg>`;
}
