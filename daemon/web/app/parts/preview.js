// What a file of a run looks like. What it is, its first bytes say, not only its name.

import { api, ApiError } from "../api.js";
import { basename, bytes } from "../format.js";
import { html, useEffect, useLayoutEffect, useRef, useState } from "../ui.js";
import { Diff } from "./diff.js";
import { Card, MLmodel } from "./mlmodel.js";
import { Parquet } from "./parquet.js";
import { Failure, Loading } from "./small.js";

/** Of a text so much is shown. */
const MAX_TEXT = 512 << 10;
const MAX_IMAGE = 32 << 20;
/** A file that is elsewhere is fetched unasked up to this size. */
const MAX_UNASKED = 32 << 20;
const MAX_ROWS = 1_000;

const IMAGES = /** @type {Record<string, string>} */ ({ png: "image/png", jpg: "image/jpeg", jpeg: "image/jpeg", gif: "image/gif", webp: "image/webp", avif: "image/avif", bmp: "image/bmp", svg: "image/svg+xml" });

/** What kind of picture a file is, by its name. @param {string} path @returns {string | undefined} */
export const imageType = (path) => IMAGES[path.slice(path.lastIndexOf(".") + 1).toLowerCase()];

/** @typedef {{ kind: "image", url: string } | { kind: "text", text: string, cut: boolean } | { kind: "parquet" } | { kind: "binary" }} Seen */

/** What a parquet file starts with. */
const PARQUET = "PAR1";

/** @param {string} of a run or a logged model @param {string} path @param {number} size @param {AbortSignal} signal @returns {Promise<Seen>} */
async function look(of, path, size, signal) {
  const image = imageType(path);
  if (image && size <= MAX_IMAGE) {
    const blob = await (await api.artifact(of, path, signal)).blob();
    return { kind: "image", url: URL.createObjectURL(new Blob([blob], { type: image })) };
  }
  const cut = size > MAX_TEXT;
  const data = new Uint8Array(cut ? await api.artifactBytes(of, path, 0, MAX_TEXT, signal) : await (await api.artifact(of, path, signal)).arrayBuffer());
  if (String.fromCharCode(...data.subarray(0, PARQUET.length)) === PARQUET) return { kind: "parquet" };
  if (data.subarray(0, 8192).includes(0)) return { kind: "binary" };
  try {
    // A text that was cut may end within a character: as the start of a stream that is no fault.
    return { kind: "text", text: new TextDecoder("utf-8", { fatal: true }).decode(data, { stream: cut }), cut };
  } catch {
    return { kind: "binary" };
  }
}

/** @param {{ of: string, path: string, size: number, here: boolean }} props of: a run or a logged model */
export function Preview({ of, path, size, here }) {
  const [seen, setSeen] = useState(/** @type {Seen | null} */ (null));
  const [error, setError] = useState(/** @type {ApiError | null} */ (null));
  const [wanted, setWanted] = useState(here || size <= MAX_UNASKED);
  useEffect(() => {
    if (!wanted) return undefined;
    const stop = new AbortController();
    let url = "";
    look(of, path, size, stop.signal).then(
      (now) => {
        if (now.kind === "image") url = now.url;
        setSeen(now);
      },
      (why) => why instanceof ApiError && setError(why),
    );
    return () => {
      stop.abort();
      if (url) URL.revokeObjectURL(url);
    };
  }, [of, path, wanted]);
  if (!wanted) return html`<p>This file is on other devices. <button onClick=${() => setWanted(true)}>Fetch ${bytes(size)}</button></p>`;
  if (error) return html`<${Failure} error=${error} />`;
  if (!seen) return html`<${Loading} />`;
  if (seen.kind === "binary") return html`<p class="muted">This file is no text and no picture. Download it to open it.</p>`;
  if (seen.kind === "parquet") return html`<${Parquet} of=${of} path=${path} size=${size} />`;
  if (seen.kind === "image") return html`<img class="picture" src=${seen.url} alt=${path} />`;
  return html`${seen.cut && html`<p class="muted">The first ${bytes(MAX_TEXT)} of ${bytes(size)}:</p>`}<${Text} path=${path} text=${seen.text} cut=${seen.cut} />`;
}

