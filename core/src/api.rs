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
mod join;
mod logged_models;
mod members;
mod models;
mod table;
mod workspaces;

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

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
pub use self::table::{
    Cell, Columns, Curve, CurveAxis, CurveQuery, ExperimentUpdate, Group, GroupQuery, Groups,
    NewExperiment, RunsUpdate, SavedView, Spread, TablePage, TableQuery, TableRow, ViewUpdate,
};
pub use self::workspaces::{
    CopiedRun, Copies, CopyRequest, CreateWorkspace, LeaveReport, LeaveWorkspace, PLACES,
    RenameWorkspace, UseWorkspace, WorkspaceInfo,
};
pub use crate::act::Role;
use crate::ids::{BlobHash, DeviceId, RunId, WorkspaceId};
use crate::rows::{DatasetInput, KeyValue, Lifecycle, MetricContext, ModelOutput, RunStatus};

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

/// `POST invite`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct InviteRequest {
    /// What the joiner may do.
    #[serde(default = "writer")]
    pub role: Role,
    /// For how long the ticket is good; `None` is for ever.
    pub valid_for_ms: Option<u64>,
    /// How many devices may join by it.
    #[serde(default = "one")]
    pub uses: u32,
    /// What the joiner is called; only of a ticket for one device.
    #[serde(default)]
    pub name: Option<String>,
}

const fn writer() -> Role {
    Role::Writer
}

const fn one() -> u32 {
    1
}

/// The answer to `POST invite`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Invitation {
    /// The ticket. It is a key: who has it can join.
    pub ticket: String,
    /// What the joiner may do.
    pub role: Role,
    /// Until when it is good.
    pub expires_ms: Option<u64>,
    /// How many devices may join by it.
    pub uses: u32,
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

/// An element of the answer to `GET experiments`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Experiment {
    /// What clients call it: a decimal number.
    pub id: String,
    /// Its name.
    pub name: String,
    /// In use or deleted.
    pub lifecycle: Lifecycle,
    /// How many runs it has that are not deleted.
    pub runs: u64,
    /// When it was created.
    pub created_ms: i64,
    /// When it was last renamed, deleted or restored.
    pub updated_ms: i64,
    /// Its note.
    pub description: String,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
}

/// `POST runs/search`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RunSearch {
    /// Experiments to search, by name or id; none means all that are not deleted.
    #[serde(default)]
    pub experiments: Vec<String>,
    /// What to find, in MLflow's search language; empty finds all. It also knows `attributes.duration`, in
    /// milliseconds, and `attributes.device`, a device's name or the start of its id.
    #[serde(default)]
    pub filter: String,
    /// In which order, in MLflow's search language, by these too.
    #[serde(default)]
    pub order_by: Vec<String>,
    /// How many to return at most.
    pub limit: usize,
    /// Whether deleted runs are searched instead of those in use.
    #[serde(default)]
    pub deleted: bool,
}

/// The answer to `POST runs/search`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FoundRuns {
    /// The runs, in order.
    pub runs: Vec<Run>,
    /// Whether there are more.
    pub more: bool,
}

/// A run as lists show it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Run {
    /// Which.
    pub id: RunId,
    /// The experiment it belongs to.
    pub experiment: Named<String>,
    /// Its name.
    pub name: String,
    /// Who ran it, as the client says.
    pub user: String,
    /// How far it has come.
    pub status: RunStatus,
    /// In use or deleted.
    pub lifecycle: Lifecycle,
    /// When it started.
    pub start_ms: i64,
    /// When it ended.
    pub end_ms: Option<i64>,
    /// Its note.
    pub description: String,
    /// Its params.
    pub params: BTreeMap<String, String>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// The latest value of each metric.
    pub metrics: BTreeMap<String, Value>,
    /// Params that were set to two values on devices that were apart.
    pub conflicted_params: Vec<String>,
}

