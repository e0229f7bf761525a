//! The bytes of the blob protocol; `docs/protocol.md` describes them.
//!
//! One bidirectional stream is one request: for a blob, from a group on to its end; for what the
//! provider holds; or for a promise to keep blobs. Invariants: a request has a limited length; a
//! blob that the asker may not have and one that is not here get the same answer, and so do a
//! workspace that is not here and one that the asker is no member of.

use runmesh_core::codec::{DecodeError, Reader};
use runmesh_core::ids::{BlobHash, WorkspaceId};

use super::news::Position;
use super::tree::GROUP_BYTES;

/// The protocol's name in the TLS handshake.
pub const ALPN: &[u8] = b"runmesh/blob/2";

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

/// The most blobs that one request asks to be kept.
pub(super) const MAX_KEEP: usize = 1024;
/// The longest that one request asks for blobs to be kept.
pub(super) const MAX_KEEP_MS: u64 = 7 * 24 * 3_600_000;

/// What an asker sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Request {
    /// A blob.
    Blob(BlobRequest),
    /// What the provider holds, and what changes from now on.
    Holdings {
        workspace: WorkspaceId,
        /// How much of that the asker has heard.
        heard: Position,
    },
    /// A promise to keep blobs: the asker wants to drop its own copies.
    Keep {
        workspace: WorkspaceId,
        /// For how long.
        for_ms: u64,
        blobs: Vec<BlobHash>,
    },
}

/// Asks for one blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BlobRequest {
    pub(super) workspace: WorkspaceId,
    pub(super) hash: BlobHash,
    /// Where to start: what is before it, the asker has and has verified.
    pub(super) start: u64,
}

impl Request {
    const BLOB: u8 = 0;
    const HOLDINGS: u8 = 1;
    const KEEP: u8 = 2;
    /// The longest request.
    pub(super) const MAX_LEN: usize = 1 + 32 + 8 + 4 + 32 * MAX_KEEP;

    pub(super) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Blob(BlobRequest { workspace, hash, start }) => {
                let fields = [&[Self::BLOB][..], workspace.as_bytes(), hash.as_bytes()];
                [&fields.concat()[..], &start.to_le_bytes()].concat()
            }
            Self::Holdings { workspace, heard } => {
                let fields = [&[Self::HOLDINGS][..], workspace.as_bytes(), &heard.epoch];
                [&fields.concat()[..], &heard.number.to_le_bytes()].concat()
            }
            Self::Keep { workspace, for_ms, blobs } => {
                let mut bytes = [&[Self::KEEP][..], workspace.as_bytes()].concat();
                bytes.extend_from_slice(&for_ms.to_le_bytes());
                let count = u32::try_from(blobs.len()).expect("no more than may be asked for");
                bytes.extend_from_slice(&count.to_le_bytes());
                blobs.iter().for_each(|blob| bytes.extend_from_slice(blob.as_bytes()));
                bytes
            }
        }
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let kind = reader.u8("kind of request")?;
        let workspace = WorkspaceId::new(reader.array("workspace")?);
        let request = match kind {
            Self::BLOB => {
                let hash = BlobHash::new(reader.array("blob hash")?);
                let start = reader.u64("start")?;
                if start % GROUP_BYTES != 0 || start >= MAX_BLOB_BYTES {
                    return Err(DecodeError::Invalid { what: "start" });
                }
                Self::Blob(BlobRequest { workspace, hash, start })
            }
            Self::HOLDINGS => {
                let epoch = reader.array("epoch")?;
                let heard = Position { epoch, number: reader.u64("number")? };
                Self::Holdings { workspace, heard }
            }
            Self::KEEP => {
                let for_ms = reader.u64("time")?;
                let count = reader.u32("count of blobs")? as usize;
                if count > MAX_KEEP || for_ms > MAX_KEEP_MS {
                    return Err(DecodeError::Invalid { what: "promise" });
                }
                let mut blobs = Vec::with_capacity(count);
                for _ in 0..count {
                    blobs.push(BlobHash::new(reader.array("blob hash")?));
                }
                Self::Keep { workspace, for_ms, blobs }
            }
            _ => return Err(DecodeError::Invalid { what: "kind of request" }),
        };
        reader.finish("blob request")?;
        Ok(request)
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
    pub(super) const FOUND: u8 = 0;
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

    const WORKSPACE: WorkspaceId = WorkspaceId::new([1; 32]);

    fn every_kind() -> [Request; 3] {
        let hash = BlobHash::new([2; 32]);
        let heard = Position { epoch: [3; 16], number: 0x0102 };
        [
            Request::Blob(BlobRequest { workspace: WORKSPACE, hash, start: 1 << 14 }),
            Request::Holdings { workspace: WORKSPACE, heard },
            Request::Keep { workspace: WORKSPACE, for_ms: 258, blobs: vec![hash, hash] },
        ]
    }

    #[test]
    fn the_bytes_are_those_of_the_document() {
        let [blob, holdings, keep] = every_kind();
        let head = |kind: u8| [&[kind][..], &[1; 32]].concat();
        let start = [0, 0x40, 0, 0, 0, 0, 0, 0];
        assert_eq!(blob.encode(), [&head(0)[..], &[2; 32], &start].concat());
        let number = [2, 1, 0, 0, 0, 0, 0, 0];
        assert_eq!(holdings.encode(), [&head(1)[..], &[3; 16], &number].concat());
        let count = [2, 0, 0, 0];
        assert_eq!(keep.encode(), [&head(2)[..], &number, &count, &[2; 64]].concat());
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
        for request in every_kind() {
            let bytes = request.encode();
            assert_eq!(Request::decode(&bytes), Ok(request));
            for length in 0..bytes.len() {
                assert!(Request::decode(&bytes[..length]).is_err());
            }
            assert!(Request::decode(&[&bytes[..], &[0]].concat()).is_err());
        }
        let good = BlobRequest { workspace: WORKSPACE, hash: BlobHash::new([2; 32]), start: 0 };
        for start in [1, GROUP_BYTES - 1, GROUP_BYTES + 1024, MAX_BLOB_BYTES, u64::MAX - 16383] {
            let request = Request::Blob(BlobRequest { start, ..good });
            assert!(Request::decode(&request.encode()).is_err(), "{start}");
        }
        let keep = |for_ms, count| {
            let blobs = vec![good.hash; count];
            Request::Keep { workspace: WORKSPACE, for_ms, blobs }.encode()
        };
        let longest = keep(MAX_KEEP_MS, MAX_KEEP);
        assert_eq!(longest.len(), Request::MAX_LEN);
        assert!(Request::decode(&longest).is_ok());
        assert!(Request::decode(&keep(MAX_KEEP_MS + 1, 1)).is_err());
        assert!(Request::decode(&keep(1, MAX_KEEP + 1)).is_err());
        assert!(Request::decode(&[3; 200]).is_err());
        assert!(Answer::decode(&[2]).is_err());
        assert!(Answer::decode(&[]).is_err());
    }
}
