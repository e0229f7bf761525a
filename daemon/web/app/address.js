// What the part of the address after `#` says, as MLflow's clients print it: /experiments/ID and /experiments/ID/runs/ID.

/** @typedef {{ path: string[], query: URLSearchParams }} Route */

/** @param {string} part */
function decode(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** Where the page is. @returns {Route} */
export function readAddress() {
  const hash = location.hash.replace(/^#\/?/, "");
  const cut = hash.indexOf("?");
  const [path, query] = cut < 0 ? [hash, ""] : [hash.slice(0, cut), hash.slice(cut + 1)];
  return { path: path.split("/").filter(Boolean).map(decode), query: new URLSearchParams(query) };
}

/** The experiments of a route, and its run. @param {Route} at */
export function target(at) {
  const [first, ids, second, run] = at.path;
  const experiments = first === "experiments" && ids ? ids.split(",") : [];
  return { experiments, run: second === "runs" ? run : undefined };
}
