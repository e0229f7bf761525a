//! Versions of registered models: register, get, stages, tags, and where their files are.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use runmesh_core::action::{
    Action, LoggedModelChange, ModelAction, Move, NewSemver, NewVersion, VersionChange,
};
use runmesh_core::ids::DocumentId;
use runmesh_core::registry::{Model, Registry, Stage, Version};
use runmesh_core::rows::{KeyValue, LoggedModel};
use serde::Serialize;
use serde_json::{Value, json};

use super::super::error::ApiError;
use super::super::message::{Fields, Message};
use super::super::{artifact_path, artifacts, python, read, render};
use super::models::{say_prompt, tags};
use super::render::VersionJson;
use super::source::{self, Origin};
use super::{
    SEMVER_TAG, act, checks, contested, model_of, named, no_such_model, number, serve, version_of,
};
use crate::app::App;

/// What clients that register a prompt say it comes from: nowhere.
const PROMPT_SOURCES: [&str; 2] = ["dummy-source", "prompt-template"];
/// The tag in which a logged model says as which versions it was registered.
const MODEL_VERSIONS_TAG: &str = "mlflow.modelVersions";

#[derive(Serialize)]
struct OneVersion {
    model_version: VersionJson,
}

#[derive(Serialize)]
struct Versions {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    model_versions: Vec<VersionJson>,
}

/// Answers with a version as it is now.
async fn answer(app: &Arc<App>, version: Version) -> Result<Response, ApiError> {
    read(app, move |snapshot| {
        let mut registry = Registry::new(snapshot);
        let model = version.model().map(|id| registry.model_of(&id)).transpose()?.flatten();
        // Deleted or not: who has just changed it hears how it is.
        let model = model.ok_or_else(|| no_such_model(""))?;
        let version = registry.version_of(&version.id())?.unwrap_or(version);
        Ok(render::json(&OneVersion { model_version: VersionJson::new(&model, &version) }))
    })
    .await
}

pub(super) async fn create(
    State(app): State<Arc<App>>,
    message: Message,
) -> Result<Response, ApiError> {
    let fields = message.fields();
    let name = fields.required_text("name")?.to_owned();
    let given = fields.required_text("source")?.to_owned();
    checks::source(&given)?;
    let mut tags = tags(fields)?;
    let description = checks::description(fields)?;
    let run_id = fields.text("run_id")?.map(str::to_owned);
    let logged_model = fields.text("model_id")?.map(str::to_owned);
    let run_link = fields.text("run_link")?.unwrap_or_default().to_owned();
    let prompt = say_prompt(&tags);
    let origin = if prompt {
        prompt_origin(given, run_id, logged_model)?
    } else {
        read(&app, move |snapshot| source::origin(snapshot, &given, run_id, logged_model)).await?
    };
    checks::model_name(&name)?;
    let semver = match tags.iter().rposition(|tag| tag.key == SEMVER_TAG) {
        Some(at) => NewSemver::Is(checks::semver(&tags[at].value)?),
        None => NewSemver::None,
    };
    tags.retain(|tag| tag.key != SEMVER_TAG);
    let Origin { source, storage, run_id, logged_model } = origin;
    let new = NewVersion {
        id: rand::random(),
        model: name.clone(),
        create_model: false,
        source,
        storage,
        run_id,
        run_link,
        logged_model: logged_model.clone(),
        tags,
        description,
        semver,
    };
    let version = Version { row: *act(&app, ModelAction::Register(new)).await? };
    if !prompt && !logged_model.is_empty() {
        tell_logged_model(&app, &logged_model, &name, version.number()).await?;
    }
    answer(&app, version).await
}

fn prompt_origin(
    source: String,
    run_id: Option<String>,
    logged_model: Option<String>,
) -> Result<Origin, ApiError> {
    if !PROMPT_SOURCES.contains(&source.as_str()) {
        return Err(ApiError::invalid(format!(
            "Invalid prompt source: '{source}'. Prompt sources must use an MLflow placeholder."
        )));
    }
    let (run_id, logged_model) = (run_id.unwrap_or_default(), logged_model.unwrap_or_default());
    Ok(Origin { source, storage: None, run_id, logged_model })
}

