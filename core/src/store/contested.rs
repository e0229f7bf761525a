//! Finding what devices set to different values while they were apart, and who set what.

use redb::ReadableTable;

use super::StoreError;
use super::apply::{self, Checked};
use super::journals::{self, JournalRow};
use super::snapshot::{Snapshot, decode};
use super::tables::{CONTESTED, DOCUMENTS, ENTRIES, EXPERIMENT_NAMES, JOURNALS};
use crate::clock::Clock;
use crate::document::{self, Claim, Contested};
use crate::entry::{UnverifiedEntry, clock_of};
use crate::ids::{ChangeHash, DeviceId, DocumentId, ExperimentId};
use crate::index::fields::is_bookkeeping;

impl Snapshot {
    /// Documents that are sealed and in which something stands that was set to different values.
    pub fn contested_documents(
        &self,
    ) -> Result<impl Iterator<Item = Result<DocumentId, StoreError>> + use<>, StoreError> {
        let table = self.txn().open_table(CONTESTED)?.range::<&[u8; 17]>(..)?;
        Ok(table.map(|item| Ok(DocumentId::from_bytes(item?.0.value()))))
    }

    /// What of a document was set to different values, but for what notes when something was done.
    pub fn contested(&self, id: &DocumentId) -> Result<Vec<Contested>, StoreError> {
        let Some(kind) = id.kind() else { return Ok(Vec::new()) };
        let Some(held) = self.txn().open_table(DOCUMENTS)?.get(&id.to_bytes())? else {
            return Ok(Vec::new());
        };
        let failed = |source| StoreError::Document { document: *id, source: Box::new(source) };
        let mut all = document::contested(kind, held.value()).map_err(failed)?;
        all.retain(|key| !is_bookkeeping(key.container, &key.key));
        Ok(all)
    }

    /// The device that set a value. None if its entry does not count any more, or says another
    /// time than its change.
    pub fn device_of(
        &self,
        id: &DocumentId,
        claim: &Claim,
    ) -> Result<Option<DeviceId>, StoreError> {
        let entries = self.txn().open_table(ENTRIES)?;
        for item in self.txn().open_table(JOURNALS)?.iter()? {
            let (key, row) = item?;
            let row: JournalRow = decode("journals", row.value())?;
            let journal = journals::journal_of(key.value());
            let mut at = first_at(&entries, &row, claim.clock)?;
            // One seal may make several entries, all of one time.
            while let Some(bytes) = entries.get((row.number, at))? {
                let entry =
                    UnverifiedEntry::decode(journal, at, journals::displace(bytes.value())?.1)?;
                if entry.clock() != claim.clock {
                    break;
                }
                if holds(journal.device, &entry, id, &claim.change) {
                    return Ok(Some(journal.device));
                }
                at += 1;
            }
        }
        Ok(None)
    }

    /// Experiments that share a name, by name; the first answers to it.
    pub fn experiments_sharing_a_name(&self) -> Result<Vec<Vec<ExperimentId>>, StoreError> {
        let mut shared: Vec<Vec<ExperimentId>> = Vec::new();
        let mut last: Option<(String, ExperimentId)> = None;
        for item in self.txn().open_table(EXPERIMENT_NAMES)?.iter()? {
            let key = item?.0;
            let (name, _, id) = key.value();
            let id = ExperimentId(id);
            let before = last.replace((name.to_owned(), id));
            // One of which nothing is known yet has no name.
            let Some((held, first)) = before.filter(|(held, _)| held == name && !name.is_empty())
            else {
                continue;
            };
            debug_assert_eq!(held, name);
            match shared.last_mut() {
                Some(same) if same.last() == Some(&first) => same.push(id),
                _ => shared.push(vec![first, id]),
            }
        }
        Ok(shared)
    }
}

/// The first entry of a journal that was sealed at a time or later.
fn first_at(
    entries: &impl ReadableTable<(u32, u64), &'static [u8]>,
    row: &JournalRow,
    clock: Clock,
) -> Result<u64, StoreError> {
    let (mut low, mut high) = (0, row.tip().count);
    while low < high {
        let middle = low + (high - low) / 2;
        let missing = StoreError::NotOurs("an entry is missing");
        let bytes = entries.get((row.number, middle))?.ok_or(missing)?;
        let sealed = clock_of(journals::displace(bytes.value())?.1);
        if sealed.is_some_and(|sealed| sealed < clock) { low = middle + 1 } else { high = middle }
    }
    Ok(low)
}

fn holds(device: DeviceId, entry: &UnverifiedEntry, id: &DocumentId, wanted: &ChangeHash) -> bool {
    entry.operations().iter().any(|operation| {
        operation.document() == Some(id)
            && matches!(apply::read(device, operation),
                Ok(Checked::Change { change, .. }) if change.hash() == *wanted)
    })
}
