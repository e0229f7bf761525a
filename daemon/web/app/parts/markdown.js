// Markdown as components: `marked` takes the text apart, and what it found becomes elements that this file
// chooses. HTML in the text is shown as the text it is, and links lead only to the web, mail and this page.

import { lexer } from "marked";
import { html } from "../ui.js";

/** @param {string} address */
function safe(address) {
  try {
    const url = new URL(address, location.href);
    return ["http:", "https:", "mailto:"].includes(url.protocol) ? url.href : null;
  } catch {
    return null;
  }
}

/** What entities stand for, in texts that the lexer has escaped. @param {string} text */
const plain = (text) =>
  text.replace(/&(amp|lt|gt|quot|#39);/g, (_, name) => ({ amp: "&", lt: "<", gt: ">", quot: '"', "#39": "'" })[/** @type {"amp"} */ (name)]);

/** @param {any[] | undefined} tokens @returns {any[]} */
const all = (tokens) => (tokens ?? []).map((token, at) => one(token, at));

/** @param {any} token @param {number} key @returns {any} */
function one(token, key) {
  switch (token.type) {
    case "space":
    case "def":
      return null;
    case "heading":
      return html`<${`h${Math.min(6, token.depth + 1)}`} key=${key}>${all(token.tokens)}<//>`;
    case "paragraph":
      return html`<p key=${key}>${all(token.tokens)}</p>`;
    case "blockquote":
      return html`<blockquote key=${key}>${all(token.tokens)}</blockquote>`;
    case "code":
      return html`<pre key=${key} tabindex="0"><code>${token.text}</code></pre>`;
    case "hr":
      return html`<hr key=${key} />`;
    case "list":
      return token.ordered
        ? html`<ol key=${key} start=${token.start || 1}>${token.items.map(item)}</ol>`
        : html`<ul key=${key}>${token.items.map(item)}</ul>`;
    case "table":
      return html`<div class="table-box" key=${key} tabindex="0"><table>
        <thead><tr>${token.header.map((/** @type {any} */ cell) => html`<th>${all(cell.tokens)}</th>`)}</tr></thead>
        <tbody>${token.rows.map((/** @type {any[]} */ row) => html`<tr>${row.map((cell) => html`<td>${all(cell.tokens)}</td>`)}</tr>`)}</tbody>
      </table></div>`;
    case "strong":
      return html`<strong key=${key}>${all(token.tokens)}</strong>`;
    case "em":
      return html`<em key=${key}>${all(token.tokens)}</em>`;
    case "del":
      return html`<del key=${key}>${all(token.tokens)}</del>`;
    case "codespan":
      return html`<code key=${key}>${plain(token.text)}</code>`;
    case "br":
      return html`<br key=${key} />`;
    case "link": {
      const to = safe(token.href);
      return to ? html`<a key=${key} href=${to} target="_blank" rel="noreferrer noopener">${all(token.tokens)}</a>` : html`<span key=${key}>${all(token.tokens)}</span>`;
    }
    // A picture would be asked for from its host, so it is a link to it.
    case "image": {
      const to = safe(token.href);
      return to ? html`<a key=${key} href=${to} target="_blank" rel="noreferrer noopener">${token.text || token.href}</a>` : token.text;
    }
    case "checkbox":
      return html`<input key=${key} type="checkbox" disabled checked=${token.checked} aria-label=${token.checked ? "done" : "to do"} />`;
    case "text":
      return token.tokens ? html`<span key=${key}>${all(token.tokens)}</span>` : plain(token.text);
    case "escape":
      return token.text;
    default:
      return token.raw;
  }
}

/** @param {any} token @param {number} key */
const item = (token, key) => html`<li key=${key}>${token.task && !token.tokens.some((/** @type {any} */ t) => t.type === "checkbox") && html`<input type="checkbox" disabled checked=${token.checked} aria-label=${token.checked ? "done" : "to do"} />`}${all(token.tokens)}</li>`;

/** @param {any[] | undefined} tokens @returns {string} */
const textOf = (tokens) => (tokens ?? []).map((token) => (token.tokens ? textOf(token.tokens) : plain(token.text ?? ""))).join("");

/** The first line of what a text says, without the signs that shape it. @param {string} text */
export function headline(text) {
  const first = lexer(text, { gfm: true }).find((token) => !["space", "hr", "def"].includes(token.type));
  return first ? textOf([first.type === "list" ? first.items[0] : first]).split("\n")[0] : "";
}

/** @param {{ text: string }} props */
export const Markdown = ({ text }) => html`<div class="prose">${all(lexer(text, { gfm: true }))}</div>`;
