// What every component is written with.
//
// Invariant: text from a workspace reaches the document as text nodes and attributes that Preact sets; nothing
// here or elsewhere in the page turns text into HTML, and the Content-Security-Policy would refuse it.

import { h } from "preact";
import htm from "htm";

export const html = htm.bind(h);
export { Fragment, createRef, render } from "preact";
export { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
export { batch, computed, effect, signal, useComputed, useSignal, useSignalEffect } from "@preact/signals";

/**
 * Joins the class names that are there.
 * @param {...(string | false | null | undefined)} names
 */
export const cls = (...names) => names.filter(Boolean).join(" ");

/** Waits until the browser has nothing else to do, but not for ever. @returns {Promise<unknown>} */
export const idle = () => new Promise((resolve) => ("requestIdleCallback" in window ? requestIdleCallback(resolve, { timeout: 1_000 }) : setTimeout(resolve)));

/** Whether the window is narrower than so many pixels. Asking for its width would have the browser lay the page out at once. @param {number} px */
export const isNarrower = (px) => matchMedia(`(max-width: ${px - 0.02}px)`).matches;

/** What was there before, if what came says the same: then nothing that is made of it is made again. @template T @param {T} before @param {T} now */
export const unlessNew = (before, now) => (JSON.stringify(before) === JSON.stringify(now) ? before : now);
