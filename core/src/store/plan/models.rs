//! Plans what is asked of the model registry.
//!
//! Every act on a model or a version is written into its history in the same edit.

use super::{Answer, Plan, Planned};
use crate::action::{
    ModelAction, ModelChange, ModelRefusal, Move, NewSemver, NewVersion, Refusal, VersionChange,
    VersionName,
};
use crate::clock::Clock;
use crate::document::{Container, DocumentEdit};
use crate::edit::Edit;
use crate::ids::{DocumentId, DocumentKind};
use crate::index::DocumentIndex;
use crate::index::fields::info;
use crate::registry::{
    Author, Event, EventKind, Model, Numbered, Registry, Stage, Version, info as of_version,
    next_semver,
};
use crate::rows::{KeyValue, Lifecycle};
use crate::store::StoreError;

/// What a plan is made with.
struct Planner<'a, 'txn> {
    index: &'a mut DocumentIndex<'txn>,
    clock: Clock,
    author: Author,
}

pub(super) fn plan(
    index: &mut DocumentIndex<'_>,
    clock: Clock,
    action: ModelAction,
    author: Author,
) -> Planned {
    let mut planner = Planner { index, clock, author };
    match action {
        ModelAction::Create { name, tags, description } => {
            planner.create(&name, &tags, description)
        }
        ModelAction::Update { model, change } => planner.update(&model, change),
        ModelAction::Register(new) => planner.register(new),
        ModelAction::UpdateVersion { model, version, change } => {
            planner.update_version(&model, &version, change)
        }
    }
}

fn refuse<T>(refusal: ModelRefusal) -> Planned<T> {
    Ok(Err(refusal.into()))
}

/// A plan that answers with a document.
fn answer(document: DocumentId, edits: Vec<(DocumentId, DocumentEdit)>) -> Planned {
    let changes =
        edits.into_iter().filter(|(_, edit)| !edit.puts.is_empty() || edit.description.is_some());
    let edits = changes.map(|(document, edit)| Edit::Document { document, edit }).collect();
    Ok(Ok(Plan { edits, answer: Answer::Document(document) }))
}

fn set_tags(edit: &mut DocumentEdit, tags: &[KeyValue]) {
    for tag in tags {
        edit.set(Container::Tags, &tag.key, tag.value.as_str());
    }
}

fn set_stage(edit: &mut DocumentEdit, stage: Stage) {
    edit.set(Container::Info, of_version::STAGE, stage.as_str());
}

