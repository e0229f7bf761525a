//! Bundles: a file that holds part of the journals and blobs, for carrying by hand.
//!
//! Invariants: what [`BundleReader`] gives was written by [`BundleWriter`] in that order, with
//! nothing before it missing or changed: each checksum covers the one before it. Memory does not
//! grow with the bundle. `docs/bundle.md` describes the bytes.

mod named;
mod part;
#[cfg(test)]
mod tests;

use std::io::{self, Read, Write};

use ed25519_dalek::SigningKey;

pub use self::named::blobs_named;
pub use self::part::{BundleStart, CHUNK_BYTES, MAX_PART_BYTES, Part};
use crate::codec::DecodeError;

/// What every bundle starts with.
pub const MAGIC: [u8; 16] = *b"runmesh bundle 1";

const CHECKSUM_BYTES: usize = 16;
type Checksum = [u8; CHECKSUM_BYTES];

/// Why a bundle cannot be read on. What was read before is good.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// It is something else.
    #[error("this is not a bundle")]
    NotABundle,
    /// It ends too early.
    #[error("the bundle is cut short at byte {offset}: {what} is missing")]
    CutShort {
        /// Where it ends.
        offset: u64,
        /// What should follow.
        what: &'static str,
    },
    /// Bytes were changed.
    #[error("the bundle is damaged between byte {offset} and byte {end}")]
    Damaged {
        /// Where the part with the changed bytes starts.
        offset: u64,
        /// Where that part ends, as far as its length can be believed.
        end: u64,
    },
    /// A part is whole, but makes no sense.
    #[error("the part of the bundle at byte {offset} cannot be read")]
    Malformed {
        /// Where the part starts.
        offset: u64,
        /// What is wrong.
        source: DecodeError,
    },
    /// A part stands where it may not.
    #[error("the part of the bundle at byte {offset} is out of place")]
    OutOfPlace {
        /// Where the part starts.
        offset: u64,
    },
    /// The bytes stopped coming.
    #[error("the bundle cannot be read at byte {offset}")]
    Io {
        /// Where.
        offset: u64,
        /// Why.
        source: io::Error,
    },
}

/// The checksum of a part: of the one before it, the part's length and its bytes.
fn checksum(before: &Checksum, length: [u8; 4], body: &[u8]) -> Checksum {
    let mut hasher = blake3::Hasher::new();
    hasher.update(before);
    hasher.update(&length);
    hasher.update(body);
    let mut sum = [0; CHECKSUM_BYTES];
    sum.copy_from_slice(&hasher.finalize().as_bytes()[..CHECKSUM_BYTES]);
    sum
}

/// Writes a bundle.
pub struct BundleWriter<W> {
    out: W,
    last: Checksum,
    entries: u64,
    blobs: u64,
}

impl<W: Write> BundleWriter<W> {
    /// Begins a bundle of the device whose key this is.
    pub fn begin(mut out: W, start: &BundleStart, key: &SigningKey) -> io::Result<Self> {
        out.write_all(&MAGIC)?;
        let mut writer = Self { out, last: MAGIC, entries: 0, blobs: 0 };
        writer.put_body(&part::encode_start(start, key))?;
        Ok(writer)
    }

    /// Appends entries, a blob's head or a piece of one, whose order is the caller's to keep:
    /// entries first, then each blob with its bytes.
    pub fn put(&mut self, part: &Part) -> io::Result<()> {
        match part {
            Part::Entries(crate::sync::Message::Entries { entries, .. }) => {
                self.entries += entries.len() as u64;
            }
            Part::Blob { .. } => self.blobs += 1,
            _ => {}
        }
        self.put_body(&part.encode())
    }

    fn put_body(&mut self, body: &[u8]) -> io::Result<()> {
        debug_assert!(body.len() <= MAX_PART_BYTES);
        let length = (body.len() as u32).to_le_bytes();
        self.last = checksum(&self.last, length, body);
        self.out.write_all(&length)?;
        self.out.write_all(body)?;
        self.out.write_all(&self.last)
    }

