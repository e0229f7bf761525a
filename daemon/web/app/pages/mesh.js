// The mesh: which devices share this workspace, who is there, how far each is, and how another comes in.

import { encode } from "uqr";
import { api, CLIENTS_URL } from "../api.js";
import { bytes, duration, grouped, moment, plural } from "../format.js";
import { route, setQuery } from "../route.js";
import { attempt, peers, status, tell, tick } from "../state.js";
import { cls, html, useEffect, useState } from "../ui.js";
import { Pins, Transfers } from "../parts/blobs.js";
import { Bundles } from "../parts/bundles.js";
import { Conflicts, useConflicts } from "../parts/conflicts.js";
import { Dialog } from "../parts/dialog.js";
import { Icon } from "../parts/icons.js";
import { Members } from "../parts/members.js";
import { CopyButton, Empty, Loading, Paste, Time } from "../parts/small.js";

/** How often the state of peers is asked for: what moves between devices makes no event. */
const LOOK_MS = 2_000;
/** The device's own state measures its disk, so it is asked for less often. */
const STATUS_EVERY = 5;

export function MeshPage() {
  useEffect(() => {
    let gone = false;
    let looks = 0;
    const look = async () => {
      const ask = looks++ % STATUS_EVERY === 0 ? api.status().catch(() => null) : null;
      const [now, all] = await Promise.all([ask, api.peers().catch(() => null)]);
      if (gone) return;
      if (now) status.value = now;
      if (all) peers.value = all;
      timer = setTimeout(look, LOOK_MS);
    };
    let timer = setTimeout(look, 0);
    return () => {
      gone = true;
      clearTimeout(timer);
    };
  }, []);
  document.title = "Mesh · runmesh";
  const now = status.value;
  const inviting = route.value.query.has("invite");
  const joining = route.value.query.has("join");
  if (!now) return html`<${Loading} />`;
  return html`
    <div class="mesh">
      <header class="runs-head">
        <h1>Mesh</h1><span class="grow"></span>
        <button onClick=${() => setQuery({ join: "1" })}>Join another workspace</button>
        <button class="primary" onClick=${() => setQuery({ invite: "1" })}><${Icon} name="plus" />Invite a device</button>
      </header>
      ${now.warnings.map((/** @type {string} */ text) => html`<p class="conflict" role="note"><${Icon} name="warn" />${text}</p>`)}
      <div class="mesh-grid">
        <${Disputed} />
        <${Transfers} />
        <${Peers} />
        <${Members} />
        <${ThisDevice} now=${now} />
        <${Bundles} />
        <${Storage} now=${now} />
        <${Pins} />
      </div>
      ${inviting && html`<${Invite} onClose=${() => setQuery({ invite: null }, { replace: true })} />`}
      ${joining && html`<${Join} onClose=${() => setQuery({ join: null }, { replace: true })} />`}
    </div>
  `;
}

/** @param {{ now: import("../api.js").Status }} props */
const ThisDevice = ({ now }) => html`
  <section class="card" aria-label="This device">
    <header><h2>This device</h2></header>
    <dl class="pairs">
      <div><dt>name</dt><dd><bdi>${now.device.name}</bdi></dd></div>
      <div><dt>workspace</dt><dd><bdi>${now.workspace.name}</bdi></dd></div>
      <div><dt>device id</dt><dd class="mono">${now.device.id.slice(0, 16)}…<${CopyButton} text=${now.device.id} label="Copy the device id" /></dd></div>
      <div><dt>peers reach it at</dt><dd class="mono">${now.peer_addresses.map((/** @type {string} */ address) => html`<div>${address}</div>`)}</dd></div>
      <div><dt>version</dt><dd>runmesh ${now.version}, up ${duration(now.uptime_ms)}</dd></div>
    </dl>
    <${Paste} label="For your training scripts on this machine" text=${`export MLFLOW_TRACKING_URI=${CLIENTS_URL}`} />
  </section>
`;

