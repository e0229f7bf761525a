//! Stories of forks: homes that were copied by hand, and machines that were cloned.

use proptest::prelude::*;

use super::*;
use crate::store::forks::MAX_LINES;
use crate::sync::Batch;
use crate::vector::Tip;

impl Device {
    /// The device twice, as of a machine that was cloned while it ran.
    fn cloned(&self, starts: u8) -> Self {
        let (database, log) = (self.database.after_power_loss(), self.log.after_power_loss());
        let store = Store::open(files(&database, &log), start(self.seed, starts)).unwrap();
        Self { store, database, log, seed: self.seed, starts }
    }

    /// Shows a device what is held here of its own journals.
    fn show(&self, other: &mut Self, incarnation: u8) -> CarriedOver {
        let ours = self.store.reader().snapshot().unwrap();
        let mut carried = CarriedOver::default();
        for (journal, _) in ours.vector().unwrap().iter() {
            if journal.device != device_id(other.seed) {
                continue;
            }
            let chain = ours.chain(journal, 0, usize::MAX, usize::MAX).unwrap().unwrap();
            let mut tail = Tip::START;
            let mut entries = Vec::new();
            for stored in chain.entries {
                let entry = UnverifiedEntry::decode(*journal, tail.count, &stored).unwrap();
                let entry = entry.verify(self.store.workspace(), &tail).unwrap();
                tail = entry.tip();
                entries.push(entry);
            }
            let incarnation = Incarnation::new([incarnation; 16]);
            let took = other.store.take_line(NOW, incarnation, entries).unwrap();
            carried.entries += took.entries;
            carried.frozen |= took.frozen;
        }
        carried
    }

    /// What this device's journal holds from an entry on, as a session or a bundle gives it.
    fn line(&self, first: u64) -> Batch {
        let journal = self.store.journal();
        let held = self.store.reader().snapshot().unwrap();
        let chain = held.chain(&journal, first, usize::MAX, usize::MAX).unwrap().unwrap();
        Batch { journal, first, previous: chain.previous, entries: chain.entries }
    }

    /// Whether what another shows of a journal of this device is another line of it.
    fn is_another_line(&self, batch: &Batch) -> bool {
        let held = self.store.reader().snapshot().unwrap();
        held.is_another_line(self.store.workspace(), batch).unwrap()
    }

    /// Everything shown, but for which line of which journal is held.
    fn shown(&self) -> Contents {
        Contents { vector: VersionVector::new(), ..self.contents() }
    }
}

/// As [`meet`], but for what one does not take of the other.
fn meet_as_far_as_possible(ann: &mut Device, bob: &mut Device) {
    for _ in 0..2 {
        give(ann, bob);
        give(bob, ann);
    }
}

fn give(from: &mut Device, to: &mut Device) {
    from.store.seal(NOW).unwrap();
    let ours = from.store.reader().snapshot().unwrap();
    let theirs = to.store.reader().snapshot().unwrap().vector().unwrap();
    for (journal, range) in ours.vector().unwrap().missing_from(&theirs) {
        let stored = ours.entries(&journal, range.start, usize::MAX).unwrap();
        let read = (range.start..)
            .zip(stored)
            .map(|(number, bytes)| UnverifiedEntry::decode(journal, number, &bytes).unwrap());
        let tip = theirs.tip(&journal);
        let (good, _) = verify_chain(from.store.workspace(), tip, read.collect(), 2);
        to.store.ingest(NOW, good).unwrap();
    }
}

