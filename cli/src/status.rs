//! `runmesh status`: how this device is doing, on one screen.

use runmesh_core::api::{BlobStatus, Status};

use crate::client::{Client, reachable};
use crate::error::CliError;
use crate::members::peer_table;
use crate::screen::{Screen, Tone};
use crate::text::{bytes, clean, count, moment, span};

/// Shows how this device is doing.
pub(crate) fn status(client: &Client, screen: &mut Screen) -> Result<(), CliError> {
    let status: Status = client.get("status", &[])?;
    if screen.is_json() {
        return screen.json(&status);
    }
    let facts = facts(&status, screen);
    screen.facts(facts)?;
    if !status.peers.is_empty() {
        screen.line("")?;
        peer_table(&status.peers, screen)?;
    }
    if let Some(watched) = &status.watched {
        for failed in &watched.failed {
            let failed = screen.toned(&clean(failed), Tone::Doubtful);
            screen.line(&format!("! bundle {failed}"))?;
        }
    }
    for warning in &status.warnings {
        let warning = screen.toned(&clean(warning), Tone::Doubtful);
        screen.line(&format!("! {warning}"))?;
    }
    Ok(())
}

fn facts(status: &Status, screen: &Screen) -> Vec<(&'static str, String)> {
    let connected = status.peers.iter().filter(|peer| peer.connected).count() as u64;
    let started = i64::try_from(status.started_ms).unwrap_or(i64::MAX);
    let place = clean(status.place.as_deref().unwrap_or_default());
    let tracking = format!("http://{}{place}", reachable(&status.http));
    let named = |name: &str, id: &str| {
        let id = screen.toned(id, Tone::Quiet);
        if name.is_empty() { id } else { format!("{} {id}", clean(name)) }
    };
    let mut facts = vec![
        ("device", named(&status.device.name, &status.device.id.short())),
        ("workspace", named(&status.workspace.name, &status.workspace.id.short())),
        ("home", clean(&status.home)),
        ("clients", format!("export MLFLOW_TRACKING_URI={tracking}")),
        ("peers at", clean(&status.peer_addresses.join(", "))),
        (
            "daemon",
            format!(
                "runmesh {}, pid {}, up {}, since {}",
                clean(&status.version),
                status.pid,
                span(status.uptime_ms),
                moment(started)
            ),
        ),
        (
            "runs",
            format!(
                "{} in {}",
                count(status.runs, "run", "runs"),
                count(status.experiments, "experiment", "experiments")
            ),
        ),
        ("journals", journals(status)),
        ("blobs", blobs(&status.blobs)),
        (
            "disk",
            format!(
                "store {}, blobs {}, free {}",
                bytes(status.disk.store_bytes),
                bytes(status.disk.blob_bytes),
                bytes(status.disk.free_bytes)
            ),
        ),
        ("peers", format!("{connected} of {} connected", status.peers.len())),
    ];
    if let Some(watched) = &status.watched {
        let last = watched.last.as_deref().map_or(String::new(), |last| format!("; {last}"));
        let imported = count(watched.imported, "bundle", "bundles");
        facts.push(("watching", clean(&format!("{}: {imported}{last}", watched.folder))));
    }
    facts.retain(|(_, value)| !value.is_empty());
    facts
}

fn journals(status: &Status) -> String {
    let mut text = format!(
        "{}, {}",
        count(status.journals, "journal", "journals"),
        count(status.entries, "entry", "entries")
    );
    if status.unsealed_edits > 0 {
        text.push_str(&format!(
            "; {} not sealed yet",
            count(status.unsealed_edits, "edit", "edits")
        ));
    }
    if status.waiting_changes > 0 {
        let changes = count(status.waiting_changes, "change waits", "changes wait");
        text.push_str(&format!("; {changes} for others to arrive"));
    }
    text
}

fn blobs(blobs: &BlobStatus) -> String {
    let mut text = format!("{}, {}", count(blobs.held, "blob", "blobs"), bytes(blobs.bytes));
    if blobs.queued > 0 {
        text.push_str(&format!("; {} to fetch", blobs.queued));
    }
    if blobs.elsewhere > 0 {
        text.push_str(&format!("; {} only on other devices", blobs.elsewhere));
    }
    text
}
