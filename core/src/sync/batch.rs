//! Entries of a peer on their way to the store: verified before they are written.

use std::collections::HashMap;

use crate::entry::{Entry, EntryError, UnverifiedEntry, verify_chain};
use crate::ids::{EntryHash, JournalId, WorkspaceId};
use crate::store::Fault;
use crate::vector::{Tip, VersionVector};

/// What an [`Output::Ingest`](super::Output::Ingest) asks to store.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The journal.
    pub journal: JournalId,
    /// The number of the first entry.
    pub first: u64,
    /// The hash of the entry before it, as the peer says.
    pub previous: EntryHash,
    /// The entries as they are stored.
    pub entries: Vec<Vec<u8>>,
}

impl Batch {
    /// The tip of the peer's line after these entries, or where it has `end` entries if that comes
    /// earlier; none if an entry before cannot be read. That their device signed them is not looked at.
    pub(crate) fn claimed_tip(&self, workspace: WorkspaceId, end: u64) -> Option<Tip> {
        let mut tip = Tip { count: self.first, hash: self.previous };
        for stored in &self.entries {
            if tip.count >= end {
                break;
            }
            let entry = UnverifiedEntry::decode(self.journal, tip.count, stored).ok()?;
            tip = entry.claimed_tip(workspace, &tip);
        }
        Some(tip)
    }
}

/// Checks entries of one's own journal that a peer holds in another line, as what follows on the
/// hash that it says: that this device signed them is all there is to know. Returns those that are
/// good, up to the first that is not.
pub fn verify_line(workspace: WorkspaceId, batch: Batch, threads: usize) -> Vec<Entry> {
    let Batch { journal, first, previous, entries } = batch;
    let decoded = (first..).zip(&entries);
    let decoded =
        decoded.map_while(|(number, stored)| UnverifiedEntry::decode(journal, number, stored).ok());
    let tail = Tip { count: first, hash: previous };
    verify_chain(workspace, tail, decoded.collect(), threads).0
}

/// Checks batches, in order, as what follows on what is held. Returns what is good of them, to be
/// given to [`Store::ingest`](crate::store::Store::ingest), and what is wrong with the rest. Entries
/// that are held already are passed over.
pub fn verify(
    workspace: WorkspaceId,
    held: &VersionVector,
    batches: Vec<Batch>,
    threads: usize,
) -> (Vec<Entry>, Vec<(JournalId, Fault)>) {
    let (mut good, mut faults) = (Vec::new(), Vec::new());
    let mut tips = HashMap::new();
    for batch in batches {
        let journal = batch.journal;
        let tip = tips.entry(journal).or_insert_with(|| held.tip(&journal));
        // An entry that follows another one than it does here would look as if nobody had signed it.
        let theirs = batch.claimed_tip(workspace, tip.count);
        if theirs.is_some_and(|theirs| theirs.count == tip.count && theirs.hash != tip.hash) {
            let number = tip.count;
            faults.push((journal, EntryError::BrokenChain { journal, number }.into()));
            continue;
        }
        let numbered = (batch.first..).zip(&batch.entries);
        let numbered = numbered.skip_while(|(number, _)| *number < tip.count);
        let (mut unverified, mut unreadable) = (Vec::new(), None);
        for (number, bytes) in numbered {
            match UnverifiedEntry::decode(journal, number, bytes) {
                Ok(entry) => unverified.push(entry),
                Err(error) => {
                    unreadable = Some(error);
                    break;
                }
            }
        }
        let (verified, bad) = verify_chain(workspace, *tip, unverified, threads);
        if let Some(last) = verified.last() {
            *tip = last.tip();
        }
        good.extend(verified);
        faults.extend(bad.or(unreadable).map(|error| (journal, Fault::from(error))));
    }
    (good, faults)
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;

    use super::*;
    use crate::clock::Clock;
    use crate::ids::{DeviceId, DocumentId, Incarnation, RunId};
    use crate::operation::{Operation, OperationKind};

    const WORKSPACE: WorkspaceId = WorkspaceId::new([5; 32]);

    fn key() -> SigningKey {
        SigningKey::from_bytes(&[2; 32])
    }

    fn journal() -> JournalId {
        let device = DeviceId::new(key().verifying_key().to_bytes());
        JournalId { device, incarnation: Incarnation::new([4; 16]) }
    }

    /// Entries that say one thing, and from some number on another.
    fn line(count: u64, changes_at: u64) -> Vec<Entry> {
        let mut tail = Tip::START;
        let entry = |number| {
            let said = [u8::from(number >= changes_at)].to_vec();
            let run = DocumentId::run(RunId::new([6; 16]));
            let said = Operation::new(OperationKind::Change, [7; 16], run, said);
            let clock = Clock(1 << 20 | number);
            let entry = Entry::sign(&key(), WORKSPACE, journal(), &tail, clock, vec![said]);
            tail = entry.tip();
            entry
        };
        (0..count).map(entry).collect()
    }

    /// What a device that holds entries of one line says of entries of another.
    fn said_of(held: &[Entry], theirs: &[Entry], from: usize) -> Vec<(JournalId, Fault)> {
        let mut vector = VersionVector::new();
        vector.set(journal(), held.last().map_or(Tip::START, Entry::tip));
        let previous = theirs[..from].last().map_or(Tip::START.hash, Entry::hash);
        let entries = theirs[from..].iter().map(|entry| entry.stored().to_vec()).collect();
        let batch = Batch { journal: journal(), first: from as u64, previous, entries };
        verify(WORKSPACE, &vector, vec![batch], 2).1
    }

    #[test]
    fn another_line_is_told_from_bad_signatures_wherever_what_comes_begins() {
        let (ours, theirs) = (line(4, 2), line(8, 9));
        let forked = EntryError::BrokenChain { journal: journal(), number: 4 };
        for from in 0..=4 {
            let said = said_of(&ours, &theirs, from);
            assert!(
                matches!(&said[..], [(_, Fault::Entry(error))] if *error == forked),
                "{said:?}"
            );
        }
        assert!(said_of(&theirs[..4], &theirs, 1).is_empty());
        // All that comes stands before the end of ours: nothing is to be taken.
        assert!(said_of(&ours, &theirs[..3], 1).is_empty());
        let mut bad = theirs.clone();
        bad[5] = ours[3].clone();
        let said = said_of(&theirs[..4], &bad, 2);
        let unsigned = EntryError::BadSignature { journal: journal(), number: 5 };
        assert!(matches!(&said[..], [(_, Fault::Entry(error))] if *error == unsigned), "{said:?}");
    }
}
