//! Entries: the signed, hash-linked elements of a journal.
//!
//! Invariants: an [`Entry`] has been verified: its device signed its header, the header names the
//! hash of the entry before it, and its body is what the header says. There is no other way to
//! get one. What is stored and sent is not the header (the reader knows most of it already) but
//! what is needed to build it again: signature, clock and body. `docs/data.md` has the bytes.

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};

use crate::clock::Clock;
use crate::codec::{DecodeError, Reader, put_bytes, put_varint};
use crate::ids::{DeviceId, DocumentId, EntryHash, JournalId, WorkspaceId};
use crate::operation::{self, MAX_BODY_BYTES, MAX_OPERATIONS, Operation};
use crate::vector::Tip;

/// The longest form in which one entry is stored or sent, in bytes.
pub const MAX_STORED_BYTES: usize = MAX_BODY_BYTES + 1024;

const DOMAIN: &[u8; 15] = b"runmesh/entry/1";
const ZSTD_LEVEL: i32 = 3;

/// How a body's bytes are kept. Not signed: it may differ between devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Packing {
    Plain = 0,
    Zstd = 1,
}

/// What an entry's device signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The workspace it is for.
    pub workspace: WorkspaceId,
    /// The journal it belongs to.
    pub journal: JournalId,
    /// Its place in the journal, from 0.
    pub number: u64,
    /// The hash of the entry before it; zeros for the first.
    pub previous: EntryHash,
    /// The hash of its body.
    pub body: [u8; 32],
    /// How many operations the body holds.
    pub operations: u32,
    /// How many bytes the body takes before compression and redaction.
    pub body_bytes: u32,
    /// When it was sealed, by its device's hybrid clock.
    pub clock: Clock,
}

impl Header {
    /// Length of the signed bytes.
    pub const LEN: usize = 183;

    /// The signed bytes.
    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        let parts: [&[u8]; 10] = [
            DOMAIN,
            self.workspace.as_bytes(),
            self.journal.device.as_bytes(),
            self.journal.incarnation.as_bytes(),
            &self.number.to_le_bytes(),
            self.previous.as_bytes(),
            &self.body,
            &self.operations.to_le_bytes(),
            &self.body_bytes.to_le_bytes(),
            &self.clock.0.to_le_bytes(),
        ];
        let mut at = 0;
        for part in parts {
            bytes[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        debug_assert_eq!(at, Self::LEN);
        bytes
    }

    /// The hash by which the next entry names this one.
    pub fn hash(&self) -> EntryHash {
        EntryHash::new(blake3::hash(&self.to_bytes()).into())
    }

    /// Checks that its device signed it.
    pub(crate) fn verify(&self, signature: &Signature) -> Result<(), EntryError> {
        let (journal, number) = (self.journal, self.number);
        let refuse = || EntryError::BadSignature { journal, number };
        let key = VerifyingKey::from_bytes(journal.device.as_bytes()).map_err(|_| refuse())?;
        key.verify_strict(&self.to_bytes(), signature).map_err(|_| refuse())
    }
}

/// Why bytes are not the next entry of a journal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// They are not in the format of an entry.
    #[error("entry {number} of {journal} cannot be read")]
    Malformed {
        /// The journal.
        journal: JournalId,
        /// The entry's number.
        number: u64,
        /// What is wrong.
        source: DecodeError,
    },
    /// The entries before it are not here.
    #[error("entry {number} of {journal} comes too early: entry {wanted} is the next one wanted")]
    Gap {
        /// The journal.
        journal: JournalId,
        /// The entry's number.
        number: u64,
        /// The number wanted next.
        wanted: u64,
    },
    /// It follows another entry than the one that is here: the journal was forked.
    #[error("entry {number} of {journal} does not follow the entry before it")]
    BrokenChain {
        /// The journal.
        journal: JournalId,
        /// The entry's number.
        number: u64,
    },
    /// Its device did not sign it, or signed it for another workspace or another place.
    #[error("entry {number} of {journal} is not signed by its device for this workspace and place")]
    BadSignature {
        /// The journal.
        journal: JournalId,
        /// The entry's number.
        number: u64,
    },
}

