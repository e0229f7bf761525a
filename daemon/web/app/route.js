// Where the page is: the part of the address after `#`, as MLflow's clients print it.
//
// Invariant: what is shown is a function of the route and the workspace, so that every view can be linked and the
// back button works. Paths are those of MLflow: /experiments/ID and /experiments/ID/runs/ID.

import { readAddress } from "./address.js";
import { signal } from "./ui.js";

export { target } from "./address.js";

/** @typedef {import("./address.js").Route} Route */
/** @typedef {Record<string, string | string[] | null | undefined>} Query */

export const route = signal(readAddress());
addEventListener("hashchange", () => (route.value = readAddress()));

/**
 * The address of a view.
 * @param {string[]} path @param {Query | URLSearchParams} [query]
 */
export function href(path, query = {}) {
  const search = query instanceof URLSearchParams ? query : changed(new URLSearchParams(), query);
  const text = search.toString();
  return `#/${path.map(encodeURIComponent).join("/")}${text ? `?${text}` : ""}`;
}

/** @param {URLSearchParams} search @param {Query} changes */
function changed(search, changes) {
  const copy = new URLSearchParams(search);
  for (const [key, value] of Object.entries(changes)) {
    copy.delete(key);
    for (const one of Array.isArray(value) ? value : [value]) if (one) copy.append(key, one);
  }
  return copy;
}

/** @param {string[]} path @param {Query} [query] */
export function go(path, query) {
  location.hash = href(path, query);
}

/**
 * Changes the query of the present view. `null` and "" take a key away.
 * @param {Query} changes @param {{ replace?: boolean }} [how] replace: the back button skips the present state
 */
export function setQuery(changes, { replace = false } = {}) {
  const to = href(route.value.path, changed(route.value.query, changes));
  if (!replace) {
    location.hash = to;
    return;
  }
  history.replaceState(null, "", to);
  route.value = readAddress();
}
