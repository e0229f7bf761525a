// Panels: the charts of a view, in an order and sizes that people choose. They are in the address, so they are
// linked and saved with it.

import { route, setQuery } from "../route.js";
import { cls, html, useState } from "../ui.js";
import { title } from "../columns.js";
import { Dialog, Menu, MenuItem } from "../parts/dialog.js";
import { Icon } from "../parts/icons.js";

/** @typedef {"curve" | "scatter" | "bar" | "parallel" | "box"} Kind */
/** @typedef {{ kind: Kind, wide: number, columns: string[] }} Panel */

/** What each kind is called, and which columns it takes. @type {Record<Kind, { name: string, takes: string[], many?: boolean }>} */
export const KINDS = {
  curve: { name: "Curves of a metric", takes: ["Metric"] },
  scatter: { name: "Scatter: one column by another", takes: ["Along the bottom", "Upwards"] },
  bar: { name: "Bars: a metric of each run", takes: ["Metric"] },
  box: { name: "Boxes: a metric by a param", takes: ["Grouped by", "Metric"] },
  parallel: { name: "Parallel coordinates", takes: [], many: true },
};
const MOST_UNASKED = 12;

/** @param {string} text @returns {Panel[]} */
function read(text) {
  const [kind, wide, ...columns] = text.split("|").map(decodeURIComponent);
  return kind in KINDS ? [{ kind: /** @type {Kind} */ (kind), wide: Math.min(3, Math.max(1, Number(wide) || 1)), columns }] : [];
}

/** @param {Panel} panel */
const write = ({ kind, wide, columns }) => [kind, String(wide), ...columns].map(encodeURIComponent).join("|");

/** The panels of the address; without any, a curve of each of the first metrics. @param {import("../api.js").Columns} columns @returns {Panel[]} */
export function panelsOf(columns) {
  const asked = route.value.query.getAll("p").flatMap(read);
  if (asked.length) return asked;
  const metrics = [...columns.metrics.filter((key) => !key.startsWith("system/")), ...columns.metrics.filter((key) => key.startsWith("system/"))];
  return metrics.slice(0, MOST_UNASKED).map((key) => ({ kind: "curve", wide: 1, columns: [`metrics.${key}`] }));
}

/** @param {Panel[]} panels */
const keep = (panels) => setQuery({ p: panels.map(write) }, { replace: true });

/**
 * @param {{ panels: Panel[], columns: import("../api.js").Columns, draw: (panel: Panel) => any }} props
 */
export function PanelGrid({ panels, columns, draw }) {
  const [editing, setEditing] = useState(/** @type {number | null} */ (null));
  const [over, setOver] = useState(-1);
  const drop = (/** @type {DragEvent} */ event, /** @type {number} */ to) => {
    setOver(-1);
    const from = event.dataTransfer?.getData("text/panel");
    if (!from) return;
    event.preventDefault();
    move(Number(from), to);
  };
  const move = (/** @type {number} */ from, /** @type {number} */ to) => {
    const next = [...panels];
    next.splice(Math.min(Math.max(0, to), panels.length - 1), 0, ...next.splice(from, 1));
    keep(next);
  };
  const change = (/** @type {number} */ at, /** @type {Panel | null} */ panel) => keep(panel ? panels.with(at, panel) : panels.filter((_, index) => index !== at));
  return html`
    <div class="panel-grid">
      ${panels.map((panel, at) => html`
        <div key=${write(panel)} class=${cls("panel", `wide-${panel.wide}`, over === at && "over")} onDragOver=${(/** @type {DragEvent} */ event) => (event.preventDefault(), setOver(at))} onDragLeave=${() => setOver(-1)}
          onDrop=${(/** @type {DragEvent} */ event) => drop(event, at)}>
          <div class="panel-tools">
            <span class="panel-grip" draggable="true" title="Drag to move" onDragStart=${(/** @type {DragEvent} */ event) => event.dataTransfer?.setData("text/panel", String(at))}>⠿</span>
            <${Menu} label=${`Panel ${panel.columns.map(title).join(", ")}`} face=${html`<${Icon} name="more" />`} end>
              <${MenuItem} icon="edit" onClick=${() => setEditing(at)}>Change<//>
              ${[1, 2, 3].filter((wide) => wide !== panel.wide).map((wide) => html`<${MenuItem} icon="zoom" onClick=${() => change(at, { ...panel, wide })}>${["Small", "Wide", "As wide as the page"][wide - 1]}<//>`)}
              ${at > 0 && html`<${MenuItem} icon="chevron" onClick=${() => move(at, at - 1)}>Move forward<//>`}
              ${at < panels.length - 1 && html`<${MenuItem} icon="chevron" onClick=${() => move(at, at + 1)}>Move back<//>`}
              <${MenuItem} icon="trash" danger onClick=${() => change(at, null)}>Remove<//>
            <//>
          </div>
          ${draw(panel)}
        </div>`)}
      <button class="panel-add" onClick=${() => setEditing(panels.length)}><${Icon} name="plus" />Add a panel</button>
    </div>
    ${editing !== null && html`<${Editor} panel=${panels[editing]} columns=${columns} onClose=${() => setEditing(null)}
      onDone=${(/** @type {Panel} */ panel) => (setEditing(null), editing < panels.length ? change(editing, panel) : keep([...panels, panel]))} />`}
  `;
}

