//! Entries by where they are kept: those that count, and those that were set aside.

use std::collections::BTreeMap;

use redb::ReadableTable;

use super::journals::{displace, journal_of, key_of};
use super::tables::{ENTRIES, JOURNALS, SET_ASIDE, open_if_there};
use super::{Snapshot, StoreError};
use crate::clock::Clock;
use crate::entry::clock_of;
use crate::ids::{EntryHash, JournalId};
use crate::vector::Tip;

/// Entries that follow one another in one journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct List {
    /// The journal.
    pub(crate) journal: JournalId,
    /// The journal's number in this store.
    pub(crate) number: u32,
    /// Whether they were set aside, because they do not count.
    pub(crate) aside: bool,
    /// The number of the first.
    pub(crate) first: u64,
    /// The number after the last.
    pub(crate) until: u64,
    /// The hash of the last, where it is kept.
    pub(crate) hash: Option<EntryHash>,
}

/// An entry as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Placed {
    /// The hash of the entry before it; zeros for the first.
    pub(crate) previous: EntryHash,
    /// The entry as it is stored and sent.
    pub(crate) stored: Vec<u8>,
}

impl Snapshot {
    /// All lists of entries.
    pub(crate) fn lists(&self) -> Result<Vec<List>, StoreError> {
        let (mut lists, mut numbers) = (Vec::new(), BTreeMap::new());
        for item in self.txn().open_table(JOURNALS)?.iter()? {
            let (key, row) = item?;
            let journal = journal_of(key.value());
            let row: super::journals::JournalRow =
                super::snapshot::decode("journals", row.value())?;
            let Tip { count: until, hash } = row.tip();
            numbers.insert(journal, row.number);
            if until > 0 {
                let (number, hash) = (row.number, Some(hash));
                lists.push(List { journal, number, aside: false, first: 0, until, hash });
            }
        }
        let Some(aside) = open_if_there(self.txn(), SET_ASIDE)? else { return Ok(lists) };
        let mut ranges: BTreeMap<JournalId, (u64, u64)> = BTreeMap::new();
        for item in aside.iter()? {
            let place = item?.0;
            let (key, entry) = place.value();
            let range = ranges.entry(journal_of(key)).or_insert((entry, entry));
            range.1 = entry + 1;
        }
        for (journal, (first, until)) in ranges {
            let Some(number) = numbers.get(&journal).copied() else { continue };
            lists.push(List { journal, number, aside: true, first, until, hash: None });
        }
        Ok(lists)
    }

    /// When the last entry of each journal was sealed, by its device's clock.
    pub fn last_clocks(&self) -> Result<Vec<(JournalId, Clock)>, StoreError> {
        let mut clocks = Vec::new();
        for list in self.lists()?.iter().filter(|list| !list.aside) {
            clocks.extend(self.clock_at(list, list.until - 1)?.map(|clock| (list.journal, clock)));
        }
        Ok(clocks)
    }

    /// When an entry says it was sealed, without reading the rest of it.
    pub(crate) fn clock_at(&self, list: &List, entry: u64) -> Result<Option<Clock>, StoreError> {
        self.row_at(list, entry, |row| Ok(clock_of(displace(row)?.1)))
    }

    /// An entry of a list.
    pub(crate) fn placed(&self, list: &List, entry: u64) -> Result<Option<Placed>, StoreError> {
        self.row_at(list, entry, |row| {
            let (previous, stored) = displace(row)?;
            Ok(Some(Placed { previous, stored: stored.to_vec() }))
        })
    }

    fn row_at<T>(
        &self,
        list: &List,
        entry: u64,
        read: impl FnOnce(&[u8]) -> Result<Option<T>, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        if list.aside {
            let table = self.txn().open_table(SET_ASIDE)?;
            let row = table.get((&key_of(&list.journal), entry))?;
            return row.map_or(Ok(None), |row| read(row.value()));
        }
        let row = self.txn().open_table(ENTRIES)?.get((list.number, entry))?;
        row.map_or(Ok(None), |row| read(row.value()))
    }
}
