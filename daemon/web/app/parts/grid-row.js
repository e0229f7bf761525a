// A row of the table of runs.

import { RowCurve } from "../charts/sparks.js";
import { ATTRIBUTES, clause, isAttribute, isCurve, isMetric, isValue, shown, split } from "../columns.js";
import { href } from "../route.js";
import { chosen, experiments } from "../state.js";
import { cls, html, useState } from "../ui.js";
import { Icon } from "./icons.js";
import { Status, Time } from "./small.js";

/** @typedef {import("../api.js").Row} Row */
/** @typedef {{ column: string, left: number | null, last: boolean }} Place left: where it is kept while the table scrolls */
/** @typedef {(clause: string) => void} OnFilter */

/** What a row does, by the table's latest word: so a row need not be drawn again because the table was.
 * @typedef {{ onPick: (index: number, range: boolean) => void, onActive: (index: number) => void, onFilter: OnFilter, onOpen: (run: Row) => void }} Does */

/** @param {{ index: number, top: number, run: Row | undefined, valueAt: (column: string) => number, places: Place[], template: string, active: boolean, does: Does }} props */
export function GridRow({ index, top, run, valueAt, places, template, active, does }) {
  const [under, setUnder] = useState(false);
  const place = { transform: `translateY(${top}px)`, gridTemplateColumns: template };
  if (!run) return html`<div class="grid-row waiting" role="row" aria-rowindex=${index + 2} style=${place}><span></span><span class="bone"></span></div>`;
  const on = chosen.value.has(run.id);
  // There are as many of these buttons as cells, and they cost as much to draw: they come with the pointer, or the active row.
  const filter = under || active ? does.onFilter : null;
  return html`
    <div id=${`row-${index}`} class=${cls("grid-row", on && "chosen", active && "active")} role="row" aria-rowindex=${index + 2} aria-selected=${on} style=${place}
      onPointerEnter=${() => setUnder(true)} onPointerLeave=${() => setUnder(false)} onClick=${() => does.onActive(index)} onDblClick=${() => does.onOpen(run)}>
      <span class="grid-check pinned" role="gridcell" style=${{ left: 0 }}>
        <input type="checkbox" tabindex="-1" aria-label=${`Choose ${run.name}`} checked=${on} onClick=${(/** @type {MouseEvent} */ event) => does.onPick(index, event.shiftKey)} />
      </span>
      ${places.map((place) => cell(run, run.values[valueAt(place.column)] ?? null, place, filter))}
    </div>
  `;
}

/** No component of its own: there are hundreds in a table.
 * @param {Row} run @param {import("../api.js").Cell} value @param {Place} place @param {OnFilter | null} onFilter null draws no filters */
function cell(run, value, { column, left, last }, onFilter) {
  const style = left === null ? undefined : { left: `${left}px` };
  const end = isMetric(column) || (ATTRIBUTES[column]?.end ?? false);
  const name = cls("grid-cell", left !== null && "pinned", last && "edge", column === "name" && "name", end && "end");
  const { title, inside } = content(run, column, value);
  const by = onFilter && filterOf(run, column, value);
  return html`<span key=${column} role="gridcell" class=${name} style=${style} title=${title}>${inside}${by && html`<${FilterBy} clause=${by} onFilter=${onFilter} />`}</span>`;
}

/** What stands in a cell, and the title it has. @param {Row} run @param {string} column @param {import("../api.js").Cell} value
 * @returns {{ inside: any, title?: string }} */
function content(run, column, value) {
  if (column === "name") {
    return { inside: html`<a tabindex="-1" href=${href(["experiments", run.experiment, "runs", run.id])} title=${run.name}><bdi>${run.name || run.id.slice(0, 8)}</bdi></a>
      ${run.conflicted && html`<span class="flag" title="A param was set to two values on devices that were apart"><${Icon} name="warn" /></span>`}` };
  }
  if (column === "status") return { inside: Status({ of: run.status }) };
  if (column === "experiment") {
    const found = experiments.value?.find((one) => one.id === run.experiment);
    return { inside: html`<a tabindex="-1" href=${href(["experiments", run.experiment])}><bdi>${found?.name ?? run.experiment}</bdi></a>` };
  }
  if (column === "started") return { inside: Time({ ms: run.start_ms }) };
  if (column === "user") return { inside: html`<bdi>${run.user}</bdi>`, title: run.user };
  if (isAttribute(column) && !isValue(column)) return { inside: ATTRIBUTES[column].text(run) };
  if (isCurve(column)) return { inside: html`<${RowCurve} run=${run} metric=${split(column)[1]} />` };
  const text = shown(column, value);
  return { inside: html`<bdi>${text}</bdi>`, title: isMetric(column) ? String(value ?? "") : text };
}

/** What filters by a cell, where a click on it is of use. @param {Row} run @param {string} column @param {import("../api.js").Cell} value */
function filterOf(run, column, value) {
  if (column === "status") return clause("attributes.status", run.status);
  if (column === "user") return run.user ? clause(column, run.user) : null;
  return isValue(column) && column !== "name" && !isMetric(column) ? clause(column, value) : null;
}

/** @param {{ clause: string, onFilter: OnFilter }} props */
const FilterBy = ({ clause: by, onFilter }) => html`
  <button class="grid-filter" tabindex="-1" aria-label=${`Only runs with ${by}`} title=${by} onClick=${(/** @type {Event} */ event) => (event.stopPropagation(), onFilter(by))}><${Icon} name="filter" /></button>
`;
