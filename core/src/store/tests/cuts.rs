//! Stories of cuts: what a removal takes away goes from all that is derived, and nothing else does.

use super::*;
use crate::trace::TraceInfo;

impl Device {
    /// How many rows each derived table has that answers do not tell of.
    fn hidden_rows(&self) -> [u64; 4] {
        let snapshot = self.store.reader().snapshot().unwrap();
        let acts = snapshot.acts().unwrap().len() as u64;
        let counts = snapshot.counts().unwrap();
        [counts.waiting_changes, counts.runs, counts.experiments, acts]
    }
}

/// Bob goes on where Ann cannot hear him, and Carl can; she removes Bob, and Carl hears of it.
fn removed_after(goes_on: impl Fn(&mut Device, RunId)) {
    let [mut ann, mut bob, mut carl] = three();
    let stays = bob.run(1, ExperimentId::DEFAULT);
    bob.log(stays, 1, &[("lr", "0.1")]).unwrap();
    bob.put(stays, "model.bin", 3);
    bob.add_version(1, "fraud");
    let carls = carl.run(2, ExperimentId::DEFAULT);
    carl.log(carls, 1, &[("depth", "3")]).unwrap();
    meet(&mut bob, &mut ann);
    meet(&mut carl, &mut ann);
    meet(&mut bob, &mut carl);
    let before = ann.contents();
    assert_eq!(before, carl.contents());

    goes_on(&mut bob, stays);
    bob.send(&mut carl);
    assert_ne!(before, carl.contents());
    ann.remove(2);
    ann.send(&mut carl);
    let without = |contents| Contents {
        vector: VersionVector::new(),
        members: Membership::default(),
        ..contents
    };
    assert_eq!(without(carl.contents()), without(before));
    carl.send(&mut ann);
    assert_eq!(ann.contents(), carl.contents());
    let (contents, hidden) = (carl.contents(), carl.hidden_rows());
    assert_eq!(contents, carl.rebuilt());
    assert_eq!(hidden, carl.hidden_rows());
}

#[test]
fn a_removal_takes_runs_experiments_models_and_acts_away_and_leaves_the_rest() {
    removed_after(|bob, stays| {
        let his = bob.experiment("his").id;
        let run = bob.run(3, his);
        bob.log(run, 1, &[("lr", "0.2")]).unwrap();
        bob.log(run, 2, &[]).unwrap();
        bob.put(run, "weights.bin", 4);
        bob.add_version(2, "his model");
        let new = ActKind::Rename { key: *device_id(2).as_bytes(), name: "bobby".to_owned() };
        bob.store.declare(NOW, vec![new]).unwrap();
        assert!(has(bob, stays));
    });
}

#[test]
fn of_what_others_know_too_only_what_came_later_is_taken_away() {
    removed_after(|bob, stays| {
        bob.log(stays, 2, &[("depth", "4")]).unwrap();
        bob.put(stays, "model.bin", 5);
        bob.put(stays, "more.bin", 6);
        bob.add_version(2, "fraud");
        bob.store.seal(NOW).unwrap();
        bob.log(stays, 3, &[]).unwrap();
        bob.act(Action::SetRunDeleted { id: stays, deleted: true }).unwrap();
    });
}

#[test]
fn a_removal_takes_traces_away() {
    removed_after(|bob, stays| {
        bob.say("tr-1", TraceInfo::default()).unwrap();
        bob.log(stays, 2, &[]).unwrap();
    });
}

#[test]
fn runs_keep_their_numbers_whatever_a_removal_takes_away() {
    for with_trace in [false, true] {
        let [mut ann, mut bob, mut carl] = three();
        bob.run(1, ExperimentId::DEFAULT);
        if with_trace {
            bob.say("tr-1", TraceInfo::default()).unwrap();
        }
        bob.send(&mut carl);
        let stays = carl.run(2, ExperimentId::DEFAULT);
        let number = |carl: &Device| carl.store.reader().snapshot().unwrap().run_number(&stays);
        let before = number(&carl).unwrap();
        ann.remove(2);
        ann.send(&mut carl);
        assert_eq!(number(&carl).unwrap(), before, "tables that are open show runs by it");
        let new = carl.run(3, ExperimentId::DEFAULT);
        assert_ne!(carl.store.reader().snapshot().unwrap().run_number(&new).unwrap(), before);
    }
}
