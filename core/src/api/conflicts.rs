//! Conflicts: what devices that were apart decided differently, and how one is settled.

use serde::{Deserialize, Serialize};

use super::Named;
use crate::ids::DeviceId;

/// The answer to `GET conflicts`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Conflicts {
    /// What is not settled.
    pub conflicts: Vec<ConflictInfo>,
    /// Whether there is more than one answer tells.
    pub more: bool,
}

/// Something that devices decided differently while they were apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ConflictInfo {
    /// Eight digits that name it.
    pub id: String,
    /// What kind of document it is about: `run`, `registered model` and so on.
    pub kind: String,
    /// What names the document for ever: a run's id, an experiment's id, or a reference.
    pub document: String,
    /// What the document is called.
    pub name: String,
    /// What of it: `params.lr`, `tags.note`, `status`, `alias champion`, `version 3`.
    pub key: String,
    /// What was decided, the one that is served first.
    pub values: Vec<ConflictValue>,
}

/// One of the values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ConflictValue {
    /// The letter by which it can be taken, `A` for the first; none beyond `Z`.
    pub label: Option<char>,
    /// What was set; of a version, an experiment or a model, its reference.
    pub value: String,
    /// The same for people.
    pub said: String,
    /// Whether clients are answered with it until it is settled.
    pub served: bool,
    /// The device that set it, if that is known.
    pub device: Option<Named<DeviceId>>,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
}

/// `POST conflicts/resolve`: takes one of the values, or another one where any will do. Answers
/// [`ConflictInfo`] as it was.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ResolveConflict {
    /// The conflict's id, or the start of a document's id or name.
    pub what: String,
    /// What of the document, if a document is named.
    #[serde(default)]
    pub key: Option<String>,
    /// The letter of a value, or a value.
    pub take: String,
    /// Whether `take` is a value even if it looks like a letter.
    #[serde(default)]
    pub verbatim: bool,
    /// Who asks, for the history of models.
    #[serde(default)]
    pub who: String,
    /// Why, for the same.
    #[serde(default)]
    pub note: String,
}
