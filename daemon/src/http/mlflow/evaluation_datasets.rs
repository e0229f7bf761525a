//! Evaluation datasets: create, get, search, delete, tags, experiments. Their records are in
//! `dataset_records`.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use data_encoding::HEXLOWER;
use runmesh_core::action::{Action, DatasetChange, NewDataset, Outcome, Refusal};
use runmesh_core::ids::{DocumentId, DocumentKind, ExperimentId};
use runmesh_core::rows::{DatasetSummary, DocumentRow, EvaluationDataset, KeyValue};
use runmesh_core::search::{
    EVALUATION_DATASETS, RowQuery, parse_filter, parse_order, search_datasets,
};
use runmesh_core::store::Snapshot;
use serde::Serialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::error::ApiError;
use super::message::{Fields, Message};
use super::render::{self, Page};
use super::{act, limits, page, python, read, search};
use crate::WriteError;
use crate::app::App;

/// What the id of a dataset starts with.
const PREFIX: &str = "d-";
/// The tag by which a client says who it is.
pub(super) const USER_TAG: &str = "mlflow.user";
/// The elements of a page, unless asked for another number.
const DEFAULT_RESULTS: i64 = 1000;

/// Reads a dataset's id, if it is one.
pub(super) fn parse_id(text: &str) -> Option<DocumentId> {
    let id = HEXLOWER.decode(text.strip_prefix(PREFIX)?.as_bytes()).ok()?;
    Some(DocumentId::new(DocumentKind::EvaluationDataset, id.try_into().ok()?))
}

pub(super) fn id_text(document: &DocumentId) -> String {
    format!("{PREFIX}{}", HEXLOWER.encode(document.id()))
}

/// The row of a dataset that is not deleted.
pub(super) fn find(snapshot: &Snapshot, id: &str) -> Result<Option<DocumentRow>, ApiError> {
    let Some(document) = parse_id(id) else { return Ok(None) };
    let row = snapshot.document(&document)?;
    Ok(row.filter(|row| EvaluationDataset::of(row).is_some()))
}

#[derive(Serialize)]
struct DatasetJson<'a> {
    dataset_id: String,
    name: &'a str,
    /// Itself JSON, as are the schema and the profile.
    tags: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    schema: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<String>,
    digest: String,
    created_time: i64,
    last_update_time: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_by: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_updated_by: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    experiment_ids: Vec<String>,
}

impl<'a> From<&'a DatasetSummary> for DatasetJson<'a> {
    fn from(dataset: &'a DatasetSummary) -> Self {
        let [inputs, outputs, expectations] = &dataset.kinds;
        let schema = json!({
            "inputs": inputs,
            "outputs": outputs,
            "expectations": expectations,
            "version": "1.0",
        });
        let any = dataset.count > 0;
        Self {
            dataset_id: id_text(&dataset.document),
            name: &dataset.name,
            tags: json!(dataset.tags).to_string(),
            schema: any.then(|| schema.to_string()),
            profile: any.then(|| json!({ "num_records": dataset.count }).to_string()),
            digest: digest(&dataset.name, dataset.updated_ms),
            created_time: dataset.created_ms,
            last_update_time: dataset.updated_ms,
            created_by: dataset.created_by.as_deref(),
            last_updated_by: dataset.updated_by.as_deref(),
            experiment_ids: Vec::new(),
        }
    }
}

/// As MLflow computes it, so that a dataset that moves here keeps its digest until it changes.
fn digest(name: &str, updated_ms: i64) -> String {
    let hash = Sha256::digest(format!("{name}:{updated_ms}"));
    HEXLOWER.encode(&hash[..4])
}

#[derive(Serialize)]
struct OneDataset<'a> {
    dataset: DatasetJson<'a>,
}

