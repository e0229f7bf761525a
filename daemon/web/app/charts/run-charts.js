// Charts over the runs of a table: those that are chosen, else the first that it shows.

import { api } from "../api.js";
import { IN_ROWS, title } from "../columns.js";
import { grouped, plural } from "../format.js";
import { go, route } from "../route.js";
import { chosen, tick } from "../state.js";
import { html, useEffect, useMemo, useState } from "../ui.js";
import { CurveSettings, MetricChart } from "./curves.js";
import { PanelGrid, panelsOf } from "./panels.js";
import { colorAt } from "./series.js";
import { Bars, Boxes, Parallel, Scatter } from "./shapes.js";
import { Empty, Loading } from "../parts/small.js";

/** How many runs are drawn as curves when none is chosen, and how many at most. */
const UNASKED = 20;
const MOST = 200;
/** How many runs are drawn as dots, bars, boxes and strands. */
const MOST_DOTS = 1_000;
const HEIGHT = 300;

/** @typedef {import("../api.js").Row} Row */

/** The runs that are chosen, else the first of the table, with what they have in some columns.
 * @param {import("../rows.js").Rows} rows @param {string[]} columns */
function useRuns(rows, columns) {
  const [found, setFound] = useState(/** @type {{ runs: Row[], columns: string[], total: number } | null} */ (null));
  const picked = [...chosen.value].slice(0, MOST_DOTS).sort().join();
  const wanted = columns.join("\n");
  useEffect(() => {
    let late = false;
    const ids = picked.split(",").filter(Boolean).map((id) => `'${id}'`).join(", ");
    const query = ids
      ? { experiments: rows.query.experiments, filter: `attributes.run_id IN (${ids})`, deleted: rows.query.deleted }
      : rows.query;
    api.table({ ...query, columns, limit: MOST_DOTS }).then((page) => late || setFound({ runs: page.rows, columns, total: page.total }), () => {});
    return () => void (late = true);
  }, [rows, picked, wanted, Math.floor(tick.value / 3)]);
  return { found, picked };
}

const MOST_GROUPS = 12;

/** The runs by what they have in a column, those of most runs first.
 * @param {Row[]} runs @param {(run: Row) => import("../api.js").Cell} read @param {ReadonlySet<string>} hidden */
function groupsOf(runs, read, hidden) {
  /** @type {Map<string, Set<string>>} */
  const groups = new Map();
  for (const run of runs) {
    const name = String(read(run) ?? "none");
    if (!hidden.has(run.id)) groups.set(name, (groups.get(name) ?? new Set()).add(run.id));
  }
  const all = [...groups].sort((a, b) => b[1].size - a[1].size).slice(0, MOST_GROUPS);
  return all.map(([name, ids], index) => ({ name, color: colorAt(index), runs: ids }));
}

/** @param {{ rows: import("../rows.js").Rows, columns: import("../api.js").Columns | null }} props */
export function RunCharts({ rows, columns }) {
  const panels = columns ? panelsOf(columns) : [];
  const by = route.value.query.get("group");
  const needed = [...new Set([...panels.flatMap((panel) => panel.columns), ...(by && !IN_ROWS[by] ? [by] : [])])];
  const { found, picked } = useRuns(rows, needed);
  const [hidden, setHidden] = useState(/** @type {ReadonlySet<string>} */ (new Set()));
  const drawn = (found?.runs ?? []).slice(0, picked || by ? MOST : UNASKED);
  const key = drawn.map((run) => run.id).join();
  const subjects = useMemo(() => drawn.map((run, at) => ({ id: run.id, name: run.name, start_ms: run.start_ms, color: colorAt(at) })), [key]);
  const groups = useMemo(() => {
    if (!by || !found || (!IN_ROWS[by] && !found.columns.includes(by))) return null;
    const at = found.columns.indexOf(by);
    return groupsOf(drawn, IN_ROWS[by] ?? ((run) => run.values[at]), hidden);
  }, [key, by, found?.columns, hidden]);
  if (!found || !columns) return html`<${Loading} />`;
  if (found.runs.length === 0) return html`<${Empty} title="No runs to draw" />`;
  const toggle = (/** @type {string} */ id) => {
    const next = new Set(hidden);
    if (!next.delete(id)) next.add(id);
    setHidden(next);
  };
  const colors = new Map(groups ? groups.flatMap((group) => [...group.runs].map((id) => [id, group.color])) : subjects.map((subject) => [subject.id, subject.color]));
  const order = new Map(found.columns.map((column, at) => [column, at]));
  const data = {
    runs: found.runs.filter((run) => !hidden.has(run.id)),
    value: (/** @type {Row} */ run, /** @type {string} */ column) => run.values[order.get(column) ?? -1] ?? null,
    color: (/** @type {Row} */ run) => colors.get(run.id) ?? "#868e96",
    onOpen: (/** @type {Row} */ run) => go(["experiments", run.experiment, "runs", run.id]),
    height: HEIGHT - 28,
  };
  const draw = (/** @type {import("./panels.js").Panel} */ panel) => {
    const [first, second] = panel.columns;
    if (panel.kind === "curve") return html`<${MetricChart} subjects=${subjects} metric=${first.replace(/^metrics\./, "")} hidden=${hidden} groups=${groups} height=${HEIGHT - 28} />`;
    const shape = {
      scatter: () => html`<${Scatter} ...${data} x=${first} y=${second} />`,
      bar: () => html`<${Bars} ...${data} y=${first} />`,
      box: () => html`<${Boxes} ...${data} x=${first} y=${second} />`,
      parallel: () => html`<${Parallel} ...${data} columns=${panel.columns} />`,
    }[panel.kind];
    const name = { scatter: `${title(second ?? "")} by ${title(first)}`, bar: title(first), box: `${title(second ?? "")} by ${title(first)}`, parallel: "Parallel coordinates" }[panel.kind];
    return html`<figure class="plot"><figcaption><bdi>${name}</bdi></figcaption>${shape()}</figure>`;
  };
  return html`
    <div class="charts">
      <div class="charts-head"><${CurveSettings} /></div>
      <ul class="legend" aria-label="Runs drawn">
        ${groups?.map((group) => html`<li key=${group.name}><span class="legend-group"><i style=${{ background: group.color }}></i><bdi>${group.name}</bdi><span class="count">${plural(group.runs.size, "run")}</span></span></li>`)}
        ${!groups && subjects.map((subject) => html`<li key=${subject.id}><button aria-pressed=${!hidden.has(subject.id)} title=${hidden.has(subject.id) ? "Show" : "Hide"} onClick=${() => toggle(subject.id)}>
          <i style=${{ background: subject.color }}></i><bdi>${subject.name}</bdi></button></li>`)}
        ${found.total > subjects.length && html`<li class="muted">curves of ${subjects.length} of ${grouped(found.total)} runs${picked ? "" : "; choose others in the table"}</li>`}
      </ul>
      <${PanelGrid} panels=${panels} columns=${columns} draw=${draw} />
    </div>
  `;
}