/** @param {{ panel: Panel | undefined, columns: import("../api.js").Columns, onDone: (panel: Panel) => void, onClose: () => void }} props */
function Editor({ panel, columns, onDone, onClose }) {
  const [kind, setKind] = useState(/** @type {Kind} */ (panel?.kind ?? "scatter"));
  const metrics = columns.metrics.map((key) => `metrics.${key}`);
  const params = columns.params.map((key) => `params.${key}`);
  const all = [...metrics, ...params, ...columns.tags.filter((key) => !key.startsWith("mlflow.")).map((key) => `tags.${key}`)];
  const { takes, many } = KINDS[kind];
  const choices = (/** @type {string} */ what) => (what === "Metric" ? metrics : all);
  const first = () => {
    if (panel?.kind === kind) return panel.columns;
    if (many) return [...params.slice(0, 4), ...metrics.slice(0, 1)];
    return takes.map((what) => (what === "Metric" || what === "Upwards" ? (metrics[0] ?? all[0]) : (params[0] ?? all[0])) ?? "");
  };
  const [chosen, setChosen] = useState(/** @type {Partial<Record<Kind, string[]>>} */ ({}));
  const now = chosen[kind] ?? first();
  const set = (/** @type {string[]} */ to) => setChosen({ ...chosen, [kind]: to });
  const submit = (/** @type {Event} */ event) => {
    event.preventDefault();
    if (now.length && now.every(Boolean)) onDone({ kind, wide: panel?.wide ?? (many ? 3 : 1), columns: now });
  };
  return html`
    <${Dialog} title=${panel ? "Change the panel" : "Add a panel"} onClose=${onClose}>
      <form onSubmit=${submit}>
        <label class="field">What it shows<select value=${kind} onChange=${(/** @type {any} */ event) => setKind(event.target.value)}>
          ${Object.entries(KINDS).map(([value, { name }]) => html`<option value=${value}>${name}</option>`)}</select></label>
        ${takes.map((what, at) => html`<label class="field" key=${what}>${what}<select value=${now[at]} onChange=${(/** @type {any} */ event) => set(now.with(at, event.target.value))}>
          ${choices(what).map((column) => html`<option value=${column}>${column}</option>`)}</select></label>`)}
        ${many && html`<fieldset class="picker"><legend>Axes, from the left; the last one colours</legend>
          ${all.slice(0, 300).map((column) => html`<label key=${column}><input type="checkbox" checked=${now.includes(column)} onChange=${() => set(now.includes(column) ? now.filter((one) => one !== column) : [...now, column])} /><bdi>${column}</bdi>${now.includes(column) && html`<span class="count">${now.indexOf(column) + 1}</span>`}</label>`)}</fieldset>`}
        <div class="actions"><button type="button" onClick=${onClose}>Cancel</button><button type="submit" class="primary">${panel ? "Change" : "Add"}</button></div>
      </form>
    <//>
  `;
}
