// Views that are saved under a name, for everyone in the workspace.

import { api } from "../api.js";
import { attempt, tell, tick } from "../state.js";
import { html, signal, useEffect } from "../ui.js";
import { ask, Menu, MenuItem } from "./dialog.js";
import { Icon } from "./icons.js";

export const views = signal(/** @type {import("../api.js").SavedView[]} */ ([]));

const load = () => api.views().then((all) => void (views.value = all), () => {});

async function save() {
  const name = await ask({ title: "Save this view", text: "Everyone in the workspace sees it.", label: "Name", placeholder: "best of June", go: "Save" });
  if (name === null) return;
  await attempt(async () => {
    await api.saveView(name.trim(), location.hash);
    tell(`Saved as ${name.trim()}`);
  });
  await load();
}

/** @param {import("../api.js").SavedView} view */
async function forget(view) {
  const done = await attempt(async () => (await api.saveView(view.name, null), true));
  if (done) tell(`Forgot ${view.name}`, { undo: () => void api.saveView(view.name, view.address).then(load) });
  await load();
}

export function Views() {
  useEffect(() => void load(), [Math.floor(tick.value / 3)]);
  const all = views.value;
  const now = all.find((view) => view.address === location.hash);
  return html`
    <${Menu} label="Saved views" class="" face=${html`<${Icon} name="pin" /><span>${now ? now.name : "Views"}</span>`} end>
      ${all.map((view) => html`<div class="menu-row" key=${view.name}><${MenuItem} checked=${view === now} onClick=${() => (location.hash = view.address)}><bdi>${view.name}</bdi><//>
        <button class="quiet square" role="menuitem" aria-label=${`Forget ${view.name}`} title="Forget" onClick=${() => forget(view)}><${Icon} name="close" /></button></div>`)}
      <${MenuItem} icon="plus" onClick=${save}>Save this view<//>
    <//>
  `;
}
