//! Verifying all that a store holds: signatures, hash chains, and that nothing is missing.

use crate::entry::{EntryError, UnverifiedEntry, verify_chain};
use crate::ids::{JournalId, WorkspaceId};
use crate::store::placed::List;
use crate::store::{Snapshot, StoreError};
use crate::vector::Tip;

/// How much of a journal is read at a time.
const READ_BYTES: usize = 4 << 20;

/// What is wrong with an entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// It is not the entry that its device wrote in this place.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// It is not there.
    #[error("entry {number} of {journal} is missing")]
    Missing {
        /// The journal.
        journal: JournalId,
        /// The entry's number.
        number: u64,
    },
    /// It is not the one that the journal should end with.
    #[error("entry {number} of {journal} is not the one that the journal ends with")]
    OtherEnd {
        /// The journal.
        journal: JournalId,
        /// The entry's number.
        number: u64,
    },
    /// It is genuine, but its device may not write here.
    #[error("entry {number} of {journal} does not count: its device was not a member that writes")]
    DoesNotCount {
        /// The journal.
        journal: JournalId,
        /// The entry's number.
        number: u64,
    },
}

/// The first entry of a journal with which something is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// The journal.
    pub journal: JournalId,
    /// The entry's number.
    pub entry: u64,
    /// What is wrong.
    pub why: Flaw,
}

/// What came of verifying a store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    /// Journals.
    pub journals: u64,
    /// Entries that are genuine and in their places.
    pub entries: u64,
    /// Their bytes, as they are stored.
    pub bytes: u64,
    /// Operations of theirs that were redacted.
    pub redacted: u64,
    /// Of the entries, those that were set aside.
    pub set_aside: u64,
    /// Of each journal that is not whole, the first entry that is wrong.
    pub wrong: Vec<Wrong>,
}

/// Verifies every entry of a store: its signature, its content, and its place in its journal.
pub fn verify(
    snapshot: &Snapshot,
    workspace: WorkspaceId,
    threads: usize,
) -> Result<Verified, StoreError> {
    let mut verified = Verified::default();
    for list in snapshot.lists()? {
        verified.journals += u64::from(!list.aside);
        let wrong = verify_list(snapshot, workspace, &list, threads, &mut verified)?;
        verified.wrong.extend(wrong);
    }
    Ok(verified)
}

fn verify_list(
    snapshot: &Snapshot,
    workspace: WorkspaceId,
    list: &List,
    threads: usize,
    verified: &mut Verified,
) -> Result<Option<Wrong>, StoreError> {
    let journal = list.journal;
    let wrong = |entry, why| Some(Wrong { journal, entry, why });
    // Of what was set aside the entry before the first is held elsewhere, or not at all.
    let first = snapshot.placed(list, list.first)?;
    let before = first.filter(|_| list.aside).map_or(Tip::START.hash, |placed| placed.previous);
    let mut tail = Tip { count: list.first, hash: before };
    while tail.count < list.until {
        let (mut entries, mut links, mut bytes, mut flaw) = (Vec::new(), Vec::new(), 0, None);
        for number in tail.count..list.until {
            let Some(placed) = snapshot.placed(list, number)? else {
                flaw = wrong(number, Flaw::Missing { journal, number });
                break;
            };
            bytes += placed.stored.len();
            links.push(placed.previous);
            match UnverifiedEntry::decode(journal, number, &placed.stored) {
                Ok(entry) => entries.push(entry),
                Err(error) => {
                    flaw = wrong(number, error.into());
                    break;
                }
            }
            if bytes >= READ_BYTES {
                break;
            }
        }
        let (good, bad) = verify_chain(workspace, tail, entries, threads);
        verified.entries += good.len() as u64;
        verified.set_aside += if list.aside { good.len() as u64 } else { 0 };
        for entry in &good {
            verified.bytes += entry.stored().len() as u64;
            let redacted = entry.operations().iter().filter(|one| one.document().is_none());
            verified.redacted += redacted.count() as u64;
        }
        // Peers are told the link that is kept beside the entry.
        let other = good.iter().zip(&links).find(|(entry, link)| entry.header().previous != **link);
        if let Some((entry, _)) = other {
            let number = entry.header().number;
            return Ok(wrong(number, EntryError::BrokenChain { journal, number }.into()));
        }
        tail = good.last().map_or(tail, crate::entry::Entry::tip);
        if let Some(bad) = bad {
            return Ok(wrong(tail.count, bad.into()));
        }
        if flaw.is_some() {
            return Ok(flaw);
        }
    }
    let number = list.until - 1;
    let other_end = list.hash.is_some_and(|hash| hash != tail.hash);
    Ok(if other_end { wrong(number, Flaw::OtherEnd { journal, number }) } else { None })
}
