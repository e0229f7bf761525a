//! Bytes that no honest device makes.

#![allow(clippy::unwrap_used)]

use automerge::legacy::{self, ElementId, Key, ObjectId, OpId as LegacyId, OpType};
use automerge::{Change, ExpandedChange, ScalarValue};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use sha2::{Digest, Sha256};

use super::decode::{Op, OpId, RawChange, Value};
use super::genesis::DESCRIPTION;
use super::history::History;
use super::tests::{Device, edit};
use super::*;
use crate::codec::put_varint;
use crate::ids::{ActorId, DocumentKind};

const KIND: DocumentKind = DocumentKind::Run;

/// A change with this body and a checksum that fits.
fn with_body(body: &[u8]) -> Vec<u8> {
    let mut hashed = vec![1];
    put_varint(&mut hashed, body.len() as u64);
    hashed.extend_from_slice(body);
    let checksum = &Sha256::digest(&hashed)[..4];
    [&[0x85, 0x6f, 0x4a, 0x83], checksum, &hashed].concat()
}

/// The body of a change: what comes after its length.
fn body(bytes: &[u8]) -> &[u8] {
    let length_bytes = bytes[9..].iter().position(|byte| byte & 0x80 == 0).unwrap() + 1;
    &bytes[9 + length_bytes..]
}

/// An operation as Automerge reads it, in our terms.
fn theirs(op: &automerge::legacy::Op) -> Option<Op<'_>> {
    let id = |id: &automerge::legacy::OpId| OpId {
        counter: id.counter(),
        actor: ActorId::new(id.actor().to_bytes().try_into().unwrap()),
    };
    let ObjectId::Id(object) = &op.obj else { return None };
    let value = match &op.action {
        OpType::Put(ScalarValue::Str(text)) => Some(Value::Text(text)),
        OpType::Put(ScalarValue::Int(integer)) => Some(Value::Integer(*integer)),
        OpType::Delete => None,
        _ => return None,
    };
    let replaces: Vec<_> = op.pred.iter().map(id).collect();
    Some(match (&op.key, value) {
        (Key::Map(key), value) => {
            Op::Put { container: Container::from_object(object.counter())?, key, value, replaces }
        }
        (Key::Seq(ElementId::Head), Some(Value::Text(text))) => Op::Insert { after: None, text },
        (Key::Seq(ElementId::Id(after)), Some(Value::Text(text))) => {
            Op::Insert { after: Some(id(after)), text }
        }
        (Key::Seq(ElementId::Id(element)), None) => Op::Delete { element: id(element) },
        _ => return None,
    })
}

/// Reads a change; if that succeeds, Automerge reads the same. Applies it; whatever comes of it,
/// the document can be read, and a device that gets it before the others agrees.
fn try_change(bytes: &[u8], device: &Device, honest: &[ParsedChange]) {
    let Ok(raw) = RawChange::read(KIND, bytes) else { return };
    let Ok(ops) = raw.read_ops() else { return };
    let change = Change::try_from(bytes).unwrap().decode();
    assert_eq!(change.hash.unwrap().0, *raw.hash.as_bytes());
    assert_eq!((change.seq, change.start_op.get()), (raw.seq, raw.start_op));
    assert_eq!((change.time as u64, change.operations.len()), (raw.clock.0, raw.ops));
    let read: Vec<_> = change.operations.iter().map(|op| theirs(op).unwrap()).collect();
    assert_eq!(read, ops);

    let Ok(change) = ParsedChange::from_bytes(KIND, bytes.to_vec()) else { return };
    let mut after = device.clone();
    after.apply(std::slice::from_ref(&change));
    let mut before = Device::new(8, KIND);
    let waiting = before.apply(std::slice::from_ref(&change)).waiting;
    before.apply(honest);
    if !waiting.is_empty() {
        before.apply(&[change]);
    }
    assert_eq!(after.snapshot, before.snapshot);
    assert_eq!(after.state(), before.state());
}

#[derive(Debug, Clone)]
enum Damage {
    Replace(u8),
    Insert(u8),
    Remove,
    Copy(Index, usize),
}

fn damage() -> impl Strategy<Value = (Index, Damage)> {
    let damage = prop_oneof![
        any::<u8>().prop_map(Damage::Replace),
        (0..8u8).prop_map(Damage::Replace),
        any::<u8>().prop_map(Damage::Insert),
        Just(Damage::Remove),
        (any::<Index>(), 1..40usize).prop_map(|(from, length)| Damage::Copy(from, length)),
    ];
    (any::<Index>(), damage)
}

fn inflict(bytes: &mut Vec<u8>, damage: &[(Index, Damage)]) {
    for (at, damage) in damage {
        let at = at.index(bytes.len());
        match damage {
            Damage::Replace(byte) => bytes[at] = *byte,
            Damage::Insert(byte) => bytes.insert(at, *byte),
            Damage::Remove if bytes.len() > 1 => drop(bytes.remove(at)),
            Damage::Remove => {}
            Damage::Copy(from, length) => {
                let from = from.index(bytes.len());
                let length = (*length).min(bytes.len() - from.max(at));
                bytes.copy_within(from..from + length, at);
            }
        }
    }
}

/// An operation in form that names whatever it likes.
#[derive(Debug, Clone)]
enum Lie {
    Put(usize, String, bool, Vec<Index>),
    Insert(Option<Index>),
    Delete(Index),
}

fn lie() -> impl Strategy<Value = Lie> {
    prop_oneof![
        (0..5usize, "[kl]", any::<bool>(), vec(any::<Index>(), 0..3))
            .prop_map(|(map, key, delete, preds)| Lie::Put(map, key, delete, preds)),
        proptest::option::of(any::<Index>()).prop_map(Lie::Insert),
        any::<Index>().prop_map(Lie::Delete),
    ]
}

