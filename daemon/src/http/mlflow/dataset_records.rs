//! Records of evaluation datasets. They travel as JSON in a text of a JSON body.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use data_encoding::BASE64;
use runmesh_core::action::{DatasetChange, NewDatasetRecord, Outcome, RecordCounts};
use runmesh_core::rows::{DatasetRecord, EvaluationDataset};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::error::ApiError;
use super::evaluation_datasets::{USER_TAG, change, find};
use super::message::{Message, invalid_value};
use super::{python, read, render};
use crate::app::App;

/// What the id of a record starts with.
const PREFIX: &str = "dr-";
/// The records of a page, unless asked for another number.
const DEFAULT_RESULTS: i64 = 1000;
/// Where a record may come from.
const SOURCE_TYPES: [&str; 5] = ["UNSPECIFIED", "TRACE", "HUMAN", "DOCUMENT", "CODE"];

pub(super) async fn upsert(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    message: Message,
) -> Result<Response, ApiError> {
    #[derive(Serialize)]
    struct Upserted {
        inserted_count: usize,
        updated_count: usize,
    }
    let records = parse_records(message.fields().required_text("records")?)?;
    let counts = if records.is_empty() {
        RecordCounts::default()
    } else {
        let outcome = change(&app, &id, DatasetChange::Upsert(records)).await?;
        let absent = || ApiError::absent(format!("Evaluation dataset with id '{id}' not found"));
        counts(outcome.ok_or_else(absent)?)
    };
    let (inserted_count, updated_count) = (counts.inserted, counts.updated);
    Ok(render::json(&Upserted { inserted_count, updated_count }))
}

fn counts(outcome: Outcome) -> RecordCounts {
    match outcome {
        Outcome::Records(counts) => counts,
        other => unreachable!("changing records answered {other:?}"),
    }
}

fn parse_records(text: &str) -> Result<Vec<NewDatasetRecord>, ApiError> {
    let value: Value = serde_json::from_str(text)
        .map_err(|error| ApiError::invalid(format!("'records' is no JSON: {error}")))?;
    match value {
        Value::Array(records) => records.into_iter().map(parse_record).collect(),
        Value::Object(map) if map.is_empty() => Ok(Vec::new()),
        _ => Err(ApiError::invalid("'records' must be a list of records")),
    }
}

fn parse_record(record: Value) -> Result<NewDatasetRecord, ApiError> {
    let Value::Object(mut record) = record else {
        return Err(ApiError::invalid(format!("A record must be an object, not {record}")));
    };
    let tags = object(&mut record, "tags")?;
    let user = tags.get(USER_TAG).and_then(Value::as_str).map(str::to_owned);
    Ok(NewDatasetRecord {
        inputs: object(&mut record, "inputs")?,
        outputs: record.remove("outputs").map(|outputs| Some(outputs).filter(|it| !it.is_null())),
        expectations: object(&mut record, "expectations")?,
        tags,
        source: record.remove("source").map_or(Ok(None), parse_source)?,
        user,
    })
}

/// An object of a record; empty if there is none.
fn object(record: &mut Map<String, Value>, name: &str) -> Result<Map<String, Value>, ApiError> {
    match record.remove(name) {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::Object(map)) => Ok(map),
        Some(other) => {
            let kind = python::type_name(&other);
            Err(ApiError::invalid(format!("'{name}' of a record must be a dict, not a {kind}")))
        }
    }
}

fn parse_source(source: Value) -> Result<Option<Value>, ApiError> {
    let Value::Object(mut source) = source else {
        return match source.is_null() {
            true => Ok(None),
            false => Err(ApiError::invalid("'source' of a record must be a dict")),
        };
    };
    let word = source.get("source_type").and_then(Value::as_str).unwrap_or_default();
    let word = word.to_uppercase();
    if !SOURCE_TYPES.contains(&word.as_str()) {
        let valid: Vec<String> = SOURCE_TYPES.into_iter().map(python::repr).collect();
        let valid = valid.join(", ");
        return Err(ApiError::invalid(format!(
            "Invalid dataset record source type: {word}. Valid source types: [{valid}]"
        )));
    }
    let data = source.remove("source_data").filter(Value::is_object).unwrap_or_else(|| json!({}));
    Ok(Some(json!({ "source_type": word, "source_data": data })))
}