/// Notes in a logged model as which version it was registered.
pub(crate) async fn tell_logged_model(
    app: &Arc<App>,
    logged_model: &str,
    name: &str,
    number: i64,
) -> Result<(), ApiError> {
    let Some(document) = DocumentId::from_logged_model(logged_model) else { return Ok(()) };
    let held = read(app, move |snapshot| {
        let row = snapshot.document(&document)?;
        let tag = row.as_ref().and_then(LoggedModel::of).and_then(|m| m.tag(MODEL_VERSIONS_TAG));
        Ok(tag.map(str::to_owned))
    });
    let held = held.await?;
    let mut registered: Vec<Value> =
        held.and_then(|tag| serde_json::from_str(&tag).ok()).unwrap_or_default();
    let this = json!({ "name": name, "version": number });
    if registered.contains(&this) {
        return Ok(());
    }
    registered.push(this);
    let tag = KeyValue::new(MODEL_VERSIONS_TAG, python::dumps(&Value::from(registered)));
    let change = LoggedModelChange::SetTags(vec![tag]);
    super::super::act(app, Action::UpdateLoggedModel { document, change }).await.map(drop)
}

/// The version that a request names, noted as what is served under its number.
async fn asked(app: &Arc<App>, fields: Fields<'_>) -> Result<(Model, Version), ApiError> {
    let (name, number) = place(fields)?;
    let found = read(app, move |snapshot| match Registry::new(snapshot).model(&name)? {
        Some(model) => Ok((version_of(snapshot, &model, number)?, model)),
        None => Err(super::no_such_version(&name, &number.to_string())),
    });
    let (version, model) = found.await?;
    serve(app, &version).await?;
    Ok((model, version))
}

/// The model and the version that a request names.
fn place(fields: Fields<'_>) -> Result<(String, i64), ApiError> {
    let (name, version) = (fields.required_text("name")?, fields.required_text("version")?);
    checks::model_name(name)?;
    Ok((name.to_owned(), number(version)?))
}

pub(super) async fn get(
    State(app): State<Arc<App>>,
    message: Message,
) -> Result<Response, ApiError> {
    let (model, version) = asked(&app, message.fields()).await?;
    Ok(render::json(&OneVersion { model_version: VersionJson::new(&model, &version) }))
}

async fn change(app: &App, fields: Fields<'_>, change: VersionChange) -> Result<Version, ApiError> {
    let (model, number) = place(fields)?;
    let version = named(&number.to_string())?;
    let changed = act(app, ModelAction::UpdateVersion { model: model.clone(), version, change });
    match changed.await {
        // MLflow looks for the version alone.
        Err(error) if error == no_such_model(&model) => {
            Err(super::no_such_version(&model, &number.to_string()))
        }
        changed => Ok(Version { row: *changed? }),
    }
}

pub(super) async fn update(
    State(app): State<Arc<App>>,
    message: Message,
) -> Result<Response, ApiError> {
    let fields = message.fields();
    let description = checks::description(fields)?.unwrap_or_default();
    let version = change(&app, fields, VersionChange::Describe(description)).await?;
    answer(&app, version).await
}

pub(super) async fn delete(
    State(app): State<Arc<App>>,
    message: Message,
) -> Result<Response, ApiError> {
    change(&app, message.fields(), VersionChange::Delete).await?;
    Ok(render::done())
}

pub(super) async fn set_tag(
    State(app): State<Arc<App>>,
    message: Message,
) -> Result<Response, ApiError> {
    let fields = message.fields();
    let key = fields.required_text("key")?;
    let value = fields.text("value")?.unwrap_or_default();
    checks::tag(key, value)?;
    let tag = match key {
        SEMVER_TAG => VersionChange::SetSemver(Some(checks::semver(value)?)),
        _ => VersionChange::SetTag(KeyValue::new(key, value)),
    };
    change(&app, fields, tag).await?;
    Ok(render::done())
}

pub(super) async fn delete_tag(
    State(app): State<Arc<App>>,
    message: Message,
) -> Result<Response, ApiError> {
    let fields = message.fields();
    let key = fields.required_text("key")?;
    checks::tag_key(key)?;
    let tag = match key {
        SEMVER_TAG => VersionChange::SetSemver(None),
        _ => VersionChange::DeleteTag(key.to_owned()),
    };
    change(&app, fields, tag).await?;
    Ok(render::done())
}

