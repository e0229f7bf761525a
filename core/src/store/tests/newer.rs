//! Stories of an older version among newer ones: what it does not know it keeps and hands on.

use super::*;
use crate::entry::Entry;
use crate::operation::{Operation, OperationKind};

/// Operations as a later version may write them: of a kind, an act of a kind, and a change of a kind of
/// document that nobody knows today.
fn from_the_future() -> Vec<Operation> {
    let run = DocumentId::run(RunId::new([5; 16]));
    let mut bytes = run.to_bytes();
    bytes[0] = 77;
    let document = DocumentId::from_bytes(&bytes);
    let act = [&[0, 200][..], b"whatever it says"].concat();
    vec![
        Operation::Whole { kind: 99, salt: [1; 16], document: run, content: b"new".to_vec() },
        Operation::new(OperationKind::Act, [2; 16], DocumentId::WORKSPACE, act),
        Operation::new(OperationKind::Change, [3; 16], document, b"no change of today".to_vec()),
        Operation::Redacted { kind: 99, hash: [4; 32] },
    ]
}

#[test]
fn operations_acts_and_documents_of_a_later_version_are_kept_and_handed_on() {
    let [mut ann, mut bob, mut carl] = three();
    let run = bob.run(1, ExperimentId::DEFAULT);
    bob.send(&mut ann);
    let journal = bob.store.journal();
    let tip = ann.contents().vector.tip(&journal);
    let clock = Clock((NOW.0 + 5) << 16);
    let (key, workspace) = (key(2), ann.store.workspace());
    let newer = Entry::sign(&key, workspace, journal, &tip, clock, from_the_future());
    let shown = |device: &Device| Contents { vector: VersionVector::new(), ..device.contents() };
    let before = shown(&ann);
    let ingested = ann.store.ingest(NOW, vec![newer.clone()]).unwrap();
    assert_eq!((ingested.entries, ingested.faults), (1, Vec::new()));
    assert_eq!(shown(&ann), before, "it says nothing that is understood here");

    // Carl, who never meets Bob, gets the very bytes; and so he does of what Bob writes after it.
    let points = crate::series::encode_points(&[]);
    let points = Operation::new(OperationKind::Points, [5; 16], DocumentId::run(run), points);
    let next = Entry::sign(&key, workspace, journal, &newer.tip(), clock, vec![points]);
    assert_eq!(ann.store.ingest(NOW, vec![next.clone()]).unwrap().entries, 1);
    ann.send(&mut carl);
    let snapshot = carl.store.reader().snapshot().unwrap();
    let held = snapshot.entries(&journal, tip.count, usize::MAX).unwrap();
    assert_eq!(held, [newer.stored(), next.stored()]);
    assert_eq!(ann.contents(), carl.contents());
    assert_eq!(carl.contents(), carl.rebuilt());
    let before = carl.contents();
    let carl = carl.restart_after_power_loss().unwrap();
    assert_eq!(carl.contents(), before);
    assert_eq!(carl.contents().members, ann.contents().members);
}
