// Carrying runs by hand: a bundle is made here and saved, or dropped here and read.

import { api } from "../api.js";
import { bytes, called, plural } from "../format.js";
import { attempt, peers, tell, tick } from "../state.js";
import { cls, html, useRef, useState } from "../ui.js";
import { Dialog } from "./dialog.js";
import { saveAnswer } from "./download.js";
import { Icon } from "./icons.js";

/** @typedef {import("../api.js").BundleReport} Report */

export function Bundles() {
  const [exporting, setExporting] = useState(false);
  const [over, setOver] = useState(false);
  const [reading, setReading] = useState("");
  const [reports, setReports] = useState(/** @type {{ name: string, report: Report }[]} */ ([]));
  const input = useRef(/** @type {HTMLInputElement | null} */ (null));
  const take = async (/** @type {File[]} */ files) => {
    for (const file of files) {
      setReading(`${file.name}, ${bytes(file.size)}`);
      const report = await attempt(() => api.importBundle(file));
      if (report) setReports((before) => [{ name: file.name, report }, ...before].slice(0, 5));
    }
    setReading("");
    tick.value += 1;
  };
  const drop = (/** @type {DragEvent} */ event) => {
    event.preventDefault();
    setOver(false);
    take([...(event.dataTransfer?.files ?? [])]);
  };
  return html`
    <section class="card" aria-label="Bundles">
      <header><h2>Bundles</h2><span class="grow"></span><button onClick=${() => setExporting(true)}><${Icon} name="down" />Export</button></header>
      <p class="muted">A bundle is a file with runs and what they logged, signed by the devices that wrote them: for a device that no network reaches.</p>
      <div class=${cls("drop", over && "over")} onDragOver=${(/** @type {DragEvent} */ event) => (event.preventDefault(), setOver(true))} onDragLeave=${() => setOver(false)} onDrop=${drop}>
        ${reading
          ? html`<span class="spinner"></span><span role="status">Reading <bdi>${reading}</bdi></span>`
          : html`<span>Drop a bundle here, or</span><button onClick=${() => input.current?.click()}>Choose a file</button>`}
        <input type="file" ref=${input} multiple hidden aria-label="Bundles to import" onChange=${(/** @type {any} */ event) => (take([...event.target.files]), (event.target.value = ""))} />
      </div>
      ${reports.map(({ name, report }) => html`<${Came} name=${name} report=${report} />`)}
      ${exporting && html`<${Export} onClose=${() => setExporting(false)} />`}
    </section>
  `;
}

/** What came of a bundle. @param {{ name: string, report: Report }} props */
function Came({ name, report }) {
  const from = called(report.head.device);
  const nothing = report.entries_new === 0 && report.blobs_new === 0;
  const whole = !report.broken && report.missing.length === 0 && report.stuck.length === 0 && report.blobs_bad.length === 0;
  return html`
    <div class="came" role="status">
      <p><${Icon} name=${whole ? "check" : "warn"} /><strong><bdi>${name}</bdi></strong> <span class="muted">of <bdi>${from}</bdi></span></p>
      <p>${nothing ? "All that it holds was here." : `${plural(report.entries_new, "new entry", "new entries")}, ${plural(report.blobs_new, "new file")}.`}</p>
      ${report.missing.map((one) => html`<p class="lag">Entries ${one.from} to ${one.until - 1} of <span class="mono">${one.device.slice(0, 10)}</span> must come before what is in it: export a bundle that starts earlier.</p>`)}
      ${report.stuck.map((one) => html`<p class="lag">Of <span class="mono">${one.device.slice(0, 10)}</span> not all was taken: ${one.why}</p>`)}
      ${report.blobs_bad.length > 0 && html`<p class="lag">${plural(report.blobs_bad.length, "file is", "files are")} not what the bundle says, and not taken.</p>`}
      ${report.broken && html`<p class="lag">It is broken: ${report.broken}. What came before that is here.</p>`}
    </div>
  `;
}

/** @param {{ onClose: () => void }} props */
function Export({ onClose }) {
  const [from, setFrom] = useState("");
  const [blobs, setBlobs] = useState(/** @type {"all" | "small" | "none"} */ ("all"));
  const [encrypt, setEncrypt] = useState(false);
  const [busy, setBusy] = useState(false);
  const submit = async (/** @type {Event} */ event) => {
    event.preventDefault();
    setBusy(true);
    const what = from === "" ? {} : from === "all" ? { all: true } : { device: from };
    const day = new Date().toISOString().slice(0, 10);
    const saved = await attempt(() => saveAnswer(`runmesh-${day}.bundle`, () => api.exportBundle({ ...what, blobs, encrypt })));
    setBusy(false);
    if (!saved) return;
    tell("The bundle is saved", { hint: "Drop it on the other device's page, or: runmesh bundle import FILE" });
    onClose();
  };
  return html`
    <${Dialog} title="Export a bundle" onClose=${onClose}>
      <form onSubmit=${submit}>
        <label class="field">What it holds
          <select value=${from} onChange=${(/** @type {any} */ event) => setFrom(event.target.value)}>
            <option value="">what some member may lack</option><option value="all">everything</option>
            ${peers.value.map((peer) => html`<option value=${peer.device.id}>what ${called(peer.device)} may lack</option>`)}
          </select></label>
        <label class="field">Files
          <select value=${blobs} onChange=${(/** @type {any} */ event) => setBlobs(event.target.value)}>
            <option value="all">all that are here</option><option value="small">small ones</option><option value="none">none</option>
          </select></label>
        <label class="check"><input type="checkbox" checked=${encrypt} onChange=${() => setEncrypt(!encrypt)} />Only members can read it</label>
        <div class="actions"><button type="button" onClick=${onClose}>Cancel</button><button type="submit" class="primary" disabled=${busy}>${busy ? "Exporting…" : "Export"}</button></div>
      </form>
    <//>
  `;
}
