// Files made here: what a table shows, as CSV or JSON.

import { isValue } from "../columns.js";
import { grouped } from "../format.js";
import { attempt, tell } from "../state.js";

const PAGE = 5_000;

/** @param {Blob} blob @param {string} name */
export function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/**
 * Saves what an answer brings: straight into a file where the browser lets a page do that, else by way of memory.
 * @param {string} name @param {() => Promise<Response>} ask @returns {Promise<boolean>} false if the person would rather not
 */
export async function saveAnswer(name, ask) {
  /** @type {any} */
  const { showSaveFilePicker } = window;
  if (!showSaveFilePicker) {
    save(await (await ask()).blob(), name);
    return true;
  }
  const file = await showSaveFilePicker({ suggestedName: name }).catch(() => null);
  if (!file) return false;
  await (await ask()).body?.pipeTo(await file.createWritable());
  return true;
}

/** A field of CSV. What a spreadsheet would take for a formula is kept a text. @param {string} value */
export function csvField(value) {
  const safe = /^[=+@\t\r]/.test(value) || (value.startsWith("-") && Number.isNaN(Number(value))) ? `'${value}` : value;
  return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/** @param {import("../rows.js").Rows} rows @param {string[]} columns @param {"csv" | "json"} form */
export const download = (rows, columns, form) =>
  attempt(async () => {
    /** @type {import("../api.js").Row[]} */
    const all = [];
    for (let more = true; more; ) {
      const page = await rows.ask(all.length, PAGE, rows.set);
      all.push(...page.rows);
      more = page.rows.length === PAGE;
    }
    const at = new Map(rows.columns.value?.map((column, index) => [column, index]));
    const raw = (/** @type {import("../api.js").Row} */ run, /** @type {string} */ column) => run.values[at.get(column) ?? -1] ?? null;
    const kept = columns.filter(isValue);
    if (form === "json") {
      const objects = all.map(({ values, ...run }) => ({ ...run, ...Object.fromEntries(kept.map((column) => [column, values[at.get(column) ?? -1] ?? null])) }));
      save(new Blob([JSON.stringify(objects, null, 1)], { type: "application/json" }), "runs.json");
    } else {
      const head = ["run_id", "name", "status", "start", "end", "user", ...kept];
      const line = (/** @type {import("../api.js").Row} */ run) => [
        run.id, run.name, run.status, new Date(run.start_ms).toISOString(), run.end_ms ? new Date(run.end_ms).toISOString() : "", run.user,
        ...kept.map((column) => String(raw(run, column) ?? "")),
      ];
      const lines = [head, ...all.map(line)].map((fields) => fields.map(csvField).join(","));
      save(new Blob([lines.join("\r\n"), "\r\n"], { type: "text/csv" }), "runs.csv");
    }
    tell(`${grouped(all.length)} runs saved`);
  });
