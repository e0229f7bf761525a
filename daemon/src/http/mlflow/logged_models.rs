//! Logged models: create, get, finalize, params, tags, delete, and their artifacts.

use std::sync::Arc;

use axum::extract::{Path, RawQuery, State};
use axum::http::HeaderMap;
use axum::response::Response;
use runmesh_core::action::{Action, LoggedModelChange, NewLoggedModel, Outcome};
use runmesh_core::ids::{DocumentId, DocumentKind, ExperimentId};
use runmesh_core::rows::{DocumentRow, KeyValue, Lifecycle, LoggedModel, ModelStatus};
use runmesh_core::store::{ModelPoint, Snapshot};
use serde::Serialize;

use super::error::{ApiError, ErrorCode};
use super::message::{Fields, Message, missing};
use super::render::{self, Double};
use super::{act, artifact_path, artifacts, experiments, limits, python, read, run_name};
use crate::app::App;

/// The points of a model that are shown with it. MLflow shows all, whatever that takes.
const MAX_POINTS: usize = 10_000;

/// The words for how far a model has come, in the order of their numbers, from one.
const STATUSES: [(&str, ModelStatus); 3] = [
    ("LOGGED_MODEL_PENDING", ModelStatus::Pending),
    ("LOGGED_MODEL_READY", ModelStatus::Ready),
    ("LOGGED_MODEL_UPLOAD_FAILED", ModelStatus::Failed),
];

const fn status_word(status: ModelStatus) -> &'static str {
    match status {
        ModelStatus::Unspecified => "LOGGED_MODEL_STATUS_UNSPECIFIED",
        ModelStatus::Pending => STATUSES[0].0,
        ModelStatus::Ready => STATUSES[1].0,
        ModelStatus::Failed => STATUSES[2].0,
    }
}

/// Reads a model's id. Text that is no id is the id of no model.
pub(crate) fn parse_id(text: &str) -> Result<DocumentId, ApiError> {
    DocumentId::from_logged_model(text).ok_or_else(|| no_such(text))
}

pub(crate) fn no_such(id: impl std::fmt::Display) -> ApiError {
    ApiError::absent(format!("Logged model with ID '{id}' not found."))
}

/// The row of a model, deleted ones only if asked for.
pub(crate) fn find(
    snapshot: &Snapshot,
    document: &DocumentId,
    deleted: bool,
) -> Result<DocumentRow, ApiError> {
    let row = snapshot.document(document)?;
    let shown = |model: LoggedModel<'_>| deleted || model.lifecycle() == Lifecycle::Active;
    let row = row.filter(|row| LoggedModel::of(row).is_some_and(shown));
    row.ok_or_else(|| no_such(document.as_logged_model().unwrap_or_default()))
}

#[derive(Serialize)]
pub(super) struct LoggedModelJson<'a> {
    info: InfoJson<'a>,
    data: DataJson<'a>,
}

#[derive(Serialize)]
struct InfoJson<'a> {
    model_id: String,
    experiment_id: String,
    name: &'a str,
    creation_timestamp_ms: i64,
    last_updated_timestamp_ms: i64,
    artifact_uri: String,
    status: &'static str,
    model_type: &'a str,
    source_run_id: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<PairJson<'a>>,
}

#[derive(Serialize)]
struct DataJson<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    params: Vec<PairJson<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    metrics: Vec<MetricJson<'a>>,
}

#[derive(Serialize)]
struct PairJson<'a> {
    key: &'a str,
    value: &'a str,
}

#[derive(Serialize)]
struct MetricJson<'a> {
    key: &'a str,
    value: Double,
    timestamp: i64,
    step: i64,
    #[serde(skip_serializing_if = "str::is_empty")]
    dataset_name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    dataset_digest: &'a str,
    model_id: &'a str,
    run_id: String,
}

impl<'a> From<&'a ModelPoint> for MetricJson<'a> {
    fn from(point: &'a ModelPoint) -> Self {
        let metric = &point.metric;
        Self {
            key: &metric.key,
            value: Double(metric.point.value),
            timestamp: metric.point.timestamp_ms,
            step: metric.point.step,
            dataset_name: &metric.context.dataset_name,
            dataset_digest: &metric.context.dataset_digest,
            model_id: &metric.context.model_id,
            run_id: point.run.to_string(),
        }
    }
}

/// A model with what goes with it: where it is and what was measured of it.
pub(super) struct Shown {
    row: DocumentRow,
    location: String,
    points: Vec<ModelPoint>,
}