/// An entry as it was read from a peer, a bundle or the store: in form, but not yet verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnverifiedEntry {
    journal: JournalId,
    number: u64,
    signature: [u8; 64],
    clock: Clock,
    body_bytes: u32,
    operations: Vec<Operation>,
    stored: Vec<u8>,
}

/// A verified entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    header: Header,
    hash: EntryHash,
    operations: Vec<Operation>,
    stored: Vec<u8>,
}

impl UnverifiedEntry {
    /// Reads an entry from the form in which it is stored and sent.
    pub fn decode(journal: JournalId, number: u64, stored: &[u8]) -> Result<Self, EntryError> {
        let malformed = |source| EntryError::Malformed { journal, number, source };
        Self::read(journal, number, stored).map_err(malformed)
    }

    fn read(journal: JournalId, number: u64, stored: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(stored);
        let signature = reader.array("signature")?;
        let clock = Clock(reader.u64("clock")?);
        let packing = reader.u8("packing")?;
        let signed_bytes = reader.length(MAX_BODY_BYTES, "body")?;
        // A redacted body is shorter or longer than the one that was signed.
        let plain_bytes = reader.length(MAX_BODY_BYTES, "body as kept")?;
        let count = reader.length(MAX_OPERATIONS, "operations")?;
        let packed = reader.bytes(MAX_BODY_BYTES, "packed body")?;
        reader.finish("entry")?;
        let body = unpack(packing, packed, plain_bytes)?;
        let operations = operation::decode_body(&body, count)?;
        let whole = operations.iter().all(|operation| matches!(operation, Operation::Whole { .. }));
        if whole && plain_bytes != signed_bytes {
            return Err(DecodeError::Invalid { what: "body length" });
        }
        let body_bytes = signed_bytes as u32;
        Ok(Self {
            journal,
            number,
            signature,
            clock,
            body_bytes,
            operations,
            stored: stored.into(),
        })
    }

    /// When it says it was sealed.
    pub const fn clock(&self) -> Clock {
        self.clock
    }

    /// The journal it was read for.
    pub const fn journal(&self) -> JournalId {
        self.journal
    }

    /// The number it was read for.
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// The signature that it says its device made.
    pub(crate) const fn signature(&self) -> &[u8; 64] {
        &self.signature
    }

    /// How many bytes its body had when it was signed.
    pub(crate) const fn body_bytes(&self) -> u32 {
        self.body_bytes
    }

    /// Its operations, whose signature has not been checked: for entries of the own store, which
    /// were verified when they came.
    pub(crate) fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// The form in which it is stored and sent.
    pub fn stored(&self) -> &[u8] {
        &self.stored
    }

    /// The form without the content of operations on documents that `is_gone` says; none if there are
    /// none in it.
    pub(crate) fn redacted(&self, is_gone: impl Fn(&DocumentId) -> bool) -> Option<Vec<u8>> {
        let operations = redact(&self.operations, is_gone)?;
        Some(pack(&self.signature, self.clock, self.body_bytes, &operations))
    }

    /// The tip of its journal if this is the entry of `workspace` that follows `tail`. Whether its
    /// device signed it is not looked at.
    pub(crate) fn claimed_tip(self, workspace: WorkspaceId, tail: &Tip) -> Tip {
        self.link(workspace, tail).1.tip()
    }

    /// Checks that this is the entry of `workspace` that follows `tail` in its journal.
    pub fn verify(self, workspace: WorkspaceId, tail: &Tip) -> Result<Entry, EntryError> {
        let (journal, number) = (self.journal, self.number);
        if number != tail.count {
            return Err(EntryError::Gap { journal, number, wanted: tail.count });
        }
        let (signature, entry) = self.link(workspace, tail);
        entry.check(&signature)?;
        Ok(entry)
    }

    /// Builds the entry that this would be in its place.
    fn link(self, workspace: WorkspaceId, tail: &Tip) -> ([u8; 64], Entry) {
        let header = Header {
            workspace,
            journal: self.journal,
            number: self.number,
            previous: tail.hash,
            body: operation::body_hash(&self.operations),
            operations: self.operations.len() as u32,
            body_bytes: self.body_bytes,
            clock: self.clock,
        };
        let hash = header.hash();
        let entry = Entry { header, hash, operations: self.operations, stored: self.stored };
        (self.signature, entry)
    }
}

