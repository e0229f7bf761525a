// The models that a run logged as such, and the environment in which it and they run.

import { api } from "../api.js";
import { basename, plural } from "../format.js";
import { setQuery } from "../route.js";
import { html, useEffect, useState } from "../ui.js";
import { Pairs } from "./facts.js";
import { Preview } from "./preview.js";
import { Time } from "./small.js";

/** @typedef {import("../api.js").LoggedModel} LoggedModel */
/** @typedef {import("../api.js").Artifact} Artifact */

/** The most that one run shows. */
const MOST_MODELS = 20;
/** Files that say what something needs to run, and folders in which they are looked for. */
const ENVIRONMENTS = ["python_env.yaml", "conda.yaml", "requirements.txt", "environment.yml", "environment.yaml", "pyproject.toml", "Dockerfile"];
const MOST_FOLDERS = 4;

/** @param {import("../api.js").Run} run */
export function useLoggedModels(run) {
  const [models, setModels] = useState(/** @type {LoggedModel[]} */ ([]));
  const ids = [...new Set(run.outputs.map((output) => output.model_id))].slice(0, MOST_MODELS);
  useEffect(() => {
    let late = false;
    const found = ids.map((id) => api.loggedModel(id).catch(() => null));
    Promise.all(found).then((all) => late || setModels(all.filter((model) => model !== null)));
    return () => void (late = true);
  }, [ids.join()]);
  return models;
}

/** @param {{ models: LoggedModel[] }} props */
export const LoggedModels = ({ models }) => models.length > 0 && html`
  <section class="card" aria-label="Logged models">
    <header><h2>Logged models</h2><span class="count">${models.length}</span></header>
    ${models.map((model) => html`
      <details class="dataset" key=${model.id}>
        <summary><bdi>${model.name}</bdi>${model.model_type && html`<span class="badge">${model.model_type}</span>`}${model.lifecycle === "deleted" && html`<span class="badge">deleted</span>`}<span class="muted">${model.status.toLowerCase()}, <${Time} ms=${model.created_ms} /></span></summary>
        <${Pairs} pairs=${/** @type {[string, string][]} */ ([["id", model.id], ...Object.entries(model.params), ...Object.entries(model.tags).filter(([key]) => !key.startsWith("mlflow."))])} />
        <button class="link" onClick=${() => setQuery({ tab: "artifacts", of: model.id, file: model.artifacts.find((entry) => entry.path === "MLmodel")?.path ?? null })}>Its files</button>
      </details>`)}
  </section>
`;

/** @typedef {{ of: string, entry: Artifact }} Found */

/** @param {{ run: import("../api.js").Run, models: LoggedModel[] }} props */
export function Environment({ run, models }) {
  const [found, setFound] = useState(/** @type {Found[]} */ ([]));
  useEffect(() => {
    let late = false;
    const all = (/** @type {string} */ of, /** @type {Artifact[]} */ entries) => entries.filter(({ path, file }) => file && ENVIRONMENTS.includes(basename(path))).map((entry) => ({ of, entry }));
    const folders = run.artifacts.filter(({ file }) => !file).slice(0, MOST_FOLDERS);
    const inside = folders.map(({ path }) => api.artifacts(run.id, path).then((entries) => all(run.id, entries), () => []));
    Promise.all(inside).then((below) => late || setFound([...all(run.id, run.artifacts), ...below.flat(), ...models.flatMap((model) => all(model.id, model.artifacts))]));
    return () => void (late = true);
  }, [run.id, run.artifacts.length, models.length]);
  const [open, setOpen] = useState(/** @type {ReadonlySet<string>} */ (new Set()));
  if (found.length === 0) return null;
  const name = (/** @type {Found} */ { of, entry }) => `${models.find((model) => model.id === of)?.name ?? ""} ${entry.path}`.trim();
  return html`
    <section class="card" aria-label="Environment">
      <header><h2>Environment</h2><span class="count">${plural(found.length, "file")}</span></header>
      ${found.map((one) => html`
        <details class="dataset" key=${name(one)} onToggle=${(/** @type {any} */ event) => event.currentTarget.open && setOpen(new Set([...open, name(one)]))}>
          <summary><bdi class="mono">${name(one)}</bdi></summary>
          ${open.has(name(one)) && one.entry.file && html`<${Preview} of=${one.of} path=${one.entry.path} size=${one.entry.file.size} here=${one.entry.file.here} />`}
        </details>`)}
    </section>
  `;
}
