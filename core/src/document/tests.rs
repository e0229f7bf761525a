//! Stories of documents on several devices.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use automerge::{Automerge, Change, ROOT, ReadDoc};
use data_encoding::HEXLOWER;
use proptest::collection::vec;
use proptest::prelude::*;

use super::history::History;
use super::state::Standing;
use super::*;
use crate::clock::Clock;
use crate::ids::{ActorId, DeviceId, DocumentKind};

/// One device's view of one document.
#[derive(Debug, Clone)]
pub(super) struct Device {
    id: DeviceId,
    nonce: [u8; 16],
    kind: DocumentKind,
    pub(super) snapshot: Option<Vec<u8>>,
}

impl Device {
    pub(super) fn new(number: u8, kind: DocumentKind) -> Self {
        Self { id: DeviceId::new([number; 32]), nonce: [number; 16], kind, snapshot: None }
    }

    pub(super) fn actor(&self) -> ActorId {
        actor(self.id, self.nonce)
    }

    pub(super) fn seal(&mut self, clock: u64, edit: &DocumentEdit) -> Option<ParsedChange> {
        let snapshot = self.snapshot.as_deref();
        let by_automerge = self.by_automerge(clock, edit);
        let sealed = seal_edit(self.kind, snapshot, self.actor(), Clock(clock), edit).unwrap();
        assert_eq!(sealed.as_ref().map(|sealed| &sealed.change), by_automerge.as_ref());
        let sealed = sealed?;
        self.snapshot = Some(sealed.snapshot);
        let content = ChangeContent { nonce: self.nonce, bytes: sealed.change }.encode();
        let change = ParsedChange::parse(self.kind, self.id, &content).unwrap();
        assert_eq!(change.hash(), sealed.hash);
        Some(change)
    }

    /// The change that Automerge makes of an edit.
    fn by_automerge(&self, clock: u64, edit: &DocumentEdit) -> Option<Vec<u8>> {
        let history = History::read(self.kind, self.snapshot.as_deref()).unwrap();
        let standing = Standing::read(&history).unwrap();
        let puts = seal::effective(edit, &standing);
        let description = edit.description.as_deref();
        seal::with_automerge(&history, self.actor(), Clock(clock), &puts, description).unwrap()
    }

    pub(super) fn apply(&mut self, changes: &[ParsedChange]) -> Applied {
        let applied = apply(self.kind, self.snapshot.as_deref(), changes).unwrap();
        self.snapshot = Some(applied.snapshot.clone());
        applied
    }

    pub(super) fn state(&self) -> DocumentState {
        match &self.snapshot {
            Some(snapshot) => DocumentState::read(self.kind, snapshot).unwrap(),
            None => DocumentState::default(),
        }
    }

    /// Checks that Automerge reads of the same changes what we do.
    pub(super) fn assert_agrees_with_automerge(&self) {
        let Some(snapshot) = &self.snapshot else { return };
        let history = History::read(self.kind, Some(snapshot)).unwrap();
        let changes = history.counted().iter().map(|change| change.bytes);
        let changes = [genesis(self.kind).bytes()].into_iter().chain(changes);
        let changes: Vec<_> = changes.map(|bytes| Change::try_from(bytes).unwrap()).collect();
        let mut document = Automerge::new();
        document.apply_changes(changes).unwrap();
        let theirs: BTreeSet<_> = document.get_heads().into_iter().map(|hash| hash.0).collect();
        let ours = heads(self.kind, snapshot).unwrap();
        assert_eq!(theirs, ours.iter().map(|hash| *hash.as_bytes()).collect());
        let state = self.state();
        for container in Container::ALL {
            let (_, map) = document.get(ROOT, container.name(self.kind)).unwrap().unwrap();
            let theirs: BTreeMap<String, BTreeSet<Scalar>> = document
                .keys(&map)
                .map(|key| {
                    let values = document.get_all(&map, &key).unwrap();
                    (key, values.iter().map(|(value, _)| scalar(value)).collect())
                })
                .collect();
            let ours = state.map(container).iter().map(|(key, held)| {
                let others = held.others.iter().map(|(value, _)| value);
                (key.clone(), others.chain([&held.value]).cloned().collect())
            });
            assert_eq!(theirs, ours.collect());
            for (key, held) in state.map(container) {
                let winner = document.get(&map, key).unwrap().unwrap().0;
                assert!(container == Container::Params || held.value == scalar(&winner));
            }
        }
        let (_, description) = document.get(ROOT, "description").unwrap().unwrap();
        assert_eq!(document.text(description).unwrap(), state.description);
    }
}

