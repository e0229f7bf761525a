//! Assessments: what people, judges and code say of a trace.
//!
//! An assessment is kept as the JSON that clients read. Only what a server decides is written by us:
//! its id, its times, and whether another one overrides it. Ids that we give sort in the order in which
//! they were given, which decides between assessments of one millisecond.

use std::cmp::Ordering;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering as MemoryOrdering};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::{Path, State};
use axum::response::Response;
use jiff::Timestamp;
use runmesh_core::action::TraceChange;
use runmesh_core::rows::{TraceRow, lookup};
use serde_json::{Map, Value, json};

use super::change::{change, find};
use super::time::{timestamp, timestamp_field};
use crate::app::App;
use crate::http::mlflow::error::ApiError;
use crate::http::mlflow::message::{Fields, Message, missing};
use crate::http::mlflow::{python, render as answers};

/// The fields of which an assessment has exactly one.
const VALUES: [&str; 3] = ["expectation", "feedback", "issue"];
/// How an expectation that is a list or an object is written, and the only way MLflow knows.
const JSON_FORMAT: &str = "JSON_FORMAT";

/// Reads an assessment that a client makes: its id, which may be new, and its JSON.
pub(super) fn read_new(
    fields: Fields<'_>,
    trace: &str,
    now_ms: i64,
) -> Result<(String, String), ApiError> {
    let given = fields.text("assessment_id")?.filter(|id| !id.is_empty());
    let id = given.map_or_else(|| new_id(&NEWEST), str::to_owned);
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
            put(name, written(name, value)?);
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

/// The time in the newest id of this process, in nanoseconds since 1970.
static NEWEST: AtomicU64 = AtomicU64::new(0);

/// An id that sorts after all that were given with the same `newest`: a time, and 64 random bits.
fn new_id(newest: &AtomicU64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = u64::try_from(now.as_nanos()).unwrap_or_default();
    let later = |last: u64| now.max(last.saturating_add(1));
    let last = newest
        .fetch_update(MemoryOrdering::Relaxed, MemoryOrdering::Relaxed, |last| Some(later(last)));
    let time = last.map_or(now, later);
    format!("a-{time:016x}{:016x}", rand::random::<u64>())
}

/// Whether one account of an assessment was written after another, or the same one says that it
/// was overridden since.
pub(crate) fn assessed_since(new: &str, old: &str) -> bool {
    let read = |json: &str| serde_json::from_str::<Value>(json).unwrap_or_default();
    let (new, old) = (read(new), read(old));
    let updated = |said: &Value| said["last_update_time"].as_str()?.parse::<Timestamp>().ok();
    let valid = |said: &Value| said["valid"].as_bool().unwrap_or(true);
    match updated(&new).cmp(&updated(&old)) {
        Ordering::Greater => true,
        Ordering::Equal => valid(&old) && !valid(&new),
        Ordering::Less => false,
    }
}

/// What an assessment says, as MLflow writes it: an expectation that is a list or an object is a text
/// of JSON, any other is the value itself.
fn written(name: &str, given: &Value) -> Result<Value, ApiError> {
    if name != "expectation" {
        return Ok(given.clone());
    }
    let value = match given.get("serialized_value").or_else(|| given.get("serializedValue")) {
        None => given.get("value").cloned().unwrap_or_default(),
        Some(serialized) => parse_serialized(serialized)?,
    };
    if !value.is_array() && !value.is_object() {
        return Ok(json!({ "value": value }));
    }
    let text = python::dumps(&value);
    Ok(json!({ "serialized_value": { "serialization_format": JSON_FORMAT, "value": text } }))
}

fn parse_serialized(serialized: &Value) -> Result<Value, ApiError> {
    let names = ["serialization_format", "serializationFormat"];
    let format = names.into_iter().find_map(|name| serialized.get(name)?.as_str());
    let format = format.unwrap_or_default();
    if format != JSON_FORMAT {
        let message =
            format!("Unknown serialization format: {format}. Only {JSON_FORMAT} is supported.");
        return Err(ApiError::invalid(message));
    }
    let text = serialized.get("value").and_then(Value::as_str).unwrap_or_default();
    serde_json::from_str(text).map_err(|error| {
        ApiError::invalid(format!("The serialized value of an expectation is not JSON: {error}"))
    })
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
            assessment.insert(path.to_owned(), written(path, value)?);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_in_the_order_in_which_they_were_given() {
        let newest = AtomicU64::new(0);
        let ids: Vec<String> = (0..1000).map(|_| new_id(&newest)).collect();
        assert!(ids.is_sorted() && ids.iter().all(|id| id.len() == 34), "{ids:?}");
        // A clock that is set back changes nothing.
        let ahead = AtomicU64::new(u64::MAX - 2);
        assert!(new_id(&ahead) < new_id(&ahead));
    }

    #[test]
    fn of_two_accounts_of_an_assessment_the_later_counts() {
        let at = |time: &str, valid: bool| {
            json!({"last_update_time": time, "valid": valid, "feedback": {"value": 1}}).to_string()
        };
        let (early, late) = ("2026-11-25T20:12:26Z", "2026-11-25T20:12:26.5Z");
        assert!(assessed_since(&at(late, true), &at(early, true)));
        assert!(!assessed_since(&at(early, true), &at(late, true)));
        assert!(!assessed_since(&at(early, true), &at(early, true)));
        // Another one has overridden it: that changes no time.
        assert!(assessed_since(&at(early, false), &at(early, true)));
        assert!(!assessed_since(&at(early, true), &at(early, false)));
        assert!(!assessed_since("", ""), "what says nothing is not news");
    }

    #[test]
    fn expectations_are_written_as_mlflow_writes_them() {
        let serialized = |format: &str, text: &str| json!({"serialized_value": {"serialization_format": format, "value": text}});
        let plain = |value: Value| json!({ "value": value });
        for (given, expected) in [
            (plain(json!("é")), plain(json!("é"))),
            (plain(json!(0.5)), plain(json!(0.5))),
            (plain(Value::Null), plain(Value::Null)),
            (plain(json!(["é", 1])), serialized(JSON_FORMAT, "[\"\\u00e9\", 1]")),
            (plain(json!({"a": {}})), serialized(JSON_FORMAT, "{\"a\": {}}")),
            (serialized(JSON_FORMAT, "[1,2]"), serialized(JSON_FORMAT, "[1, 2]")),
            (serialized(JSON_FORMAT, "7"), plain(json!(7))),
        ] {
            assert_eq!(written("expectation", &given), Ok(expected), "{given}");
        }
        for wrong in [serialized("PICKLE", "[]"), serialized(JSON_FORMAT, "[")] {
            assert!(written("expectation", &wrong).is_err(), "{wrong}");
        }
        let list = plain(json!([1]));
        assert_eq!(written("feedback", &list), Ok(list.clone()));
    }
}
