//! Ingesting: entries of peers, verified, stored and applied in one durable transaction.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::apply::{self, Applier, Checked, OperationError};
use super::journals::Journals;
use super::{Store, StoreError, durable, meta};
use crate::clock::UnixMillis;
use crate::entry::{Entry, EntryError};
use crate::ids::{BlobHash, DeviceId, DocumentId, JournalId};
use crate::membership::{Membership, PlacedAct};

/// The most changes that may wait for others; beyond it a journal that adds more is not taken.
pub const MAX_WAITING: u64 = 1 << 17;

/// Why entries of a journal were not taken. What came before them was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The bytes are not the journal's next entry.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// The device is not a member, as far as is known here. It may become one.
    #[error("device {0} is not a member of the workspace")]
    NotAMember(DeviceId),
    /// The device was removed, and this came after what counts of it.
    #[error("device {0} was removed from the workspace")]
    Removed(DeviceId),
    /// The device may only read.
    #[error("device {0} may not write to the workspace")]
    NotAWriter(DeviceId),
    /// An operation is not one that the device may have written.
    #[error("entry {number} of {journal} holds an operation that is refused")]
    Operation {
        /// The journal.
        journal: JournalId,
        /// The entry's number.
        number: u64,
        /// Why.
        source: OperationError,
    },
    /// Too many changes wait for others that have not arrived.
    #[error("{MAX_WAITING} changes wait for others that have not arrived; no more are taken")]
    TooManyWaiting,
}

/// What came of ingesting entries.
#[derive(Debug, Clone, Default)]
pub struct Ingested {
    /// How many entries are new here.
    pub entries: usize,
    /// Journals that are stuck, and why.
    pub faults: Vec<(JournalId, Fault)>,
    /// Blobs that the new entries name, and their sizes.
    pub blobs: Vec<(BlobHash, u64)>,
    /// Whether members came or went: journals refused before may be taken now.
    pub membership_changed: bool,
}

impl Store {
    /// Stores and applies entries of peers. Entries that are here already are passed over; of a
    /// journal with a fault nothing from the fault on is stored, and the others are not affected.
    pub fn ingest(&mut self, now: UnixMillis, entries: Vec<Entry>) -> Result<Ingested, StoreError> {
        // An edit made before these entries were seen must stay concurrent with them.
        self.seal(now)?;
        let mut ingested = self.ingest_only(now, &entries)?;
        if ingested.membership_changed {
            let again = self.settle(now)?;
            ingested.entries += again.entries;
            ingested.blobs.extend(again.blobs);
        } else if ingested.entries > 0 {
            self.carry_what_was_built_on(now)?;
        }
        Ok(ingested)
    }

    /// Stores and applies entries, and does not look at what counted before.
    pub(super) fn ingest_only(
        &mut self,
        now: UnixMillis,
        entries: &[Entry],
    ) -> Result<Ingested, StoreError> {
        let mut ingested = Ingested::default();
        let database = Arc::clone(&self.database);
        let txn = durable(&database)?;
        let mut journals = Journals::open(&txn)?;
        let mut applier = Applier::open(&txn)?;
        let mut progress = self.progress;
        let mut acts = self.reader().snapshot()?.acts()?;
        let known_acts = acts.len();
        let mut membership = Arc::clone(&self.membership);
        let mut stuck: BTreeMap<JournalId, Fault> = BTreeMap::new();
        for entry in entries {
            let journal = entry.header().journal;
            if stuck.contains_key(&journal) {
                continue;
            }
            let tip = journals.tip(&journal)?;
            if entry.header().number < tip.count {
                continue;
            }
            let checked = match self.admit(entry, &tip, &mut membership, &mut acts) {
                Ok(checked) => checked,
                Err(fault) => {
                    stuck.insert(journal, fault);
                    continue;
                }
            };
            if applier.waiting()? >= MAX_WAITING {
                stuck.insert(journal, Fault::TooManyWaiting);
                continue;
            }
            // What is purged by an act that comes now is redacted once all acts are judged.
            let gone = |document: &DocumentId| self.membership.purged().contains(document);
            let redacted = entry.redacted(gone);
            let journal_number = journals.push(redacted.as_ref().unwrap_or(entry))?;
            let kept = entry.operations().iter().map(|one| !one.document().is_some_and(gone));
            let checked = checked.into_iter().zip(kept);
            let checked = checked.map(|(one, kept)| if kept { one } else { Checked::Opaque });
            for (at, operation) in checked.enumerate() {
                let place = (journal_number, entry.header().number, at as u32);
                applier.add(place, entry.header().clock, operation)?;
            }
            progress.clock = progress.clock.observe(entry.header().clock, now);
            ingested.entries += 1;
        }
        applier.apply_changes(&journals)?;
        ingested.blobs = std::mem::take(&mut applier.blobs);
        applier.flush()?;
        drop(journals);
        ingested.faults = stuck.into_iter().collect();
        if ingested.entries == 0 {
            txn.abort()?;
            return Ok(ingested);
        }
        meta::write_progress(&txn, &progress)?;
        txn.commit()?;
        self.progress = progress;
        ingested.membership_changed = acts.len() != known_acts;
        self.membership = membership;
        Ok(ingested)
    }