impl Entry {
    /// Signs the entry that follows `tail` in the journal of `key`'s device.
    ///
    /// The caller keeps the body within [`MAX_BODY_BYTES`] and [`MAX_OPERATIONS`].
    pub fn sign(
        key: &SigningKey,
        workspace: WorkspaceId,
        journal: JournalId,
        tail: &Tip,
        clock: Clock,
        operations: Vec<Operation>,
    ) -> Self {
        let body = operation::encode_body(&operations);
        debug_assert!(body.len() <= MAX_BODY_BYTES && operations.len() <= MAX_OPERATIONS);
        let header = Header {
            workspace,
            journal,
            number: tail.count,
            previous: tail.hash,
            body: operation::body_hash(&operations),
            operations: operations.len() as u32,
            body_bytes: body.len() as u32,
            clock,
        };
        let signature = key.sign(&header.to_bytes()).to_bytes();
        let stored = store_form(&signature, clock, header.body_bytes, header.operations, &body);
        Self { hash: header.hash(), header, operations, stored }
    }

    /// The entry without the content of operations on documents that `is_gone` says; none if there
    /// are none in it. It is the same entry: its hash and its signature stay.
    pub fn redacted(&self, is_gone: impl Fn(&DocumentId) -> bool) -> Option<Self> {
        let operations = redact(&self.operations, is_gone)?;
        let signature = self.stored.first_chunk().expect("the stored form starts with it");
        let Header { clock, body_bytes, .. } = self.header;
        let stored = pack(signature, clock, body_bytes, &operations);
        Some(Self { header: self.header.clone(), hash: self.hash, operations, stored })
    }

    fn check(&self, signature: &[u8; 64]) -> Result<(), EntryError> {
        self.header.verify(&Signature::from_bytes(signature))
    }

    /// What was signed.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The hash by which the next entry names this one.
    pub const fn hash(&self) -> EntryHash {
        self.hash
    }

    /// The device that wrote it.
    pub const fn device(&self) -> DeviceId {
        self.header.journal.device
    }

    /// The operations.
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// The form in which it is stored and sent.
    pub fn stored(&self) -> &[u8] {
        &self.stored
    }

    /// The journal's tip once this entry is its last.
    pub const fn tip(&self) -> Tip {
        Tip { count: self.header.number + 1, hash: self.hash }
    }
}

/// Verifies entries that follow one another in one journal, signatures in parallel on up to
/// `threads` threads. Returns those that are good and, if one was not, why not; what follows a bad
/// entry is not looked at.
pub fn verify_chain(
    workspace: WorkspaceId,
    mut tail: Tip,
    entries: Vec<UnverifiedEntry>,
    threads: usize,
) -> (Vec<Entry>, Option<EntryError>) {
    let mut linked = Vec::with_capacity(entries.len());
    let mut fault = None;
    for entry in entries {
        let (journal, number) = (entry.journal, entry.number);
        if number != tail.count {
            fault = Some(EntryError::Gap { journal, number, wanted: tail.count });
            break;
        }
        let (signature, entry) = entry.link(workspace, &tail);
        tail = entry.tip();
        linked.push((signature, entry));
    }
    let share = linked.len().div_ceil(threads.max(1)).max(8);
    let first_bad = std::thread::scope(|scope| {
        let check = |part: &[([u8; 64], Entry)]| {
            part.iter().find_map(|(signature, entry)| {
                entry.check(signature).err().map(|fault| (entry.header.number, fault))
            })
        };
        let mut parts = linked.chunks(share);
        let own = parts.next();
        let others: Vec<_> = parts.map(|part| scope.spawn(move || check(part))).collect();
        let own = own.and_then(check);
        let join = |thread: std::thread::ScopedJoinHandle<'_, _>| {
            thread.join().expect("checking a signature does not panic")
        };
        own.or_else(|| others.into_iter().find_map(join))
    });
    if let Some((number, bad)) = first_bad {
        linked.retain(|(_, entry)| entry.header.number < number);
        fault = Some(bad);
    }
    (linked.into_iter().map(|(_, entry)| entry).collect(), fault)
}