impl Shown {
    pub(super) fn read(snapshot: &Snapshot, row: DocumentRow) -> Result<Self, ApiError> {
        let id = row.document.as_logged_model().unwrap_or_default();
        let location = location(snapshot, &row)?;
        Ok(Self { points: snapshot.model_points(&id, None, MAX_POINTS)?, location, row })
    }

    pub(super) fn json(&self) -> LoggedModelJson<'_> {
        let model = LoggedModel::of(&self.row).expect("rows of logged models are shown");
        let pair = |(key, value)| PairJson { key, value };
        LoggedModelJson {
            info: InfoJson {
                model_id: model.id(),
                experiment_id: model.experiment().unwrap_or(ExperimentId::NONE).to_string(),
                name: model.name(),
                creation_timestamp_ms: model.created_ms(),
                last_updated_timestamp_ms: model.updated_ms(),
                artifact_uri: self.location.clone(),
                status: status_word(model.status()),
                model_type: model.model_type(),
                source_run_id: model.source_run(),
                tags: model.tags().map(pair).collect(),
            },
            data: DataJson {
                params: model.params().map(pair).collect(),
                metrics: self.points.iter().map(MetricJson::from).collect(),
            },
        }
    }
}

/// Where a model's artifacts are, as clients are told.
pub(crate) fn location(snapshot: &Snapshot, row: &DocumentRow) -> Result<String, ApiError> {
    let model = LoggedModel::of(row);
    let experiment = model.and_then(|model| model.experiment()).unwrap_or(ExperimentId::NONE);
    let held = snapshot.experiment(experiment)?.and_then(|row| row.artifact_location);
    let root = held.unwrap_or_else(|| render::default_location(experiment));
    let id = row.document.as_logged_model().unwrap_or_default();
    Ok(render::below(&root, &format!("models/{id}/artifacts")))
}

#[derive(Serialize)]
struct OneModel<'a> {
    model: LoggedModelJson<'a>,
}

async fn answer(app: &Arc<App>, outcome: Outcome) -> Result<Response, ApiError> {
    let Outcome::Document(row) = outcome else {
        unreachable!("changing a logged model answered {outcome:?}")
    };
    read(app, move |snapshot| {
        let shown = Shown::read(snapshot, *row)?;
        Ok(render::json(&OneModel { model: shown.json() }))
    })
    .await
}

pub(super) async fn create(
    State(app): State<Arc<App>>,
    message: Message,
) -> Result<Response, ApiError> {
    let new = new_model(message.fields())?;
    let outcome = act(&app, Action::CreateLoggedModel(new)).await?;
    answer(&app, outcome).await
}

fn new_model(fields: Fields<'_>) -> Result<NewLoggedModel, ApiError> {
    let experiment = experiments::parse_id(fields.required_text("experiment_id")?)?;
    let name = match fields.text("name")?.unwrap_or_default() {
        "" => run_name::random(),
        name => checked_name(name)?.to_owned(),
    };
    let limited = |field: &'static str, limit| {
        let text = fields.text(field)?.unwrap_or_default();
        limits::check_length(field, limit, text)?;
        Ok::<_, ApiError>(text.to_owned())
    };
    Ok(NewLoggedModel {
        document: DocumentId::new(DocumentKind::LoggedModel, rand::random()),
        experiment,
        name,
        model_type: limited("model_type", limits::MAX_MODEL_TYPE_CHARS)?,
        source_run: limited("source_run_id", limits::MAX_SOURCE_RUN_CHARS)?,
        params: params(fields)?,
        tags: tags(fields)?,
    })
}

fn checked_name(name: &str) -> Result<&str, ApiError> {
    if name.contains(['/', ':', '.', '%', '"', '\'']) {
        return Err(ApiError::invalid(format!(
            "Invalid model name ({}) provided. Model name must be a non-empty string and cannot \
             contain the following characters: ('/', ':', '.', '%', '\"', \"'\")",
            python::repr(name)
        )));
    }
    limits::check_length("name", limits::MAX_LOGGED_MODEL_NAME_CHARS, name)?;
    Ok(name)
}

