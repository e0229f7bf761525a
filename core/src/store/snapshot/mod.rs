//! A snapshot: what the store held at one moment, for readers.
//!
//! A snapshot never waits for the writer and never changes. It sees every acknowledged write that
//! came before it.

use std::collections::HashMap;
use std::sync::Arc;

use redb::{ReadTransaction, ReadableTable, ReadableTableMetadata};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::StoreError;
use super::batch::{decode_chunk, series_name};
use super::journals::{self, JournalRow};
use super::tables::{
    ACTS, ARTIFACTS, DOCUMENT_ROWS, ENTRIES, EXPERIMENT_NAMES, EXPERIMENTS, GRANTS, JOURNALS, KEYS,
    LOOKUPS, META, MODEL_RUNS, PURGED_BLOBS, RUN_NUMBERS, RUNS, SERIES, SERVED_VERSIONS, STARTS,
    WAITING, open_if_there,
};
use crate::act::{Act, ActKind};
use crate::clock::Clock;
use crate::entry::UnverifiedEntry;
use crate::ids::{
    BlobHash, DocumentId, DocumentKind, EntryHash, ExperimentId, JournalId, RunId, WorkspaceId,
};
use crate::index::{Lookup, LookupKey, by_experiment, document_of, time_of};
use crate::membership::{Membership, PlacedAct};
use crate::operation::Operation;
use crate::rows::{ArtifactRow, DocumentRow, ExperimentRow, MetricContext, Point, RunRow};
use crate::search::RunColumns;
use crate::series;
use crate::vector::{Tip, VersionVector};

/// What the store held at one moment.
pub struct Snapshot {
    txn: ReadTransaction,
    /// What searches of this store keep in memory, if they do.
    columns: Option<Arc<RunColumns>>,
}

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

/// How much of what a store holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Experiments, active and deleted.
    pub experiments: u64,
    /// Runs, active and deleted.
    pub runs: u64,
    /// Paths of artifacts, removed ones too.
    pub artifacts: u64,
    /// Changes that wait for others that have not arrived.
    pub waiting_changes: u64,
}

/// One element of a folder of artifacts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArtifactEntry {
    /// A folder, by its whole path.
    Folder(String),
    /// A file.
    File(ArtifactRow),
}

/// What was last done at a path: the latest by clock, and among equals the higher content.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct ArtifactState {
    pub(crate) clock: Clock,
    /// The blob and its size, or none if it was removed.
    pub(crate) content: Option<(BlobHash, u64)>,
}

/// The stored form of a row.
pub(crate) fn encode(row: &impl Serialize) -> Vec<u8> {
    postcard::to_stdvec(row).expect("a row is plain data, and a vector takes all of it")
}

/// Reads the stored form of a row.
pub(crate) fn decode<'a, T: Deserialize<'a>>(
    table: &'static str,
    bytes: &'a [u8],
) -> Result<T, StoreError> {
    postcard::from_bytes(bytes).map_err(|source| StoreError::DamagedRow { table, source })
}

impl Snapshot {
    /// What a read transaction of the store's file sees.
    pub const fn new(txn: ReadTransaction) -> Self {
        Self { txn, columns: None }
    }

    /// The same, with what earlier searches of this store have in memory.
    pub(crate) const fn with_columns(txn: ReadTransaction, columns: Arc<RunColumns>) -> Self {
        Self { txn, columns: Some(columns) }
    }

    pub(crate) fn columns(&self) -> Option<&RunColumns> {
        self.columns.as_deref()
    }

    pub(crate) const fn txn(&self) -> &ReadTransaction {
        &self.txn
    }

    /// An experiment, active or deleted.
    pub fn experiment(&self, id: ExperimentId) -> Result<Option<ExperimentRow>, StoreError> {
        let Some(bytes) = self.txn.open_table(EXPERIMENTS)?.get(id.0)? else { return Ok(None) };
        let row: ExperimentRow = decode("index-experiments", bytes.value())?;
        self.name_apart(row).map(Some)
    }

