//! Rebuilding: everything derived is dropped and made again from entries and edits.

use std::sync::Arc;

use redb::{ReadableDatabase, WriteTransaction};

use super::apply::Applier;
use super::journals::Journals;
use super::{Store, StoreError, durable, meta, tables};
use crate::index::run_changes;

/// How many operations are applied before rows are written, which take many times their memory.
const OPERATIONS_AT_ONCE: usize = 8_192;

impl Store {
    /// Drops documents, series and index and builds them again, in one durable transaction: a
    /// crash on the way leaves what was there before. Returns how many entries were applied.
    pub fn rebuild(&mut self) -> Result<u64, StoreError> {
        let database = Arc::clone(&self.database);
        let txn = durable(&database)?;
        let applied = self.derive_anew(&txn)?;
        txn.commit()?;
        drop(database.begin_read()?);
        self.membership = Arc::new(self.reader().snapshot()?.membership()?);
        Ok(applied)
    }

    /// Makes everything derived anew in a transaction.
    pub(super) fn derive_anew(&self, txn: &WriteTransaction) -> Result<u64, StoreError> {
        tables::drop_derived(txn)?;
        tables::create_all(txn)?;
        run_changes::note_all(txn)?;
        let workspace = self.identity.workspace;
        let journals = Journals::open(txn)?;
        let mut applier = Applier::open(txn)?;
        let (mut applied, mut gathered) = (0, 0);
        for (number, journal) in journals.by_number()? {
            for entry_number in 0..journals.tip(&journal)?.count {
                let entry = journals.read(journal, number, entry_number)?;
                let entry = entry.ok_or(StoreError::NotOurs("an entry is missing"))?;
                let (place, operations) = ((number, entry_number), entry.operations());
                applier.add_stored(workspace, journal.device, place, entry.clock(), operations)?;
                applied += 1;
                gathered += operations.len();
                if gathered >= OPERATIONS_AT_ONCE {
                    gathered = 0;
                    applier.apply_changes(&journals)?;
                    applier.flush()?;
                    applier = Applier::open(txn)?;
                }
            }
        }
        applier.apply_changes(&journals)?;
        for (number, timed) in (self.progress.sealed..).zip(&self.pending) {
            applier.batch.apply(number, timed)?;
        }
        applier.flush()?;
        meta::write_derived(txn)?;
        Ok(applied)
    }
}
