// Which view stands at which address, and the module that it is in.
//
// Invariant: this imports no view, for it is there before the page is and says which one to fetch.

import { target } from "./address.js";

/** The views that are fetched when they are wanted. Runs, which most look at first, come with the page. */
export const VIEWS = {
  run: () => import("./pages/run.js").then((module) => module.RunPage),
  charts: () => import("./charts/run-charts.js").then((module) => module.RunCharts),
  compare: () => import("./pages/compare.js").then((module) => module.ComparePage),
  models: () => import("./pages/models.js").then((module) => module.ModelsPage),
  model: () => import("./pages/model.js").then((module) => module.ModelPage),
  mesh: () => import("./pages/mesh.js").then((module) => module.MeshPage),
};

/** The view at an address; null where there is none. @param {import("./address.js").Route} at @returns {"runs" | keyof typeof VIEWS | null} */
export function viewAt(at) {
  switch (at.path[0]) {
    case undefined:
    case "experiments":
      return target(at).run ? "run" : at.query.get("view") === "charts" ? "charts" : "runs";
    case "models":
      return at.path[1] ? "model" : "models";
    case "compare":
    case "mesh":
      return at.path[0];
    default:
      return null;
  }
}