    /// The experiment that holds a name, active or deleted.
    pub fn experiment_by_name(&self, name: &str) -> Result<Option<ExperimentRow>, StoreError> {
        let names = self.txn.open_table(EXPERIMENT_NAMES)?;
        if let Some(id) = holder_of(&names, name, 1)? {
            return self.experiment(id);
        }
        // `name~2` is what another experiment of the name is shown as.
        let Some((stem, rank)) = name.rsplit_once('~') else { return Ok(None) };
        let Ok(rank @ 2..) = rank.parse::<usize>() else { return Ok(None) };
        match holder_of(&names, stem, rank)? {
            Some(id) => self.experiment(id),
            None => Ok(None),
        }
    }

    /// All experiments, active and deleted, by id.
    pub fn experiments(&self) -> Result<Vec<ExperimentRow>, StoreError> {
        let table = self.txn.open_table(EXPERIMENTS)?;
        let mut rows = Vec::new();
        for item in table.iter()? {
            let row = decode("index-experiments", item?.1.value())?;
            rows.push(self.name_apart(row)?);
        }
        Ok(rows)
    }

    /// Shows the second experiment of a name as `name~2`, and so on.
    fn name_apart(&self, mut row: ExperimentRow) -> Result<ExperimentRow, StoreError> {
        let names = self.txn.open_table(EXPERIMENT_NAMES)?;
        let from = (row.name.as_str(), 0, 0);
        let until = (row.name.as_str(), u64::MAX, u64::MAX);
        let mut rank = 0;
        for item in names.range(from..=until)? {
            rank += 1;
            if item?.0.value().2 == row.id.0 {
                break;
            }
        }
        if rank > 1 {
            row.name = format!("{}~{rank}", row.name);
        }
        Ok(row)
    }

    /// A run, active or deleted.
    pub fn run(&self, id: &RunId) -> Result<Option<RunRow>, StoreError> {
        match self.run_number(id)? {
            Some(number) => Ok(self.run_by_number(number)?.filter(is_known)),
            None => Ok(None),
        }
    }

    /// The local number of a run. Numbers differ from device to device. A run that was purged keeps its
    /// own, and has no row.
    pub fn run_number(&self, id: &RunId) -> Result<Option<u32>, StoreError> {
        let number = self.txn.open_table(RUN_NUMBERS)?.get(id.as_bytes())?;
        Ok(number.map(|number| number.value()))
    }

    /// Runs whose id in hex starts so, at most `limit` of them, by id.
    pub fn runs_starting_with(&self, hex: &str, limit: usize) -> Result<Vec<RunId>, StoreError> {
        let fill = |digit: &str| format!("{hex:.32}{}", digit.repeat(32 - hex.len().min(32)));
        let (Ok(low), Ok(high)) = (fill("0").parse::<RunId>(), fill("f").parse::<RunId>()) else {
            return Ok(Vec::new());
        };
        let table = self.txn.open_table(RUN_NUMBERS)?;
        let rows = self.run_rows()?;
        let mut found = Vec::new();
        for item in table.range::<&[u8; 16]>(low.as_bytes()..=high.as_bytes())? {
            let (id, number) = item?;
            if found.len() == limit {
                break;
            }
            if rows.get(number.value())?.is_some() {
                found.push(RunId::new(*id.value()));
            }
        }
        Ok(found)
    }

    /// The run of a local number.
    pub fn run_by_number(&self, number: u32) -> Result<Option<RunRow>, StoreError> {
        self.read_row(RUNS, number, "index-runs")
    }