/// A change of these operations, which name operations of the document or of the change itself.
fn liar(device: &Device, liar: ActorId, lies: &[Lie], shift: u64) -> Option<Vec<u8>> {
    let history = History::read(KIND, device.snapshot.as_deref()).unwrap();
    let start_op = history.max_op() + 1 + shift;
    let actor = |id: ActorId| automerge::ActorId::from(*id.as_bytes());
    let counted = history.counted().iter().map(|change| &change.raw);
    let ids = counted.flat_map(|raw| (0..raw.ops).map(|at| raw.op_id(at)));
    let own = (0..lies.len() as u64).map(|at| OpId { counter: start_op + at, actor: liar });
    let ids: Vec<_> =
        ids.chain(own).map(|id| LegacyId::new(id.counter, &actor(id.actor))).collect();
    let text = genesis(KIND).object_id(DESCRIPTION);
    let element = |at: &Index| Key::Seq(ElementId::Id(at.get(&ids).clone()));
    let operations = lies.iter().map(|lie| match lie {
        Lie::Put(map, key, delete, preds) => legacy::Op {
            action: if *delete { OpType::Delete } else { OpType::Put("v".into()) },
            obj: genesis(KIND).object_id(Container::ALL[*map].object()),
            key: Key::Map(key.into()),
            pred: preds.iter().map(|at| at.get(&ids).clone()).collect(),
            insert: false,
        },
        Lie::Insert(after) => legacy::Op {
            action: OpType::Put("t".into()),
            obj: text.clone(),
            key: after.as_ref().map_or(Key::head(), element),
            pred: Vec::new().into(),
            insert: true,
        },
        Lie::Delete(at) => legacy::Op {
            action: OpType::Delete,
            obj: text.clone(),
            key: element(at),
            pred: vec![at.get(&ids).clone()].into(),
            insert: false,
        },
    });
    let change = Change::from(ExpandedChange {
        operations: operations.collect(),
        actor_id: actor(liar),
        hash: None,
        seq: history.last_seq(liar) + 1,
        start_op: start_op.try_into().ok()?,
        time: 0,
        message: None,
        deps: history
            .deps(liar)
            .iter()
            .map(|hash| automerge::ChangeHash(*hash.as_bytes()))
            .collect(),
        extra_bytes: Vec::new(),
        author: None,
    });
    Some(change.raw_bytes().to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn a_damaged_change_is_refused_or_read_as_automerge_reads_it(
        edits in vec(edit(), 1..5),
        which in any::<Index>(),
        damage in vec(damage(), 1..4),
    ) {
        let mut device = Device::new(1, KIND);
        let edits = edits.iter().enumerate();
        let honest: Vec<_> =
            edits.filter_map(|(clock, edit)| device.seal(clock as u64, edit)).collect();
        if honest.is_empty() {
            return Ok(());
        }
        let mut damaged = body(&which.get(&honest).bytes).to_vec();
        inflict(&mut damaged, &damage);
        try_change(&with_body(&damaged), &device, &honest);
    }

    #[test]
    fn a_change_that_lies_is_set_aside_or_read_as_automerge_reads_it(
        edits in vec(edit(), 0..5),
        lies in vec(vec(lie(), 1..4), 1..4),
        shift in proptest::option::weighted(0.1, 1..4u64),
        other in any::<bool>(),
    ) {
        let mut device = Device::new(1, KIND);
        for (clock, edit) in edits.iter().enumerate() {
            device.seal(clock as u64, edit);
        }
        let actor = Device::new(if other { 2 } else { 1 }, KIND).actor();
        for lies in lies {
            let Some(bytes) = liar(&device, actor, &lies, shift.unwrap_or(0)) else { continue };
            let Ok(change) = ParsedChange::from_bytes(KIND, bytes) else { continue };
            device.apply(&[change]);
            device.assert_agrees_with_automerge();
        }
    }

    #[test]
    fn any_bytes_are_refused_or_read(bytes: Vec<u8>) {
        let _ = ParsedChange::from_bytes(KIND, bytes.clone());
        let _ = ParsedChange::from_bytes(KIND, with_body(&bytes));
        let _ = ChangeContent::decode(&bytes);
        let _ = DocumentState::read(KIND, &bytes);
        let _ = apply(KIND, Some(&bytes), &[]);
    }

    #[test]
    fn a_damaged_snapshot_is_refused_or_read(
        edits in vec(edit(), 1..5),
        damage in vec(damage(), 1..4),
    ) {
        let mut device = Device::new(1, KIND);
        for (clock, edit) in edits.iter().enumerate() {
            device.seal(clock as u64, edit);
        }
        let mut snapshot = device.snapshot.unwrap_or_default();
        if snapshot.is_empty() {
            return Ok(());
        }
        inflict(&mut snapshot, &damage);
        let _ = DocumentState::read(KIND, &snapshot);
        let _ = heads(KIND, &snapshot);
        let _ = apply(KIND, Some(&snapshot), &[]);
    }
}

/// Automerge's own reader goes through such a run one by one, without end.
#[test]
fn a_run_of_any_length_is_refused_at_once() {
    let mut device = Device::new(1, KIND);
    let mut edit = DocumentEdit::default();
    edit.set(Container::Tags, "a", "b");
    let change = device.seal(1, &edit).unwrap();
    let body = body(&change.bytes);
    // A literal run of one becomes a run of 2^55, in each column that has one.
    for place in (0..body.len()).filter(|place| body[*place] == 0x7f) {
        let run = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01];
        let longer = [&body[..place], &run, &body[place + 1..]].concat();
        assert!(ParsedChange::from_bytes(KIND, with_body(&longer)).is_err());
    }
}
