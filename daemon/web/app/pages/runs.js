// The runs of some experiments, or of all: as a table or as charts.

import { api } from "../api.js";
import { asked, columnsOf, columnsSetting, queryOf } from "../asked.js";
import { and, unasked } from "../columns.js";
import { plural } from "../format.js";
import { lazy } from "../lazy.js";
import { go, route, setQuery, target } from "../route.js";
import { Rows } from "../rows.js";
import { keepSetting } from "../settings.js";
import { attempt, chosen, experiments, throttled, tick } from "../state.js";
import { html, useEffect, useLayoutEffect, useMemo, useState } from "../ui.js";
import { VIEWS } from "../views.js";
import { ChosenBar } from "../parts/chosen.js";
import { ask, Menu, MenuItem } from "../parts/dialog.js";
import { download } from "../parts/download.js";
import { FilterLine } from "../parts/filter.js";
import { GroupBy, GroupTable } from "../parts/groups.js";
import { Grid } from "../parts/grid.js";
import { Icon } from "../parts/icons.js";
import { Sidebar } from "../parts/sidebar.js";
import { Empty, Failure, FirstLines, Loading } from "../parts/small.js";
import { Views } from "../parts/views.js";

const ColumnPicker = lazy(() => import("../parts/picker.js").then((module) => module.ColumnPicker), null);
const RunCharts = lazy(VIEWS.charts);
const NO_COLUMNS = { metrics: [], params: [], tags: [] };

export function RunsPage() {
  const { experiments: ids } = target(route.value);
  const key = ids.join(",");
  const columns = useColumns(ids);
  const [picking, setPicking] = useState(false);
  const now = asked(route.value.query);
  useEffect(() => void (chosen.value.size > 0 && (chosen.value = new Set())), [key, now.deleted]);

  const chosenColumns = columnsOf(ids, now);
  const rows = useRows(ids, now, chosenColumns);
  const values = rows.columns.value;
  const shown = chosenColumns ?? (values && unasked(values, ids.length !== 1));
  const setShown = (/** @type {string[]} */ to) => {
    keepSetting(columnsSetting(ids), to);
    setQuery({ col: to }, { replace: true });
  };
  const charts = now.view === "charts";
  return html`
    <div class="runs-page">
      <${Sidebar} />
      <section class="runs" aria-label="Runs">
        <${Head} ids=${ids} />
        <div class="toolbar">
          <${FilterLine} value=${now.filter} columns=${columns} error=${rows.error.value} onFilter=${(/** @type {string} */ q) => setQuery({ q })} />
          <div class="switch" role="group" aria-label="Show as">
            <button aria-pressed=${!charts} onClick=${() => setQuery({ view: null })}><${Icon} name="table" />Table</button>
            <button aria-pressed=${charts} onClick=${() => setQuery({ view: "charts" })}><${Icon} name="chart" />Charts</button>
          </div>
          <${Views} />
          <button onClick=${() => setPicking(true)} disabled=${!columns}><${Icon} name="columns" />Columns</button>
          <${Menu} label="More" face=${html`<${Icon} name="more" />`} class="square" end>
            <${MenuItem} icon="down" onClick=${() => shown && download(rows, shown, "csv")}>Download as CSV<//>
            <${MenuItem} icon="down" onClick=${() => shown && download(rows, shown, "json")}>Download as JSON<//>
            <${MenuItem} checked=${now.deleted} onClick=${() => setQuery({ deleted: now.deleted ? null : "1" })}>Show deleted runs<//>
            ${ids.length === 1 && html`<${ExperimentItems} id=${ids[0]} />`}
          <//>
        </div>
        ${(shown || rows.error.value) && html`
          <div class="summary" role="status">
            ${rows.total.value !== null && html`<span>${plural(rows.total.value, now.deleted ? "deleted run" : "run")}</span>`}
            ${columns && html`<${GroupBy} columns=${columns} value=${now.group} />`}
            ${now.deleted && html`<button class="chip" onClick=${() => setQuery({ deleted: null })}>deleted<${Icon} name="close" /></button>`}
          </div>
          ${charts
            ? html`<${RunCharts} rows=${rows} columns=${columns} />`
            : now.group && columns
              ? html`<${GroupTable} rows=${rows} by=${now.group} shown=${shown ?? []} filter=${now.filter} />`
              : html`<${Table} rows=${rows} shown=${shown ?? []} now=${now} ids=${ids} onColumns=${setShown} />`}
        `}
        ${!shown && !rows.error.value && html`<${Loading} />`}
        <${ChosenBar} deleted=${now.deleted} onCharts=${() => setQuery({ view: "charts" })} />
      </section>
      ${picking && columns && shown && html`<${ColumnPicker} columns=${columns} shown=${shown} onColumns=${setShown} onClose=${() => setPicking(false)}
        onReset=${() => (keepSetting(columnsSetting(ids), []), setQuery({ col: null }, { replace: true }))} />`}
    </div>
  `;
}

/** What columns there are. @param {string[]} ids @returns {import("../api.js").Columns | null} */
function useColumns(ids) {
  const key = ids.join(",");
  const [found, setFound] = useState({ key, columns: /** @type {import("../api.js").Columns | null} */ (null) });
  useEffect(() => {
    let late = false;
    const set = (/** @type {import("../api.js").Columns} */ columns) => late || setFound({ key, columns });
    api.columns(ids).then(set, () => set(NO_COLUMNS));
    return () => void (late = true);
  }, [key, Math.floor(tick.value / 5)]);
  return found.key === key ? found.columns : null;
}

