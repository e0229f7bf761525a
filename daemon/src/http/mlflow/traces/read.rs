//! Reading traces: what is known of one or of many, with or without spans.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use data_encoding::HEXLOWER;
use runmesh_core::rows::TraceRow;
use runmesh_core::store::Snapshot;
use runmesh_core::trace::Span;
use serde::Serialize;

use super::names::SIZE_STATS;
use super::no_such;
use super::render::{InfoJson, Locations, SpanJson, TraceJson, trace_file};
use crate::app::App;
use crate::http::mlflow::error::ApiError;
use crate::http::mlflow::message::{Message, missing};
use crate::http::mlflow::{artifact_path, artifacts, render as answers};

/// An answer that holds one trace.
#[derive(Serialize)]
pub(super) struct OneTrace<T> {
    pub(super) trace: T,
}

/// A trace without its spans.
#[derive(Serialize)]
pub(super) struct InfoOnly<'a> {
    pub(super) trace_info: InfoJson<'a>,
}

/// Answers with what is known of a trace.
pub(super) fn answer_info(snapshot: &Snapshot, row: &TraceRow) -> Result<Response, ApiError> {
    let mut locations = Locations::default();
    locations.add(snapshot, row)?;
    let trace_info = InfoJson::new(row, &locations);
    Ok(answers::json(&OneTrace { trace: InfoOnly { trace_info } }))
}

pub(super) async fn info(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    super::super::read(&app, move |snapshot| {
        let row = snapshot.trace(&id)?.ok_or_else(|| no_such(&id))?;
        answer_info(snapshot, &row)
    })
    .await
}

pub(super) async fn get(
    State(app): State<Arc<App>>,
    message: Message,
) -> Result<Response, ApiError> {
    let fields = message.fields();
    let id = fields.required_text("trace_id")?.to_owned();
    let partial = fields.boolean("allow_partial")?.unwrap_or_default();
    super::super::read(&app, move |snapshot| {
        let row = snapshot.trace(&id)?;
        let row =
            row.ok_or_else(|| ApiError::absent(format!("Trace with ID {id} is not found.")))?;
        let spans = in_order(snapshot.spans(&id)?);
        if row.spans == 0 {
            // Clients then look for the spans among the artifacts.
            return Err(ApiError::absent("Trace data not stored in tracking store"));
        }
        if !partial && !is_whole(&row) {
            return Err(ApiError::absent(format!(
                "Trace with ID {id} is not fully exported yet, please try again later."
            )));
        }
        let mut locations = Locations::default();
        locations.add(snapshot, &row)?;
        Ok(answers::json(&OneTrace { trace: whole(&row, &spans, &locations) }))
    })
    .await
}

/// A trace whose first spans and then the others come in the order of their starts.
fn whole<'a>(row: &'a TraceRow, spans: &'a [Span], locations: &Locations) -> TraceJson<'a> {
    let trace = otel_id(&row.id);
    let spans = spans.iter().map(|span| SpanJson { trace, span }).collect();
    TraceJson { trace_info: InfoJson::new(row, locations), spans }
}

pub(super) fn in_order(mut spans: Vec<Span>) -> Vec<Span> {
    spans.sort_by_key(|span| (!span.is_root(), span.start_ns));
    spans
}

/// The id that OpenTelemetry has for a trace; zeros if it knows none.
pub(super) fn otel_id(id: &str) -> [u8; 16] {
    let hex = id.strip_prefix("tr-").unwrap_or(id);
    let bytes = HEXLOWER.decode(hex.as_bytes()).unwrap_or_default();
    bytes.try_into().unwrap_or_default()
}

/// Whether as many spans are here as the client said there are.
fn is_whole(row: &TraceRow) -> bool {
    let stats = row.fact(SIZE_STATS).and_then(|json| serde_json::from_str(json).ok());
    let stats: serde_json::Value = stats.unwrap_or_default();
    stats["num_spans"].as_u64().is_none_or(|count| u64::from(row.spans) >= count)
}

