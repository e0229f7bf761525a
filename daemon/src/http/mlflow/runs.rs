//! Runs: create, get, update, delete, restore, tags, search.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use runmesh_core::action::{Action, NewRun, Outcome, RunChange};
use runmesh_core::ids::{ExperimentId, RunId};
use runmesh_core::rows::{KeyValue, RunRow};
use runmesh_core::store::{Snapshot, StoreError};
use serde::Serialize;

use super::error::ApiError;
use super::message::{Fields, Message};
use super::render::{self, NOTE_TAG, RUN_NAME_TAG, RunInfoJson, RunJson, STATUSES};
use super::{act, experiments, limits, log, read, run_name};
use crate::app::App;

/// Reads a run's id. Text that is no id is the id of no run.
pub(crate) fn parse_id(text: &str) -> Result<RunId, ApiError> {
    text.parse().map_err(|_| no_such(text))
}

pub(crate) fn no_such(id: impl std::fmt::Display) -> ApiError {
    ApiError::absent(format!("Run with id={id} not found"))
}

/// The run of an id.
pub(crate) fn find(snapshot: &Snapshot, id: RunId) -> Result<RunRow, ApiError> {
    snapshot.run(&id)?.ok_or_else(|| no_such(id))
}

/// Where experiments have their artifacts, looked up once each.
#[derive(Default)]
pub(crate) struct Locations(HashMap<ExperimentId, Option<String>>);

impl Locations {
    /// Looks up the experiment of a run.
    pub(crate) fn add<T>(
        &mut self,
        snapshot: &Snapshot,
        run: &RunRow<T>,
    ) -> Result<(), StoreError> {
        if let Entry::Vacant(entry) = self.0.entry(run.experiment) {
            // A run can arrive before its experiment; until then the default is all we know.
            let experiment = snapshot.experiment(run.experiment)?;
            entry.insert(experiment.and_then(|experiment| experiment.artifact_location));
        }
        Ok(())
    }

    /// The location of a run that was added, unless it is the default.
    pub(crate) fn of<T>(&self, run: &RunRow<T>) -> Option<&str> {
        self.0.get(&run.experiment)?.as_deref()
    }
}

#[derive(Serialize)]
struct OneRun<'a> {
    run: RunJson<'a>,
}

fn answer(snapshot: &Snapshot, run: &RunRow) -> Result<Response, ApiError> {
    let mut locations = Locations::default();
    locations.add(snapshot, run)?;
    Ok(render::json(&OneRun { run: RunJson::new(run, locations.of(run)) }))
}

fn run(outcome: Outcome) -> Box<RunRow> {
    match outcome {
        Outcome::Run(row) => row,
        other => unreachable!("changing a run answered {other:?}"),
    }
}

pub(super) async fn create(
    State(app): State<Arc<App>>,
    message: Message,
) -> Result<Response, ApiError> {
    let new = new_run(message.fields())?;
    let row = run(act(&app, Action::CreateRun(new)).await?);
    let locations = locations(&app, &row).await?;
    Ok(render::json(&OneRun { run: RunJson::new(&row, locations.of(&row)) }))
}

/// Where a run that was just written keeps its artifacts: its experiment is seldom as new.
async fn locations(app: &App, row: &RunRow) -> Result<Locations, ApiError> {
    let mut snapshot = app.workspace.snapshot()?;
    if snapshot.experiment(row.experiment)?.is_none() {
        snapshot = app.workspace.fresh().await?;
    }
    let mut locations = Locations::default();
    locations.add(&snapshot, row)?;
    Ok(locations)
}

/// What a run's update asks for.
pub(super) fn updated_run(fields: Fields<'_>) -> Result<Action, ApiError> {
    let id = parse_id(fields.run_id()?)?;
    let change = RunChange {
        name: fields.text("run_name")?.filter(|name| !name.is_empty()).map(str::to_owned),
        status: fields.word("status", &STATUSES)?,
        end_ms: fields.integer("end_time")?,
        description: None,
    };
    Ok(Action::UpdateRun { id, change })
}

