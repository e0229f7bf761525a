// A run's note: Markdown, edited in place.

import { api } from "../api.js";
import { attempt, tick } from "../state.js";
import { html, useState } from "../ui.js";
import { Icon } from "./icons.js";
import { Markdown } from "./markdown.js";

/** @param {{ run: import("../api.js").Run }} props */
export function Note({ run }) {
  const [draft, setDraft] = useState(/** @type {string | null} */ (null));
  const [busy, setBusy] = useState(false);
  const save = async () => {
    setBusy(true);
    const done = await attempt(async () => {
      await api.updateRuns({ runs: [run.id], description: draft ?? "" });
      return true;
    });
    setBusy(false);
    if (!done) return;
    setDraft(null);
    tick.value += 1;
  };
  const onKeyDown = (/** @type {KeyboardEvent} */ event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) save();
    else if (event.key === "Escape") setDraft(null);
  };
  const edits = draft !== null;
  return html`
    <section class="card note" aria-label="Note">
      <header><h2>Note</h2><span class="grow"></span>
        ${!edits && run.lifecycle === "active" && html`<button class="quiet" onClick=${() => setDraft(run.description)}><${Icon} name="edit" />${run.description ? "Edit" : "Write"}</button>`}</header>
      ${edits
        ? html`
          <textarea autofocus aria-label="Note, in Markdown" rows="10" value=${draft} onInput=${(/** @type {any} */ event) => setDraft(event.target.value)} onKeyDown=${onKeyDown}></textarea>
          <div class="actions"><span class="muted">Markdown. Ctrl Enter saves.</span><span class="grow"></span>
            <button onClick=${() => setDraft(null)}>Cancel</button><button class="primary" disabled=${busy} onClick=${save}>Save</button></div>`
        : run.description
          ? html`<${Markdown} text=${run.description} />`
          : html`<p class="muted">What was tried here, and what came of it? A note says it to everyone in the workspace.</p>`}
    </section>
  `;
}
