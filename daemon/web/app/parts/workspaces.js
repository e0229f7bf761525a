// Which workspace the page shows, and the way to the others of this device: each is at an address of its own.

import { PLACE } from "../api.js";
import { plural } from "../format.js";
import { status, workspaces } from "../state.js";
import { html } from "../ui.js";
import { Menu, MenuItem } from "./dialog.js";
import { Icon } from "./icons.js";

/** @typedef {import("../api.js").Workspace} Workspace */

/** Whether the page shows it. @param {Workspace} one */
export const isShown = (one) => (PLACE ? one.name === PLACE : one.current);

/** Shows another workspace. What is looked at in this one is not there, so it starts at its runs. @param {Workspace} one */
export const show = (one) => location.assign(`/w/${encodeURIComponent(one.name)}/`);

export function Place() {
  const all = workspaces.value;
  const shown = all.find(isShown);
  // On one's own device its name there is what one typed; the founder's name for it is what others call it.
  const name = shown && all.length > 1 ? shown.name : status.value?.workspace.name;
  if (!name) return null;
  if (all.length < 2) return html`<span class="place" title="The workspace"><bdi>${name}</bdi></span>`;
  return html`
    <div class="place">
      <${Menu} label=${`Workspace ${name}: show another`} class="quiet place-button" face=${html`<bdi>${name}</bdi><${Icon} name="chevron" />`}>
        ${all.map((one) => html`<${MenuItem} key=${one.name} checked=${isShown(one)} onClick=${() => isShown(one) || show(one)}>
          <bdi>${one.name}</bdi><span class="count">${plural(one.runs, "run")}${one.current ? ", for clients that name none" : ""}</span><//>`)}
      <//>
    </div>`;
}