/// What the creation of a run asks for.
pub(super) fn new_run(fields: Fields<'_>) -> Result<NewRun, ApiError> {
    let experiment = experiments::parse_id(fields.required_text("experiment_id")?)?;
    let user = fields.text("user_id")?.unwrap_or_default();
    limits::check_length("user_id", limits::MAX_USER_CHARS, user)?;
    let name = fields.text("run_name")?.unwrap_or_default();
    let start_ms = fields.integer("start_time")?.unwrap_or_default();
    let mut tags = Vec::new();
    for tag in fields.messages("tags")? {
        let key = tag.required_text("key")?;
        limits::check_length("key", limits::MAX_KEY_CHARS, key)?;
        let value = tag.text("value")?.unwrap_or_default();
        tags.push(KeyValue::new(key, limits::cut(limits::MAX_TAG_VALUE_CHARS, value)));
    }
    let (tags, by_tag) = log::split_tags(tags);
    let name = match (name, by_tag.name) {
        ("", None) => run_name::random(),
        ("", Some(tag)) => tag,
        (name, Some(tag)) if name != tag => {
            return Err(ApiError::invalid(format!(
                "Both 'run_name' argument and 'mlflow.runName' tag are specified, but with \
                 different values (run_name='{name}', mlflow.runName='{tag}')."
            )));
        }
        (name, _) => name.to_owned(),
    };
    let id = RunId::new(rand::random());
    let user = user.to_owned();
    let description = by_tag.description;
    Ok(NewRun { id, experiment, name, user, start_ms, tags, description })
}

pub(super) async fn get(
    State(app): State<Arc<App>>,
    message: Message,
) -> Result<Response, ApiError> {
    let id = parse_id(message.fields().run_id()?)?;
    read(&app, move |snapshot| answer(snapshot, &find(snapshot, id)?)).await
}

pub(super) async fn update(
    State(app): State<Arc<App>>,
    message: Message,
) -> Result<Response, ApiError> {
    #[derive(Serialize)]
    struct Updated<'a> {
        run_info: RunInfoJson<'a>,
    }
    let row = run(act(&app, updated_run(message.fields())?).await?);
    let locations = locations(&app, &row).await?;
    Ok(render::json(&Updated { run_info: RunInfoJson::new(&row, locations.of(&row)) }))
}

pub(super) async fn delete(
    State(app): State<Arc<App>>,
    message: Message,
) -> Result<Response, ApiError> {
    set_deleted(&app, message.fields(), true).await
}

pub(super) async fn restore(
    State(app): State<Arc<App>>,
    message: Message,
) -> Result<Response, ApiError> {
    set_deleted(&app, message.fields(), false).await
}

async fn set_deleted(
    app: &Arc<App>,
    fields: Fields<'_>,
    deleted: bool,
) -> Result<Response, ApiError> {
    let id = parse_id(fields.run_id()?)?;
    act(app, Action::SetRunDeleted { id, deleted }).await?;
    Ok(render::done())
}

pub(super) async fn delete_tag(
    State(app): State<Arc<App>>,
    message: Message,
) -> Result<Response, ApiError> {
    let fields = message.fields();
    let id = parse_id(fields.run_id()?)?;
    let key = fields.required_text("key")?.to_owned();
    let action = match key.as_str() {
        // A run always has a name, in MLflow too: what goes is the tag alone, and we show it again.
        RUN_NAME_TAG => Action::UpdateRun { id, change: RunChange::default() },
        NOTE_TAG => {
            if find(&app.workspace.fresh().await?, id)?.description.is_empty() {
                let message = format!("No tag with name: {key} in run with id {id}");
                return Err(ApiError::absent(message));
            }
            let description = Some(String::new());
            Action::UpdateRun { id, change: RunChange { description, ..RunChange::default() } }
        }
        _ => Action::DeleteRunTag { id, key },
    };
    act(&app, action).await?;
    Ok(render::done())
}