    /// The table of runs' rows, for those who read many.
    pub(crate) fn run_rows(&self) -> Result<redb::ReadOnlyTable<u32, &'static [u8]>, StoreError> {
        Ok(self.txn.open_table(RUNS)?)
    }

    fn read_row<T: DeserializeOwned>(
        &self,
        table: redb::TableDefinition<'static, u32, &'static [u8]>,
        key: u32,
        name: &'static str,
    ) -> Result<Option<T>, StoreError> {
        let bytes = self.txn.open_table(table)?.get(key)?;
        bytes.map(|bytes| decode(name, bytes.value())).transpose()
    }

    /// The local number of a param's, tag's or metric's key, if any run has it.
    pub fn key_number(&self, key: &str) -> Result<Option<u32>, StoreError> {
        Ok(self.txn.open_table(KEYS)?.get(key)?.map(|number| number.value()))
    }

    /// The starts of an experiment's runs in order, with the runs' numbers, whatever their state: from
    /// one to another, both included; `None` is unbounded.
    pub fn starts(
        &self,
        experiment: ExperimentId,
        low: Option<i64>,
        high: Option<i64>,
    ) -> Result<impl DoubleEndedIterator<Item = Result<(i64, u32), StoreError>> + use<>, StoreError>
    {
        let from = (experiment.0, low.unwrap_or(i64::MIN), 0);
        let until = (experiment.0, high.unwrap_or(i64::MAX), u32::MAX);
        let range = self.txn.open_table(STARTS)?.range(from..=until)?;
        Ok(range.map(|item| {
            let (_, start_ms, number) = item?.0.value();
            Ok((start_ms, number))
        }))
    }

    /// All points of a metric of a run, of whatever context, in history order and without repeats.
    pub fn history(&self, run: &RunId, key: &str) -> Result<Vec<Point>, StoreError> {
        let Some(number) = self.run_number(run)? else { return Ok(Vec::new()) };
        let Some(row) = self.run_by_number(number)? else { return Ok(Vec::new()) };
        let mut chunks = Vec::new();
        for metric in row.metrics.iter().filter(|metric| metric.key == key) {
            chunks.extend(self.chunks(number, key, &metric.context)?);
        }
        Ok(series::merge(chunks))
    }

    /// All points of one series of a run, in history order and without repeats.
    pub fn series(
        &self,
        run: &RunId,
        key: &str,
        context: &MetricContext,
    ) -> Result<Vec<Point>, StoreError> {
        let Some(number) = self.run_number(run)? else { return Ok(Vec::new()) };
        Ok(series::merge(self.chunks(number, key, context)?))
    }

    fn chunks(
        &self,
        run_number: u32,
        key: &str,
        context: &MetricContext,
    ) -> Result<Vec<Vec<Point>>, StoreError> {
        let Some(series) = self.key_number(&series_name(key, context))? else {
            return Ok(Vec::new());
        };
        let table = self.txn.open_table(SERIES)?;
        let range = table.range((run_number, series, 0)..=(run_number, series, u32::MAX))?;
        range.map(|item| decode_chunk(item?.1.value())).collect()
    }

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

    /// Whether this device may serve a blob in this workspace.
    pub fn is_granted(&self, blob: &BlobHash) -> Result<bool, StoreError> {
        Ok(self.txn.open_table(GRANTS)?.get(blob.as_bytes())?.is_some())
    }

    /// All blobs that this device may serve in this workspace.
    pub fn granted(&self) -> Result<Vec<BlobHash>, StoreError> {
        let table = self.txn.open_table(GRANTS)?;
        table.iter()?.map(|item| Ok(BlobHash::new(*item?.0.value()))).collect()
    }

    /// Blobs of purged documents that are not freed yet.
    pub fn purged_blobs(&self) -> Result<Vec<BlobHash>, StoreError> {
        let Some(table) = open_if_there(&self.txn, PURGED_BLOBS)? else { return Ok(Vec::new()) };
        table.iter()?.map(|item| Ok(BlobHash::new(*item?.0.value()))).collect()
    }

    /// All artifacts of all owners.
    pub fn all_artifacts(&self) -> Result<Vec<(DocumentId, ArtifactRow)>, StoreError> {
        let table = self.txn.open_table(ARTIFACTS)?;
        let mut all = Vec::new();
        for item in table.iter()? {
            let (key, value) = item?;
            let (owner, path) = key.value();
            let row = artifact_row(path, value.value())?;
            all.extend(row.map(|row| (DocumentId::from_bytes(owner), row)));
        }
        Ok(all)
    }

    /// All runs, whatever their state, in order of arrival.
    pub fn runs(
        &self,
    ) -> Result<impl Iterator<Item = Result<RunRow, StoreError>> + use<>, StoreError> {
        let rows = self.txn.open_table(RUNS)?.range::<u32>(..)?;
        let decoded = rows.map(|item| decode::<RunRow>("index-runs", item?.1.value()));
        Ok(decoded.filter(|row| row.as_ref().map_or(true, is_known)))
    }

    /// A document that is neither a run nor an experiment.
    pub fn document(&self, id: &DocumentId) -> Result<Option<DocumentRow>, StoreError> {
        let bytes = self.txn.open_table(DOCUMENT_ROWS)?.get(&id.to_bytes())?;
        bytes.map(|bytes| decode("index-documents", bytes.value())).transpose()
    }

    /// All documents that are neither runs nor experiments, by kind and id.
    pub fn documents(
        &self,
    ) -> Result<impl Iterator<Item = Result<DocumentRow, StoreError>> + use<>, StoreError> {
        let rows = self.txn.open_table(DOCUMENT_ROWS)?.range::<&[u8; 17]>(..)?;
        Ok(rows.map(|item| decode("index-documents", item?.1.value())))
    }

    /// All documents of a kind that has rows of this form, by id.
    pub fn documents_of(
        &self,
        kind: DocumentKind,
    ) -> Result<impl Iterator<Item = Result<DocumentRow, StoreError>> + use<>, StoreError> {
        let [low, high] = DocumentId::all_of(kind).map(DocumentId::to_bytes);
        let rows = self.txn.open_table(DOCUMENT_ROWS)?.range::<&[u8; 17]>(&low..=&high)?;
        Ok(rows.map(|item| decode("index-documents", item?.1.value())))
    }

    /// The documents whose keys have this head, in order or backwards.
    pub fn find(
        &self,
        head: &LookupKey,
    ) -> Result<impl DoubleEndedIterator<Item = Result<DocumentId, StoreError>> + use<>, StoreError>
    {
        let end = head.end();
        let keys = self.txn.open_table(LOOKUPS)?;
        let keys = keys.range::<&[u8]>(head.as_bytes()..end.as_slice())?;
        let damaged = || StoreError::NotOurs("a key of the index is damaged; rebuild the index");
        Ok(keys.map(move |item| document_of(item?.0.value()).ok_or_else(damaged)))
    }

    /// All keys that find documents.
    #[cfg(test)]
    pub(super) fn lookup_keys(&self) -> Result<Vec<Vec<u8>>, StoreError> {
        let keys = self.txn.open_table(LOOKUPS)?;
        keys.range::<&[u8]>(..)?.map(|item| Ok(item?.0.value().to_vec())).collect()
    }

    /// The documents whose keys have this head and end in a time, with the time, in order.
    pub(crate) fn find_timed(
        &self,
        head: &LookupKey,
    ) -> Result<impl Iterator<Item = Result<(i64, DocumentId), StoreError>> + use<>, StoreError>
    {
        let end = head.end();
        let keys = self.txn.open_table(LOOKUPS)?;
        let keys = keys.range::<&[u8]>(head.as_bytes()..end.as_slice())?;
        let damaged = || StoreError::NotOurs("a key of the index is damaged; rebuild the index");
        Ok(keys.map(move |item| {
            let key = item?.0;
            time_of(key.value()).zip(document_of(key.value())).ok_or_else(damaged)
        }))
    }

    /// The scorers of an experiment, by name.
    pub fn scorers_of(&self, experiment: ExperimentId) -> Result<Vec<DocumentRow>, StoreError> {
        let mut rows = Vec::new();
        for document in self.find(&by_experiment(Lookup::ScorersOfExperiment, experiment))? {
            rows.extend(self.document(&document?)?);
        }
        Ok(rows)
    }

    /// The local numbers of the runs that logged a metric of a logged model.
    pub(crate) fn runs_measuring(&self, model_id: &str) -> Result<Vec<u32>, StoreError> {
        let table = self.txn.open_table(MODEL_RUNS)?;
        let runs = table.range((model_id, 0)..=(model_id, u32::MAX))?;
        runs.map(|item| Ok(item?.0.value().1)).collect()
    }

    /// The version that this device served last under a number of a model.
    pub fn served_version(
        &self,
        model: &DocumentId,
        number: i64,
    ) -> Result<Option<DocumentId>, StoreError> {
        let served = self.txn.open_table(SERVED_VERSIONS)?.get((&model.to_bytes(), number))?;
        Ok(served.map(|id| DocumentId::from_bytes(id.value())))
    }

    /// All versions that this device served, by model and number.
    pub(crate) fn served_versions(&self) -> Result<Vec<(DocumentId, i64, DocumentId)>, StoreError> {
        let mut all = Vec::new();
        for item in self.txn.open_table(SERVED_VERSIONS)?.iter()? {
            let (place, version) = item?;
            let (model, number) = place.value();
            let version = DocumentId::from_bytes(version.value());
            all.push((DocumentId::from_bytes(model), number, version));
        }
        Ok(all)
    }

    /// How much of what there is.
    pub fn counts(&self) -> Result<Counts, StoreError> {
        Ok(Counts {
            experiments: self.txn.open_table(EXPERIMENTS)?.len()?,
            runs: self.txn.open_table(RUNS)?.len()?,
            artifacts: self.txn.open_table(ARTIFACTS)?.len()?,
            waiting_changes: self.txn.open_table(WAITING)?.len()?,
        })
    }

    /// What stands at a path, if it is a file.
    pub fn artifact(
        &self,
        owner: DocumentId,
        path: &str,
    ) -> Result<Option<ArtifactRow>, StoreError> {
        let table = self.txn.open_table(ARTIFACTS)?;
        let bytes = table.get((&owner.to_bytes(), path))?;
        Ok(bytes.map(|bytes| artifact_row(path, bytes.value())).transpose()?.flatten())
    }

    /// What stands directly in a folder (empty for the root), by path. None if there is no such
    /// folder: folders exist only by what is in them.
    pub fn artifacts_in(
        &self,
        owner: DocumentId,
        folder: &str,
    ) -> Result<Vec<ArtifactEntry>, StoreError> {
        let head = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let mut entries: Vec<ArtifactEntry> = Vec::new();
        for row in self.artifacts_below(owner, &head)? {
            match row.path[head.len()..].split_once('/') {
                None => entries.push(ArtifactEntry::File(row)),
                Some((name, _)) => {
                    let folder = ArtifactEntry::Folder(format!("{head}{name}"));
                    if entries.last() != Some(&folder) {
                        entries.push(folder);
                    }
                }
            }
        }
        Ok(entries)
    }

    /// What an owner has at a path and below it; at the empty path, all.
    pub fn artifacts_at_or_below(
        &self,
        owner: DocumentId,
        path: &str,
    ) -> Result<Vec<ArtifactRow>, StoreError> {
        if path.is_empty() {
            return self.artifacts_below(owner, "");
        }
        let mut rows = self.artifacts_below(owner, &format!("{path}/"))?;
        rows.extend(self.artifact(owner, path)?);
        Ok(rows)
    }

    /// All artifacts of an owner whose path starts with `head` (empty, or ending in `/`), by path.
    pub fn artifacts_below(
        &self,
        owner: DocumentId,
        head: &str,
    ) -> Result<Vec<ArtifactRow>, StoreError> {
        let table = self.txn.open_table(ARTIFACTS)?;
        let owner = owner.to_bytes();
        let mut rows = Vec::new();
        for item in table.range((&owner, head)..)? {
            let (key, value) = item?;
            let (found, path) = key.value();
            if found != &owner || !path.starts_with(head) {
                break;
            }
            rows.extend(artifact_row(path, value.value())?);
        }
        Ok(rows)
    }
}

/// Whether more is known of a run than that something was logged to it.
fn is_known(row: &RunRow) -> bool {
    row.experiment != ExperimentId::NONE
}

/// The `rank`th experiment to hold a name, counted from one.
fn holder_of(
    names: &impl ReadableTable<(&'static str, u64, u64), ()>,
    name: &str,
    rank: usize,
) -> Result<Option<ExperimentId>, StoreError> {
    let mut holders = names.range((name, 0, 0)..=(name, u64::MAX, u64::MAX))?;
    Ok(holders.nth(rank - 1).transpose()?.map(|item| ExperimentId(item.0.value().2)))
}

fn artifact_row(path: &str, bytes: &[u8]) -> Result<Option<ArtifactRow>, StoreError> {
    let state: ArtifactState = decode("artifacts", bytes)?;
    let row = |(blob, size)| ArtifactRow { path: path.to_owned(), blob, size };
    Ok(state.content.map(row))
}