fn scalar(value: &automerge::Value<'_>) -> Scalar {
    match value.as_i64() {
        Some(integer) => Scalar::Integer(integer),
        None => Scalar::from(value.as_str().unwrap()),
    }
}

fn set(container: Container, key: &str, value: impl Into<Scalar>) -> DocumentEdit {
    let mut edit = DocumentEdit::default();
    edit.set(container, key, value);
    edit
}

fn texts(held: &Held) -> (&str, Vec<&str>) {
    let others = held.others.iter().filter_map(|(value, _)| value.as_text());
    (held.value.as_text().unwrap(), others.collect())
}

pub(super) fn edit() -> impl Strategy<Value = DocumentEdit> {
    let value = prop_oneof![
        "[ab]{0,2}".prop_map(|text| Some(Scalar::Text(text))),
        any::<i64>().prop_map(|integer| Some(Scalar::Integer(integer))),
        Just(None),
    ];
    let put = (proptest::sample::select(Container::ALL.to_vec()), "[klé]{1,2}", value)
        .prop_map(|(container, key, value)| Put { container, key, value });
    let description = proptest::option::weighted(0.2, "[xy🦉\n ]{0,6}");
    (vec(put, 0..5), description).prop_map(|(puts, description)| DocumentEdit { puts, description })
}

/// What happens to one of three devices: an edit, or changes that arrive, picked from those made.
#[derive(Debug, Clone)]
enum Event {
    Edit(usize, DocumentEdit),
    Arrive(usize, Vec<proptest::sample::Index>),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        (0..3usize, edit()).prop_map(|(device, edit)| Event::Edit(device, edit)),
        (0..3usize, vec(any::<proptest::sample::Index>(), 1..5))
            .prop_map(|(device, changes)| Event::Arrive(device, changes)),
    ]
}

/// Plays events on devices; returns all changes made.
fn play(devices: &mut [Device; 3], events: Vec<Event>) -> Vec<ParsedChange> {
    let mut made = Vec::new();
    for (clock, event) in events.into_iter().enumerate() {
        match event {
            Event::Edit(device, edit) => made.extend(devices[device].seal(clock as u64, &edit)),
            Event::Arrive(device, changes) if !made.is_empty() => {
                let arrived: Vec<_> = changes.iter().map(|at| at.get(&made).clone()).collect();
                devices[device].apply(&arrived);
            }
            Event::Arrive(..) => {}
        }
    }
    made
}

/// Hands over changes in groups, and again those that had to wait.
fn deliver(device: &mut Device, changes: &[ParsedChange], group: usize) {
    let mut waiting: Vec<ParsedChange> = Vec::new();
    for group in changes.chunks(group) {
        waiting.extend_from_slice(group);
        let applied = device.apply(&waiting);
        let still: BTreeSet<_> = applied.waiting.iter().map(|waiting| waiting.change).collect();
        waiting.retain(|change| still.contains(&change.hash()));
    }
    assert!(waiting.is_empty());
}

