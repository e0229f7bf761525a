//! Finding models and versions, for readers and for the planner alike.

use super::event::Event;
use super::view::{Conflict, Model, Stage, Version, is_deleted};
use crate::document::Container;
use crate::ids::{DocumentId, DocumentKind};
use crate::index::fields::info;
use crate::index::{DocumentIndex, Lookup, LookupKey};
use crate::rows::DocumentRow;
use crate::store::{Snapshot, StoreError};

/// Where rows are found: a snapshot, or the rows that a transaction changes.
pub trait Documents {
    /// The row of a document.
    fn row_of(&mut self, id: &DocumentId) -> Result<Option<DocumentRow>, StoreError>;
    /// The documents whose keys have this head, in order.
    fn found(&mut self, head: &LookupKey) -> Result<Vec<DocumentId>, StoreError>;
    /// The last of them.
    fn last_found(&mut self, head: &LookupKey) -> Result<Option<DocumentId>, StoreError>;
    /// The version that this device served last under a number of a model.
    fn served_version(
        &mut self,
        model: &DocumentId,
        number: i64,
    ) -> Result<Option<DocumentId>, StoreError>;
}

impl Documents for &Snapshot {
    fn row_of(&mut self, id: &DocumentId) -> Result<Option<DocumentRow>, StoreError> {
        self.document(id)
    }

    fn found(&mut self, head: &LookupKey) -> Result<Vec<DocumentId>, StoreError> {
        self.find(head)?.collect()
    }

    fn last_found(&mut self, head: &LookupKey) -> Result<Option<DocumentId>, StoreError> {
        self.find(head)?.next_back().transpose()
    }

    fn served_version(
        &mut self,
        model: &DocumentId,
        number: i64,
    ) -> Result<Option<DocumentId>, StoreError> {
        Snapshot::served_version(self, model, number)
    }
}

impl Documents for &mut DocumentIndex<'_> {
    fn row_of(&mut self, id: &DocumentId) -> Result<Option<DocumentRow>, StoreError> {
        Ok(self.row(id)?.cloned())
    }

    fn found(&mut self, head: &LookupKey) -> Result<Vec<DocumentId>, StoreError> {
        self.find(head)
    }

    fn last_found(&mut self, head: &LookupKey) -> Result<Option<DocumentId>, StoreError> {
        self.find_last(head)
    }

    fn served_version(
        &mut self,
        model: &DocumentId,
        number: i64,
    ) -> Result<Option<DocumentId>, StoreError> {
        DocumentIndex::served_version(self, model, number)
    }
}

/// What a number of a model stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Numbered {
    /// Nothing, or something deleted.
    Nothing,
    /// This version.
    Served(Version),
    /// Members that never served another serve this version; this one did, and serves neither.
    Contested {
        /// What others serve.
        elsewhere: Version,
        /// What was served here.
        here: DocumentId,
    },
}

/// The models and versions among some documents.
pub struct Registry<D>(D);

impl<D: Documents> Registry<D> {
    /// The models and versions among these.
    pub const fn new(documents: D) -> Self {
        Self(documents)
    }

    /// The model that holds a name, or the second of its name under `name~2` and so on.
    pub fn model(&mut self, name: &str) -> Result<Option<Model>, StoreError> {
        if let Some(model) = self.holder(name, 1)? {
            return Ok(Some(model));
        }
        let Some((stem, rank)) = name.rsplit_once('~') else { return Ok(None) };
        match rank.parse() {
            Ok(rank @ 2..) => self.holder(stem, rank),
            _ => Ok(None),
        }
    }

    fn holder(&mut self, name: &str, rank: usize) -> Result<Option<Model>, StoreError> {
        let holders = self.0.found(&LookupKey::new(Lookup::ModelName).text(name))?;
        match holders.get(rank - 1) {
            Some(id) => Ok(self.0.row_of(id)?.map(|row| named(row, rank))),
            None => Ok(None),
        }
    }