function Peers() {
  tick.value;
  const all = peers.value;
  return html`
    <section class="card wide" aria-label="Other devices">
      <header><h2>Other devices</h2><span class="count">${all.length || ""}</span></header>
      ${all.length === 0
        ? html`<${Empty} title="No other device yet"><p>Invite one: it will hold the same runs and files, and either of you can be offline.</p>
            <button class="primary" onClick=${() => setQuery({ invite: "1" })}>Invite a device</button><//>`
        : html`<ul class="peers">${all.map((peer) => html`<${PeerLine} key=${peer.device.id} peer=${peer} />`)}</ul>`}
    </section>
  `;
}

/** @param {{ peer: import("../api.js").Peer }} props */
function PeerLine({ peer }) {
  const behind = peer.entries_to_get + peer.entries_to_give;
  const lag = [peer.entries_to_get > 0 && `${plural(peer.entries_to_get, "entry", "entries")} to get`, peer.entries_to_give > 0 && `${plural(peer.entries_to_give, "entry", "entries")} to give`].filter(Boolean).join(", ");
  return html`
    <li class=${cls("peer", peer.connected && "here")}>
      <i aria-hidden="true"></i>
      <div class="peer-name"><strong><bdi>${peer.device.name || "unnamed"}</bdi></strong><span class="mono muted">${peer.device.id.slice(0, 10)}</span></div>
      <span class="badge">${peer.role}</span>
      <span>${peer.connected ? "online" : peer.last_seen_ms ? html`seen <${Time} ms=${peer.last_seen_ms} />` : "never seen"}</span>
      <span class=${behind ? "lag" : "muted"}>${behind ? lag : peer.connected ? "holds the same" : "as far as known, the same"}</span>
      ${peer.last_error && !peer.connected && html`<p class="muted">${peer.last_error}</p>`}
    </li>
  `;
}

/** What devices that were apart decided differently. */
function Disputed() {
  const { conflicts, more } = useConflicts(() => true, String(tick.value));
  if (!conflicts?.length) return null;
  return html`
    <section class="card wide" id="conflicts" aria-label="Conflicts">
      <header><h2>Conflicts</h2><span class="count">${conflicts.length}${more ? " and more" : ""}</span></header>
      <p class="muted">Devices that were apart set these differently. Nothing is lost: choose what counts.</p>
      <${Conflicts} conflicts=${conflicts} more=${more} named />
    </section>
  `;
}

/** @param {{ now: import("../api.js").Status }} props */
const Storage = ({ now }) => html`
  <section class="card" aria-label="Storage">
    <header><h2>Storage</h2></header>
    <dl class="pairs">
      <div><dt>runs</dt><dd>${grouped(now.runs)} in ${plural(now.experiments, "experiment")}</dd></div>
      <div><dt>journals</dt><dd>${grouped(now.journals)} with ${plural(now.entries, "entry", "entries")}, ${bytes(now.disk.journal_bytes)}</dd></div>
      <div><dt>store</dt><dd>${bytes(now.disk.store_bytes)}</dd></div>
      <div><dt>files</dt><dd>${grouped(now.blobs.held)} here, ${bytes(now.disk.blob_bytes)}</dd></div>
      ${now.blobs.queued > 0 && html`<div><dt>coming</dt><dd>${plural(now.blobs.queued, "file")} wait for a device that has them</dd></div>`}
      ${now.blobs.elsewhere > 0 && html`<div><dt>elsewhere</dt><dd>${plural(now.blobs.elsewhere, "file")}, fetched when opened</dd></div>`}
      <div><dt>free</dt><dd>${bytes(now.disk.free_bytes)}</dd></div>
      <div><dt>moved since start</dt><dd>${bytes(now.traffic.bytes_in)} in, ${bytes(now.traffic.bytes_out)} out</dd></div>
    </dl>
  </section>
