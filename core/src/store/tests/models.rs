//! Stories of the model registry: registered together and while apart, promoted, brought back.

use super::*;
use crate::action::{ModelAction, ModelChange, ModelRefusal, Move, VersionChange, VersionName};
use crate::registry::{
    Author, Bump, Conflict, Event, EventKind, Model, Numbered, Registry, Stage, Version,
};

fn number(number: i64) -> VersionName {
    VersionName::Number(number)
}

fn semver(text: &str) -> VersionName {
    VersionName::Semver(text.parse().unwrap())
}

impl Device {
    fn on_models(&mut self, action: ModelAction) -> Result<DocumentRow, Refusal> {
        let author =
            Author { device: device_id(self.seed), who: "ann".to_owned(), note: "why".to_owned() };
        let (action, author) = (Box::new(action), Box::new(author));
        match self.act(Action::Model { action, author })? {
            Outcome::Document(row) => Ok(*row),
            other => panic!("{other:?}"),
        }
    }

    fn create_model(&mut self, name: &str) -> Result<DocumentRow, Refusal> {
        let (name, tags) = (name.to_owned(), vec![KeyValue::new("team", "risk")]);
        self.on_models(ModelAction::Create { name, tags, description: None })
    }

    fn change_model(&mut self, name: &str, change: ModelChange) -> Result<DocumentRow, Refusal> {
        self.on_models(ModelAction::Update { model: name.to_owned(), change })
    }

    fn register_as(&mut self, id: u8, name: &str, semver: NewSemver) -> Result<Version, Refusal> {
        let row = self.on_models(ModelAction::Register(new_version(id, name, semver)))?;
        Ok(Version { row })
    }

    pub(super) fn add_version(&mut self, id: u8, name: &str) -> Version {
        self.register_as(id, name, NewSemver::None).unwrap()
    }

    fn change_version(
        &mut self,
        name: &str,
        version: VersionName,
        change: VersionChange,
    ) -> Result<DocumentRow, Refusal> {
        self.on_models(ModelAction::UpdateVersion { model: name.to_owned(), version, change })
    }

    fn promote(&mut self, name: &str, version: VersionName) -> Result<DocumentRow, Refusal> {
        let (stage, why) = (Stage::Production, Move::Promotion);
        self.change_version(
            name,
            version,
            VersionChange::MoveTo { stage, archive_others: true, why },
        )
    }

    fn set_alias(&mut self, name: &str, alias: &str, version: i64) {
        let change = ModelChange::SetAlias { alias: alias.to_owned(), version: number(version) };
        self.change_model(name, change).unwrap();
    }

    fn model_named(&self, name: &str) -> Option<Model> {
        Registry::new(&self.store.reader().snapshot().unwrap()).model(name).unwrap()
    }

    fn versions_of(&self, name: &str) -> Vec<Version> {
        let model = self.model_named(name).unwrap();
        Registry::new(&self.store.reader().snapshot().unwrap()).versions(&model.id()).unwrap()
    }

    fn numbered(&self, name: &str, number: i64) -> Numbered {
        let snapshot = self.store.reader().snapshot().unwrap();
        let model = self.model_named(name).unwrap();
        Registry::new(&snapshot).numbered(&model.id(), number).unwrap()
    }

    fn latest_in(&self, name: &str, stage: Stage) -> Option<i64> {
        let snapshot = self.store.reader().snapshot().unwrap();
        let model = self.model_named(name).unwrap();
        let latest = Registry::new(&snapshot).latest_in(&model.id(), stage).unwrap();
        latest.map(|version| version.number())
    }

    fn conflicts(&self, name: &str) -> Vec<Conflict> {
        let snapshot = self.store.reader().snapshot().unwrap();
        let model = self.model_named(name).unwrap();
        Registry::new(&snapshot).conflicts(&model, &self.versions_of(name)).unwrap()
    }

