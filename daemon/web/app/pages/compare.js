// Runs beside one another: what differs first, and which metric is best where.

import { api } from "../api.js";
import { isSystemTag } from "../columns.js";
import { duration, moment, number, toNumber } from "../format.js";
import { href, route, setQuery } from "../route.js";
import { keepSetting, setting } from "../settings.js";
import { attempt, tick } from "../state.js";
import { cls, html, signal, useEffect, useMemo, useState } from "../ui.js";
import { CurveSettings, MetricChart } from "../charts/curves.js";
import { colorAt } from "../charts/series.js";
import { Icon } from "../parts/icons.js";
import { Images } from "../parts/images.js";
import { Empty, Loading, Status } from "../parts/small.js";
import { exportPage } from "../parts/export.js";

/** Metrics of which less is better, as people name them; what a person chose goes before. */
const LESS = /loss|err|mae|mse|rmse|mape|perplexity|ppl|latency|time|duration/i;
const directions = signal(setting("directions", /** @type {Record<string, boolean>} */ ({})));

/** @param {string} key */
const lessIsBetter = (key) => directions.value[key] ?? LESS.test(key);

/** @typedef {import("../api.js").Run} Run */
/** @typedef {{ key: string, values: (string | null)[], numbers?: number[] }} Line */

/** @param {Run[]} runs @param {(run: Run) => Record<string, any>} read @param {(key: string) => boolean} [keep] @returns {Line[]} */
function lines(runs, read, keep = () => true) {
  const keys = [...new Set(runs.flatMap((run) => Object.keys(read(run))))].filter(keep).sort();
  return keys.map((key) => ({ key, values: runs.map((run) => read(run)[key] ?? null) }));
}

/** @param {Line} line */
export const differs = (line) => new Set(line.values.map(String)).size > 1;

/** @param {Run[]} runs */
export function sections(runs) {
  const metrics = lines(runs, (run) => run.metrics).map((line) => ({ ...line, numbers: line.values.map(toNumber), values: line.values.map((value) => (value === null ? null : number(value))) }));
  const facts = /** @type {[string, (run: Run) => string][]} */ ([
    ["status", (run) => run.status.toLowerCase()],
    ["started", (run) => moment(run.start_ms)],
    ["duration", (run) => (run.end_ms ? duration(run.end_ms - run.start_ms) : "")],
    ["user", (run) => run.user],
    ["experiment", (run) => run.experiment.name],
  ]);
  return /** @type {[string, Line[]][]} */ ([
    ["Metrics", metrics],
    ["Params", lines(runs, (run) => run.params)],
    ["Attributes", facts.map(([key, read]) => ({ key, values: runs.map(read) }))],
    ["Tags", lines(runs, (run) => run.tags, (key) => !isSystemTag(key))],
  ]);
}

/** Which places hold the best and the worst number of a line. @param {Line} line */
export function extremes(line) {
  const finite = (line.numbers ?? []).filter(Number.isFinite);
  if (finite.length < 2 || Math.min(...finite) === Math.max(...finite)) return { best: null, worst: null };
  const [low, high] = [Math.min(...finite), Math.max(...finite)];
  return lessIsBetter(line.key) ? { best: low, worst: high } : { best: high, worst: low };
}

export function ComparePage() {
  const ids = route.value.query.getAll("run");
  const only = route.value.query.has("differing");
  const key = ids.join();
  const [runs, setRuns] = useState(/** @type {Run[] | null} */ (null));
  useEffect(() => {
    let late = false;
    Promise.all(ids.map((id) => api.run(id).catch(() => null))).then((all) => late || setRuns(/** @type {Run[]} */ (all.filter(Boolean))));
    return () => void (late = true);
  }, [key, Math.floor(tick.value / 3)]);
  document.title = "Compare · runmesh";
  if (!runs) return html`<${Loading} />`;
  if (runs.length === 0) return html`<${Empty} title="Nothing to compare"><p>Choose runs in the <a href="#/experiments">table</a>, then Compare.</p><//>`;
  return html`
    <div class="compare">
      <header class="runs-head">
        <h1>Compare ${runs.length} runs</h1><span class="grow"></span>
        <label class="check"><input type="checkbox" checked=${only} onChange=${() => setQuery({ differing: only ? null : "1" }, { replace: true })} />Only what differs</label>
        <button onClick=${() => attempt(() => exportPage(runs))}><${Icon} name="down" />Save as a page</button>
      </header>
      <${Table} runs=${runs} only=${only} />
      <${Curves} runs=${runs} />
      <${Images} runs=${runs} />
    </div>
  `;
}