pub(super) async fn batch_get(
    State(app): State<Arc<App>>,
    message: Message,
) -> Result<Response, ApiError> {
    #[derive(Serialize)]
    struct Traces<'a> {
        #[serde(skip_serializing_if = "Vec::is_empty")]
        traces: Vec<TraceJson<'a>>,
    }
    let wanted = Wanted::read(&message)?;
    super::super::read(&app, move |snapshot| {
        let mut locations = Locations::default();
        let mut found = Vec::new();
        for row in wanted.rows(snapshot)? {
            // What has no spans here, or not all of them, is not in this answer, as with MLflow.
            if row.spans > 0 && is_whole(&row) {
                locations.add(snapshot, &row)?;
                let spans = in_order(snapshot.spans(&row.id)?);
                found.push((row, spans));
            }
        }
        let traces = found.iter().map(|(row, spans)| whole(row, spans, &locations)).collect();
        Ok(answers::json(&Traces { traces }))
    })
    .await
}

pub(super) async fn batch_get_infos(
    State(app): State<Arc<App>>,
    message: Message,
) -> Result<Response, ApiError> {
    #[derive(Serialize)]
    struct Infos<'a> {
        #[serde(skip_serializing_if = "Vec::is_empty")]
        trace_infos: Vec<InfoJson<'a>>,
    }
    let wanted = Wanted::read(&message)?;
    super::super::read(&app, move |snapshot| {
        let mut locations = Locations::default();
        let rows = wanted.rows(snapshot)?;
        rows.iter().try_for_each(|row| locations.add(snapshot, row))?;
        let trace_infos = rows.iter().map(|row| InfoJson::new(row, &locations)).collect();
        Ok(answers::json(&Infos { trace_infos }))
    })
    .await
}

/// Which traces are asked for.
struct Wanted {
    ids: Vec<String>,
    /// Only of these experiments, if any are named.
    experiments: Vec<String>,
}

impl Wanted {
    fn read(message: &Message) -> Result<Self, ApiError> {
        let fields = message.fields();
        let owned = |texts: Vec<&str>| texts.into_iter().map(str::to_owned).collect();
        let ids: Vec<String> = owned(fields.texts("trace_ids")?);
        if ids.is_empty() {
            return Err(missing("trace_ids"));
        }
        Ok(Self { ids, experiments: owned(fields.texts("experiment_ids")?) })
    }

    fn rows(&self, snapshot: &Snapshot) -> Result<Vec<TraceRow>, ApiError> {
        let mut rows: Vec<TraceRow> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        for id in self.ids.iter().filter(|id| seen.insert(id.as_str())) {
            rows.extend(snapshot.trace(id)?);
        }
        rows.retain(|row| {
            self.experiments.is_empty() || self.experiments.contains(&row.experiment.to_string())
        });
        Ok(rows)
    }
}

/// The spans of a trace as a file, or a file that a client attached to it.
pub(super) async fn artifact(
    State(app): State<Arc<App>>,
    message: Message,
) -> Result<Response, ApiError> {
    let fields = message.fields();
    let id = fields.text("request_id")?.filter(|id| !id.is_empty());
    let id = id.ok_or_else(|| {
        ApiError::invalid("Request must include the \"request_id\" query parameter.")
    })?;
    let id = id.to_owned();
    let path = fields.text("path")?.filter(|path| !path.is_empty()).map(str::to_owned);
    let (row, spans) = super::super::read(&app, {
        let id = id.clone();
        move |snapshot| {
            let row = snapshot.trace(&id)?;
            let row =
                row.ok_or_else(|| ApiError::absent(format!("Trace with ID {id} is not found.")))?;
            let spans = in_order(snapshot.spans(&id)?);
            Ok((row, spans))
        }
    })
    .await?;
    let file = match path {
        Some(path) => format!("attachments/{}", artifact_path::parse(&path)?),
        None if row.spans == 0 => "traces.json".to_owned(),
        None => {
            let body = trace_file(&otel_id(&id), &spans);
            let headers = [
                (header::CONTENT_TYPE, HeaderValue::from_static("text/plain")),
                (
                    header::CONTENT_DISPOSITION,
                    HeaderValue::from_static("attachment; filename=traces.json"),
                ),
            ];
            return Ok((headers, body).into_response());
        }
    };
    artifacts::of_trace(&app, row.experiment, &id, &file).await
}
