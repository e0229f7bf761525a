// The registered models: what is in use where.

import { api } from "../api.js";
import { grouped } from "../format.js";
import { useFresh } from "../fresh.js";
import { href } from "../route.js";
import { html, useState } from "../ui.js";
import { Icon } from "../parts/icons.js";
import { headline } from "../parts/markdown.js";
import { Empty, Failure, Loading, Paste, Time } from "../parts/small.js";

/** @param {import("../api.js").VersionLabel} label */
export const labelOf = (label) => (label.semver ? `${label.semver} (${label.number})` : `version ${label.number}`);

export function ModelsPage() {
  const { answer: models, error } = useFresh(api.models, "");
  const [search, setSearch] = useState("");
  document.title = "Models · runmesh";
  if (error) return html`<${Failure} error=${error} />`;
  if (!models) return html`<${Loading} />`;
  const found = models.filter((model) => model.name.toLowerCase().includes(search.toLowerCase()));
  return html`
    <div class="models">
      <header class="runs-head"><h1>Models</h1><span class="grow"></span>
        ${models.length > 6 && html`<input class="search" type="search" aria-label="Find a model" placeholder="Find a model" value=${search} onInput=${(/** @type {any} */ event) => setSearch(event.target.value)} />`}</header>
      ${models.length === 0
        ? html`<${Empty} title="No registered models yet"><p>Register a model that a run logged, from its page or from your script. Everyone in the workspace sees which version is in use.</p>
            <${Paste} label="In Python, in a run" text=${`mlflow.sklearn.log_model(model, name="model", registered_model_name="fraud-detector")`} /><//>`
        : html`
          <div class="table-box card" tabindex="0" role="region" aria-label="Registered models"><table class="model-table">
            <thead><tr><th>Model</th><th>Versions</th><th>In production</th><th>In staging</th><th>Aliases</th><th>Changed</th></tr></thead>
            <tbody>${found.map((model) => html`<tr key=${model.name}>
              <th scope="row"><a href=${href(["models", model.name])}><bdi>${model.name}</bdi></a>${model.conflicts.length > 0 && html`<span class="flag" title="Devices that were apart disagree"><${Icon} name="warn" /></span>`}
                ${model.description && html`<small><bdi>${headline(model.description)}</bdi></small>`}</th>
              <td>${grouped(model.versions)}</td>
              <td>${model.stages.Production && html`<span class="badge good">${labelOf(model.stages.Production)}</span>`}</td>
              <td>${model.stages.Staging && html`<span class="badge">${labelOf(model.stages.Staging)}</span>`}</td>
              <td>${Object.entries(model.aliases).map(([alias, label]) => html`<span class="badge"><bdi>@${alias}</bdi> ${label.number}</span> `)}</td>
              <td class="muted"><${Time} ms=${model.updated_ms} /></td>
            </tr>`)}</tbody>
          </table></div>`}
    </div>
  `;
}
