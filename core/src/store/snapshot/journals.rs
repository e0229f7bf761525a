//! Reading journals, and the acts in them that say who is a member.

use std::collections::HashMap;

use redb::ReadableTable;

use super::super::StoreError;
use super::super::journals::{self, JournalRow};
use super::super::tables::{ACTS, ENTRIES, JOURNALS, META};
use super::{Snapshot, decode};
use crate::act::{Act, ActKind};
use crate::entry::UnverifiedEntry;
use crate::ids::{EntryHash, JournalId, WorkspaceId};
use crate::membership::{Membership, PlacedAct};
use crate::operation::Operation;
use crate::vector::{Tip, VersionVector};

/// A journal and what of it is held here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JournalInfo {
    /// The journal.
    pub journal: JournalId,
    /// How many entries, and the hash of the last.
    pub tip: Tip,
    /// The sum of the entries' stored lengths.
    pub bytes: u64,
}

/// Entries that follow one another in a journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// The hash of the entry before the first; zeros if there is none.
    pub previous: EntryHash,
    /// The entries as they are stored; at least one.
    pub entries: Vec<Vec<u8>>,
}

impl Snapshot {
    /// How much of each journal is held.
    pub fn vector(&self) -> Result<VersionVector, StoreError> {
        journals::vector_of(&self.txn.open_table(JOURNALS)?)
    }

    /// Entries of a journal from a number on, as they are stored, up to some bytes but at least
    /// one.
    pub fn entries(
        &self,
        journal: &JournalId,
        from: u64,
        max_bytes: usize,
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        let chain = self.chain(journal, from, max_bytes, usize::MAX)?;
        Ok(chain.map_or_else(Vec::new, |chain| chain.entries))
    }

    /// Entries of a journal from a number on, with the hash of the entry before them: up to some
    /// bytes and some number, but at least one. None if there is no entry `from`.
    pub fn chain(
        &self,
        journal: &JournalId,
        from: u64,
        max_bytes: usize,
        max_entries: usize,
    ) -> Result<Option<Chain>, StoreError> {
        let Some(number) = self.journal_row(journal)?.map(|row| row.number) else {
            return Ok(None);
        };
        let table = self.txn.open_table(ENTRIES)?;
        let mut chain: Option<Chain> = None;
        let mut bytes = 0;
        for item in table.range((number, from)..=(number, u64::MAX))? {
            let (_, row) = item?;
            let (previous, stored) = journals::displace(row.value())?;
            bytes += stored.len();
            match &mut chain {
                None => chain = Some(Chain { previous, entries: vec![stored.to_vec()] }),
                Some(held) if bytes > max_bytes || held.entries.len() >= max_entries => break,
                Some(held) => held.entries.push(stored.to_vec()),
            }
        }
        Ok(chain)
    }

    fn journal_row(&self, journal: &JournalId) -> Result<Option<JournalRow>, StoreError> {
        let bytes = self.txn.open_table(JOURNALS)?.get(&journals::key_of(journal))?;
        bytes.map(|bytes| decode("journals", bytes.value())).transpose()
    }

    /// All journals, with what they hold here.
    pub fn journals(&self) -> Result<Vec<JournalInfo>, StoreError> {
        let table = self.txn.open_table(JOURNALS)?;
        let mut all = Vec::new();
        for item in table.iter()? {
            let (key, row) = item?;
            let row: JournalRow = decode("journals", row.value())?;
            let journal = journals::journal_of(key.value());
            all.push(JournalInfo { journal, tip: row.tip(), bytes: row.bytes });
        }
        Ok(all)
    }

    /// All acts, with the entries that hold them.
    pub(crate) fn acts(&self) -> Result<Vec<PlacedAct>, StoreError> {
        let numbers = self.txn.open_table(JOURNALS)?;
        let mut by_number = HashMap::new();
        for item in numbers.iter()? {
            let (key, row) = item?;
            let row: JournalRow = decode("journals", row.value())?;
            by_number.insert(row.number, journals::journal_of(key.value()));
        }
        let entries = self.txn.open_table(ENTRIES)?;
        let mut acts = Vec::new();
        for item in self.txn.open_table(ACTS)?.iter()? {
            let (number, entry_number, at) = item?.0.value();
            let Some(journal) = by_number.get(&number) else { continue };
            acts.extend(self.act_at(&entries, *journal, number, entry_number, at)?);
        }
        Ok(acts)
    }

    fn act_at(
        &self,
        entries: &impl ReadableTable<(u32, u64), &'static [u8]>,
        journal: JournalId,
        journal_number: u32,
        entry_number: u64,
        at: u32,
    ) -> Result<Option<PlacedAct>, StoreError> {
        let Some(bytes) = entries.get((journal_number, entry_number))? else { return Ok(None) };
        let (_, stored) = journals::displace(bytes.value())?;
        let entry = UnverifiedEntry::decode(journal, entry_number, stored)?;
        let Some(operation) = entry.operations().get(at as usize) else { return Ok(None) };
        let Operation::Whole { content, .. } = operation else { return Ok(None) };
        let Ok(Some(act)) = Act::decode(content) else { return Ok(None) };
        let (place, clock) = ((entry_number, at), entry.clock());
        Ok(Some(PlacedAct::new(journal, place, clock, &operation.hash(), act)))
    }

    /// How much of a journal is held.
    pub(crate) fn tip(&self, journal: &JournalId) -> Result<Tip, StoreError> {
        Ok(self.journal_row(journal)?.map_or(Tip::START, |row| row.tip()))
    }

    /// The hash of an entry that is held.
    pub(crate) fn hash_at(
        &self,
        journal: &JournalId,
        entry: u64,
    ) -> Result<Option<EntryHash>, StoreError> {
        let tip = self.tip(journal)?;
        if entry + 1 == tip.count {
            return Ok(Some(tip.hash));
        }
        Ok(self.chain(journal, entry + 1, 1, 1)?.map(|chain| chain.previous))
    }

    /// The journal with which a journal's device founded or joined the workspace: this one, or one
    /// before it.
    pub fn birth_of(&self, journal: &JournalId) -> Result<JournalId, StoreError> {
        let acts = self.acts()?;
        let births = acts.iter().filter(|act| {
            let first = matches!(act.act.kind, ActKind::Found { .. } | ActKind::Join { .. });
            first && act.journal.device == journal.device && act.place.0 == 0
        });
        let birth = births.max_by_key(|act| (act.journal == *journal, act.clock));
        Ok(birth.map_or(*journal, |act| act.journal))
    }

    /// Who is a member.
    pub fn membership(&self) -> Result<Membership, StoreError> {
        let damaged = StoreError::NotOurs("the store's meta table is damaged");
        let table = self.txn.open_table(META)?;
        let bytes = table.get("workspace")?.and_then(|bytes| bytes.value().try_into().ok());
        let workspace = WorkspaceId::new(bytes.ok_or(damaged)?);
        Ok(Membership::of(workspace, &self.acts()?))
    }
}
