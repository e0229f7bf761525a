//! Stories of purging: what was said of a run goes everywhere, and the chain stays whole.

use super::*;
use crate::entry::Entry;
use crate::membership::Void;
use crate::operation::Operation;

impl Device {
    fn purge(&mut self, run: RunId) {
        let document = DocumentId::run(run);
        self.store.declare(NOW, vec![ActKind::Purge { document }]).unwrap();
    }

    fn knows(&self, run: RunId) -> bool {
        self.store.reader().snapshot().unwrap().run(&run).unwrap().is_some()
    }

    /// All operations that are kept with their content and are about a run.
    fn kept_of(&self, run: RunId) -> usize {
        let snapshot = self.store.reader().snapshot().unwrap();
        let document = DocumentId::run(run);
        let mut kept = 0;
        for (journal, tip) in snapshot.vector().unwrap().iter() {
            let rows = snapshot.entries(journal, 0, usize::MAX).unwrap();
            assert_eq!(rows.len() as u64, tip.count);
            // Hashes and signatures are those that they were.
            let read = (0..)
                .zip(&rows)
                .map(|(number, row)| UnverifiedEntry::decode(*journal, number, row).unwrap());
            let start = crate::vector::Tip::START;
            let (good, fault) = verify_chain(self.store.workspace(), start, read.collect(), 2);
            assert_eq!((fault, good.last().map(Entry::tip)), (None, Some(*tip)));
            let all = good.iter().flat_map(Entry::operations);
            kept += all.filter(|one: &&Operation| one.document() == Some(&document)).count();
        }
        kept
    }
}

#[test]
fn a_purged_run_goes_from_every_member_and_the_chain_verifies() {
    let mut ann = Device::founder();
    let mut bob = Device::joiner(&mut ann, 2);
    meet(&mut ann, &mut bob);
    let (gone, stays) = (ann.run(1, ExperimentId::DEFAULT), ann.run(2, ExperimentId::DEFAULT));
    for run in [gone, stays] {
        ann.log(run, 1, &[("lr", "0.1")]).unwrap();
    }
    ann.put(gone, "old.bin", 3);
    ann.store.seal(NOW).unwrap();
    ann.put(gone, "old.bin", 4);
    meet(&mut ann, &mut bob);
    bob.log(gone, 2, &[("depth", "3")]).unwrap();
    bob.log(stays, 2, &[("depth", "3")]).unwrap();
    meet(&mut ann, &mut bob);
    // Bob writes on while apart; that is purged when it arrives, and on bob's own device.
    bob.log(gone, 3, &[]).unwrap();
    ann.act(Action::SetRunDeleted { id: gone, deleted: true }).unwrap();
    ann.purge(gone);
    assert!(!ann.knows(gone) && ann.knows(stays));
    meet(&mut ann, &mut bob);
    for device in [&ann, &bob] {
        assert!(!device.knows(gone) && device.knows(stays));
        assert_eq!((device.kept_of(gone), device.kept_of(stays) > 0), (0, true));
        let blobs = device.store.reader().snapshot().unwrap().purged_blobs().unwrap();
        assert_eq!(blobs, [BlobHash::new([3; 32]), BlobHash::new([4; 32])]);
    }
    let contents = ann.contents();
    assert_eq!(contents, bob.contents());
    assert_eq!(contents, ann.rebuilt());
    assert_eq!(contents, bob.rebuilt());
    assert!(ann.log(gone, 4, &[]).is_err(), "there is no such run any more");

    // Who joins now gets the redacted form, and who restarts has nothing more to do.
    let mut carl = Device::joiner(&mut ann, 3);
    bob.send(&mut carl);
    ann.send(&mut carl);
    assert_eq!(carl.kept_of(gone), 0);
    meet(&mut ann, &mut carl);
    assert_eq!(ann.contents(), carl.contents());
    let contents = bob.contents();
    let bob = bob.restart_after_power_loss().unwrap();
    assert_eq!(contents, bob.contents());
}

#[test]
fn a_member_that_was_away_does_not_bring_a_purged_run_back() {
    let mut ann = Device::founder();
    let mut bob = Device::joiner(&mut ann, 2);
    let mut carl = Device::joiner(&mut ann, 3);
    let run = ann.run(1, ExperimentId::DEFAULT);
    meet(&mut ann, &mut bob);
    meet(&mut ann, &mut carl);
    bob.log(run, 1, &[("lr", "0.1")]).unwrap();
    // Carl has what bob wrote, and ann has not; bob is away.
    meet(&mut bob, &mut carl);
    ann.purge(run);
    assert!(carl.knows(run));
    carl.send(&mut ann);
    assert!(!ann.knows(run));
    assert_eq!(ann.kept_of(run), 0, "it was redacted as it came");
    ann.send(&mut carl);
    meet(&mut ann, &mut bob);
    for device in [&ann, &bob, &carl] {
        assert_eq!((device.knows(run), device.kept_of(run)), (false, 0));
    }
    assert_eq!(ann.contents(), bob.contents());
    assert_eq!(ann.contents(), carl.contents());
}

#[test]
fn only_an_admins_word_purges() {
    let mut ann = Device::founder();
    let mut bob = Device::joiner(&mut ann, 2);
    meet(&mut ann, &mut bob);
    let run = bob.run(1, ExperimentId::DEFAULT);
    bob.purge(run);
    meet(&mut ann, &mut bob);
    assert!(ann.knows(run) && bob.knows(run));
    let members = ann.store.membership();
    let why: Vec<Void> = members.void().map(|(_, _, why)| *why).collect();
    assert_eq!(why, [Void::NotAnAdmin]);
    // An admin's word about something that is no run purges nothing.
    ann.store.declare(NOW, vec![ActKind::Purge { document: DocumentId::WORKSPACE }]).unwrap();
    assert!(ann.store.membership().purged().is_empty());
    let contents = ann.contents();
    assert_eq!(contents, ann.rebuilt());
}