#[test]
fn a_cloned_device_that_meets_its_other_line_loses_nothing_of_either() {
    let mut ann = Device::founder();
    let mut bob = Device::joiner(&mut ann, 2);
    meet(&mut ann, &mut bob);
    let run = bob.run(1, ExperimentId::DEFAULT);
    bob.store.seal(NOW).unwrap();
    let mut twin = bob.cloned(9);
    bob.log(run, 1, &[("of bob", "1")]).unwrap();
    twin.log(run, 2, &[("of twin", "1")]).unwrap();
    let late = twin.run(2, ExperimentId::DEFAULT);
    meet(&mut ann, &mut bob);

    twin.store.seal(NOW).unwrap();
    give(&mut twin, &mut ann);
    assert!(!has(&ann, late), "Ann holds the other line");
    let carried = ann.show(&mut twin, 50);
    assert!(carried.entries >= 2 && !carried.frozen, "{carried:?}");
    assert_eq!(ann.show(&mut twin, 51), CarriedOver::default(), "once is enough");
    assert_eq!(twin.store.journal().incarnation, Incarnation::new([50; 16]));
    meet_as_far_as_possible(&mut ann, &mut twin);
    assert_eq!(ann.shown(), twin.shown());
    assert!(has(&ann, late));
    let history = ann.store.reader().snapshot().unwrap().history(&run, "loss").unwrap();
    assert_eq!(history.len(), 2);

    // The other of the two goes on, and gets all of it too.
    meet_as_far_as_possible(&mut ann, &mut bob);
    assert_eq!(ann.shown(), bob.shown());
    bob.log(run, 3, &[]).unwrap();
    twin.log(run, 4, &[]).unwrap();
    meet_as_far_as_possible(&mut ann, &mut bob);
    // The next session shows what the line that is not held has got since.
    assert_eq!(ann.show(&mut twin, 52).entries, 1);
    meet_as_far_as_possible(&mut ann, &mut twin);
    meet_as_far_as_possible(&mut ann, &mut bob);
    assert_eq!(ann.shown(), bob.shown());
    assert_eq!(ann.shown(), twin.shown());
    let mut before = twin.contents();
    assert_eq!(twin.rebuilt(), before);
    let twin = twin.restart_after_power_loss().unwrap();
    before.vector = twin.contents().vector;
    assert_eq!(twin.contents(), before);
    let lines = twin.store.reader().snapshot().unwrap().forked_lines().unwrap();
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0].journal, bob.store.journal());
}

#[test]
fn who_holds_only_the_second_line_gets_the_first_from_the_device_itself() {
    let mut ann = Device::founder();
    let mut bob = Device::joiner(&mut ann, 2);
    let mut carl = Device::joiner(&mut ann, 3);
    meet(&mut ann, &mut bob);
    meet(&mut ann, &mut carl);
    let mut twin = bob.cloned(9);
    let first = bob.run(1, ExperimentId::DEFAULT);
    let second = twin.run(2, ExperimentId::DEFAULT);
    meet(&mut ann, &mut bob);
    meet(&mut carl, &mut twin);
    // Bob is never heard of again. Its twin meets Ann, then Carl.
    drop(bob);
    ann.show(&mut twin, 50);
    meet_as_far_as_possible(&mut ann, &mut twin);
    meet_as_far_as_possible(&mut carl, &mut twin);
    for device in [&ann, &carl, &twin] {
        assert!(has(device, first) && has(device, second));
    }
    assert_eq!(ann.shown(), carl.shown());
}

#[test]
fn a_home_restored_by_hand_that_has_written_nothing_goes_on_where_it_was() {
    let mut ann = Device::founder();
    let mut bob = Device::joiner(&mut ann, 2);
    meet(&mut ann, &mut bob);
    let mut old = bob.cloned(9);
    let run = bob.run(1, ExperimentId::DEFAULT);
    meet(&mut ann, &mut bob);
    drop(bob);
    assert_eq!(ann.show(&mut old, 50), CarriedOver::default());
    meet(&mut ann, &mut old);
    assert!(has(&old, run));
    old.log(run, 1, &[]).unwrap();
    meet(&mut ann, &mut old);
    assert_eq!(ann.contents(), old.contents());
}