impl<'txn> Planner<'_, 'txn> {
    fn registry(&mut self) -> Registry<&mut DocumentIndex<'txn>> {
        Registry::new(&mut *self.index)
    }

    fn event(&self, what: EventKind) -> Event {
        Event::new(what, self.clock, &self.author)
    }

    fn record(&self, edit: &mut DocumentEdit, event: &Event) {
        event.put(edit, self.clock);
    }

    /// Notes that a model or a version changed.
    fn touch(&self, edit: &mut DocumentEdit) {
        edit.set(Container::Info, info::UPDATED_MS, self.clock.millis() as i64);
    }

    fn model(&mut self, name: &str) -> Planned<Model> {
        let model = self.registry().model(name)?;
        Ok(model.ok_or_else(|| ModelRefusal::NoSuchModel(name.to_owned()).into()))
    }

    fn create(&mut self, name: &str, tags: &[KeyValue], description: Option<String>) -> Planned {
        if self.registry().model(name)?.is_some() {
            return refuse(ModelRefusal::NameTaken(name.to_owned()));
        }
        let (document, mut edit) = self.new_model(name)?;
        set_tags(&mut edit, tags);
        edit.description = description;
        answer(document, vec![(document, edit)])
    }

    fn new_model(&mut self, name: &str) -> Result<(DocumentId, DocumentEdit), StoreError> {
        let mut generation = 0;
        // An earlier one of the name was deleted, or renamed and keeps its document.
        while self.index.row(&DocumentId::registered_model(name, generation))?.is_some() {
            generation += 1;
        }
        let mut edit = DocumentEdit::default();
        edit.set(Container::Info, info::NAME, name);
        edit.set(Container::Info, info::LIFECYCLE, Lifecycle::Active.as_str());
        edit.set(Container::Info, info::CREATED, self.clock.0 as i64);
        self.touch(&mut edit);
        self.record(&mut edit, &self.event(EventKind::Created));
        Ok((DocumentId::registered_model(name, generation), edit))
    }

    fn update(&mut self, name: &str, change: ModelChange) -> Planned {
        let model = match self.model(name)? {
            Ok(model) => model,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let mut edit = DocumentEdit::default();
        match change {
            ModelChange::Rename(new) if new == model.name => {}
            ModelChange::Rename(new) => {
                if self.registry().model(&new)?.is_some() {
                    return refuse(ModelRefusal::NameTaken(new));
                }
                self.touch(&mut edit);
                edit.set(Container::Info, info::NAME, new.as_str());
                edit.set(Container::Info, of_version::RENAMED_MS, self.clock.millis() as i64);
                let renamed = self.event(EventKind::Renamed);
                self.record(&mut edit, &renamed.between(Some(model.name.clone()), Some(new)));
            }
            ModelChange::Delete => {
                edit.set(Container::Info, info::LIFECYCLE, Lifecycle::Deleted.as_str());
                self.touch(&mut edit);
                self.record(&mut edit, &self.event(EventKind::Deleted));
            }
            ModelChange::Describe(text) => {
                self.touch(&mut edit);
                edit.description = Some(text);
            }
            ModelChange::SetTag(tag) => edit.set(Container::Tags, &tag.key, tag.value.as_str()),
            ModelChange::DeleteTag(key) => edit.delete(Container::Tags, &key),
            ModelChange::SetAlias { alias, version } => {
                return self.set_alias(&model, &alias, &version);
            }
            ModelChange::DeleteAlias(alias) => self.delete_alias(&model, &alias, &mut edit)?,
        }
        answer(model.id(), vec![(model.id(), edit)])
    }

    fn set_alias(&mut self, model: &Model, alias: &str, version: &VersionName) -> Planned {
        let version = match self.version(model, version)? {
            Ok(version) => version,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let mut edit = DocumentEdit::default();
        edit.set(Container::ALIASES, alias, version.id().reference().as_str());
        let before = self.registry().aliased(model, alias)?;
        if before.as_ref().map(Version::id) != Some(version.id()) {
            let from = before.map(|before| before.number().to_string());
            let event = self.event(EventKind::AliasSet).alias(alias).version(version.number());
            let event = event.between(from, Some(version.number().to_string()));
            self.record(&mut edit, &event);
        }
        answer(model.id(), vec![(model.id(), edit)])
    }

    fn delete_alias(
        &mut self,
        model: &Model,
        alias: &str,
        edit: &mut DocumentEdit,
    ) -> Result<(), StoreError> {
        if model.alias(alias).is_none() {
            return Ok(());
        }
        edit.delete(Container::ALIASES, alias);
        let before = self.registry().aliased(model, alias)?;
        let from = before.map(|before| before.number().to_string());
        let event = self.event(EventKind::AliasDeleted).alias(alias);
        self.record(edit, &event.between(from, None));
        Ok(())
    }

    /// The version of a name, refused where the name could mean two.
    fn version(&mut self, model: &Model, name: &VersionName) -> Planned<Version> {
        let absent =
            || ModelRefusal::NoSuchVersion { model: model.name.clone(), version: name.to_string() };
        match name {
            VersionName::Id(id) => {
                let version = self.registry().version_of(id)?;
                let version = version.filter(|version| version.model() == Some(model.id()));
                Ok(version.ok_or_else(|| absent().into()))
            }
            VersionName::Number(number) => match self.registry().numbered(&model.id(), *number)? {
                Numbered::Served(version) => Ok(Ok(version)),
                Numbered::Nothing => refuse(absent()),
                Numbered::Contested { elsewhere, here } => refuse(ModelRefusal::Contested {
                    model: model.name.clone(),
                    number: *number,
                    here: here.reference(),
                    elsewhere: elsewhere.id().reference(),
                }),
            },
            VersionName::Semver(semver) => {
                let mut versions = self.registry().with_semver(&model.id(), semver)?;
                if versions.len() > 1 {
                    let numbers = versions.iter().map(|version| version.number().to_string());
                    return refuse(ModelRefusal::SemverAmbiguous {
                        model: model.name.clone(),
                        semver: semver.clone(),
                        numbers: numbers.collect::<Vec<_>>().join(", "),
                    });
                }
                Ok(versions.pop().ok_or_else(|| absent().into()))
            }
        }
    }

    fn register(&mut self, new: NewVersion) -> Planned {
        let found = self.registry().model(&new.model)?;
        let (model, mut model_edit) = match &found {
            Some(model) => (model.id(), DocumentEdit::default()),
            None if new.create_model => self.new_model(&new.model)?,
            None => return refuse(ModelRefusal::NoSuchModel(new.model)),
        };
        let semver = match self.new_semver(&new.model, &model, new.semver)? {
            Ok(semver) => semver,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let number = self.registry().last_number(&model)? + 1;
        let mut edit = DocumentEdit { puts: Vec::new(), description: new.description };
        edit.set(Container::Info, info::MODEL, model.reference().as_str());
        edit.set(Container::Info, info::NUMBER, number);
        edit.set(Container::Info, info::CREATED, self.clock.0 as i64);
        set_stage(&mut edit, Stage::None);
        self.touch(&mut edit);
        let semver = semver.map(|semver| semver.to_string()).unwrap_or_default();
        for (key, text) in [
            (of_version::SOURCE, new.source.as_str()),
            (of_version::STORAGE, new.storage.as_deref().unwrap_or_default()),
            (of_version::RUN, &new.run_id),
            (of_version::RUN_LINK, &new.run_link),
            (of_version::LOGGED_MODEL, &new.logged_model),
            (of_version::SEMVER, &semver),
        ] {
            if !text.is_empty() {
                edit.set(Container::Info, key, text);
            }
        }
        set_tags(&mut edit, &new.tags);
        let event = self.event(EventKind::Registered).version(number);
        let to = (!semver.is_empty()).then_some(semver);
        self.record(&mut edit, &event.between(None, to));
        self.touch(&mut model_edit);
        let version = DocumentId::new(DocumentKind::ModelVersion, new.id);
        answer(version, vec![(model, model_edit), (version, edit)])
    }

    fn new_semver(
        &mut self,
        name: &str,
        model: &DocumentId,
        wanted: NewSemver,
    ) -> Planned<Option<semver::Version>> {
        let semver = match wanted {
            NewSemver::None => return Ok(Ok(None)),
            NewSemver::Is(semver) => semver,
            NewSemver::Next(bump) => {
                let versions = self.registry().versions(model)?;
                let highest = versions.iter().filter_map(Version::semver).max();
                next_semver(highest.as_ref(), bump)
            }
        };
        let taken = self.registry().with_semver(model, &semver)?;
        match taken.first() {
            Some(version) => refuse(ModelRefusal::SemverTaken {
                model: name.to_owned(),
                semver,
                number: version.number(),
            }),
            None => Ok(Ok(Some(semver))),
        }
    }

    fn update_version(
        &mut self,
        name: &str,
        version: &VersionName,
        change: VersionChange,
    ) -> Planned {
        let model = match self.model(name)? {
            Ok(model) => model,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let version = match self.version(&model, version)? {
            Ok(version) => version,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let mut edit = DocumentEdit::default();
        match change {
            VersionChange::Describe(text) => {
                self.touch(&mut edit);
                edit.description = Some(text);
            }
            VersionChange::SetTag(tag) => edit.set(Container::Tags, &tag.key, tag.value.as_str()),
            VersionChange::DeleteTag(key) => edit.delete(Container::Tags, &key),
            VersionChange::SetSemver(None) => edit.delete(Container::Info, of_version::SEMVER),
            VersionChange::SetSemver(Some(semver)) => {
                if let Some(refusal) = self.semver_taken(&model, &version, &semver)? {
                    return Ok(Err(refusal));
                }
                edit.set(Container::Info, of_version::SEMVER, semver.to_string().as_str());
            }
            VersionChange::MoveTo { stage, archive_others, why } => {
                return self.move_to(&model, &version, stage, archive_others, why);
            }
            VersionChange::Delete => return self.delete_version(&model, &version),
            VersionChange::KeepNumber => return self.keep_number(&model, &version),
        }
        answer(version.id(), vec![(version.id(), edit)])
    }

    fn semver_taken(
        &mut self,
        model: &Model,
        version: &Version,
        semver: &semver::Version,
    ) -> Result<Option<Refusal>, StoreError> {
        let others = self.registry().with_semver(&model.id(), semver)?;
        let other = others.iter().find(|other| other.id() != version.id());
        Ok(other.map(|other| {
            ModelRefusal::SemverTaken {
                model: model.name.clone(),
                semver: semver.clone(),
                number: other.number(),
            }
            .into()
        }))
    }

    fn move_to(
        &mut self,
        model: &Model,
        version: &Version,
        stage: Stage,
        archive_others: bool,
        why: Move,
    ) -> Planned {
        let (mut model_edit, mut edit) = (DocumentEdit::default(), DocumentEdit::default());
        let mut edits = Vec::new();
        if archive_others {
            let others = self.registry().versions(&model.id())?.into_iter();
            let others =
                others.filter(|other| other.stage() == stage && other.id() != version.id());
            for other in others {
                let mut edit = DocumentEdit::default();
                set_stage(&mut edit, Stage::Archived);
                self.touch(&mut edit);
                let event = self.event(EventKind::Replaced).version(other.number());
                self.record(&mut edit, &event.stages(stage, Stage::Archived));
                edits.push((other.id(), edit));
            }
        }
        set_stage(&mut edit, stage);
        self.touch(&mut edit);
        self.touch(&mut model_edit);
        let what = match why {
            Move::Plain => EventKind::Moved,
            Move::Promotion => EventKind::Promoted,
            Move::Rollback => EventKind::RolledBack,
        };
        let event = self.event(what).version(version.number());
        self.record(&mut edit, &event.stages(version.stage(), stage));
        // Two moves to a stage made while apart show as a conflict of who holds it.
        let reference = version.id().reference();
        let left = version.stage().holder_key();
        if stage != version.stage() && model.row.text(Container::Info, &left) == Some(&reference) {
            model_edit.delete(Container::Info, &left);
        }
        if stage.is_active() {
            model_edit.set(Container::Info, &stage.holder_key(), reference.as_str());
        }
        edits.extend([(model.id(), model_edit), (version.id(), edit)]);
        answer(version.id(), edits)
    }

    fn delete_version(&mut self, model: &Model, version: &Version) -> Planned {
        let (mut model_edit, mut edit) = (DocumentEdit::default(), DocumentEdit::default());
        self.touch(&mut model_edit);
        for (alias, _) in model.aliases().filter(|(_, id)| *id == version.id()) {
            model_edit.delete(Container::ALIASES, alias);
        }
        edit.set(Container::Info, info::LIFECYCLE, Lifecycle::Deleted.as_str());
        self.touch(&mut edit);
        let event = self.event(EventKind::VersionDeleted).version(version.number());
        self.record(&mut edit, &event);
        answer(model.id(), vec![(model.id(), model_edit), (version.id(), edit)])
    }

    fn keep_number(&mut self, model: &Model, version: &Version) -> Planned {
        let number = version.number();
        let mut next = self.registry().last_number(&model.id())?;
        let mut edits = Vec::new();
        for other in self.registry().claims(&model.id(), number)? {
            if other.id() == version.id() {
                continue;
            }
            next += 1;
            let mut edit = DocumentEdit::default();
            edit.set(Container::Info, info::NUMBER, next);
            self.touch(&mut edit);
            let event = self.event(EventKind::Renumbered).version(next);
            let event = event.between(Some(number.to_string()), Some(next.to_string()));
            self.record(&mut edit, &event);
            edits.push((other.id(), edit));
        }
        let mut edit = DocumentEdit::default();
        edit.set(Container::Info, of_version::SETTLED, number);
        self.touch(&mut edit);
        self.record(&mut edit, &self.event(EventKind::NumberKept).version(number));
        edits.push((version.id(), edit));
        answer(version.id(), edits)
    }
}
