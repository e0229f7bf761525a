//! `runmesh backup` and `runmesh restore`: a copy of a home, and a home from one.

use std::path::Path;

use runmesh_core::ticket::Ticket;
use runmesh_daemon::backup::{self, As, Restored};
use serde_json::json;

use crate::args::Restore;
use crate::bundles::save;
use crate::client::Client;
use crate::error::CliError;
use crate::progress::spinner;
use crate::screen::{Screen, Tone, note};
use crate::text::{bytes, clean, count, moment};

/// Copies the home of a daemon, to a file or into a folder.
pub(crate) fn backup(
    client: &Client,
    path: &Path,
    force: bool,
    screen: &mut Screen,
) -> Result<(), CliError> {
    let is_folder = path.is_dir() || path.as_os_str().to_string_lossy().ends_with('/');
    if path.is_file() && !force {
        return Err(CliError::Exists { path: path.to_owned() });
    }
    let waiting = spinner("copying");
    let tar = client.post_for_bytes("backup", &())?;
    let (size, blobs_there) = if is_folder {
        let unpacked = backup::unpack(tar, path)?;
        (unpacked.bytes, Some(unpacked.blobs_there))
    } else {
        (save(tar, path)?, None)
    };
    waiting.finish_and_clear();
    if screen.is_json() {
        return screen.json(&json!({ "backup": path, "bytes": size, "blobs_there": blobs_there }));
    }
    let there = match blobs_there {
        Some(there @ 1..) => format!("; {} there already", count(there, "blob was", "blobs were")),
        _ => String::new(),
    };
    screen.line(&format!("{} written to {}{there}", bytes(size), path.display()))?;
    note("it holds this device's key: keep it as safe as the home");
    Ok(())
}

/// Makes a home from a backup.
pub(crate) fn restore(home: &Path, asked: &Restore, screen: &mut Screen) -> Result<(), CliError> {
    let how = match &asked.ticket {
        Some(ticket) => As::NewDevice(Box::new(ticket.parse::<Ticket>()?)),
        None => As::SameDevice,
    };
    let waiting = spinner("restoring");
    let restored = backup::restore(&asked.from, home, &how)?;
    waiting.finish_and_clear();
    if screen.is_json() {
        screen.json(&as_json(home, &restored))?;
    } else {
        show(home, &restored, &how, screen)?;
    }
    let whole = restored.complete && restored.wrong.is_empty() && restored.blobs_bad.is_empty();
    if whole { Ok(()) } else { Err(CliError::Unsound) }
}

fn show(home: &Path, restored: &Restored, how: &As, screen: &mut Screen) -> Result<(), CliError> {
    let head = &restored.head;
    let made = moment(i64::try_from(head.made_ms).unwrap_or(i64::MAX));
    screen.facts([
        ("home", home.display().to_string()),
        ("backup of", format!("{} {}, {made}", clean(&head.name), head.device.short())),
        ("device", restored.device.short()),
        ("runs", restored.runs.to_string()),
        ("entries", restored.entries.to_string()),
        ("blobs", restored.blobs.to_string()),
    ])?;
    let mut faults = restored.wrong.clone();
    faults.extend(restored.blobs_bad.iter().map(|blob| {
        format!("blob {blob} is not what its hash says; it is fetched from a peer that has it")
    }));
    if !restored.complete {
        faults.push("the backup was not finished: blobs may be missing".to_owned());
    }
    for id in &restored.left_behind {
        faults.push(format!("workspace {} needs a ticket of its own", id.short()));
    }
    for fault in faults {
        let fault = screen.toned(&clean(&fault), Tone::Doubtful);
        screen.line(&format!("! {fault}"))?;
    }
    match how {
        As::SameDevice => note("the home that was backed up must not be started again"),
        As::NewDevice(_) => note(&format!(
            "if the old device is lost: `runmesh remove {}` once this one is up",
            head.device.short()
        )),
    }
    Ok(())
}

fn as_json(home: &Path, restored: &Restored) -> serde_json::Value {
    json!({
        "home": home,
        "backup_of": { "id": restored.head.device, "name": restored.head.name },
        "made_ms": restored.head.made_ms,
        "device": restored.device,
        "workspaces": restored.workspaces,
        "left_behind": restored.left_behind,
        "runs": restored.runs,
        "entries": restored.entries,
        "wrong": restored.wrong,
        "blobs": restored.blobs,
        "blobs_bad": restored.blobs_bad,
        "complete": restored.complete,
    })
}
