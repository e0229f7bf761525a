// A comparison as one file that shows itself anywhere: no script, no link to anything, the curves as pictures.

import { differs, extremes, sections } from "../pages/compare.js";
import { moment } from "../format.js";
import { save } from "./download.js";

/** @param {string} text */
const escape = (text) => text.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`);

const STYLE = `body{font:14px/1.5 system-ui,sans-serif;margin:32px;color:#1a1d24}table{border-collapse:collapse}th,td{padding:5px 14px 5px 0;text-align:left;
border-bottom:1px solid #e3e6ec;vertical-align:top;max-width:320px;overflow-wrap:anywhere}thead th{border-bottom:2px solid #9aa1b0}.section th{padding-top:22px;font-size:12px;
color:#5a6275;text-transform:uppercase;letter-spacing:.04em}tbody th{font-weight:500}.same{color:#7a8294}.best{color:#0a7d4f;font-weight:600}.worst{color:#b3261e}
img{max-width:100%;margin:8px 16px 8px 0}p{color:#5a6275}`;

/** The charts that are on the view, as pictures. */
function pictures() {
  const canvases = /** @type {HTMLCanvasElement[]} */ ([...document.querySelectorAll(".compare .plot canvas")]);
  return canvases.map((canvas) => {
    const title = canvas.closest(".plot")?.querySelector("figcaption bdi")?.textContent ?? "";
    const copy = document.createElement("canvas");
    [copy.width, copy.height] = [canvas.width, canvas.height];
    const pen = /** @type {CanvasRenderingContext2D} */ (copy.getContext("2d"));
    pen.fillStyle = getComputedStyle(document.body).backgroundColor;
    pen.fillRect(0, 0, copy.width, copy.height);
    pen.drawImage(canvas, 0, 0);
    return `<figure><figcaption>${escape(title)}</figcaption><img width="${canvas.clientWidth}" alt="${escape(title)}" src="${copy.toDataURL("image/png")}"></figure>`;
  });
}

/** @param {import("../api.js").Run[]} runs */
export async function exportPage(runs) {
  const head = runs.map((run) => `<th>${escape(run.name)}<br><small>${run.id}</small></th>`).join("");
  const bodies = sections(runs).filter(([, lines]) => lines.length > 0).map(([title, lines]) => {
    const rows = [...lines.filter(differs), ...lines.filter((line) => !differs(line))].map((line) => {
      const { best, worst } = extremes(line);
      const cells = line.values.map((value, at) => {
        const n = line.numbers?.[at];
        const mark = n === undefined ? "" : n === best ? "best" : n === worst ? "worst" : "";
        return `<td class="${mark}">${escape(value ?? "–")}</td>`;
      });
      return `<tr class="${differs(line) ? "" : "same"}"><th>${escape(line.key)}</th>${cells.join("")}</tr>`;
    });
    return `<tbody><tr class="section"><th colspan="${runs.length + 1}">${title}</th></tr>${rows.join("")}</tbody>`;
  });
  const page = `<!doctype html><html lang="en"><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<title>Comparison of ${runs.length} runs</title><style>${STYLE}</style><h1>Comparison of ${runs.length} runs</h1><p>Made by runmesh, ${escape(moment(Date.now()))}</p>
<table><thead><tr><th></th>${head}</tr></thead>${bodies.join("")}</table>${pictures().join("")}</html>`;
  save(new Blob([page], { type: "text/html" }), "comparison.html");
}