fn answer(outcome: Outcome, experiment_ids: Vec<String>) -> Response {
    let Outcome::Document(row) = outcome else {
        unreachable!("changing a dataset answered {outcome:?}")
    };
    let dataset = EvaluationDataset::of(&row).expect("what was just written is there").summary();
    let dataset = DatasetJson { experiment_ids, ..DatasetJson::from(&dataset) };
    render::json(&OneDataset { dataset })
}

pub(super) async fn create(
    State(app): State<Arc<App>>,
    message: Message,
) -> Result<Response, ApiError> {
    let fields = message.fields();
    let name = fields.required_text("name")?;
    limits::check_length("name", limits::MAX_DATASET_NAME_CHARS, name)?;
    let tags = match fields.text("tags")?.filter(|tags| !tags.is_empty()) {
        Some(tags) => parse_tags(tags)?,
        None => Vec::new(),
    };
    let user = tags.iter().find(|tag| tag.key == USER_TAG).map(|tag| tag.value.clone());
    let experiments = experiments_of(fields)?;
    let ids = experiments.iter().map(ToString::to_string).collect();
    let document = DocumentId::new(DocumentKind::EvaluationDataset, rand::random());
    let name = name.to_owned();
    let new = NewDataset { document, name, user, tags, experiments };
    Ok(answer(act(&app, Action::CreateDataset(new)).await?, ids))
}

/// Reads tags, which come as JSON in a text. What is no text is written as Python writes it.
fn parse_tags(text: &str) -> Result<Vec<KeyValue>, ApiError> {
    let map: Map<String, Value> = serde_json::from_str(text)
        .map_err(|error| ApiError::invalid(format!("'tags' is no JSON object: {error}")))?;
    let mut tags = Vec::with_capacity(map.len());
    for (key, value) in map {
        let value = match value {
            Value::Null => continue,
            Value::String(text) => text,
            Value::Bool(true) => "True".to_owned(),
            Value::Bool(false) => "False".to_owned(),
            other => other.to_string(),
        };
        limits::check_length("tags.key", limits::MAX_LOGGED_MODEL_KEY_CHARS, &key)?;
        limits::check_length("tags.value", limits::MAX_LOGGED_MODEL_VALUE_CHARS, &value)?;
        tags.push(KeyValue { key, value });
    }
    Ok(tags)
}

fn experiments_of(fields: Fields<'_>) -> Result<Vec<ExperimentId>, ApiError> {
    let experiment = |text: &str| {
        let absent = || ApiError::absent(format!("No Experiment with id={text}"));
        text.parse().map(ExperimentId).map_err(|_| absent())
    };
    fields.texts("experiment_ids")?.into_iter().map(experiment).collect()
}

pub(super) async fn get(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    read(&app, move |snapshot| {
        let row = find(snapshot, &id)?;
        let dataset = row.as_ref().and_then(EvaluationDataset::of).map(|dataset| dataset.summary());
        let absent = || ApiError::absent(format!("Evaluation dataset with id '{id}' not found"));
        let dataset = dataset.ok_or_else(absent)?;
        Ok(render::json(&OneDataset { dataset: DatasetJson::from(&dataset) }))
    })
    .await
}

/// Carries a change out; none if there is no such dataset.
pub(super) async fn change(
    app: &App,
    id: &str,
    change: DatasetChange,
) -> Result<Option<Outcome>, ApiError> {
    let Some(document) = parse_id(id) else { return Ok(None) };
    match app.workspace.act(Action::UpdateDataset { document, change }).await {
        Ok(outcome) => Ok(Some(outcome)),
        Err(WriteError::Refused(Refusal::NoSuchDocument(_))) => Ok(None),
        Err(WriteError::Refused(Refusal::NoSuchExperiment(id))) => {
            Err(ApiError::absent(format!("No Experiment with id={id}")))
        }
        Err(error) => Err(error.into()),
    }
}

pub(super) async fn delete(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    change(&app, &id, DatasetChange::Delete).await?;
    Ok(render::done())
}