`;

const HOURS = /** @type {[string, number | null][]} */ ([["1 hour", 1], ["1 day", 24], ["1 week", 168], ["no end", null]]);

/** @param {{ onClose: () => void }} props */
function Invite({ onClose }) {
  const [role, setRole] = useState("writer");
  const [hours, setHours] = useState(/** @type {number | null} */ (24));
  const [uses, setUses] = useState(1);
  const [made, setMade] = useState(/** @type {Awaited<ReturnType<typeof api.invite>> | null} */ (null));
  const submit = async (/** @type {Event} */ event) => {
    event.preventDefault();
    const invitation = await attempt(() => api.invite({ role, uses, valid_for_ms: hours && hours * 3_600_000 }));
    if (invitation) setMade(invitation);
  };
  if (made) {
    return html`
      <${Dialog} title="A ticket" onClose=${onClose} wide>
        <p>A ticket is a key: whoever has it can join as ${made.role}${made.expires_ms ? ` until ${moment(made.expires_ms)}` : ", without end"}${made.uses === 1 ? ", once" : `, ${made.uses} times`}. Send it by a way you trust.</p>
        <div class="ticket"><${QrCode} text=${made.ticket} /><div><${Paste} label="On the other device" text=${`runmesh join ${made.ticket}`} /></div></div>
        <div class="actions"><button class="primary" onClick=${onClose}>Done</button></div>
      <//>`;
  }
  return html`
    <${Dialog} title="Invite a device" onClose=${onClose}>
      <form onSubmit=${submit}>
        <label class="field">It may
          <select value=${role} onChange=${(/** @type {any} */ event) => setRole(event.target.value)}>
            <option value="reader">read</option><option value="writer">read and write</option><option value="admin">read, write and invite others</option>
          </select></label>
        <label class="field">The ticket is good for
          <select value=${String(hours)} onChange=${(/** @type {any} */ event) => setHours(event.target.value === "null" ? null : Number(event.target.value))}>
            ${HOURS.map(([name, value]) => html`<option value=${String(value)}>${name}</option>`)}
          </select></label>
        <label class="field">For how many devices
          <input type="number" min="1" max="1000" value=${uses} onInput=${(/** @type {any} */ event) => setUses(Math.max(1, Number(event.target.value) || 1))} /></label>
        <div class="actions"><button type="button" onClick=${onClose}>Cancel</button><button type="submit" class="primary">Make a ticket</button></div>
      </form>
    <//>
  `;
}

/** @param {{ text: string }} props */
function QrCode({ text }) {
  const { data, size } = encode(text, { border: 2 });
  const path = data.flatMap((row, y) => row.map((dark, x) => (dark ? `M${x} ${y}h1v1h-1z` : ""))).join("");
  return html`<svg class="qr" viewBox=${`0 0 ${size} ${size}`} role="img" aria-label="The ticket as a QR code" shape-rendering="crispEdges"><rect width=${size} height=${size} /><path d=${path} /></svg>`;
}

/** @param {{ onClose: () => void }} props */
function Join({ onClose }) {
  const [ticket, setTicket] = useState("");
  const [leave, setLeave] = useState(false);
  const [busy, setBusy] = useState(false);
  const submit = async (/** @type {Event} */ event) => {
    event.preventDefault();
    if (!ticket.trim()) return;
    setBusy(true);
    const joined = await attempt(() => api.join(ticket.trim().replace(/^runmesh join /, ""), leave));
    setBusy(false);
    if (!joined) return;
    tell(`Joined ${joined.workspace.name}`, { hint: joined.runs_taken ? `${plural(joined.runs_taken, "run")} came along` : undefined });
    tick.value += 1;
    onClose();
  };
  return html`
    <${Dialog} title="Join another workspace" onClose=${onClose}>
      <form onSubmit=${submit}>
        <p>This device leaves the workspace it has for the one that the ticket is from.</p>
        <label class="field">Ticket<textarea autofocus rows="4" class="mono" value=${ticket} onInput=${(/** @type {any} */ event) => setTicket(event.target.value)}></textarea></label>
        <label class="check"><input type="checkbox" checked=${!leave} onChange=${() => setLeave(!leave)} />Take the runs of this device along</label>
        <div class="actions"><button type="button" onClick=${onClose}>Cancel</button><button type="submit" class="primary" disabled=${busy}>${busy ? "Joining…" : "Join"}</button></div>
      </form>
    <//>
  `;
}
