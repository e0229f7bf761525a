// Dialogs, menus and what they are opened by. The browser's own <dialog> keeps the focus in and Escape working.

import { Icon } from "./icons.js";
import { cls, html, signal, useEffect, useRef, useState } from "../ui.js";

/** Gives the focus back, when this is gone, to what had it before. */
export function useFocusBack() {
  // Asked while it is drawn: what is in it takes the focus before any effect runs.
  const [before] = useState(() => /** @type {HTMLElement | null} */ (document.activeElement));
  const back = () => before?.isConnected && before.focus({ preventScroll: true });
  // Once it is out of the document: nothing beside an open dialog takes the focus.
  useEffect(() => () => queueMicrotask(back), []);
}

/**
 * @param {{ title: string, wide?: boolean, onClose: () => void, children?: any }} props
 */
export function Dialog({ title, wide, onClose, children }) {
  const ref = useRef(/** @type {HTMLDialogElement | null} */ (null));
  useFocusBack();
  useEffect(() => {
    if (!ref.current?.open) ref.current?.showModal();
  }, []);
  const outside = (/** @type {MouseEvent} */ event) => event.target === ref.current && onClose();
  return html`
    <dialog ref=${ref} class=${cls("dialog", wide && "wide")} aria-label=${title} onClose=${onClose} onMouseDown=${outside}>
      <div class="dialog-body">
        <header>
          <h2>${title}</h2>
          <button class="quiet square" aria-label="Close" onClick=${onClose}><${Icon} name="close" /></button>
        </header>
        ${children}
      </div>
    </dialog>
  `;
}

/** @typedef {{ title: string, text?: string, label?: string, value?: string, placeholder?: string, go: string,
 *   danger?: boolean, must?: string, done: (answer: string | null) => void }} Question */
const question = signal(/** @type {Question | null} */ (null));

/**
 * Asks for a text, or with no `label` for a yes; `must` is the only text that will do. Resolves to null if the person would rather not.
 * @param {Omit<Question, "done">} what @returns {Promise<string | null>}
 */
export function ask(what) {
  return new Promise((resolve) => {
    question.value = {
      ...what,
      done(answer) {
        question.value = null;
        resolve(answer);
      },
    };
  });
}

export function Asked() {
  const now = question.value;
  return now && html`<${Asking} key=${now.title} ...${now} />`;
}

/** @param {Question} props */
function Asking({ title, text, label, value = "", placeholder, go, danger, must, done }) {
  const [answer, setAnswer] = useState(value);
  const submit = (/** @type {Event} */ event) => {
    event.preventDefault();
    if (!label || (must ? answer.trim() === must : answer.trim())) done(label ? answer : "yes");
  };
  return html`
    <${Dialog} title=${title} onClose=${() => done(null)}>
      <form onSubmit=${submit}>
        ${text && html`<p>${text}</p>`}
        ${label &&
        html`<label class="field">${label}
          <input autofocus value=${answer} placeholder=${placeholder} onInput=${(/** @type {any} */ event) => setAnswer(event.target.value)} />
        </label>`}
        <div class="actions">
          <button type="button" onClick=${() => done(null)}>Cancel</button>
          <button type="submit" autofocus=${!label} disabled=${must !== undefined && answer.trim() !== must} class=${danger ? "danger" : "primary"}>${go}</button>
        </div>
      </form>
    <//>
  `;
}

/**
 * A button that opens a menu. Arrow keys move in it, Escape closes it. What is in it may be a function, which is called when it opens.
 * @param {{ label: string, face: any, class?: string, children?: any, end?: boolean }} props
 */
export function Menu({ label, face, class: name = "quiet square", children, end }) {
  const [open, setOpen] = useState(false);
  const ref = useRef(/** @type {HTMLDivElement | null} */ (null));
  useEffect(() => {
    if (!open) return undefined;
    const away = (/** @type {Event} */ event) => {
      if (!ref.current?.contains(/** @type {Node} */ (event.target))) setOpen(false);
    };
    addEventListener("pointerdown", away);
    /** @type {HTMLElement | null | undefined} */ (ref.current?.querySelector("[role^=menuitem]"))?.focus();
    return () => removeEventListener("pointerdown", away);
  }, [open]);
  const close = () => {
    setOpen(false);
    ref.current?.querySelector("button")?.focus({ preventScroll: true });
  };
  const onKeyDown = (/** @type {KeyboardEvent} */ event) => {
    if (!open) return;
    const items = /** @type {HTMLElement[]} */ ([...(ref.current?.querySelectorAll("[role^=menuitem]") ?? [])]);
    const at = items.indexOf(/** @type {HTMLElement} */ (document.activeElement));
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) items[(at + step + items.length) % items.length]?.focus();
    else if (event.key === "Escape") close();
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  return html`
    <div class="menu" ref=${ref} onKeyDown=${onKeyDown}>
      <button class=${name} aria-haspopup="menu" aria-expanded=${open} aria-label=${label} title=${label}
        onClick=${(/** @type {Event} */ event) => (event.stopPropagation(), setOpen(!open))}>${face}</button>
      ${open && html`<div role="menu" aria-label=${label} class=${cls("menu-items", end && "end")} onClick=${close}>${typeof children === "function" ? children() : children}</div>`}
    </div>
  `;
}

/** @param {{ onClick: () => void, icon?: any, danger?: boolean, checked?: boolean, children?: any }} props */
export const MenuItem = ({ onClick, icon, danger, checked, children }) => html`
  <button role=${checked === undefined ? "menuitem" : "menuitemcheckbox"} aria-checked=${checked} class=${cls("menu-item", danger && "danger")} onClick=${onClick}>
    <span class="menu-icon">${checked ? html`<${Icon} name="check" />` : icon && html`<${Icon} name=${icon} />`}</span>${children}
  </button>
`;
