//! Entries: the signed, hash-linked elements of a journal.
//!
//! Invariants: an [`Entry`] has been verified: its device signed its header, the header names the
//! hash of the entry before it, and its body is what the header says. There is no other way to
//! get one. What is stored and sent is not the header (the reader knows most of it already) but
//! what is needed to build it again: signature, clock and body. `docs/data.md` has the bytes.

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};

use crate::clock::Clock;
use crate::codec::{DecodeError, Reader, put_bytes, put_varint};
use crate::ids::{DeviceId, EntryHash, JournalId, WorkspaceId};
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
        let stored = store_form(&signature, &header, &body);
        Self { hash: header.hash(), header, operations, stored }
    }

    fn check(&self, signature: &[u8; 64]) -> Result<(), EntryError> {
        let Header { journal, number, .. } = self.header;
        let refuse = || EntryError::BadSignature { journal, number };
        let key = VerifyingKey::from_bytes(journal.device.as_bytes()).map_err(|_| refuse())?;
        let signature = Signature::from_bytes(signature);
        key.verify_strict(&self.header.to_bytes(), &signature).map_err(|_| refuse())
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

fn store_form(signature: &[u8; 64], header: &Header, body: &[u8]) -> Vec<u8> {
    let packed = zstd::bulk::compress(body, ZSTD_LEVEL).ok().filter(|p| p.len() < body.len());
    let (packing, packed) = match &packed {
        Some(packed) => (Packing::Zstd, &packed[..]),
        None => (Packing::Plain, body),
    };
    let mut out = Vec::with_capacity(packed.len() + 96);
    out.extend_from_slice(signature);
    out.extend_from_slice(&header.clock.0.to_le_bytes());
    out.push(packing as u8);
    put_varint(&mut out, u64::from(header.body_bytes));
    put_varint(&mut out, body.len() as u64);
    put_varint(&mut out, u64::from(header.operations));
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