pub(super) async fn get(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    message: Message,
) -> Result<Response, ApiError> {
    #[derive(Serialize)]
    struct Records {
        records: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        next_page_token: Option<String>,
    }
    let fields = message.fields();
    let given = fields.integer("max_results")?.filter(|given| *given != 0);
    let given = given.unwrap_or(DEFAULT_RESULTS);
    let limit = usize::try_from(given).map_err(|_| {
        invalid_value("max_results", &Value::from(given), "It must be a positive integer")
    })?;
    let after = fields.text("page_token")?.filter(|token| !token.is_empty());
    let after = after.map(parse_token).transpose()?;
    read(&app, move |snapshot| {
        let row = find(snapshot, &id)?;
        let dataset = row.as_ref().and_then(EvaluationDataset::of);
        let mut records = dataset.map(|dataset| dataset.records()).unwrap_or_default();
        records.retain(|(id, record)| {
            after.as_ref().is_none_or(|after| place(id, record) > (after.0, after.1, &after.2))
        });
        let more = records.len() > limit;
        records.truncate(limit);
        let token = |(id, record): &(&str, DatasetRecord)| {
            BASE64.encode(format!("{}:{}:{id}", record.created.0, record.place).as_bytes())
        };
        let next_page_token = records.last().filter(|_| more).map(token);
        let items: Vec<Value> =
            records.into_iter().map(|(record_id, record)| render(&id, record_id, record)).collect();
        Ok(render::json(&Records { records: Value::from(items).to_string(), next_page_token }))
    })
    .await
}

fn place<'a>(id: &'a str, record: &DatasetRecord) -> (u64, u32, &'a str) {
    (record.created.0, record.place, id)
}

fn parse_token(token: &str) -> Result<(u64, u32, String), ApiError> {
    let read = || {
        let text = String::from_utf8(BASE64.decode(token.as_bytes()).ok()?).ok()?;
        let mut parts = text.splitn(3, ':');
        let (created, place) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        Some((created, place, parts.next()?.to_owned()))
    };
    read().ok_or_else(|| ApiError::invalid(format!("Invalid page token: {token}")))
}

fn render(dataset_id: &str, record_id: &str, record: DatasetRecord) -> Value {
    let mut json = json!({
        "dataset_record_id": format!("{PREFIX}{record_id}"),
        "dataset_id": dataset_id,
        "inputs": record.inputs,
        "tags": record.tags,
        "created_time": record.created.millis(),
        "last_update_time": record.updated_ms,
    });
    let source_id = record.source.as_ref().and_then(|source| {
        let from_trace = source["source_type"] == "TRACE";
        let name = if from_trace { "trace_id" } else { "source_id" };
        source["source_data"].get(name).cloned()
    });
    let source_type = record.source.as_ref().map(|source| source["source_type"].clone());
    let optional = [
        ("outputs", record.outputs),
        ("expectations", record.expectations.map(Value::from)),
        ("source_id", source_id),
        ("source_type", source_type),
        ("source", record.source),
        ("created_by", record.created_by.map(Value::from)),
        ("last_updated_by", record.updated_by.map(Value::from)),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            json[name] = value;
        }
    }
    json
}

pub(super) async fn delete(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    message: Message,
) -> Result<Response, ApiError> {
    #[derive(Serialize)]
    struct Deleted {
        deleted_count: usize,
    }
    let ids = message.fields().texts("dataset_record_ids")?.into_iter();
    let ids = ids.filter_map(|id| id.strip_prefix(PREFIX)).map(str::to_owned).collect();
    let outcome = change(&app, &id, DatasetChange::DeleteRecords(ids)).await?;
    let deleted_count = outcome.map_or(0, |outcome| counts(outcome).deleted);
    Ok(render::json(&Deleted { deleted_count }))
}
