//! Assessments: what people, judges and code say of a trace.
//!
//! An assessment is kept as the JSON that clients read. Only what a server decides is written by us:
//! its id, its times, and whether another one overrides it.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use runmesh_core::action::TraceChange;
use runmesh_core::rows::{TraceRow, lookup};
use serde_json::{Map, Value, json};

use super::change::{change, find};
use super::time::{timestamp, timestamp_field};
use crate::app::App;
use crate::http::mlflow::error::ApiError;
use crate::http::mlflow::message::{Fields, Message, missing};
use crate::http::mlflow::render as answers;

/// The fields of which an assessment has exactly one.
const VALUES: [&str; 3] = ["expectation", "feedback", "issue"];

/// Reads an assessment that a client makes: its id, which may be new, and its JSON.
pub(super) fn read_new(
    fields: Fields<'_>,
    trace: &str,
    now_ms: i64,
) -> Result<(String, String), ApiError> {
    let given = fields.text("assessment_id")?.filter(|id| !id.is_empty());
    let id = given.map_or_else(
        || format!("a-{}", data_encoding::HEXLOWER.encode(&rand::random::<[u8; 16]>())),
        str::to_owned,
    );
    let mut new = Map::new();
    let mut put = |name: &str, value: Value| drop(new.insert(name.to_owned(), value));
    put("assessment_id", json!(id));
    put("assessment_name", json!(fields.text("assessment_name")?.unwrap_or_default()));
    put("trace_id", json!(trace));
    let created_ms = timestamp_field(fields, "create_time")?.unwrap_or(now_ms);
    put("create_time", json!(timestamp(created_ms)));
    let updated_ms = timestamp_field(fields, "last_update_time")?.unwrap_or(now_ms);
    put("last_update_time", json!(timestamp(updated_ms)));
    let source = fields.value("source")?.cloned();
    put("source", source.unwrap_or_else(|| json!({"source_type": "SOURCE_TYPE_UNSPECIFIED"})));
    for name in ["span_id", "rationale", "overrides"] {
        if let Some(text) = fields.text(name)?.filter(|text| !text.is_empty()) {
            put(name, json!(text));
        }
    }
    if let Some(metadata) = fields.value("metadata")? {
        fields.texts_by_key("metadata")?;
        put("metadata", metadata.clone());
    }
    put("valid", json!(true));
    let mut values = 0;
    for name in VALUES {
        if let Some(value) = fields.value(name)? {
            put(name, value.clone());
            values += 1;
        }
    }
    if values != 1 {
        return Err(ApiError::invalid(
            "Assessment must have either feedback, expectation, or issue value",
        ));
    }
    Ok((id, Value::Object(new).to_string()))
}

fn answer(assessment: &Value) -> Response {
    answers::json(&json!({ "assessment": assessment }))
}

fn held(row: &TraceRow, id: &str) -> Result<Map<String, Value>, ApiError> {
    let json = lookup(&row.assessments, id).ok_or_else(|| {
        ApiError::absent(format!("Assessment with ID '{id}' not found for trace '{}'", row.id))
    })?;
    Ok(serde_json::from_str(json).unwrap_or_default())
}

/// An assessment that is there, marked as overridden or not.
fn marked(row: &TraceRow, id: &str, valid: bool) -> Result<(String, Option<String>), ApiError> {
    let mut assessment = held(row, id)?;
    assessment.insert("valid".to_owned(), json!(valid));
    Ok((id.to_owned(), Some(Value::Object(assessment).to_string())))
}

pub(super) async fn create(
    State(app): State<Arc<App>>,
    Path(trace): Path<String>,
    message: Message,
) -> Result<Response, ApiError> {
    let fields = message.fields().message("assessment")?.ok_or_else(|| missing("assessment"))?;
    let row = find(&app, &trace).await?;
    let (id, json) = read_new(fields, &trace, crate::now().0 as i64)?;
    let assessment: Value = serde_json::from_str(&json).unwrap_or_default();
    let mut put = vec![(id, Some(json))];
    if let Some(overridden) = assessment["overrides"].as_str() {
        put.push(marked(&row, overridden, false)?);
    }
    change(&app, trace, TraceChange::Assess(put)).await?;
    Ok(answer(&assessment))
}

