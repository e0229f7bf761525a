// The files of a run: a tree at the side, and the one that is chosen.

import { addressOf, api, ApiError } from "../api.js";
import { basename, bytes } from "../format.js";
import { route, setQuery } from "../route.js";
import { attempt, status } from "../state.js";
import { cls, html, useEffect, useState } from "../ui.js";
import { Coming, Holders } from "./blobs.js";
import { saveAnswer } from "./download.js";
import { Icon } from "./icons.js";
import { Preview } from "./preview.js";
import { CopyButton, Empty, Failure, Loading, Paste } from "./small.js";

/** @param {{ run: import("../api.js").Run, models: import("../api.js").LoggedModel[] }} props */
export function Artifacts({ run, models }) {
  const path = route.value.query.get("file") ?? "";
  const of = route.value.query.get("of") ?? run.id;
  if (run.artifacts.length === 0 && models.length === 0) {
    return html`<${Empty} title="No files"><p>Files that a run logs show here, and go to the other devices of the workspace.</p>
      <${Paste} label="In Python" text=${`mlflow.log_artifact("model.pkl")`} /><${Paste} label="In a shell" text=${`runmesh artifacts put ${run.id.slice(0, 8)} model.pkl`} /><//>`;
  }
  return html`
    <div class="artifacts">
      <nav class="tree" aria-label="Files">
        <${Folder} of=${run.id} entries=${run.artifacts} chosen=${of === run.id ? path : ""} />
        ${models.map((model) => html`<h3 key=${model.id} title=${model.id}>Logged model <bdi>${model.name}</bdi></h3>
          <${Folder} of=${model.id} entries=${model.artifacts} chosen=${of === model.id ? path : ""} />`)}
      </nav>
      ${path ? html`<${File} key=${`${of} ${path}`} of=${of} path=${path} />` : html`<div class="file"><p class="muted">Choose a file to see it.</p></div>`}
    </div>
  `;
}

/** @param {{ of: string, entries: import("../api.js").Artifact[], chosen: string }} props of: a run or a logged model */
const Folder = ({ of, entries, chosen }) => html`
  <ul>${entries.map((entry) => html`<li key=${entry.path}>${entry.file
    ? html`<button class=${cls("tree-item", entry.path === chosen && "on")} aria-current=${entry.path === chosen} onClick=${() => setQuery({ file: entry.path, of: of.startsWith("m-") ? of : null, tab: "artifacts" }, { replace: true })}>
        <${Icon} name="file" /><bdi>${basename(entry.path)}</bdi>${!entry.file.here && html`<span class="badge" title="On other devices; fetched when it is opened">elsewhere</span>`}<span class="count">${bytes(entry.file.size)}</span></button>`
    : html`<${Branch} of=${of} path=${entry.path} chosen=${chosen} />`}</li>`)}</ul>
`;

/** @param {{ of: string, path: string, chosen: string }} props */
function Branch({ of, path, chosen }) {
  const [open, setOpen] = useState(chosen.startsWith(`${path}/`));
  const [entries, setEntries] = useState(/** @type {import("../api.js").Artifact[] | null} */ (null));
  useEffect(() => {
    if (open && !entries) attempt(() => api.artifacts(of, path).then(setEntries));
  }, [open]);
  return html`
    <button class="tree-item" aria-expanded=${open} onClick=${() => setOpen(!open)}><span class=${cls("twist", open && "open")}><${Icon} name="chevron" /></span><${Icon} name="folder" /><bdi>${basename(path)}</bdi></button>
    ${open && entries && html`<${Folder} of=${of} entries=${entries} chosen=${chosen} />`}
  `;
}

/** @param {{ of: string, path: string }} props */
function File({ of, path }) {
  const [entry, setEntry] = useState(/** @type {import("../api.js").Artifact | null} */ (null));
  const [error, setError] = useState(/** @type {ApiError | null} */ (null));
  useEffect(() => {
    api.artifacts(of, path).then(([found]) => setEntry(found), (why) => why instanceof ApiError && setError(why));
  }, [of, path]);
  if (error) return html`<div class="file"><${Failure} error=${error} /></div>`;
  if (!entry?.file) return html`<div class="file"><${Loading} /></div>`;
  // A link cannot bring the token along, so where that is wanted the page fetches the file itself.
  const guarded = status.value?.clients_need_token ?? true;
  const fetched = () => attempt(() => saveAnswer(basename(path), () => api.artifact(of, path)));
  return html`
    <section class="file" aria-label=${path}>
      <header>
        <h2><bdi>${path}</bdi></h2><span class="grow"></span>
        ${guarded ? html`<button onClick=${fetched}><${Icon} name="down" />Download</button>` : html`<a class="button" href=${addressOf(of, path)} download=${basename(path)}><${Icon} name="down" />Download</a>`}
      </header>
      <p class="file-line"><span>${bytes(entry.file.size)}</span><span title="BLAKE3">${entry.file.blob.slice(0, 16)}…<${CopyButton} text=${entry.file.blob} label="Copy the hash" /></span><span>${entry.file.here ? "on this device" : "on other devices"}</span></p>
      <${Holders} of=${of} path=${path} blob=${entry.file.blob} />
      ${!entry.file.here && html`<${Coming} blob=${entry.file.blob} />`}
      <${Preview} of=${of} path=${path} size=${entry.file.size} here=${entry.file.here} />
    </section>
  `;
}
