//! Rebuilding: what is derived is dropped and made again from entries and edits; all of it, or what
//! is derived of some documents.

use std::collections::BTreeSet;
use std::sync::Arc;

use redb::{ReadableDatabase, WriteTransaction};

use super::apply::Applier;
use super::journals::Journals;
use super::{Store, StoreError, durable, forget, meta, tables};
use crate::ids::DocumentId;
use crate::index::run_changes;

/// How many operations are applied before rows are written, which take many times their memory.
const OPERATIONS_AT_ONCE: usize = 8_192;

impl Store {
    /// Drops documents, series and index and builds them again, in one durable transaction: a
    /// crash on the way leaves what was there before. Returns how many entries were applied.
    pub fn rebuild(&mut self) -> Result<u64, StoreError> {
        let database = Arc::clone(&self.database);
        let txn = durable(&database)?;
        // Nobody reads while a store is rebuilt, and numbers of runs that are gone are free again.
        txn.delete_table(tables::RUN_NUMBERS)?;
        let applied = self.derive_anew(&txn)?;
        txn.commit()?;
        drop(database.begin_read()?);
        self.membership = Arc::new(self.reader().snapshot()?.membership()?);
        Ok(applied)
    }

    /// Makes everything derived anew in a transaction. Runs keep their numbers.
    pub(super) fn derive_anew(&self, txn: &WriteTransaction) -> Result<u64, StoreError> {
        tables::drop_derived(txn)?;
        tables::create_all(txn)?;
        run_changes::note_all(txn)?;
        let applied = self.apply_again(txn, |_| true)?;
        meta::write_derived(txn)?;
        Ok(applied)
    }

    /// Makes what is derived of some documents anew in a transaction, after operations about them
    /// were taken away. It reads all entries, and writes little.
    pub(super) fn derive_again(
        &self,
        txn: &WriteTransaction,
        documents: &BTreeSet<DocumentId>,
    ) -> Result<(), StoreError> {
        if !forget::can_forget(documents) {
            return self.derive_anew(txn).map(drop);
        }
        forget::forget(txn, documents)?;
        self.apply_again(txn, |document| documents.contains(document)).map(drop)
    }

    /// Applies what entries and edits say about documents of which nothing is derived. Returns how many
    /// entries there are.
    fn apply_again(
        &self,
        txn: &WriteTransaction,
        is_wanted: impl Fn(&DocumentId) -> bool,
    ) -> Result<u64, StoreError> {
        let workspace = self.identity.workspace;
        let journals = Journals::open(txn)?;
        let mut applier = Applier::open(txn)?;
        let (mut entries, mut gathered) = (0, 0);
        for (number, journal) in journals.by_number()? {
            for entry_number in 0..journals.tip(&journal)?.count {
                let entry = journals.read(journal, number, entry_number)?;
                let entry = entry.ok_or(StoreError::NotOurs("an entry is missing"))?;
                let (place, clock) = ((number, entry_number), entry.clock());
                let wanted = (0..).zip(entry.operations()).filter(|(_, operation)| {
                    // Of what is redacted, nothing is derived.
                    operation.document().is_some_and(&is_wanted)
                });
                gathered += applier.add_stored(workspace, journal.device, place, clock, wanted)?;
                entries += 1;
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
            if is_wanted(&timed.edit.document()) {
                applier.batch.apply(number, timed)?;
            }
        }
        applier.flush()?;
        Ok(entries)
    }
}
