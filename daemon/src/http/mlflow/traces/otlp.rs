//! Spans as exporters of OpenTelemetry send them: OTLP over HTTP, as protobuf or JSON, maybe
//! compressed.

use std::io::Read;
use std::sync::Arc;

use axum::Json;
use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use prost::Message;
use runmesh_core::action::{Action, TraceChange};
use serde_json::json;

use super::change;
use super::otlp_proto::ExportRequest;
use super::spans::{self, SpanError};
use super::start::document;
use crate::app::App;
use crate::http::mlflow::error::ApiError;
use crate::http::mlflow::message::MAX_BODY_BYTES;
use crate::http::mlflow::{act, experiments, runs};

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";
const EXPERIMENT: &str = "x-mlflow-experiment-id";
const RUN: &str = "x-mlflow-run-id";

/// A refusal as MLflow's server words it here.
struct Refused(StatusCode, serde_json::Value);

impl Refused {
    fn bad(detail: impl Into<String>) -> Self {
        Self(StatusCode::BAD_REQUEST, json!(detail.into()))
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "detail": self.1 }))).into_response()
    }
}

pub(super) async fn export(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let request = match read_request(&headers, body).await {
        Ok(request) => request,
        Err(refused) => return refused.into_response(),
    };
    match log(&app, &headers, request).await {
        Ok(()) => ([(header::CONTENT_TYPE, PROTOBUF)], Vec::<u8>::new()).into_response(),
        Err(error) => error.into_response(),
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

async fn read_request(headers: &HeaderMap, body: Body) -> Result<ExportRequest, Refused> {
    if text(headers, EXPERIMENT).is_none() {
        let missing = json!([{
            "type": "missing", "loc": ["header", EXPERIMENT], "msg": "Field required", "input": null,
        }]);
        return Err(Refused(StatusCode::UNPROCESSABLE_ENTITY, missing));
    }
    let content_type = text(headers, header::CONTENT_TYPE.as_str());
    let essence = content_type.and_then(|value| value.split(';').next()).unwrap_or_default().trim();
    if ![PROTOBUF, JSON].contains(&essence) {
        return Err(Refused::bad(format!(
            "Invalid Content-Type: {}. Expected: {PROTOBUF} or {JSON}",
            content_type.unwrap_or("None")
        )));
    }
    let bytes = to_bytes(body, MAX_BODY_BYTES).await.map_err(|_| {
        let detail = format!("A request can have at most {MAX_BODY_BYTES} bytes.");
        Refused(StatusCode::PAYLOAD_TOO_LARGE, json!(detail))
    })?;
    let encoding = text(headers, header::CONTENT_ENCODING.as_str()).unwrap_or("identity");
    let bytes = decompress(&bytes, &encoding.to_ascii_lowercase())?;
    let invalid = || Refused::bad("Invalid OpenTelemetry format");
    let request = match essence {
        JSON => super::otlp_json::read(&bytes).ok_or_else(invalid)?,
        _ => ExportRequest::decode(bytes.as_slice()).map_err(|_| invalid())?,
    };
    if request.resource_spans.is_empty() {
        return Err(Refused::bad("Invalid OpenTelemetry format - no spans found"));
    }
    Ok(request)
}

fn decompress(bytes: &[u8], encoding: &str) -> Result<Vec<u8>, Refused> {
    let unpack = |reader: &mut dyn Read| {
        let mut out = Vec::new();
        // One byte more than is allowed tells what is too large from what just fits.
        let limit = MAX_BODY_BYTES as u64 + 1;
        reader.take(limit).read_to_end(&mut out).ok().map(|_| out)
    };
    let out = match encoding {
        "identity" => Some(bytes.to_vec()),
        "gzip" => unpack(&mut flate2::read::MultiGzDecoder::new(bytes)),
        "deflate" => unpack(&mut flate2::read::ZlibDecoder::new(bytes))
            .or_else(|| unpack(&mut flate2::read::DeflateDecoder::new(bytes))),
        _ => return Err(Refused::bad(format!("Unsupported Content-Encoding: {encoding}"))),
    };
    let out =
        out.ok_or_else(|| Refused::bad(format!("Failed to decompress {encoding} payload")))?;
    if out.len() > MAX_BODY_BYTES {
        let detail = format!("A request can have at most {MAX_BODY_BYTES} bytes.");
        return Err(Refused(StatusCode::PAYLOAD_TOO_LARGE, json!(detail)));
    }
    Ok(out)
}

/// Logs the spans of a request; they are durable when this returns.
async fn log(app: &Arc<App>, headers: &HeaderMap, request: ExportRequest) -> Result<(), Response> {
    let refuse = |error: ApiError| error.into_response();
    let experiment = text(headers, EXPERIMENT).unwrap_or_default();
    let has_spans = |request: &ExportRequest| {
        request.resource_spans.iter().flat_map(|r| &r.scope_spans).any(|s| !s.spans.is_empty())
    };
    if !has_spans(&request) {
        return Ok(());
    }
    let experiment = experiments::parse_id(experiment).map_err(refuse)?;
    let experiment = document(app, experiment).await.map_err(refuse)?;
    let read = spans::read(request, experiment).map_err(|error| {
        let status = match error {
            SpanError::Malformed => StatusCode::UNPROCESSABLE_ENTITY,
            SpanError::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
        };
        Refused(status, json!(error.to_string())).into_response()
    })?;
    act(app, Action::LogSpans(read.parts)).await.map_err(refuse)?;
    if let Some(run) = text(headers, RUN) {
        // As with MLflow, the spans are kept if the run is not there.
        let Ok(run) = runs::parse_id(run) else { return Ok(()) };
        for trace in read.completed {
            let linked = change::link(app, &trace, TraceChange::LinkRun(run)).await;
            if let Err(error) = linked {
                tracing::warn!("a trace could not be linked to run {run}: {error}");
            }
        }
    }
    Ok(())
}
