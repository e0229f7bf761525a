// The head of a parquet file as a table. Of the file only its index, and the columns of its first rows are asked for.
//
// Invariant: however large the file, no more than MAX_BYTES of it are held.

import { api } from "../api.js";
import { bytes, grouped, plural } from "../format.js";
import { html, useEffect, useState } from "../ui.js";
import { Loading } from "./small.js";

const MAX_ROWS = 1_000;
const MAX_COLUMNS = 200;
const MAX_BYTES = 64 << 20;
const MAX_CELL_CHARS = 300;

/** @typedef {{ names: string[], kinds: string[], rows: unknown[][], total: number, columns: number }} Head */

/** @param {string} of @param {string} path @param {number} size @param {AbortSignal} signal @returns {Promise<Head>} */
async function head(of, path, size, signal) {
  const [{ parquetMetadataAsync, parquetSchema, parquetRead }, { decompress }] = await Promise.all([import("hyparquet"), import("fzstd")]);
  const file = {
    byteLength: size,
    slice: (/** @type {number} */ from, /** @type {number} */ until = size) => {
      if (until - from > MAX_BYTES) throw new Error(`one piece of it has ${bytes(until - from)}`);
      return api.artifactBytes(of, path, from, until, signal);
    },
  };
  const metadata = await parquetMetadataAsync(file);
  const schema = parquetSchema(metadata).children;
  // As many columns as are light enough, in their order.
  let held = 0;
  const names = [];
  for (const { element } of schema.slice(0, MAX_COLUMNS)) {
    const chunks = metadata.row_groups[0]?.columns.filter((column) => column.meta_data?.path_in_schema[0] === element.name) ?? [];
    held += chunks.reduce((sum, column) => sum + Number(column.meta_data?.total_uncompressed_size ?? 0), 0);
    if (held > MAX_BYTES) break;
    names.push(element.name);
  }
  if (names.length === 0 && schema.length > 0) throw new Error("its first column alone is too large to be shown");
  const total = Number(metadata.num_rows);
  // The rows of the first group alone: another may be as large again.
  const rowEnd = Math.min(MAX_ROWS, Number(metadata.row_groups[0]?.num_rows ?? 0));
  /** @type {unknown[][]} */
  let rows = [];
  const compressors = { ZSTD: (/** @type {Uint8Array} */ input) => decompress(input) };
  if (rowEnd > 0) {
    await parquetRead({ file, metadata, columns: names, rowStart: 0, rowEnd, compressors, useOffsetIndex: true, rowFormat: "array", onComplete: (all) => void (rows = /** @type {any} */ (all)) });
  }
  const kinds = schema.slice(0, names.length).map(({ element, children }) => (children.length ? "nested" : (element.logical_type?.type ?? element.converted_type ?? element.type ?? "").toLowerCase()));
  return { names, kinds, rows, total, columns: schema.length };
}

/** @param {unknown} cell */
const isNumber = (cell) => typeof cell === "number" || typeof cell === "bigint";

/** @param {unknown} cell */
function said(cell) {
  if (cell === null || cell === undefined) return "";
  if (cell instanceof Date) return cell.toISOString();
  if (cell instanceof Uint8Array) return `${plural(cell.length, "byte")}`;
  const text = typeof cell === "object" ? JSON.stringify(cell, (_, value) => (typeof value === "bigint" ? String(value) : value)) : String(cell);
  return text.length > MAX_CELL_CHARS ? `${text.slice(0, MAX_CELL_CHARS)}…` : text;
}

/** @param {{ of: string, path: string, size: number }} props */
export function Parquet({ of, path, size }) {
  const [seen, setSeen] = useState(/** @type {Head | null} */ (null));
  const [fault, setFault] = useState("");
  useEffect(() => {
    const stop = new AbortController();
    head(of, path, size, stop.signal).then(setSeen, (why) => stop.signal.aborted || setFault(String(why?.message ?? why)));
    return () => stop.abort();
  }, [of, path]);
  if (fault) return html`<p class="muted">This parquet file cannot be shown: ${fault}. Download it to open it.</p>`;
  if (!seen) return html`<${Loading} />`;
  const columns = seen.names.length < seen.columns ? `the first ${seen.names.length} of ${plural(seen.columns, "column")}` : plural(seen.columns, "column");
  const rows = seen.rows.length < seen.total ? `The first ${grouped(seen.rows.length)} of ${plural(seen.total, "row")}` : plural(seen.total, "row");
  return html`
    <p class="muted above">${rows}, ${columns}</p>
    <div class="table-box tall" tabindex="0" role="region" aria-label="Table"><table>
      <thead><tr>${seen.names.map((name, at) => html`<th class=${isNumber(seen.rows[0]?.[at]) ? "end" : ""}><bdi>${name}</bdi><small>${seen.kinds[at]}</small></th>`)}</tr></thead>
      <tbody>${seen.rows.map((row) => html`<tr>${row.map((cell) => html`<td class=${isNumber(cell) ? "end" : ""}>${said(cell)}</td>`)}</tr>`)}</tbody>
    </table></div>`;
}