    fn history_of(&self, name: &str) -> Vec<Event> {
        let snapshot = self.store.reader().snapshot().unwrap();
        Registry::new(&snapshot).history(&self.model_named(name).unwrap()).unwrap()
    }
}

#[test]
fn numbers_are_given_in_order_and_never_again() {
    let mut ann = Device::founder();
    ann.create_model("fraud").unwrap();
    let taken = ModelRefusal::NameTaken("fraud".to_owned());
    assert_eq!(ann.create_model("fraud"), Err(taken.into()));
    assert_eq!(ann.add_version(1, "fraud").number(), 1);
    assert_eq!(ann.add_version(2, "fraud").number(), 2);
    ann.set_alias("fraud", "champion", 2);
    ann.change_version("fraud", number(2), VersionChange::Delete).unwrap();
    assert_eq!(ann.numbered("fraud", 2), Numbered::Nothing);
    assert_eq!(ann.model_named("fraud").unwrap().alias("champion"), None);
    assert_eq!(ann.add_version(3, "fraud").number(), 3);
    // A model of the name that comes after it starts anew.
    ann.change_model("fraud", ModelChange::Delete).unwrap();
    assert_eq!(ann.model_named("fraud"), None);
    assert_eq!(ann.add_version(4, "fraud").number(), 1);
    assert_eq!(ann.versions_of("fraud").len(), 1);
    let renamed = ModelChange::Rename("scam".to_owned());
    ann.change_model("fraud", renamed).unwrap();
    assert_eq!(ann.versions_of("scam").len(), 1);
    assert_eq!(ann.add_version(5, "fraud").number(), 1);
    assert_eq!(ann.contents(), ann.rebuilt());
}

#[test]
fn a_version_is_promoted_and_another_brought_back_and_everyone_sees_who_and_why() {
    let mut ann = Device::founder();
    let mut bob = Device::joiner(&mut ann, 2);
    for id in 1..=3 {
        ann.register_as(id, "fraud", NewSemver::Next(Bump::Minor)).unwrap();
    }
    ann.promote("fraud", semver("1.1.0")).unwrap();
    ann.promote("fraud", semver("1.2.0")).unwrap();
    let stages = |device: &Device| -> Vec<Stage> {
        device.versions_of("fraud").iter().map(Version::stage).collect()
    };
    assert_eq!(stages(&ann), [Stage::None, Stage::Archived, Stage::Production]);
    meet(&mut ann, &mut bob);
    let back = VersionChange::MoveTo {
        stage: Stage::Production,
        archive_others: true,
        why: Move::Rollback,
    };
    bob.change_version("fraud", semver("1.1.0"), back).unwrap();
    meet(&mut ann, &mut bob);
    assert_eq!(stages(&ann), [Stage::None, Stage::Production, Stage::Archived]);
    assert_eq!(ann.latest_in("fraud", Stage::Production), Some(2));
    assert_eq!(ann.conflicts("fraud"), []);
    let history = ann.history_of("fraud");
    let what: Vec<EventKind> = history.iter().map(|event| event.what).collect();
    assert_eq!(what[..2], [EventKind::RolledBack, EventKind::Replaced]);
    assert_eq!((history[0].version, history[0].device), (Some(2), device_id(2)));
    assert_eq!((history[0].who.as_str(), history[0].note.as_str()), ("ann", "why"));
    assert_eq!((history[0].from.as_deref(), history[0].to.as_deref()), {
        (Some("Archived"), Some("Production"))
    });
    assert_eq!(what.iter().filter(|what| **what == EventKind::Registered).count(), 3);
    assert_eq!(history, bob.history_of("fraud"));
    assert_eq!(ann.contents(), ann.rebuilt());
}

