//! `runmesh models`: registered models, their versions, stages and history.

use comfy_table::Cell;
use runmesh_core::api::{
    ModelDetails, ModelEvent, ModelVersion, PromoteModel, RegisterModel, RegisteredModel,
    ResolveModel, VersionLabel,
};
use runmesh_core::registry::{Conflict, EventKind, Stage};

use crate::args::Models;
use crate::client::Client;
use crate::error::CliError;
use crate::screen::{Screen, Tone, cell, note, right, toned};
use crate::text::{ago, clean, list, moment, now_ms};

/// How many acts of a history are shown unasked.
const SHOWN_EVENTS: usize = 20;

/// Does what is asked of models.
pub(crate) fn models(client: &Client, asked: Models, screen: &mut Screen) -> Result<(), CliError> {
    match asked {
        Models::Ls => ls(client, screen),
        Models::Show { name, history } => show(client, &name, history, screen),
        Models::Register(register) => {
            let asked = RegisterModel {
                run: register.run,
                path: register.path,
                name: register.name,
                bump: register.bump.map(Into::into),
                semver: register.version,
                force: register.force,
                description: register.description,
                who: who(),
                note: register.note,
            };
            let name = asked.name.clone();
            changed(&name, "registered", client.post("models/register", &asked)?, screen)
        }
        Models::Promote(promote) => {
            let done = match &promote.alias {
                Some(alias) => format!("now {alias}"),
                None => "promoted".to_owned(),
            };
            let asked = PromoteModel {
                name: promote.name,
                version: promote.version,
                stage: promote.stage,
                alias: promote.alias,
                keep_others: promote.keep_others,
                rollback: false,
                who: who(),
                note: promote.note,
            };
            let name = asked.name.clone();
            changed(&name, &done, client.post("models/promote", &asked)?, screen)
        }
        Models::Rollback(rollback) => {
            let asked = PromoteModel {
                name: rollback.name,
                version: rollback.to,
                stage: Some(rollback.stage),
                rollback: true,
                who: who(),
                note: rollback.note,
                ..PromoteModel::default()
            };
            let name = asked.name.clone();
            changed(&name, "brought back", client.post("models/promote", &asked)?, screen)
        }
        Models::Resolve { name, keep, note } => {
            let asked = ResolveModel { name, keep, who: who(), note };
            let name = asked.name.clone();
            changed(&name, "keeps its number", client.post("models/resolve", &asked)?, screen)
        }
    }
}

/// Who asks, for the history.
pub(crate) fn who() -> String {
    let name =
        ["USER", "LOGNAME", "USERNAME"].into_iter().find_map(|name| std::env::var(name).ok());
    name.unwrap_or_default()
}

fn changed(
    name: &str,
    done: &str,
    version: ModelVersion,
    screen: &mut Screen,
) -> Result<(), CliError> {
    if screen.is_json() {
        return screen.json(&version);
    }
    let label = VersionLabel { number: version.number, semver: version.semver.clone() };
    let stage = match version.stage {
        Stage::None => String::new(),
        stage => format!(", in {}", stage.as_str()),
    };
    screen.line(&format!("{} {} {done}{stage}", clean(name), called(&label)))
}

/// What a version is called: `1.4.0 (3)` or `3`.
fn called(label: &VersionLabel) -> String {
    match &label.semver {
        Some(semver) => format!("{} ({})", clean(semver), label.number),
        None => label.number.to_string(),
    }
}

fn ls(client: &Client, screen: &mut Screen) -> Result<(), CliError> {
    let models: Vec<RegisteredModel> = client.get("models", &[])?;
    if screen.is_json() {
        return screen.json(&models);
    }
    if models.is_empty() {
        note("no model is registered; `runmesh models register RUN --name NAME` registers one");
        return Ok(());
    }
    let now = now_ms();
    let rows = models.iter().map(|model| {
        let in_stage = |stage| model.stages.get(&stage).map_or("–".to_owned(), called);
        let aliases = model.aliases.iter().map(|(name, label)| format!("{name}={}", label.number));
        let aliases: Vec<String> = aliases.collect();
        let conflicts = match model.conflicts.is_empty() {
            true => Cell::new(""),
            false => toned(Cell::new("conflict"), Tone::Doubtful),
        };
        vec![
            cell(&model.name),
            right(model.versions),
            Cell::new(in_stage(Stage::Production)),
            Cell::new(in_stage(Stage::Staging)),
            cell(&aliases.join(" ")),
            Cell::new(ago(model.updated_ms, now)),
            conflicts,
        ]
    });
    screen.table(&["model", "versions", "production", "staging", "aliases", "changed", ""], rows)
}

fn show(client: &Client, name: &str, all: bool, screen: &mut Screen) -> Result<(), CliError> {
    let details: ModelDetails = client.get(&format!("models/{}", path_part(name)), &[])?;
    if screen.is_json() {
        return screen.json(&details);
    }
    let model = &details.model;
    let title = screen.toned(&clean(&model.name), Tone::Strong);
    screen.line(&title)?;
    let mut facts =
        vec![("created", moment(model.created_ms)), ("changed", moment(model.updated_ms))];
    for conflict in &model.conflicts {
        facts.push(("conflict", screen.toned(&explained(conflict, &details), Tone::Doubtful)));
    }
    screen.facts(facts)?;
    for line in model.description.lines() {
        screen.line(&clean(line))?;
    }
    versions(&details.all, screen)?;
    let shown = if all { details.history.len() } else { SHOWN_EVENTS };
    history(&details.history, shown, screen)
}

