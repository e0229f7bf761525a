// What devices that were apart decided differently: each value, who set it and when, and a button that settles it.

import { api } from "../api.js";
import { called } from "../format.js";
import { href } from "../route.js";
import { attempt, tell, tick } from "../state.js";
import { html, signal, useEffect, useState } from "../ui.js";
import { ask } from "./dialog.js";
import { Icon } from "./icons.js";
import { Time } from "./small.js";

/** @typedef {import("../api.js").Conflict} Conflict */
/** @typedef {import("../api.js").ConflictValue} Value */

/** Counts what was settled here. */
const settled = signal(0);

/** The conflicts that a view is about, asked for again when its key changes. @param {(conflict: Conflict) => boolean} about @param {string} key */
export function useConflicts(about, key) {
  const [all, setAll] = useState(/** @type {{ conflicts: Conflict[], more: boolean } | null} */ (null));
  useEffect(() => {
    let late = false;
    api.conflicts().then((now) => late || setAll(now), () => {});
    return () => void (late = true);
  }, [key, settled.value]);
  return { conflicts: all?.conflicts.filter(about) ?? null, more: all?.more ?? false };
}

/** The conflicts of what a view shows, if there are any. @param {{ about: (conflict: Conflict) => boolean, of: string }} props of: changes when they may have */
export function Disputed({ about, of }) {
  const { conflicts } = useConflicts(about, of);
  if (!conflicts?.length) return null;
  return html`
    <section class="card disputed" aria-label="Conflicts">
      <header><h2>Devices that were apart disagree</h2><span class="count">${conflicts.length}</span></header>
      <${Conflicts} conflicts=${conflicts} />
    </section>`;
}

/** @param {Conflict} conflict @param {{ take: string, verbatim?: boolean }} choice @param {string} said */
const settle = (conflict, choice, said) => attempt(async () => {
  await api.resolveConflict({ what: conflict.id, ...choice });
  tell(`${conflict.key} is ${said}`, { hint: "The other devices get to know" });
  settled.value += 1;
  tick.value += 1;
});

/** Where the document of a conflict is shown. @param {Conflict} conflict */
function placeOf(conflict) {
  if (conflict.kind === "run") return href(["experiments", "-", "runs", conflict.document]);
  if (conflict.kind === "experiment") return href(["experiments", conflict.document]);
  if (conflict.kind === "registered model") return href(["models", conflict.name]);
  const version = conflict.kind === "model version" && conflict.name.match(/^(.*) version \d+$/);
  return version ? href(["models", version[1]]) : null;
}

/** Of these any other value will do too: they are texts that people choose. @param {Conflict} conflict */
const isFree = (conflict) => /^(params|tags)\./.test(conflict.key);

/** @param {{ conflicts: Conflict[], more?: boolean, named?: boolean }} props named: whether to say what each is about */
export const Conflicts = ({ conflicts, more, named }) => html`
  <ul class="conflicts">${conflicts.map((conflict) => html`<${Line} key=${conflict.id} conflict=${conflict} named=${named} />`)}</ul>
  ${more && html`<p class="muted">There are more; they show once some of these are settled.</p>`}
`;

/** @param {{ conflict: Conflict, named?: boolean }} props */
function Line({ conflict, named }) {
  const place = placeOf(conflict);
  const name = html`<bdi>${conflict.name || conflict.document.slice(0, 10)}</bdi>`;
  const other = async () => {
    const value = await ask({ title: `Another value for ${conflict.key}`, label: "Value", value: conflict.values[0]?.value, go: "Set it" });
    if (value !== null) await settle(conflict, { take: value, verbatim: true }, value);
  };
  return html`
    <li>
      <p class="conflict-of"><${Icon} name="warn" /><strong><bdi>${conflict.key}</bdi></strong>
        ${named && html`<span class="muted">of the ${conflict.kind}</span>${place ? html`<a href=${place}>${name}</a>` : name}`}</p>
      <ul>${conflict.values.map((value) => html`
        <li class="choice" key=${value.label ?? value.value}>
          <bdi class="choice-value">${value.said || html`<i class="muted">empty</i>`}</bdi>
          <span class="muted">${value.device ? html`<bdi>${called(value.device)}</bdi>, ` : ""}<${Time} ms=${value.at_ms} /></span>
          ${value.served && html`<span class="badge" title="Clients are answered with it until this is settled">served now</span>`}
          <span class="grow"></span>
          <button onClick=${() => settle(conflict, value.label ? { take: value.label } : { take: value.value, verbatim: true }, value.said)}
            aria-label=${`Keep this: ${value.said} for ${conflict.key}`}>Keep this</button>
        </li>`)}</ul>
      ${isFree(conflict) && html`<button class="link" onClick=${other}>Set another value</button>`}
    </li>
  `;
}