    /// A model by its document, unless it is deleted.
    pub fn model_of(&mut self, id: &DocumentId) -> Result<Option<Model>, StoreError> {
        let row = self.0.row_of(id)?.filter(|row| !is_deleted(row));
        let Some(row) = row else { return Ok(None) };
        // A model that arrived before what says its name has none yet.
        let Some(name) = row.text(Container::Info, info::NAME) else { return Ok(None) };
        let holders = self.0.found(&LookupKey::new(Lookup::ModelName).text(name))?;
        let rank = holders.iter().position(|holder| holder == id).map_or(1, |at| at + 1);
        Ok(Some(named(row, rank)))
    }

    /// All models that are not deleted, by name.
    pub fn models(&mut self) -> Result<Vec<Model>, StoreError> {
        let mut models: Vec<Model> = Vec::new();
        let mut rank = 1;
        for id in self.0.found(&LookupKey::new(Lookup::ModelName))? {
            let Some(row) = self.0.row_of(&id)? else { continue };
            let name = |row: &DocumentRow| row.text(Container::Info, info::NAME).map(str::to_owned);
            let same = models.last().is_some_and(|last| name(&last.row) == name(&row));
            rank = if same { rank + 1 } else { 1 };
            models.push(named(row, rank));
        }
        Ok(models)
    }

    /// All versions of a model that are not deleted, by number and registration.
    pub fn versions(&mut self, model: &DocumentId) -> Result<Vec<Version>, StoreError> {
        let ids = self.0.found(&LookupKey::new(Lookup::ModelVersion).document(model))?;
        self.rows(ids)
    }

    fn rows(&mut self, ids: Vec<DocumentId>) -> Result<Vec<Version>, StoreError> {
        let mut versions = Vec::with_capacity(ids.len());
        for id in ids {
            versions.extend(self.version_of(&id)?);
        }
        Ok(versions)
    }

    /// A version by its document, unless it is deleted.
    pub fn version_of(&mut self, id: &DocumentId) -> Result<Option<Version>, StoreError> {
        if id.kind() != Some(DocumentKind::ModelVersion) {
            return Ok(None);
        }
        let version = self.0.row_of(id)?.map(|row| Version { row });
        Ok(version.filter(|version| !version.is_deleted()))
    }

    /// The versions that claim a number, the one that is served first. Deleted ones are left out.
    pub fn claims(&mut self, model: &DocumentId, number: i64) -> Result<Vec<Version>, StoreError> {
        let head = LookupKey::new(Lookup::ModelVersion).document(model).integer(number);
        let ids = self.0.found(&head)?;
        let mut versions = self.rows(ids)?;
        versions.sort_by_key(Version::rank);
        Ok(versions)
    }

    /// What a number stands for on this device.
    pub fn numbered(&mut self, model: &DocumentId, number: i64) -> Result<Numbered, StoreError> {
        let Some(served) = self.claims(model, number)?.into_iter().next() else {
            return Ok(Numbered::Nothing);
        };
        let Some(here) = self.0.served_version(model, number)? else {
            return Ok(Numbered::Served(served));
        };
        // A version that has another number now, or that a writer gave this one, is not contested.
        let before = self.0.row_of(&here)?.map(|row| Version { row });
        let claims = |version: &Version| {
            version.model().as_ref() == Some(model) && version.number() == number
        };
        if here == served.id() || served.is_settled() || !before.as_ref().is_some_and(claims) {
            return Ok(Numbered::Served(served));
        }
        Ok(Numbered::Contested { elsewhere: served, here })
    }

    /// The highest number that a version ever claimed, deleted ones included; 0 if none did.
    pub fn last_number(&mut self, model: &DocumentId) -> Result<i64, StoreError> {
        let last = self.0.last_found(&LookupKey::new(Lookup::ModelVersion).document(model))?;
        let Some(id) = last else { return Ok(0) };
        let row = self.0.row_of(&id)?;
        Ok(row.map_or(0, |row| Version { row }.number()))
    }

    /// The version with the highest number in a stage.
    pub fn latest_in(
        &mut self,
        model: &DocumentId,
        stage: Stage,
    ) -> Result<Option<Version>, StoreError> {
        let head = LookupKey::new(Lookup::ModelStage).document(model).text(stage.as_str());
        let Some(last) = self.0.last_found(&head)? else { return Ok(None) };
        let Some(version) = self.version_of(&last)? else { return Ok(None) };
        // Almost always the one that is served under its number.
        if self.is_served(model, &version)? {
            return Ok(Some(version));
        }
        for id in self.0.found(&head)?.into_iter().rev() {
            if let Some(version) = self.version_of(&id)?
                && self.is_served(model, &version)?
            {
                return Ok(Some(version));
            }
        }
        Ok(None)
    }

