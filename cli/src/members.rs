//! The devices of the workspace: `join`, `members`, `remove`, `role`, `rename`, `revoke`, `peers` and
//! `sync`.

use comfy_table::Cell;
use runmesh_core::api::{
    JoinRequest, JoinStage, Joined, Joining, Members, Named, PLACES, Peer, RemoveRequest,
    RenameRequest, RevokeRequest, RoleRequest, SyncReport, SyncRequest,
};
use runmesh_core::ids::DeviceId;

use crate::args;
use crate::client::Client;
use crate::error::CliError;
use crate::progress::{spinner, while_looking};
use crate::screen::{Screen, Tone, cell, note, right, toned};
use crate::text::{
    ago, bytes, clean, count, list, moment, name_or, name_with, now_ms, span, thousands,
};

/// How much of a ticket's key is shown: enough to tell it from the others.
const KEY_CHARS: usize = 10;

/// Joins the workspace of a ticket.
pub(crate) fn join(client: &Client, join: args::Join, screen: &mut Screen) -> Result<(), CliError> {
    let args::Join { ticket, leave_behind, unmet, name, through } = join;
    let name = name.map(String::from);
    let request = JoinRequest { ticket, leave_behind, unmet, name, through };
    let waiting = spinner("joining");
    let look = || {
        // What cannot be told now is told the next time.
        if let Ok([joining]) = client.get::<Vec<Joining>>("join", &[]).as_deref() {
            waiting.set_message(how_far(joining));
        }
    };
    let joined: Joined = while_looking(look, || client.post("join", &request))?;
    waiting.finish_and_clear();
    if screen.is_json() {
        return screen.json(&joined);
    }
    let through = name_or(&joined.through.name, joined.through.id.short());
    let workspace = joined.workspace.id.short();
    if request.unmet {
        screen.line(&format!("in workspace {workspace}, as far as this device can tell"))?;
        note("next: `runmesh bundle export --all FILE`, and import it on a member's device");
        return Ok(());
    }
    screen.line(&format!("joined workspace {workspace} through {through}"))?;
    if request.name.is_some() {
        let address = format!("http://{}{PLACES}{}", client.address(), clean(&joined.place));
        screen.line(&format!("clients find it at {address}"))?;
    }
    if joined.runs_taken > 0 {
        let runs = count(joined.runs_taken, "run", "runs");
        screen.line(&format!("{runs} of this device came along"))?;
    }
    note("next: `runmesh sync --wait` waits until both hold the same");
    Ok(())
}

/// How far joining is, in a line.
fn how_far(joining: &Joining) -> String {
    let member = name_or(&joining.through.name, joining.through.id.short());
    let (entries, runs) =
        (count(joining.entries, "entry", "entries"), count(joining.runs, "run", "runs"));
    match joining.stage {
        JoinStage::Calling => format!("calling {member}"),
        JoinStage::TakingIn if joining.entries_to_come > 0 => {
            let all = thousands(joining.entries + joining.entries_to_come);
            format!("taking in from {member}: {entries} of {all}, {runs} so far")
        }
        JoinStage::TakingIn => format!("taking in from {member}: {entries}, {runs} so far"),
        JoinStage::TakingAlong => "taking what this device has along".to_owned(),
    }
}