/// When a stored entry says it was sealed, without reading the rest of it.
pub(crate) fn clock_of(stored: &[u8]) -> Option<Clock> {
    let bytes = stored.get(64..72)?;
    Some(Clock(u64::from_le_bytes(bytes.try_into().ok()?)))
}

/// Operations without the content of those that are gone; none if none of them are.
fn redact(
    operations: &[Operation],
    is_gone: impl Fn(&DocumentId) -> bool,
) -> Option<Vec<Operation>> {
    let gone = |operation: &Operation| operation.document().is_some_and(&is_gone);
    if !operations.iter().any(gone) {
        return None;
    }
    let redact = |operation: &Operation| match operation {
        Operation::Whole { kind, .. } if gone(operation) => {
            Operation::Redacted { kind: *kind, hash: operation.hash() }
        }
        kept => kept.clone(),
    };
    Some(operations.iter().map(redact).collect())
}

fn pack(signature: &[u8; 64], clock: Clock, body_bytes: u32, operations: &[Operation]) -> Vec<u8> {
    let body = operation::encode_body(operations);
    store_form(signature, clock, body_bytes, operations.len() as u32, &body)
}

fn store_form(
    signature: &[u8; 64],
    clock: Clock,
    body_bytes: u32,
    operations: u32,
    body: &[u8],
) -> Vec<u8> {
    let packed = zstd::bulk::compress(body, ZSTD_LEVEL).ok().filter(|p| p.len() < body.len());
    let (packing, packed) = match &packed {
        Some(packed) => (Packing::Zstd, &packed[..]),
        None => (Packing::Plain, body),
    };
    let mut out = Vec::with_capacity(packed.len() + 96);
    out.extend_from_slice(signature);
    out.extend_from_slice(&clock.0.to_le_bytes());
    out.push(packing as u8);
    put_varint(&mut out, u64::from(body_bytes));
    put_varint(&mut out, body.len() as u64);
    put_varint(&mut out, u64::from(operations));
    put_bytes(&mut out, packed);
    out
}

