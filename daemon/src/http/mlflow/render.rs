//! Answers as protobuf's JSON: integers as numbers, what is unset left out, NaN and infinities as
//! texts.
//!
//! Everything is written straight from the rows it is read from, into one buffer.

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
/// A number that may be NaN or infinite: protobuf's JSON has the same words for these as the native API.
pub(crate) use runmesh_core::api::Value as Double;
use runmesh_core::ids::ExperimentId;
use runmesh_core::rows::{
    ArtifactRow, DatasetInput, ExperimentRow, KeyValue, ModelInput, ModelOutput, Point, RunRow,
    RunStatus,
};
use runmesh_core::store::ArtifactEntry;
use serde::{Serialize, Serializer};

/// A tag that MLflow keeps in step with the run's name.
pub(crate) const RUN_NAME_TAG: &str = "mlflow.runName";
/// A tag that holds the note of a run or an experiment.
pub(crate) const NOTE_TAG: &str = "mlflow.note.content";

/// A body of JSON.
pub(crate) fn json(answer: &impl Serialize) -> Response {
    let body = serde_json::to_vec(answer).expect("answers have text keys and plain values");
    json_bytes(body)
}

/// A body that is JSON already.
pub(crate) fn json_bytes(body: impl Into<axum::body::Body>) -> Response {
    let json = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, json)], body.into()).into_response()
}

/// An empty message: it is done.
pub(crate) fn done() -> Response {
    json_bytes("{}")
}

#[derive(Serialize)]
pub(crate) struct KeyValueJson<'a> {
    key: &'a str,
    value: &'a str,
}

/// The tags of a run or an experiment with those that stand for fields of ours, by key.
fn tags_with<'a, T: AsRef<str>>(
    tags: &'a [KeyValue<T>],
    extra: &[(&'a str, &'a str)],
) -> Vec<KeyValueJson<'a>> {
    let own =
        tags.iter().map(|tag| KeyValueJson { key: tag.key.as_ref(), value: tag.value.as_ref() });
    let extra = extra.iter().filter(|(_, value)| !value.is_empty());
    let extra = extra.map(|(key, value)| KeyValueJson { key, value });
    let mut all: Vec<_> = own.chain(extra).collect();
    all.sort_unstable_by_key(|tag| tag.key);
    all
}

/// An experiment.
#[derive(Serialize)]
pub(crate) struct ExperimentJson<'a> {
    experiment_id: String,
    name: &'a str,
    artifact_location: String,
    lifecycle_stage: &'static str,
    last_update_time: i64,
    creation_time: i64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<KeyValueJson<'a>>,
}

impl<'a> From<&'a ExperimentRow> for ExperimentJson<'a> {
    fn from(row: &'a ExperimentRow) -> Self {
        let location = row.artifact_location.clone();
        let artifact_location = location.unwrap_or_else(|| default_location(row.id));
        Self {
            experiment_id: row.id.to_string(),
            name: &row.name,
            artifact_location,
            lifecycle_stage: row.lifecycle.as_str(),
            last_update_time: row.updated_ms,
            creation_time: row.created_ms,
            tags: tags_with(&row.tags, &[(NOTE_TAG, &row.description)]),
        }
    }
}

/// A run's own fields.
#[derive(Serialize)]
pub(crate) struct RunInfoJson<'a> {
    run_uuid: String,
    experiment_id: String,
    run_name: &'a str,
    user_id: &'a str,
    status: &'static str,
    start_time: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_time: Option<i64>,
    artifact_uri: String,
    lifecycle_stage: &'static str,
    run_id: String,
}

impl<'a> RunInfoJson<'a> {
    /// The fields of a run whose experiment has its artifacts at `location`.
    pub(crate) fn new<T: AsRef<str>>(row: &'a RunRow<T>, location: Option<&str>) -> Self {
        let run_id = row.id.to_string();
        Self {
            run_uuid: run_id.clone(),
            experiment_id: row.experiment.to_string(),
            run_name: row.name.as_ref(),
            user_id: row.user.as_ref(),
            status: row.status.as_str(),
            start_time: row.start_ms,
            end_time: row.end_ms,
            artifact_uri: artifact_uri(row, location),
            lifecycle_stage: row.lifecycle.as_str(),
            run_id,
        }
    }
}

