//! Blobs: who holds which, what is pinned, what is under way, and what collecting them freed.

use serde::{Deserialize, Serialize};

use super::Named;
use crate::ids::{BlobHash, DeviceId, RunId};

/// An artifact and who holds its bytes: an element of the answer to `GET runs/RUN/holders`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Held {
    /// Its path in the run; empty in the answer to `GET blobs/HASH/holders`.
    pub path: String,
    /// Its bytes.
    pub blob: BlobHash,
    /// How many they are, where that is known.
    pub size: Option<u64>,
    /// Whether it is pinned on this device.
    pub pinned: bool,
    /// The devices that hold it, as far as they have said so: this one first.
    pub holders: Vec<Holder>,
}

/// A device that holds a blob.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Holder {
    /// Which.
    pub device: Named<DeviceId>,
    /// Whether it is this device.
    pub here: bool,
    /// Whether it is this device, or one that is connected.
    pub connected: bool,
}

/// `POST pins` and `POST pins/remove`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PinRequest {
    /// A run's id or the start of it, `RUN/PATH`, or the hash of a blob.
    pub what: String,
}

/// What this device keeps and fetches whatever its policy: an element of the answer to `GET pins`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PinInfo {
    /// `RUN`, `RUN/PATH` or a hash.
    pub what: String,
    /// When it was pinned, in milliseconds since 1970.
    pub since_ms: u64,
    /// How many blobs that is now.
    pub blobs: u64,
    /// Those that are not here yet.
    pub missing: u64,
}

/// The answer to `GET transfers`: how far fetching blobs is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Transfers {
    /// Blobs that are wanted and not here, those under way included.
    pub queued: u64,
    /// Bytes that came since there was last nothing to fetch.
    pub bytes_done: u64,
    /// Bytes of all blobs that were or are wanted since.
    pub bytes_total: u64,
    /// Those under way.
    pub under_way: Vec<Transfer>,
}

/// A blob that is being fetched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Transfer {
    /// Which.
    pub blob: BlobHash,
    /// How many of its bytes are here.
    pub bytes_done: u64,
    /// All its bytes.
    pub bytes_total: u64,
}

/// `POST gc`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CollectRequest {
    /// Free also what nobody promised to keep, if no document names it.
    #[serde(default)]
    pub force: bool,
    /// Free nothing, but say what would be freed.
    #[serde(default)]
    pub dry_run: bool,
}

/// What collecting blobs came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Collected {
    /// Whether nothing was freed and all is what would have been.
    pub dry_run: bool,
    /// How many blobs were freed.
    pub freed_blobs: u64,
    /// And their bytes.
    pub freed_bytes: u64,
    /// What was kept, by the reason.
    pub kept: Vec<KeptBlobs>,
}

/// Blobs that were kept for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct KeptBlobs {
    /// Why.
    pub why: KeptWhy,
    /// How many.
    pub blobs: u64,
    /// And their bytes.
    pub bytes: u64,
}

/// `POST runs/purge`: takes deleted runs away for good, all or none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PurgeRequest {
    /// Which.
    pub runs: Vec<RunId>,
}

/// The answer to `POST runs/purge`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PurgedRuns {
    /// How many runs are gone.
    pub runs: u64,
    /// How many blobs were freed on this device.
    pub freed_blobs: u64,
    /// And their bytes.
    pub freed_bytes: u64,
}

/// The answer to `POST runs/RUN/purge`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Purged {
    /// The run that is gone.
    pub run: RunId,
    /// How many blobs were freed on this device.
    pub freed_blobs: u64,
    /// And their bytes.
    pub freed_bytes: u64,
}

/// Why a blob was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum KeptWhy {
    /// A document names it, and the policy wants it here.
    Wanted,
    /// It is pinned.
    Pinned,
    /// This device promised another one to keep it.
    Promised,
    /// A document names it, the policy does not want it, but nobody else promised to keep it.
    OnlyCopy,
    /// No document names it, but nobody else promised to keep it either.
    NobodyPromised,
    /// It is being taken in.
    ComingIn,
    /// Another workspace of this device holds it.
    OtherWorkspace,
}