proptest! {
    #[test]
    fn devices_agree_whatever_the_order(
        events in vec(event(), 1..24),
        seed in any::<u64>(),
        group in 1..5usize,
    ) {
        let mut devices = [1, 2, 3].map(|number| Device::new(number, DocumentKind::Run));
        let made = play(&mut devices, events);
        agree(devices, made, seed, group)?;
    }

    /// A clone of a running machine has its actor, too.
    #[test]
    fn devices_agree_when_one_was_cloned(
        before in vec(event(), 0..4),
        events in vec(event(), 1..16),
        seed in any::<u64>(),
        group in 1..5usize,
    ) {
        let mut devices = [1, 2, 3].map(|number| Device::new(number, DocumentKind::Run));
        let mut made = play(&mut devices, before);
        devices[1] = devices[0].clone();
        made.extend(play(&mut devices, events));
        agree(devices, made, seed, group)?;
    }
}

fn agree(
    devices: [Device; 3],
    mut made: Vec<ParsedChange>,
    mut seed: u64,
    group: usize,
) -> Result<(), TestCaseError> {
    let mut whole = Device::new(9, DocumentKind::Run);
    deliver(&mut whole, &made, made.len().max(1));
    whole.assert_agrees_with_automerge();
    for mut device in devices {
        device.assert_agrees_with_automerge();
        for at in (1..made.len()).rev() {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            made.swap(at, (seed >> 33) as usize % (at + 1));
        }
        deliver(&mut device, &made, group);
        if let Some(snapshot) = &whole.snapshot {
            prop_assert_eq!(device.snapshot.as_ref(), Some(snapshot));
            for change in &made {
                prop_assert!(contains(device.kind, snapshot, &change.hash()).unwrap());
            }
        }
        prop_assert_eq!(device.state(), whole.state());
    }
    Ok(())
}

#[test]
fn the_genesis_change_never_changes() {
    // Checksum, length of the rest, length of the names' column, and the names of the maps.
    let run_maps = "04696e666f06706172616d73047461677306696e70757473076f757470757473";
    let golden = [
        (DocumentKind::Workspace, "81eb73fe", "58", "2d", run_maps),
        (DocumentKind::Experiment, "692b4b26", "58", "2d", run_maps),
        (DocumentKind::Run, "e2b17279", "58", "2d", run_maps),
        (
            DocumentKind::RegisteredModel,
            "d561f00d",
            "5a",
            "2f",
            "04696e666f07616c6961736573047461677307686973746f7279076f757470757473",
        ),
        (
            DocumentKind::ModelVersion,
            "54f390df",
            "59",
            "2e",
            "04696e666f06706172616d73047461677307686973746f7279076f757470757473",
        ),
        (DocumentKind::LoggedModel, "b26d895e", "58", "2d", run_maps),
        (
            DocumentKind::Trace,
            "0653f359",
            "5d",
            "32",
            "04696e666f086d6574616461746104746167730b6173736573736d656e7473056c696e6b73",
        ),
        (
            DocumentKind::EvaluationDataset,
            "f043ef75",
            "5e",
            "33",
            "04696e666f0b6578706572696d656e74730474616773077265636f726473076f757470757473",
        ),
        (
            DocumentKind::Scorer,
            "b7da0636",
            "5a",
            "2f",
            "04696e666f0876657273696f6e73047461677306696e70757473076f757470757473",
        ),
    ];
    assert_eq!(golden.map(|(kind, ..)| kind), DocumentKind::ALL);
    for (kind, checksum, length, names_length, names) in golden {
        let number = format!("{:02x}", kind as u8);
        let bytes = [
            "856f4a83",
            checksum,
            "01",
            length,
            "001072756e6d6573682f67656e65736973",
            number.as_str(),
            "01010000000515",
            names_length,
            "34014204560270027a",
            names,
            "0b6465736372697074696f6e0605007f0406000600",
        ];
        assert_eq!(HEXLOWER.encode(genesis(kind).bytes()), bytes.concat());
        assert_eq!(&genesis(kind).bytes()[4..8], &genesis(kind).hash().as_bytes()[..4]);
    }
}

