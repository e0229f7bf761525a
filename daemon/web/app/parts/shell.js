// What stands around every view: the bar at the top, messages, dialogs.

import { href, route } from "../route.js";
import { lazy } from "../lazy.js";
import { helpOpen, hush, online, paletteOpen, peers, showPalette, theme, toasts } from "../state.js";
import { cls, html } from "../ui.js";
import { plural } from "../format.js";
import { Asked } from "./dialog.js";
import { Icon, Logo } from "./icons.js";
import { Login } from "./login.js";
import { Place } from "./workspaces.js";

const VIEWS = /** @type {[string, string, string[]][]} */ ([
  ["Runs", "#/experiments", ["", "experiments", "compare"]],
  ["Models", "#/models", ["models"]],
  ["Mesh", "#/mesh", ["mesh"]],
]);

const Palette = lazy(() => import("./palette.js").then((module) => module.Palette), null);
const Help = lazy(() => import("./help.js").then((module) => module.Help), null);

const NEXT_THEME = /** @type {const} */ ({ system: "light", light: "dark", dark: "system" });

/** @param {{ children?: any }} props */
export const Shell = ({ children }) => html`
  <a class="skip" href="#main" onClick=${(/** @type {Event} */ event) => (event.preventDefault(), document.getElementById("main")?.focus())}>Skip to the content</a>
  <${TopBar} />
  <main id="main" tabindex="-1">${children}</main>
  <${Toasts} />
  <${Asked} />
  <${Login} />
  ${paletteOpen.value && html`<${Palette} />`}
  ${helpOpen.value && html`<${Help} />`}
`;

function TopBar() {
  const at = route.value.path[0] ?? "";
  const now = theme.value;
  return html`
    <header class="top">
      <a class="brand" href=${href([])} aria-label="runmesh, all runs"><${Logo} /><span>runmesh</span></a>
      <${Place} />
      <nav aria-label="Views">
        ${VIEWS.map(([name, to, paths]) => html`<a href=${to} aria-current=${paths.includes(at) ? "page" : undefined}>${name}</a>`)}
      </nav>
      <span class="grow"></span>
      <button class="find" onClick=${() => showPalette(true)} title="Go to or do anything"><${Icon} name="search" /><span>Go to…</span><kbd>Ctrl K</kbd></button>
      <${Presence} />
      <button class="quiet square" aria-label=${`Theme: ${now}`} title=${`Theme: ${now}`} onClick=${() => (theme.value = NEXT_THEME[now])}><${Icon} name=${now === "dark" ? "moon" : now === "light" ? "sun" : "contrast"} /></button>
      <button class="quiet square" aria-label="Help" title="Help (?)" onClick=${() => (helpOpen.value = true)}><${Icon} name="help" /></button>
    </header>
    ${online.value === false && html`<div class="offline" role="alert"><${Icon} name="warn" />The daemon does not answer. What you see may be old; the page goes on by itself once <code>runmesh up</code> runs.</div>`}
  `;
}

function Presence() {
  const here = peers.value.filter((peer) => peer.connected).length;
  const text = peers.value.length === 0 ? "alone" : `${here} of ${plural(peers.value.length, "peer")}`;
  const state = online.value === false ? "gone" : here > 0 ? "met" : "alone";
  return html`<a class=${cls("presence", state)} href="#/mesh" title="Other devices of this workspace"><i></i><span>${text}</span></a>`;
}

const Toasts = () => html`
  <div class="toasts" role="status" aria-live="polite">
    ${toasts.value.map((toast) => html`
      <div key=${toast.id} class=${cls("toast", toast.bad && "bad")}>
        <div><strong>${toast.text}</strong>${toast.hint && html`<p>${toast.hint}</p>`}</div>
        ${toast.undo && html`<button class="quiet" onClick=${() => (hush(toast.id), toast.undo?.())}>Undo</button>`}
        <button class="quiet square" aria-label="Dismiss" onClick=${() => hush(toast.id)}><${Icon} name="close" /></button>
      </div>`)}
  </div>
`;
