//! The journals a store holds: their numbers, tips and entries.

use std::collections::HashMap;

use redb::{ReadableTable, ReadableTableMetadata, Table, WriteTransaction};

use super::StoreError;
use super::snapshot::decode;
use super::tables::{ENTRIES, JOURNALS};
use crate::entry::{Entry, UnverifiedEntry};
use crate::ids::{DeviceId, DocumentId, EntryHash, Incarnation, JournalId};
use crate::operation::Operation;
use crate::vector::{Tip, VersionVector};

/// The row of a journal. Journals are numbered in order of arrival.
#[derive(Debug, Clone, Copy, serde::Serialize, serde::Deserialize)]
pub(super) struct JournalRow {
    pub(super) number: u32,
    count: u64,
    hash: EntryHash,
    /// The sum of the entries' stored lengths.
    pub(super) bytes: u64,
}

impl JournalRow {
    pub(super) const fn tip(&self) -> Tip {
        Tip { count: self.count, hash: self.hash }
    }
}

pub(super) fn key_of(journal: &JournalId) -> [u8; 48] {
    let mut key = [0; 48];
    key[..32].copy_from_slice(journal.device.as_bytes());
    key[32..].copy_from_slice(journal.incarnation.as_bytes());
    key
}

pub(super) fn journal_of(key: &[u8; 48]) -> JournalId {
    let (mut device, mut incarnation) = ([0; 32], [0; 16]);
    device.copy_from_slice(&key[..32]);
    incarnation.copy_from_slice(&key[32..]);
    JournalId { device: DeviceId::new(device), incarnation: Incarnation::new(incarnation) }
}

/// The row of an entry: the hash of the entry before it, and the entry as it is sent.
fn place(entry: &Entry) -> Vec<u8> {
    [entry.header().previous.as_bytes(), entry.stored()].concat()
}

/// Takes the row of an entry apart.
pub(super) fn displace(row: &[u8]) -> Result<(EntryHash, &[u8]), StoreError> {
    let (previous, stored) =
        row.split_first_chunk().ok_or(StoreError::NotOurs("an entry in the store is damaged"))?;
    Ok((EntryHash::new(*previous), stored))
}

/// The row of an entry without the content of operations on documents that `is_gone` says, of which
/// `gone` is told; none if there are none in it.
pub(super) fn redact_row(
    journal: JournalId,
    number: u64,
    row: &[u8],
    is_gone: impl Fn(&DocumentId) -> bool,
    gone: &mut impl FnMut(&Operation),
) -> Result<Option<Vec<u8>>, StoreError> {
    let (previous, stored) = displace(row)?;
    let entry = UnverifiedEntry::decode(journal, number, stored)?;
    let Some(redacted) = entry.redacted(&is_gone) else { return Ok(None) };
    let goes = |operation: &&Operation| operation.document().is_some_and(&is_gone);
    entry.operations().iter().filter(goes).for_each(gone);
    Ok(Some([&previous.as_bytes()[..], &redacted].concat()))
}

/// The tables of journals, opened for one transaction.
pub(super) struct Journals<'txn> {
    journals: Table<'txn, &'static [u8; 48], &'static [u8]>,
    entries: Table<'txn, (u32, u64), &'static [u8]>,
    rows: HashMap<JournalId, JournalRow>,
}

impl<'txn> Journals<'txn> {
    pub(super) fn open(txn: &'txn WriteTransaction) -> Result<Self, StoreError> {
        let (journals, entries) = (txn.open_table(JOURNALS)?, txn.open_table(ENTRIES)?);
        Ok(Self { journals, entries, rows: HashMap::new() })
    }

    fn row(&self, journal: &JournalId) -> Result<Option<JournalRow>, StoreError> {
        if let Some(row) = self.rows.get(journal) {
            return Ok(Some(*row));
        }
        let row = self.journals.get(&key_of(journal))?;
        row.map(|bytes| decode("journals", bytes.value())).transpose()
    }

    pub(super) fn tip(&self, journal: &JournalId) -> Result<Tip, StoreError> {
        Ok(self.row(journal)?.map_or(Tip::START, |row| row.tip()))
    }