#[test]
fn two_devices_that_create_an_experiment_while_apart_have_one() {
    let [mut ann, mut bob] = [1, 2].map(|n| Device::new(n, DocumentKind::Experiment));
    let mut create = set(Container::Info, "name", "fraud");
    create.set(Container::Info, "lifecycle", "active");
    create.set(Container::Tags, "team", "red");
    let from_ann = ann.seal(10, &create).unwrap();
    create.set(Container::Tags, "team", "blue");
    create.description = Some("what we know".into());
    let from_bob = bob.seal(11, &create).unwrap();

    ann.apply(&[from_bob]);
    bob.apply(&[from_ann]);

    assert_eq!(ann.snapshot, bob.snapshot);
    let state = ann.state();
    assert_eq!(state, bob.state());
    assert_eq!(state.info["name"].value, Scalar::from("fraud"));
    assert_eq!(state.description, "what we know");
    let (team, others) = texts(&state.tags["team"]);
    assert_eq!([team, others[0]].iter().collect::<BTreeSet<_>>().len(), 2);
}

#[test]
fn a_param_set_to_two_values_while_apart_is_served_first_by_clock() {
    let [mut ann, mut bob] = [1, 2].map(|n| Device::new(n, DocumentKind::Run));
    // Bob has done more, so Automerge would show his value.
    let before = bob.seal(1, &set(Container::Tags, "a", "1")).unwrap();
    let later = bob.seal(30, &set(Container::Params, "lr", "0.1")).unwrap();
    let first = ann.seal(20, &set(Container::Params, "lr", "0.2")).unwrap();

    bob.apply(&[first]);
    let served = bob.state().params["lr"].clone();
    assert_eq!(texts(&served), ("0.2", vec!["0.1"]));
    assert_eq!(served.others[0].1, Clock(30));

    // Until what it follows is here, Bob's change waits at Ann's.
    let waiting = ann.apply(std::slice::from_ref(&later)).waiting;
    assert_eq!(waiting, [Waiting { change: later.hash(), missing: before.hash() }]);
    assert_eq!(texts(&ann.state().params["lr"]), ("0.2", vec![]));
    ann.apply(&[later, before]);
    assert_eq!(ann.snapshot, bob.snapshot);
    assert_eq!(ann.state(), bob.state());

    // Whoever sets it again settles it.
    bob.seal(40, &set(Container::Params, "lr", "0.1")).unwrap();
    assert_eq!(texts(&bob.state().params["lr"]), ("0.1", vec![]));
}

#[test]
fn creating_an_experiment_beats_deleting_it_meanwhile() {
    let [mut ann, mut bob] = [1, 2].map(|n| Device::new(n, DocumentKind::Experiment));
    let active = set(Container::Info, "lifecycle", "active");
    let created = ann.seal(1, &active).unwrap();
    bob.apply(&[created]);
    let deleted = bob.seal(3, &set(Container::Info, "lifecycle", "deleted")).unwrap();
    let again = Device::new(3, DocumentKind::Experiment).seal(2, &active).unwrap();

    ann.apply(&[deleted]);
    assert_eq!(texts(&ann.state().info["lifecycle"]), ("deleted", vec![]));
    ann.apply(&[again]);
    assert_eq!(texts(&ann.state().info["lifecycle"]), ("active", vec!["deleted"]));
}

