// The files of a run: a tree at the side, and the one that is chosen.

import { api, ApiError, ROOT, token } from "../api.js";
import { basename, bytes } from "../format.js";
import { route, setQuery } from "../route.js";
import { attempt, tell } from "../state.js";
import { cls, html, useEffect, useState } from "../ui.js";
import { save } from "./download.js";
import { Icon } from "./icons.js";
import { Preview } from "./preview.js";
import { CopyButton, Empty, Failure, Loading, Paste } from "./small.js";

/** @param {{ run: import("../api.js").Run }} props */
export function Artifacts({ run }) {
  const path = route.value.query.get("file") ?? "";
  if (run.artifacts.length === 0) {
    return html`<${Empty} title="No files"><p>Files that a run logs show here, and go to the other devices of the workspace.</p>
      <${Paste} label="In Python" text=${`mlflow.log_artifact("model.pkl")`} /><${Paste} label="In a shell" text=${`runmesh artifacts put ${run.id.slice(0, 8)} model.pkl`} /><//>`;
  }
  return html`
    <div class="artifacts">
      <nav class="tree" aria-label="Files"><${Folder} run=${run.id} entries=${run.artifacts} chosen=${path} /></nav>
      ${path ? html`<${File} key=${path} run=${run.id} path=${path} />` : html`<div class="file"><p class="muted">Choose a file to see it.</p></div>`}
    </div>
  `;
}

/** @param {{ run: string, entries: import("../api.js").Artifact[], chosen: string }} props */
const Folder = ({ run, entries, chosen }) => html`
  <ul>${entries.map((entry) => html`<li key=${entry.path}>${entry.file
    ? html`<button class=${cls("tree-item", entry.path === chosen && "on")} aria-current=${entry.path === chosen} onClick=${() => setQuery({ file: entry.path, tab: "artifacts" }, { replace: true })}>
        <${Icon} name="file" /><bdi>${basename(entry.path)}</bdi>${!entry.file.here && html`<span class="badge" title="On other devices; fetched when it is opened">elsewhere</span>`}<span class="count">${bytes(entry.file.size)}</span></button>`
    : html`<${Branch} run=${run} path=${entry.path} chosen=${chosen} />`}</li>`)}</ul>
`;

/** @param {{ run: string, path: string, chosen: string }} props */
function Branch({ run, path, chosen }) {
  const [open, setOpen] = useState(chosen.startsWith(`${path}/`));
  const [entries, setEntries] = useState(/** @type {import("../api.js").Artifact[] | null} */ (null));
  useEffect(() => {
    if (open && !entries) attempt(() => api.artifacts(run, path).then(setEntries));
  }, [open]);
  return html`
    <button class="tree-item" aria-expanded=${open} onClick=${() => setOpen(!open)}><span class=${cls("twist", open && "open")}><${Icon} name="chevron" /></span><${Icon} name="folder" /><bdi>${basename(path)}</bdi></button>
    ${open && entries && html`<${Folder} run=${run} entries=${entries} chosen=${chosen} />`}
  `;
}

/** @param {{ run: string, path: string }} props */
function File({ run, path }) {
  const [entry, setEntry] = useState(/** @type {import("../api.js").Artifact | null} */ (null));
  const [error, setError] = useState(/** @type {ApiError | null} */ (null));
  useEffect(() => {
    api.artifacts(run, path).then(([found]) => setEntry(found), (why) => why instanceof ApiError && setError(why));
  }, [run, path]);
  if (error) return html`<div class="file"><${Failure} error=${error} /></div>`;
  if (!entry?.file) return html`<div class="file"><${Loading} /></div>`;
  const address = `${ROOT}/runs/${run}/artifact?${new URLSearchParams({ path })}`;
  const fetched = () => attempt(async () => {
    tell("The file is being fetched");
    save(await (await api.artifact(run, path)).blob(), basename(path));
  });
  return html`
    <section class="file" aria-label=${path}>
      <header>
        <h2><bdi>${path}</bdi></h2><span class="grow"></span>
        ${token() ? html`<button onClick=${fetched}><${Icon} name="down" />Download</button>` : html`<a class="button" href=${address} download=${basename(path)}><${Icon} name="down" />Download</a>`}
      </header>
      <p class="file-line"><span>${bytes(entry.file.size)}</span><span title="BLAKE3">${entry.file.blob.slice(0, 16)}…<${CopyButton} text=${entry.file.blob} label="Copy the hash" /></span><span>${entry.file.here ? "on this device" : "on other devices"}</span></p>
      <${Preview} run=${run} path=${path} size=${entry.file.size} here=${entry.file.here} />
    </section>
  `;
}