    /// Stores the entry that follows the journal's tip. Returns the journal's number.
    pub(super) fn push(&mut self, entry: &Entry) -> Result<u32, StoreError> {
        let journal = entry.header().journal;
        let held = self.row(&journal)?;
        let number = match held {
            Some(row) => row.number,
            None => self.journals.len()? as u32,
        };
        debug_assert_eq!(held.map_or(Tip::START, |row| row.tip()).hash, entry.header().previous);
        let placed = place(entry);
        self.entries.insert((number, entry.header().number), placed.as_slice())?;
        let Tip { count, hash } = entry.tip();
        let bytes = held.map_or(0, |row| row.bytes) + entry.stored().len() as u64;
        let row = JournalRow { number, count, hash, bytes };
        let encoded = postcard::to_stdvec(&row).expect("a row is plain data");
        self.journals.insert(&key_of(&journal), encoded.as_slice())?;
        self.rows.insert(journal, row);
        Ok(number)
    }

    /// Takes the entries from a number on out of a journal, and returns their rows.
    pub(super) fn cut(
        &mut self,
        journal: &JournalId,
        from: u64,
    ) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        let Some(held) = self.row(journal)? else { return Ok(Vec::new()) };
        let mut taken = Vec::new();
        let beyond = (held.number, from)..=(held.number, u64::MAX);
        for item in self.entries.extract_from_if(beyond, |_, _| true)? {
            let (place, row) = item?;
            taken.push((place.value().1, row.value().to_vec()));
        }
        let Some((_, first)) = taken.first() else { return Ok(taken) };
        let (hash, _) = displace(first)?;
        let stored = |row: &Vec<u8>| (row.len() - Tip::START.hash.as_bytes().len()) as u64;
        let gone: u64 = taken.iter().map(|(_, row)| stored(row)).sum();
        let row = JournalRow { count: from, hash, bytes: held.bytes.saturating_sub(gone), ..held };
        let encoded = postcard::to_stdvec(&row).expect("a row is plain data");
        self.journals.insert(&key_of(journal), encoded.as_slice())?;
        self.rows.insert(*journal, row);
        Ok(taken)
    }

    /// Redacts operations in all entries. `named` is told of those before they go.
    pub(super) fn redact(
        &mut self,
        is_gone: impl Fn(&DocumentId) -> bool,
        mut gone: impl FnMut(&Operation),
    ) -> Result<(), StoreError> {
        for (number, journal) in self.by_number()? {
            let mut saved = 0;
            let mut changed = Vec::new();
            for item in self.entries.range((number, 0)..=(number, u64::MAX))? {
                let (place, row) = item?;
                let entry = place.value().1;
                if let Some(new) = redact_row(journal, entry, row.value(), &is_gone, &mut gone)? {
                    saved += row.value().len().saturating_sub(new.len()) as u64;
                    changed.push((entry, new));
                }
            }
            for (entry, row) in &changed {
                self.entries.insert((number, *entry), row.as_slice())?;
            }
            let Some(held) = self.row(&journal)?.filter(|_| !changed.is_empty()) else { continue };
            let row = JournalRow { bytes: held.bytes.saturating_sub(saved), ..held };
            let encoded = postcard::to_stdvec(&row).expect("a row is plain data");
            self.journals.insert(&key_of(&journal), encoded.as_slice())?;
            self.rows.insert(journal, row);
        }
        Ok(())
    }

    /// All journals, by local number.
    pub(super) fn by_number(&self) -> Result<HashMap<u32, JournalId>, StoreError> {
        let journals = self.journals.iter()?;
        journals
            .map(|item| {
                let (key, row) = item?;
                Ok((decode::<JournalRow>("journals", row.value())?.number, journal_of(key.value())))
            })
            .collect()
    }

    /// Reads an entry back, of which it is known that it was verified.
    pub(super) fn read(
        &self,
        journal: JournalId,
        journal_number: u32,
        entry: u64,
    ) -> Result<Option<UnverifiedEntry>, StoreError> {
        let Some(bytes) = self.entries.get((journal_number, entry))? else { return Ok(None) };
        Ok(Some(UnverifiedEntry::decode(journal, entry, displace(bytes.value())?.1)?))
    }
}

/// The version vector of the journals in a table.
pub(super) fn vector_of(
    table: &impl ReadableTable<&'static [u8; 48], &'static [u8]>,
) -> Result<VersionVector, StoreError> {
    let mut vector = VersionVector::new();
    for item in table.iter()? {
        let (key, row) = item?;
        vector.set(journal_of(key.value()), decode::<JournalRow>("journals", row.value())?.tip());
    }
    Ok(vector)
}
