// The bytes of files: who holds them, how far those are that are coming, and what is kept here whatever happens.

import { api } from "../api.js";
import { bytes, called, plural } from "../format.js";
import { href } from "../route.js";
import { attempt, tell, tick } from "../state.js";
import { html, signal, useEffect, useState } from "../ui.js";
import { Icon } from "./icons.js";
import { Time } from "./small.js";

/** How often the state of what is coming is asked for: it makes no event. */
const LOOK_MS = 1_000;
/** Of a blob's hash so much is shown. */
const HASH_CHARS = 12;

/** Counts what was pinned or no longer is. */
const pinned = signal(0);

/** @param {string} what @param {boolean} on */
const pin = (what, on) => attempt(async () => {
  const answer = await (on ? api.pin(what) : api.unpin(what));
  tell(on ? `${plural(answer.blobs, "file")} will be kept here` : "It is kept here no longer than the device's policy says");
  pinned.value += 1;
});

/** Keeps all files of a run here. @param {string} run */
export const pinRun = (run) => pin(run, true);

/** Who holds a file, and whether it stays here. @param {{ of: string, path: string, blob: string }} props of: a run or a logged model */
export function Holders({ of, path, blob }) {
  // A file of a logged model has no name but its hash.
  const what = of.startsWith("m-") ? blob : `${of}/${path}`;
  const [held, setHeld] = useState(/** @type {import("../api.js").Held | null} */ (null));
  useEffect(() => {
    let late = false;
    api.holders(of, path, blob).then((now) => late || setHeld(now), () => {});
    return () => void (late = true);
  }, [of, path, blob, tick.value, pinned.value]);
  if (!held) return null;
  return html`
    <p class="file-line holders">
      ${held.holders.length === 0 ? html`<span class="lag">no device is known to hold it</span>` : html`<span>held by ${held.holders.map(({ device, here, connected }, at) => html`${at > 0 && ", "}
        <bdi key=${device.id} class=${connected ? "" : "away"} title=${here ? "this device" : connected ? "online" : "not online"}>${here ? "this device" : called(device)}</bdi>`)}</span>`}
      <button class="link" title=${held.pinned ? "Let it go when the device's policy says so" : "Fetch it if it is elsewhere, and keep it whatever the device's policy is"} onClick=${() => pin(what, !held.pinned)}>
        ${held.pinned ? "kept here; let it go" : "Keep it here"}</button>
    </p>
  `;
}

/** What is coming, asked for again and again while somebody looks. */
function useTransfers() {
  const [now, setNow] = useState(/** @type {import("../api.js").Transfers | null} */ (null));
  useEffect(() => {
    let gone = false;
    /** @type {ReturnType<typeof setTimeout>} */
    let timer;
    const look = async () => {
      const answer = await api.transfers().catch(() => null);
      if (gone) return;
      if (answer) setNow(answer);
      timer = setTimeout(look, LOOK_MS);
    };
    look();
    return () => {
      gone = true;
      clearTimeout(timer);
    };
  }, []);
  return now;
}

/** @param {{ done: number, total: number, label: string }} props */
const Bar = ({ done, total, label }) => html`
  <span class="coming"><progress max=${Math.max(1, total)} value=${done} aria-label=${label}></progress><span class="muted">${bytes(done)} of ${bytes(total)}</span></span>`;

/** How far a file is that is being fetched. @param {{ blob: string }} props */
export function Coming({ blob }) {
  const one = useTransfers()?.under_way.find((transfer) => transfer.blob === blob);
  return one ? html`<p role="status">Fetching it from another device <${Bar} done=${one.bytes_done} total=${one.bytes_total} label="How far it is" /></p>` : null;
}

/** All that is coming. */
export function Transfers() {
  const now = useTransfers();
  if (!now || (now.queued === 0 && now.under_way.length === 0)) return null;
  return html`
    <section class="card wide" aria-label="Coming in">
      <header><h2>Coming in</h2><span class="count">${plural(now.queued, "file")}</span></header>
      <${Bar} done=${now.bytes_done} total=${now.bytes_total} label="All files" />
      <ul>${now.under_way.map((one) => html`<li key=${one.blob} class="transfer"><span class="mono">${one.blob.slice(0, HASH_CHARS)}</span><${Bar} done=${one.bytes_done} total=${one.bytes_total} label=${`File ${one.blob.slice(0, HASH_CHARS)}`} /></li>`)}</ul>
      ${now.under_way.length === 0 && html`<p class="muted">They wait for a device that holds them.</p>`}
    </section>
  `;
}

/** What is kept here whatever the policy. */
export function Pins() {
  const [pins, setPins] = useState(/** @type {import("../api.js").Pin[]} */ ([]));
  useEffect(() => {
    let late = false;
    api.pins().then((all) => late || setPins(all), () => {});
    return () => void (late = true);
  }, [tick.value, pinned.value]);
  if (pins.length === 0) return null;
  return html`
    <section class="card" aria-label="Kept here">
      <header><h2>Kept here</h2><span class="count">${pins.length}</span></header>
      <ul class="peers">${pins.map((one) => {
        const [run, ...path] = one.what.split("/");
        const name = html`<bdi>${path.join("/") || (run.length === 32 ? `run ${run.slice(0, 8)}` : run.slice(0, HASH_CHARS))}</bdi>`;
        return html`<li class="peer" key=${one.what}><${Icon} name="pin" />
          ${run.length === 32 ? html`<a href=${href(["experiments", "-", "runs", run], path.length ? { tab: "artifacts", file: path.join("/") } : {})}>${name}</a>` : html`<span class="mono">${name}</span>`}
          <span class=${one.missing ? "lag" : "muted"}>${one.missing ? `${one.missing} of ${plural(one.blobs, "file")} to come` : plural(one.blobs, "file")}, since <${Time} ms=${one.since_ms} /></span>
          <span class="grow"></span><button onClick=${() => pin(one.what, false)}>Let go</button></li>`;
      })}</ul>
    </section>
  `;
}
