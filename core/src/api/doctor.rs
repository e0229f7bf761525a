//! What the doctor says of a home.

use serde::{Deserialize, Serialize};

/// What to look at: the query of `GET doctor` and of `POST doctor/rebuild`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DoctorScope {
    /// All workspaces of the home, and not the one that is asked in alone.
    #[serde(default)]
    pub all: bool,
}

/// The answer to `GET doctor` and to `POST doctor/rebuild`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Diagnosis {
    /// What was looked at, in order: first what the home has one of, then workspace after workspace.
    pub checks: Vec<Check>,
    /// How long it took.
    pub took_ms: u64,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Check {
    /// What.
    pub name: String,
    /// What the workspace is called that it is of; none if it is of the whole home.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<String>,
    /// How it is.
    pub verdict: Verdict,
    /// What was seen.
    pub detail: String,
    /// What to do next, if anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// How a thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// It works, but someone should look.
    Warning,
    /// It is broken.
    Broken,
}
