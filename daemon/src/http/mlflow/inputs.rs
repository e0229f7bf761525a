//! What a run read and produced: datasets and logged models; and the old list of models in a tag.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use runmesh_core::action::{Action, LogBatch, RunChange};
use runmesh_core::rows::{DatasetInput, KeyValue, ModelInput, ModelOutput};
use serde_json::{Map, Value};
use tokio::sync::Mutex;

use super::error::ApiError;
use super::limits::check_length;
use super::message::{Fields, Message, missing};
use super::{act, limits, python, render, runs};
use crate::app::App;

/// The tag in which old clients keep the models of a run, as a JSON list.
const MODELS_TAG: &str = "mlflow.log-model.history";

pub(super) async fn log_inputs(
    State(app): State<Arc<App>>,
    message: Message,
) -> Result<Response, ApiError> {
    let fields = message.fields();
    let run_id = fields.run_id()?;
    limits::check_run_id(run_id)?;
    let datasets =
        fields.messages("datasets")?.into_iter().map(dataset).collect::<Result<_, _>>()?;
    let model = |model: Fields<'_>| {
        Ok::<_, ApiError>(ModelInput { model_id: model.required_text("model_id")?.to_owned() })
    };
    let models = fields.messages("models")?.into_iter().map(model).collect::<Result<_, _>>()?;
    let id = runs::parse_id(run_id)?;
    act(&app, Action::LogInputs { id, datasets, models }).await?;
    Ok(render::done())
}

fn dataset(input: Fields<'_>) -> Result<DatasetInput, ApiError> {
    let dataset = input.message("dataset")?;
    let dataset = dataset.ok_or_else(|| ApiError::invalid("Dataset cannot be None"))?;
    let limited = |name: &str, limit| -> Result<Option<String>, ApiError> {
        let Some(text) = dataset.text(name)? else { return Ok(None) };
        check_length(name, limit, text)?;
        Ok(Some(text.to_owned()))
    };
    let required = |name: &str, limit| {
        let absent = || ApiError::invalid(format!("Dataset {name} cannot be None"));
        limited(name, limit)?.ok_or_else(absent)
    };
    let mut tags = BTreeMap::new();
    for tag in input.messages("tags")? {
        let [key, value] = ["key", "value"].map(|field| {
            let absent = || ApiError::invalid(format!("InputTag {field} cannot be None"));
            tag.text(field)?.ok_or_else(absent)
        });
        let (key, value) = (key?, value?);
        check_length("key", limits::MAX_INPUT_TAG_KEY_CHARS, key)?;
        check_length("value", limits::MAX_INPUT_TAG_VALUE_CHARS, value)?;
        tags.insert(key, value);
    }
    Ok(DatasetInput {
        name: required("name", limits::MAX_DATASET_NAME_CHARS)?,
        digest: required("digest", limits::MAX_DATASET_DIGEST_CHARS)?,
        // MLflow sets no limit, but what it is for is a word.
        source_type: required("source_type", limits::MAX_DATASET_NAME_CHARS)?,
        source: required("source", limits::MAX_DATASET_SOURCE_CHARS)?,
        schema: limited("schema", limits::MAX_DATASET_SCHEMA_CHARS)?,
        profile: limited("profile", limits::MAX_DATASET_PROFILE_CHARS)?,
        tags: tags.into_iter().map(|(key, value)| KeyValue::new(key, value)).collect(),
    })
}

pub(super) async fn log_outputs(
    State(app): State<Arc<App>>,
    message: Message,
) -> Result<Response, ApiError> {
    let fields = message.fields();
    let id = runs::parse_id(fields.run_id()?)?;
    let models = fields.messages("models")?;
    if models.is_empty() {
        return Err(missing("models"));
    }
    let model = |model: Fields<'_>| {
        let model_id = model.required_text("model_id")?.to_owned();
        Ok::<_, ApiError>(ModelOutput {
            model_id,
            step: model.integer("step")?.unwrap_or_default(),
        })
    };
    let models = models.into_iter().map(model).collect::<Result<_, _>>()?;
    act(&app, Action::LogOutputs { id, models }).await?;
    Ok(render::done())
}

/// Adds a model to the list that clients before MLflow 3 keep in a tag.
pub(super) async fn log_model(
    State(app): State<Arc<App>>,
    message: Message,
) -> Result<Response, ApiError> {
    /// One at a time: the tag is read, then written.
    static TURN: Mutex<()> = Mutex::const_new(());

    let fields = message.fields();
    let run = runs::parse_id(fields.run_id()?)?;
    let entry = models_entry(fields.required_text("model_json")?)?;
    let _turn = TURN.lock().await;
    let row = runs::find(&app.workspace.fresh().await?, run)?;
    let mut models: Vec<Value> = match row.tag(MODELS_TAG) {
        // What is no list was put there by hand; MLflow fails on it for ever, we start anew.
        Some(text) => serde_json::from_str(text).unwrap_or_default(),
        None => Vec::new(),
    };
    models.push(entry);
    let tags = vec![KeyValue::new(MODELS_TAG, Value::Array(models).to_string())];
    let (metrics, params) = Default::default();
    let change = RunChange::default();
    act(&app, Action::Log(LogBatch { run, metrics, params, tags, change })).await?;
    Ok(render::done())
}

/// What the list keeps of a model.
fn models_entry(model_json: &str) -> Result<Value, ApiError> {
    const REQUIRED: [&str; 4] = ["artifact_path", "flavors", "utc_time_created", "run_id"];
    let Ok(Value::Object(mut model)) = serde_json::from_str::<Value>(model_json) else {
        let message = format!("Malformed model info. \n {model_json} \n is not a valid JSON.");
        return Err(ApiError::invalid(message));
    };
    let absent: Vec<String> =
        REQUIRED.into_iter().filter(|key| !model.contains_key(*key)).map(python::repr).collect();
    if !absent.is_empty() {
        let absent = absent.join(", ");
        let message = format!("Model json is missing mandatory fields: {{{absent}}}");
        return Err(ApiError::invalid(message));
    }
    let mut entry: Map<String, Value> =
        ["run_id", "utc_time_created", "artifact_path", "model_uuid"]
            .into_iter()
            .map(|key| (key.to_owned(), model.remove(key).unwrap_or_default()))
            .collect();
    let mut flavors = model.remove("flavors").unwrap_or_default();
    for flavor in flavors.as_object_mut().into_iter().flat_map(Map::values_mut) {
        if let Some(flavor) = flavor.as_object_mut() {
            flavor.remove("config");
        }
    }
    entry.insert("flavors".to_owned(), flavors);
    Ok(Value::Object(entry))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_models_keeps_what_mlflow_keeps() {
        let model = r#"{"run_id": "r", "artifact_path": "m", "utc_time_created": "now", "size": 7,
                        "flavors": {"sklearn": {"config": {"a": 1}, "code": null}}}"#;
        let entry = models_entry(model).expect("a model");
        let expected = serde_json::json!({
            "run_id": "r", "artifact_path": "m", "utc_time_created": "now", "model_uuid": null,
            "flavors": {"sklearn": {"code": null}},
        });
        assert_eq!(entry, expected);
        assert!(models_entry("[]").expect_err("a list").message.starts_with("Malformed"));
        let error = models_entry("{\"run_id\": \"r\"}").expect_err("incomplete").message;
        assert!(error.contains("'artifact_path'") && !error.contains("'run_id'"), "{error}");
    }
}
