// An MLmodel file and a model card as people read them: what loads the model, what goes in and what comes out.
//
// Invariant: what cannot be understood of the file is left out here and stands in its text, which a click shows.

import { bytes } from "../format.js";
import { href } from "../route.js";
import { html } from "../ui.js";
import { Pairs } from "./facts.js";
import { Markdown } from "./markdown.js";

/** @typedef {Map<string, Value>} Section */
/** @typedef {string | Section} Value */

/** How deep a line stands. @param {string} line */
const depth = (line) => line.search(/\S/);

/** Whether a quoted text goes on in the next line. @param {string} text */
const isOpen = (text) => (text[0] === "'" ? text.split("'").length % 2 === 0 : text[0] === '"' && text.replace(/\\./g, "").split('"').length % 2 === 0);

/** What a scalar stands for. @param {string} text */
function plain(text) {
  if (text[0] === "'") return text.slice(1, -1).replaceAll("''", "'");
  if (text[0] !== '"') return text === "null" || text === "~" ? "" : text;
  try {
    return String(JSON.parse(text));
  } catch {
    return text.slice(1, -1);
  }
}

/**
 * Reads the maps of texts, maps and lists of texts that people and MLflow write of YAML; a list becomes one text.
 * @param {string} text @returns {Section}
 */
export function parseMaps(text) {
  const lines = text.split(/\r?\n/).filter((line) => line.trim() && !line.trim().startsWith("#"));
  let at = 0;
  const section = (/** @type {number} */ indent) => {
    /** @type {Section} */
    const read = new Map();
    while (at < lines.length && depth(lines[at]) >= indent) {
      const found = depth(lines[at]) === indent && lines[at].trim().match(/^([^\s:'"-][^:]*):(?:\s+(.*))?$/);
      at += 1;
      if (!found) continue;
      let [, key, rest = ""] = found;
      const isItem = () => at < lines.length && depth(lines[at]) >= indent && lines[at].trim().startsWith("- ");
      if (rest === "" && isItem()) {
        const items = [];
        while (isItem()) items.push(plain(lines[at++].trim().slice(2).trim()));
        read.set(key, items.join(", "));
        continue;
      }
      const deeper = () => at < lines.length && depth(lines[at]) > indent;
      if (rest === "" && deeper()) {
        read.set(key, section(depth(lines[at])));
        continue;
      }
      // A long text is folded: it goes on deeper, a space for each break.
      while (at < lines.length && (isOpen(rest) || deeper())) rest += ` ${lines[at++].trim()}`;
      read.set(key, plain(rest));
    }
    return read;
  };
  return section(0);
}

/** @param {Value | undefined} value */
const asText = (value) => (typeof value === "string" ? value : "");
/** @param {Value | undefined} value @returns {Section} */
const asSection = (value) => (value instanceof Map ? value : new Map());

/** A Markdown file, with what its head says of it as a list: a model card says there what it is of. @param {{ text: string }} props */
export function Card({ text }) {
  const [whole, head = ""] = text.match(/^---\r?\n([\s\S]*?)\r?\n---(?:\r?\n|$)/) ?? ["", ""];
  const said = [...parseMaps(head)].filter(([, value]) => typeof value === "string" && value !== "");
  // Two rules with a text between them are no head.
  if (said.length === 0) return html`<${Markdown} text=${text} />`;
  return html`<div class="card-head"><${Pairs} pairs=${said} /></div><${Markdown} text=${text.slice(whole.length)} />`;
}

/** What a field of a schema holds. @param {any} field @returns {string} */
function typeOf(field) {
  const spec = field["tensor-spec"];
  const type = spec ? `tensor of ${spec.dtype}, ${spec.shape?.map((/** @type {number} */ size) => (size < 0 ? "any" : size)).join(" × ")}` : typeof field.type === "string" ? field.type : JSON.stringify(field.type);
  const more = field.items ?? field.properties;
  return `${type}${more ? ` of ${JSON.stringify(more)}` : ""}${field.required === false ? ", optional" : ""}`;
}

/** @param {string} text @returns {[string, string][]} */
function fields(text) {
  try {
    return JSON.parse(text).map((/** @type {any} */ field, /** @type {number} */ at) => [field.name ?? `${at + 1}.`, typeOf(field)]);
  } catch {
    return [];
  }
}

/** @param {{ text: string }} props */
export function MLmodel({ text }) {
  const model = parseMaps(text);
  const run = asText(model.get("run_id"));
  const size = Number(asText(model.get("model_size_bytes")));
  const flavors = [...asSection(model.get("flavors"))];
  const signature = asSection(model.get("signature"));
  const facts = /** @type {[string, string][]} */ ([
    ["logged model", asText(model.get("model_id"))],
    ["made", asText(model.get("utc_time_created"))],
    ["size", size ? bytes(size) : ""],
    ["MLflow", asText(model.get("mlflow_version"))],
  ]).filter(([, value]) => value);
  const parts = /** @type {[string, string][]} */ ([["Goes in", "inputs"], ["Comes out", "outputs"], ["Params of a prediction", "params"]]);
  return html`
    <div class="mlmodel">
      ${run && html`<p>From run <a class="mono" href=${href(["experiments", "-", "runs", run])}>${run.slice(0, 8)}</a></p>`}
      ${facts.length > 0 && html`<${Pairs} pairs=${facts} />`}
      ${parts.map(([title, name]) => {
        const all = fields(asText(signature.get(name)));
        return all.length > 0 && html`<h3 key=${name}>${title}</h3><${Pairs} pairs=${all} />`;
      })}
      ${signature.size === 0 && html`<p class="muted">It declares no signature: what goes in and comes out is not checked.</p>`}
      ${flavors.map(([name, body]) => html`<h3 key=${name}>Loaded by <bdi>${name}</bdi></h3>
        <${Pairs} pairs=${[...asSection(body)].filter(([, value]) => typeof value === "string" && value !== "")} />`)}
    </div>
  `;
}
