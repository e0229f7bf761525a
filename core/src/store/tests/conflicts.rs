//! Stories of conflicts: every row of the design's table, listed with both values and who set
//! them, and settled.

use super::*;
use crate::action::{ModelAction, ModelChange, VersionChange, VersionName};
use crate::conflicts::{self, Conflict, NotSettled, Subject, Take};
use crate::document::Scalar;
use crate::registry::{Author, Stage};

/// What is in conflict, and each value with the device that set it.
type Told = Vec<(String, Vec<(String, Option<DeviceId>)>)>;

impl Device {
    fn all_conflicts(&self) -> Vec<Conflict> {
        let (found, more) = conflicts::list(&self.store.reader().snapshot().unwrap(), 100).unwrap();
        assert!(!more);
        found
    }

    fn told(&self) -> Told {
        let snapshot = self.store.reader().snapshot().unwrap();
        let told = self.all_conflicts().into_iter().map(|conflict| {
            let said = |choice| conflicts::said(&snapshot, choice).unwrap();
            let values = conflict.choices.iter().map(|choice| (said(choice), choice.device));
            (conflict.key(), values.collect())
        });
        told.collect()
    }

    fn settle(&mut self, key: &str, take: Take) -> Result<(), NotSettled> {
        let conflict = self.all_conflicts().into_iter().find(|one| one.key() == key).unwrap();
        let snapshot = self.store.reader().snapshot().unwrap();
        for action in conflict.settle(&snapshot, take, &author(self.seed))? {
            self.act(action).unwrap();
        }
        self.store.seal(NOW).unwrap();
        Ok(())
    }

    fn models(&mut self, action: ModelAction) {
        let (action, author) = (Box::new(action), Box::new(author(self.seed)));
        self.act(Action::Model { action, author }).unwrap();
    }

    fn new_version(&mut self, id: u8, semver: NewSemver) {
        self.models(ModelAction::Register(new_version(id, "fraud", semver)));
    }
}

fn author(seed: u8) -> Author {
    Author { device: device_id(seed), who: "ann".to_owned(), note: String::new() }
}

fn text(text: &str) -> Take {
    Take::Text(text.to_owned())
}

/// Two devices, a run on both, after each did something to it while they were apart.
fn divided(
    by_ann: impl Fn(&mut Device, RunId),
    by_bob: impl Fn(&mut Device, RunId),
) -> [Device; 2] {
    let mut ann = Device::founder();
    let mut bob = Device::joiner(&mut ann, 2);
    let run = ann.run(1, ExperimentId::DEFAULT);
    ann.log(run, 0, &[]).unwrap();
    meet(&mut ann, &mut bob);
    by_ann(&mut ann, run);
    by_bob(&mut bob, run);
    meet(&mut ann, &mut bob);
    assert_eq!(ann.contents(), bob.contents());
    assert_eq!(ann.told(), bob.told());
    [ann, bob]
}

fn settled([mut ann, mut bob]: [Device; 2]) {
    meet(&mut ann, &mut bob);
    for device in [&mut ann, &mut bob] {
        assert_eq!(device.told(), []);
        assert_eq!(device.contents(), device.rebuilt());
    }
    assert_eq!(ann.contents(), bob.contents());
}

#[test]
fn a_param_set_to_two_values_is_listed_with_who_set_them_and_settled() {
    let lr = |value| move |device: &mut Device, run| drop(device.log(run, 0, &[("lr", value)]));
    let [ann, mut bob] = divided(lr("0.1"), lr("0.2"));
    let told = bob.told();
    let [(key, values)] = &told[..] else { panic!("{told:?}") };
    assert_eq!(key, "params.lr");
    let mut devices: Vec<_> = values.iter().map(|(_, device)| device.unwrap()).collect();
    devices.sort_unstable();
    let mut expected = vec![device_id(1), device_id(2)];
    expected.sort_unstable();
    assert_eq!(devices, expected);
    let second = values[1].0.clone();
    assert!(matches!(bob.settle("params.lr", Take::Choice(2)), Err(NotSettled::NoSuchChoice(2))));
    bob.settle("params.lr", Take::Choice(1)).unwrap();
    let row = bob.store.reader().snapshot().unwrap().run(&RunId::new([1; 16])).unwrap().unwrap();
    assert_eq!((row.param("lr"), &row.conflicted_params[..]), (Some(&second[..]), &[][..]));
    settled([ann, bob]);
}

#[test]
fn a_param_can_be_settled_on_what_was_served_or_on_another_value() {
    for take in [Take::Choice(0), text("0.15")] {
        let lr = |value| move |device: &mut Device, run| drop(device.log(run, 0, &[("lr", value)]));
        let [mut ann, bob] = divided(lr("0.1"), lr("0.2"));
        ann.settle("params.lr", take).unwrap();
        settled([ann, bob]);
    }
}

#[test]
fn the_same_value_set_twice_is_no_conflict_and_neither_is_bookkeeping() {
    let same = |device: &mut Device, run| {
        device.log(run, 0, &[("lr", "0.1")]).unwrap();
        device.act(Action::SetRunDeleted { id: run, deleted: true }).unwrap();
        device.experiment("fraud");
    };
    settled(divided(same, same));
}

