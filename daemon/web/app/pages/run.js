// One run: what went in, what came out, and what people wrote about it.

import { api } from "../api.js";
import { isSystemTag } from "../columns.js";
import { duration, grouped, number } from "../format.js";
import { useFresh } from "../fresh.js";
import { go, href, route, setQuery } from "../route.js";
import { attempt, tick } from "../state.js";
import { cls, html, useEffect, useState } from "../ui.js";
import { RunCurves } from "../charts/run-curves.js";
import { Sparkline } from "../charts/sparkline.js";
import { Artifacts } from "../parts/artifacts.js";
import { Audit } from "../parts/audit.js";
import { pinRun } from "../parts/blobs.js";
import { Disputed } from "../parts/conflicts.js";
import { askForTag, setDeleted } from "../parts/chosen.js";
import { ask, Menu, MenuItem } from "../parts/dialog.js";
import { Facts, Pairs } from "../parts/facts.js";
import { Icon } from "../parts/icons.js";
import { Environment, LoggedModels, useLoggedModels } from "../parts/logged-models.js";
import { Note } from "../parts/note.js";
import { purge, useMayPurge } from "../parts/purge.js";
import { Register } from "../parts/register.js";
import { labelOf } from "./models.js";
import { copy, CopyButton, Failure, Loading, Status, Time } from "../parts/small.js";

const TABS = /** @type {const} */ ([["overview", "Overview"], ["charts", "Charts"], ["artifacts", "Artifacts"]]);

/** @param {{ id: string }} props */
export function RunPage({ id }) {
  const { answer: run, error } = useFresh(() => api.run(id), id);
  document.title = `${run?.name ?? "Run"} · runmesh`;
  return run ? html`<${Shown} run=${run} />` : error ? html`<${Failure} error=${error}><p><a href="#/experiments">All runs</a></p><//>` : html`<${Loading} />`;
}

/** @param {{ run: import("../api.js").Run }} props */
function Shown({ run }) {
  const models = useLoggedModels(run);
  // MLflow's links name a tab in the path.
  const tab = route.value.query.get("tab") ?? (route.value.path.includes("artifacts") ? "artifacts" : "overview");
  return html`
    <article class="run-page">
      <${Head} run=${run} />
      <div class="tabs" role="tablist" aria-label="Parts of the run">
        ${TABS.map(([name, title]) => html`<button role="tab" id=${`tab-${name}`} aria-selected=${tab === name} aria-controls="tab-panel" onClick=${() => setQuery({ tab: name }, { replace: true })}>${title}</button>`)}
      </div>
      <div role="tabpanel" id="tab-panel" aria-labelledby=${`tab-${tab}`}>
        ${tab === "charts" ? html`<${RunCurves} run=${run} />` : tab === "artifacts" ? html`<${Artifacts} run=${run} models=${models} />` : html`<${Overview} run=${run} models=${models} />`}
      </div>
    </article>
  `;
}

