// The experiments, at the side of the runs.

import { api } from "../api.js";
import { grouped } from "../format.js";
import { go, href, route, target } from "../route.js";
import { keepSetting, setting } from "../settings.js";
import { attempt, experiments, tick } from "../state.js";
import { cls, html, isNarrower, useState } from "../ui.js";
import { ask } from "./dialog.js";
import { Icon } from "./icons.js";

export async function newExperiment() {
  const name = await ask({ title: "New experiment", label: "Name", placeholder: "fraud-detection", go: "Create" });
  if (name === null) return;
  const made = await attempt(() => api.createExperiment(name.trim()));
  if (!made) return;
  tick.value += 1;
  experiments.value = [...(experiments.value ?? []), made];
  go(["experiments", made.id]);
}

export function Sidebar() {
  const [search, setSearch] = useState("");
  const [narrow, setNarrow] = useState(() => setting("narrow", isNarrower(760)));
  const { experiments: shown } = target(route.value);
  const all = experiments.value ?? [];
  const matches = all.filter((one) => one.name.toLowerCase().includes(search.toLowerCase()));
  const active = matches.filter((one) => one.lifecycle === "active");
  const deleted = matches.filter((one) => one.lifecycle === "deleted");
  const total = all.reduce((sum, one) => sum + (one.lifecycle === "active" ? one.runs : 0), 0);
  const fold = () => {
    setNarrow(!narrow);
    keepSetting("narrow", !narrow);
  };
  /** With Ctrl or Shift an experiment is added to those shown. @param {MouseEvent} event @param {string} id */
  const click = (event, id) => {
    if (!event.ctrlKey && !event.metaKey && !event.shiftKey) return;
    event.preventDefault();
    const next = shown.includes(id) ? shown.filter((one) => one !== id) : [...shown, id];
    go(next.length ? ["experiments", next.join(",")] : ["experiments"]);
  };
  const link = (/** @type {import("../api.js").Experiment} */ one) => html`
    <li key=${one.id}><a class=${cls(one.lifecycle)} href=${href(["experiments", one.id])} aria-current=${shown.includes(one.id) ? "page" : undefined} title=${one.name}
      onClick=${(/** @type {MouseEvent} */ event) => click(event, one.id)}><bdi>${one.name}</bdi><span class="count">${grouped(one.runs)}</span></a></li>`;
  if (narrow) {
    return html`<aside class="side narrow"><button class="quiet square" aria-label="Show the experiments" title="Show the experiments" onClick=${fold}><${Icon} name="menu" /></button></aside>`;
  }
  return html`
    <aside class="side" aria-label="Experiments">
      <header>
        <h2>Experiments</h2>
        <button class="quiet square" aria-label="New experiment" title="New experiment" onClick=${newExperiment}><${Icon} name="plus" /></button>
        <button class="quiet square" aria-label="Hide the experiments" title="Hide the experiments" onClick=${fold}><${Icon} name="menu" /></button>
      </header>
      ${all.length > 6 && html`<input class="search" type="search" aria-label="Find an experiment" placeholder="Find an experiment" value=${search} onInput=${(/** @type {any} */ event) => setSearch(event.target.value)} />`}
      <ul>
        <li><a href=${href(["experiments"])} aria-current=${shown.length === 0 ? "page" : undefined}><span>All runs</span><span class="count">${grouped(total)}</span></a></li>
        ${active.map(link)}
      </ul>
      ${deleted.length > 0 && html`<details><summary>Deleted</summary><ul>${deleted.map(link)}</ul></details>`}
    </aside>
  `;
}