/// Lists the members, those who were, and the tickets that are open.
pub(crate) fn members(client: &Client, screen: &mut Screen) -> Result<(), CliError> {
    let all: Members = client.get("members", &[])?;
    if screen.is_json() {
        return screen.json(&all);
    }
    let at = |ms: u64| moment(i64::try_from(ms).unwrap_or(i64::MAX));
    let rows = all.members.iter().map(|member| {
        let notes = [(member.founder, "founder"), (member.here, "this device")];
        let notes: Vec<_> = notes.iter().filter(|(so, _)| *so).map(|(_, note)| *note).collect();
        vec![
            cell(&member.device.name),
            Cell::new(member.device.id.short()),
            Cell::new(member.role.as_str()),
            Cell::new(at(member.since_ms)),
            toned(Cell::new(notes.join(", ")), Tone::Quiet),
        ]
    });
    screen.table(&["member", "device", "role", "joined", ""], rows)?;
    for gone in &all.former {
        let (gone_name, by) = (called(&gone.device), called(&gone.by));
        screen.line(&format!("- {gone_name} was removed by {by} on {}", at(gone.at_ms)))?;
    }
    for refused in &all.refused {
        let line = format!("! {} could not join: {}", called(&refused.device), refused.reason);
        let line = screen.toned(&clean(&line), Tone::Doubtful);
        screen.line(&line)?;
    }
    if all.tickets.is_empty() {
        return Ok(());
    }
    screen.line("")?;
    let rows = all.tickets.iter().map(|ticket| {
        let kind = if ticket.recovery { "recovery" } else { ticket.role.as_str() };
        vec![
            Cell::new(ticket.key.chars().take(KEY_CHARS).collect::<String>()),
            Cell::new(kind),
            cell(ticket.name.as_deref().unwrap_or_default()),
            cell(&called(&ticket.by)),
            Cell::new(ticket.expires_ms.map_or("never".to_owned(), at)),
            right(ticket.uses_left),
        ]
    });
    screen.table(&["ticket", "for", "named", "by", "ends", "uses"], rows)
}

fn called(device: &Named<DeviceId>) -> String {
    name_with(&device.name, &device.id.short())
}

/// Removes a device from the workspace.
pub(crate) fn remove(client: &Client, device: String, screen: &mut Screen) -> Result<(), CliError> {
    let waiting = spinner("getting what it has");
    let removed: Named<DeviceId> = client.post("members/remove", &RemoveRequest { device })?;
    waiting.finish_and_clear();
    if screen.is_json() {
        return screen.json(&removed);
    }
    screen.line(&format!("{} is a member no longer", called(&removed)))?;
    note("what has arrived of it stays; what comes later counts nowhere");
    Ok(())
}

/// Says what a member may do.
pub(crate) fn role(
    client: &Client,
    device: String,
    role: args::RoleArg,
    screen: &mut Screen,
) -> Result<(), CliError> {
    let role = role.into();
    let changed: Named<DeviceId> = client.post("members/role", &RoleRequest { device, role })?;
    if screen.is_json() {
        return screen.json(&changed);
    }
    screen.line(&format!("{} is {} now", called(&changed), article(role)))
}

const fn article(role: runmesh_core::api::Role) -> &'static str {
    match role {
        runmesh_core::api::Role::Reader => "a reader",
        runmesh_core::api::Role::Writer => "a writer",
        runmesh_core::api::Role::Admin => "an admin",
    }
}

/// Gives a device another name.
pub(crate) fn rename(
    client: &Client,
    device: String,
    name: String,
    screen: &mut Screen,
) -> Result<(), CliError> {
    let renamed: Named<DeviceId> =
        client.post("members/rename", &RenameRequest { device, name })?;
    if screen.is_json() {
        return screen.json(&renamed);
    }
    screen.line(&format!("device {} is called {} now", renamed.id.short(), clean(&renamed.name)))
}

/// Closes a ticket.
pub(crate) fn revoke(client: &Client, ticket: String, screen: &mut Screen) -> Result<(), CliError> {
    let _: () = client.post("members/revoke", &RevokeRequest { ticket })?;
    if screen.is_json() {
        return screen.json(&serde_json::json!({ "revoked": true }));
    }
    screen.line("nobody joins by that ticket any more")
}

/// Lists the other devices of the workspace.
pub(crate) fn peers(client: &Client, screen: &mut Screen) -> Result<(), CliError> {
    let peers: Vec<Peer> = client.get("peers", &[])?;
    if screen.is_json() {
        return screen.json(&peers);
    }
    if peers.is_empty() {
        note("no other device is in this workspace; `runmesh invite` prints a ticket for one");
        return Ok(());
    }
    peer_table(&peers, screen)
}

