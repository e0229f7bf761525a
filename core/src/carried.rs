//! A carried change: a change in an entry that does not count, with the proof that its device signed it.
//!
//! When a device is removed, what it wrote beyond its cut counts nowhere. But others, who had not
//! heard of that, may have built on it, and Automerge leaves out a change that follows on one that is
//! not there. So whoever holds such a change carries it: the header of its entry, the signature, and
//! the entry's operations, of which all others are redacted.
//!
//! Invariants: a carried change is what its device signed, so nobody puts words into another's mouth,
//! nor uses up its sequence numbers; nothing else of the entry comes along.

use ed25519_dalek::Signature;

use crate::clock::Clock;
use crate::codec::{DecodeError, Reader, put_varint};
use crate::entry::{EntryError, Header, UnverifiedEntry};
use crate::ids::{DeviceId, DocumentId, EntryHash, Incarnation, JournalId, WorkspaceId};
use crate::operation::{self, MAX_BODY_BYTES, MAX_OPERATIONS, Operation, OperationKind};

/// The most carried changes of one entry: each costs the check of a signature.
pub const MAX_CARRIED: usize = 1_024;

/// The content of a carried operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Carried {
    journal: JournalId,
    number: u64,
    previous: EntryHash,
    signature: [u8; 64],
    clock: Clock,
    body_bytes: u32,
    /// All of the entry's; one of them is whole.
    operations: Vec<Operation>,
}

impl Carried {
    /// Carries the operation at a place of an entry that follows `previous`; none if there is no
    /// change there.
    pub fn of(entry: &UnverifiedEntry, previous: EntryHash, place: u32) -> Option<Self> {
        let redact = |(at, one): (usize, &Operation)| match one {
            whole if at == place as usize => whole.clone(),
            Operation::Redacted { .. } => one.clone(),
            Operation::Whole { kind, .. } => Operation::Redacted { kind: *kind, hash: one.hash() },
        };
        let operations: Vec<Operation> =
            entry.operations().iter().enumerate().map(redact).collect();
        is_one_change(&operations).then_some(Self {
            journal: entry.journal(),
            number: entry.number(),
            previous,
            signature: *entry.signature(),
            clock: entry.clock(),
            body_bytes: entry.body_bytes(),
            operations,
        })
    }

    /// The bytes of the content.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend_from_slice(self.journal.device.as_bytes());
        out.extend_from_slice(self.journal.incarnation.as_bytes());
        put_varint(&mut out, self.number);
        out.extend_from_slice(self.previous.as_bytes());
        out.extend_from_slice(&self.signature);
        out.extend_from_slice(&self.clock.0.to_le_bytes());
        put_varint(&mut out, u64::from(self.body_bytes));
        put_varint(&mut out, self.operations.len() as u64);
        out.extend(operation::encode_body(&self.operations));
        out
    }

    /// Reads the content; whether it was signed is for [`Carried::verify`] to say.
    pub fn decode(content: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(content);
        let device = DeviceId::new(reader.array("carried device")?);
        let incarnation = Incarnation::new(reader.array("carried incarnation")?);
        let number = reader.varint("carried entry number")?;
        let previous = EntryHash::new(reader.array("hash before a carried entry")?);
        let signature = reader.array("carried signature")?;
        let clock = Clock(reader.u64("carried clock")?);
        let body_bytes = reader.length(MAX_BODY_BYTES, "carried body")? as u32;
        let count = reader.length(MAX_OPERATIONS, "carried operations")?;
        let operations = operation::decode_body(reader.rest(), count)?;
        if !is_one_change(&operations) {
            return Err(DecodeError::Invalid { what: "carried change" });
        }
        let journal = JournalId { device, incarnation };
        Ok(Self { journal, number, previous, signature, clock, body_bytes, operations })
    }

    /// Checks that its device signed it for this workspace.
    pub fn verify(&self, workspace: WorkspaceId) -> Result<(), EntryError> {
        let header = Header {
            workspace,
            journal: self.journal,
            number: self.number,
            previous: self.previous,
            body: operation::body_hash(&self.operations),
            operations: self.operations.len() as u32,
            body_bytes: self.body_bytes,
            clock: self.clock,
        };
        header.verify(&Signature::from_bytes(&self.signature))
    }

    /// The device whose change it is.
    pub const fn device(&self) -> DeviceId {
        self.journal.device
    }

    /// The document that it changes, and the content of the change operation.
    pub fn change(&self) -> (DocumentId, &[u8]) {
        let whole = self.operations.iter().find_map(|operation| match operation {
            Operation::Whole { document, content, .. } => Some((*document, content.as_slice())),
            Operation::Redacted { .. } => None,
        });
        whole.expect("it was checked that there is one")
    }
}

