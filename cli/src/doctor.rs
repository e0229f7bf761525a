//! `runmesh doctor`: checks that a home and its workspaces are sound, and builds anew what is derived.

use std::path::Path;

use comfy_table::Cell;
use runmesh_core::api::{Check, Diagnosis, Verdict};
use runmesh_daemon::places::PlaceName;

use crate::client::Client;
use crate::error::CliError;
use crate::progress::spinner;
use crate::screen::{Screen, Tone, note, toned};
use crate::text::{clean, span};

/// Checks the home at `home` with all its workspaces, or with one: asks its daemon, or looks itself
/// where none runs.
pub(crate) fn doctor(
    home: &Path,
    workspace: Option<&PlaceName>,
    rebuild: bool,
    screen: &mut Screen,
) -> Result<(), CliError> {
    let waiting = spinner(if rebuild { "building anew" } else { "looking" });
    let all = if workspace.is_none() { "true" } else { "false" };
    let client = Client::of_home(home).map(|client| client.in_workspace(workspace));
    let asked = client.and_then(|client| match rebuild {
        true => client.post(&format!("doctor/rebuild?all={all}"), &()),
        false => client.get("doctor", &[("all", all)]),
    });
    let diagnosis: Diagnosis = match asked {
        Err(CliError::NoDaemon { .. }) => {
            runmesh_daemon::doctor::examine(home, workspace, rebuild)?
        }
        asked => asked?,
    };
    waiting.finish_and_clear();
    let sound = diagnosis.checks.iter().all(|check| check.verdict != Verdict::Broken);
    if screen.is_json() {
        screen.json(&diagnosis)?;
    } else {
        show(&diagnosis, screen)?;
    }
    if sound { Ok(()) } else { Err(CliError::Unsound) }
}

/// A section for what the home has one of, and one for each workspace.
fn show(diagnosis: &Diagnosis, screen: &mut Screen) -> Result<(), CliError> {
    for section in diagnosis.checks.chunk_by(|a, b| a.workspace == b.workspace) {
        if let Some(workspace) = section.first().and_then(|check| check.workspace.as_deref()) {
            let name = screen.toned(&clean(workspace), Tone::Strong);
            screen.line(&format!("\nworkspace {name}"))?;
        }
        show_section(section, screen)?;
    }
    note(&format!("took {}", span(diagnosis.took_ms)));
    Ok(())
}

fn show_section(checks: &[Check], screen: &mut Screen) -> Result<(), CliError> {
    let rows = checks.iter().map(|check| {
        let verdict = match check.verdict {
            Verdict::Ok => toned(Cell::new("ok"), Tone::Good),
            Verdict::Warning => toned(Cell::new("look"), Tone::Doubtful),
            Verdict::Broken => toned(Cell::new("broken"), Tone::Bad),
        };
        vec![verdict, Cell::new(clean(&check.name)), Cell::new(clean(&check.detail))]
    });
    screen.table(&["", "check", "seen"], rows)?;
    for check in checks {
        if let Some(hint) = &check.hint {
            screen.line(&format!("! {}: {}", clean(&check.name), clean(hint)))?;
        }
    }
    Ok(())
}
