// Parts of the page that the first view does without: each is fetched when it is first shown, or once the page has nothing else to do.
//
// Invariant: whatever is shown later is fetched soon after the first view, so that it opens at once, is of the same build as the
// rest, and is there when the daemon is not.

import { html, idle, signal, useLayoutEffect } from "./ui.js";
import { Failure, Loading } from "./parts/small.js";

/** @type {(() => Promise<void>)[]} */
const loads = [];

/**
 * A component that is in a module of its own.
 * @template P @param {() => Promise<import("preact").FunctionComponent<P>>} load @param {any} [meanwhile] shown until it is there
 * @returns {import("preact").FunctionComponent<P>}
 */
export function lazy(load, meanwhile = html`<${Loading} />`) {
  const part = signal(/** @type {import("preact").FunctionComponent<P> | null} */ (null));
  const failed = signal(false);
  const fetchIt = async () => {
    if (part.peek()) return;
    failed.value = false;
    await load().then((component) => void (part.value = component), () => void (failed.value = true));
  };
  loads.push(fetchIt);
  return (props) => {
    useLayoutEffect(() => void fetchIt(), []);
    if (part.value) return html`<${part.value} ...${props} />`;
    if (failed.value) return html`<${Failure} error=${{ name: "", message: "This part of the page did not come", hint: "start the daemon (runmesh up), and load the page again" }} />`;
    return meanwhile;
  };
}

/** Fetches all of them, one after the other. */
export async function fetchTheRest() {
  for (const load of loads) {
    await idle();
    await load();
  }
}
