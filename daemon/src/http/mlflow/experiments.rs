//! Experiments: create, get, update, delete, restore, tags.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use runmesh_core::action::{Action, ExperimentChange, Outcome, Refusal};
use runmesh_core::ids::ExperimentId;
use runmesh_core::rows::{ExperimentRow, KeyValue};
use serde::Serialize;

use super::error::{ApiError, ErrorCode};
use super::message::{Fields, Message};
use super::render::{self, ExperimentJson, NOTE_TAG};
use super::{act, limits, read};
use crate::WriteError;
use crate::app::App;

/// Reads an experiment's id.
pub(crate) fn parse_id(text: &str) -> Result<ExperimentId, ApiError> {
    if let Ok(id) = text.parse() {
        return Ok(ExperimentId(id));
    }
    if text.parse::<i128>().is_ok() {
        return Err(no_such(text));
    }
    Err(ApiError::invalid(format!(
        "Invalid experiment ID '{text}'. Experiment ID must be a valid integer."
    )))
}

pub(crate) fn no_such(id: impl std::fmt::Display) -> ApiError {
    ApiError::absent(format!("No Experiment with id={id} exists"))
}

fn id_of(fields: Fields<'_>) -> Result<ExperimentId, ApiError> {
    parse_id(fields.required_text("experiment_id")?)
}

pub(super) async fn create(
    State(app): State<Arc<App>>,
    message: Message,
) -> Result<Response, ApiError> {
    #[derive(Serialize)]
    struct Created {
        experiment_id: String,
    }
    let fields = message.fields();
    let name = fields.required_text("name")?;
    limits::check_experiment_name(name)?;
    let location = fields.text("artifact_location")?.filter(|location| !location.is_empty());
    let artifact_location = location.map(absolute_location).transpose()?;
    let mut description = None;
    let mut tags = Vec::new();
    for tag in fields.messages("tags")? {
        let key = tag.required_text("key")?;
        let value = tag.text("value")?.unwrap_or_default();
        limits::check_experiment_tag(key, value)?;
        match key {
            NOTE_TAG => description = Some(value.to_owned()),
            _ => tags.push(KeyValue::new(key, value)),
        }
    }
    let name = name.to_owned();
    let action = Action::CreateExperiment { name, artifact_location, tags, description };
    let row = experiment(act(&app, action).await?);
    Ok(render::json(&Created { experiment_id: row.id.to_string() }))
}

/// A location that means the same to every client on this machine: local paths become absolute.
fn absolute_location(location: &str) -> Result<String, ApiError> {
    limits::check_artifact_location(location)?;
    if location.contains(':') {
        return Ok(location.to_owned());
    }
    let path = std::path::absolute(location)
        .map_err(|error| ApiError::invalid(format!("'artifact_location' is no path: {error}")))?;
    Ok(path.to_string_lossy().into_owned())
}

#[derive(Serialize)]
struct OneExperiment<'a> {
    experiment: ExperimentJson<'a>,
}

fn answer(row: &ExperimentRow) -> Response {
    render::json(&OneExperiment { experiment: row.into() })
}

pub(super) async fn get(
    State(app): State<Arc<App>>,
    message: Message,
) -> Result<Response, ApiError> {
    let id = id_of(message.fields())?;
    let row = read(&app, move |snapshot| snapshot.experiment(id)?.ok_or_else(|| no_such(id)));
    Ok(answer(&row.await?))
}

pub(super) async fn get_by_name(
    State(app): State<Arc<App>>,
    message: Message,
) -> Result<Response, ApiError> {
    let name = message.fields().required_text("experiment_name")?.to_owned();
    let row = read(&app, move |snapshot| {
        snapshot.experiment_by_name(&name)?.ok_or_else(|| {
            ApiError::absent(format!("Could not find experiment with name '{name}'"))
        })
    });
    Ok(answer(&row.await?))
}

pub(super) async fn update(
    State(app): State<Arc<App>>,
    message: Message,
) -> Result<Response, ApiError> {
    let fields = message.fields();
    let id = id_of(fields)?;
    let name = fields.required_text("new_name")?;
    limits::check_experiment_name(name)?;
    change(&app, id, ExperimentChange::Rename(name.to_owned())).await
}

pub(super) async fn delete(
    State(app): State<Arc<App>>,
    message: Message,
) -> Result<Response, ApiError> {
    change(&app, id_of(message.fields())?, ExperimentChange::Delete).await
}

pub(super) async fn restore(
    State(app): State<Arc<App>>,
    message: Message,
) -> Result<Response, ApiError> {
    change(&app, id_of(message.fields())?, ExperimentChange::Restore).await
}

pub(super) async fn set_tag(
    State(app): State<Arc<App>>,
    message: Message,
) -> Result<Response, ApiError> {
    let fields = message.fields();
    let id = id_of(fields)?;
    let key = fields.required_text("key")?;
    let value = fields.text("value")?.unwrap_or_default();
    limits::check_experiment_tag(key, value)?;
    let tag = match key {
        NOTE_TAG => ExperimentChange::Describe(value.to_owned()),
        _ => ExperimentChange::SetTag(KeyValue::new(key, value)),
    };
    change(&app, id, tag).await
}

pub(super) async fn delete_tag(
    State(app): State<Arc<App>>,
    message: Message,
) -> Result<Response, ApiError> {
    let fields = message.fields();
    let id = id_of(fields)?;
    let key = fields.required_text("key")?;
    if key != NOTE_TAG {
        return change(&app, id, ExperimentChange::DeleteTag(key.to_owned())).await;
    }
    let row = app.workspace.fresh().await?.experiment(id)?.ok_or_else(|| no_such(id))?;
    if row.description.is_empty() {
        let message = format!("No tag with name: {key} in experiment with id {id}");
        return Err(ApiError::absent(message));
    }
    change(&app, id, ExperimentChange::Describe(String::new())).await
}

/// Carries a change out. What MLflow says of the wrong state depends on what was asked for.
async fn change(
    app: &App,
    id: ExperimentId,
    change: ExperimentChange,
) -> Result<Response, ApiError> {
    let wrong_state = match change {
        ExperimentChange::Delete | ExperimentChange::Restore => Some(no_such(id)),
        ExperimentChange::Rename(_) => {
            let message = "Cannot rename a non-active experiment.";
            Some(ApiError::new(ErrorCode::InvalidState, message))
        }
        _ => None,
    };
    match (app.workspace.act(Action::UpdateExperiment { id, change }).await, wrong_state) {
        (Ok(_), _) => Ok(render::done()),
        (Err(WriteError::Refused(Refusal::WrongExperimentState { .. })), Some(error)) => Err(error),
        (Err(error), _) => Err(error.into()),
    }
}

fn experiment(outcome: Outcome) -> ExperimentRow {
    match outcome {
        Outcome::Experiment(row) => row,
        other => unreachable!("creating an experiment answered {other:?}"),
    }
}
