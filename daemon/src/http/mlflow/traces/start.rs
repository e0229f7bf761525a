//! Starting a trace: one message about all of it, which newer clients send when it has ended.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use runmesh_core::action::{Action, Outcome};
use runmesh_core::ids::{DocumentId, ExperimentId};
use runmesh_core::rows::{KeyValue, TraceRow};
use runmesh_core::trace::{TraceInfo, TracePart, TraceStatus, is_trace_id};

use super::names::{ARTIFACT_LOCATION, FINALIZED, SERVER_TAGS};
use super::time::{duration_field, timestamp_field};
use super::{assessments, read};
use crate::app::App;
use crate::http::mlflow::error::ApiError;
use crate::http::mlflow::message::{Fields, Message, invalid_value, missing};
use crate::http::mlflow::{act, experiments};

/// The words for how far a trace has come, in the order of their numbers.
pub(super) const STATES: [(&str, TraceStatus); 3] = [
    ("OK", TraceStatus::Ok),
    ("ERROR", TraceStatus::Error),
    ("IN_PROGRESS", TraceStatus::InProgress),
];

pub(super) async fn start(
    State(app): State<Arc<App>>,
    message: Message,
) -> Result<Response, ApiError> {
    let trace = message.fields().message("trace")?.ok_or_else(|| missing("trace"))?;
    let fields = trace.message("trace_info")?.ok_or_else(|| missing("trace_info"))?;
    let id = fields.required_text("trace_id")?;
    if !is_trace_id(id) {
        let reason = " A trace's id has at most 250 bytes.";
        return Err(invalid_value("trace_id", &id.into(), reason));
    }
    let experiment = experiment_id(fields)?;
    let mut info = TraceInfo {
        status: fields.word("state", &STATES)?.unwrap_or_default(),
        start_ms: timestamp_field(fields, "request_time")?.unwrap_or_default(),
        duration_ms: duration_field(fields, "execution_duration")?,
        client_request_id: fields.text("client_request_id")?.map(str::to_owned),
        request_preview: fields.text("request_preview")?.map(str::to_owned),
        response_preview: fields.text("response_preview")?.map(str::to_owned),
        metadata: pairs(fields.texts_by_key("trace_metadata")?),
        tags: tags(fields.texts_by_key("tags")?),
        ..TraceInfo::default()
    };
    info.metadata.retain(|fact| fact.key != FINALIZED);
    info.metadata.push(KeyValue::new(FINALIZED, "true"));
    info.metadata.sort_unstable();
    for assessment in fields.messages("assessments")? {
        let (id, json) = assessments::read_new(assessment, id, crate::now().0 as i64)?;
        info.assessments.push(KeyValue::new(id, json));
    }
    info.assessments.sort_unstable();
    info.assessments.dedup_by(|a, b| a.key == b.key);
    let row = log(&app, id.to_owned(), experiment, info).await?;
    answer(&app, &row).await
}

/// Logs what is said of a whole trace; it is durable when this returns.
pub(super) async fn log(
    app: &Arc<App>,
    trace: String,
    experiment: ExperimentId,
    info: TraceInfo,
) -> Result<Box<TraceRow>, ApiError> {
    let mut part = TracePart::new(trace, document(app, experiment).await?);
    part.infos.push(info);
    match act(app, Action::LogTrace(Box::new(part))).await? {
        Outcome::Trace(row) => Ok(row),
        other => unreachable!("logging a trace answered {other:?}"),
    }
}

/// The document of an experiment.
pub(super) async fn document(app: &App, id: ExperimentId) -> Result<DocumentId, ApiError> {
    let mut row = app.workspace.snapshot()?.experiment(id)?;
    if row.is_none() {
        row = app.workspace.fresh().await?.experiment(id)?;
    }
    row.map(|row| row.document).ok_or_else(|| experiments::no_such(id))
}

/// Answers with a trace that was just written: its experiment is seldom as new.
pub(super) async fn answer(app: &App, row: &TraceRow) -> Result<Response, ApiError> {
    read::answer_info(&app.workspace.snapshot()?, row)
}

fn experiment_id(fields: Fields<'_>) -> Result<ExperimentId, ApiError> {
    let location = fields.message("trace_location")?.ok_or_else(|| missing("trace_location"))?;
    let experiment = location.message("mlflow_experiment")?;
    let experiment = experiment.ok_or_else(|| missing("mlflow_experiment"))?;
    experiments::parse_id(experiment.required_text("experiment_id")?)
}

pub(super) fn pairs(texts: Vec<(&str, &str)>) -> Vec<KeyValue> {
    let pairs = texts.into_iter().map(|(key, value)| KeyValue::new(key, value));
    let mut pairs: Vec<KeyValue> = pairs.collect();
    pairs.sort_by(|a, b| a.key.cmp(&b.key));
    pairs.dedup_by(|a, b| a.key == b.key);
    pairs
}

/// Tags without those that say where things are: that is not a client's to say, and differs from
/// device to device.
pub(super) fn tags(texts: Vec<(&str, &str)>) -> Vec<KeyValue> {
    let mut tags = pairs(texts);
    tags.retain(|tag| !SERVER_TAGS.contains(&tag.key.as_str()) && tag.key != ARTIFACT_LOCATION);
    tags
}
