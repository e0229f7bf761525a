//! `runmesh pin`, `unpin`, `pins`, `gc`, `purge` and `artifacts where`: who keeps which bytes.

use std::io::{self, IsTerminal};

use comfy_table::Cell;
use runmesh_core::api::{
    CollectRequest, Collected, Held, Holder, KeptWhy, PinInfo, PinRequest, Purged, RunDetails,
};

use crate::client::Client;
use crate::error::CliError;
use crate::progress::spinner;
use crate::screen::{Screen, Tone, cell, note, right, toned};
use crate::show::url_part;
use crate::text::{ago, bytes, clean, count, name_or, now_ms};

/// Keeps something here, and fetches what of it is missing.
pub(crate) fn pin(client: &Client, what: String, screen: &mut Screen) -> Result<(), CliError> {
    let pinned: PinInfo = client.post("pins", &PinRequest { what })?;
    if screen.is_json() {
        return screen.json(&pinned);
    }
    let blobs = count(pinned.blobs, "blob", "blobs");
    let missing = match pinned.missing {
        0 => "all here".to_owned(),
        missing => format!("{missing} to be fetched"),
    };
    screen.line(&format!("pinned {}: {blobs}, {missing}", clean(&pinned.what)))
}

/// Keeps something no more than the policy says.
pub(crate) fn unpin(client: &Client, what: String, screen: &mut Screen) -> Result<(), CliError> {
    let pin: PinInfo = client.post("pins/remove", &PinRequest { what })?;
    if screen.is_json() {
        return screen.json(&pin);
    }
    screen.line(&format!(
        "{} is pinned no more; `runmesh gc` frees what nothing keeps",
        clean(&pin.what)
    ))
}

/// Lists what is pinned.
pub(crate) fn pins(client: &Client, screen: &mut Screen) -> Result<(), CliError> {
    let pins: Vec<PinInfo> = client.get("pins", &[])?;
    if screen.is_json() {
        return screen.json(&pins);
    }
    if pins.is_empty() {
        note("nothing is pinned; `runmesh pin RUN` keeps all files of a run here");
        return Ok(());
    }
    let now = now_ms();
    let rows = pins.iter().map(|pin| {
        let since = i64::try_from(pin.since_ms).unwrap_or(i64::MAX);
        vec![cell(&pin.what), right(pin.blobs), right(pin.missing), Cell::new(ago(since, now))]
    });
    screen.table(&["pinned", "blobs", "missing", "since"], rows)
}

/// Frees blobs that this device need not hold.
pub(crate) fn gc(
    client: &Client,
    asked: CollectRequest,
    screen: &mut Screen,
) -> Result<(), CliError> {
    let waiting = spinner("collecting");
    let done: Collected = client.post("gc", &asked)?;
    waiting.finish_and_clear();
    if screen.is_json() {
        return screen.json(&done);
    }
    let verb = if done.dry_run { "would free" } else { "freed" };
    let freed = count(done.freed_blobs, "blob", "blobs");
    screen.line(&format!("{verb} {freed} ({})", bytes(done.freed_bytes)))?;
    for kept in &done.kept {
        let blobs = count(kept.blobs, "blob", "blobs");
        screen.line(&format!("kept {blobs} ({}): {}", bytes(kept.bytes), why(kept.why)))?;
    }
    Ok(())
}

/// Takes a deleted run away for good.
pub(crate) fn purge(
    client: &Client,
    run: &str,
    yes: bool,
    screen: &mut Screen,
) -> Result<(), CliError> {
    if !yes {
        let shown: RunDetails = client.get(&format!("runs/{}", url_part(run)), &[])?;
        let name = clean(&shown.run.name);
        confirm(&format!(
            "run {name} ({}) goes from all devices as they hear of it, and nothing brings it back",
            shown.run.id
        ))?;
    }
    let purged: Purged =
        client.post(&format!("runs/{}/purge", url_part(run)), &serde_json::json!({}))?;
    if screen.is_json() {
        return screen.json(&purged);
    }
    let freed = count(purged.freed_blobs, "blob", "blobs");
    let size = bytes(purged.freed_bytes);
    screen.line(&format!("purged run {}; {freed} ({size}) freed here", purged.run))
}

/// Asks a person whether to go on.
pub(crate) fn confirm(what: &str) -> Result<(), CliError> {
    note(what);
    if io::stdin().is_terminal() {
        note("type yes to go on");
        let mut answer = String::new();
        if io::stdin().read_line(&mut answer).is_ok() && answer.trim() == "yes" {
            return Ok(());
        }
    }
    Err(CliError::NotConfirmed)
}

const fn why(why: KeptWhy) -> &'static str {
    match why {
        KeptWhy::Wanted => "runs or models have them, and this device wants them",
        KeptWhy::Pinned => "pinned",
        KeptWhy::Promised => "promised to another device, for a day at most",
        KeptWhy::OnlyCopy => {
            "runs or models have them, and no connected device promised to keep them"
        }
        KeptWhy::NobodyPromised => {
            "nothing names them, and no connected device promised to keep them; --force frees them"
        }
        KeptWhy::ComingIn => "just being uploaded or fetched",
        KeptWhy::OtherWorkspace => "another workspace of this device has them",
    }
}

/// Lists who holds the files of a run.
pub(crate) fn holders(
    client: &Client,
    run: &str,
    path: &str,
    screen: &mut Screen,
) -> Result<(), CliError> {
    let held: Vec<Held> =
        client.get(&format!("runs/{}/holders", url_part(run)), &[("path", path)])?;
    if screen.is_json() {
        return screen.json(&held);
    }
    if held.is_empty() {
        note("this run has no artifacts");
        return Ok(());
    }
    let rows = held.iter().map(|one| {
        let holders = one.holders.iter().map(named).collect::<Vec<_>>().join(", ");
        let holders = match one.holders.is_empty() {
            true => toned(Cell::new("nobody said so"), Tone::Doubtful),
            false => Cell::new(holders),
        };
        vec![
            cell(&one.path),
            right(one.size.map_or_else(String::new, bytes)),
            Cell::new(if one.pinned { "pinned" } else { "" }),
            holders,
        ]
    });
    screen.table(&["path", "size", "", "held by"], rows)
}

fn named(holder: &Holder) -> String {
    let name = name_or(&holder.device.name, holder.device.id.short());
    match (holder.here, holder.connected) {
        (true, _) => format!("{name} (this device)"),
        (false, true) => name,
        (false, false) => format!("{name} (away)"),
    }
}
