// What the keys do.

import { helpOpen } from "../state.js";
import { html } from "../ui.js";
import { Dialog } from "./dialog.js";

const KEYS = /** @type {[string, [string, string][]][]} */ ([
  ["Everywhere", [
    ["Ctrl K", "go to an experiment, a run or a view, or do something"],
    ["?", "show this"],
    ["g then r", "runs"],
    ["g then o", "models"],
    ["g then m", "the mesh"],
    ["/", "filter the runs"],
    ["Esc", "close what is open"],
  ]],
  ["In the table", [
    ["j  k  ↑  ↓", "move"],
    ["Enter", "open the run"],
    ["x  Space", "choose the run; with Shift all from the last one on"],
    ["Home  End", "go to the first or last run"],
  ]],
  ["In charts", [
    ["drag", "zoom in; the daemon sends more detail"],
    ["double click", "zoom out"],
  ]],
]);

export const Help = () => html`
  <${Dialog} title="Keys" onClose=${() => (helpOpen.value = false)}>
    ${KEYS.map(([title, keys]) => html`
      <h3>${title}</h3>
      <dl class="keys">
        ${keys.map(([key, what]) => html`<div><dt>${key.split("  ").map((one) => html`<kbd>${one}</kbd> `)}</dt><dd>${what}</dd></div>`)}
      </dl>`)}
  <//>
`;
