//! Logged models: what a run produced as one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Artifact, Named};
use crate::rows::Lifecycle;

/// The answer to `GET logged-models/ID`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LoggedModelDetails {
    /// What clients know it by: `m-` and 32 digits.
    pub id: String,
    /// The experiment it belongs to.
    pub experiment: Named<String>,
    /// Its name. Several may have one.
    pub name: String,
    /// What kind of model it is, as the client says.
    pub model_type: String,
    /// How far it has come: `UNSPECIFIED`, `PENDING`, `READY` or `FAILED`.
    pub status: String,
    /// In use or deleted.
    pub lifecycle: Lifecycle,
    /// When it was created.
    pub created_ms: i64,
    /// The run that produced it, as the client says; empty if none did.
    pub run: String,
    /// Its params.
    pub params: BTreeMap<String, String>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// What stands at the top of its artifacts.
    pub artifacts: Vec<Artifact>,
}
