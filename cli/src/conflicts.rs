//! `runmesh conflicts` and `runmesh resolve`: what was decided differently while devices were apart.

use runmesh_core::api::{ConflictInfo, ConflictValue, Conflicts, ResolveConflict};

use crate::args::Resolve;
use crate::client::Client;
use crate::error::CliError;
use crate::models::who;
use crate::screen::{Screen, Tone, cell, note, toned};
use crate::text::{ago, clean, clean_in, name_or, now_ms};

/// The longest value that is shown whole.
const VALUE_CHARS: usize = 60;

/// Lists what is not settled.
pub(crate) fn conflicts(client: &Client, screen: &mut Screen) -> Result<(), CliError> {
    let found: Conflicts = client.get("conflicts", &[])?;
    if screen.is_json() {
        return screen.json(&found);
    }
    if found.conflicts.is_empty() {
        note("no conflicts: devices agree on everything");
        return Ok(());
    }
    let now = now_ms();
    let rows = found.conflicts.iter().flat_map(|conflict| {
        conflict.values.iter().enumerate().map(move |(at, value)| {
            let head = |text: &str| cell(if at == 0 { text } else { "" });
            let label = value.label.map_or_else(String::new, |label| label.to_string());
            let label = comfy_table::Cell::new(label);
            vec![
                head(&conflict.id),
                head(&format!("{} {}", conflict.kind, conflict.name)),
                head(&conflict.key),
                if value.served { toned(label, Tone::Strong) } else { label },
                comfy_table::Cell::new(clean_in(&value.said, VALUE_CHARS)),
                cell(&device(value)),
                comfy_table::Cell::new(ago(i64::try_from(value.at_ms).unwrap_or(i64::MAX), now)),
            ]
        })
    });
    screen.table(&["id", "of", "what", "", "value", "device", "when"], rows)?;
    if found.more {
        note("there are more; they are listed when these are settled");
    }
    note("A is what clients are answered; `runmesh resolve ID --take A|B|VALUE` settles one");
    Ok(())
}

fn device(value: &ConflictValue) -> String {
    match &value.device {
        None => "–".to_owned(),
        Some(device) => name_or(&device.name, device.id.short()),
    }
}

/// Settles one.
pub(crate) fn resolve(
    client: &Client,
    asked: Resolve,
    screen: &mut Screen,
) -> Result<(), CliError> {
    let verbatim = asked.value.is_some();
    let take = asked.take.or(asked.value).unwrap_or_default();
    let asked = ResolveConflict {
        what: asked.what,
        key: asked.key,
        take: take.clone(),
        verbatim,
        who: who(),
        note: asked.note,
    };
    let settled: ConflictInfo = client.post("conflicts/resolve", &asked)?;
    if screen.is_json() {
        return screen.json(&settled);
    }
    let labelled = settled
        .values
        .iter()
        .find(|value| !verbatim && value.label.is_some_and(|label| label.to_string() == take));
    let taken = labelled.map_or(take.as_str(), |value| value.said.as_str());
    let (name, key) = (clean(&settled.name), clean(&settled.key));
    screen.line(&format!("{} {name}: {key} is {}", settled.kind, clean_in(taken, VALUE_CHARS)))
}
