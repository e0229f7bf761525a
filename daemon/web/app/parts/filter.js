// The line where runs are filtered, in the search language of MLflow's API, with the names that there are.

import { field, title } from "../columns.js";
import { html, useEffect, useRef, useState } from "../ui.js";
import { Icon } from "./icons.js";

const ATTRIBUTE_NAMES = ["attributes.status", "attributes.start_time", "attributes.end_time", "attributes.duration", "attributes.run_name", "attributes.user_id", "attributes.device"];
const MOST = 8;

/** The name that is being written at the end of a text. @param {string} text */
const written = (text) => text.match(/[\w.`"/-]*$/)?.[0] ?? "";

/** @param {{ value: string, columns: import("../api.js").Columns | null, error: (Error & { hint?: string }) | null, onFilter: (filter: string) => void }} props */
export function FilterLine({ value, columns, error, onFilter }) {
  const [text, setText] = useState(value);
  const [open, setOpen] = useState(false);
  const [at, setAt] = useState(-1);
  const input = useRef(/** @type {HTMLInputElement | null} */ (null));
  useEffect(() => setText(value), [value]);

  const names = columns
    ? [
        ...columns.metrics.map((key) => `metrics.${key}`),
        ...columns.params.map((key) => `params.${key}`),
        ...columns.tags.map((key) => `tags.${key}`),
        ...ATTRIBUTE_NAMES,
      ]
    : ATTRIBUTE_NAMES;
  const head = written(text).toLowerCase();
  const found = open ? names.filter((name) => name.toLowerCase().includes(head)).slice(0, MOST) : [];

  const send = (/** @type {string} */ to) => {
    setOpen(false);
    setAt(-1);
    if (to.trim() !== value) onFilter(to.trim());
  };
  const take = (/** @type {string} */ name) => {
    const spelled = name.startsWith("attributes.") ? name : (field(name) ?? name);
    setText(text.slice(0, text.length - written(text).length) + spelled + " ");
    setAt(-1);
    input.current?.focus();
  };
  const onKeyDown = (/** @type {KeyboardEvent} */ event) => {
    if (event.key === "Enter") {
      if (at >= 0 && found[at]) take(found[at]);
      else send(text);
    } else if (event.key === "ArrowDown" && found.length) setAt((at + 1) % found.length);
    else if (event.key === "ArrowUp" && found.length) setAt((at + found.length) % (found.length + 1) - 1);
    else if (event.key === "Escape" && open) setOpen(false);
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  return html`
    <div class="filter">
      <${Icon} name="filter" />
      <input ref=${input} id="filter" type="text" role="combobox" aria-label="Filter runs" aria-expanded=${found.length > 0} aria-controls="filter-names"
        aria-activedescendant=${at >= 0 ? `filter-name-${at}` : undefined} autocomplete="off" spellcheck=${false} value=${text}
        placeholder="Filter, for example: metrics.loss < 0.1 and params.model = 'cnn'" aria-invalid=${error !== null}
        onInput=${(/** @type {any} */ event) => (setText(event.target.value), setOpen(true), setAt(-1))}
        onFocus=${() => setOpen(true)} onBlur=${() => (setOpen(false), send(text))} onKeyDown=${onKeyDown} />
      ${text && html`<button class="quiet square" aria-label="Clear the filter" onClick=${() => (setText(""), onFilter(""))}><${Icon} name="close" /></button>`}
      ${found.length > 0 && html`<ul id="filter-names" role="listbox" aria-label="Names" class="suggestions">
        ${found.map((name, index) => html`<li id=${`filter-name-${index}`} role="option" aria-selected=${index === at}
          onPointerDown=${(/** @type {Event} */ event) => (event.preventDefault(), take(name))}><b>${title(name)}</b><span>${name.split(".")[0]}</span></li>`)}
      </ul>`}
      ${error && html`<p class="filter-error" role="alert">${error.message}</p>`}
    </div>
  `;
}
