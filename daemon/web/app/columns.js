// Columns of tables of runs: what they are called, and how the search language names them.
//
// A column is `metrics.KEY`, `params.KEY` or `tags.KEY`, as the API has it, one of ATTRIBUTES, or `curve.KEY`, which is
// a metric's history drawn small.

import { ago, duration, moment, number, toNumber } from "./format.js";

/** @typedef {import("./api.js").Row} Row */
/** @typedef {{ title: string, field: string | null, width: number, text: (run: Row) => string,
 *   tip?: (run: Row) => string, end?: boolean }} Attribute */

/** @type {Record<string, Attribute>} */
export const ATTRIBUTES = {
  status: { title: "Status", field: "attributes.status", width: 110, text: (run) => run.status.toLowerCase() },
  started: {
    title: "Started",
    field: "attributes.start_time",
    width: 104,
    text: (run) => ago(run.start_ms),
    tip: (run) => moment(run.start_ms),
  },
  duration: {
    title: "Duration",
    field: null,
    width: 96,
    text: (run) => (run.end_ms ? duration(run.end_ms - run.start_ms) : ""),
    end: true,
  },
  user: { title: "User", field: "attributes.user_id", width: 96, text: (run) => run.user },
  experiment: { title: "Experiment", field: null, width: 150, text: () => "" },
};

/** @param {string} column @returns {[kind: string, key: string]} */
export function split(column) {
  const dot = column.indexOf(".");
  return dot < 0 ? ["attributes", column] : [column.slice(0, dot), column.slice(dot + 1)];
}

/** @param {string} column */
export const isMetric = (column) => column.startsWith("metrics.");
/** @param {string} column */
export const isAttribute = (column) => column in ATTRIBUTES;

/** @param {string} column */
export const isCurve = (column) => column.startsWith("curve.");
/** Whether the table asks for its values with the rows. @param {string} column */
export const isValue = (column) => !isAttribute(column) && !isCurve(column);

/** What a person calls it. @param {string} column */
export const title = (column) => ATTRIBUTES[column]?.title ?? split(column)[1];

/** How the search language names it, or null where it cannot. @param {string} column */
export function field(column) {
  if (isAttribute(column)) return ATTRIBUTES[column].field;
  if (column === "name") return "attributes.run_name";
  const [kind, key] = split(column);
  if (kind === "curve") return null;
  if (/^[A-Za-z_][\w.]*$/.test(key)) return `${kind}.${key}`;
  const quote = key.includes("`") ? '"' : "`";
  return `${kind}.${quote}${key}${quote}`;
}

/** A text as the search language writes it. @param {string} text */
const quoted = (text) => (text.includes("'") ? `"${text}"` : `'${text}'`);

/**
 * The clause that holds for the runs which have this value.
 * @param {string} column @param {import("./api.js").Cell} value
 */
export function clause(column, value) {
  const name = field(column);
  if (name === null || value === null) return null;
  const literal = isMetric(column) ? String(toNumber(value)) : quoted(String(value));
  return `${name} = ${literal}`;
}

/** @param {string} filter @param {string} more */
export const and = (filter, more) => (filter.trim() ? `${filter.trim()} AND ${more}` : more);

/** @param {string} column @param {import("./api.js").Cell} value */
export const shown = (column, value) => (isMetric(column) ? number(value) : (value ?? "").toString());

/** Tags that clients keep for themselves. @param {string} key */
export const isSystemTag = (key) => key.startsWith("mlflow.") || key.startsWith("runmesh.");

/** What a table shows unasked. @param {import("./api.js").Columns} columns @param {boolean} many */
export function defaults(columns, many) {
  const some = (/** @type {string[]} */ keys, /** @type {string} */ kind) =>
    keys.filter((key) => !key.startsWith("system/")).slice(0, 5).map((key) => `${kind}.${key}`);
  return [
    "status",
    "started",
    "duration",
    ...(many ? ["experiment"] : []),
    ...some(columns.metrics, "metrics"),
    ...some(columns.params, "params"),
  ];
}
