//! What may be asked of evaluation datasets and scorers.

use serde_json::{Map, Value};

use crate::ids::{DocumentId, ExperimentId};
use crate::rows::KeyValue;

/// The most records of a dataset: they are one document, which is read and written as a whole.
pub const MAX_DATASET_RECORDS: usize = 10_000;
/// The most bytes of a dataset's records, as JSON.
pub const MAX_DATASET_BYTES: usize = 32 << 20;
/// The largest record, in bytes of JSON.
pub const MAX_RECORD_BYTES: usize = 1 << 20;
/// The most versions of a scorer.
pub const MAX_SCORER_VERSIONS: usize = 1000;

/// An evaluation dataset to be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDataset {
    /// Its document, with a random id.
    pub document: DocumentId,
    /// Its name. Several may have one.
    pub name: String,
    /// Who creates it, as the client says.
    pub user: Option<String>,
    /// Its first tags. Of one key given twice, the last counts.
    pub tags: Vec<KeyValue>,
    /// The experiments it belongs to.
    pub experiments: Vec<ExperimentId>,
}

/// A record to be added to a dataset, or merged into the one that has its inputs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NewDatasetRecord {
    /// What is given to what is evaluated.
    pub inputs: Map<String, Value>,
    /// What it answered; replaces what was recorded if it is given, be it with nothing.
    pub outputs: Option<Option<Value>>,
    /// What it should answer; added to what is expected already.
    pub expectations: Map<String, Value>,
    /// Tags; added to those that are there.
    pub tags: Map<String, Value>,
    /// Where it comes from; of a record that is there already it stays.
    pub source: Option<Value>,
    /// Who adds it, as the client says.
    pub user: Option<String>,
}

/// A change of an evaluation dataset.
#[derive(Debug, Clone, PartialEq)]
pub enum DatasetChange {
    /// Adds records or merges them into those there are. Answers
    /// [`Outcome::Records`](super::Outcome::Records).
    Upsert(Vec<NewDatasetRecord>),
    /// Deletes records by their ids; what is not there is no error. Answers
    /// [`Outcome::Records`](super::Outcome::Records).
    DeleteRecords(Vec<String>),
    /// Sets tags. Of one key given twice, the last counts.
    SetTags(Vec<KeyValue>),
    /// Deletes a tag; one that is not there is no error.
    DeleteTag(String),
    /// Makes it belong to experiments too, which must exist.
    AddTo(Vec<ExperimentId>),
    /// Makes it belong to experiments no more; to others it may never have.
    RemoveFrom(Vec<ExperimentId>),
    /// Deletes it.
    Delete,
}

/// What became of records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RecordCounts {
    /// How many were added.
    pub inserted: usize,
    /// How many were merged into others.
    pub updated: usize,
    /// How many were deleted.
    pub deleted: usize,
}

/// What to do with a scorer of an experiment, which must be active.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScorerAction {
    /// The experiment.
    pub experiment: ExperimentId,
    /// The scorer's name.
    pub name: String,
    /// What.
    pub change: ScorerChange,
}

/// A change of a scorer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScorerChange {
    /// Adds a version, under the next number, and the scorer if it is its first.
    Register {
        /// The version's id, random.
        id: String,
        /// The scorer, as the client writes it.
        scorer: String,
    },
    /// Deletes the version of a number, or all.
    Delete(Option<u32>),
    /// Says how it is used on traces as they come, as JSON.
    SetOnline(String),
}
