//! The second version of the API, which clients of MLflow 2 speak: a trace is started, its spans are
//! uploaded as a file, and it is ended.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use data_encoding::HEXLOWER;
use runmesh_core::rows::{KeyValue, TraceRow};
use runmesh_core::trace::{TraceInfo, TraceStatus};
use serde::Serialize;

use super::change::find;
use super::render::{InfoV2Json, Locations};
use super::search;
use super::start::{STATES, log, pairs, tags};
use crate::app::App;
use crate::http::mlflow::error::ApiError;
use crate::http::mlflow::message::{Fields, Message};
use crate::http::mlflow::{experiments, render as answers};

fn answer(app: &App, row: &TraceRow) -> Result<Response, ApiError> {
    #[derive(Serialize)]
    struct One<'a> {
        trace_info: InfoV2Json<'a>,
    }
    let mut locations = Locations::default();
    locations.add(&app.workspace.snapshot()?, row)?;
    Ok(answers::json(&One { trace_info: InfoV2Json::new(row, &locations) }))
}

/// A list of `{"key", "value"}`.
fn listed<'a>(fields: Fields<'a>, name: &str) -> Result<Vec<(&'a str, &'a str)>, ApiError> {
    let pair = |pair: Fields<'a>| {
        Ok((pair.required_text("key")?, pair.text("value")?.unwrap_or_default()))
    };
    fields.messages(name)?.into_iter().map(pair).collect()
}

pub(super) async fn start(
    State(app): State<Arc<App>>,
    message: Message,
) -> Result<Response, ApiError> {
    let fields = message.fields();
    let experiment = experiments::parse_id(fields.required_text("experiment_id")?)?;
    let info = TraceInfo {
        status: TraceStatus::InProgress,
        start_ms: fields.integer("timestamp_ms")?.unwrap_or_default(),
        metadata: pairs(listed(fields, "request_metadata")?),
        tags: tags(listed(fields, "tags")?),
        ..TraceInfo::default()
    };
    let id = HEXLOWER.encode(&rand::random::<[u8; 16]>());
    let row = log(&app, id, experiment, info).await?;
    answer(&app, &row)
}

pub(super) async fn end(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    message: Message,
) -> Result<Response, ApiError> {
    let fields = message.fields();
    let row = find(&app, &id).await?;
    let end_ms = fields.integer("timestamp_ms")?.unwrap_or_default();
    let merged = |held: &[KeyValue], given: Vec<(&str, &str)>| {
        let held = held.iter().map(|pair| (pair.key.as_str(), pair.value.as_str()));
        // Of two values of a key the first is taken.
        pairs(given.into_iter().chain(held).collect())
    };
    let info = TraceInfo {
        status: fields.word("status", &STATES)?.unwrap_or_default(),
        start_ms: row.start_ms,
        duration_ms: Some(end_ms.saturating_sub(row.start_ms)),
        metadata: merged(&[], listed(fields, "request_metadata")?),
        tags: tags(listed(fields, "tags")?),
        ..TraceInfo::default()
    };
    let row = log(&app, id, row.experiment, info).await?;
    answer(&app, &row)
}

pub(super) async fn info(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    answer(&app, &find(&app, &id).await?)
}

pub(super) async fn search(
    State(app): State<Arc<App>>,
    message: Message,
) -> Result<Response, ApiError> {
    let fields = message.fields();
    let experiments = fields.texts("experiment_ids")?;
    let experiments = experiments.into_iter().map(experiments::parse_id);
    let (query, page) = search::query(fields, experiments.collect::<Result<_, _>>()?)?;
    super::super::read(&app, move |snapshot| {
        let (rows, locations, next) = search::find(snapshot, &query, &page)?;
        let items: Vec<_> = rows.iter().map(|row| InfoV2Json::new(row, &locations)).collect();
        Ok(answers::json(&answers::Page { name: "traces", items: &items, next }))
    })
    .await
}