/// Where an experiment has its artifacts unless it was given another place: at this server.
pub(crate) fn default_location(experiment: ExperimentId) -> String {
    format!("mlflow-artifacts:/{experiment}")
}

/// Where a run's artifacts are, as clients are told. A query at the location's end stays there.
pub(crate) fn artifact_uri<T>(row: &RunRow<T>, location: Option<&str>) -> String {
    match location {
        None => format!("mlflow-artifacts:/{}/{}/artifacts", row.experiment, row.id),
        Some(location) => below(location, &format!("{}/artifacts", row.id)),
    }
}

/// A path below a location; a query at the location's end stays there.
pub(crate) fn below(location: &str, path: &str) -> String {
    let (root, query) = location.split_at(location.find('?').unwrap_or(location.len()));
    let root = root.strip_suffix('/').unwrap_or(root);
    format!("{root}/{path}{query}")
}

/// A run.
#[derive(Serialize)]
pub(crate) struct RunJson<'a, T = String> {
    info: RunInfoJson<'a>,
    data: RunDataJson<'a, T>,
    inputs: RunInputsJson<'a>,
    outputs: RunOutputsJson<'a>,
}

#[derive(Serialize)]
struct RunDataJson<'a, T> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    metrics: Vec<MetricJson<'a>>,
    #[serde(skip_serializing_if = "slice_is_empty")]
    params: &'a [KeyValue<T>],
    tags: Vec<KeyValueJson<'a>>,
}

#[derive(Serialize)]
struct RunInputsJson<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    dataset_inputs: Vec<DatasetInputJson<'a>>,
    #[serde(skip_serializing_if = "slice_is_empty")]
    model_inputs: &'a [ModelInput],
}

#[derive(Serialize)]
struct RunOutputsJson<'a> {
    #[serde(skip_serializing_if = "slice_is_empty")]
    model_outputs: &'a [ModelOutput],
}

fn slice_is_empty<T>(slice: &&[T]) -> bool {
    slice.is_empty()
}

impl<'a, T: AsRef<str>> RunJson<'a, T> {
    /// A run whose experiment has its artifacts at `location`.
    pub(crate) fn new(row: &'a RunRow<T>, location: Option<&str>) -> Self {
        let extra = [(RUN_NAME_TAG, row.name.as_ref()), (NOTE_TAG, row.description.as_ref())];
        Self {
            info: RunInfoJson::new(row, location),
            data: RunDataJson {
                metrics: latest_metrics(row),
                params: &row.params,
                tags: tags_with(&row.tags, &extra),
            },
            inputs: RunInputsJson {
                dataset_inputs: row.datasets.iter().map(DatasetInputJson::from).collect(),
                model_inputs: &row.model_inputs,
            },
            outputs: RunOutputsJson { model_outputs: &row.model_outputs },
        }
    }
}

/// The latest point by key: a run that measured several models has one series for each.
fn latest_metrics<T: AsRef<str>>(row: &RunRow<T>) -> Vec<MetricJson<'_>> {
    row.latest_metrics().map(|(key, point)| MetricJson::new(key, point)).collect()
}

/// A point of a metric.
#[derive(Serialize)]
pub(crate) struct MetricJson<'a> {
    key: &'a str,
    value: Double,
    timestamp: i64,
    step: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    run_id: Option<&'a str>,
}

impl<'a> MetricJson<'a> {
    /// A point of a metric of one run that the client knows.
    pub(crate) const fn new(key: &'a str, point: &Point) -> Self {
        let value = Double(point.value);
        Self { key, value, timestamp: point.timestamp_ms, step: point.step, run_id: None }
    }

