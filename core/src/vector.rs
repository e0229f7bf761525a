//! Version vectors: how much of each journal a device holds.
//!
//! Journals are copied whole and in order, so what two devices lack of each other is the
//! difference of two version vectors, however many runs there are.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::codec::{DecodeError, Reader, put_varint};
use crate::ids::{DeviceId, EntryHash, Incarnation, JournalId};

/// The most journals a vector can name.
pub const MAX_JOURNALS: usize = 1 << 16;

/// How many entries of a journal are held, and the hash of the last: a count alone cannot tell a
/// fork. Numbers start at 0, so the count is also the next number wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tip {
    /// How many entries are held.
    pub count: u64,
    /// The hash of the last; zeros if there is none.
    pub hash: EntryHash,
}

impl Tip {
    /// The tip of a journal of which nothing is held.
    pub const START: Self = Self { count: 0, hash: EntryHash::new([0; 32]) };
}

/// How much of each journal a device holds. Journals of which nothing is held are not in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VersionVector(BTreeMap<JournalId, Tip>);

impl VersionVector {
    /// A vector that holds nothing.
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// The tip of a journal.
    pub fn tip(&self, journal: &JournalId) -> Tip {
        self.0.get(journal).copied().unwrap_or(Tip::START)
    }

    /// Notes that a journal is held up to `tip`.
    pub fn set(&mut self, journal: JournalId, tip: Tip) {
        if tip.count == 0 {
            self.0.remove(&journal);
        } else {
            self.0.insert(journal, tip);
        }
    }

    /// All journals of which something is held.
    pub fn iter(&self) -> impl Iterator<Item = (&JournalId, &Tip)> {
        self.0.iter()
    }

    /// How many journals there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many entries are held in all.
    pub fn entries(&self) -> u64 {
        self.0.values().map(|tip| tip.count).sum()
    }

    /// Half-open ranges of entries that we hold and `theirs` lacks.
    pub fn missing_from(&self, theirs: &Self) -> Vec<(JournalId, Range<u64>)> {
        let lacks = |(journal, tip): (&JournalId, &Tip)| {
            let from = theirs.tip(journal).count;
            (from < tip.count).then_some((*journal, from..tip.count))
        };
        self.iter().filter_map(lacks).collect()
    }

    /// Appends the encoded form.
    pub fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, self.0.len() as u64);
        for (journal, tip) in &self.0 {
            out.extend_from_slice(journal.device.as_bytes());
            out.extend_from_slice(journal.incarnation.as_bytes());
            put_varint(out, tip.count);
            out.extend_from_slice(tip.hash.as_bytes());
        }
    }

    /// Reads the encoded form: at most [`MAX_JOURNALS`] journals, in order.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut vector = Self::new();
        for _ in 0..reader.length(MAX_JOURNALS, "journals")? {
            let device = DeviceId::new(reader.array("device")?);
            let incarnation = Incarnation::new(reader.array("incarnation")?);
            let count = reader.varint("entry count")?;
            let hash = EntryHash::new(reader.array("entry hash")?);
            let journal = JournalId { device, incarnation };
            let in_order = vector.0.last_key_value().is_none_or(|(last, _)| *last < journal);
            if !in_order || count == 0 {
                return Err(DecodeError::Invalid { what: "version vector" });
            }
            vector.0.insert(journal, Tip { count, hash });
        }
        Ok(vector)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn journal(seed: u8) -> JournalId {
        JournalId { device: DeviceId::new([seed; 32]), incarnation: Incarnation::new([0; 16]) }
    }

    fn tip(count: u64) -> Tip {
        Tip { count, hash: EntryHash::new([count as u8; 32]) }
    }

    #[test]
    fn what_is_missing_is_the_difference() {
        let (mut ours, mut theirs) = (VersionVector::new(), VersionVector::new());
        ours.set(journal(1), tip(5));
        ours.set(journal(2), tip(3));
        theirs.set(journal(1), tip(2));
        theirs.set(journal(2), tip(7));
        assert_eq!(ours.missing_from(&theirs), [(journal(1), 2..5)]);
        assert_eq!(theirs.missing_from(&ours), [(journal(2), 3..7)]);
        assert_eq!(ours.missing_from(&ours), []);
    }

    proptest! {
        #[test]
        fn vectors_survive_their_encoding(tips in prop::collection::vec((any::<u8>(), 1..u64::MAX), 0..9)) {
            let mut vector = VersionVector::new();
            for (seed, count) in tips {
                vector.set(journal(seed), tip(count));
            }
            let mut bytes = Vec::new();
            vector.put(&mut bytes);
            prop_assert_eq!(VersionVector::read(&mut Reader::new(&bytes)), Ok(vector));
        }

        #[test]
        fn any_bytes_are_a_vector_or_an_error(bytes: Vec<u8>) {
            let _ = VersionVector::read(&mut Reader::new(&bytes));
        }
    }
}
