// One registered model: its versions, which is in use, where each came from, and who decided what.

import { api } from "../api.js";
import { moment } from "../format.js";
import { useFresh } from "../fresh.js";
import { href } from "../route.js";
import { attempt, tell, tick } from "../state.js";
import { cls, html, useState } from "../ui.js";
import { Audit } from "../parts/audit.js";
import { Disputed } from "../parts/conflicts.js";
import { Dialog, Menu, MenuItem } from "../parts/dialog.js";
import { Pairs } from "../parts/facts.js";
import { Icon } from "../parts/icons.js";
import { Markdown } from "../parts/markdown.js";
import { Failure, Loading, Time } from "../parts/small.js";
import { labelOf } from "./models.js";

/** @typedef {import("../api.js").ModelVersion} Version */

const STAGES = /** @type {const} */ (["Production", "Staging", "Archived", "None"]);

/** @param {{ name: string, opened?: string }} props opened: the number of a version, as MLflow's links name one */
export function ModelPage({ name, opened }) {
  const { answer: model, error } = useFresh(() => api.model(name), name);
  const [moving, setMoving] = useState(/** @type {{ version: Version, rollback: boolean } | null} */ (null));
  document.title = `${name} · runmesh`;
  if (error) return html`<${Failure} error=${error}><p><a href="#/models">All models</a></p><//>`;
  if (!model) return html`<${Loading} />`;
  const isOfIt = (/** @type {import("../api.js").Conflict} */ { kind, name, document }) =>
    (kind === "registered model" && name === model.name) || (kind === "model version" && model.all.some((version) => version.id === document));
  return html`
    <article class="model-page">
      <header class="run-head">
        <nav aria-label="Where this is"><a href="#/models">Models</a></nav>
        <div class="run-title"><h1><bdi>${model.name}</bdi></h1>
          ${Object.entries(model.stages).filter(([stage]) => stage !== "None").map(([stage, label]) => html`<span class=${cls("badge", stage === "Production" && "good")}>${stage.toLowerCase()}: ${labelOf(label)}</span>`)}</div>
      </header>
      <${Disputed} about=${isOfIt} of=${`${model.name} ${JSON.stringify(model.conflicts)}`} />
      <div class="overview">
        <div class="column">
          <section class="card" aria-label="Versions"><header><h2>Versions</h2><span class="count">${model.all.length}</span></header>
            <ul class="versions">${model.all.map((version) => html`<${VersionLine} key=${version.id} version=${version} model=${model} start=${String(version.number) === opened} onMove=${(/** @type {boolean} */ rollback) => setMoving({ version, rollback })} />`)}</ul></section>
        </div>
        <div class="column">
          ${model.description && html`<section class="card" aria-label="Note"><header><h2>Note</h2></header><${Markdown} text=${model.description} /></section>`}
          <${History} history=${model.history} />
          <${Audit} of=${{ model: model.name }} />
          ${Object.keys(model.tags).length > 0 && html`<${Pairs} title="Tags" pairs=${Object.entries(model.tags)} />`}
        </div>
      </div>
      ${moving && html`<${Promote} model=${model.name} version=${moving.version} rollback=${moving.rollback} onClose=${() => setMoving(null)} />`}
    </article>
  `;
}

/** @param {{ version: Version, model: import("../api.js").ModelDetails, start: boolean, onMove: (rollback: boolean) => void }} props start: open at first */
function VersionLine({ version, model, start, onMove }) {
  const [open, setOpen] = useState(start);
  const wasInUse = version.stage === "Archived" && model.history.some((event) => event.version === version.number && event.to === "Production");
  return html`
    <li class="version">
      <div class="version-head">
        <button class="quiet version-twist" aria-expanded=${open} onClick=${() => setOpen(!open)}><span class=${cls("twist", open && "open")}><${Icon} name="chevron" /></span><strong>${labelOf(version)}</strong></button>
        ${version.stage !== "None" && html`<span class=${cls("badge", version.stage === "Production" && "good")}>${version.stage.toLowerCase()}</span>`}
        ${version.aliases.map((alias) => html`<span class="badge"><bdi>@${alias}</bdi></span>`)}
        ${!version.served && html`<span class="badge doubt" title="Another version claims this number">number disputed</span>`}
        <span class="grow"></span><span class="muted"><${Time} ms=${version.created_ms} /></span>
        ${version.stage !== "Production" && html`<button onClick=${() => onMove(wasInUse)}>${wasInUse ? "Roll back to" : "Promote"}</button>`}
        <${Menu} label=${`Version ${version.number}`} face=${html`<${Icon} name="more" />`} end>
          <${MenuItem} icon="chevron" onClick=${() => onMove(false)}>Move to a stage, or give an alias<//>
          <${MenuItem} icon="restore" onClick=${() => onMove(true)}>Roll back to this version<//>
        <//>
      </div>
      <${Lineage} version=${version} />
      ${open && html`<div class="version-body">
        ${version.description && html`<${Markdown} text=${version.description} />`}
        <${Pairs} pairs=${/** @type {[string, string][]} */ ([["id", version.id], ["source", version.source], ...Object.entries(version.tags)])} /></div>`}
    </li>
  `;
}

