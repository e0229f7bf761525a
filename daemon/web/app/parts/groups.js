// Runs taken together by what they have in a column: how many, and how each metric is spread over them.

import { api } from "../api.js";
import { and, clause, DEVICE, field, IN_ROWS, title } from "../columns.js";
import { grouped, number, plural, toNumber } from "../format.js";
import { setQuery } from "../route.js";
import { tell, tick } from "../state.js";
import { html, useEffect, useState } from "../ui.js";
import { Failure, Loading, Time } from "./small.js";

const MOST_METRICS = 8;

/** @param {{ columns: import("../api.js").Columns, value: string }} props */
export const GroupBy = ({ columns, value }) => html`
  <label class="group-by">Group by
    <select value=${value} onChange=${(/** @type {any} */ event) => setQuery({ group: event.target.value || null })}>
      <option value="">nothing</option>
      <optgroup label="Attributes">${[...Object.keys(IN_ROWS), DEVICE].map((column) => html`<option value=${column}>${title(column)}</option>`)}</optgroup>
      ${columns.params.length > 0 && html`<optgroup label="Params">${columns.params.slice(0, 500).map((key) => html`<option value=${`params.${key}`}>${key}</option>`)}</optgroup>`}
      ${columns.tags.length > 0 && html`<optgroup label="Tags">${columns.tags.slice(0, 500).map((key) => html`<option value=${`tags.${key}`}>${key}</option>`)}</optgroup>`}
    </select></label>
`;

/** @typedef {import("../api.js").Groups["groups"][0]} Group */
/** @typedef {{ by: string, down: boolean }} Sort by: `value`, `runs`, `latest`, or the place of a metric */

/** What has nothing comes last, whichever way. @param {Group[]} groups @param {Sort | null} sort */
function sorted(groups, sort) {
  if (!sort) return groups;
  const read = (/** @type {Group} */ group) =>
    sort.by === "value" ? group.value : sort.by === "runs" ? group.runs : sort.by === "latest" ? group.latest_ms : (group.metrics[Number(sort.by)]?.mean ?? null);
  const isThere = groups.filter((group) => read(group) !== null);
  const numbers = isThere.every((group) => !Number.isNaN(toNumber(read(group))));
  const order = (/** @type {Group} */ a, /** @type {Group} */ b) =>
    numbers ? toNumber(read(a)) - toNumber(read(b)) : String(read(a)).localeCompare(String(read(b)));
  const up = isThere.sort(order);
  return [...(sort.down ? up.reverse() : up), ...groups.filter((group) => read(group) === null)];
}

/** @param {{ rows: import("../rows.js").Rows, by: string, shown: string[], filter: string }} props */
export function GroupTable({ rows, by, shown, filter }) {
  const [answer, setAnswer] = useState(/** @type {import("../api.js").Groups | null} */ (null));
  const [error, setError] = useState(/** @type {Error | null} */ (null));
  const [sort, setSort] = useState(/** @type {Sort | null} */ (null));
  const metrics = shown.filter((column) => column.startsWith("metrics.")).slice(0, MOST_METRICS).map((column) => column.slice("metrics.".length));
  const query = { experiments: rows.query.experiments, filter: rows.query.filter, deleted: rows.query.deleted, by, metrics };
  useEffect(() => {
    let late = false;
    api.groups(query).then((now) => late || setAnswer(now), (why) => late || setError(why));
    return () => void (late = true);
  }, [JSON.stringify(query), Math.floor(tick.value / 3)]);
  if (error) return html`<${Failure} error=${error} />`;
  if (!answer) return html`<${Loading} />`;
  const shownGroups = sorted(answer.groups, sort);
  const head = (/** @type {string} */ by, /** @type {string} */ name, end = true) => html`
    <th class=${end && "end"} aria-sort=${sort?.by === by ? (sort.down ? "descending" : "ascending") : undefined}>
      <button class="quiet head-sort" onClick=${() => setSort({ by, down: sort?.by === by ? !sort.down : end })}><bdi>${name}</bdi>${sort?.by === by && html`<span aria-hidden="true">${sort.down ? "↓" : "↑"}</span>`}</button></th>`;
  const means = metrics.map((_, at) => answer.groups.map((group) => toNumber(group.metrics[at]?.mean)).filter(Number.isFinite));
  /** Only the runs of a group. @param {import("../api.js").Cell} value */
  const only = (value) => {
    const holds = value === null ? `${field(by)} IS NULL` : clause(by, value);
    if (holds) setQuery({ q: and(filter, holds), group: null });
    else tell("The search language cannot write this value", { bad: true });
  };
  return html`
    <div class="table-box groups" tabindex="0" role="region" aria-label=${`Runs by ${title(by)}`}>
      <table>
        <thead><tr>${head("value", title(by), false)}${head("runs", "Runs")}${metrics.map((key, at) => html`${head(String(at), key)}<th><span class="unseen">spread</span></th>`)}${head("latest", "Latest")}</tr></thead>
        <tbody>${shownGroups.map((group) => html`
          <tr key=${String(group.value)}>
            <th scope="row"><button class="link" onClick=${() => only(group.value)}><bdi>${group.value === null ? "none" : String(group.value)}</bdi></button></th>
            <td class="end">${grouped(group.runs)}</td>
            ${group.metrics.map((spread, at) => html`<td class="end" title=${spread ? `from ${number(spread.min)} to ${number(spread.max)}, ${plural(spread.count, "run")}` : ""}>
                ${spread && html`<span class="strong">${number(spread.mean)}</span>${spread.deviation !== null && html` <span class="muted">± ${number(Number(toNumber(spread.deviation).toPrecision(3)))}</span>`}`}</td>
              <td class="spread-cell">${spread && html`<${SpreadBar} spread=${spread} low=${Math.min(...answer.groups.map((one) => toNumber(one.metrics[at]?.min ?? null)).filter(Number.isFinite))} high=${Math.max(...answer.groups.map((one) => toNumber(one.metrics[at]?.max ?? null)).filter(Number.isFinite))} />`}</td>`)}
            <td class="end muted"><${Time} ms=${group.latest_ms} /></td>
          </tr>`)}</tbody>
      </table>
      ${answer.total > answer.groups.length && html`<p class="muted">the ${answer.groups.length} largest of ${grouped(answer.total)} groups</p>`}
      ${means.length === 0 && html`<p class="muted">Choose metrics as columns to see how they are spread.</p>`}
    </div>
  `;
}

/** The least, the mean with its deviation, and the most, on the scale of all groups.
 * @param {{ spread: import("../api.js").Spread, low: number, high: number }} props */
function SpreadBar({ spread, low, high }) {
  const x = (/** @type {number} */ n) => 2 + (76 * (Math.min(high, Math.max(low, n)) - low)) / (high - low || 1);
  const [min, mean, max] = [spread.min, spread.mean, spread.max].map(toNumber);
  const off = spread.deviation === null ? 0 : toNumber(spread.deviation);
  return html`<svg class="spread" width="80" height="16" aria-hidden="true">
    <line x1=${x(min)} x2=${x(max)} y1="8" y2="8" /><rect x=${x(mean - off)} width=${Math.max(1, x(mean + off) - x(mean - off))} y="5" height="6" rx="2" /><circle cx=${x(mean)} cy="8" r="3" /></svg>`;
}