    /// Ends the bundle and gives back what it was written to.
    pub fn finish(mut self) -> io::Result<W> {
        let end = Part::End { entries: self.entries, blobs: self.blobs };
        self.put_body(&end.encode())?;
        self.out.flush()?;
        Ok(self.out)
    }
}

/// Where in a bundle a reader is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Start,
    Entries,
    Blobs { left: u64 },
    Done,
}

/// Reads a bundle, part by part.
pub struct BundleReader<R> {
    input: R,
    last: Checksum,
    offset: u64,
    stage: Stage,
    entries: u64,
    blobs: u64,
}

impl<R: Read> BundleReader<R> {
    /// Starts to read what may be a bundle.
    pub fn new(mut input: R) -> Result<Self, BundleError> {
        let mut magic = [0; MAGIC.len()];
        match input.read_exact(&mut magic) {
            Ok(()) if magic == MAGIC => {}
            Err(source) if source.kind() != io::ErrorKind::UnexpectedEof => {
                return Err(BundleError::Io { offset: 0, source });
            }
            _ => return Err(BundleError::NotABundle),
        }
        let offset = MAGIC.len() as u64;
        Ok(Self { input, last: MAGIC, offset, stage: Stage::Start, entries: 0, blobs: 0 })
    }

    /// How many bytes were read, and found to be good.
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// The next part; none after the end. After an error there is no next part.
    #[expect(clippy::should_implement_trait, reason = "an iterator goes on after an error")]
    pub fn next(&mut self) -> Result<Option<Part>, BundleError> {
        if self.stage == Stage::Done {
            return Ok(None);
        }
        let offset = self.offset;
        let length_bytes: [u8; 4] = self.read_array("the next part")?;
        let length = u32::from_le_bytes(length_bytes) as usize;
        if length == 0 || length > MAX_PART_BYTES {
            return Err(BundleError::Damaged { offset, end: offset + 4 });
        }
        let mut body = Vec::with_capacity(length.min(64 << 10));
        let read = (&mut self.input).take(length as u64).read_to_end(&mut body);
        read.map_err(|source| BundleError::Io { offset: self.offset, source })?;
        self.offset += body.len() as u64;
        if body.len() < length {
            return Err(BundleError::CutShort { offset: self.offset, what: "the rest of a part" });
        }
        let sum: Checksum = self.read_array("the rest of a part")?;
        if sum != checksum(&self.last, length_bytes, &body) {
            return Err(BundleError::Damaged { offset, end: self.offset });
        }
        let part = Part::decode(&body);
        let part = part.map_err(|source| BundleError::Malformed { offset, source })?;
        self.place(&part).ok_or(BundleError::OutOfPlace { offset })?;
        self.last = sum;
        Ok(Some(part))
    }

    fn read_array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], BundleError> {
        let mut bytes = Vec::with_capacity(N);
        let read = (&mut self.input).take(N as u64).read_to_end(&mut bytes);
        read.map_err(|source| BundleError::Io { offset: self.offset, source })?;
        self.offset += bytes.len() as u64;
        bytes.try_into().map_err(|_| BundleError::CutShort { offset: self.offset, what })
    }

    /// Goes on to where a part leads; none if it may not come here.
    fn place(&mut self, part: &Part) -> Option<()> {
        self.stage = match (self.stage, part) {
            (Stage::Start, Part::Start(_)) => Stage::Entries,
            (Stage::Entries, Part::Entries(message)) => {
                if let crate::sync::Message::Entries { entries, .. } = message {
                    self.entries += entries.len() as u64;
                }
                Stage::Entries
            }
            (Stage::Entries | Stage::Blobs { left: 0 }, Part::Blob { size, .. }) => {
                self.blobs += 1;
                Stage::Blobs { left: *size }
            }
            (Stage::Blobs { left }, Part::Chunk(bytes)) => {
                Stage::Blobs { left: left.checked_sub(bytes.len() as u64)? }
            }
            (Stage::Entries | Stage::Blobs { left: 0 }, Part::End { entries, blobs })
                if (*entries, *blobs) == (self.entries, self.blobs) =>
            {
                Stage::Done
            }
            _ => return None,
        };
        Some(())
    }
}