/// Shows devices as a table.
pub(crate) fn peer_table(peers: &[Peer], screen: &mut Screen) -> Result<(), CliError> {
    let now = now_ms();
    let rows = peers.iter().map(|peer| {
        let state = match (peer.connected, &peer.last_error) {
            (true, _) => toned(Cell::new("connected"), Tone::Good),
            (false, Some(_)) => toned(Cell::new("unreachable"), Tone::Doubtful),
            (false, None) => toned(Cell::new("away"), Tone::Quiet),
        };
        let seen = peer.last_seen_ms.and_then(|ms| i64::try_from(ms).ok());
        vec![
            cell(&peer.device.name),
            Cell::new(peer.device.id.short()),
            Cell::new(peer.role.as_str()),
            state,
            Cell::new(seen.map_or("never".to_owned(), |ms| ago(ms, now))),
            right(peer.entries_to_get),
            right(peer.entries_to_give),
        ]
    });
    screen.table(&["peer", "device", "role", "state", "seen", "to get", "to give"], rows)?;
    for peer in peers {
        if let (false, Some(error)) = (peer.connected, &peer.last_error) {
            let name = name_or(&peer.device.name, peer.device.id.short());
            let error = screen.toned(&clean(error), Tone::Doubtful);
            screen.line(&format!("! {name}: {error}"))?;
        }
    }
    Ok(())
}

/// Shows what devices lack of each other, or waits until they lack nothing.
pub(crate) fn sync(
    client: &Client,
    sync: &args::Sync,
    screen: &mut Screen,
) -> Result<(), CliError> {
    if !sync.wait {
        return peers(client, screen);
    }
    let waiting = spinner("syncing");
    let report: SyncReport = client.post("sync", &SyncRequest { timeout_ms: sync.timeout })?;
    waiting.finish_and_clear();
    if screen.is_json() {
        return screen.json(&report);
    }
    let names = list(report.peers.iter().map(|peer| peer.name.as_str()));
    screen.line(&format!("holds the same as {names}"))?;
    let moved = &report.moved;
    screen.line(&format!(
        "{} and {} in ({}), {} out ({}), {}",
        count(moved.entries_in, "entry", "entries"),
        count(report.blobs_fetched, "blob", "blobs"),
        bytes(moved.bytes_in),
        count(moved.entries_out, "entry", "entries"),
        bytes(moved.bytes_out),
        span(report.took_ms)
    ))?;
    if report.blobs_missing > 0 {
        let blobs = count(report.blobs_missing, "blob is", "blobs are");
        screen.line(&format!("! {blobs} on no connected device; they come when one has them"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use runmesh_core::ids::WorkspaceId;

    use super::*;

    #[test]
    fn who_waits_to_join_reads_from_whom_and_how_much_of_how_much() {
        let through = Named { id: DeviceId::new([7; 32]), name: String::new() };
        let (workspace, stage) = (WorkspaceId::new([1; 32]), JoinStage::Calling);
        let mut joining =
            Joining { workspace, through, stage, entries: 1, entries_to_come: 0, runs: 0 };
        let short = joining.through.id.short();
        assert_eq!(how_far(&joining), format!("calling {short}"));
        joining.stage = JoinStage::TakingIn;
        joining.through.name = "ann\x1b[2J".to_owned();
        let told = how_far(&joining);
        assert!(told.ends_with(": 1 entry, 0 runs so far") && !told.contains('\x1b'), "{told:?}");
        joining.through.name = "ann".to_owned();
        (joining.entries, joining.entries_to_come, joining.runs) = (1_200, 34_000, 950_000);
        let told = "taking in from ann: 1,200 entries of 35,200, 950,000 runs so far";
        assert_eq!(how_far(&joining), told);
    }
}