/** The rows that the address asks for, kept fresh. @param {string[]} ids @param {import("../asked.js").Asked} now @param {string[] | null} shown */
function useRows(ids, now, shown) {
  const query = queryOf(ids, now, shown);
  const rows = useMemo(() => new Rows(query), [JSON.stringify(query)]);
  useLayoutEffect(() => {
    rows.refresh();
    const refresh = throttled(() => rows.refresh(), 1_000);
    let first = true;
    const stop = tick.subscribe(() => (first ? (first = false) : refresh()));
    return () => {
      stop();
      rows.close();
    };
  }, [rows]);
  return rows;
}

/** @param {{ ids: string[] }} props */
function Head({ ids }) {
  const found = ids.map((id) => experiments.value?.find((one) => one.id === id));
  const one = found.length === 1 ? found[0] : undefined;
  const title = ids.length === 0 ? "All runs" : found.map((each, at) => each?.name ?? (experiments.value ? `experiment ${ids[at]}` : "…")).join(" + ");
  useEffect(() => void (document.title = `${title} · runmesh`), [title]);
  return html`
    <header class="runs-head">
      <h1><bdi>${title}</bdi>${one?.lifecycle === "deleted" && html`<span class="badge">deleted</span>`}</h1>
      ${one?.description && html`<p class="muted note-line"><bdi>${one.description.split("\n")[0]}</bdi></p>`}
    </header>
  `;
}

/** @param {{ id: string }} props */
function ExperimentItems({ id }) {
  const one = experiments.value?.find((each) => each.id === id);
  if (!one) return null;
  const update = async (/** @type {Omit<import("../api.js").RunsUpdate, "runs">} */ change) => {
    await attempt(() => api.updateExperiment(id, change));
    tick.value += 1;
  };
  const rename = async () => {
    const name = await ask({ title: "Rename the experiment", label: "Name", value: one.name, go: "Rename" });
    if (name) await update({ name: name.trim() });
  };
  const describe = async () => {
    const description = await ask({ title: "Describe the experiment", label: "Note", value: one.description, go: "Save" });
    if (description) await update({ description });
  };
  const remove = async () => {
    const text = `Its ${plural(one.runs, "run")} will be deleted with it. Both can be restored.`;
    if (await ask({ title: `Delete ${one.name}?`, text, go: "Delete", danger: true })) {
      await update({ deleted: true });
      go(["experiments"]);
    }
  };
  if (one.lifecycle === "deleted") return html`<${MenuItem} icon="restore" onClick=${() => update({ deleted: false })}>Restore the experiment<//>`;
  return html`
    <${MenuItem} icon="edit" onClick=${rename}>Rename the experiment<//>
    <${MenuItem} icon="edit" onClick=${describe}>Describe the experiment<//>
    <${MenuItem} icon="trash" danger onClick=${remove}>Delete the experiment<//>
  `;
}

/** @param {{ rows: Rows, shown: string[], now: import("../asked.js").Asked, ids: string[], onColumns: (columns: string[]) => void }} props */
function Table({ rows, shown, now, ids, onColumns }) {
  const error = rows.error.value;
  if (rows.total.value === 0 && !error) {
    if (now.filter) return html`<${Empty} title="No run matches"><p>Change the filter, or <button class="link" onClick=${() => setQuery({ q: null })}>clear it</button>.</p><//>`;
    if (now.deleted) return html`<${Empty} title="No deleted runs"><p>Deleted runs wait here until they are restored.</p><//>`;
    const one = ids.length === 1 ? experiments.value?.find((each) => each.id === ids[0]) : undefined;
    return html`<${Empty} title="No runs yet"><p>They show here as they are logged. Nothing but the address has to change in your script:</p><${FirstLines} experiment=${one?.name} /><//>`;
  }
  if (rows.total.value === null && error?.code === "invalid") {
    return html`<${Empty} title="The filter cannot be understood yet"><p>It speaks MLflow's search language: names like <code>metrics.loss</code> and <code>params.model</code>, compared with
      <code>=</code> <code>!=</code> <code>&lt;</code> <code>></code> <code>LIKE</code> <code>IN</code>, joined by <code>and</code>. Texts stand in quotes, odd names in backticks.</p><//>`;
  }
  if (rows.total.value === null && error) return html`<${Failure} error=${error} />`;
  const pin = (/** @type {string} */ column) => {
    const pinned = now.pinned.includes(column) ? now.pinned.filter((one) => one !== column) : [...now.pinned, column];
    setQuery({ pin: pinned }, { replace: true });
  };
  return html`<${Grid} rows=${rows} columns=${shown} pinned=${now.pinned} widths=${now.widths} sort=${now.sort} onColumns=${onColumns} onPin=${pin}
    onWidths=${(/** @type {Record<string, number>} */ widths) => setQuery({ w: Object.entries(widths).map(([column, size]) => `${size}:${column}`) }, { replace: true })}
    onSort=${(/** @type {string} */ column, /** @type {boolean} */ down) => setQuery({ sort: down ? `-${column}` : column })}
    onFilter=${(/** @type {string} */ clause) => setQuery({ q: and(now.filter, clause) })}
    onOpen=${(/** @type {import("../api.js").Row} */ run) => go(["experiments", run.experiment, "runs", run.id])} />`;
}