fn stage(word: &str) -> Result<Stage, ApiError> {
    Stage::from_word(word).ok_or_else(|| {
        ApiError::invalid(format!(
            "Invalid Model Version stage: {word}. Value must be one of None, Staging, Production, \
             Archived."
        ))
    })
}

pub(super) async fn transition(
    State(app): State<Arc<App>>,
    message: Message,
) -> Result<Response, ApiError> {
    let fields = message.fields();
    let word = fields.required_text("stage")?;
    // MLflow says 500 to the mistake below, at which older clients try again for minutes.
    let archive_others = fields.flag("archive_existing_versions")?.unwrap_or_default();
    let stage = stage(word)?;
    if archive_others && !stage.is_active() {
        let message = format!(
            "Model version transition cannot archive existing model versions because '{word}' is \
             not an Active stage. Valid stages are ['Staging', 'Production']"
        );
        return Err(ApiError::invalid(message));
    }
    let to = VersionChange::MoveTo { stage, archive_others, why: Move::Plain };
    let version = change(&app, fields, to).await?;
    answer(&app, version).await
}

pub(super) async fn latest(
    State(app): State<Arc<App>>,
    message: Message,
) -> Result<Response, ApiError> {
    let fields = message.fields();
    let name = fields.required_text("name")?.to_owned();
    let stages = fields.texts("stages")?.into_iter().map(stage);
    let stages: Vec<Stage> = stages.collect::<Result<_, _>>()?;
    read(&app, move |snapshot| {
        let model = model_of(snapshot, &name)?;
        let mut versions = Registry::new(snapshot).latest(&model.id())?;
        versions.retain(|version| stages.is_empty() || stages.contains(&version.stage()));
        let versions = versions.iter().map(|version| VersionJson::new(&model, version));
        Ok(render::json(&Versions { model_versions: versions.collect() }))
    })
    .await
}

pub(super) async fn aliased(
    State(app): State<Arc<App>>,
    message: Message,
) -> Result<Response, ApiError> {
    let fields = message.fields();
    let name = fields.required_text("name")?.to_owned();
    let alias = fields.required_text("alias")?.to_owned();
    checks::alias(&alias)?;
    let found = read(&app, move |snapshot| {
        let model = model_of(snapshot, &name)?;
        let mut registry = Registry::new(snapshot);
        let version = if alias.eq_ignore_ascii_case("latest") {
            let latest = registry.latest(&model.id())?.into_iter().max_by_key(Version::number);
            latest.ok_or_else(|| {
                ApiError::absent(format!("Latest version not found for model {name}."))
            })?
        } else {
            registry.aliased(&model, &alias)?.ok_or_else(|| {
                ApiError::invalid(format!("Registered model alias {alias} not found."))
            })?
        };
        // Clients go on with its number, which must not mean another version here.
        let served = version_of(snapshot, &model, version.number())?;
        if served.id() != version.id() {
            return Err(contested(&model, version.number(), &version.id(), &served.id()));
        }
        Ok((model, version))
    });
    let (model, version) = found.await?;
    serve(&app, &version).await?;
    Ok(render::json(&OneVersion { model_version: VersionJson::new(&model, &version) }))
}

pub(super) async fn download_uri(
    State(app): State<Arc<App>>,
    message: Message,
) -> Result<Response, ApiError> {
    #[derive(Serialize)]
    struct Located {
        artifact_uri: String,
    }
    let (_, version) = asked(&app, message.fields()).await?;
    Ok(render::json(&Located { artifact_uri: version.storage().to_owned() }))
}

/// Downloads a file of a version: what MLflow's own page links to.
pub(crate) async fn get_artifact(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let (message, file) = artifacts::asked_file(query)?;
    let (_, version) = asked(&app, message.fields()).await?;
    let path = read(&app, move |snapshot| {
        let folder = source::proxy_path(snapshot, version.storage())?;
        artifact_path::parse(&format!("{folder}/{file}"))
    });
    artifacts::send(&app, path.await?, &headers).await
}