/** From data and code to the run, to the version, to where it is used. @param {{ version: Version }} props */
function Lineage({ version }) {
  const { answer: run } = useFresh(() => (version.run ? api.run(version.run) : Promise.resolve(null)), version.run ?? "");
  const commit = run?.tags["mlflow.source.git.commit"];
  const steps = [
    ...(run?.inputs.map((input) => html`<span title=${input.digest}><bdi>${input.name}</bdi></span>`) ?? []),
    commit && html`<span class="mono" title=${commit}>${commit.slice(0, 8)}</span>`,
    run ? html`<a href=${href(["experiments", run.experiment.id, "runs", run.id])}><bdi>${run.name}</bdi></a>` : version.run_id && html`<span class="mono" title="This run is not here">${version.run_id.slice(0, 8)}</span>`,
    html`<span>${labelOf(version)}</span>`,
    version.stage !== "None" && html`<span>${version.stage.toLowerCase()}</span>`,
  ].filter(Boolean);
  // A version of which nothing else is known says so above.
  if (steps.length < 2) return null;
  return html`<p class="lineage" title="Where it comes from">${steps.map((step, at) => html`${at > 0 && html`<${Icon} name="chevron" />`}${step}`)}</p>`;
}

const WHAT = /** @type {Record<string, string>} */ ({
  created: "created", renamed: "renamed", deleted: "deleted", registered: "registered", moved: "moved", promoted: "promoted", rolled_back: "rolled back to",
  replaced: "replaced", alias_set: "alias set", alias_deleted: "alias taken away", version_deleted: "deleted", number_kept: "number kept", renumbered: "renumbered",
});

/** @param {{ history: import("../api.js").ModelEvent[] }} props */
const History = ({ history }) => html`
  <section class="card" aria-label="History">
    <header><h2>History</h2><span class="count">${history.length}</span></header>
    <ol class="history">${history.map((event) => html`
      <li key=${`${event.at_ms} ${event.what} ${event.version}`}>
        <p><strong>${WHAT[event.what] ?? event.what}</strong>${event.version != null && html` <span>version ${event.version}</span>`}${event.alias && html` <bdi class="badge">@${event.alias}</bdi>`}
          ${event.from && event.to ? html` <span class="muted"><bdi>${event.from}</bdi> → <bdi>${event.to}</bdi></span>` : event.to && html` <span class="muted">→ <bdi>${event.to}</bdi></span>`}</p>
        ${event.note && html`<p class="history-note"><bdi>${event.note}</bdi></p>`}
        <p class="muted" title=${moment(event.at_ms)}><${Time} ms=${event.at_ms} />${event.who && html` by <bdi>${event.who}</bdi>`} on <bdi>${event.device_name || event.device.slice(0, 10)}</bdi></p>
      </li>`)}</ol>
  </section>
`;

/** @param {{ model: string, version: Version, rollback: boolean, onClose: () => void }} props */
function Promote({ model, version, rollback, onClose }) {
  const [stage, setStage] = useState(/** @type {string} */ ("Production"));
  const [alias, setAlias] = useState("");
  const [note, setNote] = useState("");
  const [keep, setKeep] = useState(false);
  const submit = async (/** @type {Event} */ event) => {
    event.preventDefault();
    const done = await attempt(() => api.promoteModel({
      name: model, version: version.id, stage: alias ? null : stage, alias: alias.trim() || null, keep_others: keep, rollback, who: "", note: note.trim(),
    }));
    if (!done) return;
    tell(alias ? `@${alias.trim()} is ${labelOf(version)}` : `${labelOf(version)} is in ${stage.toLowerCase()}`);
    tick.value += 1;
    onClose();
  };
  return html`
    <${Dialog} title=${`${rollback ? "Roll back to" : "Promote"} ${labelOf(version)}`} onClose=${onClose}>
      <form onSubmit=${submit}>
        <label class="field">Stage<select value=${stage} disabled=${alias !== ""} onChange=${(/** @type {any} */ event) => setStage(event.target.value)}>
          ${STAGES.map((one) => html`<option value=${one}>${one}</option>`)}</select></label>
        ${!rollback && html`<label class="field">Or an alias<input value=${alias} placeholder="champion" onInput=${(/** @type {any} */ event) => setAlias(event.target.value)} /></label>`}
        <label class="field">Why<textarea rows="3" value=${note} placeholder="What speaks for it; the history keeps this." onInput=${(/** @type {any} */ event) => setNote(event.target.value)}></textarea></label>
        ${!alias && html`<label class="check"><input type="checkbox" checked=${keep} onChange=${() => setKeep(!keep)} />Leave other versions in this stage</label>`}
        <div class="actions"><button type="button" onClick=${onClose}>Cancel</button><button type="submit" class="primary" autofocus>${rollback ? "Roll back" : "Promote"}</button></div>
      </form>
    <//>
  `;
}
