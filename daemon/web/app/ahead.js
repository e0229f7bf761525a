// Asks for what the first view shows while the modules of the page are still on their way.
//
// Invariant: it asks for nothing that the page would not ask for, in the same words, and shows nothing. If it is wrong about
// the view, or an answer is bad, the page asks for itself, and only that time is lost.

import { readAddress, target } from "./address.js";
import { asked, columnsOf, PAGE, partOf, queryOf } from "./asked.js";
import { askAhead, takeTokenFromLink } from "./send.js";
import { viewAt, VIEWS } from "./views.js";

/** The first rows of a table. @param {import("./address.js").Route} at */
function firstRows(at) {
  const ids = target(at).experiments;
  const now = asked(at.query);
  return askAhead("runs/table", partOf(queryOf(ids, now, columnsOf(ids, now)), 0, PAGE, null));
}

/** Fetches the view that the address names, and asks for what it shows first. @param {import("./address.js").Route} at @returns {Promise<unknown>} */
function firstView(at) {
  const view = viewAt(at);
  const { run } = target(at);
  return Promise.all([
    view && view !== "runs" && VIEWS[view](),
    run && askAhead(`runs/${encodeURIComponent(run)}`),
    (view === "runs" || view === "charts") && firstRows(at),
  ]);
}

takeTokenFromLink();
askAhead("experiments");
/** Waits until all that was asked is answered, well or not. */
export const answered = firstView(readAddress()).catch(() => {});
