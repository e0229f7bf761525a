//! The workspaces of this device: `workspace list`, `create`, `use`, `rename` and `leave`; `copy`.

use comfy_table::Cell;
use runmesh_core::api::{
    CopiedRun, Copies, CopyRequest, CreateWorkspace, LeaveReport, LeaveWorkspace, PLACES,
    RenameWorkspace, Role, UseWorkspace, WorkspaceInfo,
};
use runmesh_daemon::places::PlaceName;

use crate::args::Workspace;
use crate::blobs::confirm;
use crate::client::Client;
use crate::error::CliError;
use crate::progress::spinner;
use crate::screen::{Screen, Tone, cell, note, right, toned};
use crate::text::{bytes, clean, count, name_with};

/// Does what is asked about the workspaces of this device.
pub(crate) fn workspaces(
    client: &Client,
    asked: Workspace,
    screen: &mut Screen,
) -> Result<(), CliError> {
    match asked {
        Workspace::List => list(client, screen),
        Workspace::Create { name } => {
            let name = String::from(name);
            let created = client.post("workspaces/create", &CreateWorkspace { name })?;
            told(client, &created, "is there", screen)
        }
        Workspace::Use { name } => {
            let name = String::from(name);
            let chosen = client.post("workspaces/use", &UseWorkspace { name })?;
            told(client, &chosen, "is what clients and commands get that name none", screen)
        }
        Workspace::Leave { name, yes } => leave(client, name, yes, screen),
        Workspace::Rename { name, new_name } => {
            let (name, new_name) = (String::from(name), String::from(new_name));
            let request = RenameWorkspace { name, new_name };
            let renamed = client.post("workspaces/rename", &request)?;
            told(client, &renamed, "is its name on this device now", screen)
        }
    }
}

fn address(client: &Client, info: &WorkspaceInfo) -> String {
    format!("http://{}{PLACES}{}", client.address(), clean(&info.name))
}

fn told(
    client: &Client,
    info: &WorkspaceInfo,
    what: &str,
    screen: &mut Screen,
) -> Result<(), CliError> {
    if screen.is_json() {
        return screen.json(info);
    }
    screen.line(&format!("{} {what}", clean(&info.name)))?;
    note(&format!("clients find it at {}", address(client, info)));
    Ok(())
}

fn list(client: &Client, screen: &mut Screen) -> Result<(), CliError> {
    let all: Vec<WorkspaceInfo> = client.get("workspaces", &[])?;
    if screen.is_json() {
        return screen.json(&all);
    }
    let rows = all.iter().map(|info| {
        let named = name_with(&info.workspace.name, &info.workspace.id.short());
        let current = if info.current { "current" } else { "" };
        vec![
            cell(&info.name),
            Cell::new(named),
            Cell::new(info.role.map_or("none yet", Role::as_str)),
            Cell::new(format!("{} ({} here)", info.members, info.connected + 1)),
            right(info.runs),
            toned(Cell::new(current), Tone::Quiet),
        ]
    });
    screen.table(&["name", "workspace", "role", "members", "runs", ""], rows)?;
    if let Some(first) = all.first() {
        note(&format!("clients find one by its name: {}", address(client, first)));
    }
    Ok(())
}

/// Leaves a workspace, once the person knows what that takes and wants it.
fn leave(client: &Client, name: PlaceName, yes: bool, screen: &mut Screen) -> Result<(), CliError> {
    let mut request = LeaveWorkspace { name: String::from(name), confirmed: false };
    let stake: LeaveReport = client.post("workspaces/leave", &request)?;
    if !yes {
        confirm(&at_stake(&stake).join("\n"))?;
    }
    request.confirmed = true;
    let left: LeaveReport = client.post("workspaces/leave", &request)?;
    if screen.is_json() {
        return screen.json(&left);
    }
    let freed = count(left.blobs, "blob", "blobs");
    let name = clean(&left.name);
    screen.line(&format!("{name} was left; {freed} ({}) went with it", bytes(left.blob_bytes)))
}

/// What a person should know before.
fn at_stake(stake: &LeaveReport) -> Vec<String> {
    let name = clean(&stake.name);
    let (runs, entries) =
        (count(stake.runs, "run", "runs"), count(stake.entries_only_here, "entry", "entries"));
    let blobs = count(stake.blobs, "blob", "blobs");
    let mut lines = vec![format!(
        "leaving {name} removes from this device: {runs}, {blobs} ({})",
        bytes(stake.blob_bytes)
    )];
    lines.push(match (stake.other_members, stake.entries_only_here, stake.heard_of_others) {
        (0, ..) => "this device is its only member: ALL OF IT IS LOST".to_owned(),
        (_, 0, _) => "another member holds all entries of it; a ticket brings them back".to_owned(),
        (_, _, true) => {
            format!("{entries} of it are on no other device that is known of: THEY ARE LOST")
        }
        (_, _, false) => {
            format!("no other member is connected: up to {entries} MAY BE LOST, if nobody has them")
        }
    });
    if stake.other_members > 0 && stake.blobs_only_here > 0 {
        let blobs = count(stake.blobs_only_here, "blob", "blobs");
        lines.push(format!("no other member said that it holds {blobs} of it: MAY BE LOST"));
    }
    lines
}

/// What was copied along with a run.
fn with_what(copied: &CopiedRun) -> String {
    let models = (copied.models > 0).then(|| count(copied.models, "model", "models"));
    let traces = (copied.traces > 0).then(|| count(copied.traces, "trace", "traces"));
    let all: Vec<String> = models.into_iter().chain(traces).collect();
    if all.is_empty() { String::new() } else { format!(", with {}", all.join(" and ")) }
}

/// Copies runs into another workspace.
pub(crate) fn copy(
    client: &Client,
    runs: Vec<String>,
    to: PlaceName,
    screen: &mut Screen,
) -> Result<(), CliError> {
    let waiting = spinner("copying");
    let copies: Copies = client.post("copy", &CopyRequest { runs, to: String::from(to) })?;
    waiting.finish_and_clear();
    if screen.is_json() {
        return screen.json(&copies);
    }
    let to = clean(&copies.to);
    for copied in &copies.copies {
        let what = if copied.new { "is" } else { "was there already, and is up to date:" };
        let line = format!("{} in {to} {what} {}", copied.run, copied.copy);
        screen.line(&(line + &with_what(copied)))?;
    }
    Ok(())
}
