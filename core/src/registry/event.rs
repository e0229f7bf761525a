//! What was done to a model and its versions: who, when, on which device, and why.
//!
//! An act is kept in the document that it changed, under a key that no other act has: the moment by
//! the device's clock, and the device. So acts done while apart never collide, and every member
//! shows all of them. The device is as the act says; the journals have the one that signed it.

use serde::{Deserialize, Serialize};

use super::view::Stage;
use crate::clock::Clock;
use crate::document::{Container, DocumentEdit};
use crate::ids::DeviceId;
use crate::rows::DocumentRow;

/// Which act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// The model was created.
    Created,
    /// The model was renamed.
    Renamed,
    /// The model was deleted.
    Deleted,
    /// A version was registered.
    Registered,
    /// A version was moved to a stage by a client of MLflow's.
    Moved,
    /// A version was promoted to a stage.
    Promoted,
    /// A version was brought back to a stage.
    RolledBack,
    /// A version left its stage because another took its place.
    Replaced,
    /// An alias was given to a version.
    AliasSet,
    /// An alias was taken away.
    AliasDeleted,
    /// A version was deleted.
    VersionDeleted,
    /// A version keeps the number that others had claimed too.
    NumberKept,
    /// A version got another number, for a writer gave its own to another.
    Renumbered,
}

/// An act.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Event {
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// What.
    pub what: EventKind,
    /// The number that the version had then, if the act was one on a version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<i64>,
    /// The alias, if it was about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    /// What was before: a stage, a name, or the number of a version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// What is since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Who did it, as the client says.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub who: String,
    /// On which device.
    pub device: DeviceId,
    /// Why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// Who asks for a change, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author {
    /// The device that the client talks to.
    pub device: DeviceId,
    /// The person, as the client says; empty if it says nothing.
    pub who: String,
    /// Why; may be empty.
    pub note: String,
}

impl Event {
    pub(crate) fn new(what: EventKind, clock: Clock, author: &Author) -> Self {
        Self {
            at_ms: clock.millis(),
            what,
            version: None,
            alias: None,
            from: None,
            to: None,
            who: author.who.clone(),
            device: author.device,
            note: author.note.clone(),
        }
    }

    pub(crate) fn version(mut self, number: i64) -> Self {
        self.version = Some(number);
        self
    }

    pub(crate) fn alias(mut self, alias: &str) -> Self {
        self.alias = Some(alias.to_owned());
        self
    }

    pub(crate) fn between(mut self, from: Option<String>, to: Option<String>) -> Self {
        (self.from, self.to) = (from, to);
        self
    }

    pub(crate) fn stages(self, from: Stage, to: Stage) -> Self {
        self.between(Some(from.as_str().to_owned()), Some(to.as_str().to_owned()))
    }

    /// Writes the act into the document that it changes.
    pub(crate) fn put(&self, edit: &mut DocumentEdit, clock: Clock) {
        let key = format!("{:016x}-{}", clock.0, self.device.short());
        let json = serde_json::to_string(self).expect("an act is plain data");
        edit.set(Container::HISTORY, &key, json.as_str());
    }

    /// The acts in a document, with their keys, which sort by when. Those that only a newer version
    /// understands are left out.
    pub(crate) fn all_of(row: &DocumentRow) -> impl Iterator<Item = (String, Self)> {
        let texts = row.texts(Container::HISTORY);
        texts.filter_map(|(key, json)| Some((key.to_owned(), serde_json::from_str(json).ok()?)))
    }
}
