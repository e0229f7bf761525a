// Columns of tables of runs: what they are called, and how the search language names them.
//
// A column is `metrics.KEY`, `params.KEY`, `tags.KEY` or DEVICE, as the API has it, another of ATTRIBUTES, or `curve.KEY`,
// which is a metric's history drawn small.

import { duration, moment, number, toNumber } from "./format.js";

/** @typedef {import("./api.js").Row} Row */
/** @typedef {{ title: string, field: string | null, width: number, text: (run: Row) => string,
 *   end?: boolean }} Attribute */

/** The device that created a run, which only journals know. */
export const DEVICE = "attributes.device";

/** @type {Record<string, Attribute>} */
export const ATTRIBUTES = {
  status: { title: "Status", field: "attributes.status", width: 110, text: (run) => run.status.toLowerCase() },
  started: {
    title: "Started",
    field: "attributes.start_time",
    width: 104,
    text: (run) => moment(run.start_ms),
  },
  duration: {
    title: "Duration",
    field: "attributes.duration",
    width: 96,
    text: (run) => (run.end_ms ? duration(run.end_ms - run.start_ms) : ""),
    end: true,
  },
  user: { title: "User", field: "attributes.user_id", width: 96, text: (run) => run.user },
  [DEVICE]: { title: "Device", field: DEVICE, width: 110, text: () => "" },
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
export const isValue = (column) => column === DEVICE || (!isAttribute(column) && !isCurve(column));

/** What a person calls it. @param {string} column */
export const title = (column) => (ATTRIBUTES[column] ?? Object.values(ATTRIBUTES).find((one) => one.field === column))?.title ?? split(column)[1];

/** What runs can be grouped by that is in every row. @type {Record<string, (run: Row) => string>} */
export const IN_ROWS = { "attributes.status": (run) => run.status, "attributes.user_id": (run) => run.user };

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
  // The language has no way to write both kinds of quotes in one text.
  const odd = typeof value === "string" && value.includes("'") && value.includes('"');
  if (name === null || value === null || odd) return null;
  const literal = isMetric(column) ? String(toNumber(value)) : quoted(String(value));
  return `${name} = ${literal}`;
}

/** @param {string} filter @param {string} more */
export const and = (filter, more) => (filter.trim() ? `${filter.trim()} AND ${more}` : more);

/** @param {string} column @param {import("./api.js").Cell} value */
export const shown = (column, value) => (isMetric(column) ? number(value) : (value ?? "").toString());

/** Tags that clients keep for themselves. @param {string} key */
export const isSystemTag = (key) => key.startsWith("mlflow.") || key.startsWith("runmesh.");

/**
 * What a table shows unasked: the values that the daemon chose, after what every row has.
 * @param {string[]} values @param {boolean} many of several experiments
 */
export const unasked = (values, many) => ["status", "started", "duration", ...(many ? ["experiment"] : []), ...(values.includes(DEVICE) ? ["user"] : []), ...values];