/// The answer to `GET runs/ID`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RunDetails {
    /// What lists show of it.
    #[serde(flatten)]
    pub run: Run,
    /// Its series.
    pub series: Vec<MetricSummary>,
    /// Datasets it read, as (name, digest).
    pub datasets: Vec<KeyValue>,
    /// The same datasets, with all that is known of them.
    #[serde(default)]
    pub inputs: Vec<DatasetInput>,
    /// Logged models it produced.
    #[serde(default)]
    pub outputs: Vec<ModelOutput>,
    /// What stands at the top of its artifacts.
    pub artifacts: Vec<Artifact>,
}

/// A series, drawn small.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MetricSummary {
    /// The metric's name.
    pub key: String,
    /// What else it belongs to.
    pub context: MetricContext,
    /// The latest point's step.
    pub step: i64,
    /// The latest point's time.
    pub timestamp_ms: i64,
    /// The latest point's value.
    pub value: Value,
    /// How many points there are.
    pub points: u64,
    /// The least of the values that are numbers.
    pub min: Option<Value>,
    /// The greatest of the values that are numbers.
    pub max: Option<Value>,
    /// At most [`MAX_TREND`] values of the history at even distances, the first and the last
    /// among them.
    pub trend: Vec<Value>,
}

/// A file or folder of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Artifact {
    /// Its path within the run.
    pub path: String,
    /// What it is, if it is a file.
    pub file: Option<ArtifactFile>,
}

/// A file of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ArtifactFile {
    /// The hash of its bytes.
    pub blob: BlobHash,
    /// How many there are.
    pub size: u64,
    /// Whether they are on this device. If not, reading it fetches them from a peer.
    pub here: bool,
}

/// A number that JSON may not have: what is not finite travels as "NaN", "Infinity", "-Infinity".
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Value(pub f64);

#[cfg(feature = "openapi")]
impl utoipa::PartialSchema for Value {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, Type};
        let words = ["NaN", "Infinity", "-Infinity"];
        let number = ObjectBuilder::new().schema_type(Type::Number);
        let word = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(words));
        let about = "A number; what JSON has no number for is a word.";
        OneOfBuilder::new().item(number).item(word).description(Some(about)).into()
    }
}

#[cfg(feature = "openapi")]
impl utoipa::ToSchema for Value {}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            value if value.is_finite() => serializer.serialize_f64(value),
            value if value.is_nan() => serializer.serialize_str("NaN"),
            value if value > 0.0 => serializer.serialize_str("Infinity"),
            _ => serializer.serialize_str("-Infinity"),
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Number(f64),
            Word(String),
        }
        match Form::deserialize(deserializer)? {
            Form::Number(value) => Ok(Self(value)),
            Form::Word(word) => match word.as_str() {
                "NaN" => Ok(Self(f64::NAN)),
                "Infinity" => Ok(Self(f64::INFINITY)),
                "-Infinity" => Ok(Self(f64::NEG_INFINITY)),
                _ => Err(serde::de::Error::custom(format!("not a number: {word:?}"))),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_json_lacks_survive() {
        let values = [0.1, -0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, 5e-324];
        let json = serde_json::to_string(&values.map(Value)).expect("JSON");
        let back: Vec<Value> = serde_json::from_str(&json).expect("what we wrote");
        let bits = |value: &f64| if value.is_nan() { u64::MAX } else { value.to_bits() };
        let (values, back): (Vec<_>, Vec<_>) =
            (values.iter().map(bits).collect(), back.iter().map(|value| bits(&value.0)).collect());
        assert_eq!(values, back);
        assert!(serde_json::from_str::<Value>("\"many\"").is_err());
    }

    #[test]
    fn requests_may_leave_out_what_has_a_default() {
        let search: RunSearch = serde_json::from_str("{\"limit\": 3}").expect("a search");
        assert_eq!(search, RunSearch { limit: 3, ..Default::default() });
        let invite: InviteRequest = serde_json::from_str("{\"valid_for_ms\": 5}").expect("one");
        assert_eq!((invite.role, invite.uses), (Role::Writer, 1));
    }

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