/** @param {{ run: import("../api.js").Run }} props */
function Head({ run }) {
  const update = async (/** @type {Omit<import("../api.js").RunsUpdate, "runs">} */ change) => {
    await attempt(() => api.updateRuns({ ...change, runs: [run.id] }));
    tick.value += 1;
  };
  const rename = async () => {
    const name = await ask({ title: "Rename the run", label: "Name", value: run.name, go: "Rename" });
    if (name !== null) await update({ name: name.trim() });
  };
  const tag = async () => {
    const set_tags = await askForTag("Tag the run");
    if (set_tags) await update({ set_tags });
  };
  const [registering, setRegistering] = useState(false);
  const deleted = run.lifecycle === "deleted";
  const mayPurge = useMayPurge(deleted);
  const purged = async () => void ((await purge([run.id])) && go(["experiments", run.experiment.id], { deleted: "1" }));
  const took = run.end_ms ? duration(run.end_ms - run.start_ms) : "";
  return html`
    <header class="run-head">
      <nav aria-label="Where this is"><a href="#/experiments">Runs</a><${Icon} name="chevron" /><a href=${href(["experiments", run.experiment.id])}><bdi>${run.experiment.name || run.experiment.id}</bdi></a></nav>
      <div class="run-title">
        <h1><bdi>${run.name || run.id.slice(0, 8)}</bdi></h1>
        <${Status} of=${run.status} />
        ${deleted && html`<span class="badge">deleted</span>`}
        <span class="grow"></span>
        ${!deleted && html`<button onClick=${rename}><${Icon} name="edit" />Rename</button>`}
        <${Menu} label="More" face=${html`<${Icon} name="more" />`} class="square" end>
          ${!deleted && html`<${MenuItem} icon="tag" onClick=${tag}>Set a tag<//>`}
          ${!deleted && html`<${MenuItem} icon="plus" onClick=${() => setRegistering(true)}>Register a model<//>`}
          <${MenuItem} icon="copy" onClick=${() => copy(run.id)}>Copy the run's id<//>
          ${run.artifacts.length > 0 && html`<${MenuItem} icon="pin" onClick=${() => pinRun(run.id)}>Keep its files here<//>`}
          ${deleted
            ? html`<${MenuItem} icon="restore" onClick=${() => setDeleted([run.id], false)}>Restore<//>
              ${mayPurge && html`<${MenuItem} icon="trash" danger onClick=${purged}>Purge for good<//>`}`
            : html`<${MenuItem} icon="trash" danger onClick=${() => setDeleted([run.id], true)}>Delete<//>`}
        <//>
      </div>
      ${registering && html`<${Register} run=${run} onClose=${() => setRegistering(false)} />`}
      <p class="run-line">
        <span>started <${Time} ms=${run.start_ms} /></span>
        ${took && html`<span>took ${took}</span>`}
        ${run.user && html`<span>by <bdi>${run.user}</bdi></span>`}
        <span class="mono">${run.id}<${CopyButton} text=${run.id} label="Copy the run's id" /></span>
      </p>
      <${Disputed} about=${(/** @type {import("../api.js").Conflict} */ conflict) => conflict.document === run.id} of=${`${run.id} ${run.conflicted_params.length}`} />
    </header>
  `;
}

/** @param {{ run: import("../api.js").Run, models: import("../api.js").LoggedModel[] }} props */
function Overview({ run, models }) {
  const tags = Object.entries(run.tags).filter(([key]) => !isSystemTag(key));
  const system = Object.entries(run.tags).filter(([key]) => isSystemTag(key));
  const forget = async (/** @type {string} */ key) => {
    await attempt(() => api.updateRuns({ runs: [run.id], delete_tags: [key] }));
    tick.value += 1;
  };
  return html`
    <div class="overview">
      <div class="column">
        <${Metrics} run=${run} />
        <${Pairs} title="Params" pairs=${Object.entries(run.params)} none="No params were logged." flagged=${run.conflicted_params} />
        <${Facts.Datasets} run=${run} />
        <${Pairs} title="Tags" pairs=${tags} none="No tags were set." onForget=${run.lifecycle === "active" ? forget : undefined} />
        ${system.length > 0 && html`<details class="card"><summary>Tags that clients set (${system.length})</summary><${Pairs} pairs=${system} /></details>`}
      </div>
      <div class="column">
        <${Note} run=${run} />
        <${Relatives} run=${run} />
        <${RegisteredAs} run=${run} />
        <${LoggedModels} models=${models} />
        <${Facts.Code} run=${run} />
        <${Environment} run=${run} models=${models} />
        <${Audit} of=${{ run: run.id }} />
      </div>
    </div>
  `;
}

const MOST_METRICS = 200;

/** @param {{ run: import("../api.js").Run }} props */
function Metrics({ run }) {
  const [search, setSearch] = useState("");
  const [all, setAll] = useState(false);
  const found = run.series.filter((one) => one.key.toLowerCase().includes(search.toLowerCase()));
  const shown = all ? found : found.slice(0, MOST_METRICS);
  return html`
    <section class="card" aria-label="Metrics">
      <header><h2>Metrics</h2><span class="count">${run.series.length || ""}</span>
        ${run.series.length > 12 && html`<input class="search" type="search" aria-label="Find a metric" placeholder="Find" value=${search} onInput=${(/** @type {any} */ event) => setSearch(event.target.value)} />`}</header>
      ${run.series.length === 0 ? html`<p class="muted">No metrics were logged.</p>` : html`
        <div class="table-box" tabindex="0" role="region" aria-label="Metrics">
        <table class="metrics">
          <thead><tr><th>Metric</th><th class="course"><span class="unseen">Course</span></th><th class="end">Latest</th><th class="end">Least</th><th class="end">Most</th><th class="end">Step</th></tr></thead>
          <tbody>${shown.map((one) => html`
            <tr key=${one.key + JSON.stringify(one.context)}>
              <th scope="row"><bdi>${one.key}</bdi>${one.context.dataset_name && html`<small><bdi>${one.context.dataset_name}</bdi></small>`}${one.context.model_id && html`<small><bdi>${one.context.model_id}</bdi></small>`}</th>
              <td class="spark-cell">${one.points > 1 && html`<${Sparkline} values=${one.trend} />`}</td>
              <td class="end strong" title=${String(one.value)}>${number(one.value)}</td>
              <td class="end">${number(one.min)}</td><td class="end">${number(one.max)}</td><td class="end muted">${grouped(one.step)}</td>
            </tr>`)}</tbody>
        </table></div>
        ${found.length > shown.length && html`<button class="link" onClick=${() => setAll(true)}>Show all ${grouped(found.length)}</button>`}`}
    </section>
  `;
}

/** Which versions of registered models came from it. @param {{ run: import("../api.js").Run }} props */
function RegisteredAs({ run }) {
  const { answer } = useFresh(() => api.versionsOf(run.id), run.id);
  return answer && answer.length > 0 && html`
    <section class="card" aria-label="Registered as">
      <header><h2>Registered as</h2></header>
      <ul class="links">${answer.map(({ model, version }) => html`<li key=${version.id}>
        <a href=${href(["models", model, "versions", String(version.number)])}><bdi>${model}</bdi> ${labelOf(version)}</a>
        <span>${version.aliases.map((alias) => html`<span class="badge"><bdi>@${alias}</bdi></span> `)}
          ${version.stage !== "None" && html`<span class=${cls("badge", version.stage === "Production" && "good")}>${version.stage.toLowerCase()}</span>`}</span></li>`)}</ul>
    </section>
  `;
}

/** The run this is a part of, and the parts of this one. @param {{ run: import("../api.js").Run }} props */
function Relatives({ run }) {
  const [children, setChildren] = useState(/** @type {import("../api.js").Row[]} */ ([]));
  const [parent, setParent] = useState(/** @type {import("../api.js").Run | null} */ (null));
  const above = run.tags["mlflow.parentRunId"];
  useEffect(() => {
    let late = false;
    api.table({ experiments: [run.experiment.id], filter: `tags.mlflow.parentRunId = '${run.id}'`, limit: 50 })
      .then((page) => late || setChildren(page.rows), () => {});
    if (above) api.run(above).then((found) => late || setParent(found), () => {});
    return () => void (late = true);
  }, [run.id, above]);
  if (!parent && children.length === 0) return null;
  const link = (/** @type {{ id: string, name: string, status: import("../api.js").RunStatus }} */ one) => html`
    <li key=${one.id}><a href=${href(["experiments", run.experiment.id, "runs", one.id])}><bdi>${one.name}</bdi></a><${Status} of=${one.status} /></li>`;
  return html`
    <section class="card" aria-label="Related runs">
      <header><h2>Related runs</h2></header>
      ${parent && html`<h3>Part of</h3><ul class="links">${link(parent)}</ul>`}
      ${children.length > 0 && html`<h3>Its parts</h3><ul class="links">${children.map(link)}</ul>
        ${children.length > 1 && html`<button class="link" onClick=${() => go(["compare"], { run: children.map((one) => one.id) })}>Compare them</button>`}`}
    </section>
  `;
}
