//! Rows of the index: what queries answer with.
//!
//! Rows are derived. A run's row holds all that a search returns, so that answering needs neither
//! its document nor its series. Maps are kept as vectors sorted by key: they are read far more
//! often than changed. The texts that every run has are `T`: a `String`, or a `&str` where a row is
//! read as it lies in the store.

mod document;
mod evaluation_dataset;
mod logged_model;
mod row_cursor;
mod scorer;
mod trace;

use serde::{Deserialize, Serialize};

pub use self::document::DocumentRow;
pub use self::evaluation_dataset::{DatasetRecord, DatasetSummary, EvaluationDataset};
pub use self::logged_model::{LoggedModel, ModelStatus};
pub(crate) use self::row_cursor::{RowCursor, RunHead, cut_short, damaged_run};
pub(crate) use self::scorer::version_json;
pub use self::scorer::{Scorer, ScorerVersion};
pub use self::trace::TraceRow;
use crate::clock::Clock;
use crate::ids::{BlobHash, DocumentId, ExperimentId, RunId};
use crate::store::StoreError;

/// Whether an experiment or a run is in use or in the bin. Deleting is always reversible.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Lifecycle {
    /// In use.
    #[default]
    Active,
    /// In the bin; can be restored.
    Deleted,
}

impl Lifecycle {
    /// The word that documents and clients use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Deleted => "deleted",
        }
    }
}

/// How far a run has come. The words are MLflow's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "UPPERCASE")]
pub enum RunStatus {
    /// Logging.
    #[default]
    Running,
    /// Waiting for a machine.
    Scheduled,
    /// Ended well.
    Finished,
    /// Ended badly.
    Failed,
    /// Stopped from outside.
    Killed,
}

impl RunStatus {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Running, Self::Scheduled, Self::Finished, Self::Failed, Self::Killed];

    /// The word that documents and clients use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "RUNNING",
            Self::Scheduled => "SCHEDULED",
            Self::Finished => "FINISHED",
            Self::Failed => "FAILED",
            Self::Killed => "KILLED",
        }
    }

    /// The status of this word, in upper case.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }
}

/// A key and its value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct KeyValue<T = String> {
    /// The key.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub key: T,
    /// The value.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub value: T,
}

impl KeyValue {
    /// A pair.
    pub fn new(key: impl Into<String>, value: impl Into<String>) -> Self {
        Self { key: key.into(), value: value.into() }
    }
}

/// What else a metric belongs to, as MLflow 3 has it. Empty strings mean "nothing".
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MetricContext {
    /// The logged model that was measured.
    pub model_id: String,
    /// The dataset it was measured on.
    pub dataset_name: String,
    /// The digest of that dataset.
    pub dataset_digest: String,
}

/// One point of a series.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// The step, which may be negative.
    pub step: i64,
    /// Milliseconds since 1970, by the client's clock.
    pub timestamp_ms: i64,
    /// The value; NaN and infinities are kept bit for bit.
    pub value: f64,
}

impl Point {
    /// The order in which MLflow returns a history: timestamp, step, value.
    pub fn history_order(&self, other: &Self) -> std::cmp::Ordering {
        (self.timestamp_ms, self.step)
            .cmp(&(other.timestamp_ms, other.step))
            .then_with(|| self.value.total_cmp(&other.value))
    }

    /// The order in which MLflow decides which point is the latest: step, timestamp, value, where
    /// NaN counts as zero (SqlAlchemyStore stores it so). Bits break what is then still a tie.
    pub fn latest_order(&self, other: &Self) -> std::cmp::Ordering {
        let ranked = |value: f64| if value.is_nan() { 0.0 } else { value };
        (self.step, self.timestamp_ms)
            .cmp(&(other.step, other.timestamp_ms))
            .then_with(|| ranked(self.value).total_cmp(&ranked(other.value)))
            .then_with(|| self.value.to_bits().cmp(&other.value.to_bits()))
    }
}

/// A point and the series it belongs to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metric<T = String> {
    /// The metric's name.
    pub key: T,
    /// What else it belongs to.
    pub context: MetricContext,
    /// The point.
    pub point: Point,
}

/// A dataset that a run read. Its identity is (name, digest).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DatasetInput {
    /// The dataset's name.
    pub name: String,
    /// The dataset's digest.
    pub digest: String,
    /// What kind of source it has.
    pub source_type: String,
    /// The source, as the client describes it.
    pub source: String,
    /// The schema, as the client describes it.
    pub schema: Option<String>,
    /// Summary statistics, as the client describes them.
    pub profile: Option<String>,
    /// Tags of the use of the dataset by this run, sorted by key.
    pub tags: Vec<KeyValue>,
}

