//! The bytes of the blob protocol; `docs/protocol.md` describes them.
//!
//! One bidirectional stream fetches one blob, from a group on to its end. Invariants: a request
//! has a fixed length; a blob that the asker may not have and one that is not here get the same
//! answer.

use runmesh_core::codec::{DecodeError, Reader};
use runmesh_core::ids::{BlobHash, WorkspaceId};

use super::tree::GROUP_BYTES;

/// The protocol's name in the TLS handshake.
pub const ALPN: &[u8] = b"runmesh/blob/1";

/// More than a file system of today holds in one file, and far from overflowing any sum.
pub const MAX_BLOB_BYTES: u64 = 1 << 44;

/// Closes a connection whose other end is not a member.
pub const CLOSE_NOT_A_MEMBER: u32 = 1;
/// Resets a stream: what came is not a request.
pub(super) const RESET_BAD_REQUEST: u32 = 2;
/// Resets a stream: the blob is damaged on the provider's disk, or its disk fails.
pub(super) const RESET_DAMAGED: u32 = 3;
/// Resets a stream: the asker took too long.
pub(super) const RESET_TOO_SLOW: u32 = 4;

/// What an asker sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) workspace: WorkspaceId,
    pub(super) hash: BlobHash,
    /// Where to start: what is before it, the asker has and has verified.
    pub(super) start: u64,
}

impl Request {
    pub(super) const LEN: usize = 72;

    pub(super) fn encode(&self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..32].copy_from_slice(self.workspace.as_bytes());
        bytes[32..64].copy_from_slice(self.hash.as_bytes());
        bytes[64..].copy_from_slice(&self.start.to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let workspace = WorkspaceId::new(reader.array("workspace")?);
        let hash = BlobHash::new(reader.array("blob hash")?);
        let start = reader.u64("start")?;
        reader.finish("blob request")?;
        if start % GROUP_BYTES != 0 || start >= MAX_BLOB_BYTES {
            return Err(DecodeError::Invalid { what: "start" });
        }
        Ok(Self { workspace, hash, start })
    }
}

/// What the answer starts with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// The blob's encoding follows, from the requested start on.
    Found { size: u64 },
    /// The provider has no such blob, or none for the asker.
    NotHere,
}

impl Answer {
    const FOUND: u8 = 0;
    const NOT_HERE: u8 = 1;

    pub(super) fn encode(self) -> Vec<u8> {
        match self {
            Self::Found { size } => {
                let mut bytes = vec![Self::FOUND];
                bytes.extend_from_slice(&size.to_le_bytes());
                bytes
            }
            Self::NotHere => vec![Self::NOT_HERE],
        }
    }

    /// How many bytes follow the first one, which says what kind of answer it is.
    pub(super) const fn len_after(first: u8) -> usize {
        if first == Self::FOUND { 8 } else { 0 }
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let answer = match reader.u8("answer")? {
            Self::FOUND => Self::Found { size: reader.u64("blob size")? },
            Self::NOT_HERE => Self::NotHere,
            _ => return Err(DecodeError::Invalid { what: "answer" }),
        };
        reader.finish("answer")?;
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_those_of_the_document() {
        let request = Request {
            workspace: WorkspaceId::new([1; 32]),
            hash: BlobHash::new([2; 32]),
            start: 1 << 14,
        };
        let bytes = request.encode();
        assert_eq!(bytes[..64], [[1; 32], [2; 32]].concat());
        assert_eq!(bytes[64..], [0, 0x40, 0, 0, 0, 0, 0, 0]);
        assert_eq!(Request::decode(&bytes), Ok(request));
        assert_eq!(Answer::Found { size: 258 }.encode(), [0, 2, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(Answer::NotHere.encode(), [1]);
        for answer in [Answer::Found { size: u64::MAX }, Answer::NotHere] {
            let bytes = answer.encode();
            assert_eq!(bytes.len(), 1 + Answer::len_after(bytes[0]));
            assert_eq!(Answer::decode(&bytes), Ok(answer));
        }
    }

    #[test]
    fn what_is_not_a_request_is_refused() {
        let good = Request {
            workspace: WorkspaceId::new([1; 32]),
            hash: BlobHash::new([2; 32]),
            start: 0,
        };
        let bytes = good.encode();
        for length in 0..Request::LEN {
            assert!(Request::decode(&bytes[..length]).is_err());
        }
        assert!(Request::decode(&[&bytes[..], &[0]].concat()).is_err());
        for start in [1, GROUP_BYTES - 1, GROUP_BYTES + 1024, MAX_BLOB_BYTES, u64::MAX - 16383] {
            assert!(Request::decode(&Request { start, ..good }.encode()).is_err(), "{start}");
        }
        assert!(Answer::decode(&[2]).is_err());
        assert!(Answer::decode(&[]).is_err());
    }
}
