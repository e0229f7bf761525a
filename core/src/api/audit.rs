//! The audit: who did what, when and on which device.

use serde::{Deserialize, Serialize};

use super::Named;
use crate::ids::DeviceId;

/// `POST audit`: a page of what was done, newest first. Of `run` and `model` at most one is given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditQuery {
    /// Only what was done to this run: its id, or the start of it.
    #[serde(default)]
    pub run: Option<String>,
    /// Only what was done to this registered model and its versions: its name.
    #[serde(default)]
    pub model: Option<String>,
    /// Only what this device did: its name, or the start of its id.
    #[serde(default)]
    pub device: Option<String>,
    /// The most lines; 100 if it is not given, never more than 1,000.
    #[serde(default)]
    pub limit: Option<usize>,
    /// Where the page before ended, with the same question.
    #[serde(default)]
    pub cursor: Option<String>,
}

/// A page of the audit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditPage {
    /// What was done, newest first. May be empty though there is a cursor.
    pub lines: Vec<AuditLine>,
    /// Where the next page goes on, if there is more.
    pub cursor: Option<String>,
}

/// One operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditLine {
    /// When its entry was sealed, in milliseconds since 1970, by its device's clock.
    pub at_ms: u64,
    /// Who did it.
    pub device: Named<DeviceId>,
    /// The journal's incarnation, in hex.
    pub incarnation: String,
    /// The number of the entry in the journal.
    pub entry: u64,
    /// The hash of the entry, in hex.
    pub hash: String,
    /// The place of the operation in the entry.
    pub place: u32,
    /// What kind of document it is about; empty if that was redacted.
    pub kind: String,
    /// What names the document for ever: a run's id, an experiment's id, or a reference.
    pub document: String,
    /// What the document is called now.
    pub name: String,
    /// What was done, in parts such as `set tag k to "v"`.
    pub said: Vec<String>,
    /// How many more parts there are.
    #[serde(default)]
    pub more: u64,
    /// Why it does not count, if it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub void: Option<String>,
    /// What is wrong with the entry, if anything is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broken: Option<String>,
}

/// The answer to `POST audit/verify`, and what a file that was exported comes to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditReport {
    /// Journals.
    pub journals: u64,
    /// Entries that are genuine and in their places.
    pub entries: u64,
    /// Their bytes, as they are stored.
    pub bytes: u64,
    /// Operations that were redacted.
    pub redacted: u64,
    /// Entries that are kept and do not count.
    pub set_aside: u64,
    /// Of each journal that is not whole, the first entry that is wrong.
    pub wrong: Vec<AuditFlaw>,
}

/// The first entry of a journal with which something is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditFlaw {
    /// The device whose journal it is.
    pub device: DeviceId,
    /// The journal's incarnation, in hex.
    pub incarnation: String,
    /// The entry's number.
    pub entry: u64,
    /// What is wrong.
    pub why: String,
}

impl From<&crate::audit::Wrong> for AuditFlaw {
    fn from(wrong: &crate::audit::Wrong) -> Self {
        let cause = std::error::Error::source(&wrong.why);
        Self {
            device: wrong.journal.device,
            incarnation: wrong.journal.incarnation.to_string(),
            entry: wrong.entry,
            why: cause
                .map_or_else(|| wrong.why.to_string(), |cause| format!("{}: {cause}", wrong.why)),
        }
    }
}
