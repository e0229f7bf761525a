//! What an edit does to a document, before it is an Automerge change.

use serde::{Deserialize, Serialize};

/// The maps at a document's root. Their names are part of the signed format; what a kind of
/// document has no use for, or another use, goes by another name there (see the constants).
///
/// Keys and values, by map: `info` holds the document's own fields (for a run: `experiment`,
/// `name`, `user`, `status`, `start_ms`, `end_ms`, `lifecycle`, `deleted_ms`; for an experiment:
/// `name`, `lifecycle`, `artifact_location`, `created_ms`, `updated_ms`); `params` and `tags` hold
/// texts by key; `inputs` holds JSON by dataset name and digest or by model; `outputs` holds steps
/// by model. Beside the maps stands one Automerge text, `description`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Container {
    /// The document's own fields.
    Info,
    /// Params by key.
    Params,
    /// Tags by key.
    Tags,
    /// Datasets and models read.
    Inputs,
    /// Models produced.
    Outputs,
}

impl Container {
    /// Of a registered model: which version an alias names.
    pub const ALIASES: Self = Self::Params;
    /// Of a registered model or a version: what was done, when, by whom and why.
    pub const HISTORY: Self = Self::Inputs;
    /// Of a trace: its metadata.
    pub const METADATA: Self = Self::Params;
    /// Of a trace: its assessments, as JSON by id.
    pub const ASSESSMENTS: Self = Self::Inputs;
    /// Of a trace: runs and versions of prompts that it was linked to.
    pub const LINKS: Self = Self::Outputs;
    /// Of an evaluation dataset: the experiments it belongs to.
    pub const EXPERIMENTS: Self = Self::Params;
    /// Of an evaluation dataset: its records, as JSON by id.
    pub const RECORDS: Self = Self::Inputs;
    /// Of a scorer: its versions, as JSON by id.
    pub const VERSIONS: Self = Self::Params;
}

/// A value in a document.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Scalar {
    /// A text.
    Text(String),
    /// An integer.
    Integer(i64),
}

impl Scalar {
    /// The text, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Integer(_) => None,
        }
    }

    /// The integer, if it is one.
    pub const fn as_integer(&self) -> Option<i64> {
        match self {
            Self::Integer(integer) => Some(*integer),
            Self::Text(_) => None,
        }
    }
}

impl From<&str> for Scalar {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<i64> for Scalar {
    fn from(integer: i64) -> Self {
        Self::Integer(integer)
    }
}

/// Sets a key of a map, or deletes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Put {
    /// The map.
    pub container: Container,
    /// The key.
    pub key: String,
    /// The value; none deletes.
    pub value: Option<Scalar>,
}

/// Everything one edit does to one document. Of two puts to one key the later counts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DocumentEdit {
    /// Keys set and deleted, in order.
    pub puts: Vec<Put>,
    /// The new description, if it changes.
    pub description: Option<String>,
}

impl DocumentEdit {
    /// Sets a key.
    pub fn set(&mut self, container: Container, key: &str, value: impl Into<Scalar>) {
        self.puts.push(Put { container, key: key.to_owned(), value: Some(value.into()) });
    }

    /// Deletes a key.
    pub fn delete(&mut self, container: Container, key: &str) {
        self.puts.push(Put { container, key: key.to_owned(), value: None });
    }
}
