//! MLflow's model registry: registered models, versions, stages, aliases, tags, prompts.

pub(super) mod checks;
mod models;
mod render;
mod search;
mod source;
mod versions;

use std::sync::Arc;

use axum::Router;
use axum::routing::{delete, get, patch, post};
use runmesh_core::action::{Action, ModelAction, ModelRefusal, Outcome, VersionName};
use runmesh_core::ids::DocumentId;
use runmesh_core::registry::{Author, Model, Numbered, Registry, Version};
use runmesh_core::rows::DocumentRow;
use runmesh_core::store::Snapshot;

use super::error::{ApiError, ErrorCode};
use super::webhooks;
use crate::app::App;

pub(super) use self::source::proxy_path;
pub(super) use self::versions::{get_artifact, tell_logged_model};

/// The tag in which MLflow's clients see a version's semantic version, and may set it.
const SEMVER_TAG: &str = "runmesh.semver";
/// The tag of models and versions that are prompts.
pub(super) const PROMPT_TAG: &str = "mlflow.prompt.is_prompt";

/// The routes below a prefix of the API.
pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/registered-models/create", post(models::create))
        .route("/registered-models/get", get(models::get))
        .route("/registered-models/update", patch(models::update))
        .route("/registered-models/rename", post(models::rename))
        .route("/registered-models/delete", delete(models::delete))
        .route("/registered-models/search", get(search::models))
        .route("/registered-models/set-tag", post(models::set_tag))
        .route("/registered-models/delete-tag", delete(models::delete_tag))
        .route(
            "/registered-models/get-latest-versions",
            get(versions::latest).post(versions::latest),
        )
        .route(
            "/registered-models/alias",
            get(versions::aliased).post(models::set_alias).delete(models::delete_alias),
        )
        .route("/model-versions/create", post(versions::create))
        .route("/model-versions/get", get(versions::get))
        .route("/model-versions/update", patch(versions::update))
        .route("/model-versions/delete", delete(versions::delete))
        .route("/model-versions/search", get(search::versions))
        .route("/model-versions/get-download-uri", get(versions::download_uri))
        .route("/model-versions/set-tag", post(versions::set_tag))
        .route("/model-versions/delete-tag", delete(versions::delete_tag))
        .route("/model-versions/transition-stage", post(versions::transition))
}

/// What MLflow says where the registry refuses.
pub(super) fn refused(refusal: ModelRefusal) -> ApiError {
    match refusal {
        ModelRefusal::NameTaken(name) => ApiError::new(
            ErrorCode::ResourceAlreadyExists,
            format!("Registered Model (name={name}) already exists."),
        ),
        ModelRefusal::NoSuchModel(name) => no_such_model(&name),
        ModelRefusal::NoSuchVersion { model, version } => no_such_version(&model, &version),
        contested @ ModelRefusal::Contested { .. } => {
            ApiError::new(ErrorCode::ResourceConflict, contested.to_string())
        }
        taken @ ModelRefusal::SemverTaken { .. } => {
            ApiError::new(ErrorCode::ResourceAlreadyExists, taken.to_string())
        }
        ambiguous @ ModelRefusal::SemverAmbiguous { .. } => {
            ApiError::invalid(ambiguous.to_string())
        }
    }
}

fn no_such_model(name: &str) -> ApiError {
    ApiError::absent(format!("Registered Model with name={name} not found"))
}

fn no_such_version(model: &str, version: &str) -> ApiError {
    ApiError::absent(format!("Model Version (name={model}, version={version}) not found"))
}

/// MLflow's clients do not say who they are, nor why.
fn author(app: &App) -> Author {
    Author { device: app.workspace.journal().device, who: String::new(), note: String::new() }
}

/// Carries an action on the registry out, and tells webhooks of it. Answers the document that it
/// changed.
async fn act(app: &App, action: ModelAction) -> Result<Box<DocumentRow>, ApiError> {
    let told = app.webhooks.any().then(|| action.clone());
    let (action, author) = (Box::new(action), Box::new(author(app)));
    match super::act(app, Action::Model { action, author }).await? {
        Outcome::Document(row) => {
            if let Some((event, data)) = told.and_then(|action| webhooks::event_of(&action, &row)) {
                app.webhooks.announce(event, &data);
            }
            Ok(row)
        }
        other => unreachable!("an action on the registry answered {other:?}"),
    }
}

fn model_of(snapshot: &Snapshot, name: &str) -> Result<Model, ApiError> {
    checks::model_name(name)?;
    Registry::new(snapshot).model(name)?.ok_or_else(|| no_such_model(name))
}

/// The version that this device serves under a number.
fn version_of(snapshot: &Snapshot, model: &Model, number: i64) -> Result<Version, ApiError> {
    match Registry::new(snapshot).numbered(&model.id(), number)? {
        Numbered::Served(version) => Ok(version),
        Numbered::Nothing => Err(no_such_version(&model.name, &number.to_string())),
        Numbered::Contested { elsewhere, here } => {
            Err(contested(model, number, &here, &elsewhere.id()))
        }
    }
}

fn contested(model: &Model, number: i64, here: &DocumentId, elsewhere: &DocumentId) -> ApiError {
    refused(ModelRefusal::Contested {
        model: model.name.clone(),
        number,
        here: here.reference(),
        elsewhere: elsewhere.reference(),
    })
}

/// Notes that this device serves a version under its number, unless it is noted, so that the number
/// never silently means another one here.
async fn serve(app: &App, version: &Version) -> Result<(), ApiError> {
    let Some(model) = version.model() else { return Ok(()) };
    let (number, id) = (version.number(), version.id());
    if app.workspace.snapshot()?.served_version(&model, number)? != Some(id) {
        app.workspace.note_served(model, number, id).await?;
    }
    Ok(())
}

/// Reads the number of a version.
fn number(text: &str) -> Result<i64, ApiError> {
    text.trim().parse().map_err(|_| {
        ApiError::invalid(format!("Parameter 'version' must be an integer, got '{text}'."))
    })
}

fn named(text: &str) -> Result<VersionName, ApiError> {
    number(text).map(VersionName::Number)
}
