//! Changing runs and experiments: what people do with a mouse.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use runmesh_core::action::{Action, ExperimentChange, LogBatch, Outcome, Refusal, RunChange};
use runmesh_core::api::{Experiment, ExperimentUpdate, NewExperiment, RunsUpdate};
use runmesh_core::ids::{ExperimentId, RunId};
use runmesh_core::rows::{ExperimentRow, KeyValue};

use super::error::Error;
use super::{query, read, runs};
use crate::WriteError;
use crate::app::App;

/// The most runs that one request changes.
const MAX_RUNS: usize = 1_000;
/// The longest name of a run or an experiment, in characters: MLflow's for experiments.
const MAX_NAME_CHARS: usize = 500;
/// The longest key of a tag, in characters: MLflow's.
const MAX_KEY_CHARS: usize = 250;
/// The longest value of a tag, in characters: MLflow's.
const MAX_VALUE_CHARS: usize = 8_000;
/// The longest note, in characters: what MLflow's clients take back.
const MAX_NOTE_CHARS: usize = 20_000;

pub(super) fn check(what: &'static str, text: &str, limit: usize) -> Result<(), Error> {
    match text.chars().nth(limit) {
        Some(_) => Err(Error::TooLong { what, limit }),
        None => Ok(()),
    }
}

pub(super) fn check_not_empty(what: &'static str, text: &str, limit: usize) -> Result<(), Error> {
    match text.trim().is_empty() {
        true => Err(Error::Empty { what }),
        false => check(what, text, limit),
    }
}

fn check_all(
    name: Option<&String>,
    note: Option<&String>,
    tags: &BTreeMap<String, String>,
) -> Result<(), Error> {
    name.map_or(Ok(()), |name| check_not_empty("the name", name, MAX_NAME_CHARS))?;
    note.map_or(Ok(()), |note| check("the note", note, MAX_NOTE_CHARS))?;
    for (key, value) in tags {
        check_not_empty("a tag's name", key, MAX_KEY_CHARS)?;
        check("a tag's value", value, MAX_VALUE_CHARS)?;
    }
    Ok(())
}

fn pairs(tags: BTreeMap<String, String>) -> Vec<KeyValue> {
    tags.into_iter().map(|(key, value)| KeyValue { key, value }).collect()
}

/// A tag that is not there is as good as deleted.
fn unless_gone(done: Result<Outcome, WriteError>) -> Result<(), WriteError> {
    match done {
        Err(WriteError::Refused(Refusal::NoSuchTag { .. })) | Ok(_) => Ok(()),
        Err(error) => Err(error),
    }
}

pub(super) async fn runs(State(app): State<Arc<App>>, body: Bytes) -> Result<Json<()>, Error> {
    let update: RunsUpdate = read(&body)?;
    check_all(update.name.as_ref(), update.description.as_ref(), &update.set_tags)?;
    if update.runs.len() > MAX_RUNS {
        let given = update.runs.len();
        return Err(Error::TooMany { what: "runs", given, limit: MAX_RUNS });
    }
    for run in &update.runs {
        update_run(&app, *run, &update).await?;
    }
    Ok(Json(()))
}

async fn update_run(app: &App, id: RunId, update: &RunsUpdate) -> Result<(), WriteError> {
    let act = |action| app.workspace.act(action);
    // A deleted run takes no other change, so it is restored first and deleted last.
    if update.deleted == Some(false) {
        act(Action::SetRunDeleted { id, deleted: false }).await?;
    }
    let change = RunChange {
        name: update.name.clone(),
        description: update.description.clone(),
        ..RunChange::default()
    };
    let tags = pairs(update.set_tags.clone());
    if !tags.is_empty() || change != RunChange::default() {
        let (metrics, params) = (Vec::new(), Vec::new());
        act(Action::Log(LogBatch { run: id, metrics, params, tags, change })).await?;
    }
    for key in &update.delete_tags {
        unless_gone(act(Action::DeleteRunTag { id, key: key.clone() }).await)?;
    }
    if update.deleted == Some(true) {
        act(Action::SetRunDeleted { id, deleted: true }).await?;
    }
    Ok(())
}

pub(super) async fn create_experiment(
    State(app): State<Arc<App>>,
    body: Bytes,
) -> Result<Json<Experiment>, Error> {
    let NewExperiment { name } = read(&body)?;
    check_not_empty("the name", &name, MAX_NAME_CHARS)?;
    let (artifact_location, tags, description) = (None, Vec::new(), None);
    let create = Action::CreateExperiment { name, artifact_location, tags, description };
    match app.workspace.act(create).await? {
        Outcome::Experiment(row) => Ok(Json(runs::experiment(0, row))),
        other => unreachable!("creating an experiment answered {other:?}"),
    }
}

pub(super) async fn experiment(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Json<()>, Error> {
    let update: ExperimentUpdate = read(&body)?;
    check_all(update.name.as_ref(), update.description.as_ref(), &update.set_tags)?;
    let row = find(&app, id).await?;
    for change in changes(update, &row) {
        unless_gone(app.workspace.act(Action::UpdateExperiment { id: row.id, change }).await)?;
    }
    Ok(Json(()))
}

async fn find(app: &Arc<App>, id: String) -> Result<ExperimentRow, Error> {
    query(app, move |_, snapshot| {
        let row = match id.parse() {
            Ok(id) => snapshot.experiment(ExperimentId(id))?,
            Err(_) => None,
        };
        row.ok_or(Error::NoSuchExperiment(id))
    })
    .await
}

/// The changes that are wanted, in an order in which each is allowed.
fn changes(update: ExperimentUpdate, row: &ExperimentRow) -> Vec<ExperimentChange> {
    let restore = (update.deleted == Some(false)).then_some(ExperimentChange::Restore);
    let delete = (update.deleted == Some(true)).then_some(ExperimentChange::Delete);
    let rename = update.name.filter(|name| *name != row.name).map(ExperimentChange::Rename);
    let describe = update.description.map(ExperimentChange::Describe);
    let set = pairs(update.set_tags).into_iter().map(ExperimentChange::SetTag);
    let forget = update.delete_tags.into_iter().map(ExperimentChange::DeleteTag);
    restore
        .into_iter()
        .chain(rename)
        .chain(describe)
        .chain(set)
        .chain(forget)
        .chain(delete)
        .collect()
}
