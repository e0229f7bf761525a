// Who did what to a run or a model, on which device and when: each line is of an entry that its device has signed.

import { api } from "../api.js";
import { called, moment, plural } from "../format.js";
import { html, useEffect, useState } from "../ui.js";
import { Icon } from "./icons.js";
import { Time } from "./small.js";

/** @typedef {import("../api.js").AuditLine} AuditLine */
/** @typedef {{ run: string } | { model: string }} Of */

const PAGE = 50;
const MOST_EMPTY = 20;

/** @param {{ of: Of }} props */
export function Audit({ of }) {
  const [lines, setLines] = useState(/** @type {AuditLine[]} */ ([]));
  const [cursor, setCursor] = useState(/** @type {string | null} */ (null));
  const [open, setOpen] = useState(false);
  const key = JSON.stringify(of);
  const load = async (/** @type {AuditLine[]} */ before, /** @type {string | null} */ from) => {
    let page = await api.audit({ ...of, limit: PAGE, ...(from ? { cursor: from } : {}) });
    // Where it is rare in the journals, a page may be empty and not the last.
    for (let at = 1; at < MOST_EMPTY && page.lines.length === 0 && page.cursor; at++) page = await api.audit({ ...of, limit: PAGE, cursor: page.cursor });
    return () => (setLines([...before, ...page.lines]), setCursor(page.cursor));
  };
  // Asked when somebody looks, and not again and again: what was written is sealed for it.
  useEffect(() => {
    let late = false;
    load([], null).then((show) => late || show(), () => {});
    return () => void (late = true);
  }, [key, open]);
  if (lines.length === 0) return null;
  const devices = new Map(lines.map((line) => [line.device.id, called(line.device)]));
  const broken = lines.filter((line) => line.broken).length;
  const entries = new Set(lines.map((line) => line.hash)).size;
  return html`
    <section class="card" aria-label="Who wrote it">
      <header><h2>Who wrote it</h2><span class="grow"></span>
        ${broken ? html`<span class="badge doubt">${plural(broken, "signature")} in doubt</span>` : html`<span class="badge good" title="Each entry is signed by the device that wrote it, and names the one before">signed</span>`}</header>
      <p>${[...devices].map(([id, name], at) => html`${at > 0 && ", "}<bdi key=${id} title=${id}>${name}</bdi>`)}
        <span class="muted"> in ${cursor ? "more than " : ""}${plural(entries, "entry", "entries")}</span></p>
      <details class="audit" open=${open} onToggle=${(/** @type {any} */ event) => setOpen(event.currentTarget.open)}>
        <summary>What was done</summary>
        <ol class="history">${lines.map((line) => html`<${Line} key=${`${line.hash} ${line.place}`} line=${line} />`)}</ol>
        ${cursor && html`<button class="link" onClick=${() => load(lines, cursor).then((show) => show(), () => {})}>Show what was before</button>`}
      </details>
    </section>
  `;
}

/** @param {{ line: AuditLine }} props */
const Line = ({ line }) => html`
  <li>
    ${line.said.map((part) => html`<p><bdi>${part}</bdi></p>`)}
    ${(line.more ?? 0) > 0 && html`<p class="muted">and ${plural(line.more ?? 0, "more change")}</p>`}
    ${line.void && html`<p class="lag">It does not count: ${line.void}</p>`}
    ${line.broken && html`<p class="lag"><${Icon} name="warn" /> ${line.broken}</p>`}
    <p class="muted" title=${`${moment(line.at_ms)}; entry ${line.entry}, ${line.hash}`}><${Time} ms=${line.at_ms} /> on <bdi>${called(line.device)}</bdi>, entry ${line.entry}, <span class="mono">${line.hash.slice(0, 10)}</span></p>
  </li>
`;