#[test]
fn a_tag_a_name_and_a_status_set_twice_are_listed_until_settled() {
    let change = |name: &'static str, status| {
        move |device: &mut Device, run| {
            let change = RunChange {
                name: Some(name.to_owned()),
                status: Some(status),
                end_ms: Some(i64::from(device.seed)),
                description: None,
            };
            device.act(Action::UpdateRun { id: run, change }).unwrap();
            device.log(run, i64::from(device.seed), &[]).unwrap();
        }
    };
    let [mut ann, bob] =
        divided(change("best", RunStatus::Finished), change("worst", RunStatus::Failed));
    let keys: Vec<_> = ann.told().into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["name", "status", "tags.step"]);
    let refused = ann.settle("status", text("DONE"));
    assert!(matches!(refused, Err(NotSettled::OnlyChoices(_))), "{refused:?}");
    ann.settle("status", text("FINISHED")).unwrap();
    ann.settle("name", text("middling")).unwrap();
    // Whoever sets it as always settles it too.
    ann.log(RunId::new([1; 16]), 9, &[]).unwrap();
    settled([ann, bob]);
}

#[test]
fn an_edit_made_apart_from_the_settling_stays_a_conflict() {
    let lr = |value| move |device: &mut Device, run| drop(device.log(run, 0, &[("lr", value)]));
    let [mut ann, mut bob] = divided(lr("0.1"), lr("0.2"));
    ann.settle("params.lr", text("0.1")).unwrap();
    bob.settle("params.lr", text("0.3")).unwrap();
    meet(&mut ann, &mut bob);
    assert_eq!(ann.told(), bob.told());
    assert_eq!(ann.told()[0].1.len(), 2);
    bob.settle("params.lr", text("0.3")).unwrap();
    settled([ann, bob]);
}

#[test]
fn aliases_and_stages_moved_apart_are_settled_on_a_version() {
    let mut ann = Device::founder();
    let mut bob = Device::joiner(&mut ann, 2);
    ann.new_version(1, NewSemver::None);
    ann.new_version(2, NewSemver::None);
    meet(&mut ann, &mut bob);
    for (device, number) in [(&mut ann, 1), (&mut bob, 2)] {
        let (alias, version) = ("champion".to_owned(), VersionName::Number(number));
        let change = ModelChange::SetAlias { alias, version: version.clone() };
        device.models(ModelAction::Update { model: "fraud".to_owned(), change });
        let (stage, archive_others, why) =
            (Stage::Production, false, crate::action::Move::Promotion);
        let change = VersionChange::MoveTo { stage, archive_others, why };
        device.models(ModelAction::UpdateVersion { model: "fraud".to_owned(), version, change });
    }
    meet(&mut ann, &mut bob);
    let keys: Vec<_> = ann.told().into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["stage Production", "alias champion"]);
    assert!(matches!(ann.settle("alias champion", text("3")), Err(NotSettled::OnlyChoices(_))));
    ann.settle("alias champion", Take::Choice(1)).unwrap();
    ann.settle("stage Production", Take::Choice(0)).unwrap();
    settled([ann, bob]);
}

#[test]
fn a_number_and_a_semantic_version_given_twice_are_settled() {
    let mut ann = Device::founder();
    let mut bob = Device::joiner(&mut ann, 2);
    ann.new_version(1, NewSemver::None);
    meet(&mut ann, &mut bob);
    let two = || NewSemver::Is("2.0.0".parse().unwrap());
    ann.new_version(2, two());
    bob.new_version(3, two());
    meet(&mut ann, &mut bob);
    let keys: Vec<_> = bob.told().into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["version 2", "version 2.0.0"]);
    let subject = bob.all_conflicts().remove(0).subject;
    assert_eq!(subject, Subject::Number(2));
    bob.settle("version 2", Take::Choice(1)).unwrap();
    bob.settle("version 2.0.0", Take::Choice(0)).unwrap();
    settled([ann, bob]);
}

#[test]
fn a_name_that_two_experiments_hold_is_listed_until_one_is_renamed() {
    let mut ann = Device::founder();
    let mut bob = Device::joiner(&mut ann, 2);
    let (one, other) = (ann.experiment("fraud"), bob.experiment("spam"));
    meet(&mut ann, &mut bob);
    let rename =
        |id| Action::UpdateExperiment { id, change: ExperimentChange::Rename("scam".to_owned()) };
    ann.act(rename(one.id)).unwrap();
    bob.act(rename(other.id)).unwrap();
    meet(&mut ann, &mut bob);
    let told = ann.told();
    assert_eq!(told[0].0, "who is called scam");
    assert_eq!(told[0].1.iter().map(|(said, _)| &said[..]).collect::<Vec<_>>(), ["scam", "scam~2"]);
    let refused = ann.settle("who is called scam", Take::Choice(0));
    assert!(matches!(refused, Err(NotSettled::NameNeeded)));
    ann.settle("who is called scam", text("phishing")).unwrap();
    settled([ann, bob]);
}

#[test]
fn a_settled_value_that_is_a_number_stays_one() {
    let mut ann = Device::founder();
    let document = DocumentId::run(ann.run(1, ExperimentId::DEFAULT));
    let (container, key) = (Container::Outputs, "m-1".to_owned());
    let value = Scalar::Integer(3);
    ann.act(Action::Settle { document, container, key, value }).unwrap();
    let row = ann.store.reader().snapshot().unwrap().run(&RunId::new([1; 16])).unwrap().unwrap();
    assert_eq!(row.model_outputs[0].step, 3);
    let absent = DocumentId::run(RunId::new([8; 16]));
    let (container, key, value) = (Container::Tags, "k".to_owned(), Scalar::from("v"));
    let refused = ann.act(Action::Settle { document: absent, container, key, value });
    assert_eq!(refused, Err(Refusal::NoSuchRun(RunId::new([8; 16]))));
}