fn unpack(packing: u8, packed: &[u8], plain_bytes: usize) -> Result<Vec<u8>, DecodeError> {
    let invalid = DecodeError::Invalid { what: "packed body" };
    let plain = match packing {
        n if n == Packing::Plain as u8 => packed.to_vec(),
        n if n == Packing::Zstd as u8 => {
            zstd::bulk::decompress(packed, plain_bytes).map_err(|_| invalid.clone())?
        }
        _ => return Err(DecodeError::Invalid { what: "packing" }),
    };
    if plain.len() == plain_bytes { Ok(plain) } else { Err(invalid) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ids::{Incarnation, RunId};
    use crate::operation::OperationKind;

    fn key() -> SigningKey {
        SigningKey::from_bytes(&[3; 32])
    }

    fn journal() -> JournalId {
        let device = DeviceId::new(key().verifying_key().to_bytes());
        JournalId { device, incarnation: Incarnation::new([4; 16]) }
    }

    fn workspace() -> WorkspaceId {
        WorkspaceId::new([5; 32])
    }

    fn operation(content: &[u8]) -> Operation {
        let run = DocumentId::run(RunId::new([6; 16]));
        Operation::new(OperationKind::Change, [7; 16], run, content.to_vec())
    }

    fn chain(count: u64) -> Vec<Entry> {
        let mut tail = Tip::START;
        let entry = |number| {
            let body = vec![operation(format!("entry {number} {}", "x".repeat(99)).as_bytes())];
            let clock = Clock(1 << 20 | number);
            let entry = Entry::sign(&key(), workspace(), journal(), &tail, clock, body);
            tail = entry.tip();
            entry
        };
        (0..count).map(entry).collect()
    }

    fn read(entry: &Entry) -> UnverifiedEntry {
        UnverifiedEntry::decode(journal(), entry.header().number, entry.stored()).unwrap()
    }

    /// The signed format may never change silently: people have journals in it.
    #[test]
    fn the_signed_bytes_are_golden() {
        let entry = Entry::sign(
            &key(),
            workspace(),
            journal(),
            &Tip { count: 1, hash: EntryHash::new([8; 32]) },
            Clock(0x0123_4567_89ab_cdef),
            vec![operation(b"hello")],
        );
        let hex = data_encoding::HEXLOWER.encode(&entry.header().to_bytes());
        assert_eq!(hex, GOLDEN_HEADER);
        assert_eq!(entry.hash().to_string(), GOLDEN_HASH);
        assert_eq!(data_encoding::HEXLOWER.encode(entry.stored()), GOLDEN_STORED);
    }

    const GOLDEN_HEADER: &str = "\
         72756e6d6573682f656e7472792f3105050505050505050505050505050505050505050505050505\
         05050505050505ed4928c628d1c2c6eae90338905995612959273a5c63f93636c14614ac8737d104\
         04040404040404040404040404040401000000000000000808080808080808080808080808080808\
         08080808080808080808080808080815f3b01431afe2fd194b475e3bcf7a2c81da3106f6a154c000\
         07a1f12cc47b3d0100000028000000efcdab8967452301";
    const GOLDEN_HASH: &str = "50b8fd3f30862e080c846f7ffce0ca0927310cf2a101d4ce058405d5e2ec9a6a";
    const GOLDEN_STORED: &str = "\
         2247236919500201ab82f4fa2287bacee3265c69b6c99db43af2f516d84a2daf34711abf2fa68c5a\
         8b4ac7acc3246b470a281c1eb012fefb9a10f28a845e6303efcdab8967452301012828011b28b52f\
         fd202895000050010702060568656c6c6f0200a0c31dc002";

    #[test]
    fn a_chain_is_verified_whatever_the_number_of_threads() {
        let entries = chain(50);
        for threads in [1, 2, 7] {
            let read = entries.iter().map(read).collect();
            let (good, fault) = verify_chain(workspace(), Tip::START, read, threads);
            assert_eq!((good, fault), (entries.clone(), None));
        }
    }

    #[test]
    fn what_follows_a_bad_entry_does_not_count() {
        let entries = chain(20);
        let mut read: Vec<_> = entries.iter().map(read).collect();
        read[9].signature[0] ^= 1;
        let (good, fault) = verify_chain(workspace(), Tip::START, read, 2);
        assert_eq!(good, entries[..9]);
        assert_eq!(fault, Some(EntryError::BadSignature { journal: journal(), number: 9 }));
    }

    #[test]
    fn an_entry_for_another_place_or_workspace_is_refused() {
        let entries = chain(2);
        let elsewhere = read(&entries[0]).verify(WorkspaceId::new([6; 32]), &Tip::START);
        assert!(matches!(elsewhere, Err(EntryError::BadSignature { .. })));
        let gap = read(&entries[1]).verify(workspace(), &Tip::START);
        assert!(matches!(gap, Err(EntryError::Gap { number: 1, wanted: 0, .. })));
        let other_line = Tip { count: 1, hash: EntryHash::new([1; 32]) };
        let forked = read(&entries[1]).verify(workspace(), &other_line);
        assert!(matches!(forked, Err(EntryError::BadSignature { .. })));
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_entry_or_an_error(bytes: Vec<u8>) {
            let _ = UnverifiedEntry::decode(journal(), 0, &bytes);
        }

        #[test]
        fn no_changed_byte_goes_unnoticed(at in 0usize..400, bit in 0u8..8) {
            let entry = &chain(1)[0];
            let mut bytes = entry.stored().to_vec();
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            let read = UnverifiedEntry::decode(journal(), 0, &bytes);
            let verified = read.and_then(|read| read.verify(workspace(), &Tip::START));
            if let Ok(same) = verified {
                // zstd frames have bits without meaning; what was signed is the same.
                prop_assert_eq!(same.header(), entry.header());
                prop_assert_eq!(same.operations(), entry.operations());
            }
        }
    }
}
