//! The workspaces of a device.

use serde::{Deserialize, Serialize};

use super::{Named, Role};
use crate::ids::{RunId, WorkspaceId};

/// What stands before a workspace's name in addresses: `/w/lab/api/v1/runs/search` is a path of
/// [`super::ROOT`] in the workspace that this device calls `lab`.
pub const PLACES: &str = "/w/";

/// A workspace of this device: an element of the answer to `GET workspaces`, and the answer to
/// what changes one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WorkspaceInfo {
    /// What it is called in addresses on this device.
    pub name: String,
    /// Which it is, and what its founder called it.
    pub workspace: Named<WorkspaceId>,
    /// Whether clients get it if they name none.
    pub current: bool,
    /// What this device may do there; none before a member let it in, or once it was removed.
    pub role: Option<Role>,
    /// Its members, this device among them.
    pub members: u64,
    /// How many of them are connected.
    pub connected: u64,
    /// Experiments, deleted ones too.
    pub experiments: u64,
    /// Runs, deleted ones too.
    pub runs: u64,
}

/// `POST workspaces/create`: founds one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CreateWorkspace {
    /// What it is called: letters, digits, dots, dashes and underscores.
    pub name: String,
}

/// `POST workspaces/use`: makes one that which clients get if they name none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UseWorkspace {
    /// What it is called on this device.
    pub name: String,
}

/// `POST workspaces/rename`: calls one something else on this device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RenameWorkspace {
    /// What it is called on this device.
    pub name: String,
    /// What it is called from here on.
    pub new_name: String,
}

/// `POST workspaces/leave`: says what that would take from this device, or does it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LeaveWorkspace {
    /// What it is called on this device.
    pub name: String,
    /// Whether to do it, which nothing undoes.
    #[serde(default)]
    pub confirmed: bool,
}

/// The answer to `POST workspaces/leave`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LeaveReport {
    /// What it is, or was, called on this device.
    pub name: String,
    /// Which.
    pub workspace: WorkspaceId,
    /// Its runs.
    pub runs: u64,
    /// Members besides this device.
    pub other_members: u64,
    /// Whether one of them is connected, or said in a bundle what it holds.
    pub heard_of_others: bool,
    /// Entries that no other device is known to hold: they are lost with it, as far as is known.
    pub entries_only_here: u64,
    /// Blobs that no other workspace of this device needs.
    pub blobs: u64,
    /// Their bytes.
    pub blob_bytes: u64,
    /// Of these, those that no other member said that it holds.
    pub blobs_only_here: u64,
    /// Whether it was left.
    pub left: bool,
}

/// `POST copy`: copies runs of the workspace that is asked in to another of this device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CopyRequest {
    /// Their ids, or the starts of them.
    pub runs: Vec<String>,
    /// What the other workspace is called on this device.
    pub to: String,
}

/// The answer to `POST copy`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Copies {
    /// What the other workspace is called on this device.
    pub to: String,
    /// The runs, in the order in which they were named.
    pub copies: Vec<CopiedRun>,
}

/// A run and its copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CopiedRun {
    /// The run.
    pub run: RunId,
    /// Its copy, which has the same id whenever it is copied there.
    pub copy: RunId,
    /// Whether it was not there before.
    pub new: bool,
    /// Logged models that it produced, of which copies are there now.
    #[serde(default)]
    pub models: u64,
    /// Traces of it, of which copies are there now.
    #[serde(default)]
    pub traces: u64,
}
