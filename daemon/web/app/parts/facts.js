// Lists of keys and values, and what is known of a run's code and data.

import { grouped } from "../format.js";
import { html, useState } from "../ui.js";
import { Diff } from "./diff.js";
import { setQuery } from "../route.js";
import { Icon } from "./icons.js";
import { CopyButton } from "./small.js";

const MOST = 200;

/** @param {{ title?: string, pairs: [string, string][], none?: string, flagged?: string[], onForget?: (key: string) => void }} props */
export function Pairs({ title, pairs, none, flagged = [], onForget }) {
  const [search, setSearch] = useState("");
  const [all, setAll] = useState(false);
  const wanted = search.toLowerCase();
  const found = pairs.filter(([key, value]) => key.toLowerCase().includes(wanted) || value.toLowerCase().includes(wanted));
  const shown = all ? found : found.slice(0, MOST);
  const body = html`
    ${title && html`<header><h2>${title}</h2><span class="count">${pairs.length || ""}</span>
      ${pairs.length > 12 && html`<input class="search" type="search" aria-label=${`Find in ${title.toLowerCase()}`} placeholder="Find" value=${search} onInput=${(/** @type {any} */ event) => setSearch(event.target.value)} />`}</header>`}
    ${pairs.length === 0 ? html`<p class="muted">${none}</p>` : html`
      <dl class="pairs">
        ${shown.map(([key, value]) => html`<div key=${key}>
          <dt title=${key}><bdi>${key}</bdi>${flagged.includes(key) && html`<span class="flag" title="Two values were set on devices that were apart"><${Icon} name="warn" /></span>`}</dt>
          <dd><bdi>${value}</bdi>
            <${CopyButton} text=${value} label=${`Copy ${key}`} />
            ${onForget && html`<button class="quiet square" aria-label=${`Delete the tag ${key}`} title="Delete" onClick=${() => onForget(key)}><${Icon} name="close" /></button>`}
          </dd></div>`)}
      </dl>
      ${found.length > shown.length && html`<button class="link" onClick=${() => setAll(true)}>Show all ${grouped(found.length)}</button>`}`}
  `;
  return title ? html`<section class="card" aria-label=${title}>${body}</section>` : body;
}

/** @param {{ run: import("../api.js").Run }} props */
function Code({ run }) {
  const tag = (/** @type {string} */ name) => run.tags[`mlflow.${name}`];
  const facts = /** @type {[string, string | undefined][]} */ ([
    ["source", tag("source.name")],
    ["kind", tag("source.type")],
    ["repository", tag("source.git.repoURL") ?? tag("gitRepoURL") ?? tag("git.repo_url")],
    ["branch", tag("source.git.branch") ?? tag("gitBranch") ?? tag("git.branch")],
    ["commit", tag("source.git.commit") ?? tag("git.commit")],
    ["uncommitted changes", tag("source.git.dirty") ?? tag("git.dirty")],
    ["entry point", tag("project.entryPoint")],
    ["environment", tag("project.env")],
    ["image", tag("docker.image.name")],
  ]);
  const known = /** @type {[string, string][]} */ (facts.filter(([, value]) => value));
  const diff = tag("git.diff") ?? tag("source.git.diff");
  const patch = run.artifacts.find(({ path, file }) => file && /\.(diff|patch)$/.test(path));
  if (known.length === 0 && !diff && !patch) return null;
  return html`
    <section class="card" aria-label="Code">
      <header><h2>Code</h2></header>
      ${known.length > 0 && html`<${Pairs} pairs=${known} />`}
      ${diff && html`<details class="dataset"><summary>What was changed since that commit</summary><${Diff} text=${diff} /></details>`}
      ${patch && html`<button class="link" onClick=${() => setQuery({ tab: "artifacts", file: patch.path, of: null })}>What was changed: <bdi>${patch.path}</bdi></button>`}
    </section>`;
}

/** The columns of a dataset's schema, where it is one that we can read. @param {string | null} schema @returns {[string, string][]} */
function columnsOf(schema) {
  try {
    const columns = JSON.parse(schema ?? "{}").mlflow_colspec;
    return columns.map((/** @type {any} */ column) => [column.name ?? "", column.type ?? ""]);
  } catch {
    return [];
  }
}

/** @param {{ run: import("../api.js").Run }} props */
function Datasets({ run }) {
  return run.inputs.length > 0 && html`
    <section class="card" aria-label="Datasets">
      <header><h2>Datasets</h2><span class="count">${run.inputs.length}</span></header>
      ${run.inputs.map((input) => {
        const columns = columnsOf(input.schema);
        const use = input.tags.find((tag) => tag.key === "mlflow.data.context")?.value;
        return html`
          <details class="dataset" key=${input.name + input.digest}>
            <summary><bdi>${input.name}</bdi>${use && html`<span class="badge">${use}</span>`}<code>${input.digest}</code></summary>
            <${Pairs} pairs=${/** @type {[string, string][]} */ ([["source", input.source], ["kind of source", input.source_type], ...(input.profile ? [["profile", input.profile]] : [])])} />
            ${columns.length > 0 && html`<h3>Schema</h3><${Pairs} pairs=${columns} />`}
          </details>`;
      })}
    </section>
  `;
}

export const Facts = { Code, Datasets };
