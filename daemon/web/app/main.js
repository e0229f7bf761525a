// The page: which view stands at which address, and the keys that work everywhere.

import { answered } from "./ahead.js";
import { fetchTheRest, lazy } from "./lazy.js";
import { Shell } from "./parts/shell.js";
import { Empty } from "./parts/small.js";
import { RunsPage } from "./pages/runs.js";
import { go, route, target } from "./route.js";
import { forgetAhead } from "./send.js";
import { follow, helpOpen, paletteOpen, start } from "./state.js";
import { html, idle, render } from "./ui.js";

// Runs are what most look at first. ahead.js starts to fetch another view if the address names one.
const RunPage = lazy(() => import("./pages/run.js").then((module) => module.RunPage));
const ComparePage = lazy(() => import("./pages/compare.js").then((module) => module.ComparePage));
const ModelsPage = lazy(() => import("./pages/models.js").then((module) => module.ModelsPage));
const ModelPage = lazy(() => import("./pages/model.js").then((module) => module.ModelPage));
const MeshPage = lazy(() => import("./pages/mesh.js").then((module) => module.MeshPage));

function View() {
  const at = route.value;
  const { run } = target(at);
  switch (at.path[0]) {
    case undefined:
    case "experiments":
      return run ? html`<${RunPage} key=${run} id=${run} />` : html`<${RunsPage} />`;
    case "compare":
      return html`<${ComparePage} />`;
    case "models":
      return at.path[1] ? html`<${ModelPage} key=${at.path.join("/")} name=${at.path[1]} opened=${at.path[2] === "versions" ? at.path[3] : undefined} />` : html`<${ModelsPage} />`;
    case "mesh":
      return html`<${MeshPage} />`;
    default:
      return html`<${Empty} title="There is nothing here"><p>The address names no view of this page. <a href="#/experiments">All runs</a></p><//>`;
  }
}

const App = () => html`<${Shell}><${View} /><//>`;

let before = "";
addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
    paletteOpen.value = !paletteOpen.value;
    event.preventDefault();
    return;
  }
  const typing = event.target instanceof HTMLElement && event.target.closest("input, textarea, select, dialog, [role=menu]");
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const grid = /** @type {HTMLElement | null} */ (document.querySelector(".grid"));
  if (event.key === "?") helpOpen.value = true;
  else if (event.key === "/") document.getElementById("filter")?.focus();
  else if (before === "g" && event.key === "r") go(["experiments"]);
  else if (before === "g" && event.key === "m") go(["mesh"]);
  else if (before === "g" && event.key === "o") go(["models"]);
  else if ((event.key === "j" || event.key === "k") && grid) grid.focus();
  else {
    before = event.key;
    return;
  }
  before = "";
  event.preventDefault();
});

/** What is not needed to show the first view waits until it is shown. */
async function goOn() {
  await answered;
  await new Promise(requestAnimationFrame);
  await idle();
  forgetAhead();
  follow();
  await fetchTheRest();
}

start();
render(html`<${App} />`, /** @type {HTMLElement} */ (document.getElementById("app")));
goOn();
