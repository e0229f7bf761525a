//! What is asked and answered about experiments, runs and their files.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Named, Value};
use crate::ids::{BlobHash, RunId};
use crate::rows::{DatasetInput, KeyValue, Lifecycle, MetricContext, ModelOutput, RunStatus};

/// An element of the answer to `GET experiments`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Experiment {
    /// What clients call it: a decimal number.
    pub id: String,
    /// Its name.
    pub name: String,
    /// In use or deleted.
    pub lifecycle: Lifecycle,
    /// How many runs it has that are not deleted.
    pub runs: u64,
    /// When it was created.
    pub created_ms: i64,
    /// When it was last renamed, deleted or restored.
    pub updated_ms: i64,
    /// Its note.
    pub description: String,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

/// `POST runs/search`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RunSearch {
    /// Experiments to search, by name or id; none means all that are not deleted.
    #[serde(default)]
    pub experiments: Vec<String>,
    /// What to find, in MLflow's search language; empty finds all. It also knows `attributes.duration`, in
    /// milliseconds, and `attributes.device`, a device's name or the start of its id.
    #[serde(default)]
    pub filter: String,
    /// In which order, in MLflow's search language, by these too.
    #[serde(default)]
    pub order_by: Vec<String>,
    /// How many to return at most.
    pub limit: usize,
    /// Whether deleted runs are searched instead of those in use.
    #[serde(default)]
    pub deleted: bool,
}

/// The answer to `POST runs/search`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FoundRuns {
    /// The runs, in order.
    pub runs: Vec<Run>,
    /// Whether there are more.
    pub more: bool,
}

/// A run as lists show it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Run {
    /// Which.
    pub id: RunId,
    /// The experiment it belongs to.
    pub experiment: Named<String>,
    /// Its name.
    pub name: String,
    /// Who ran it, as the client says.
    pub user: String,
    /// How far it has come.
    pub status: RunStatus,
    /// In use or deleted.
    pub lifecycle: Lifecycle,
    /// When it started.
    pub start_ms: i64,
    /// When it ended.
    pub end_ms: Option<i64>,
    /// Its note.
    pub description: String,
    /// Its params.
    pub params: BTreeMap<String, String>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// The latest value of each metric.
    pub metrics: BTreeMap<String, Value>,
    /// Params that were set to two values on devices that were apart.
    pub conflicted_params: Vec<String>,
}

/// The answer to `GET runs/ID`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RunDetails {
    /// What lists show of it.
    #[serde(flatten)]
    pub run: Run,
    /// Its series.
    pub series: Vec<MetricSummary>,
    /// Datasets it read, as (name, digest).
    pub datasets: Vec<KeyValue>,
    /// The same datasets, with all that is known of them.
    #[serde(default)]
    pub inputs: Vec<DatasetInput>,
    /// Logged models it produced.
    #[serde(default)]
    pub outputs: Vec<ModelOutput>,
    /// What stands at the top of its artifacts.
    pub artifacts: Vec<Artifact>,
}

/// A series, drawn small.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MetricSummary {
    /// The metric's name.
    pub key: String,
    /// What else it belongs to.
    pub context: MetricContext,
    /// The latest point's step.
    pub step: i64,
    /// The latest point's time.
    pub timestamp_ms: i64,
    /// The latest point's value.
    pub value: Value,
    /// How many points there are.
    pub points: u64,
    /// The least of the values that are numbers.
    pub min: Option<Value>,
    /// The greatest of the values that are numbers.
    pub max: Option<Value>,
    /// At most [`MAX_TREND`](super::MAX_TREND) values of the history at even distances, the first and the last
    /// among them.
    pub trend: Vec<Value>,
}

/// A file or folder of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Artifact {
    /// Its path within the run.
    pub path: String,
    /// What it is, if it is a file.
    pub file: Option<ArtifactFile>,
}

/// A file of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ArtifactFile {
    /// The hash of its bytes.
    pub blob: BlobHash,
    /// How many there are.
    pub size: u64,
    /// Whether they are on this device. If not, reading it fetches them from a peer.
    pub here: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_may_leave_out_what_has_a_default() {
        let search: RunSearch = serde_json::from_str("{\"limit\": 3}").expect("a search");
        assert_eq!(search, RunSearch { limit: 3, ..Default::default() });
    }
}
