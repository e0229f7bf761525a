//! Forks: a device that meets another line of its own journal.
//!
//! A home that was copied by hand, or a virtual machine that was cloned, writes other entries under
//! numbers that its original has used too. Both are genuine, and both are to count. Others cannot
//! hold two entries under one number, and keep the line that they met first. So the device itself
//! sees to it: when it meets another line of one of its journals, it signs the entries in which
//! the two differ, those of both, once more in a new incarnation of its journal, each with the
//! clock and the operations that it had. Operations are sets, so who has some of them already takes
//! nothing twice, and in the end all hold all.
//!
//! Invariants: an entry is carried over once, whoever shows it and however often; nothing that
//! counted stops counting; of one journal at most [`MAX_LINES`] lines are carried over.

use std::collections::BTreeSet;
use std::sync::Arc;

use redb::{ReadableTable, Table};

use super::apply::Applier;
use super::journals::{Journals, journal_of, key_of};
use super::tables::{FORKS, ForkPlace, open_if_there};
use super::{Snapshot, Store, StoreError, durable, meta};
use crate::act::{Act, ActKind};
use crate::clock::UnixMillis;
use crate::entry::{Entry, UnverifiedEntry};
use crate::ids::{EntryHash, Incarnation, JournalId, WorkspaceId};
use crate::operation::{Operation, OperationKind};
use crate::sync::Batch;
use crate::vector::Tip;

/// The most lines of one journal, the one that is held included. Beyond them a device that goes on
/// being cloned is left alone.
pub const MAX_LINES: usize = 16;

/// What came of meeting entries of one's own journal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CarriedOver {
    /// Entries that stand in the new incarnation now.
    pub entries: usize,
    /// Whether there were entries of more lines than are carried over.
    pub frozen: bool,
}

/// A line of a journal beside the one that is held here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ForkedLine {
    /// The journal.
    pub journal: JournalId,
    /// The number of its first entry.
    pub from: u64,
    /// That entry's hash, which names the line.
    pub first: EntryHash,
}

type Forks<'txn> = Table<'txn, ForkPlace, &'static [u8]>;

impl Store {
    /// Takes in entries of this device's own journals that a peer holds, in order. What stands
    /// here otherwise, or not at all, is carried over, and with it what stands here from there on.
    /// `incarnation` names the next part of the journal, if it has to begin anew.
    pub fn take_line(
        &mut self,
        now: UnixMillis,
        incarnation: Incarnation,
        entries: Vec<Entry>,
    ) -> Result<CarriedOver, StoreError> {
        self.seal(now)?;
        let snapshot = self.reader().snapshot()?;
        let strange = self.strange(&snapshot, entries)?;
        let Some(first) = strange.first() else { return Ok(CarriedOver::default()) };
        let (journal, from) = (first.header().journal, first.header().number);
        let ours = self.held_from(&snapshot, &journal, from)?;
        drop(snapshot);
        if journal == self.identity.journal {
            self.reincarnate(now, incarnation)?;
        }
        let mut carried = CarriedOver::default();
        let mut progress = self.progress;
        let database = Arc::clone(&self.database);
        let txn = durable(&database)?;
        {
            let mut forks = txn.open_table(FORKS)?;
            let mut journals = Journals::open(&txn)?;
            let mut applier = Applier::open(&txn)?;
            let theirs = strange.iter().map(|entry| (entry, true));
            for (entry, is_theirs) in theirs.chain(ours.iter().map(|entry| (entry, false))) {
                if is_noted(&forks, &entry.header().journal, entry.header().number, entry.hash())? {
                    continue;
                }
                if is_theirs && !has_room(&forks, entry)? {
                    carried.frozen = true;
                    continue;
                }
                note(&mut forks, entry, is_theirs)?;
                self.carry(&mut journals, &mut applier, entry)?;
                progress.clock = progress.clock.observe(entry.header().clock, now);
                carried.entries += 1;
            }
            applier.apply_changes(&journals)?;
            applier.flush()?;
            meta::write_progress(&txn, &progress)?;
        }
        txn.commit()?;
        self.progress = progress;
        self.settle(now)?;
        Ok(carried)
    }

    /// Of entries of this device's journals, those of another line than the one held here.
    fn strange(&self, snapshot: &Snapshot, entries: Vec<Entry>) -> Result<Vec<Entry>, StoreError> {
        let own = self.identity.journal.device;
        let txn = snapshot.txn();
        let forks = open_if_there(txn, FORKS)?;
        let mut strange: Vec<Entry> = Vec::new();
        let mut hashes = BTreeSet::new();
        for entry in entries.into_iter().filter(|entry| entry.device() == own) {
            let header = entry.header();
            let (journal, number, before) = (header.journal, header.number, header.previous);
            let tip = snapshot.tip(&journal)?;
            let differs = if number < tip.count {
                snapshot.hash_at(&journal, number)? != Some(entry.hash())
            } else {
                let noted = match (&forks, number.checked_sub(1)) {
                    (Some(forks), Some(last)) => is_noted(forks, &journal, last, before)?,
                    _ => false,
                };
                noted || hashes.contains(&before) || (number == tip.count && before != tip.hash)
            };
            if differs {
                hashes.insert(entry.hash());
                strange.push(entry);
            }
        }
        Ok(strange)
    }

    /// What of a journal is held from a number on.
    fn held_from(
        &self,
        snapshot: &Snapshot,
        journal: &JournalId,
        from: u64,
    ) -> Result<Vec<Entry>, StoreError> {
        let Some(chain) = snapshot.chain(journal, from, usize::MAX, usize::MAX)? else {
            return Ok(Vec::new());
        };
        let mut tail = Tip { count: from, hash: chain.previous };
        let mut held = Vec::with_capacity(chain.entries.len());
        for stored in chain.entries {
            let entry = UnverifiedEntry::decode(*journal, tail.count, &stored)?;
            let entry = entry.verify(self.identity.workspace, &tail)?;
            tail = entry.tip();
            held.push(entry);
        }
        Ok(held)
    }