/** @param {{ path: string, text: string, cut: boolean }} props */
function Text({ path, text, cut }) {
  const ending = path.slice(path.lastIndexOf(".") + 1).toLowerCase();
  const [raw, setRaw] = useState(false);
  /** @type {string | undefined} */
  const looks = basename(path) === "MLmodel" ? "model" : { md: "page", markdown: "page", csv: "table", tsv: "table", html: "frame", htm: "frame", json: "tidy", diff: "diff", patch: "diff" }[ending];
  const shown = looks && !raw && !(cut && looks !== "table" && looks !== "diff") ? looks : "raw";
  return html`
    ${looks && html`<div class="switch" role="group" aria-label="Show as"><button aria-pressed=${!raw} onClick=${() => setRaw(false)}>Shown</button><button aria-pressed=${raw} onClick=${() => setRaw(true)}>As text</button></div>`}
    ${shown === "page" ? html`<${Card} text=${text} />`
      : shown === "table" ? html`<${Table} text=${text} separator=${ending === "tsv" ? "\t" : ","} />`
      : shown === "model" ? html`<${MLmodel} text=${text} />`
      : shown === "diff" ? html`<${Diff} text=${text} />`
      : shown === "frame" ? html`<${Frame} text=${text} title=${path} />`
      : html`<pre class="text" tabindex="0"><code>${shown === "tidy" ? tidy(text) : text}</code></pre>`}
  `;
}

/** @param {string} text */
function tidy(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

/** Takes lines of fields apart, quoted or not. @param {string} text @param {string} separator */
export function parseTable(text, separator) {
  /** @type {string[][]} */
  const rows = [[]];
  let field = "";
  let quoted = false;
  for (let at = 0; at < text.length; at++) {
    const char = text[at];
    const row = rows[rows.length - 1];
    if (quoted) {
      if (char !== '"') field += char;
      else if (text[at + 1] === '"') field += text[++at];
      else quoted = false;
    } else if (char === '"' && field === "") quoted = true;
    else if (char === separator) {
      row.push(field);
      field = "";
    } else if (char === "\n") {
      row.push(field.replace(/\r$/, ""));
      field = "";
      rows.push([]);
      if (rows.length > MAX_ROWS + 1) break;
    } else field += char;
  }
  if (field) rows[rows.length - 1].push(field);
  return rows.filter((row) => row.length > 0);
}

/** @param {{ text: string, separator: string }} props */
function Table({ text, separator }) {
  const [names, ...rows] = parseTable(text, separator);
  if (!names) return html`<p class="muted">This table is empty.</p>`;
  const isNumber = (/** @type {string} */ field) => field !== "" && !Number.isNaN(Number(field));
  return html`<div class="table-box tall" tabindex="0" role="region" aria-label="Table"><table>
    <thead><tr>${names.map((name, at) => html`<th class=${isNumber(rows[0]?.[at] ?? "") ? "end" : ""}>${name}</th>`)}</tr></thead>
    <tbody>${rows.map((row) => html`<tr>${row.map((field) => html`<td class=${isNumber(field) ? "end" : ""}>${field}</td>`)}</tr>`)}</tbody>
  </table></div>`;
}

/** A page of the user's, in a frame that may run scripts but has an origin of its own and reaches nothing. @param {{ text: string, title: string }} props */
function Frame({ text, title }) {
  const ref = useRef(/** @type {HTMLIFrameElement | null} */ (null));
  useLayoutEffect(() => {
    const give = (/** @type {MessageEvent} */ event) => {
      const frame = ref.current?.contentWindow;
      if (event.source === frame && event.data === "ready") frame?.postMessage(text, "*");
    };
    addEventListener("message", give);
    return () => removeEventListener("message", give);
  }, [text]);
  return html`<iframe class="frame" ref=${ref} key=${text} title=${title} sandbox="allow-scripts" src="/ui/frame.html"></iframe>`;
}
