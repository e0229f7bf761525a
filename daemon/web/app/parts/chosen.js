// What can be done with the runs that are chosen.

import { api } from "../api.js";
import { plural } from "../format.js";
import { go } from "../route.js";
import { attempt, chosen, tell, tick } from "../state.js";
import { html } from "../ui.js";
import { ask } from "./dialog.js";
import { Icon } from "./icons.js";
import { purge, useMayPurge } from "./purge.js";

/** Changes the runs, as many a request as the daemon takes. @param {string[]} runs @param {Omit<import("../api.js").RunsUpdate, "runs">} change */
async function change(runs, change) {
  for (let at = 0; at < runs.length; at += 1_000) await api.updateRuns({ ...change, runs: runs.slice(at, at + 1_000) });
  tick.value += 1;
}

/** @param {string[]} runs @param {boolean} deleted */
export async function setDeleted(runs, deleted) {
  const done = await attempt(async () => {
    await change(runs, { deleted });
    return true;
  });
  if (!done) return;
  chosen.value = new Set();
  const undo = () => setDeleted(runs, !deleted);
  tell(`${plural(runs.length, "run")} ${deleted ? "deleted" : "restored"}`, { undo });
}

/** @param {string} title @returns {Promise<Record<string, string> | null>} */
export async function askForTag(title) {
  const answer = await ask({ title, label: "Tag, as name = value", placeholder: "stage = baseline", go: "Set tag" });
  if (answer === null) return null;
  const cut = answer.indexOf("=");
  const [key, value] = cut < 0 ? [answer, "true"] : [answer.slice(0, cut), answer.slice(cut + 1)];
  return { [key.trim()]: value.trim() };
}

async function tag() {
  const runs = [...chosen.value];
  const set_tags = await askForTag(`Tag ${plural(runs.length, "run")}`);
  if (!set_tags) return;
  await attempt(async () => {
    await change(runs, { set_tags });
    tell(`${plural(runs.length, "run")} tagged`);
  });
}

/** @param {{ deleted: boolean, onCharts: () => void }} props */
export function ChosenBar({ deleted, onCharts }) {
  const count = chosen.value.size;
  const mayPurge = useMayPurge(deleted);
  if (count === 0) return null;
  const runs = [...chosen.value];
  return html`
    <div class="chosen-bar" role="toolbar" aria-label="Chosen runs">
      <strong>${plural(count, "run")} chosen</strong>
      <button onClick=${() => go(["compare"], { run: runs.slice(0, 50) })} disabled=${count < 2}><${Icon} name="compare" />Compare</button>
      <button onClick=${onCharts}><${Icon} name="chart" />Charts</button>
      <button onClick=${tag} disabled=${deleted}><${Icon} name="tag" />Tag</button>
      ${deleted
        ? html`<button onClick=${() => setDeleted(runs, false)}><${Icon} name="restore" />Restore</button>
          ${mayPurge && html`<button class="danger" onClick=${() => purge(runs)}><${Icon} name="trash" />Purge</button>`}`
        : html`<button class="danger" onClick=${() => setDeleted(runs, true)}><${Icon} name="trash" />Delete</button>`}
      <button class="quiet" onClick=${() => (chosen.value = new Set())}>Clear</button>
    </div>
  `;
}
