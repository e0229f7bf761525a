// What a table of runs shows, as the address and this browser's settings have it, and what the daemon is asked for it.
//
// Invariant: it is a function of those, so that the first rows can be asked for ahead of the page and are those that the page
// asks for.

import { field, isValue } from "./columns.js";
import { setting } from "./settings.js";

/** @typedef {ReturnType<typeof asked>} Asked */

/** What the address says the table shows. @param {URLSearchParams} query */
export function asked(query) {
  const sort = query.get("sort") ?? "";
  const down = sort.startsWith("-");
  return {
    filter: query.get("q") ?? "",
    sort: sort ? { column: down ? sort.slice(1) : sort, down } : null,
    deleted: query.has("deleted"),
    columns: query.getAll("col"),
    pinned: query.getAll("pin"),
    // The column's name may have a colon in it.
    widths: Object.fromEntries(query.getAll("w").map((one) => [one.slice(one.indexOf(":") + 1), parseInt(one, 10) || undefined]).filter(([, size]) => size)),
    view: query.get("view") ?? "table",
    group: query.get("group") ?? "",
  };
}

/** Under which name this browser keeps what was chosen as columns. @param {string[]} experiments */
export const columnsSetting = (experiments) => `columns ${experiments.join(",")}`;

/**
 * The columns of the table, but the name: those of the address, else those that this browser keeps; null leaves them to the daemon.
 * @param {string[]} experiments @param {Asked} now
 */
export function columnsOf(experiments, now) {
  if (now.columns.length) return now.columns;
  const kept = setting(columnsSetting(experiments), /** @type {string[]} */ ([]));
  return kept.length ? kept : null;
}

/** @typedef {Omit<import("./api.js").TableQuery, "limit" | "offset" | "set">} Query */

/** What the daemon is asked for. @param {string[]} experiments @param {Asked} now @param {string[] | null} shown null: what the daemon chooses @returns {Query} */
export function queryOf(experiments, now, shown) {
  const by = now.sort && field(now.sort.column);
  return {
    experiments,
    filter: now.filter,
    order_by: by ? [`${by} ${now.sort?.down ? "DESC" : "ASC"}`] : [],
    deleted: now.deleted,
    columns: shown?.filter(isValue).sort(),
  };
}

/** How many rows are asked for at a time. */
export const PAGE = 100;

/** A part of a table. @param {Query} query @param {number} offset @param {number} limit @param {number | null} set @returns {import("./api.js").TableQuery} */
export const partOf = (query, offset, limit, set) => ({ ...query, offset, limit, set });
