//! The edit log: a file beside the store that makes edits durable with one write and one sync.
//!
//! Invariants: a group of edits is in the log whole or not at all; edits are numbered without
//! gaps and never renumbered; once edits are sealed into a journal the log starts over at its
//! front. Numbers only grow, so what an earlier round left further back in the file is never
//! taken for a continuation of this one.
//!
//! Why a log: a durable redb commit of one small edit takes two to three times as long as a write
//! and a sync of a file that is already there (docs/decisions/0001-edit-log.md).
//!
//! A group is `length u32 | first edit u64 | edits u32 | checksum 8 | payload`, little-endian,
//! the checksum being the first bytes of the BLAKE3 hash of the rest.

use redb::StorageBackend;

use crate::edit::TimedEdit;

/// The file is extended by this many zeros at a time, so that a sync seldom has to write metadata.
const GROW_BYTES: u64 = 1 << 20;
/// No group is longer; a length beyond it is garbage.
const MAX_GROUP_BYTES: usize = 64 << 20;
const HEAD_BYTES: usize = 24;

/// Why the log could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum EditLogError {
    /// The disk failed.
    #[error("the edit log could not be read or written")]
    Disk(#[from] std::io::Error),
    /// A group with a good checksum holds what this version cannot read.
    #[error("edit {number} in the edit log cannot be read")]
    Unreadable {
        /// The first edit of the group.
        number: u64,
        /// What is wrong.
        #[source]
        source: postcard::Error,
    },
    /// Edits are missing between the store and the log: they are not of one time.
    #[error("the store is sealed up to edit {sealed}, but the edit log goes on from {first}")]
    Gap {
        /// The first edit that the store has not sealed.
        sealed: u64,
        /// The first edit in the log that the store has not sealed.
        first: u64,
    },
    /// A group is longer than one may be: it would not be read again.
    #[error("{bytes} bytes of edits at once are too many; at most {MAX_GROUP_BYTES} can be kept")]
    TooLarge {
        /// How long it would be.
        bytes: usize,
    },
    /// A write failed earlier, and what is on disk is not known.
    #[error("an earlier write to the edit log failed; restart to go on")]
    Failed,
}

/// The log of edits that are not sealed yet.
#[derive(Debug)]
pub struct EditLog {
    backend: Box<dyn StorageBackend>,
    /// Where the next group goes.
    end: u64,
    /// The number of the next edit.
    next: u64,
    failed: bool,
}

impl EditLog {
    /// Opens the log and returns the edits in it from number `sealed` on, in order.
    pub fn open(
        backend: Box<dyn StorageBackend>,
        sealed: u64,
    ) -> Result<(Self, Vec<TimedEdit>), EditLogError> {
        let mut log = Self { backend, end: 0, next: sealed, failed: false };
        let mut edits = Vec::new();
        let mut at = 0;
        let mut expected = None;
        while let Some(group) = log.read_group(at)? {
            if expected.is_some_and(|expected| expected != group.first) {
                break;
            }
            at += (HEAD_BYTES + group.payload.len()) as u64;
            let next = group.first + u64::from(group.count);
            expected = Some(next);
            // A crash between the commit of a seal and the next group leaves sealed edits here.
            if next <= sealed {
                continue;
            }
            // What is sealed ends with a group, and the next one follows on it.
            if edits.is_empty() && group.first != sealed {
                return Err(EditLogError::Gap { sealed, first: group.first });
            }
            let unreadable = |source| EditLogError::Unreadable { number: group.first, source };
            edits.extend(group.edits().map_err(unreadable)?);
            log.end = at;
            log.next = next;
        }
        Ok((log, edits))
    }

    /// The number of the next edit.
    pub const fn next(&self) -> u64 {
        self.next
    }

    /// How many bytes the unsealed edits take.
    pub const fn bytes(&self) -> u64 {
        self.end
    }

    /// Appends edits as one group. They are durable when this returns.
    pub fn append(&mut self, edits: &[TimedEdit]) -> Result<(), EditLogError> {
        if self.failed {
            return Err(EditLogError::Failed);
        }
        let mut bytes = vec![0; HEAD_BYTES];
        bytes = postcard::to_extend(edits, bytes)
            .expect("edits are plain data, and a vector takes them all");
        let (head, payload) = bytes.split_at_mut(HEAD_BYTES);
        if payload.len() > MAX_GROUP_BYTES {
            return Err(EditLogError::TooLarge { bytes: payload.len() });
        }
        let count = edits.len() as u32;
        head.copy_from_slice(&Group::head(self.next, count, payload));
        let end = self.end + bytes.len() as u64;
        // Growing fails without harm when the disk is full; a failed write or sync does not.
        let length = self.backend.len()?;
        if end > length {
            self.backend.set_len(end.next_multiple_of(GROW_BYTES))?;
        }
        self.failed = true;
        self.backend.write(self.end, &bytes)?;
        self.backend.sync_data()?;
        self.failed = false;
        self.end = end;
        self.next += u64::from(count);
        Ok(())
    }

    /// Starts over at the front: every edit so far is sealed, durably.
    pub const fn start_over(&mut self) {
        self.end = 0;
    }

