// Which columns a table has.

import { ATTRIBUTES, isSystemTag, split, title } from "../columns.js";
import { html, useState } from "../ui.js";
import { Dialog } from "./dialog.js";

const MOST_SHOWN = 300;

/** @param {{ columns: import("../api.js").Columns, shown: string[], onColumns: (columns: string[]) => void, onReset: () => void, onClose: () => void }} props */
export function ColumnPicker({ columns, shown, onColumns, onReset, onClose }) {
  const [search, setSearch] = useState("");
  const groups = /** @type {[string, string[]][]} */ ([
    ["Attributes", Object.keys(ATTRIBUTES)],
    ["Metrics", columns.metrics.map((key) => `metrics.${key}`)],
    ["Curves of metrics", columns.metrics.map((key) => `curve.${key}`)],
    ["Params", columns.params.map((key) => `params.${key}`)],
    ["Tags", columns.tags.filter((key) => !isSystemTag(key)).map((key) => `tags.${key}`)],
    ["Tags of clients", columns.tags.filter(isSystemTag).map((key) => `tags.${key}`)],
  ]);
  const matches = (/** @type {string} */ column) => title(column).toLowerCase().includes(search.toLowerCase());
  const set = (/** @type {string[]} */ some, /** @type {boolean} */ on) => {
    const rest = shown.filter((column) => !some.includes(column));
    onColumns(on ? [...shown, ...some.filter((column) => !shown.includes(column))] : rest);
  };
  return html`
    <${Dialog} title="Columns" onClose=${onClose}>
      <input class="search" type="search" autofocus placeholder="Find a column" aria-label="Find a column" value=${search} onInput=${(/** @type {any} */ event) => setSearch(event.target.value)} />
      <div class="picker">
        ${groups.map(([name, all]) => {
          const found = all.filter(matches);
          const on = found.filter((column) => shown.includes(column)).length;
          return found.length > 0 && html`
            <fieldset key=${name}>
              <legend>
                <label><input type="checkbox" checked=${on === found.length} indeterminate=${on > 0 && on < found.length} disabled=${found.length > 200 && on < found.length}
                  onChange=${() => set(found, on < found.length)} />${name}</label>
                <span class="count">${on ? `${on} of ${found.length}` : found.length}</span>
              </legend>
              ${found.slice(0, MOST_SHOWN).map((column) => html`<label key=${column} title=${split(column)[1]}>
                <input type="checkbox" checked=${shown.includes(column)} onChange=${() => set([column], !shown.includes(column))} /><bdi>${title(column)}</bdi></label>`)}
              ${found.length > MOST_SHOWN && html`<p class="muted">and ${found.length - MOST_SHOWN} more: write a part of the name above</p>`}
            </fieldset>`;
        })}
      </div>
      <div class="actions"><button onClick=${onReset}>Choose for me</button><button class="primary" onClick=${onClose}>Done</button></div>
    <//>
  `;
}
