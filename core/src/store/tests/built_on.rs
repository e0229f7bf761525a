//! Stories of what was built on entries beyond a cut: nobody who is innocent loses anything.

use super::*;
use crate::carried::Carried;
use crate::entry::Entry;
use crate::operation::{Operation, OperationKind};

impl Device {
    fn row(&self, run: RunId) -> Option<RunRow> {
        self.store.reader().snapshot().unwrap().run(&run).unwrap()
    }

    /// The changes that it carries in its own journal, each with the device whose it is.
    fn carries(&self) -> Vec<(DeviceId, Operation)> {
        let snapshot = self.store.reader().snapshot().unwrap();
        let rows = snapshot.entries(&self.store.journal(), 0, usize::MAX).unwrap();
        let mut found = Vec::new();
        for (number, row) in (0..).zip(&rows) {
            let entry = UnverifiedEntry::decode(self.store.journal(), number, row).unwrap();
            for operation in entry.operations() {
                if let Operation::Whole { kind, content, .. } = operation
                    && *kind == OperationKind::Carried as u8
                {
                    found.push((Carried::decode(content).unwrap().device(), operation.clone()));
                }
            }
        }
        found
    }

    fn tip(&self) -> crate::vector::Tip {
        self.contents().vector.tip(&self.store.journal())
    }

    /// An entry of this device that its store does not make.
    fn sign(&self, operations: Vec<Operation>) -> Entry {
        let (key, workspace) = (key(self.seed), self.store.workspace());
        let clock = Clock(NOW.0 << 16);
        Entry::sign(&key, workspace, self.store.journal(), &self.tip(), clock, operations)
    }
}

fn shown(device: &Device) -> Contents {
    Contents { vector: VersionVector::new(), ..device.contents() }
}

#[test]
fn what_an_innocent_device_built_on_a_removed_ones_entries_counts_everywhere() {
    let [mut ann, mut bob, mut carl] = three();
    let mut dora = Device::joiner(&mut ann, 4);
    meet(&mut ann, &mut dora);
    let built_on = bob.run(1, ExperimentId::DEFAULT);
    bob.log(built_on, 0, &[("of", "bob")]).unwrap();
    bob.store.seal(NOW).unwrap();
    let not_built_on = bob.run(2, ExperimentId::DEFAULT);
    bob.send(&mut carl);
    carl.log(built_on, 1, &[("too", "carl")]).unwrap();
    carl.store.seal(NOW).unwrap();
    ann.remove(2);
    ann.send(&mut carl);
    let row = carl.row(built_on).unwrap();
    assert_eq!((row.param("of"), row.param("too")), (Some("bob"), Some("carl")));
    assert!(!has(&carl, not_built_on));
    // Of Bob's entry his points did not come along; nobody but him knew of them.
    let history = carl.store.reader().snapshot().unwrap().history(&built_on, "loss").unwrap();
    assert_eq!(history.len(), 1);
    assert!(carl.carries().iter().all(|(device, _)| *device == device_id(2)));

    // Whichever of Carl's journal and the removal Dora hears of first.
    carl.send(&mut dora);
    meet(&mut ann, &mut carl);
    meet(&mut ann, &mut dora);
    for device in [&mut ann, &mut carl, &mut dora] {
        assert_eq!(device.row(built_on).unwrap().param("too"), Some("carl"));
        assert!(!has(device, not_built_on));
        let (before, waiting) = (device.contents(), device.waiting());
        assert_eq!((device.rebuilt(), waiting), (before, 0));
    }
    assert_eq!(ann.contents(), carl.contents());
    assert_eq!(ann.contents(), dora.contents());
    assert!(dora.carries().is_empty(), "once is enough");
    let before = carl.contents();
    let mut carl = carl.restart_after_power_loss().unwrap();
    assert_eq!(carl.contents(), before);
    // And it goes on from there.
    carl.log(built_on, 2, &[]).unwrap();
    meet(&mut ann, &mut carl);
    assert_eq!(ann.contents(), carl.contents());
}

impl Device {
    fn waiting(&self) -> u64 {
        self.store.reader().snapshot().unwrap().counts().unwrap().waiting_changes
    }
}

#[test]
fn who_has_it_carries_what_another_built_on_if_that_is_heard_of_later() {
    let [mut ann, mut bob, mut carl] = three();
    let mut dora = Device::joiner(&mut ann, 4);
    meet(&mut ann, &mut dora);
    meet(&mut ann, &mut carl);
    let run = bob.run(1, ExperimentId::DEFAULT);
    bob.send(&mut carl);
    bob.send(&mut dora);
    // Carl writes to it and is never seen again, but for what he told Ann.
    carl.log(run, 1, &[("too", "carl")]).unwrap();
    carl.store.seal(NOW).unwrap();
    ann.remove(2);
    ann.send(&mut dora);
    assert!(!has(&dora, run));
    carl.send(&mut ann);
    assert!(!has(&ann, run));
    assert!(ann.waiting() > 0);
    ann.send(&mut dora);
    assert_eq!(dora.carries().len(), 1);
    dora.send(&mut ann);
    assert_eq!(ann.row(run).unwrap().param("too"), Some("carl"));
    assert_eq!((ann.waiting(), dora.waiting()), (0, 0));
    assert_eq!(ann.contents(), dora.contents());
    assert_eq!(ann.contents(), ann.rebuilt());
}

