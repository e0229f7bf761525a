//! Actions: what a client may ask the store to do, and why it may refuse.
//!
//! An action is checked against the store and turned into edits in one transaction, so that what
//! it was checked against is what it changes. An action that is refused changes nothing. The
//! checks are the domain's; limits on names and sizes that are a client protocol's own are
//! checked by that protocol before it gets here.

mod evaluation;
mod logged_model;
mod models;
mod trace;

use serde::{Deserialize, Serialize};

pub use self::evaluation::{
    DatasetChange, MAX_DATASET_BYTES, MAX_DATASET_RECORDS, MAX_RECORD_BYTES, MAX_SCORER_VERSIONS,
    NewDataset, NewDatasetRecord, RecordCounts, ScorerAction, ScorerChange,
};
pub use self::logged_model::{LoggedModelChange, NewLoggedModel};
pub use self::models::{
    ModelAction, ModelChange, ModelRefusal, Move, NewSemver, NewVersion, VersionChange, VersionName,
};
pub use self::trace::{TraceChange, TracesToDelete};
use crate::document::{Container, Scalar};
use crate::ids::{BlobHash, DocumentId, ExperimentId, RunId};
use crate::registry::Author;
use crate::rows::{
    DatasetInput, DocumentRow, ExperimentRow, KeyValue, Metric, ModelInput, ModelOutput, RunRow,
    RunStatus, TraceRow,
};
use crate::trace::TracePart;

/// What a client asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Creates an experiment. Answers [`Outcome::Experiment`].
    CreateExperiment {
        /// Its name; free among active and deleted experiments.
        name: String,
        /// Where clients shall put artifacts, if not at this daemon.
        artifact_location: Option<String>,
        /// Its first tags.
        tags: Vec<KeyValue>,
        /// Its first note.
        description: Option<String>,
    },
    /// Changes an experiment. Answers [`Outcome::Experiment`].
    UpdateExperiment {
        /// Which.
        id: ExperimentId,
        /// What.
        change: ExperimentChange,
    },
    /// Creates a run. Answers [`Outcome::Run`].
    CreateRun(NewRun),
    /// Changes a run's own fields. Answers [`Outcome::Run`].
    UpdateRun {
        /// Which.
        id: RunId,
        /// What; fields that are `None` stay.
        change: RunChange,
    },
    /// Deletes or restores a run; doing so twice is no error. Answers [`Outcome::Done`].
    SetRunDeleted {
        /// Which.
        id: RunId,
        /// True deletes, false restores.
        deleted: bool,
    },
    /// Logs to a run, all or nothing. Answers [`Outcome::Done`].
    Log(LogBatch),
    /// Deletes a tag of a run, which must be there. Answers [`Outcome::Done`].
    DeleteRunTag {
        /// Which run.
        id: RunId,
        /// Which tag.
        key: String,
    },
    /// Adds datasets and models that a run read. Answers [`Outcome::Done`].
    LogInputs {
        /// Which run.
        id: RunId,
        /// A dataset that the run has already stays as it is.
        datasets: Vec<DatasetInput>,
        /// Logged models.
        models: Vec<ModelInput>,
    },
    /// Adds models that a run produced. Answers [`Outcome::Done`].
    LogOutputs {
        /// Which run.
        id: RunId,
        /// Logged models.
        models: Vec<ModelOutput>,
    },
    /// Creates a logged model. Answers [`Outcome::Document`].
    CreateLoggedModel(NewLoggedModel),
    /// Changes a logged model. Answers [`Outcome::Document`].
    UpdateLoggedModel {
        /// Which.
        document: DocumentId,
        /// What.
        change: LoggedModelChange,
    },
    /// Creates an evaluation dataset. Answers [`Outcome::Document`].
    CreateDataset(NewDataset),
    /// Changes an evaluation dataset. Answers [`Outcome::Document`], or [`Outcome::Records`] if it
    /// is about records.
    UpdateDataset {
        /// Which.
        document: DocumentId,
        /// What.
        change: DatasetChange,
    },
    /// Registers or changes a scorer. Answers [`Outcome::Document`].
    ChangeScorer(ScorerAction),
    /// Puts a blob, which this device holds durably, under a path. Answers [`Outcome::Done`].
    PutArtifact {
        /// A run's document, a logged model's or [`DocumentId::WORKSPACE`].
        owner: DocumentId,
        /// The path, with `/` between parts and none at either end.
        path: String,
        /// The blob.
        blob: BlobHash,
        /// Its size in bytes.
        size: u64,
    },
    /// Logs spans of any number of traces, all or nothing. Answers [`Outcome::Done`].
    LogSpans(Vec<TracePart>),
    /// Logs what is said of a whole trace. Saying it again is no error. Answers [`Outcome::Trace`].
    LogTrace(Box<TracePart>),
    /// Changes what is said of a trace after it was written. Answers [`Outcome::Trace`].
    ChangeTrace {
        /// Its id.
        trace: String,
        /// What.
        change: TraceChange,
    },
    /// Deletes traces for good. Answers [`Outcome::Count`].
    DeleteTraces(TracesToDelete),
    /// Removes the artifact at a path and all below it; none is no error. Answers
    /// [`Outcome::Done`].
    RemoveArtifacts {
        /// A run's document, a logged model's or [`DocumentId::WORKSPACE`].
        owner: DocumentId,
        /// The path; empty for all.
        path: String,
    },
    /// Changes the model registry. Answers [`Outcome::Document`].
    Model {
        /// What.
        action: Box<ModelAction>,
        /// Who asks, and why.
        author: Box<Author>,
    },
    /// Sets a key of a document in place of all values that stand there: what was set to several
    /// while devices were apart is settled by it. Answers [`Outcome::Done`].
    Settle {
        /// The document, which must be there.
        document: DocumentId,
        /// The map.
        container: Container,
        /// The key.
        key: String,
        /// The value from here on.
        value: Scalar,
    },
    /// Sets or clears a setting of the workspace, which every member gets. Answers
    /// [`Outcome::Document`].
    SetSetting {
        /// Which.
        key: String,
        /// The value; none clears, and the setting must be there.
        value: Option<String>,
    },
}

