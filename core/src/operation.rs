//! Operations: the elements of an entry's body, and how they are hashed.
//!
//! Invariants: an operation's hash covers its kind, salt, document and content, and the body's
//! hash covers the operations' hashes only. So an operation can be redacted, leaving its hash,
//! without breaking the chain; and because the salt goes with the content, nobody can confirm a
//! guess at what was redacted. Operations of a kind this version does not know are kept as they
//! are and forwarded. `docs/data.md` describes the bytes.

use crate::codec::{DecodeError, Reader, put_bytes};
use crate::ids::DocumentId;

/// The most content one operation can carry, in bytes.
pub const MAX_CONTENT_BYTES: usize = 4 << 20;
/// The most operations one entry can carry.
pub const MAX_OPERATIONS: usize = 1 << 16;
/// The longest body of an entry before compression, in bytes.
pub const MAX_BODY_BYTES: usize = 8 << 20;

/// Set in the kind of an operation whose content was redacted.
const REDACTED: u8 = 0x80;

/// What kind of operation it is. The numbers are part of the signed format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum OperationKind {
    /// An Automerge change of a document.
    Change = 1,
    /// Points of the series of a run.
    Points = 2,
    /// A blob put under a path, or taken away from it.
    Artifact = 3,
    /// A membership act.
    Act = 4,
    // 5 Object and 6 Purge are spoken for; see docs/data.md.
    /// A part of a trace.
    Trace = 7,
    /// A change of another device, with the proof that it signed it.
    Carried = 8,
}

impl OperationKind {
    /// The kind with this number in the signed format, if this version knows it.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Change),
            2 => Some(Self::Points),
            3 => Some(Self::Artifact),
            4 => Some(Self::Act),
            7 => Some(Self::Trace),
            8 => Some(Self::Carried),
            _ => None,
        }
    }
}

/// The BLAKE3 hash of an operation.
pub type OperationHash = [u8; 32];

/// One element of an entry's body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// An operation with its content.
    Whole {
        /// The kind's number; see [`OperationKind`].
        kind: u8,
        /// Random bytes that keep a redacted operation from being guessed.
        salt: [u8; 16],
        /// The document it belongs to.
        document: DocumentId,
        /// What it says, in the format of its kind.
        content: Vec<u8>,
    },
    /// What is left of an operation after its content was redacted.
    Redacted {
        /// The kind's number.
        kind: u8,
        /// The hash of the whole operation.
        hash: OperationHash,
    },
}

impl Operation {
    /// An operation with its content.
    pub fn new(
        kind: OperationKind,
        salt: [u8; 16],
        document: DocumentId,
        content: Vec<u8>,
    ) -> Self {
        Self::Whole { kind: kind as u8, salt, document, content }
    }

    /// The hash that the entry's signature covers.
    pub fn hash(&self) -> OperationHash {
        match self {
            Self::Redacted { hash, .. } => *hash,
            Self::Whole { kind, salt, document, content } => {
                let mut hasher = blake3::Hasher::new();
                hasher.update(b"runmesh/operation/1");
                hasher.update(&[*kind]);
                hasher.update(salt);
                hasher.update(&document.to_bytes());
                hasher.update(content);
                hasher.finalize().into()
            }
        }
    }

    /// The document it belongs to; none if its content was redacted.
    pub const fn document(&self) -> Option<&DocumentId> {
        match self {
            Self::Whole { document, .. } => Some(document),
            Self::Redacted { .. } => None,
        }
    }

    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Redacted { kind, hash } => {
                out.push(kind | REDACTED);
                out.extend_from_slice(hash);
            }
            Self::Whole { kind, salt, document, content } => {
                out.push(*kind);
                out.extend_from_slice(salt);
                out.extend_from_slice(&document.to_bytes());
                put_bytes(out, content);
            }
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let kind = reader.u8("operation kind")?;
        if kind & REDACTED != 0 {
            let hash = reader.array("operation hash")?;
            return Ok(Self::Redacted { kind: kind & !REDACTED, hash });
        }
        let salt = reader.array("operation salt")?;
        let document = DocumentId::from_bytes(&reader.array("operation document")?);
        let content = reader.bytes(MAX_CONTENT_BYTES, "operation content")?.to_vec();
        Ok(Self::Whole { kind, salt, document, content })
    }
}

/// The bytes of a body: its operations, one after the other.
pub fn encode_body(operations: &[Operation]) -> Vec<u8> {
    let mut out = Vec::new();
    for operation in operations {
        operation.put(&mut out);
    }
    out
}

/// Reads a body that is said to hold `count` operations, at most [`MAX_OPERATIONS`].
pub fn decode_body(bytes: &[u8], count: usize) -> Result<Vec<Operation>, DecodeError> {
    let mut reader = Reader::new(bytes);
    let mut operations = Vec::with_capacity(count.min(bytes.len() / 33));
    for _ in 0..count {
        operations.push(Operation::read(&mut reader)?);
    }
    reader.finish("body")?;
    Ok(operations)
}

/// The hash of a body: of the list of its operations' hashes.
pub fn body_hash(operations: &[Operation]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"runmesh/body/1");
    for operation in operations {
        hasher.update(&operation.hash());
    }
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ids::RunId;

    fn note(text: &str) -> Operation {
        let run = DocumentId::run(RunId::new([9; 16]));
        Operation::new(OperationKind::Change, [1; 16], run, text.into())
    }

    #[test]
    fn redacting_an_operation_keeps_the_bodys_hash() {
        let body = [note("secret"), note("kept")];
        let redacted = [Operation::Redacted { kind: 1, hash: body[0].hash() }, body[1].clone()];
        assert_eq!(body_hash(&body), body_hash(&redacted));
        let bytes = encode_body(&redacted);
        assert_eq!(decode_body(&bytes, 2).as_deref(), Ok(&redacted[..]));
    }

    proptest! {
        #[test]
        fn a_body_of_any_bytes_is_read_or_refused(bytes: Vec<u8>, count in 0..9usize) {
            if let Ok(operations) = decode_body(&bytes, count) {
                prop_assert_eq!(encode_body(&operations), bytes);
            }
        }
    }
}
