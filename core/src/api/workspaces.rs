//! The workspaces of a device.

use serde::{Deserialize, Serialize};

use super::{Named, Role};
use crate::ids::WorkspaceId;

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