#[test]
fn two_versions_registered_as_one_number_while_apart_are_both_kept() {
    let mut ann = Device::founder();
    let mut bob = Device::joiner(&mut ann, 2);
    let mut eve = Device::joiner(&mut ann, 3);
    // Both create the model: one name is one model.
    let of_ann = ann.add_version(1, "fraud");
    ann.store.seal(NOW).unwrap();
    let of_bob = bob.add_version(2, "fraud");
    assert_eq!((of_ann.number(), of_bob.number()), (1, 1));
    meet(&mut ann, &mut bob);
    assert_eq!(ann.contents(), bob.contents());
    meet(&mut ann, &mut eve);
    assert_eq!(ann.versions_of("fraud").len(), 2);
    for device in [&ann, &bob, &eve] {
        assert_eq!(device.conflicts("fraud"), [Conflict::Number(1)]);
    }
    // One is served on every member but the one that had served the other.
    let served = |device: &Device| match device.numbered("fraud", 1) {
        Numbered::Served(version) => Some(version.id()),
        _ => None,
    };
    let winner = served(&eve).unwrap();
    let (right, wrong) = match winner == of_ann.id() {
        true => (&mut ann, &mut bob),
        false => (&mut bob, &mut ann),
    };
    let loser = if winner == of_ann.id() { of_bob.id() } else { of_ann.id() };
    assert_eq!(served(right), Some(winner));
    let contested = |device: &mut Device| device.promote("fraud", number(1));
    let Err(Refusal::Model(ModelRefusal::Contested { here, elsewhere, .. })) = contested(wrong)
    else {
        panic!("a pinned number became another model");
    };
    assert_eq!((here, elsewhere), (loser.reference(), winner.reference()));
    // Neither a restart nor a rebuild makes it forget what it had served.
    wrong.rebuilt();
    assert!(contested(wrong).is_err());
    // By its id each can be used, and the next number is free.
    wrong.promote("fraud", VersionName::Id(loser)).unwrap();
    assert_eq!(wrong.add_version(9, "fraud").number(), 2);

    let (wrong_seed, keep) = (wrong.seed, VersionChange::KeepNumber);
    wrong.change_version("fraud", VersionName::Id(loser), keep).unwrap();
    meet(&mut ann, &mut bob);
    meet(&mut ann, &mut eve);
    for device in [&ann, &bob, &eve] {
        assert_eq!(served(device), Some(loser), "resolved by {wrong_seed}");
        assert_eq!(device.conflicts("fraud"), []);
        let versions = device.versions_of("fraud");
        let moved = versions.iter().find(|version| version.id() == winner).unwrap();
        assert_eq!(moved.number(), 3);
    }
    assert_eq!(ann.contents(), ann.rebuilt());
}

#[test]
fn a_device_that_never_served_the_other_version_is_not_disturbed() {
    let mut ann = Device::founder();
    let mut bob = Device::joiner(&mut ann, 2);
    ann.add_version(1, "fraud");
    bob.add_version(2, "fraud");
    let mut eve = Device::joiner(&mut ann, 3);
    meet(&mut ann, &mut bob);
    meet(&mut bob, &mut eve);
    let Numbered::Served(version) = eve.numbered("fraud", 1) else { panic!("never served here") };
    // What a client was told counts, whoever registered it.
    let other = ann.versions_of("fraud").into_iter().find(|other| other.id() != version.id());
    let (model, other) = (version.model().unwrap(), other.unwrap());
    eve.store.note_served(&[(model, 1, other.id())]).unwrap();
    let elsewhere = version;
    let contested = Numbered::Contested { elsewhere, here: other.id() };
    assert_eq!(eve.numbered("fraud", 1), contested);
}