/// A logged model that a run read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ModelInput {
    /// The logged model.
    pub model_id: String,
}

/// A logged model that a run produced.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ModelOutput {
    /// The logged model.
    pub model_id: String,
    /// At which step.
    pub step: i64,
}

/// All that is known of a run, but for its histories and artifacts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRow<T = String> {
    /// The run.
    pub id: RunId,
    /// The experiment it belongs to.
    pub experiment: ExperimentId,
    /// Its name.
    pub name: T,
    /// Who ran it, as the client says.
    pub user: T,
    /// How far it has come.
    pub status: RunStatus,
    /// In use or deleted.
    pub lifecycle: Lifecycle,
    /// Start, in milliseconds since 1970.
    pub start_ms: i64,
    /// End, in milliseconds since 1970.
    pub end_ms: Option<i64>,
    /// When it was deleted, in milliseconds since 1970.
    pub deleted_ms: Option<i64>,
    /// The note that people edit. MLflow's clients see it as a tag.
    pub description: T,
    /// Params, sorted by key.
    pub params: Vec<KeyValue<T>>,
    /// Tags, sorted by key.
    pub tags: Vec<KeyValue<T>>,
    /// The latest point of each series, sorted by key and context.
    pub metrics: Vec<Metric<T>>,
    /// Datasets read, in the order in which they came.
    pub datasets: Vec<DatasetInput>,
    /// Logged models read, sorted.
    pub model_inputs: Vec<ModelInput>,
    /// Logged models produced, sorted.
    pub model_outputs: Vec<ModelOutput>,
    /// Params that were set to two values while apart; the value shown is the first by clock.
    pub conflicted_params: Vec<String>,
}

impl<'a, T: Deserialize<'a>> RunRow<T> {
    /// Reads a row as it lies in the store.
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Self, StoreError> {
        postcard::from_bytes(bytes).map_err(damaged_run)
    }
}

impl<T: AsRef<str>> RunRow<T> {
    /// The value of a param.
    pub fn param(&self, key: &str) -> Option<&str> {
        lookup(&self.params, key)
    }

    /// The value of a tag.
    pub fn tag(&self, key: &str) -> Option<&str> {
        lookup(&self.tags, key)
    }

    /// The latest point of each metric, in whatever context it was logged, by key.
    pub fn latest_metrics(&self) -> impl Iterator<Item = (&str, &Point)> {
        let series = self.metrics.chunk_by(|a, b| a.key.as_ref() == b.key.as_ref());
        series.filter_map(|same| {
            let point = same.iter().map(|metric| &metric.point).max_by(|a, b| a.latest_order(b))?;
            Some((same[0].key.as_ref(), point))
        })
    }

    /// The latest point of a metric, in whatever context it was logged.
    pub fn metric(&self, key: &str) -> Option<&Point> {
        let start = self.metrics.partition_point(|metric| metric.key.as_ref() < key);
        let same = self.metrics[start..].iter().take_while(|metric| metric.key.as_ref() == key);
        same.map(|metric| &metric.point).max_by(|a, b| a.latest_order(b))
    }
}

/// The value of `key` in pairs sorted by key.
pub fn lookup<'a, T: AsRef<str>>(pairs: &'a [KeyValue<T>], key: &str) -> Option<&'a str> {
    let at = pairs.binary_search_by(|pair| pair.key.as_ref().cmp(key)).ok()?;
    Some(pairs[at].value.as_ref())
}

/// All that is known of an experiment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExperimentRow {
    /// What clients call it.
    pub id: ExperimentId,
    /// Its document.
    pub document: DocumentId,
    /// Its name; `name~2` where another experiment has the name already.
    pub name: String,
    /// In use or deleted.
    pub lifecycle: Lifecycle,
    /// Where clients put artifacts, if they were told another place than this daemon.
    pub artifact_location: Option<String>,
    /// Creation, by the hybrid clock: of two experiments of a name the earlier holds it.
    pub created: Clock,
    /// Creation, in milliseconds since 1970.
    pub created_ms: i64,
    /// Last rename, deletion or restoration, in milliseconds since 1970.
    pub updated_ms: i64,
    /// The note that people edit. MLflow's clients see it as a tag.
    pub description: String,
    /// Tags, sorted by key.
    pub tags: Vec<KeyValue>,
}

/// A blob under a path of a run or of the workspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactRow {
    /// The path, with `/` between parts and none at either end.
    pub path: String,
    /// The blob.
    pub blob: BlobHash,
    /// Its size in bytes.
    pub size: u64,
}