fn params(fields: Fields<'_>) -> Result<Vec<KeyValue>, ApiError> {
    let param = |param: Fields<'_>| {
        let (key, value) = (param.text("key")?, param.text("value")?);
        let (key, value) = (key.unwrap_or_default(), value.unwrap_or_default());
        limits::check_length("params.key", limits::MAX_LOGGED_MODEL_KEY_CHARS, key)?;
        limits::check_length("params.value", limits::MAX_LOGGED_MODEL_VALUE_CHARS, value)?;
        Ok(KeyValue::new(key, value))
    };
    fields.messages("params")?.into_iter().map(param).collect()
}

fn tags(fields: Fields<'_>) -> Result<Vec<KeyValue>, ApiError> {
    let tag = |tag: Fields<'_>| {
        let (key, value) = (tag.text("key")?, tag.text("value")?);
        let (key, value) = (key.unwrap_or_default(), value.unwrap_or_default());
        limits::check_length("tags.key", limits::MAX_LOGGED_MODEL_KEY_CHARS, key)?;
        limits::check_length("tags.value", limits::MAX_LOGGED_MODEL_VALUE_CHARS, value)?;
        Ok(KeyValue::new(key, value))
    };
    fields.messages("tags")?.into_iter().map(tag).collect()
}

pub(super) async fn get(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let query = Message::from_query(&query.unwrap_or_default());
    let deleted = query.fields().text("allow_deleted")?;
    let deleted = deleted.is_some_and(|word| word.eq_ignore_ascii_case("true"));
    let document = parse_id(&id)?;
    read(&app, move |snapshot| {
        let shown = Shown::read(snapshot, find(snapshot, &document, deleted)?)?;
        Ok(render::json(&OneModel { model: shown.json() }))
    })
    .await
}

async fn change(app: &App, id: &str, change: LoggedModelChange) -> Result<Outcome, ApiError> {
    act(app, Action::UpdateLoggedModel { document: parse_id(id)?, change }).await
}

pub(super) async fn finalize(
    State(app): State<Arc<App>>,
    Path(_): Path<String>,
    message: Message,
) -> Result<Response, ApiError> {
    let fields = message.fields();
    // MLflow reads the id from the body here, as its clients send both.
    let id = fields.required_text("model_id")?;
    if !fields.has("status")? {
        return Err(missing("status"));
    }
    let status = fields.word("status", &STATUSES)?.unwrap_or_default();
    let outcome = change(&app, id, LoggedModelChange::SetStatus(status)).await?;
    answer(&app, outcome).await
}

pub(super) async fn log_params(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    message: Message,
) -> Result<Response, ApiError> {
    let fields = message.fields();
    fields.required_text("model_id")?;
    change(&app, &id, LoggedModelChange::LogParams(params(fields)?)).await?;
    Ok(render::done())
}

pub(super) async fn set_tags(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    message: Message,
) -> Result<Response, ApiError> {
    let tags = tags(message.fields())?;
    change(&app, &id, LoggedModelChange::SetTags(tags)).await?;
    Ok(render::done())
}

pub(super) async fn delete_tag(
    State(app): State<Arc<App>>,
    Path((id, key)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    change(&app, &id, LoggedModelChange::DeleteTag(key)).await?;
    Ok(render::done())
}

pub(super) async fn delete(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    change(&app, &id, LoggedModelChange::Delete).await?;
    Ok(render::done())
}

/// Lists a folder of a model's artifacts.
pub(super) async fn list_artifacts(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let query = Message::from_query(&query.unwrap_or_default());
    let folder = query.fields().text("artifact_directory_path")?.unwrap_or_default();
    let (folder, document) = (artifact_path::parse(folder)?, parse_id(&id)?);
    read(&app, move |snapshot| {
        let root_uri = location(snapshot, &find(snapshot, &document, false)?)?;
        artifacts::list_below(snapshot, root_uri, &folder)
    })
    .await
}

/// Downloads a file of a model: what MLflow's own page links to.
pub(super) async fn get_artifact(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let query = Message::from_query(&query.unwrap_or_default());
    let file = query.fields().text("artifact_file_path")?.unwrap_or_default();
    if file.is_empty() {
        let message = "Request must include the \"artifact_file_path\" query parameter.";
        return Err(ApiError::new(ErrorCode::BadRequest, message));
    }
    let (file, document) = (artifact_path::parse(file)?, parse_id(&id)?);
    let path = read(&app, move |snapshot| {
        let root_uri = location(snapshot, &find(snapshot, &document, false)?)?;
        artifacts::path_below(&root_uri, &file)
    });
    artifacts::send(&app, path.await?, &headers).await
}
