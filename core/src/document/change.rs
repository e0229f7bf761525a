//! The content of a change operation, and changes as they come in.
//!
//! Invariants: a [`ParsedChange`] is in form, and its actor derives from the device that signed
//! its entry: otherwise a member could use up another's sequence numbers.

use super::decode::RawChange;
use crate::clock::Clock;
use crate::codec::{DecodeError, Reader};
use crate::ids::{ActorId, ChangeHash, DeviceId, DocumentKind};
use crate::operation::MAX_CONTENT_BYTES;

/// Derives a device's actor from a nonce, which the device chooses anew at every start.
pub fn actor(device: DeviceId, nonce: [u8; 16]) -> ActorId {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"runmesh/actor/1");
    hasher.update(device.as_bytes());
    hasher.update(&nonce);
    let mut actor = [0; 16];
    actor.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    ActorId::new(actor)
}

/// The content of a change operation: the nonce of its actor, then the Automerge change as it is,
/// for entries are compressed as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeContent {
    /// What the actor derives from, beside the device.
    pub nonce: [u8; 16],
    /// The Automerge change, not deflated.
    pub bytes: Vec<u8>,
}

impl ChangeContent {
    /// The bytes of the content.
    pub fn encode(&self) -> Vec<u8> {
        [&self.nonce[..], &self.bytes].concat()
    }

    /// Reads the content; whether the change is in form is for [`ParsedChange::parse`] to say.
    pub fn decode(content: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(content);
        let nonce = reader.array("actor nonce")?;
        let bytes = reader.rest();
        if bytes.len() > MAX_CONTENT_BYTES {
            let length = bytes.len() as u64;
            return Err(DecodeError::TooLong { what: "change", length, limit: MAX_CONTENT_BYTES });
        }
        Ok(Self { nonce, bytes: bytes.to_vec() })
    }
}

/// Why the content of a change operation is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// It is not a change in the form that runmesh writes.
    #[error("the change cannot be read")]
    Malformed(#[from] DecodeError),
    /// Its actor is not one of the device's.
    #[error("the change's actor {actor} does not derive from device {device}")]
    ForeignActor {
        /// The device that signed the entry.
        device: DeviceId,
        /// The actor that the change claims.
        actor: ActorId,
    },
}

/// A change in form, by an actor of the device that signed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParsedChange {
    pub(super) bytes: Vec<u8>,
    hash: ChangeHash,
    actor: ActorId,
    seq: u64,
    clock: Clock,
    deps: Vec<ChangeHash>,
}

impl ParsedChange {
    /// Reads the content of an operation on a document of this kind in an entry of `device`.
    pub fn parse(
        kind: DocumentKind,
        device: DeviceId,
        content: &[u8],
    ) -> Result<Self, ChangeError> {
        let ChangeContent { nonce, bytes } = ChangeContent::decode(content)?;
        let change = Self::from_bytes(kind, bytes)?;
        if change.actor != actor(device, nonce) {
            return Err(ChangeError::ForeignActor { device, actor: change.actor });
        }
        Ok(change)
    }

    pub(super) fn from_bytes(kind: DocumentKind, bytes: Vec<u8>) -> Result<Self, DecodeError> {
        let raw = RawChange::read(kind, &bytes)?;
        raw.read_ops()?;
        let RawChange { hash, actor, seq, clock, deps, .. } = raw;
        Ok(Self { bytes, hash, actor, seq, clock, deps })
    }

    /// Its hash.
    pub const fn hash(&self) -> ChangeHash {
        self.hash
    }

    /// The changes it follows; the genesis change among them if there is no other.
    pub fn deps(&self) -> &[ChangeHash] {
        &self.deps
    }

    /// Its actor.
    pub const fn actor(&self) -> ActorId {
        self.actor
    }

    /// Its place among its actor's changes of this document, from 1.
    pub const fn seq(&self) -> u64 {
        self.seq
    }

    /// When it was made, by its device's hybrid clock.
    pub const fn clock(&self) -> Clock {
        self.clock
    }
}