#[test]
fn another_line_is_told_from_what_only_goes_on() {
    let mut ann = Device::founder();
    let mut bob = Device::joiner(&mut ann, 2);
    meet(&mut ann, &mut bob);
    let (old, mut twin) = (bob.cloned(8), bob.cloned(9));
    let shared = bob.line(0).entries.len() as u64;
    let run = bob.run(1, ExperimentId::DEFAULT);
    bob.store.seal(NOW).unwrap();
    twin.run(2, ExperimentId::DEFAULT);
    twin.store.seal(NOW).unwrap();
    for first in [0, shared] {
        assert!(twin.is_another_line(&bob.line(first)), "from {first}");
        assert!(!old.is_another_line(&bob.line(first)), "what is not here yet only goes on");
        assert!(!bob.is_another_line(&bob.line(first)));
    }
    let count = |device: &Device| device.line(0).entries.len() as u64;
    let (journal, until) = (bob.store.journal(), Tip { count: count(&bob), ..Tip::START });
    let tip = bob.store.reader().snapshot().unwrap().vector().unwrap().tip(&journal);
    assert_eq!(tip.count, until.count);
    let holds = |device: &Device, tip: Tip| {
        device.store.reader().snapshot().unwrap().holds(&journal, &tip).unwrap()
    };
    assert!(holds(&bob, tip) && !holds(&twin, tip) && !holds(&old, tip) && !holds(&bob, until));

    // What goes on a line that was carried over is of that line, whatever stands before it here.
    bob.show(&mut twin, 50);
    let first = count(&bob);
    bob.log(run, 1, &[]).unwrap();
    bob.store.seal(NOW).unwrap();
    let later = bob.line(first);
    assert!(twin.is_another_line(&later) && !old.is_another_line(&later));
    let mut unreadable = bob.line(0);
    unreadable.entries[0].truncate(3);
    assert!(!twin.is_another_line(&unreadable), "what cannot be read is no line");
}

#[test]
fn a_device_that_is_cloned_again_and_again_is_left_alone_in_the_end() {
    let mut ann = Device::founder();
    let mut bob = Device::joiner(&mut ann, 2);
    meet(&mut ann, &mut bob);
    let before = bob.cloned(9);
    bob.run(1, ExperimentId::DEFAULT);
    bob.store.seal(NOW).unwrap();
    let mut frozen = 0;
    for clone in 0..MAX_LINES as u8 + 3 {
        let mut twin = before.cloned(100 + clone);
        twin.run(100 + clone, ExperimentId::DEFAULT);
        twin.store.seal(NOW).unwrap();
        let carried = twin.show(&mut bob, 50);
        assert_eq!(carried.frozen, carried.entries == 0, "clone {clone}: {carried:?}");
        frozen += usize::from(carried.frozen);
    }
    assert_eq!(frozen, 4);
    let lines = bob.store.reader().snapshot().unwrap().forked_lines().unwrap();
    assert_eq!(lines.len(), MAX_LINES - 1);
    assert_eq!(bob.contents(), bob.rebuilt());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Whoever wrote what before the clones met others, all hold all in the end.
    #[test]
    fn whatever_two_clones_write_and_whom_they_meet_all_hold_all(
        steps in prop::collection::vec((0u8..5, 0u8..4), 1..24),
    ) {
        let mut ann = Device::founder();
        let mut bob = Device::joiner(&mut ann, 2);
        let mut carl = Device::joiner(&mut ann, 3);
        meet(&mut ann, &mut bob);
        meet(&mut ann, &mut carl);
        let run = bob.run(200, ExperimentId::DEFAULT);
        meet(&mut ann, &mut bob);
        meet(&mut ann, &mut carl);
        let mut twin = bob.cloned(9);
        let mut incarnation = 50;
        let mut all = vec![run];
        for (number, (what, who)) in steps.into_iter().enumerate() {
            let number = number as u8;
            let device = if who % 2 == 0 { &mut bob } else { &mut twin };
            match what {
                0 | 1 => all.push(device.run(number, ExperimentId::DEFAULT)),
                2 => drop(device.log(run, i64::from(number), &[])),
                what => {
                    let peer = if what == 3 { &mut ann } else { &mut carl };
                    give(device, peer);
                    incarnation += 1;
                    peer.show(device, incarnation);
                    meet_as_far_as_possible(device, peer);
                }
            }
        }
        for _ in 0..3 {
            for device in [&mut bob, &mut twin] {
                for peer in [&mut ann, &mut carl] {
                    device.store.seal(NOW).unwrap();
                    give(device, peer);
                    incarnation += 1;
                    peer.show(device, incarnation);
                    meet_as_far_as_possible(device, peer);
                }
            }
            meet_as_far_as_possible(&mut ann, &mut carl);
        }
        for device in [&ann, &bob, &carl, &twin] {
            for run in &all {
                prop_assert!(has(device, *run), "{run} is not with {}", device.seed);
            }
        }
        prop_assert_eq!(ann.shown(), bob.shown());
        prop_assert_eq!(ann.shown(), carl.shown());
        prop_assert_eq!(ann.shown(), twin.shown());
        let before = twin.contents();
        prop_assert_eq!(twin.rebuilt(), before);
    }
}
