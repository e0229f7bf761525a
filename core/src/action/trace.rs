//! What clients ask of traces.

use crate::ids::{ExperimentId, RunId};
use crate::rows::KeyValue;

/// What to change of a trace after it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TraceChange {
    /// Sets a tag.
    SetTag(KeyValue),
    /// Deletes a tag, which must be there.
    DeleteTag(String),
    /// Puts assessments by id, as JSON; none takes one away.
    Assess(Vec<(String, Option<String>)>),
    /// Links the trace to a run. The trace may come later.
    LinkRun(RunId),
    /// Links the trace to versions of prompts, as `name/version`.
    LinkPrompts(Vec<String>),
}

/// Which traces of an experiment to delete: all that are named, if any are, and that started until
/// then, if that is given; of more than `limit` the oldest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TracesToDelete {
    /// Their experiment.
    pub experiment: ExperimentId,
    /// Their ids.
    pub ids: Vec<String>,
    /// The latest start, in milliseconds since 1970.
    pub until_ms: Option<i64>,
    /// How many to delete at the most.
    pub limit: Option<usize>,
}