pub(super) async fn set_tags(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    message: Message,
) -> Result<Response, ApiError> {
    let tags = parse_tags(message.fields().required_text("tags")?)?;
    let changed = change(&app, &id, DatasetChange::SetTags(tags)).await?;
    let absent = || ApiError::absent(format!("Could not find evaluation dataset with ID {id}"));
    changed.map(|_| render::done()).ok_or_else(absent)
}

pub(super) async fn delete_tag(
    State(app): State<Arc<App>>,
    Path((id, key)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    change(&app, &id, DatasetChange::DeleteTag(key)).await?;
    Ok(render::done())
}

pub(super) async fn experiment_ids(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    read(&app, move |snapshot| {
        let row = find(snapshot, &id)?;
        let dataset = row.as_ref().and_then(EvaluationDataset::of);
        let ids = dataset.into_iter().flat_map(|dataset| dataset.experiments());
        let items: Vec<String> = ids.map(|id| id.to_string()).collect();
        Ok(render::json(&Page { name: "experiment_ids", items: &items, next: None }))
    })
    .await
}

pub(super) async fn add_to_experiments(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    message: Message,
) -> Result<Response, ApiError> {
    let experiments = experiments_of(message.fields())?;
    changed(&app, &id, DatasetChange::AddTo(experiments)).await
}

pub(super) async fn remove_from_experiments(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    message: Message,
) -> Result<Response, ApiError> {
    let experiments = experiments_of(message.fields())?;
    changed(&app, &id, DatasetChange::RemoveFrom(experiments)).await
}

async fn changed(app: &App, id: &str, what: DatasetChange) -> Result<Response, ApiError> {
    let outcome = change(app, id, what).await?;
    let absent = || ApiError::absent(format!("Dataset {} not found", python::repr(id)));
    Ok(answer(outcome.ok_or_else(absent)?, Vec::new()))
}

pub(super) async fn search(
    State(app): State<Arc<App>>,
    message: Message,
) -> Result<Response, ApiError> {
    let fields = message.fields();
    let limit = search::page_limit(fields.integer("max_results")?.unwrap_or(DEFAULT_RESULTS))?;
    let page = page::Asked::read("evaluation datasets", fields)?;
    let filter = fields.text("filter_string")?.unwrap_or_default();
    let query = RowQuery {
        clauses: parse_filter(&EVALUATION_DATASETS, filter)?,
        order: parse_order(&EVALUATION_DATASETS, &fields.texts("order_by")?)?,
        start: page.start.clone(),
        limit,
    };
    let experiments = experiments_of(fields)?;
    read(&app, move |snapshot| {
        let found = search_datasets(snapshot, &experiments, &query)?;
        let items: Vec<_> = found.rows.iter().map(DatasetJson::from).collect();
        let next = found.next.map(|key| page.next(items.len(), &key));
        Ok(render::json(&Page { name: "datasets", items: &items, next }))
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_digest_is_mlflows() {
        // Of a dataset that MLflow 3.17.2 created.
        assert_eq!(digest("d1", 1_795_638_671_929), "962bd17c");
    }

    #[test]
    fn tags_are_written_as_python_writes_them() {
        let tags = parse_tags(r#"{"a": "b", "n": 5, "t": true, "x": null}"#).expect("an object");
        let tags: BTreeMap<_, _> = tags.into_iter().map(|tag| (tag.key, tag.value)).collect();
        let expected = [("a", "b"), ("n", "5"), ("t", "True")];
        assert!(tags.iter().map(|(key, value)| (key.as_str(), value.as_str())).eq(expected));
        assert!(parse_tags("[]").is_err() && parse_tags("x").is_err());
    }

    #[test]
    fn an_id_has_one_form() {
        let document = DocumentId::new(DocumentKind::EvaluationDataset, [0xab; 16]);
        let id = id_text(&document);
        assert_eq!(parse_id(&id), Some(document));
        assert!(parse_id(&id.to_uppercase()).is_none() && parse_id("d-1").is_none());
    }
}
