//! Registered models: listing, showing, registering, promoting, bringing back, resolving.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::RunId;
use crate::registry::{Bump, Conflict, Event, Stage};

/// A registered model as lists show it: an element of the answer to `GET models`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RegisteredModel {
    /// Its name.
    pub name: String,
    /// Its note.
    pub description: String,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// When it was created.
    pub created_ms: i64,
    /// Last change.
    pub updated_ms: i64,
    /// How many versions it has that are not deleted.
    pub versions: u64,
    /// The version with the highest number in each stage that has any.
    pub stages: BTreeMap<Stage, VersionLabel>,
    /// Which version each alias names.
    pub aliases: BTreeMap<String, VersionLabel>,
    /// What devices that were apart did to it, and nobody has resolved.
    pub conflicts: Vec<Conflict>,
}

/// What a version is called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VersionLabel {
    /// Its number.
    pub number: i64,
    /// Its semantic version.
    pub semver: Option<String>,
}

/// The answer to `GET models/NAME`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ModelDetails {
    /// What lists show of it.
    #[serde(flatten)]
    pub model: RegisteredModel,
    /// Its versions, the latest first.
    pub all: Vec<ModelVersion>,
    /// What was done to it and its versions, the latest first.
    pub history: Vec<ModelEvent>,
}

/// An element of the answer to `GET runs/RUN/versions`: what a run was registered as.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VersionOfRun {
    /// The registered model.
    pub model: String,
    /// The version of it.
    pub version: ModelVersion,
}

/// A version of a registered model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ModelVersion {
    /// What names it for ever, whatever number it has.
    pub id: String,
    /// Its number.
    pub number: i64,
    /// Whether the number stands for it on this device. If not, another version claims it too.
    pub served: bool,
    /// Its semantic version.
    pub semver: Option<String>,
    /// How far it has come.
    pub stage: Stage,
    /// The aliases that name it.
    pub aliases: Vec<String>,
    /// When it was registered.
    pub created_ms: i64,
    /// Last change.
    pub updated_ms: i64,
    /// Its note.
    pub description: String,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// Where it came from.
    pub source: String,
    /// The run it came from, as the client said; empty if it said nothing.
    pub run_id: String,
    /// The run it came from, if it is here.
    pub run: Option<RunId>,
    /// The logged model it came from; empty if there is none.
    pub logged_model: String,
}

/// Something that was done to a model or a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ModelEvent {
    /// What, when, by whom and why.
    #[serde(flatten)]
    pub event: Event,
    /// What the device is called; empty if it is not known here.
    pub device_name: String,
}

/// `POST models/register`: registers a model that a run logged as the next version. Creates the
/// registered model if there is none of the name. Answers [`ModelVersion`], as all changes do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RegisterModel {
    /// The run's id, or the start of it.
    pub run: String,
    /// Where the model is among the run's artifacts, or what the logged model is called.
    #[serde(default = "default_path")]
    pub path: String,
    /// The registered model.
    pub name: String,
    /// What the next semantic version changes.
    #[serde(default)]
    pub bump: Option<Bump>,
    /// The semantic version, in place of a bump.
    #[serde(default)]
    pub semver: Option<String>,
    /// Whether changed inputs or outputs are let through without a new major version.
    #[serde(default)]
    pub force: bool,
    /// Its note.
    #[serde(default)]
    pub description: Option<String>,
    /// Who asks.
    #[serde(default)]
    pub who: String,
    /// Why, for the history.
    #[serde(default)]
    pub note: String,
}

fn default_path() -> String {
    "model".to_owned()
}

/// `POST models/promote`: moves a version to a stage, or gives it an alias.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PromoteModel {
    /// The registered model.
    pub name: String,
    /// The version: its number, its semantic version or the start of its id.
    pub version: String,
    /// The stage; Production if neither it nor an alias is given.
    #[serde(default)]
    pub stage: Option<Stage>,
    /// The alias.
    #[serde(default)]
    pub alias: Option<String>,
    /// Whether the other versions of the stage stay in it; else they are archived.
    #[serde(default)]
    pub keep_others: bool,
    /// Whether it is brought back after another turned out worse.
    #[serde(default)]
    pub rollback: bool,
    /// Who asks.
    #[serde(default)]
    pub who: String,
    /// Why.
    #[serde(default)]
    pub note: String,
}

/// `POST models/resolve`: says which of the versions that claim a number keeps it. The others get
/// the next ones.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ResolveModel {
    /// The registered model.
    pub name: String,
    /// The version that keeps its number: its id or the start of it.
    pub keep: String,
    /// Who asks.
    #[serde(default)]
    pub who: String,
    /// Why.
    #[serde(default)]
    pub note: String,
}