/// A change of an experiment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExperimentChange {
    /// Gives it another name; refused while it is deleted.
    Rename(String),
    /// Deletes it and its runs; refused unless active.
    Delete,
    /// Restores it and all its runs; refused unless deleted.
    Restore,
    /// Sets a tag; refused while it is deleted.
    SetTag(KeyValue),
    /// Deletes a tag, which must be there; refused while the experiment is deleted.
    DeleteTag(String),
    /// Sets the note; refused while it is deleted.
    Describe(String),
}

/// A run to be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRun {
    /// Its id, random.
    pub id: RunId,
    /// Its experiment, which must be active.
    pub experiment: ExperimentId,
    /// Its name.
    pub name: String,
    /// Who runs it.
    pub user: String,
    /// Start, in milliseconds since 1970.
    pub start_ms: i64,
    /// Its first tags. Of one key given twice, the last counts.
    pub tags: Vec<KeyValue>,
    /// Its first note.
    pub description: Option<String>,
}

/// What to change of a run's own fields.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunChange {
    /// Its name.
    pub name: Option<String>,
    /// How far it has come.
    pub status: Option<RunStatus>,
    /// End, in milliseconds since 1970.
    pub end_ms: Option<i64>,
    /// The note; empty clears it.
    pub description: Option<String>,
}

/// Points, params and tags for one run, logged all or nothing. The run must be active.
#[derive(Debug, Clone, PartialEq)]
pub struct LogBatch {
    /// The run.
    pub run: RunId,
    /// Points.
    pub metrics: Vec<Metric>,
    /// Params. One that is set already must have the same value.
    pub params: Vec<KeyValue>,
    /// Tags. Of one key given twice, the last counts.
    pub tags: Vec<KeyValue>,
    /// Other fields that clients set by way of tags.
    pub change: RunChange,
}