    fn read_group(&self, at: u64) -> Result<Option<Group>, EditLogError> {
        let length = self.backend.len()?;
        let mut head = [0; HEAD_BYTES];
        if at + HEAD_BYTES as u64 > length {
            return Ok(None);
        }
        self.backend.read(at, &mut head)?;
        let bytes = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
        if bytes == 0 || bytes > MAX_GROUP_BYTES || at + (HEAD_BYTES + bytes) as u64 > length {
            return Ok(None);
        }
        let mut payload = vec![0; bytes];
        self.backend.read(at + HEAD_BYTES as u64, &mut payload)?;
        let number = head[4..12].try_into().map(u64::from_le_bytes);
        let count = head[12..16].try_into().map(u32::from_le_bytes);
        let (Ok(first), Ok(count)) = (number, count) else { return Ok(None) };
        let good = count > 0
            && first.checked_add(count.into()).is_some()
            && head == Group::head(first, count, &payload);
        Ok(good.then_some(Group { first, count, payload }))
    }
}

struct Group {
    first: u64,
    count: u32,
    payload: Vec<u8>,
}

impl Group {
    /// Its edits: as many as its head says, and nothing after them.
    fn edits(&self) -> Result<Vec<TimedEdit>, postcard::Error> {
        let (edits, rest) = postcard::take_from_bytes::<Vec<TimedEdit>>(&self.payload)?;
        match rest.is_empty() && edits.len() == self.count as usize {
            true => Ok(edits),
            false => Err(postcard::Error::DeserializeBadEncoding),
        }
    }

    fn head(first: u64, count: u32, payload: &[u8]) -> [u8; HEAD_BYTES] {
        let mut head = [0; HEAD_BYTES];
        head[..4].copy_from_slice(&(payload.len() as u32).to_le_bytes());
        head[4..12].copy_from_slice(&first.to_le_bytes());
        head[12..16].copy_from_slice(&count.to_le_bytes());
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"runmesh/edits/1");
        hasher.update(&head[..16]);
        hasher.update(payload);
        head[16..].copy_from_slice(&hasher.finalize().as_bytes()[..8]);
        head
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::disk::Disk;
    use crate::edit::Edit;
    use crate::ids::RunId;

    fn edit(clock: u64) -> TimedEdit {
        let edit = Edit::Points { run: RunId::new([1; 16]), metrics: Vec::new() };
        TimedEdit { clock: Clock(clock), edit }
    }

    fn reopen(disk: &Disk, sealed: u64) -> (EditLog, Vec<TimedEdit>) {
        EditLog::open(Box::new(disk.clone()), sealed).expect("memory does not fail")
    }

    #[test]
    fn edits_survive_a_restart_in_order() {
        let disk = Disk::new();
        let (mut log, _) = reopen(&disk, 0);
        log.append(&[edit(1), edit(2)]).unwrap();
        log.append(&[edit(3)]).unwrap();
        let (mut log, found) = reopen(&disk, 0);
        assert_eq!(found, [edit(1), edit(2), edit(3)]);
        log.append(&[edit(4)]).unwrap();
        assert_eq!(reopen(&disk, 0).1.len(), 4);
    }

    #[test]
    fn sealed_edits_do_not_come_back() {
        let disk = Disk::new();
        let (mut log, _) = reopen(&disk, 0);
        log.append(&[edit(1)]).unwrap();
        log.append(&[edit(2)]).unwrap();
        assert_eq!(reopen(&disk, 2).1, []);
        log.start_over();
        log.append(&[edit(3)]).unwrap();
        assert_eq!(reopen(&disk, 2).1, [edit(3)]);
    }

    #[test]
    fn a_log_of_another_time_than_its_store_is_refused() {
        let disk = Disk::new();
        let (mut log, _) = reopen(&disk, 7);
        log.append(&[edit(8)]).unwrap();
        let refused = EditLog::open(Box::new(disk.clone()), 5);
        assert!(matches!(refused, Err(EditLogError::Gap { sealed: 5, first: 7 })), "{refused:?}");
        assert_eq!(reopen(&disk, 7).1, [edit(8)]);
    }

    #[test]
    fn a_group_that_holds_other_than_its_head_says_is_refused() {
        let one = postcard::to_stdvec(&[edit(1)][..]).expect("plain data");
        let more = [&one[..], b"x"].concat();
        for (count, payload) in [(1, &one), (2, &one), (1, &more)] {
            let bytes = [&Group::head(0, count, payload)[..], payload].concat();
            let disk = Disk::new();
            disk.set_len(bytes.len() as u64).unwrap();
            disk.write(0, &bytes).unwrap();
            match EditLog::open(Box::new(disk), 0) {
                Ok((log, edits)) => assert_eq!((log.next(), edits.len(), payload), (1, 1, &one)),
                Err(EditLogError::Unreadable { number: 0, .. }) => {
                    assert!(count == 2 || payload == &more);
                }
                Err(other) => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_torn_group_is_as_if_it_was_never_written() {
        let disk = Disk::new();
        let (mut log, _) = reopen(&disk, 0);
        log.append(&[edit(1)]).unwrap();
        let first_end = log.bytes();
        log.append(&[edit(2), edit(3)]).unwrap();
        for torn in first_end..log.bytes() {
            let mut byte = [0];
            disk.read(torn, &mut byte).unwrap();
            disk.write(torn, &[byte[0] ^ 0x40]).unwrap();
            assert_eq!(reopen(&disk, 0).1, [edit(1)], "byte {torn} torn");
            disk.write(torn, &byte).unwrap();
        }
        assert_eq!(reopen(&disk, 0).1.len(), 3);
    }
}
