//! The other devices: `invite`, `join`, `peers` and `sync`.

use std::time::Duration;

use comfy_table::Cell;
use indicatif::{ProgressBar, ProgressStyle};
use runmesh_core::api::{
    Invitation, InviteRequest, JoinRequest, Joined, Peer, SyncReport, SyncRequest,
};

use crate::args;
use crate::client::Client;
use crate::error::CliError;
use crate::screen::{Screen, Tone, cell, note, right, toned};
use crate::text::{ago, bytes, clean, count, list, moment, now_ms, span};

/// Prints a ticket; what is to be known about it goes to standard error.
pub(crate) fn invite(
    client: &Client,
    invite: &args::Invite,
    screen: &mut Screen,
) -> Result<(), CliError> {
    let request = InviteRequest {
        role: invite.role.into(),
        valid_for_ms: invite.expires.0,
        uses: invite.uses,
    };
    let invitation: Invitation = client.post("invite", &request)?;
    if screen.is_json() {
        return screen.json(&invitation);
    }
    screen.line(&clean(&invitation.ticket))?;
    let end = invitation.expires_ms.and_then(|ms| i64::try_from(ms).ok());
    let end = end.map_or("for ever".to_owned(), |ms| format!("until {}", moment(ms)));
    let devices = count(u64::from(invitation.uses), "device", "devices");
    note(&format!("\nGood for {devices}, {end}. It is a key: hand it over like a password."));
    note("On the other device: runmesh join TICKET");
    Ok(())
}

/// Joins the workspace of a ticket.
pub(crate) fn join(client: &Client, join: args::Join, screen: &mut Screen) -> Result<(), CliError> {
    let request = JoinRequest { ticket: join.ticket, leave_behind: join.leave_behind };
    let waiting = spinner("joining");
    let joined: Joined = client.post("join", &request)?;
    waiting.finish_and_clear();
    if screen.is_json() {
        return screen.json(&joined);
    }
    let through = match joined.through.name.as_str() {
        "" => joined.through.id.short(),
        name => clean(name),
    };
    let workspace = joined.workspace.id.short();
    screen.line(&format!("joined workspace {workspace} through {through}"))?;
    if joined.runs_taken > 0 {
        let runs = count(joined.runs_taken, "run", "runs");
        screen.line(&format!("{runs} of this device came along"))?;
    }
    note("next: `runmesh sync --wait` waits until both hold the same");
    Ok(())
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
            Cell::new(format!("{:?}", peer.role).to_lowercase()),
            state,
            Cell::new(seen.map_or("never".to_owned(), |ms| ago(ms, now))),
            right(peer.entries_to_get),
            right(peer.entries_to_give),
        ]
    });
    screen.table(&["peer", "device", "role", "state", "seen", "to get", "to give"], rows)?;
    for peer in peers {
        if let (false, Some(error)) = (peer.connected, &peer.last_error) {
            let name = clean(if peer.device.name.is_empty() { "peer" } else { &peer.device.name });
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

/// Shows on a terminal that something is under way.
pub(crate) fn spinner(doing: &'static str) -> ProgressBar {
    let bar = ProgressBar::new_spinner().with_message(doing);
    let style = ProgressStyle::with_template("{spinner} {msg} {elapsed}");
    bar.set_style(style.expect("the template is valid"));
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}
