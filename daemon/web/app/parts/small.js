// Small things that many views show: states, times, texts to copy, errors, what to do when there is nothing.

import { CLIENTS_URL } from "../api.js";
import { ago, moment } from "../format.js";
import { clock, tell } from "../state.js";
import { html, useState } from "../ui.js";
import { Icon } from "./icons.js";

/** @param {{ of: import("../api.js").RunStatus }} props */
export const Status = ({ of }) => html`<span class=${`status ${of.toLowerCase()}`}><i></i>${of.toLowerCase()}</span>`;

/** When something was. The exact time is written when it is pointed at. @param {{ ms: number }} props */
export const Time = ({ ms }) => html`<time datetime=${new Date(ms).toISOString()} onPointerEnter=${(/** @type {any} */ event) => (event.currentTarget.title = moment(ms))}>${ago(ms, Math.max(clock.value, Date.now()))}</time>`;

/** @param {string} text */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    tell("Copied");
  } catch {
    tell("The browser does not let this page copy", { bad: true, hint: "select the text and copy it yourself" });
  }
}

/** @param {{ text: string, label?: string }} props */
export function CopyButton({ text, label = "Copy" }) {
  const [done, setDone] = useState(false);
  const click = async () => {
    await copy(text);
    setDone(true);
    setTimeout(() => setDone(false), 1_500);
  };
  return html`<button class="quiet square" aria-label=${label} title=${label} onClick=${click}><${Icon} name=${done ? "check" : "copy"} /></button>`;
}

/** Lines to paste. @param {{ text: string, label: string }} props */
export const Paste = ({ text, label }) => html`
  <figure class="paste">
    <figcaption>${label}</figcaption>
    <pre tabindex="0"><code>${text}</code></pre>
    <${CopyButton} text=${text} label=${`Copy: ${label}`} />
  </figure>
`;

/** @param {{ error: Error & { hint?: string }, children?: any }} props */
export const Failure = ({ error, children }) => html`
  <div class="failure" role="alert">
    <${Icon} name="warn" />
    <div><strong>${error.message}</strong>${error.hint && html`<p>${error.hint}</p>`}${children}</div>
  </div>
`;

/** @param {{ title: string, children?: any }} props */
export const Empty = ({ title, children }) => html`<div class="empty"><h2>${title}</h2>${children}</div>`;

export const Loading = () => html`<div class="loading" role="status"><span class="spinner"></span><span class="unseen">Loading</span></div>`;

/** What a person pastes to log a first run. @param {{ experiment?: string }} props */
export function FirstLines({ experiment }) {
  const name = JSON.stringify(experiment ?? "first-steps");
  return html`
    <${Paste} label="In the shell of your training script" text=${`export MLFLOW_TRACKING_URI=${CLIENTS_URL}`} />
    <${Paste} label="Or in Python" text=${`import mlflow

mlflow.set_tracking_uri("${CLIENTS_URL}")
mlflow.set_experiment(${name})
with mlflow.start_run():
    mlflow.log_param("lr", 0.01)
    for step in range(100):
        mlflow.log_metric("loss", 1 / (step + 1), step=step)`} />
  `;
}
