//! Cuts: what of a journal counts when its device is removed, or may not write any more.
//!
//! Invariants: of a peer's journal no entry is held that the membership does not let count; what
//! was held before it was known is set aside, not thrown away, and taken again if it is to count
//! after all. So what devices hold is a function of the acts they know, whenever they heard of them.
//! This device's own journal is never cut.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use redb::{ReadableDatabase, ReadableTable};

use super::journals::{Journals, displace, journal_of, key_of};
use super::tables::{SET_ASIDE, open_if_there};
use super::{Ingested, Store, StoreError, durable};
use crate::clock::UnixMillis;
use crate::entry::UnverifiedEntry;
use crate::ids::JournalId;
use crate::operation::Operation;

/// How often what was set aside can let in what changes what counts. Twice is the most that any
/// history comes to; this is for one that nobody thought of.
const MAX_ROUNDS: usize = 8;

impl Store {
    /// Takes in that the members are others: sets aside what does not count any more, and takes
    /// again what counts after all. Returns what of that is new.
    pub(super) fn settle(&mut self, now: UnixMillis) -> Result<Ingested, StoreError> {
        let mut news = Ingested::default();
        for _ in 0..MAX_ROUNDS {
            self.membership = Arc::new(self.reader().snapshot()?.membership()?);
            self.set_aside()?;
            let again = self.take_again(now)?;
            news.entries += again.entries;
            news.blobs.extend(again.blobs);
            if again.entries == 0 {
                break;
            }
        }
        self.purge(now)?;
        self.carry_what_was_built_on(now)?;
        Ok(news)
    }

    fn set_aside(&mut self) -> Result<(), StoreError> {
        let own = self.identity.journal.device;
        let vector = self.reader().snapshot()?.vector()?;
        let excess = vector.iter().filter_map(|(journal, tip)| {
            let limit = self.membership.limit(journal)?;
            (journal.device != own && tip.count > limit).then_some((*journal, limit))
        });
        let excess: Vec<(JournalId, u64)> = excess.collect();
        // Of a device whose acts name nobody yet, no one can say what counts.
        if excess.is_empty() || self.membership.founder().is_none() {
            return Ok(());
        }
        let database = Arc::clone(&self.database);
        let txn = durable(&database)?;
        let mut touched = BTreeSet::new();
        {
            let mut journals = Journals::open(&txn)?;
            let mut aside = txn.open_table(SET_ASIDE)?;
            for (journal, limit) in excess {
                for (number, row) in journals.cut(&journal, limit)? {
                    aside.insert((&key_of(&journal), number), row.as_slice())?;
                    let entry = UnverifiedEntry::decode(journal, number, displace(&row)?.1)?;
                    touched.extend(entry.operations().iter().filter_map(Operation::document));
                }
            }
        }
        self.derive_again(&txn, &touched)?;
        txn.commit()?;
        self.beyond = None;
        self.membership = Arc::new(self.reader().snapshot()?.membership()?);
        Ok(())
    }

    fn take_again(&mut self, now: UnixMillis) -> Result<Ingested, StoreError> {
        let vector = self.reader().snapshot()?.vector()?;
        let txn = self.database.begin_read()?;
        let Some(aside) = open_if_there(&txn, SET_ASIDE)? else {
            return Ok(Ingested::default());
        };
        let mut entries = Vec::new();
        let mut tips = BTreeMap::new();
        for item in aside.iter()? {
            let (place, row) = item?;
            let (key, number) = place.value();
            let journal = journal_of(key);
            let tip = *tips.entry(journal).or_insert_with(|| vector.tip(&journal));
            let counts = self.membership.limit(&journal).is_none_or(|limit| number < limit);
            if !counts || number != tip.count {
                continue;
            }
            let (_, stored) = displace(row.value())?;
            let entry = UnverifiedEntry::decode(journal, number, stored)?;
            let entry = entry.verify(self.identity.workspace, &tip)?;
            tips.insert(journal, entry.tip());
            entries.push(entry);
        }
        if entries.is_empty() {
            return Ok(Ingested::default());
        }
        self.beyond = None;
        self.ingest_only(now, &entries)
    }
}
