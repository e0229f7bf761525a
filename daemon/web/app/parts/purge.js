// Purging: deleted runs are taken away for good, on every device of the workspace. Admins alone may.

import { api } from "../api.js";
import { bytes, plural } from "../format.js";
import { attempt, chosen, tell, tick } from "../state.js";
import { useEffect, useState } from "../ui.js";
import { ask } from "./dialog.js";

/** As many as the daemon takes at once. */
const AT_ONCE = 1_000;

/** Whether this device may purge: asked where a deleted run is looked at. @param {boolean} wanted */
export function useMayPurge(wanted) {
  const [may, setMay] = useState(false);
  useEffect(() => {
    let late = false;
    if (wanted) api.members().then((all) => late || setMay(all.members.some((member) => member.here && member.role === "admin")), () => {});
    return () => void (late = true);
  }, [wanted]);
  return wanted && may;
}

/** Asks, and purges. @param {string[]} runs @returns {Promise<boolean>} whether they are gone */
export async function purge(runs) {
  const what = runs.length === 1 ? "this run" : plural(runs.length, "run");
  const text = `What ${runs.length === 1 ? "it" : "they"} logged (params, metrics, tags, notes) is blanked in the journal of every device as it hears of it, and files that
    nothing else names are freed. Nothing brings it back: no undo, no bundle, no other device.`;
  const answer = await ask({ title: `Purge ${what} for good?`, text, label: "Write purge to confirm", placeholder: "purge", must: "purge", go: "Purge", danger: true });
  if (answer === null) return false;
  const done = await attempt(async () => {
    let [files, size] = [0, 0];
    for (let at = 0; at < runs.length; at += AT_ONCE) {
      const purged = await api.purgeRuns(runs.slice(at, at + AT_ONCE));
      [files, size] = [files + purged.freed_blobs, size + purged.freed_bytes];
    }
    tell(`${plural(runs.length, "run")} purged`, { hint: files ? `${plural(files, "file")} freed here, ${bytes(size)}` : undefined });
    return true;
  });
  chosen.value = new Set();
  tick.value += 1;
  return done === true;
}