#[test]
fn an_alias_and_a_stage_moved_twice_while_apart_are_flagged_until_moved_again() {
    let mut ann = Device::founder();
    let mut bob = Device::joiner(&mut ann, 2);
    for id in 1..=3 {
        ann.add_version(id, "fraud");
    }
    meet(&mut ann, &mut bob);
    ann.set_alias("fraud", "champion", 2);
    bob.set_alias("fraud", "champion", 3);
    ann.promote("fraud", number(2)).unwrap();
    bob.promote("fraud", number(3)).unwrap();
    meet(&mut ann, &mut bob);
    assert_eq!(ann.contents(), bob.contents());
    let conflicts = [Conflict::Alias("champion".to_owned()), Conflict::Stage(Stage::Production)];
    assert_eq!(ann.conflicts("fraud"), conflicts);
    // Clients get one answer, the same everywhere.
    assert_eq!(ann.latest_in("fraud", Stage::Production), Some(3));
    assert!(ann.model_named("fraud").unwrap().alias("champion").is_some());
    bob.set_alias("fraud", "champion", 2);
    bob.promote("fraud", number(2)).unwrap();
    meet(&mut ann, &mut bob);
    assert_eq!(ann.conflicts("fraud"), []);
    assert_eq!(ann.latest_in("fraud", Stage::Production), Some(2));
    assert_eq!(ann.contents(), ann.rebuilt());
}

#[test]
fn creating_a_model_beats_deleting_it_meanwhile() {
    let mut ann = Device::founder();
    let mut bob = Device::joiner(&mut ann, 2);
    ann.add_version(1, "fraud");
    ann.change_model("fraud", ModelChange::Delete).unwrap();
    bob.create_model("fraud").unwrap();
    meet(&mut ann, &mut bob);
    for device in [&ann, &bob] {
        assert_eq!(device.versions_of("fraud").len(), 1);
    }
    assert_eq!(ann.contents(), bob.contents());
}

#[test]
fn one_name_of_two_models_is_told_apart() {
    let mut ann = Device::founder();
    let mut bob = Device::joiner(&mut ann, 2);
    ann.create_model("fraud").unwrap();
    bob.create_model("scam").unwrap();
    bob.change_model("scam", ModelChange::Rename("fraud".to_owned())).unwrap();
    meet(&mut ann, &mut bob);
    let second = ann.model_named("fraud~2").unwrap();
    assert_eq!(second.name, "fraud~2");
    assert_ne!(second.id(), ann.model_named("fraud").unwrap().id());
    let snapshot = ann.store.reader().snapshot().unwrap();
    let names: Vec<String> =
        Registry::new(&snapshot).models().unwrap().into_iter().map(|model| model.name).collect();
    assert_eq!(names, ["fraud", "fraud~2"]);
    ann.change_model("fraud~2", ModelChange::Rename("scam".to_owned())).unwrap();
    assert_eq!(ann.model_named("fraud~2"), None);
}

#[test]
fn a_semantic_version_is_of_one_version() {
    let mut ann = Device::founder();
    let mut bob = Device::joiner(&mut ann, 2);
    let is = |text: &str| NewSemver::Is(text.parse().unwrap());
    ann.register_as(1, "fraud", is("1.0.0")).unwrap();
    let taken = ann.register_as(2, "fraud", is("1.0.0"));
    assert!(matches!(taken, Err(Refusal::Model(ModelRefusal::SemverTaken { number: 1, .. }))));
    meet(&mut ann, &mut bob);
    ann.register_as(3, "fraud", NewSemver::Next(Bump::Major)).unwrap();
    bob.register_as(4, "fraud", NewSemver::Next(Bump::Major)).unwrap();
    meet(&mut ann, &mut bob);
    let both = [Conflict::Number(2), Conflict::Semver("2.0.0".to_owned())];
    assert_eq!(ann.conflicts("fraud"), both);
    let ambiguous = ann.promote("fraud", semver("2.0.0"));
    assert!(matches!(ambiguous, Err(Refusal::Model(ModelRefusal::SemverAmbiguous { .. }))));
    assert!(ann.promote("fraud", semver("1.0.0")).is_ok());
    let id = VersionName::Id(DocumentId::new(crate::ids::DocumentKind::ModelVersion, [4; 16]));
    let next = "2.0.1".parse().unwrap();
    ann.change_version("fraud", id, VersionChange::SetSemver(Some(next))).unwrap();
    assert_eq!(ann.conflicts("fraud"), [Conflict::Number(2)]);
}
