// Charts over the runs of a table: those that are chosen, else the first that it shows.

import { api } from "../api.js";
import { chosen, tick } from "../state.js";
import { html, useEffect, useMemo, useState } from "../ui.js";
import { CurveSettings, MetricChart } from "./curves.js";
import { colorAt } from "./series.js";
import { Empty, Loading } from "../parts/small.js";

/** How many runs are drawn when none is chosen. */
const UNASKED = 20;
const MOST = 200;

/** @param {{ rows: import("../rows.js").Rows, columns: import("../api.js").Columns | null }} props */
export function RunCharts({ rows, columns }) {
  const [runs, setRuns] = useState(/** @type {import("../api.js").Row[] | null} */ (null));
  const [hidden, setHidden] = useState(/** @type {ReadonlySet<string>} */ (new Set()));
  const picked = [...chosen.value].slice(0, MOST).sort().join();
  useEffect(() => {
    let late = false;
    const ids = picked.split(",").filter(Boolean);
    const quoted = ids.map((id) => `'${id}'`).join(", ");
    const wanted = ids.length
      ? api.table({ experiments: rows.query.experiments, filter: `attributes.run_id IN (${quoted})`, deleted: rows.query.deleted, limit: MOST })
      : rows.ask(0, UNASKED, rows.set);
    wanted.then((page) => late || setRuns(page.rows), () => {});
    return () => void (late = true);
  }, [rows, picked, rows.version.value === 0, Math.floor(tick.value / 3)]);
  const key = runs?.map((run) => run.id).join();
  const subjects = useMemo(() => (runs ?? []).map((run, at) => ({ id: run.id, name: run.name, start_ms: run.start_ms, color: colorAt(at) })), [key]);
  if (!runs || !columns) return html`<${Loading} />`;
  if (runs.length === 0) return html`<${Empty} title="No runs to draw" />`;
  const toggle = (/** @type {string} */ id) => {
    const next = new Set(hidden);
    if (!next.delete(id)) next.add(id);
    setHidden(next);
  };
  return html`
    <div class="charts">
      <div class="charts-head"><${CurveSettings} /></div>
      <ul class="legend" aria-label="Runs drawn">
        ${subjects.map((subject) => html`<li key=${subject.id}><button aria-pressed=${!hidden.has(subject.id)} title=${hidden.has(subject.id) ? "Show" : "Hide"} onClick=${() => toggle(subject.id)}>
          <i style=${{ background: subject.color }}></i><bdi>${subject.name}</bdi></button></li>`)}
        ${!picked && runs.length === UNASKED && html`<li class="muted">the first ${UNASKED} runs; choose some in the table to draw those</li>`}
      </ul>
      <div class="chart-grid">${columns.metrics.map((metric) => html`<${MetricChart} key=${metric} subjects=${subjects} metric=${metric} hidden=${hidden} />`)}</div>
    </div>
  `;
}
