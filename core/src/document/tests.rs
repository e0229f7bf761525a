//! Stories of documents on several devices.

#![allow(clippy::unwrap_used)]

use data_encoding::HEXLOWER;

use super::*;
use crate::clock::Clock;
use crate::ids::{ActorId, DeviceId, DocumentKind};

/// One device's view of one document.
#[derive(Debug, Clone)]
struct Device {
    id: DeviceId,
    nonce: [u8; 16],
    kind: DocumentKind,
    snapshot: Option<Vec<u8>>,
}

impl Device {
    fn new(number: u8, kind: DocumentKind) -> Self {
        Self { id: DeviceId::new([number; 32]), nonce: [number; 16], kind, snapshot: None }
    }

    fn actor(&self) -> ActorId {
        actor(self.id, self.nonce)
    }

    fn seal(&mut self, clock: u64, edit: &DocumentEdit) -> Option<ParsedChange> {
        let snapshot = self.snapshot.as_deref();
        let sealed = seal_edit(self.kind, snapshot, self.actor(), Clock(clock), edit).unwrap()?;
        self.snapshot = Some(sealed.snapshot);
        let content = ChangeContent { nonce: self.nonce, bytes: sealed.change }.encode();
        let change = ParsedChange::parse(self.kind, self.id, &content).unwrap();
        assert_eq!(change.hash(), sealed.hash);
        Some(change)
    }

    fn apply(&mut self, changes: &[ParsedChange]) -> Applied {
        let applied = apply(self.kind, self.snapshot.as_deref(), changes).unwrap();
        self.snapshot = Some(applied.snapshot.clone());
        applied
    }

    fn snapshot(&self) -> &[u8] {
        self.snapshot.as_deref().unwrap()
    }

    fn state(&self) -> DocumentState {
        DocumentState::read(self.kind, self.snapshot()).unwrap()
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

#[test]
fn the_genesis_change_never_changes() {
    let golden = [
        (DocumentKind::Workspace, "81eb73fe", "00"),
        (DocumentKind::Experiment, "692b4b26", "01"),
        (DocumentKind::Run, "e2b17279", "02"),
    ];
    for (kind, checksum, number) in golden {
        let bytes = [
            "856f4a83",
            checksum,
            "0158001072",
            "756e6d6573682f67656e65736973",
            number,
            "010100000005152d34014204560270",
            "027a04696e666f06706172616d73047461677306696e70757473076f",
            "7574707574730b6465736372697074696f6e0605007f0406000600",
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
    assert_eq!([team, others[0]].iter().collect::<std::collections::BTreeSet<_>>().len(), 2);
}