/// A name as one part of a path.
fn path_part(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_~".contains(&byte);
    let part = |byte: u8| match plain(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    name.bytes().map(part).collect()
}

fn explained(conflict: &Conflict, details: &ModelDetails) -> String {
    let name = clean(&details.model.name);
    match conflict {
        Conflict::Number(number) => {
            let claims = details.all.iter().filter(|version| version.number == *number);
            let ids: Vec<&str> = claims.map(|version| &version.id[..]).collect();
            format!(
                "number {number} was given to {} while apart; `runmesh models resolve {name} --keep \
                 ID` says whose it is",
                ids.join(" and ")
            )
        }
        Conflict::Semver(semver) => {
            format!("{} was given to two versions while apart", clean(semver))
        }
        Conflict::Alias(alias) => format!(
            "alias {} was moved to two versions while apart; move it again to settle it",
            clean(alias)
        ),
        Conflict::Stage(stage) => format!(
            "two versions were moved to {} while apart; promote one again to settle it",
            stage.as_str()
        ),
    }
}

fn versions(all: &[ModelVersion], screen: &mut Screen) -> Result<(), CliError> {
    screen.line("")?;
    let now = now_ms();
    let rows = all.iter().map(|version| {
        let stage = Cell::new(match version.stage {
            Stage::None => "–",
            stage => stage.as_str(),
        });
        let stage = match version.stage {
            Stage::Production => toned(stage, Tone::Good),
            Stage::Staging => toned(stage, Tone::Doubtful),
            Stage::None | Stage::Archived => toned(stage, Tone::Quiet),
        };
        let number = right(version.number);
        vec![
            if version.served { number } else { toned(number, Tone::Doubtful) },
            Cell::new(version.semver.as_deref().map_or("–".to_owned(), clean)),
            stage,
            cell(&list(version.aliases.iter().map(String::as_str))),
            Cell::new(version.run.map_or("–".to_owned(), |run| run.short())),
            Cell::new(ago(version.created_ms, now)),
            // Without the digits that say that it is a version.
            Cell::new(version.id.get(..12).unwrap_or(&version.id)),
        ]
    });
    screen.table(&["version", "semver", "stage", "aliases", "run", "registered", "id"], rows)
}

fn history(events: &[ModelEvent], shown: usize, screen: &mut Screen) -> Result<(), CliError> {
    if events.is_empty() {
        return Ok(());
    }
    let heading = screen.toned("history", Tone::Strong);
    screen.line(&format!("\n{heading}"))?;
    let now = now_ms();
    let rows = events.iter().take(shown).map(|ModelEvent { event, device_name }| {
        let device = match device_name.as_str() {
            "" => event.device.short(),
            name => clean(name),
        };
        let who = match event.who.as_str() {
            "" => device,
            who => format!("{} on {device}", clean(who)),
        };
        let at = i64::try_from(event.at_ms).unwrap_or(i64::MAX);
        vec![
            Cell::new(ago(at, now)),
            cell(&who),
            Cell::new(said(event)),
            Cell::new(clean(&event.note)),
        ]
    });
    screen.table(&["when", "who", "what", "why"], rows)?;
    if events.len() > shown {
        note(&format!("{} earlier acts; --history shows them", events.len() - shown));
    }
    Ok(())
}

/// An act in words.
fn said(event: &runmesh_core::registry::Event) -> String {
    let version = event.version.map(|number| number.to_string()).unwrap_or_default();
    let from = event.from.as_deref().map(clean).unwrap_or_default();
    let to = event.to.as_deref().map(clean).unwrap_or_default();
    let alias = event.alias.as_deref().map(clean).unwrap_or_default();
    match event.what {
        EventKind::Created => "created".to_owned(),
        EventKind::Renamed => format!("renamed from {from} to {to}"),
        EventKind::Deleted => "deleted".to_owned(),
        EventKind::Registered if to.is_empty() => format!("registered {version}"),
        EventKind::Registered => format!("registered {version} as {to}"),
        EventKind::Moved => format!("moved {version} from {from} to {to}"),
        EventKind::Promoted => format!("promoted {version} from {from} to {to}"),
        EventKind::RolledBack => format!("brought {version} back to {to}"),
        EventKind::Replaced => format!("{version} left {from}"),
        EventKind::AliasSet if from.is_empty() => format!("{alias} is {to}"),
        EventKind::AliasSet => format!("{alias} is {to}, was {from}"),
        EventKind::AliasDeleted => format!("{alias} taken from {from}"),
        EventKind::VersionDeleted => format!("deleted {version}"),
        EventKind::NumberKept => format!("{version} keeps its number"),
        EventKind::Renumbered => format!("{from} became {to}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_reach_another_route() {
        assert_eq!(path_part("fraud_v-2~x"), "fraud_v-2~x");
        assert_eq!(path_part("a b/../ü?"), "a%20b%2F%2E%2E%2F%C3%BC%3F");
    }
}