    /// Checks that an entry is the next of its journal and that its device may write it.
    fn admit(
        &self,
        entry: &Entry,
        tip: &crate::vector::Tip,
        membership: &mut Arc<Membership>,
        acts: &mut Vec<PlacedAct>,
    ) -> Result<Vec<Checked>, Fault> {
        let (journal, number) = (entry.header().journal, entry.header().number);
        if number > tip.count {
            return Err(EntryError::Gap { journal, number, wanted: tip.count }.into());
        }
        if entry.header().previous != tip.hash {
            return Err(EntryError::BrokenChain { journal, number }.into());
        }
        let check = |operation| apply::check(self.identity.workspace, journal.device, operation);
        let checked = apply::check_carried(entry.operations())
            .and_then(|()| entry.operations().iter().map(check).collect::<Result<Vec<_>, _>>());
        let checked = checked.map_err(|source| Fault::Operation { journal, number, source })?;
        let new_acts: Vec<PlacedAct> = acts_of(entry, &checked).collect();
        let then = if new_acts.is_empty() {
            Arc::clone(membership)
        } else {
            let all: Vec<_> = acts.iter().chain(&new_acts).cloned().collect();
            Arc::new(Membership::of(self.identity.workspace, &all))
        };
        let own = journal.device == self.identity.journal.device;
        if !own {
            let only_acts = new_acts.len() == checked.len();
            may_take(&then, &journal, number, only_acts)?;
        }
        acts.extend(new_acts);
        *membership = then;
        Ok(checked)
    }
}

/// Whether an entry counts, as far as is known.
fn may_take(
    members: &Membership,
    journal: &JournalId,
    number: u64,
    only_acts: bool,
) -> Result<(), Fault> {
    let device = journal.device;
    let is_member = members.role(&device).is_some();
    if members.limit(journal).is_some_and(|limit| number >= limit) {
        return Err(if is_member {
            Fault::NotAWriter(device)
        } else if members.was_removed(&device) {
            Fault::Removed(device)
        } else {
            Fault::NotAMember(device)
        });
    }
    // A reader's first word, its join, counts, and what it calls itself.
    if only_acts || members.may_hold_data(journal, number) {
        return Ok(());
    }
    Err(Fault::NotAWriter(device))
}

fn acts_of<'a>(
    entry: &'a Entry,
    checked: &'a [Checked],
) -> impl Iterator<Item = PlacedAct> + use<'a> {
    let header = entry.header();
    let operations = (0..).zip(checked.iter().zip(entry.operations()));
    operations.filter_map(|(at, (checked, operation))| match checked {
        Checked::Act(act) => {
            let place = (header.number, at);
            let (journal, hash) = (header.journal, operation.hash());
            Some(PlacedAct::new(journal, place, header.clock, &hash, act.clone()))
        }
        _ => None,
    })
}
