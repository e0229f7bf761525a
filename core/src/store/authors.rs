//! Who wrote what: the device in whose journal a change stands.
//!
//! A change says when it was sealed, and so does its entry, so each journal is searched for that time.
//! An entry holds the changes of up to some thousand documents, and those that are asked for together
//! mostly stand together: whose the changes are of an entry that was read is remembered.

use std::collections::HashMap;
use std::rc::Rc;

use redb::{ReadOnlyTable, ReadableTable};

use super::StoreError;
use super::apply::{self, Checked};
use super::journals::{self, JournalRow};
use super::snapshot::{Snapshot, decode};
use super::tables::{DOCUMENTS, ENTRIES, JOURNALS};
use crate::clock::Clock;
use crate::document;
use crate::entry::{UnverifiedEntry, clock_of};
use crate::ids::{ChangeHash, DeviceId, DocumentId, JournalId};
use crate::operation::{Operation, OperationKind};

/// Finds who wrote what in a snapshot.
pub struct Authors<'s> {
    snapshot: &'s Snapshot,
    entries: ReadOnlyTable<(u32, u64), &'static [u8]>,
    journals: Rc<[(JournalId, JournalRow)]>,
    /// Which entries were read, by journal and number, and when each was sealed.
    read: HashMap<(u32, u64), Clock>,
    /// Whose the changes are that stand in them; one that says another time than its entry is nobody's.
    known: HashMap<(DocumentId, ChangeHash), DeviceId>,
}

impl<'s> Authors<'s> {
    /// Begins to look.
    pub fn open(snapshot: &'s Snapshot) -> Result<Self, StoreError> {
        let entries = snapshot.txn().open_table(ENTRIES)?;
        let mut journals = Vec::new();
        for item in snapshot.txn().open_table(JOURNALS)?.iter()? {
            let (key, row) = item?;
            journals.push((journals::journal_of(key.value()), decode("journals", row.value())?));
        }
        let (read, known) = (HashMap::new(), HashMap::new());
        Ok(Self { snapshot, entries, journals: journals.into(), read, known })
    }

    /// The device that made a change which was sealed at `clock`. None if its entry does not count any
    /// more, or says another time than the change.
    pub fn of_change(
        &mut self,
        document: &DocumentId,
        clock: Clock,
        change: &ChangeHash,
    ) -> Result<Option<DeviceId>, StoreError> {
        let wanted = (*document, *change);
        if let Some(device) = self.known.get(&wanted) {
            return Ok(Some(*device));
        }
        for (journal, row) in &*Rc::clone(&self.journals) {
            let mut at = self.first_at(row, clock)?;
            // One seal may make several entries, all of one time.
            while self.read_entry(*journal, row.number, at)? == Some(clock) {
                if let Some(device) = self.known.get(&wanted) {
                    return Ok(Some(*device));
                }
                at += 1;
            }
        }
        Ok(None)
    }

    /// The device that created a document. None if that is not sealed yet, or as for a change.
    pub fn of_document(&mut self, document: &DocumentId) -> Result<Creator, StoreError> {
        let Some(kind) = document.kind() else { return Ok(Creator::Unknown) };
        let held = self.snapshot.txn().open_table(DOCUMENTS)?.get(&document.to_bytes())?;
        let Some(held) = held else { return Ok(Creator::NotSealed) };
        let failed =
            |source| StoreError::Document { document: *document, source: Box::new(source) };
        let first = document::first_change(kind, held.value()).map_err(failed)?;
        let Some((clock, change)) = first else { return Ok(Creator::Unknown) };
        let device = self.of_change(document, clock, &change)?;
        Ok(device.map_or(Creator::Unknown, Creator::Device))
    }

    /// The first entry of a journal that was sealed at a time or later.
    fn first_at(&self, row: &JournalRow, clock: Clock) -> Result<u64, StoreError> {
        let (mut low, mut high) = (0, row.tip().count);
        while low < high {
            let middle = low + (high - low) / 2;
            let missing = StoreError::NotOurs("an entry is missing");
            let bytes = self.entries.get((row.number, middle))?.ok_or(missing)?;
            let sealed = clock_of(journals::displace(bytes.value())?.1);
            if sealed.is_some_and(|sealed| sealed < clock) {
                low = middle + 1
            } else {
                high = middle
            }
        }
        Ok(low)
    }

    /// Reads an entry, unless it was read. Returns when it was sealed; none if there is none.
    fn read_entry(
        &mut self,
        journal: JournalId,
        number: u32,
        at: u64,
    ) -> Result<Option<Clock>, StoreError> {
        if let Some(sealed) = self.read.get(&(number, at)) {
            return Ok(Some(*sealed));
        }
        let Some(bytes) = self.entries.get((number, at))? else { return Ok(None) };
        let entry = UnverifiedEntry::decode(journal, at, journals::displace(bytes.value())?.1)?;
        let sealed = entry.clock();
        let changes = entry.operations().iter().filter(|operation| {
            matches!(operation, Operation::Whole { kind, .. } if *kind == OperationKind::Change as u8)
        });
        for operation in changes {
            if let Ok(Checked::Change { document, change }) = apply::read(journal.device, operation)
                && change.clock() == sealed
            {
                self.known.insert((document, change.hash()), journal.device);
            }
        }
        self.read.insert((number, at), sealed);
        Ok(Some(sealed))
    }
}

/// Who created a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Creator {
    /// This device.
    Device(DeviceId),
    /// The one that is asked: nothing of the document is sealed yet.
    NotSealed,
    /// None that can be told.
    Unknown,
}