fn is_one_change(operations: &[Operation]) -> bool {
    let mut whole = operations.iter().filter_map(|operation| match operation {
        Operation::Whole { kind, .. } => Some(*kind),
        Operation::Redacted { .. } => None,
    });
    whole.next() == Some(OperationKind::Change as u8) && whole.next().is_none()
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;
    use proptest::prelude::*;

    use super::*;
    use crate::entry::Entry;
    use crate::ids::RunId;
    use crate::vector::Tip;

    const WORKSPACE: WorkspaceId = WorkspaceId::new([5; 32]);

    fn entry() -> (UnverifiedEntry, EntryHash) {
        let key = SigningKey::from_bytes(&[3; 32]);
        let device = DeviceId::new(key.verifying_key().to_bytes());
        let journal = JournalId { device, incarnation: Incarnation::new([4; 16]) };
        let run = DocumentId::run(RunId::new([6; 16]));
        let change =
            |text: &[u8]| Operation::new(OperationKind::Change, [7; 16], run, text.to_vec());
        let points = Operation::new(OperationKind::Points, [8; 16], run, b"points".to_vec());
        let tip = Tip { count: 4, hash: EntryHash::new([8; 32]) };
        let operations = vec![change(b"one"), points, change(b"two")];
        let entry = Entry::sign(&key, WORKSPACE, journal, &tip, Clock(9 << 16), operations);
        (UnverifiedEntry::decode(journal, 4, entry.stored()).unwrap(), tip.hash)
    }

    #[test]
    fn one_change_comes_with_its_proof_and_nothing_else() {
        let (entry, previous) = entry();
        let carried = Carried::of(&entry, previous, 2).unwrap();
        carried.verify(WORKSPACE).unwrap();
        assert_eq!(carried.change().1, b"two");
        let bytes = carried.encode();
        assert_eq!(Carried::decode(&bytes).as_ref(), Ok(&carried));
        let has = |text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
        assert!(has(b"two") && !has(b"one") && !has(b"points"));
        assert_eq!(Carried::of(&entry, previous, 1), None, "points are not carried");
        assert_eq!(Carried::of(&entry, previous, 3), None);
        assert!(carried.verify(WorkspaceId::new([6; 32])).is_err());
        let elsewhere = Carried { number: 5, ..carried };
        assert!(elsewhere.verify(WORKSPACE).is_err());
    }

    /// It stands in signed entries, so its bytes may never change silently.
    #[test]
    fn the_bytes_are_golden() {
        let (entry, previous) = entry();
        let bytes = Carried::of(&entry, previous, 2).unwrap().encode();
        assert_eq!(data_encoding::HEXLOWER.encode(&bytes), GOLDEN);
    }

    const GOLDEN: &str = "\
         ed4928c628d1c2c6eae90338905995612959273a5c63f93636c14614ac8737d10404040404040404\
         04040404040404040408080808080808080808080808080808080808080808080808080808080808\
         08a2aadf6aa92dbb61db16d808166363caf8836c5fe0560b15d049c9ee331dfae79761fe671de6d4\
         aea6f268779cea7c5c6e31e6693ca396c3c026b3d8efee500f0000090000000000750381b0077b9f\
         413a040560c9cc8ef89ce0216f43a507b88a66cb139bdc46cf15f1a382e84465304bf384befdfce6\
         0cfa4b6509ba73dab5f98c6822a88833527297ca8201070707070707070707070707070707070206\
         0606060606060606060606060606060374776f";

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            if let Ok(carried) = Carried::decode(&bytes) {
                prop_assert_eq!(carried.encode(), bytes);
            }
        }

        #[test]
        fn no_changed_byte_goes_unnoticed(at in 0usize..600, bit in 0u8..8) {
            let (entry, previous) = entry();
            let original = Carried::of(&entry, previous, 0).unwrap();
            let mut bytes = original.encode();
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            let Ok(carried) = Carried::decode(&bytes) else { return Ok(()) };
            // What kind of operation was redacted is not signed, and nothing depends on it.
            let of_redacted = carried.change() == original.change();
            prop_assert!(carried.verify(WORKSPACE).is_err() || of_redacted);
        }
    }
}
