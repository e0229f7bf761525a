// The palette: goes to or does anything whose name one knows a part of.

import { api } from "../api.js";
import { go, href, route, target } from "../route.js";
import { experiments, helpOpen, paletteOpen, theme, typedAhead, workspaces } from "../state.js";
import { cls, html, useEffect, useState } from "../ui.js";
import { useFocusBack } from "./dialog.js";
import { newExperiment } from "./sidebar.js";
import { views } from "./views.js";
import { isShown, show } from "./workspaces.js";

/** @typedef {{ name: string, kind: string, run: () => void }} Entry */
const MOST = 12;

/** @returns {Entry[]} */
function actions() {
  const to = (/** @type {string} */ address) => () => (location.hash = address);
  return [
    { name: "All runs", kind: "view", run: to(href(["experiments"])) },
    { name: "Models", kind: "view", run: to("#/models") },
    { name: "Mesh: devices of this workspace", kind: "view", run: to("#/mesh") },
    { name: "Invite a device", kind: "do", run: () => go(["mesh"], { invite: "1" }) },
    { name: "New experiment", kind: "do", run: newExperiment },
    { name: "Theme: light", kind: "do", run: () => (theme.value = "light") },
    { name: "Theme: dark", kind: "do", run: () => (theme.value = "dark") },
    { name: "Theme: as the system", kind: "do", run: () => (theme.value = "system") },
    { name: "Help: keys", kind: "do", run: () => (helpOpen.value = true) },
  ];
}

/** Runs whose id starts so, or whose name holds the text. @param {string} text @returns {Promise<Entry[]>} */
async function runs(text) {
  const literal = text.replaceAll("'", "_");
  const filter = /^[0-9a-f]{32}$/.test(text) ? `attributes.run_id = '${text}'` : `attributes.run_name ILIKE '%${literal}%'`;
  const { experiments: within } = target(route.value);
  const page = await api.table({ experiments: within, filter, limit: 6 });
  return page.rows.map((run) => ({ name: run.name, kind: "run", run: () => go(["experiments", run.experiment, "runs", run.id]) }));
}

export function Palette() {
  useFocusBack();
  const [text, setText] = useState(typedAhead.peek());
  const [found, setFound] = useState(/** @type {Entry[]} */ ([]));
  const [at, setAt] = useState(0);
  useEffect(() => {
    if (text.length < 2) return setFound([]);
    let late = false;
    const timer = setTimeout(() => runs(text).then((all) => late || setFound(all), () => {}), 120);
    return () => {
      late = true;
      clearTimeout(timer);
    };
  }, [text]);

  const matches = (/** @type {Entry} */ entry) => text.toLowerCase().split(/\s+/).every((word) => entry.name.toLowerCase().includes(word));
  const places = (experiments.value ?? []).filter((one) => one.lifecycle === "active")
    .map((one) => ({ name: one.name, kind: "experiment", run: () => go(["experiments", one.id]) }));
  const saved = views.value.map((view) => ({ name: view.name, kind: "saved view", run: () => void (location.hash = view.address) }));
  const others = workspaces.value.filter((one) => !isShown(one)).map((one) => ({ name: one.name, kind: "workspace", run: () => show(one) }));
  const all = [...[...actions(), ...saved, ...others, ...places].filter(matches).slice(0, MOST), ...found];
  const close = () => (paletteOpen.value = false);
  const take = (/** @type {Entry | undefined} */ entry) => {
    if (!entry) return;
    close();
    entry.run();
  };
  const onKeyDown = (/** @type {KeyboardEvent} */ event) => {
    if (event.key === "ArrowDown") setAt((at + 1) % Math.max(1, all.length));
    else if (event.key === "ArrowUp") setAt((at + all.length - 1) % Math.max(1, all.length));
    else if (event.key === "Enter") take(all[at]);
    else if (event.key === "Escape") close();
    else return;
    event.preventDefault();
  };
  return html`
    <div class="palette-back" onPointerDown=${(/** @type {any} */ event) => event.target === event.currentTarget && close()}>
      <div class="palette" role="dialog" aria-modal="true" aria-label="Go to">
        <input autofocus ref=${(/** @type {HTMLElement | null} */ element) => element?.focus()} role="combobox" aria-expanded="true" aria-controls="palette-list" aria-activedescendant=${all[at] ? `palette-${at}` : undefined} aria-label="Go to"
          placeholder="An experiment, a run, a view, an action" value=${text} onKeyDown=${onKeyDown}
          onInput=${(/** @type {any} */ event) => (setText(event.target.value), setAt(0))} />
        <ul id="palette-list" role="listbox" aria-label="What was found">
          ${all.map((entry, index) => html`<li id=${`palette-${index}`} role="option" aria-selected=${index === at} class=${cls(index === at && "active")}
            onPointerMove=${() => setAt(index)} onClick=${() => take(entry)}><bdi>${entry.name}</bdi><span>${entry.kind}</span></li>`)}
          ${all.length === 0 && html`<li class="muted">Nothing has this name</li>`}
        </ul>
      </div>
    </div>
  `;
}
