//! What is asked and answered about members.

use serde::{Deserialize, Serialize};

use super::{Named, Role};
use crate::ids::{DeviceId, WorkspaceId};

/// The answer to `GET members`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Members {
    /// The workspace.
    pub workspace: Named<WorkspaceId>,
    /// Its members: admins, the most senior first, then the others as they joined.
    pub members: Vec<MemberInfo>,
    /// Devices that were removed.
    pub former: Vec<FormerMember>,
    /// Tickets by which devices can join.
    pub tickets: Vec<OpenTicket>,
    /// Devices that tried to join in vain.
    pub refused: Vec<RefusedJoin>,
}

/// A member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MemberInfo {
    /// Which device.
    pub device: Named<DeviceId>,
    /// What it may do.
    pub role: Role,
    /// When it joined, by its own clock, in milliseconds since 1970.
    pub since_ms: u64,
    /// Whether it founded the workspace.
    pub founder: bool,
    /// Whether it is the device that answers.
    pub here: bool,
}

/// A device that was removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FormerMember {
    /// Which device.
    pub device: Named<DeviceId>,
    /// Who removed it.
    pub by: Named<DeviceId>,
    /// When, by that device's clock, in milliseconds since 1970.
    pub at_ms: u64,
}

/// A ticket by which devices can join.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OpenTicket {
    /// The public half of its key, in hex: it names the ticket and is of no other use.
    pub key: String,
    /// Who made it.
    pub by: Named<DeviceId>,
    /// What who joins by it may do.
    pub role: Role,
    /// Until when it is good; `None` is for ever.
    pub expires_ms: Option<u64>,
    /// How many devices may still join by it.
    pub uses_left: u32,
    /// What who joins by it is called, if that was said.
    pub name: Option<String>,
    /// Whether it is a recovery ticket.
    pub recovery: bool,
}

/// A device that tried to join in vain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RefusedJoin {
    /// Which device.
    pub device: Named<DeviceId>,
    /// Why.
    pub reason: String,
}

/// `POST members/remove`. The device is named by its name or the start of its id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RemoveRequest {
    /// Which.
    pub device: String,
}

/// `POST members/role`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RoleRequest {
    /// Which device.
    pub device: String,
    /// What it may do from here on.
    pub role: Role,
}

/// `POST members/rename`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RenameRequest {
    /// Which device.
    pub device: String,
    /// What it is called from here on.
    pub name: String,
}

/// `POST members/revoke`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RevokeRequest {
    /// The ticket, or the start of its key's public half.
    pub ticket: String,
}

/// The answer to `GET recovery` and `DELETE recovery`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RecoveryTicket {
    /// The ticket, while this device keeps it.
    pub ticket: Option<String>,
}
