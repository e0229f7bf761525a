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
    for Batch { journal, first, previous, entries } in batches {
        let tip = tips.entry(journal).or_insert_with(|| held.tip(&journal));
        if first == tip.count && previous != tip.hash {
            faults.push((journal, EntryError::BrokenChain { journal, number: first }.into()));
            continue;
        }
        let numbered = (first..).zip(&entries).skip_while(|(number, _)| *number < tip.count);
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