/// What came of an action that was carried out. It is durable when the caller sees it.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It is done.
    Done,
    /// The experiment as it is now.
    Experiment(ExperimentRow),
    /// The run as it is now.
    Run(Box<RunRow>),
    /// The document as it is now.
    Document(Box<DocumentRow>),
    /// What became of records.
    Records(RecordCounts),
    /// The trace as it is now.
    Trace(Box<TraceRow>),
    /// How many it was done to.
    Count(u64),
}

/// A param that already has another value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParamChange {
    /// The param.
    pub key: String,
    /// The value it has.
    pub old: String,
    /// The value that was asked for.
    pub new: String,
}

/// Why an action was refused. Nothing of it was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// This device may only read.
    #[error(
        "this device may only read the workspace; an admin can let it write: \
         `runmesh role DEVICE writer`"
    )]
    OnlyReads,
    /// This device is not a member.
    #[error(
        "this device is not a member of the workspace any more, so nothing it writes would count; \
         an admin can make it a new ticket: `runmesh invite`"
    )]
    NotAMember,
    /// There is an experiment of this name, active or deleted.
    #[error("an experiment named {name:?} already exists")]
    ExperimentNameTaken {
        /// The name.
        name: String,
        /// Whether the one that has it is deleted.
        deleted: bool,
    },
    /// There is no such experiment.
    #[error("no experiment has the id {0}")]
    NoSuchExperiment(ExperimentId),
    /// The experiment is not in the state the action needs.
    #[error("experiment {id} is {}", .is.as_str())]
    WrongExperimentState {
        /// The experiment.
        id: ExperimentId,
        /// The state it is in.
        is: crate::rows::Lifecycle,
    },
    /// There is no such run.
    #[error("no run has the id {0}")]
    NoSuchRun(RunId),
    /// The run is deleted; it can be restored.
    #[error("run {0} is deleted")]
    RunDeleted(RunId),
    /// There is no such trace.
    #[error("no trace has the id {0:?}")]
    NoSuchTrace(String),
    /// The trace is deleted, which cannot be undone.
    #[error("trace {0:?} is deleted")]
    TraceDeleted(String),
    /// Params are written once.
    #[error("params of run {run} cannot be changed: {}", .changes[0].key)]
    ParamsChanged {
        /// The run.
        run: RunId,
        /// The params; at least one.
        changes: Vec<ParamChange>,
    },
    /// There is no such document.
    #[error("there is no {0}")]
    NoSuchDocument(DocumentId),
    /// Params of a logged model are written once.
    #[error("params of {document} cannot be changed: {}", .changes[0].key)]
    ModelParamsChanged {
        /// The logged model.
        document: DocumentId,
        /// The params; at least one.
        changes: Vec<ParamChange>,
    },
    /// There is no tag of this name to delete.
    #[error("{document} has no tag {key:?}")]
    NoSuchTag {
        /// The run or experiment.
        document: DocumentId,
        /// The tag.
        key: String,
    },
    /// The model registry has a reason of its own.
    #[error(transparent)]
    Model(#[from] ModelRefusal),
    /// A path would be both a file and a folder.
    #[error("an artifact cannot be put at {path:?}: {taken:?} is there")]
    PathTaken {
        /// The path asked for.
        path: String,
        /// The file in its way, or the folder, which ends in a slash.
        taken: String,
    },
    /// There is no such scorer, or it has no version of the number.
    #[error("there is no scorer {name:?} in the experiment{}", .number.map(|number| format!(" with version {number}")).unwrap_or_default())]
    NoSuchScorer {
        /// The name.
        name: String,
        /// The number asked for.
        number: Option<u32>,
    },
    /// There are as many as there can be.
    #[error("there can be at most {limit} {what}")]
    TooMany {
        /// What.
        what: &'static str,
        /// How many.
        limit: usize,
    },
    /// Something is larger than any entry can carry.
    #[error("{what} takes {bytes} bytes; at most {limit} can be stored")]
    TooLarge {
        /// What.
        what: &'static str,
        /// How large it is.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
}
