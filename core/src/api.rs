//! The JSON of runmesh's own HTTP API, as the daemon sends it and the CLI reads it.
//!
//! Invariants: times are milliseconds since 1970, sizes are bytes, and fields are only ever added.
//! Everything under [`ROOT`]; what changes a device or its workspace's membership demands the
//! home's token (`Authorization: Bearer`), the rest is as open as the client protocols are.

mod audit;
mod blobs;
mod bundles;
mod conflicts;
mod doctor;
mod invite;
mod join;
mod logged_models;
mod members;
mod models;
mod runs;
mod status;
mod table;
mod value;
mod workspaces;

use serde::{Deserialize, Serialize};

pub use self::audit::{AuditFlaw, AuditLine, AuditPage, AuditQuery, AuditReport};
pub use self::blobs::{
    CollectRequest, Collected, Held, Holder, KeptBlobs, KeptWhy, PinInfo, PinRequest, PurgeRequest,
    Purged, PurgedRuns, Transfer, Transfers,
};
pub use self::bundles::{
    BundleBlobs, BundleHead, BundleReport, ExportRequest, MissingEntries, StuckJournal, WatchStatus,
};
pub use self::conflicts::{ConflictInfo, ConflictValue, Conflicts, ResolveConflict};
pub use self::doctor::{Check, Diagnosis, DoctorScope, Verdict};
pub use self::invite::{Invitation, InviteRequest};
pub use self::join::{JoinRequest, JoinStage, Joined, Joining};
pub use self::logged_models::LoggedModelDetails;
pub use self::members::{
    FormerMember, MemberInfo, Members, OpenTicket, RecoveryTicket, RefusedJoin, RemoveRequest,
    RenameRequest, RevokeRequest, RoleRequest,
};
pub use self::models::{
    ModelDetails, ModelEvent, ModelVersion, PromoteModel, RegisterModel, RegisteredModel,
    ResolveModel, VersionLabel, VersionOfRun,
};
pub use self::runs::{
    Artifact, ArtifactFile, Experiment, FoundRuns, MetricSummary, Run, RunDetails, RunSearch,
};
pub use self::status::{
    BlobStatus, DiskStatus, Named, Peer, Status, SyncReport, SyncRequest, Traffic,
};
pub use self::table::{
    Cell, Columns, Curve, CurveAxis, CurveQuery, ExperimentUpdate, Group, GroupQuery, Groups,
    NewExperiment, RunsUpdate, SavedView, Spread, TablePage, TableQuery, TableRow, ViewUpdate,
};
pub use self::value::Value;
pub use self::workspaces::{
    CopiedRun, Copies, CopyRequest, CreateWorkspace, LeaveReport, LeaveWorkspace, PLACES,
    RenameWorkspace, UseWorkspace, WorkspaceInfo,
};
pub use crate::act::Role;
use crate::ids::DeviceId;

/// What all paths of this API start with.
pub const ROOT: &str = "/api/v1";

/// The header with which a request names the device it means. The daemon of another refuses it,
/// so that a port which has changed hands misleads nobody.
pub const DEVICE_HEADER: &str = "runmesh-device";

/// How many values of a history a [`MetricSummary`] carries at most.
pub const MAX_TREND: usize = 60;

/// Where a daemon listens: `daemon.json` in its home.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaemonFile {
    /// Its process id.
    pub pid: u32,
    /// The address of its HTTP API: host and port.
    pub http: String,
    /// The device.
    pub device: DeviceId,
}

/// The body of every answer that is not a success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ErrorBody {
    /// What went wrong.
    pub error: ApiError,
}

/// What went wrong, for programs and for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[error("{message}")]
pub struct ApiError {
    /// For programs.
    pub code: ErrorCode,
    /// What happened and why.
    pub message: String,
    /// What to do next, where we know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// What kind of thing went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// The request makes no sense.
    Invalid,
    /// There is no such thing, or more than one.
    NotFound,
    /// The token is missing or wrong.
    Unauthorized,
    /// It is not allowed as things are.
    Refused,
    /// Another device listens here.
    WrongDevice,
    /// No peer that is needed can be reached.
    Unreachable,
    /// It took longer than the request allowed.
    TimedOut,
    /// The disk is full, or the daemon stops.
    Unavailable,
    /// A fault of this program or of the disk.
    Internal,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_its_code_in_one_word() {
        let error = ApiError {
            code: ErrorCode::NotFound,
            message: "no run starts with 7f".to_owned(),
            hint: None,
        };
        let json = serde_json::to_string(&ErrorBody { error }).expect("JSON");
        assert_eq!(json, r#"{"error":{"code":"not_found","message":"no run starts with 7f"}}"#);
    }
}