#[test]
fn points_and_files_of_a_run_bring_the_run_and_its_experiment() {
    let [mut ann, mut bob, mut carl] = three();
    let experiment = bob.experiment("fraud");
    let (run, other) = (bob.run(1, experiment.id), bob.experiment("unused"));
    bob.send(&mut carl);
    let owner = DocumentId::run(run);
    let blob = BlobHash::new([3; 32]);
    carl.act(Action::PutArtifact { owner, path: "a.bin".to_owned(), blob, size: 5 }).unwrap();
    carl.store.seal(NOW).unwrap();
    ann.remove(2);
    ann.send(&mut carl);
    meet(&mut ann, &mut carl);
    for device in [&ann, &carl] {
        assert_eq!(device.row(run).unwrap().experiment, experiment.id);
        let snapshot = device.store.reader().snapshot().unwrap();
        assert_eq!(snapshot.experiment(experiment.id).unwrap().unwrap().name, "fraud");
        assert_eq!(snapshot.experiment(other.id).unwrap(), None);
        assert!(snapshot.artifact(owner, "a.bin").unwrap().is_some());
    }
    assert_eq!(ann.contents(), carl.contents());
    assert_eq!(carl.contents(), carl.rebuilt());
}

#[test]
fn what_was_carried_is_no_more_than_what_it_was_once_its_device_counts_again() {
    let [mut ann, mut bob, mut carl] = three();
    let run = bob.run(1, ExperimentId::DEFAULT);
    bob.log(run, 0, &[("of", "bob")]).unwrap();
    bob.send(&mut carl);
    carl.log(run, 1, &[("too", "carl")]).unwrap();
    let role = |role| ActKind::SetRole { device: device_id(2), role, cuts: Cuts::new() };
    ann.store.declare(NOW, vec![role(Role::Reader)]).unwrap();
    meet(&mut ann, &mut carl);
    assert!(has(&ann, run));
    ann.store.declare(NOW, vec![role(Role::Writer)]).unwrap();
    meet(&mut ann, &mut carl);
    meet(&mut ann, &mut bob);
    meet(&mut ann, &mut carl);
    assert_eq!(ann.contents(), bob.contents());
    assert_eq!(ann.contents(), carl.contents());
    let history = ann.store.reader().snapshot().unwrap().history(&run, "loss").unwrap();
    assert_eq!(history.len(), 2);
    assert_eq!(ann.contents(), ann.rebuilt());
}

#[test]
fn a_reader_carries_nothing_and_nothing_of_what_was_purged_is_carried() {
    let [mut ann, mut bob, mut carl] = three();
    let (run, gone) = (bob.run(1, ExperimentId::DEFAULT), bob.run(2, ExperimentId::DEFAULT));
    bob.send(&mut carl);
    for run in [run, gone] {
        carl.log(run, 1, &[("too", "carl")]).unwrap();
    }
    carl.store.seal(NOW).unwrap();
    let reader = ActKind::SetRole { device: device_id(3), role: Role::Reader, cuts: Cuts::new() };
    let purge = ActKind::Purge { document: DocumentId::run(gone) };
    let remove = ActKind::Remove { device: device_id(2), cuts: Cuts::new() };
    ann.store.declare(NOW, vec![reader, purge, remove]).unwrap();
    ann.send(&mut carl);
    assert!(carl.carries().is_empty());
    let writer = ActKind::SetRole { device: device_id(3), role: Role::Writer, cuts: Cuts::new() };
    ann.store.declare(NOW, vec![writer]).unwrap();
    meet(&mut ann, &mut carl);
    assert_eq!(carl.carries().len(), 1, "of the run that is not purged");
    assert!(has(&ann, run) && !has(&ann, gone));
    assert_eq!(shown(&ann), shown(&carl));
}

#[test]
fn nobody_carries_what_its_device_did_not_sign() {
    let [mut ann, mut bob, mut carl] = three();
    let run = bob.run(1, ExperimentId::DEFAULT);
    bob.send(&mut carl);
    carl.log(run, 1, &[]).unwrap();
    ann.remove(2);
    ann.send(&mut carl);
    let (_, genuine) = carl.carries().remove(0);
    let Operation::Whole { document, content, .. } = genuine else { panic!("it is whole") };
    let carried = |document, content: Vec<u8>| {
        Operation::new(OperationKind::Carried, [1; 16], document, content)
    };
    let mut forged = content.clone();
    *forged.last_mut().unwrap() ^= 1;
    let elsewhere = DocumentId::run(RunId::new([9; 16]));
    let all = [
        vec![carried(document, forged)],
        vec![carried(elsewhere, content.clone())],
        vec![carried(document, content.clone()); crate::carried::MAX_CARRIED + 1],
    ];
    carl.send(&mut ann);
    for operations in all {
        let entry = carl.sign(operations);
        let ingested = ann.store.ingest(NOW, vec![entry]).unwrap();
        assert_eq!(ingested.entries, 0);
        assert!(matches!(ingested.faults[..], [(_, Fault::Operation { .. })]));
    }
    let again = carl.sign(vec![carried(document, content)]);
    let before = shown(&ann);
    assert_eq!(ann.store.ingest(NOW, vec![again]).unwrap().entries, 1);
    assert_eq!(shown(&ann), before, "twice is as good as once");
}
