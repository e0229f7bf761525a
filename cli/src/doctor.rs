//! `runmesh doctor`: checks that a home is sound, and builds anew what is derived.

use std::path::Path;

use comfy_table::Cell;
use runmesh_core::api::{Diagnosis, Verdict};
use runmesh_daemon::places::PlaceName;

use crate::client::Client;
use crate::error::CliError;
use crate::progress::spinner;
use crate::screen::{Screen, Tone, note, toned};
use crate::text::{clean, span};

/// Checks the home at `home`: asks its daemon, or looks itself where none runs.
pub(crate) fn doctor(
    home: &Path,
    workspace: Option<&PlaceName>,
    rebuild: bool,
    screen: &mut Screen,
) -> Result<(), CliError> {
    let waiting = spinner(if rebuild { "building anew" } else { "looking" });
    let client = Client::of_home(home).map(|client| client.in_workspace(workspace));
    let asked = client.and_then(|client| match rebuild {
        true => client.post("doctor/rebuild", &()),
        false => client.get("doctor", &[]),
    });
    let diagnosis: Diagnosis = match asked {
        Err(CliError::NoDaemon { .. }) => runmesh_daemon::doctor::examine(home, rebuild)?,
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

fn show(diagnosis: &Diagnosis, screen: &mut Screen) -> Result<(), CliError> {
    let rows = diagnosis.checks.iter().map(|check| {
        let verdict = match check.verdict {
            Verdict::Ok => toned(Cell::new("ok"), Tone::Good),
            Verdict::Warning => toned(Cell::new("look"), Tone::Doubtful),
            Verdict::Broken => toned(Cell::new("broken"), Tone::Bad),
        };
        vec![verdict, Cell::new(clean(&check.name)), Cell::new(clean(&check.detail))]
    });
    screen.table(&["", "check", "seen"], rows)?;
    for check in &diagnosis.checks {
        if let Some(hint) = &check.hint {
            screen.line(&format!("! {}: {}", clean(&check.name), clean(hint)))?;
        }
    }
    note(&format!("took {}", span(diagnosis.took_ms)));
    Ok(())
}