    /// A point of a metric of one run out of several.
    pub(crate) const fn of_run(key: &'a str, point: &Point, run_id: &'a str) -> Self {
        let mut metric = Self::new(key, point);
        metric.run_id = Some(run_id);
        metric
    }
}

#[derive(Serialize)]
struct DatasetInputJson<'a> {
    #[serde(skip_serializing_if = "slice_is_empty")]
    tags: &'a [KeyValue],
    dataset: DatasetJson<'a>,
}

#[derive(Serialize)]
struct DatasetJson<'a> {
    name: &'a str,
    digest: &'a str,
    source_type: &'a str,
    source: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    schema: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<&'a str>,
}

impl<'a> From<&'a DatasetInput> for DatasetInputJson<'a> {
    fn from(input: &'a DatasetInput) -> Self {
        let dataset = DatasetJson {
            name: &input.name,
            digest: &input.digest,
            source_type: &input.source_type,
            source: &input.source,
            schema: input.schema.as_deref(),
            profile: input.profile.as_deref(),
        };
        Self { tags: &input.tags, dataset }
    }
}

/// A file or a folder of artifacts.
#[derive(Serialize)]
pub(crate) struct FileJson {
    path: String,
    is_dir: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    file_size: Option<u64>,
}

impl FileJson {
    /// A folder.
    pub(crate) const fn folder(path: String) -> Self {
        Self { path, is_dir: true, file_size: None }
    }
}

impl From<ArtifactEntry> for FileJson {
    fn from(entry: ArtifactEntry) -> Self {
        match entry {
            ArtifactEntry::Folder(path) => Self::folder(path),
            ArtifactEntry::File(ArtifactRow { path, size, .. }) => {
                Self { path, is_dir: false, file_size: Some(size) }
            }
        }
    }
}

/// A page of a list, under the list's own name.
pub(crate) struct Page<'a, T> {
    /// What the list is called.
    pub(crate) name: &'static str,
    /// Its elements; left out if there are none.
    pub(crate) items: &'a [T],
    /// The token of the next page, if there is one.
    pub(crate) next: Option<String>,
}

impl<T: Serialize> Serialize for Page<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        let mut map = serializer.serialize_map(None)?;
        if !self.items.is_empty() {
            map.serialize_entry(self.name, self.items)?;
        }
        if let Some(next) = &self.next {
            map.serialize_entry("next_page_token", next)?;
        }
        map.end()
    }
}

/// A page whose elements are written as they come. Like any, it is left out if it has none.
pub(crate) struct GrowingPage {
    body: Vec<u8>,
    length: usize,
}

impl GrowingPage {
    /// A page of the list of this name.
    pub(crate) fn new(name: &'static str) -> Self {
        Self { body: format!("{{\"{name}\":[").into_bytes(), length: 0 }
    }

    /// Adds an element.
    pub(crate) fn push(&mut self, item: &impl Serialize) {
        if self.length > 0 {
            self.body.push(b',');
        }
        self.length += 1;
        self.write(item);
    }

    /// How many elements it has.
    pub(crate) const fn len(&self) -> usize {
        self.length
    }

    /// The answer, with the token of the next page if there is one.
    pub(crate) fn end(mut self, next: Option<&str>) -> Response {
        if self.length == 0 {
            return done();
        }
        self.body.push(b']');
        if let Some(next) = next {
            self.body.extend_from_slice(b",\"next_page_token\":");
            self.write(next);
        }
        self.body.push(b'}');
        json_bytes(self.body)
    }

    fn write(&mut self, value: &(impl Serialize + ?Sized)) {
        let written = serde_json::to_writer(&mut self.body, value);
        written.expect("answers have text keys and plain values");
    }
}

/// The words for how far a run has come, in the order of their numbers.
pub(crate) const STATUSES: [(&str, RunStatus); 5] = [
    ("RUNNING", RunStatus::Running),
    ("SCHEDULED", RunStatus::Scheduled),
    ("FINISHED", RunStatus::Finished),
    ("FAILED", RunStatus::Failed),
    ("KILLED", RunStatus::Killed),
];
