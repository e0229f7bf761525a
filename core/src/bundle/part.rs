//! The parts of a bundle and their bytes.
//!
//! Invariants: reading never panics and never allocates more than [`MAX_PART_BYTES`]; every part
//! has exactly one encoding; the first part is signed by the device that wrote the bundle.
//! `docs/bundle.md` has the bytes.

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};

use crate::codec::{DecodeError, Reader, put_bytes, put_varint};
use crate::ids::{BlobHash, DeviceId, WorkspaceId};
use crate::sync::{MAX_FRAME_BYTES, MAX_TEXT_BYTES, Message};
use crate::vector::VersionVector;

/// The longest part, without its length and checksum. A batch of entries fits, as in a session.
pub const MAX_PART_BYTES: usize = MAX_FRAME_BYTES;
/// How much of a blob one part carries at most.
pub const CHUNK_BYTES: usize = 256 << 10;

const START_DOMAIN: &[u8] = b"runmesh/bundle/1";

const START: u8 = 1;
const ENTRIES: u8 = 2;
const BLOB: u8 = 3;
const CHUNK: u8 = 4;
const END: u8 = 5;

/// What a bundle says first: whose it is, where it starts and how far it reaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundleStart {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// The device that wrote it.
    pub device: DeviceId,
    /// What that device calls itself; cut to [`MAX_TEXT_BYTES`].
    pub name: String,
    /// When it was written, in milliseconds since 1970, by that device's clock.
    pub made_ms: u64,
    /// What a reader must hold for all of it to be of use.
    pub from: VersionVector,
    /// What that device held, and who reads all of it will hold.
    pub until: VersionVector,
}

/// One part of a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// The first.
    Start(BundleStart),
    /// Entries that follow one another in one journal: always a [`Message::Entries`].
    Entries(Message),
    /// A blob begins; its bytes follow.
    Blob {
        /// Its name.
        hash: BlobHash,
        /// How many bytes follow.
        size: u64,
    },
    /// Bytes of the blob that began last.
    Chunk(Vec<u8>),
    /// The last: how much there was. A bundle without it is cut short.
    End {
        /// Entries.
        entries: u64,
        /// Blobs.
        blobs: u64,
    },
}

/// Signs a start as the device of `key`, which must be the one it names.
pub(super) fn encode_start(start: &BundleStart, key: &SigningKey) -> Vec<u8> {
    let fields = fields_of(start);
    let signature = key.sign(&signed(&fields)).to_bytes();
    [&[START][..], &fields, &signature].concat()
}

fn fields_of(start: &BundleStart) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend_from_slice(start.workspace.as_bytes());
    out.extend_from_slice(start.device.as_bytes());
    let name = &start.name[..start.name.floor_char_boundary(MAX_TEXT_BYTES)];
    put_bytes(&mut out, name.as_bytes());
    put_varint(&mut out, start.made_ms);
    start.from.put(&mut out);
    start.until.put(&mut out);
    out
}

fn signed(fields: &[u8]) -> Vec<u8> {
    [START_DOMAIN, fields].concat()
}

impl Part {
    /// The part's bytes. A start is written by [`BundleWriter`](super::BundleWriter) alone, which
    /// has the key.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Start(_) => unreachable!("a start is signed as it is written"),
            Self::Entries(message) => {
                out.push(ENTRIES);
                out.extend_from_slice(&message.encode());
            }
            Self::Blob { hash, size } => {
                out.push(BLOB);
                out.extend_from_slice(hash.as_bytes());
                put_varint(&mut out, *size);
            }
            Self::Chunk(bytes) => {
                out.push(CHUNK);
                out.extend_from_slice(bytes);
            }
            Self::End { entries, blobs } => {
                out.push(END);
                put_varint(&mut out, *entries);
                put_varint(&mut out, *blobs);
            }
        }
        out
    }

    /// Reads a part; a start's signature is checked.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let part = match reader.u8("part kind")? {
            START => return read_start(reader.rest()).map(Self::Start),
            ENTRIES => match Message::decode(reader.rest())? {
                message @ Message::Entries { .. } => return Ok(Self::Entries(message)),
                _ => return Err(DecodeError::Invalid { what: "entries" }),
            },
            BLOB => Self::Blob {
                hash: BlobHash::new(reader.array("blob")?),
                size: reader.varint("blob size")?,
            },
            CHUNK => match reader.rest() {
                [] => return Err(DecodeError::Truncated { what: "chunk" }),
                bytes if bytes.len() > CHUNK_BYTES => {
                    let (length, limit) = (bytes.len() as u64, CHUNK_BYTES);
                    return Err(DecodeError::TooLong { what: "chunk", length, limit });
                }
                bytes => return Ok(Self::Chunk(bytes.to_vec())),
            },
            END => Self::End {
                entries: reader.varint("entry count")?,
                blobs: reader.varint("blob count")?,
            },
            _ => return Err(DecodeError::Invalid { what: "part kind" }),
        };
        reader.finish("part")?;
        Ok(part)
    }
}

fn read_start(bytes: &[u8]) -> Result<BundleStart, DecodeError> {
    let mut reader = Reader::new(bytes);
    let start = BundleStart {
        workspace: WorkspaceId::new(reader.array("workspace")?),
        device: DeviceId::new(reader.array("device")?),
        name: reader.text(MAX_TEXT_BYTES, "device name")?.to_owned(),
        made_ms: reader.varint("time")?,
        from: VersionVector::read(&mut reader)?,
        until: VersionVector::read(&mut reader)?,
    };
    let fields = &bytes[..bytes.len() - reader.rest().len()];
    let signature = Signature::from_bytes(&reader.array("signature")?);
    reader.finish("bundle's start")?;
    let key = VerifyingKey::from_bytes(start.device.as_bytes()).ok();
    let is_signed = key.is_some_and(|key| key.verify_strict(&signed(fields), &signature).is_ok());
    if !is_signed {
        return Err(DecodeError::Invalid { what: "the signature of the bundle's start" });
    }
    Ok(start)
}
