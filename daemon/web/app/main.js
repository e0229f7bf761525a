// The page: the view that the address names, and the keys that work everywhere.

import { answered } from "./ahead.js";
import { fetchTheRest, lazy } from "./lazy.js";
import { Shell } from "./parts/shell.js";
import { Empty } from "./parts/small.js";
import { RunsPage } from "./pages/runs.js";
import { go, route, target } from "./route.js";
import { forgetAhead } from "./send.js";
import { follow, helpOpen, paletteOpen, showPalette, start, typedAhead } from "./state.js";
import { html, idle, render } from "./ui.js";
import { viewAt, VIEWS } from "./views.js";

const RunPage = lazy(VIEWS.run);
const ComparePage = lazy(VIEWS.compare);
const ModelsPage = lazy(VIEWS.models);
const ModelPage = lazy(VIEWS.model);
const MeshPage = lazy(VIEWS.mesh);

function View() {
  const at = route.value;
  switch (viewAt(at)) {
    case "runs":
    case "charts":
      return html`<${RunsPage} />`;
    case "run": {
      const run = /** @type {string} */ (target(at).run);
      return html`<${RunPage} key=${run} id=${run} />`;
    }
    case "compare":
      return html`<${ComparePage} />`;
    case "models":
      return html`<${ModelsPage} />`;
    case "model":
      return html`<${ModelPage} key=${at.path.join("/")} name=${at.path[1]} opened=${at.path[2] === "versions" ? at.path[3] : undefined} />`;
    case "mesh":
      return html`<${MeshPage} />`;
    case null:
      return html`<${Empty} title="There is nothing here"><p>The address names no view of this page. <a href="#/experiments">All runs</a></p><//>`;
  }
}

const App = () => html`<${Shell}><${View} /><//>`;

/** Keeps what is typed while the palette is still on its way. @param {KeyboardEvent} event */
function typeAhead(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape") showPalette(false);
  else if (event.key === "Backspace") typedAhead.value = typedAhead.value.slice(0, -1);
  else if ([...event.key].length === 1) typedAhead.value += event.key;
  else return;
  event.preventDefault();
}

let before = "";
addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
    showPalette(!paletteOpen.value);
    event.preventDefault();
    return;
  }
  if (paletteOpen.value && !document.getElementById("palette-list")) {
    typeAhead(event);
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
