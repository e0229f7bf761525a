// The charts of one run: one for each metric.

import { html, useMemo, useState } from "../ui.js";
import { CurveSettings, MetricChart } from "./curves.js";
import { colorAt } from "./series.js";

const NONE = new Set();

/** @param {{ run: import("../api.js").Run }} props */
export function RunCurves({ run }) {
  const [search, setSearch] = useState("");
  const keys = [...new Set(run.series.filter((one) => one.points > 1).map((one) => one.key))];
  const found = keys.filter((key) => key.toLowerCase().includes(search.toLowerCase()));
  const subjects = useMemo(() => [{ id: run.id, name: run.name, start_ms: run.start_ms, color: colorAt(0) }], [run.id]);
  if (keys.length === 0) return html`<p class="muted">Nothing here has more than one point. <code>mlflow.log_metric("loss", value, step=step)</code> in a loop makes a curve.</p>`;
  return html`
    <div class="charts-head"><${CurveSettings} />${keys.length > 6 && html`<input class="search" type="search" aria-label="Find a metric" placeholder="Find a metric" value=${search} onInput=${(/** @type {any} */ event) => setSearch(event.target.value)} />`}</div>
    <div class="chart-grid">${found.map((key) => html`<${MetricChart} key=${key} subjects=${subjects} metric=${key} hidden=${NONE} />`)}</div>
  `;
}
