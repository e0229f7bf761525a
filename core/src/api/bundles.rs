//! Bundles: what to put into one, and what came of one.

use serde::{Deserialize, Serialize};

use super::Named;
use crate::ids::{BlobHash, DeviceId, WorkspaceId};

/// Which blobs a bundle carries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum BundleBlobs {
    /// All that its entries name and this device holds.
    #[default]
    All,
    /// Of those, the ones up to the size that devices fetch unasked.
    Small,
    /// None.
    None,
}

/// `POST bundle/export`; the answer is the bundle. Of `all`, `device`, `since_ms` and `since` at
/// most one is given; with none, the bundle starts after what every member is known to hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ExportRequest {
    /// From the first entry on.
    #[serde(default)]
    pub all: bool,
    /// After what this member is known to hold: its name, or the start of its id.
    #[serde(default)]
    pub device: Option<String>,
    /// What was sealed at this time or later.
    #[serde(default)]
    pub since_ms: Option<u64>,
    /// After this vector: [`BundleHead::until`] of an earlier bundle.
    #[serde(default)]
    pub since: Option<String>,
    /// Which blobs.
    #[serde(default)]
    pub blobs: BundleBlobs,
    /// Whether only members can read it; with `device`, that member and this device.
    #[serde(default)]
    pub encrypt: bool,
}

/// What a bundle says of itself; its device has signed it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BundleHead {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// Who wrote it.
    pub device: Named<DeviceId>,
    /// When, by that device's clock.
    pub made_ms: u64,
    /// How many entries a reader must hold before.
    pub from_entries: u64,
    /// How many entries a reader holds after.
    pub until_entries: u64,
    /// The version vector that a reader holds after, in base64.
    pub until: String,
}

/// The answer to `POST bundle/import` and `POST bundle/inspect`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BundleReport {
    /// What it says of itself.
    pub head: BundleHead,
    /// How many of its bytes were read and are good, after decryption.
    pub bytes: u64,
    /// Entries in it.
    pub entries: u64,
    /// Entries that are new here.
    pub entries_new: u64,
    /// Entries that this device's own journal has anew, because the bundle holds another line of it
    /// than this home: those of both lines.
    #[serde(default)]
    pub entries_carried: u64,
    /// Blobs in it.
    pub blobs: u64,
    /// Their bytes.
    pub blob_bytes: u64,
    /// Blobs that are new here.
    pub blobs_new: u64,
    /// Blobs whose bytes are not what their hashes say; they were not taken.
    pub blobs_bad: Vec<BlobHash>,
    /// Entries that must come before those of the bundle.
    pub missing: Vec<MissingEntries>,
    /// Journals of which not all was taken, for other reasons.
    pub stuck: Vec<StuckJournal>,
    /// Where the bundle broke and how. What came before is stored.
    pub broken: Option<String>,
}

/// Entries of a device that are neither here nor in a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MissingEntries {
    /// The device.
    pub device: DeviceId,
    /// The number of the first.
    pub from: u64,
    /// The number after the last.
    pub until: u64,
}

/// A journal of which not all was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StuckJournal {
    /// Its device.
    pub device: DeviceId,
    /// Why.
    pub why: String,
}

/// The folder that bundles are imported from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WatchStatus {
    /// The folder.
    pub folder: String,
    /// How many bundles were imported since the daemon started.
    pub imported: u64,
    /// What came of the last one that brought something or failed, in a sentence.
    pub last: Option<String>,
    /// Bundles that could not be imported as they are, and why.
    pub failed: Vec<String>,
}

impl BundleReport {
    /// A report of a bundle of which nothing was read yet.
    pub const fn of(head: BundleHead) -> Self {
        Self {
            head,
            bytes: 0,
            entries: 0,
            entries_new: 0,
            entries_carried: 0,
            blobs: 0,
            blob_bytes: 0,
            blobs_new: 0,
            blobs_bad: Vec::new(),
            missing: Vec::new(),
            stuck: Vec::new(),
            broken: None,
        }
    }

    /// Whether all that the bundle holds is here now.
    pub const fn is_complete(&self) -> bool {
        self.broken.is_none()
            && self.missing.is_empty()
            && self.stuck.is_empty()
            && self.blobs_bad.is_empty()
    }
}