#[test]
fn of_two_changes_under_one_number_one_counts_and_takes_its_followers_along() {
    let mut ann = Device::new(1, DocumentKind::Run);
    ann.seal(1, &set(Container::Tags, "a", "0")).unwrap();
    let mut lines = [ann.clone(), ann];
    let edits = ["1", "2"].map(|value| set(Container::Tags, "a", value));
    let twins = [0, 1].map(|line| lines[line].seal(2, &edits[line]).unwrap());
    let edits = ["1", "2"].map(|value| set(Container::Tags, "b", value));
    let followers = [0, 1].map(|line| lines[line].seal(3, &edits[line]).unwrap());
    let wins = usize::from(twins[1].hash() < twins[0].hash());
    let loses = 1 - wins;

    let [one, two] = &mut lines;
    let loser = if loses == 0 { one } else { two };
    let applied = loser.apply(&[twins[wins].clone(), followers[wins].clone()]);

    assert_eq!(applied.applied, [twins[wins].hash(), followers[wins].hash()]);
    assert_eq!(applied.set_aside, [twins[loses].hash(), followers[loses].hash()]);
    assert_eq!(texts(&loser.state().tags["b"]), (["1", "2"][wins], vec![]));
    // Its own line goes on from what counts.
    loser.seal(9, &set(Container::Tags, "c", "3")).unwrap();
    loser.assert_agrees_with_automerge();
}

#[test]
fn what_changes_nothing_makes_no_change() {
    let mut ann = Device::new(1, DocumentKind::Run);
    let mut edit = set(Container::Tags, "a", "0");
    edit.set(Container::Tags, "a", "1");
    edit.delete(Container::Tags, "b");
    edit.description = Some(String::new());
    assert!(ann.seal(1, &edit).is_some());
    assert_eq!(texts(&ann.state().tags["a"]), ("1", vec![]));
    assert!(ann.seal(2, &edit).is_none());
    assert!(ann.seal(3, &DocumentEdit::default()).is_none());
}

#[test]
fn a_change_of_a_foreign_actor_is_refused() {
    let mut ann = Device::new(1, DocumentKind::Run);
    let change = ann.seal(1, &set(Container::Tags, "a", "0")).unwrap();
    let content = ChangeContent { nonce: ann.nonce, bytes: change.bytes }.encode();
    let bob = DeviceId::new([2; 32]);
    let refused = ParsedChange::parse(DocumentKind::Run, bob, &content);
    assert_eq!(refused, Err(ChangeError::ForeignActor { device: bob, actor: ann.actor() }));
}

#[test]
fn a_deflated_change_is_refused() {
    let mut ann = Device::new(1, DocumentKind::Run);
    let change = ann.seal(1, &set(Container::Tags, "a", "0".repeat(600).as_str())).unwrap();
    let deflated = Change::try_from(&change.bytes[..]).unwrap().bytes().to_vec();
    assert!(deflated.len() < change.bytes.len());
    let content = ChangeContent { nonce: ann.nonce, bytes: deflated }.encode();
    let refused = ParsedChange::parse(DocumentKind::Run, ann.id, &content);
    assert!(matches!(refused, Err(ChangeError::Malformed(_))));
}

#[test]
fn the_content_of_a_change_operation_never_changes() {
    let mut ann = Device::new(1, DocumentKind::Run);
    let mut edit = set(Container::Info, "name", "swift-owl");
    edit.set(Container::Info, "start_ms", 1_790_000_000_000);
    edit.set(Container::Params, "lr", "0.1");
    let change = ann.seal(1 << 57, &edit).unwrap();
    let content = ChangeContent { nonce: ann.nonce, bytes: change.bytes }.encode();
    let golden = [
        "01010101010101010101010101010101", // nonce
        "856f4a83",                         // magic
        "023400ef",                         // checksum
        "01",                               // a change
        "9501",                             // length
        "01",                               // dependencies
        "e2b17279a2e7aa66da4dfe2dd03e38d0a48025745ff9ac33f28364f6ed8d5f59", // the genesis change
        "10a94b63aa6ef12f2df924949ce831c6ff", // actor
        "0107",                             // sequence number, first operation
        "808080808080808002",               // time
        "00",                               // message
        "011072756e6d6573682f67656e6573697302", // other actors
        "0801020204151234014202560557127002", // columns: number and length of each
        "030102017f027d046e616d650873746172745f6d73026c720303017d9601643673776966742d6f776c80d8c1a28c34302e310300", // the columns
    ];
    assert_eq!(HEXLOWER.encode(&content), golden.concat());
}
