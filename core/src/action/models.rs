//! What clients ask of the model registry, and why it may refuse.

use crate::ids::DocumentId;
use crate::registry::{Bump, Stage};
use crate::rows::KeyValue;

/// What a client asks of the model registry. Models are named as they are shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelAction {
    /// Creates a registered model. Answers its document.
    Create {
        /// Its name, which no other has that is not deleted.
        name: String,
        /// Its first tags. Of one key given twice, the last counts.
        tags: Vec<KeyValue>,
        /// Its first note.
        description: Option<String>,
    },
    /// Changes a model. Answers its document.
    Update {
        /// Which.
        model: String,
        /// What.
        change: ModelChange,
    },
    /// Registers a version. Answers its document.
    Register(NewVersion),
    /// Changes a version. Answers its document.
    UpdateVersion {
        /// Of which model.
        model: String,
        /// Which.
        version: VersionName,
        /// What.
        change: VersionChange,
    },
}

/// A change of a registered model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelChange {
    /// Gives it another name; its versions go with it.
    Rename(String),
    /// Deletes it and its versions.
    Delete,
    /// Sets the note.
    Describe(String),
    /// Sets a tag.
    SetTag(KeyValue),
    /// Deletes a tag; none is no error.
    DeleteTag(String),
    /// Gives an alias to a version, whoever had it before.
    SetAlias {
        /// The alias.
        alias: String,
        /// The version.
        version: VersionName,
    },
    /// Takes an alias away; none is no error.
    DeleteAlias(String),
}

/// What a version is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VersionName {
    /// By its number.
    Number(i64),
    /// By its semantic version.
    Semver(semver::Version),
    /// By its document.
    Id(DocumentId),
}

impl std::fmt::Display for VersionName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Semver(semver) => semver.fmt(f),
            Self::Id(id) => f.write_str(&id.reference()),
        }
    }
}

/// Which semantic version a new version gets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum NewSemver {
    /// None.
    #[default]
    None,
    /// This one, which no other version of the model may have.
    Is(semver::Version),
    /// The one after the highest of the model.
    Next(Bump),
}

/// A version to be registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewVersion {
    /// Random bytes that name its document.
    pub id: [u8; 16],
    /// Of which model.
    pub model: String,
    /// Whether the model is created if there is none of the name.
    pub create_model: bool,
    /// Where it comes from, in the client's words.
    pub source: String,
    /// Where its files are, if the source does not say so.
    pub storage: Option<String>,
    /// The run that it comes from; may be empty, and need not exist.
    pub run_id: String,
    /// A link to that run; may be empty.
    pub run_link: String,
    /// The logged model that it comes from; may be empty.
    pub logged_model: String,
    /// Its first tags. Of one key given twice, the last counts.
    pub tags: Vec<KeyValue>,
    /// Its first note.
    pub description: Option<String>,
    /// Its semantic version.
    pub semver: NewSemver,
}

/// Why a version is moved to a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Move {
    /// A client of MLflow's asks for it.
    Plain,
    /// It is promoted.
    Promotion,
    /// It is brought back after another turned out worse.
    Rollback,
}

/// A change of a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VersionChange {
    /// Sets the note.
    Describe(String),
    /// Sets a tag.
    SetTag(KeyValue),
    /// Deletes a tag; none is no error.
    DeleteTag(String),
    /// Gives it a semantic version, or takes it away.
    SetSemver(Option<semver::Version>),
    /// Moves it to a stage.
    MoveTo {
        /// Which.
        stage: Stage,
        /// Whether the other versions of the stage are archived.
        archive_others: bool,
        /// Why.
        why: Move,
    },
    /// Deletes it. Its number is never used again.
    Delete,
    /// Says that the number is its, of all versions that claim it: the others get new ones.
    KeepNumber,
}

/// Why the registry refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModelRefusal {
    /// Another model has the name.
    #[error("a registered model named {0:?} already exists")]
    NameTaken(String),
    /// There is no such model.
    #[error("no registered model is named {0:?}")]
    NoSuchModel(String),
    /// There is no such version.
    #[error("model {model:?} has no version {version}")]
    NoSuchVersion {
        /// The model.
        model: String,
        /// What was asked for.
        version: String,
    },
    /// The number means another version here than elsewhere.
    #[error(
        "version {number} of {model:?} was registered on two devices while they were apart: this \
         device served {here}, others serve {elsewhere}; until a writer resolves it with `runmesh \
         models resolve`, this one serves neither by the number"
    )]
    Contested {
        /// The model.
        model: String,
        /// The number.
        number: i64,
        /// The document that this device served, by its reference.
        here: String,
        /// The document that other devices serve, by its reference.
        elsewhere: String,
    },
    /// Another version has the semantic version.
    #[error("version {number} of {model:?} is {semver} already")]
    SemverTaken {
        /// The model.
        model: String,
        /// The semantic version.
        semver: semver::Version,
        /// The version that has it.
        number: i64,
    },
    /// Several versions have the semantic version.
    #[error(
        "{semver} of {model:?} is several versions ({numbers}), given while devices were apart"
    )]
    SemverAmbiguous {
        /// The model.
        model: String,
        /// The semantic version.
        semver: semver::Version,
        /// Their numbers.
        numbers: String,
    },
}
