// Registering a model that a run logged, as the next version of a registered model.

import { api } from "../api.js";
import { go } from "../route.js";
import { attempt, tick } from "../state.js";
import { html, useEffect, useState } from "../ui.js";
import { Dialog } from "./dialog.js";

/** @param {{ run: import("../api.js").Run, onClose: () => void }} props */
export function Register({ run, onClose }) {
  const [names, setNames] = useState(/** @type {string[]} */ ([]));
  const [name, setName] = useState("");
  const [path, setPath] = useState(run.artifacts.find((entry) => !entry.file)?.path ?? "model");
  const [note, setNote] = useState("");
  useEffect(() => {
    api.models().then((all) => setNames(all.map((model) => model.name)), () => {});
  }, []);
  const submit = async (/** @type {Event} */ event) => {
    event.preventDefault();
    if (!name.trim() || !path.trim()) return;
    const version = await attempt(() => api.registerModel({ run: run.id, path: path.trim(), name: name.trim(), note: note.trim(), who: "" }));
    if (!version) return;
    tick.value += 1;
    onClose();
    go(["models", name.trim()]);
  };
  return html`
    <${Dialog} title="Register a model" onClose=${onClose}>
      <form onSubmit=${submit}>
        <label class="field">Registered model<input autofocus list="models" value=${name} placeholder="fraud-detector" onInput=${(/** @type {any} */ event) => setName(event.target.value)} /></label>
        <datalist id="models">${names.map((one) => html`<option value=${one} />`)}</datalist>
        <label class="field">Where the model is among the run's files<input value=${path} onInput=${(/** @type {any} */ event) => setPath(event.target.value)} /></label>
        <label class="field">Why<textarea rows="2" value=${note} onInput=${(/** @type {any} */ event) => setNote(event.target.value)}></textarea></label>
        <div class="actions"><button type="button" onClick=${onClose}>Cancel</button><button type="submit" class="primary">Register</button></div>
      </form>
    <//>
  `;
}
