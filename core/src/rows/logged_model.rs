//! A logged model's fields, read from its document's row.
//!
//! Its metrics are not in its document: they are points of the runs that measured it.

use crate::clock::Clock;
use crate::document::Container;
use crate::ids::{DocumentId, DocumentKind, ExperimentId};
use crate::index::fields::info;
use crate::rows::{DocumentRow, Lifecycle};

/// How far a logged model has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ModelStatus {
    /// Nobody has said.
    #[default]
    Unspecified,
    /// Its files are being written.
    Pending,
    /// It can be used.
    Ready,
    /// Writing it failed.
    Failed,
}

impl ModelStatus {
    /// All of them, in the order of the numbers by which clients may ask for them.
    pub const ALL: [Self; 4] = [Self::Unspecified, Self::Pending, Self::Ready, Self::Failed];

    /// The word that documents and searches use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unspecified => "UNSPECIFIED",
            Self::Pending => "PENDING",
            Self::Ready => "READY",
            Self::Failed => "FAILED",
        }
    }

    /// The status of this word, in upper case.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == word)
    }
}

/// A logged model as its row has it.
#[derive(Debug, Clone, Copy)]
pub struct LoggedModel<'a> {
    row: &'a DocumentRow,
}

impl<'a> LoggedModel<'a> {
    /// The logged model of a row, if it is one's and has arrived whole enough to be shown.
    pub fn of(row: &'a DocumentRow) -> Option<Self> {
        let model = Self { row };
        (row.document.kind() == Some(DocumentKind::LoggedModel) && model.experiment().is_some())
            .then_some(model)
    }

    /// What clients know it by, and what points and runs name it by.
    pub fn id(&self) -> String {
        self.row.document.as_logged_model().expect("checked: it is a logged model's")
    }

    /// Its document, whose id is random.
    pub const fn document(&self) -> DocumentId {
        self.row.document
    }

    /// The experiment it belongs to.
    pub fn experiment(&self) -> Option<ExperimentId> {
        DocumentId::from_reference(self.text(info::EXPERIMENT)?)?.as_experiment()
    }

    /// Its name. Several may have one.
    pub fn name(&self) -> &'a str {
        self.text(info::NAME).unwrap_or_default()
    }

    /// What kind of model it is, as the client says; empty if it does not say.
    pub fn model_type(&self) -> &'a str {
        self.text(info::MODEL_TYPE).unwrap_or_default()
    }

    /// The run that produced it, as the client says; empty if none did.
    pub fn source_run(&self) -> &'a str {
        self.text(info::SOURCE_RUN).unwrap_or_default()
    }

    /// How far it has come.
    pub fn status(&self) -> ModelStatus {
        self.text(info::STATUS).and_then(ModelStatus::from_word).unwrap_or_default()
    }

    /// In use or deleted.
    pub fn lifecycle(&self) -> Lifecycle {
        match self.text(info::LIFECYCLE) {
            Some(word) if word == Lifecycle::Deleted.as_str() => Lifecycle::Deleted,
            _ => Lifecycle::Active,
        }
    }

    /// Creation, in milliseconds since 1970.
    pub fn created_ms(&self) -> i64 {
        let created = self.row.integer(Container::Info, info::CREATED).unwrap_or_default();
        Clock(created as u64).millis() as i64
    }

    /// Last change of its status or deletion, in milliseconds since 1970.
    pub fn updated_ms(&self) -> i64 {
        self.row.integer(Container::Info, info::UPDATED_MS).unwrap_or_default()
    }

    /// Params, by key.
    pub fn params(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        self.row.texts(Container::Params)
    }

    /// The value of a param.
    pub fn param(&self, key: &str) -> Option<&'a str> {
        self.row.text(Container::Params, key)
    }

    /// Tags, by key.
    pub fn tags(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        self.row.texts(Container::Tags)
    }

    /// The value of a tag.
    pub fn tag(&self, key: &str) -> Option<&'a str> {
        self.row.text(Container::Tags, key)
    }

    fn text(&self, key: &str) -> Option<&'a str> {
        self.row.text(Container::Info, key)
    }
}
