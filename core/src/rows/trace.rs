//! The row of a trace: all that a search returns of it.

use crate::ids::{ExperimentId, RunId};
use crate::rows::{KeyValue, lookup};
use crate::trace::{Figure, TraceStatus};

/// All that is known of a trace, but for its spans.
#[derive(Debug, Clone, PartialEq)]
pub struct TraceRow {
    /// Its id, which the client chose.
    pub id: String,
    /// The experiment it was logged to.
    pub experiment: ExperimentId,
    /// How far it has come.
    pub status: TraceStatus,
    /// Its start, in milliseconds since 1970.
    pub start_ms: i64,
    /// How long it took, in milliseconds.
    pub duration_ms: Option<i64>,
    /// What the client calls the request.
    pub client_request_id: Option<String>,
    /// What went in, cut short.
    pub request_preview: Option<String>,
    /// What came out, cut short.
    pub response_preview: Option<String>,
    /// Facts that do not change, sorted by key.
    pub metadata: Vec<KeyValue>,
    /// Tags, sorted by key.
    pub tags: Vec<KeyValue>,
    /// Assessments by id, as JSON, sorted by id.
    pub assessments: Vec<KeyValue>,
    /// Runs it was linked to after it was written, sorted.
    pub runs: Vec<RunId>,
    /// Versions of prompts it was linked to, as `name/version`, sorted.
    pub prompts: Vec<String>,
    /// How many spans are here.
    pub spans: u32,
    /// What its spans count, sorted by group and name.
    pub figures: Vec<Figure>,
}

impl TraceRow {
    /// The value of a tag.
    pub fn tag(&self, key: &str) -> Option<&str> {
        lookup(&self.tags, key)
    }

    /// The value of a fact.
    pub fn fact(&self, key: &str) -> Option<&str> {
        lookup(&self.metadata, key)
    }

    /// The end, in milliseconds since 1970; the start while there is none.
    pub fn end_ms(&self) -> i64 {
        self.start_ms.saturating_add(self.duration_ms.unwrap_or_default())
    }
}
