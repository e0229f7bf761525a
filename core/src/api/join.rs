//! Joining a workspace: what is asked, how far it is, and what came of it.

use serde::{Deserialize, Serialize};

use super::{Named, Role};
use crate::ids::{DeviceId, WorkspaceId};

/// `POST join`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct JoinRequest {
    /// The ticket.
    pub ticket: String,
    /// Whether the runs of the present workspace stay where they are: the other is joined beside
    /// it, and is the one that clients get if they name none.
    #[serde(default)]
    pub leave_behind: bool,
    /// Whether to join without meeting anybody: the join travels in a bundle of this device.
    #[serde(default)]
    pub unmet: bool,
    /// Under which name the workspace is joined beside those of this device; without one, it takes
    /// the place of the present one, with its runs.
    #[serde(default)]
    pub name: Option<String>,
    /// Members to ask beside those that the ticket names, each as `DEVICE@IP:PORT`.
    #[serde(default)]
    pub through: Vec<String>,
}

/// The answer to `POST join`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Joined {
    /// The workspace that was joined.
    pub workspace: Named<WorkspaceId>,
    /// The member that let us in.
    pub through: Named<DeviceId>,
    /// What this device may do there.
    pub role: Role,
    /// How many runs were taken along.
    pub runs_taken: u64,
    /// What the workspace is called in addresses on this device.
    #[serde(default)]
    pub place: String,
}

/// An element of the answer to `GET join`: a workspace that is being joined, by whoever asked for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Joining {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// The member that is called, and what it calls itself once it has answered.
    pub through: Named<DeviceId>,
    /// How far it has come.
    pub stage: JoinStage,
    /// Entries that have come of it.
    pub entries: u64,
    /// Entries that the member holds beyond these, as far as it has said.
    pub entries_to_come: u64,
    /// Runs that are in what has come.
    pub runs: u64,
}

/// How far joining has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum JoinStage {
    /// A member is called, and has not answered.
    Calling,
    /// What the workspace holds comes, up to the invitation.
    TakingIn,
    /// What this device had is taken along.
    TakingAlong,
}
