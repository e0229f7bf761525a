//! How a device is doing: what it holds, who is connected, what they lack of each other.

use serde::{Deserialize, Serialize};

use super::{Role, WatchStatus};
use crate::ids::{DeviceId, WorkspaceId};

/// How a device is doing: the answer to `GET status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Status {
    /// The daemon's version.
    pub version: String,
    /// This device.
    pub device: Named<DeviceId>,
    /// The workspace that was asked about.
    pub workspace: Named<WorkspaceId>,
    /// The path before clients' own in that workspace; none if they get it without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// Its home.
    pub home: String,
    /// The daemon's process id.
    pub pid: u32,
    /// Where HTTP listens.
    pub http: String,
    /// Whether ML clients need the token.
    pub clients_need_token: bool,
    /// Where peers reach it.
    pub peer_addresses: Vec<String>,
    /// When the daemon started.
    pub started_ms: u64,
    /// For how long it has run.
    pub uptime_ms: u64,
    /// Experiments, deleted ones too.
    pub experiments: u64,
    /// Runs, deleted ones too.
    pub runs: u64,
    /// Journals held.
    pub journals: u64,
    /// Entries held, in all journals.
    pub entries: u64,
    /// Edits that are durable but not sealed into an entry yet.
    pub unsealed_edits: u64,
    /// Changes that wait for another that has not arrived.
    pub waiting_changes: u64,
    /// Blobs.
    pub blobs: BlobStatus,
    /// Bytes on disk.
    pub disk: DiskStatus,
    /// What moved since the daemon started.
    pub traffic: Traffic,
    /// The other members known here.
    pub peers: Vec<Peer>,
    /// What a person should know, in sentences.
    pub warnings: Vec<String>,
    /// The folder that bundles are imported from, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watched: Option<WatchStatus>,
}

/// A thing and what people call it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Named<I> {
    /// Its id.
    pub id: I,
    /// Its name; empty if nobody gave it one.
    pub name: String,
}

/// The blobs of a device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BlobStatus {
    /// How many are here.
    pub held: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How many the policy wants here that are not.
    pub queued: u64,
    /// How many are named by artifacts but neither here nor wanted here.
    pub elsewhere: u64,
}

/// Bytes on disk.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DiskStatus {
    /// The workspace's store and edits.
    pub store_bytes: u64,
    /// The sealed entries of all journals, which are in the store and are what members send each
    /// other.
    #[serde(default)]
    pub journal_bytes: u64,
    /// The blobs.
    pub blob_bytes: u64,
    /// What is free for them.
    pub free_bytes: u64,
}

/// Another device of the workspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Peer {
    /// Which.
    pub device: Named<DeviceId>,
    /// What it may do.
    pub role: Role,
    /// Whether a session is open.
    pub connected: bool,
    /// When it was last heard of.
    pub last_seen_ms: Option<u64>,
    /// Entries it holds that we lack, as far as we know.
    pub entries_to_get: u64,
    /// Entries we hold that it lacks, as far as we know.
    pub entries_to_give: u64,
    /// Why the last session or attempt ended, if badly.
    pub last_error: Option<String>,
}

/// `POST sync`: waits until this device and all connected peers hold the same entries, and this
/// device the blobs that its policy wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SyncRequest {
    /// For how long to wait at most.
    pub timeout_ms: u64,
}

/// The answer to `POST sync`: what moved while it waited.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SyncReport {
    /// Peers that hold the same as this device now.
    pub peers: Vec<Named<DeviceId>>,
    /// What moved while it waited.
    pub moved: Traffic,
    /// Blobs that came.
    pub blobs_fetched: u64,
    /// Blobs that this device wants and no connected peer has.
    pub blobs_missing: u64,
    /// How long it took.
    pub took_ms: u64,
}

/// What moved between this device and its peers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Traffic {
    /// Entries that came in.
    pub entries_in: u64,
    /// Entries that went out.
    pub entries_out: u64,
    /// Bytes that came in, entries, blobs and all that is said about them, as they were on the
    /// wire.
    pub bytes_in: u64,
    /// Bytes that went out.
    pub bytes_out: u64,
}

impl Traffic {
    /// What moved between `before` and this.
    #[must_use]
    pub const fn since(&self, before: &Self) -> Self {
        Self {
            entries_in: self.entries_in.saturating_sub(before.entries_in),
            entries_out: self.entries_out.saturating_sub(before.entries_out),
            bytes_in: self.bytes_in.saturating_sub(before.bytes_in),
            bytes_out: self.bytes_out.saturating_sub(before.bytes_out),
        }
    }
}