pub(super) async fn get(
    State(app): State<Arc<App>>,
    Path((trace, id)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let row = find_trace(&app, &trace).await?;
    Ok(answer(&Value::Object(held(&row, &id)?)))
}

/// MLflow names a trace that is not there in other words here.
async fn find_trace(app: &App, trace: &str) -> Result<TraceRow, ApiError> {
    let row = app.workspace.fresh().await?.trace(trace)?;
    row.ok_or_else(|| ApiError::absent(format!("Trace with request_id '{trace}' not found")))
}

pub(super) async fn update(
    State(app): State<Arc<App>>,
    Path((trace, id)): Path<(String, String)>,
    message: Message,
) -> Result<Response, ApiError> {
    let fields = message.fields();
    let given = fields.message("assessment")?.ok_or_else(|| missing("assessment"))?;
    let mask = fields.value("update_mask")?.ok_or_else(|| missing("update_mask"))?;
    let row = find_trace(&app, &trace).await?;
    let mut assessment = held(&row, &id)?;
    for path in mask_paths(mask) {
        update_field(&mut assessment, given, &path)?;
    }
    assessment.insert("last_update_time".to_owned(), json!(timestamp(crate::now().0 as i64)));
    let assessment = Value::Object(assessment);
    let put = vec![(id, Some(assessment.to_string()))];
    change(&app, trace, TraceChange::Assess(put)).await?;
    Ok(answer(&assessment))
}

/// The paths of a field mask: a text with commas, in protobuf's JSON, or a list.
fn mask_paths(mask: &Value) -> Vec<String> {
    let list = mask.get("paths").and_then(Value::as_array);
    let texts: Vec<&str> = match (mask.as_str(), list) {
        (Some(text), _) => text.split(',').collect(),
        (None, Some(list)) => list.iter().filter_map(Value::as_str).collect(),
        (None, None) => Vec::new(),
    };
    // `assessmentName` is `assessment_name`.
    let snake = |text: &str| {
        text.chars().fold(String::new(), |mut out, char| {
            if char.is_ascii_uppercase() {
                out.push('_');
            }
            out.push(char.to_ascii_lowercase());
            out
        })
    };
    texts.into_iter().map(|text| snake(text.trim())).collect()
}

fn update_field(
    assessment: &mut Map<String, Value>,
    given: Fields<'_>,
    path: &str,
) -> Result<(), ApiError> {
    match path {
        "assessment_name" | "rationale" => {
            assessment.insert(path.to_owned(), json!(given.text(path)?.unwrap_or_default()));
        }
        "metadata" => {
            given.texts_by_key(path)?;
            let Some(Value::Object(new)) = given.value(path)? else { return Ok(()) };
            let held = assessment.entry(path).or_insert_with(|| json!({}));
            if let Value::Object(held) = held {
                held.extend(new.clone());
            }
        }
        "expectation" | "feedback" => {
            let Some(value) = given.value(path)? else { return Ok(()) };
            if !assessment.contains_key(path) {
                let (to, of) = if path == "feedback" {
                    ("feedback", "an Expectation")
                } else {
                    ("expectation", "a Feedback")
                };
                let message = format!("Cannot update {to} value on {of} assessment.");
                return Err(ApiError::invalid(message));
            }
            assessment.insert(path.to_owned(), value.clone());
        }
        // What a client may not change is left as it is, as MLflow leaves it.
        _ => {}
    }
    Ok(())
}

pub(super) async fn delete(
    State(app): State<Arc<App>>,
    Path((trace, id)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let row = find(&app, &trace).await?;
    // Deleting what is not there is no error.
    if let Ok(assessment) = held(&row, &id) {
        let mut put = vec![(id, None)];
        let overridden = assessment.get("overrides").and_then(Value::as_str);
        put.extend(overridden.and_then(|other| marked(&row, other, true).ok()));
        change(&app, trace, TraceChange::Assess(put)).await?;
    }
    Ok(answers::done())
}
