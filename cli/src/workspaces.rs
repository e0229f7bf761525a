//! The workspaces of this device: `workspace list`, `create`, `use` and `rename`.

use comfy_table::Cell;
use runmesh_core::api::{
    CreateWorkspace, PLACES, RenameWorkspace, Role, UseWorkspace, WorkspaceInfo,
};

use crate::args::Workspace;
use crate::client::Client;
use crate::error::CliError;
use crate::screen::{Screen, Tone, cell, note, right, toned};
use crate::text::clean;

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
        let named = match info.workspace.name.as_str() {
            "" => info.workspace.id.short(),
            name => format!("{} ({})", clean(name), info.workspace.id.short()),
        };
        let current = if info.current { "current" } else { "" };
        vec![
            cell(&info.name),
            Cell::new(named),
            Cell::new(role(info.role)),
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

const fn role(role: Option<Role>) -> &'static str {
    match role {
        Some(Role::Reader) => "reader",
        Some(Role::Writer) => "writer",
        Some(Role::Admin) => "admin",
        None => "none yet",
    }
}