    /// Signs an entry once more, as the next one of the journal that this device writes now.
    fn carry(
        &self,
        journals: &mut Journals<'_>,
        applier: &mut Applier<'_>,
        entry: &Entry,
    ) -> Result<(), StoreError> {
        let purged = self.membership.purged();
        let stays = |one: &&Operation| {
            is_carried(one) && one.document().is_some_and(|document| !purged.contains(document))
        };
        let operations: Vec<Operation> = entry.operations().iter().filter(stays).cloned().collect();
        if operations.is_empty() {
            return Ok(());
        }
        let (journal, workspace) = (self.identity.journal, self.identity.workspace);
        let (tip, clock) = (journals.tip(&journal)?, entry.header().clock);
        let again = Entry::sign(&self.start.key, workspace, journal, &tip, clock, operations);
        let number = journals.push(&again)?;
        let place = (number, tip.count);
        let operations = (0..).zip(again.operations());
        applier.add_stored(workspace, journal.device, place, clock, operations).map(drop)
    }
}

/// Whether an operation says something in another journal too: how a device came to be a member
/// stands where it was born.
fn is_carried(operation: &Operation) -> bool {
    let Operation::Whole { kind, content, .. } = operation else { return false };
    if *kind != OperationKind::Act as u8 {
        return true;
    }
    let Ok(Some(Act { kind, .. })) = Act::decode(content) else { return false };
    !matches!(kind, ActKind::Found { .. } | ActKind::Join { .. } | ActKind::Recovery { .. })
}

fn is_noted(
    forks: &impl ReadableTable<ForkPlace, &'static [u8]>,
    journal: &JournalId,
    number: u64,
    hash: EntryHash,
) -> Result<bool, StoreError> {
    Ok(forks.get((&key_of(journal), number, hash.as_bytes()))?.is_some())
}

/// Whether an entry of another line goes on a line that is known, or may begin one.
fn has_room(forks: &Forks<'_>, entry: &Entry) -> Result<bool, StoreError> {
    let header = entry.header();
    if let Some(last) = header.number.checked_sub(1)
        && is_noted(forks, &header.journal, last, header.previous)?
    {
        return Ok(true);
    }
    let lines = lines_in(forks)?.into_iter().filter(|line| line.journal == header.journal);
    Ok(lines.count() + 1 < MAX_LINES)
}

/// The row of an entry: of another line's the hash of the one before it, of one that stands in the
/// journal itself nothing. What it says stands where it was carried to, where it can be redacted.
fn note(forks: &mut Forks<'_>, entry: &Entry, is_theirs: bool) -> Result<(), StoreError> {
    let header = entry.header();
    let row = if is_theirs { &header.previous.as_bytes()[..] } else { &[] };
    forks.insert((&key_of(&header.journal), header.number, entry.hash().as_bytes()), row)?;
    Ok(())
}

fn lines_in(
    forks: &impl ReadableTable<ForkPlace, &'static [u8]>,
) -> Result<Vec<ForkedLine>, StoreError> {
    let mut lines = Vec::new();
    let mut known: BTreeSet<(JournalId, u64, EntryHash)> = BTreeSet::new();
    for item in forks.iter()? {
        let (place, row) = item?;
        let (key, from, hash) = place.value();
        let (journal, first) = (journal_of(key), EntryHash::new(*hash));
        let Some(before) = row.value().first_chunk::<32>() else { continue };
        known.insert((journal, from, first));
        let goes_on = from
            .checked_sub(1)
            .is_some_and(|last| known.contains(&(journal, last, EntryHash::new(*before))));
        if !goes_on {
            lines.push(ForkedLine { journal, from, first });
        }
    }
    Ok(lines)
}

impl Snapshot {
    /// Whether a journal stands here as far as a tip, on the line of that tip.
    pub fn holds(&self, journal: &JournalId, told: &Tip) -> Result<bool, StoreError> {
        let Some(last) = told.count.checked_sub(1) else { return Ok(true) };
        let held = self.tip(journal)?;
        Ok(told.count <= held.count && self.hash_at(journal, last)? == Some(told.hash))
    }

    /// Whether entries of a journal are of another line than the one that stands here: one of them
    /// differs from the one of its number, or they follow another entry than stands here before
    /// them. That their device signed them is not looked at, nor anything past the first that
    /// cannot be read.
    pub fn is_another_line(
        &self,
        workspace: WorkspaceId,
        batch: &Batch,
    ) -> Result<bool, StoreError> {
        let journal = batch.journal;
        let held = self.tip(&journal)?;
        if held.count == 0 {
            return Ok(false);
        }
        if batch.first > held.count {
            let (last, hash) = (batch.first - 1, batch.previous);
            let forks = open_if_there(self.txn(), FORKS)?;
            return forks.map_or(Ok(false), |forks| is_noted(&forks, &journal, last, hash));
        }
        let theirs = batch.claimed_tip(workspace, held.count);
        theirs.map_or(Ok(false), |theirs| Ok(!self.holds(&journal, &theirs)?))
    }

    /// The lines of this device's journals beside those that are held, which were carried over.
    pub fn forked_lines(&self) -> Result<Vec<ForkedLine>, StoreError> {
        open_if_there(self.txn(), FORKS)?.map_or_else(|| Ok(Vec::new()), |forks| lines_in(&forks))
    }
}