    /// Whether this device serves a version under its number.
    pub fn is_served_here(
        &mut self,
        model: &DocumentId,
        version: &Version,
    ) -> Result<bool, StoreError> {
        let numbered = self.numbered(model, version.number())?;
        Ok(matches!(numbered, Numbered::Served(served) if served.id() == version.id()))
    }

    fn is_served(&mut self, model: &DocumentId, version: &Version) -> Result<bool, StoreError> {
        let claims = self.claims(model, version.number())?;
        Ok(claims.first().is_some_and(|first| first.id() == version.id()))
    }

    /// The version with the highest number in each stage that has any.
    pub fn latest(&mut self, model: &DocumentId) -> Result<Vec<Version>, StoreError> {
        let latest = Stage::ALL.map(|stage| self.latest_in(model, stage));
        latest.into_iter().filter_map(Result::transpose).collect()
    }

    /// The version that an alias names, unless it was deleted.
    pub fn aliased(&mut self, model: &Model, alias: &str) -> Result<Option<Version>, StoreError> {
        match model.alias(alias) {
            Some(id) => self.version_of(&id),
            None => Ok(None),
        }
    }

    /// The versions that carry a semantic version: one, unless devices that were apart gave it to
    /// several.
    pub fn with_semver(
        &mut self,
        model: &DocumentId,
        semver: &semver::Version,
    ) -> Result<Vec<Version>, StoreError> {
        let mut versions = self.versions(model)?;
        versions.retain(|version| version.semver().as_ref() == Some(semver));
        Ok(versions)
    }

    /// What devices that were apart did to the model, and no writer has resolved.
    pub fn conflicts(
        &mut self,
        model: &Model,
        versions: &[Version],
    ) -> Result<Vec<Conflict>, StoreError> {
        let mut conflicts: Vec<Conflict> = model.conflicts().collect();
        let numbers = versions.chunk_by(|a, b| a.number() == b.number());
        let twice = numbers.filter(|claims| claims.len() > 1).map(|claims| claims[0].number());
        conflicts.extend(twice.map(Conflict::Number));
        for version in versions {
            // One that claims a number alone may still not be what was shown under it here.
            let number = Conflict::Number(version.number());
            let contested =
                matches!(self.numbered(&model.id(), version.number())?, Numbered::Contested { .. });
            if contested && !conflicts.contains(&number) {
                conflicts.push(number);
            }
        }
        let mut semvers: Vec<&str> = versions.iter().map(Version::semver_text).collect();
        semvers.retain(|text| !text.is_empty());
        semvers.sort_unstable();
        let twice = semvers.chunk_by(|a, b| a == b).filter(|same| same.len() > 1);
        conflicts.extend(twice.map(|same| Conflict::Semver(same[0].to_owned())));
        conflicts.sort_unstable();
        Ok(conflicts)
    }

    /// All that was done to a model and its versions, deleted ones too, the latest first.
    pub fn history(&mut self, model: &Model) -> Result<Vec<Event>, StoreError> {
        let mut events: Vec<(String, Event)> = Event::all_of(&model.row).collect();
        for id in self.0.found(&LookupKey::new(Lookup::ModelVersion).document(&model.id()))? {
            if let Some(row) = self.0.row_of(&id)? {
                events.extend(Event::all_of(&row));
            }
        }
        // What one act did to several documents stays in the order of its importance.
        events.sort_unstable_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        Ok(events.into_iter().map(|(_, event)| event).collect())
    }
}

/// A model as it is shown: the second of a name as `name~2`.
fn named(row: DocumentRow, rank: usize) -> Model {
    let name = row.text(Container::Info, info::NAME).unwrap_or_default();
    let name = if rank > 1 { format!("{name}~{rank}") } else { name.to_owned() };
    Model { name, row }
}
