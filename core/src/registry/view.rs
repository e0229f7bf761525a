//! Models and versions as their documents say they are: the one place that knows their fields.

use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::document::Container;
use crate::ids::DocumentId;
use crate::rows::{DocumentRow, Lifecycle};

/// Keys of the `info` map of models and versions, beside those that other kinds have too.
pub(crate) mod info {
    pub(crate) const LOGGED_MODEL: &str = "model_id";
    pub(crate) const RENAMED_MS: &str = "renamed_ms";
    pub(crate) const RUN: &str = "run_id";
    pub(crate) const RUN_LINK: &str = "run_link";
    pub(crate) const SEMVER: &str = "semver";
    pub(crate) const SETTLED: &str = "settled";
    pub(crate) const SOURCE: &str = "source";
    pub(crate) const STAGE: &str = "stage";
    pub(crate) const STORAGE: &str = "storage";
}

/// Which version was last moved to a stage stands in a model's `info` under this and the stage's
/// name, so that two moves made while apart show as a conflict.
const HOLDER: &str = "stage/";

/// How far a version has come, in MLflow's words.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Stage {
    /// Just registered.
    #[default]
    None,
    /// Being tried.
    Staging,
    /// In use.
    Production,
    /// No longer in use.
    Archived,
}

impl Stage {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::None, Self::Staging, Self::Production, Self::Archived];

    /// The word that documents and clients use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Staging => "Staging",
            Self::Production => "Production",
            Self::Archived => "Archived",
        }
    }

    /// The stage of a word, in any case.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.as_str().eq_ignore_ascii_case(word))
    }

    /// Whether versions in it are in use or about to be.
    pub const fn is_active(self) -> bool {
        matches!(self, Self::Staging | Self::Production)
    }

    pub(crate) fn holder_key(self) -> String {
        format!("{HOLDER}{}", self.as_str())
    }
}

fn millis(row: &DocumentRow, key: &str) -> i64 {
    row.integer(Container::Info, key).unwrap_or_default()
}

fn created(row: &DocumentRow) -> Clock {
    Clock(millis(row, crate::index::fields::info::CREATED) as u64)
}

/// Whether a document's lifecycle says that it is deleted.
pub(crate) fn is_deleted(row: &DocumentRow) -> bool {
    let lifecycle = row.text(Container::Info, crate::index::fields::info::LIFECYCLE);
    lifecycle == Some(Lifecycle::Deleted.as_str())
}

/// A registered model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// What it is called; `name~2` where another model has the name already.
    pub name: String,
    /// All that is known of it.
    pub row: DocumentRow,
}

impl Model {
    /// Its document.
    pub const fn id(&self) -> DocumentId {
        self.row.document
    }

    /// When it was created.
    pub fn created(&self) -> Clock {
        created(&self.row)
    }

    /// Last change, in milliseconds since 1970.
    pub fn updated_ms(&self) -> i64 {
        millis(&self.row, crate::index::fields::info::UPDATED_MS)
    }

    /// Its aliases and the versions that they name.
    pub fn aliases(&self) -> impl Iterator<Item = (&str, DocumentId)> {
        let aliases = self.row.texts(Container::ALIASES);
        aliases.filter_map(|(alias, id)| Some((alias, DocumentId::from_reference(id)?)))
    }

    /// The version that an alias names.
    pub fn alias(&self, alias: &str) -> Option<DocumentId> {
        self.row.text(Container::ALIASES, alias).and_then(DocumentId::from_reference)
    }

    /// The value of a tag.
    pub fn tag(&self, key: &str) -> Option<&str> {
        self.row.text(Container::Tags, key)
    }

    /// What was set twice on devices that were apart, and waits for a writer to set it again.
    pub fn conflicts(&self) -> impl Iterator<Item = Conflict> {
        self.row.conflicts.iter().filter_map(|(container, key)| match *container {
            Container::ALIASES => Some(Conflict::Alias(key.clone())),
            Container::Info => {
                let stage = Stage::from_word(key.strip_prefix(HOLDER)?)?;
                Some(Conflict::Stage(stage))
            }
            _ => None,
        })
    }
}

/// What devices that were apart did to one thing of a model.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Conflict {
    /// They registered versions under one number.
    Number(i64),
    /// They gave one semantic version to two versions.
    Semver(String),
    /// They moved an alias to two versions.
    Alias(String),
    /// They moved two versions to a stage.
    Stage(Stage),
}

/// A version of a registered model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// All that is known of it.
    pub row: DocumentRow,
}

impl Version {
    /// Its document.
    pub const fn id(&self) -> DocumentId {
        self.row.document
    }

    fn text(&self, key: &str) -> &str {
        self.row.text(Container::Info, key).unwrap_or_default()
    }

    /// The model that it is of.
    pub fn model(&self) -> Option<DocumentId> {
        DocumentId::from_reference(self.text(crate::index::fields::info::MODEL))
    }

    /// The number that it claims.
    pub fn number(&self) -> i64 {
        millis(&self.row, crate::index::fields::info::NUMBER)
    }

    /// Whether a writer decided that the number is its, of all that claim it.
    pub(crate) fn is_settled(&self) -> bool {
        self.row.integer(Container::Info, info::SETTLED) == Some(self.number())
    }

    /// How far it has come.
    pub fn stage(&self) -> Stage {
        Stage::from_word(self.text(info::STAGE)).unwrap_or_default()
    }

    /// Where it came from, in the client's words.
    pub fn source(&self) -> &str {
        self.text(info::SOURCE)
    }

    /// Where its files are, in the client protocol's words.
    pub fn storage(&self) -> &str {
        match self.text(info::STORAGE) {
            "" => self.source(),
            storage => storage,
        }
    }

    /// The run that it came from, as the client says; empty if it says nothing.
    pub fn run_id(&self) -> &str {
        self.text(info::RUN)
    }

    /// A link to that run, as the client says.
    pub fn run_link(&self) -> &str {
        self.text(info::RUN_LINK)
    }

    /// The logged model that it came from; empty if there is none.
    pub fn logged_model(&self) -> &str {
        self.text(info::LOGGED_MODEL)
    }

    /// Its semantic version.
    pub fn semver(&self) -> Option<semver::Version> {
        self.text(info::SEMVER).parse().ok()
    }

    /// Its semantic version as text; empty if it has none.
    pub fn semver_text(&self) -> &str {
        self.text(info::SEMVER)
    }

    /// The value of a tag.
    pub fn tag(&self, key: &str) -> Option<&str> {
        self.row.text(Container::Tags, key)
    }

    /// When it was registered.
    pub fn created(&self) -> Clock {
        created(&self.row)
    }

    /// Last change, in milliseconds since 1970; renaming the model counts.
    pub fn updated_ms(&self, model: &Model) -> i64 {
        let own = millis(&self.row, crate::index::fields::info::UPDATED_MS);
        own.max(millis(&model.row, info::RENAMED_MS))
    }

    /// Whether it was deleted.
    pub fn is_deleted(&self) -> bool {
        is_deleted(&self.row)
    }

    /// Of all that claim a number the least is served.
    pub(crate) fn rank(&self) -> (bool, Clock, DocumentId) {
        (!self.is_settled(), self.created(), self.id())
    }
}
