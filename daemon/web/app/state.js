// What all views share: what is chosen, what the daemon last said, and what is told to the person.

import { ApiError, api, listen } from "./api.js";
import { keepSetting, setting } from "./settings.js";
import { signal } from "./ui.js";

/** Counts what may have changed: views that show the workspace ask again when it does. */
export const tick = signal(0);
/** The time by which times are told, a little late. */
export const clock = signal(Date.now());
setInterval(() => (clock.value = Date.now()), 15_000);
/** Whether the daemon answers; null until that is known. */
export const online = signal(/** @type {boolean | null} */ (null));
/** @type {import("@preact/signals").Signal<import("./api.js").Experiment[] | null>} */
export const experiments = signal(null);
/** @type {import("@preact/signals").Signal<import("./api.js").Status | null>} */
export const status = signal(null);
/** @type {import("@preact/signals").Signal<import("./api.js").Peer[]>} */
export const peers = signal([]);
/** The workspaces of this device; empty until that is known. @type {import("@preact/signals").Signal<import("./api.js").Workspace[]>} */
export const workspaces = signal([]);
/** Whether the palette is open, and the help. */
export const paletteOpen = signal(false);
/** What was typed for the palette before it was there. */
export const typedAhead = signal("");
/** Opens the palette or closes it; either way nothing is typed yet. @param {boolean} open */
export function showPalette(open) {
  typedAhead.value = "";
  paletteOpen.value = open;
}
export const helpOpen = signal(false);
/** Ids of the runs that are chosen. */
export const chosen = signal(/** @type {ReadonlySet<string>} */ (new Set()));

/** @typedef {{ id: number, text: string, hint?: string, bad: boolean, undo?: () => void }} Toast */
export const toasts = signal(/** @type {Toast[]} */ ([]));
let lastToast = 0;

/** @param {string} text @param {{ bad?: boolean, hint?: string, undo?: () => void }} [more] */
export function tell(text, { bad = false, hint, undo } = {}) {
  const toast = { id: ++lastToast, text, hint, bad, undo };
  toasts.value = [...toasts.value.slice(-3), toast];
  setTimeout(() => hush(toast.id), bad || undo ? 10_000 : 4_000);
}

/** @param {number} id */
export function hush(id) {
  toasts.value = toasts.value.filter((toast) => toast.id !== id);
}

/** Does something for the person, and says why if it fails. @template T @param {() => Promise<T>} work */
export async function attempt(work) {
  try {
    return await work();
  } catch (error) {
    if (error instanceof ApiError) tell(error.message, { bad: true, hint: error.hint });
    else throw error;
    return undefined;
  }
}

/** @param {string} id @param {boolean} [on] */
export function choose(id, on = !chosen.value.has(id)) {
  const next = new Set(chosen.value);
  if (on) next.add(id);
  else next.delete(id);
  chosen.value = next;
}

async function refresh() {
  const quietly = (/** @type {Promise<void>} */ work) => work.catch(() => {});
  await Promise.all([
    quietly(api.experiments().then((all) => void (experiments.value = all))),
    quietly(api.peers().then((all) => void (peers.value = all))),
  ]);
}

/** Calls something at most so often, the last call never lost. @param {() => Promise<void>} work @param {number} ms */
export function throttled(work, ms) {
  let running = false;
  let again = false;
  const run = async () => {
    if (running) {
      again = true;
      return;
    }
    running = true;
    const started = performance.now();
    await work();
    // What takes long is done less often.
    const pause = Math.max(ms, 5 * (performance.now() - started));
    await new Promise((resolve) => setTimeout(resolve, pause));
    running = false;
    if (again) {
      again = false;
      run();
    }
  };
  return run;
}

const refreshed = throttled(refresh, 1_000);

/** Asks for what every view shows. */
export const start = () => void refreshed();

/** Asks for what stands around the view, and again, from now on, for all that may have changed: at once too, for what did while nobody listened. */
export function follow() {
  api.status().then((all) => (status.value = all), () => {});
  api.workspaces().then((all) => (workspaces.value = all), () => {});
  listen(
    () => {
      tick.value += 1;
      refreshed();
    },
    (now) => (online.value = now),
  );
}

const darkness = matchMedia("(prefers-color-scheme: dark)");
/** Whether the system is dark now: what is drawn on a canvas has to be drawn again when that changes. */
export const dark = signal(darkness.matches);
darkness.addEventListener("change", () => (dark.value = darkness.matches));

/** @type {import("@preact/signals").Signal<"system" | "light" | "dark">} */
export const theme = signal(setting("theme", "system"));
theme.subscribe((now) => {
  const root = document.documentElement;
  if (now === "system") delete root.dataset.theme;
  else root.dataset.theme = now;
  keepSetting("theme", now);
});
