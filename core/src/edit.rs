//! Edits: what clients asked for, durable but not sealed yet.
//!
//! An edit says what shall be, not how a document gets there: the Automerge change is built when
//! edits are sealed, one for each document, however many edits it got. Edits never leave the
//! device. Their form is local to it, but they are ground state: `docs/data.md` describes it.

use serde::{Deserialize, Serialize};

use crate::act::Act;
use crate::clock::Clock;
use crate::document::DocumentEdit;
use crate::ids::{BlobHash, DocumentId, RunId};
use crate::rows::Metric;
use crate::trace::TracePart;

/// The largest edit that is accepted, in bytes of its stored form.
pub const MAX_EDIT_BYTES: usize = 2 << 20;

/// One thing that a client asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Edit {
    /// Sets and deletes keys of a document, or creates it.
    Document {
        /// Which.
        document: DocumentId,
        /// What.
        edit: DocumentEdit,
    },
    /// Adds points to the series of a run.
    Points {
        /// Which run.
        run: RunId,
        /// The points, in the order they came.
        metrics: Vec<Metric>,
    },
    /// Puts a blob under a path, or takes it away.
    Artifact {
        /// A run or the workspace.
        owner: DocumentId,
        /// The path.
        path: String,
        /// The blob and its size; none removes.
        content: Option<(BlobHash, u64)>,
    },
    /// A membership act.
    Act(Act),
    /// A part of a trace.
    Trace(TracePart),
}

impl Edit {
    /// What it is about.
    pub(crate) fn document(&self) -> DocumentId {
        match self {
            Self::Document { document, .. } => *document,
            Self::Points { run, .. } => DocumentId::run(*run),
            Self::Artifact { owner, .. } => *owner,
            Self::Act(_) => DocumentId::WORKSPACE,
            Self::Trace(part) => part.document(),
        }
    }

    /// How many bytes its stored form takes.
    pub(crate) fn stored_bytes(&self) -> usize {
        postcard::experimental::serialized_size(self)
            .expect("an edit is plain data, and its size can be told")
    }
}

/// An edit and when it was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TimedEdit {
    /// When, by the device's hybrid clock.
    pub clock: Clock,
    /// What.
    pub edit: Edit,
}
