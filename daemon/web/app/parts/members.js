// The members of the workspace and the tickets by which others can join: who may do what, and who may no longer.

import { api } from "../api.js";
import { called, moment } from "../format.js";
import { attempt, peers, tell, tick } from "../state.js";
import { cls, html, useEffect, useState } from "../ui.js";
import { ask, Menu, MenuItem } from "./dialog.js";
import { Icon } from "./icons.js";
import { Time } from "./small.js";

/** @typedef {import("../api.js").Member} Member */

const ROLES = /** @type {const} */ (["reader", "writer", "admin"]);

/** Does what a person asked of a member, and says so. @param {() => Promise<unknown>} work @param {string} done */
const change = (work, done) => attempt(async () => {
  await work();
  tell(done);
  tick.value += 1;
});

/** @param {Member} member */
async function remove(member) {
  const name = called(member.device);
  const text = "What it wrote until now stays. What it writes from now on counts for nobody, and nobody sends it anything. Runs that it holds stay on its disk.";
  if (await ask({ title: `Remove ${name}?`, text, go: "Remove", danger: true })) await change(() => api.removeMember(member.device.id), `${name} is removed`);
}

/** @param {Member} member */
async function rename(member) {
  const name = await ask({ title: "Rename the device", label: "Name", value: member.device.name, go: "Rename" });
  if (name) await change(() => api.renameMember(member.device.id, name.trim()), `It is called ${name.trim()} now`);
}

/** @param {import("../api.js").Members["tickets"][0]} ticket */
async function revoke(ticket) {
  const text = ticket.recovery
    ? "Whoever kept it can no longer win the workspace back with it, should its admins be lost."
    : "Whoever has it can no longer join with it. Who joined already stays.";
  if (await ask({ title: `Revoke the ${ticket.recovery ? "recovery ticket" : "ticket"}?`, text, go: "Revoke", danger: true })) await change(() => api.revokeTicket(ticket.key), "The ticket lets nobody in any more");
}

export function Members() {
  const [answer, setAnswer] = useState(/** @type {import("../api.js").Members | null} */ (null));
  useEffect(() => {
    let late = false;
    api.members().then((all) => late || setAnswer(all), () => {});
    return () => void (late = true);
  }, [tick.value, peers.value.length]);
  if (!answer) return null;
  return html`
    <section class="card wide" aria-label="Members">
      <header><h2>Members</h2><span class="count">${answer.members.length}</span></header>
      <ul class="peers">${answer.members.map((member) => html`<${Line} key=${member.device.id} member=${member} />`)}</ul>
      ${answer.tickets.length > 0 && html`<h3>Tickets that are still good</h3>
        <ul class="peers">${answer.tickets.map((ticket) => html`<li class="peer" key=${ticket.key}><${Icon} name="link" />
          <div class="peer-name"><strong>${ticket.recovery ? "recovery" : (ticket.name ?? "for anyone")}</strong><span class="mono muted">${ticket.key.slice(0, 10)}</span></div>
          <span class="badge">${ticket.role}</span><span>${ticket.expires_ms ? `until ${moment(ticket.expires_ms)}` : "without end"}, ${ticket.uses_left} left</span><span class="grow"></span>
          <button onClick=${() => revoke(ticket)}>Revoke</button></li>`)}</ul>`}
      ${answer.refused.length > 0 && html`<h3>Tried to join in vain</h3><ul class="peers">${answer.refused.map((one) => html`<li class="peer" key=${one.device.id}><${Icon} name="warn" /><bdi>${called(one.device)}</bdi><span class="muted">${one.reason}</span></li>`)}</ul>`}
      ${answer.former.length > 0 && html`<details><summary>Removed devices (${answer.former.length})</summary><ul class="peers">${answer.former.map((one) => html`<li class="peer" key=${one.device.id}><bdi>${called(one.device)}</bdi><span class="muted">by <bdi>${called(one.by)}</bdi> <${Time} ms=${one.at_ms} /></span></li>`)}</ul></details>`}
    </section>
  `;
}

/** @param {{ member: Member }} props */
function Line({ member }) {
  const online = member.here || peers.value.some((peer) => peer.device.id === member.device.id && peer.connected);
  return html`
    <li class=${cls("peer", online && "here")}>
      <i aria-hidden="true"></i>
      <div class="peer-name"><strong><bdi>${member.device.name || "unnamed"}</bdi></strong><span class="mono muted">${member.device.id.slice(0, 10)}</span></div>
      <span class="badge">${member.role}</span>
      ${member.here && html`<span class="muted">this device</span>`}${member.founder && html`<span class="muted">founder</span>`}
      <span class="muted">since <${Time} ms=${member.since_ms} /></span><span class="grow"></span>
      <${Menu} label=${`Member ${member.device.name}`} face=${html`<${Icon} name="more" />`} end>
        <${MenuItem} icon="edit" onClick=${() => rename(member)}>Rename<//>
        ${ROLES.filter((role) => role !== member.role).map((role) => html`<${MenuItem} icon="chevron" onClick=${() => change(() => api.setRole(member.device.id, role), `It is ${role} now`)}>Make it ${role}<//>`)}
        ${!member.here && html`<${MenuItem} icon="trash" danger onClick=${() => remove(member)}>Remove<//>`}
      <//>
    </li>
  `;
}