/** @param {{ runs: Run[], only: boolean }} props */
function Table({ runs, only }) {
  const drop = (/** @type {string} */ id) => setQuery({ run: runs.map((run) => run.id).filter((one) => one !== id) });
  return html`
    <div class="table-box compare-box" tabindex="0" role="region" aria-label="Runs side by side">
      <table class="compare-table">
        <thead><tr><th></th>${runs.map((run, at) => html`<th scope="col" key=${run.id}><i style=${{ background: colorAt(at) }}></i>
          <a href=${href(["experiments", run.experiment.id, "runs", run.id])}><bdi>${run.name}</bdi></a>
          <button class="quiet square" aria-label=${`Leave out ${run.name}`} onClick=${() => drop(run.id)}><${Icon} name="close" /></button><${Status} of=${run.status} /></th>`)}</tr></thead>
        ${sections(runs).map(([title, all]) => {
          const shown = [...all.filter(differs), ...(only ? [] : all.filter((line) => !differs(line)))];
          return shown.length > 0 && html`<tbody key=${title}>
            <tr class="section"><th colspan=${runs.length + 1}>${title}</th></tr>
            ${shown.map((line) => html`<${Row} key=${line.key} line=${line} metric=${title === "Metrics"} />`)}
          </tbody>`;
        })}
      </table>
    </div>
  `;
}

/** @param {{ line: Line, metric: boolean }} props */
function Row({ line, metric }) {
  const { best, worst } = extremes(line);
  const less = lessIsBetter(line.key);
  const turn = () => {
    directions.value = { ...directions.value, [line.key]: !less };
    keepSetting("directions", directions.value);
  };
  return html`
    <tr class=${cls(!differs(line) && "same")}>
      <th scope="row"><bdi title=${line.key}>${line.key}</bdi>${metric && html`<button class="quiet direction" title=${less ? "Less is better; click to turn" : "More is better; click to turn"} aria-label=${`${line.key}: ${less ? "less" : "more"} is better`} onClick=${turn}>${less ? "↓" : "↑"}</button>`}</th>
      ${line.values.map((value, at) => {
        const n = line.numbers?.[at];
        const mark = n !== undefined && n === best ? "best" : n !== undefined && n === worst ? "worst" : null;
        return html`<td key=${at} class=${cls(metric && "end", mark)}><bdi>${value ?? "–"}</bdi>${mark && html`<span class="unseen">${mark}</span>`}</td>`;
      })}
    </tr>
  `;
}

const NONE = new Set();

/** @param {{ runs: Run[] }} props */
function Curves({ runs }) {
  const key = runs.map((run) => run.id).join();
  const subjects = useMemo(() => runs.map((run, at) => ({ id: run.id, name: run.name, start_ms: run.start_ms, color: colorAt(at) })), [key]);
  const metrics = [...new Set(runs.flatMap((run) => run.series.filter((one) => one.points > 1).map((one) => one.key)))].sort();
  if (metrics.length === 0) return null;
  return html`
    <section aria-label="Curves">
      <div class="charts-head"><h2>Curves</h2><${CurveSettings} /></div>
      <div class="chart-grid">${metrics.map((metric) => html`<${MetricChart} key=${metric} subjects=${subjects} metric=${metric} hidden=${NONE} />`)}</div>
    </section>
  `;
}
