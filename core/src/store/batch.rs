//! One write transaction on rows: read through, changed in memory, flushed once.
//!
//! Invariants: a row is decoded at most once and encoded at most once in a batch, however many
//! edits touch it, but for a run that goes on after its end ([`Batch::flush_one`]); no point is in the
//! tables before [`Batch::flush`], and no row that may be changed there is (the keys that find documents are,
//! so that planning finds what the batch has changed); points that are sealed before
//! that never are in the tables unsealed.

use std::collections::{BTreeMap, HashMap};

use redb::{ReadableTable, Table, WriteTransaction};

use super::StoreError;
use super::snapshot::{ArtifactState, decode, encode};
use super::tables::{ARTIFACTS, EXPERIMENT_NAMES, EXPERIMENTS, GRANTS, SERIES};
use crate::clock::Clock;
use crate::edit::{Edit, TimedEdit};
use crate::ids::{BlobHash, DocumentId, DocumentKind, ExperimentId, RunId};
use crate::index::{DocumentIndex, RunIndex, TraceIndex, fields, run_changes};
use crate::rows::{ExperimentRow, Metric, MetricContext, Point, RunRow};
use crate::series;
use crate::trace::{TracePart, TraceState};

/// Chunk numbers from here on hold points that are not sealed yet, by the first edit of their batch.
pub(super) const UNSEALED_CHUNKS: u32 = 1 << 31;
/// A chunk shorter than this, encoded, is merged with the points that come after it.
const OPEN_CHUNK_BYTES: usize = 8 << 10;

struct Dirty<T> {
    old: Option<T>,
    new: T,
}

/// Rows and points that one transaction reads and writes.
pub(super) struct Batch<'txn> {
    txn: &'txn WriteTransaction,
    /// Opened when first needed: most batches touch runs alone.
    documents: Option<DocumentIndex<'txn>>,
    traces: Option<TraceIndex<'txn>>,
    runs: RunIndex<'txn>,
    experiments: Table<'txn, u64, &'static [u8]>,
    names: Table<'txn, (&'static str, u64, u64), ()>,
    artifacts: Table<'txn, (&'static [u8; 17], &'static str), &'static [u8]>,
    series: Table<'txn, (u32, u32, u32), &'static [u8]>,
    grants: Table<'txn, &'static [u8; 32], ()>,
    run_numbers: HashMap<RunId, u32>,
    dirty_runs: BTreeMap<u32, Dirty<RunRow>>,
    /// Runs that ended in this batch: their rows are not likely to change again.
    ended: Vec<u32>,
    /// Runs whose rows were put before [`Batch::flush`].
    put_ahead: Vec<u32>,
    dirty_experiments: BTreeMap<u64, Dirty<ExperimentRow>>,
    /// Points that are not sealed, by (run number, series number).
    unsealed: BTreeMap<(u32, u32), Vec<Point>>,
    /// The chunk they go to, which no other batch's points are in.
    unsealed_chunk: u32,
}

impl<'txn> Batch<'txn> {
    pub(super) fn open(txn: &'txn WriteTransaction) -> Result<Self, StoreError> {
        Ok(Self {
            txn,
            documents: None,
            traces: None,
            runs: RunIndex::open(txn)?,
            experiments: txn.open_table(EXPERIMENTS)?,
            names: txn.open_table(EXPERIMENT_NAMES)?,
            artifacts: txn.open_table(ARTIFACTS)?,
            series: txn.open_table(SERIES)?,
            grants: txn.open_table(GRANTS)?,
            run_numbers: HashMap::new(),
            dirty_runs: BTreeMap::new(),
            ended: Vec::new(),
            put_ahead: Vec::new(),
            dirty_experiments: BTreeMap::new(),
            unsealed: BTreeMap::new(),
            unsealed_chunk: 0,
        })
    }

    /// Writes all changed rows and closes the tables.
    pub(super) fn flush(mut self) -> Result<(), StoreError> {
        for (number, row) in &self.dirty_runs {
            self.runs.put(*number, row.old.as_ref(), &row.new)?;
        }
        let changed = self.dirty_runs.keys().chain(&self.put_ahead);
        run_changes::note(self.txn, changed.copied())?;
        for (id, row) in &self.dirty_experiments {
            let name_key = |row: &ExperimentRow| (row.name.clone(), row.created.0);
            let (old, new) = (row.old.as_ref().map(name_key), name_key(&row.new));
            if old.as_ref() != Some(&new) {
                if let Some((name, created)) = old {
                    self.names.remove((name.as_str(), created, *id))?;
                }
                self.names.insert((new.0.as_str(), new.1, *id), ())?;
            }
            let bytes = encode(&row.new);
            self.experiments.insert(id, bytes.as_slice())?;
        }
        for ((run, series), points) in &self.unsealed {
            let place = (*run, *series, self.unsealed_chunk);
            self.series.insert(place, series::encode_columns(points).as_slice())?;
        }
        if let Some(traces) = self.traces {
            traces.flush(|key| self.runs.key_number(key))?;
        }
        self.runs.flush()?;
        self.documents.map_or(Ok(()), DocumentIndex::flush)
    }

    /// Writes the row of one run that has ended, if there is one: [`Batch::flush`] has less to do then.
    /// The row may change again. Returns whether there was one.
    pub(super) fn flush_one(&mut self) -> Result<bool, StoreError> {
        while let Some(number) = self.ended.pop() {
            if let Some(row) = self.dirty_runs.remove(&number) {
                self.runs.put(number, row.old.as_ref(), &row.new)?;
                self.put_ahead.push(number);
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Rows of documents that are neither runs nor experiments.
    pub(super) fn documents(&mut self) -> Result<&mut DocumentIndex<'txn>, StoreError> {
        match &mut self.documents {
            Some(documents) => Ok(documents),
            closed => Ok(closed.insert(DocumentIndex::open(self.txn)?)),
        }
    }

    /// The local number of a run, if it has one.
    pub(super) fn run_number(&mut self, id: &RunId) -> Result<Option<u32>, StoreError> {
        if let Some(number) = self.run_numbers.get(id) {
            return Ok(Some(*number));
        }
        let number = self.runs.number_of(id)?;
        self.run_numbers.extend(number.map(|number| (*id, number)));
        Ok(number)
    }

    /// A run's row as it is now.
    pub(super) fn run(&mut self, id: &RunId) -> Result<Option<&RunRow>, StoreError> {
        let Some(number) = self.run_number(id)? else { return Ok(None) };
        Ok(Some(&self.dirty_run(number, id)?.new))
    }

    /// A run's row to be changed; a run of which nothing is known gets one.
    pub(super) fn run_mut(&mut self, id: &RunId) -> Result<(u32, &mut RunRow), StoreError> {
        let number = match self.run_number(id)? {
            Some(number) => number,
            None => {
                let number = self.runs.assign(id)?;
                self.run_numbers.insert(*id, number);
                number
            }
        };
        Ok((number, &mut self.dirty_run(number, id)?.new))
    }

    fn dirty_run(&mut self, number: u32, id: &RunId) -> Result<&mut Dirty<RunRow>, StoreError> {
        use std::collections::btree_map::Entry;
        match self.dirty_runs.entry(number) {
            Entry::Occupied(row) => Ok(row.into_mut()),
            Entry::Vacant(place) => {
                let old = self.runs.row(number)?;
                let new = old.clone().unwrap_or_else(|| fields::unknown_run(*id));
                Ok(place.insert(Dirty { old, new }))
            }
        }
    }

    /// An experiment's row as it is now.
    pub(super) fn experiment(
        &mut self,
        id: ExperimentId,
    ) -> Result<Option<&ExperimentRow>, StoreError> {
        if !self.dirty_experiments.contains_key(&id.0) {
            let Some(bytes) = self.experiments.get(id.0)? else { return Ok(None) };
            let row: ExperimentRow = decode("index-experiments", bytes.value())?;
            self.dirty_experiments.insert(id.0, Dirty { old: Some(row.clone()), new: row });
        }
        Ok(self.dirty_experiments.get(&id.0).map(|row| &row.new))
    }

    /// An experiment's row to be changed; one of which nothing is known gets one.
    pub(super) fn experiment_mut(
        &mut self,
        id: ExperimentId,
        document: DocumentId,
    ) -> Result<&mut ExperimentRow, StoreError> {
        self.experiment(id)?;
        let unknown = || Dirty { old: None, new: fields::unknown_experiment(id, document) };
        Ok(&mut self.dirty_experiments.entry(id.0).or_insert_with(unknown).new)
    }

    /// The experiment that holds a name, with what this batch has changed.
    pub(super) fn experiment_by_name(
        &mut self,
        name: &str,
    ) -> Result<Option<ExperimentId>, StoreError> {
        let changed = self.dirty_experiments.values().find(|row| row.new.name == name);
        if let Some(row) = changed {
            return Ok(Some(row.new.id));
        }
        let holders = self.names.range((name, 0, 0)..=(name, u64::MAX, u64::MAX))?;
        let holders = holders.map(|item| Ok::<_, StoreError>(ExperimentId(item?.0.value().2)));
        for holder in holders.collect::<Result<Vec<_>, _>>()? {
            if self.experiment(holder)?.is_some_and(|row| row.name == name) {
                return Ok(Some(holder));
            }
        }
        Ok(None)
    }

    /// All runs of an experiment, whatever their state.
    pub(super) fn runs_of(&mut self, experiment: ExperimentId) -> Result<Vec<RunId>, StoreError> {
        for (number, id) in self.runs.of_experiment(experiment)? {
            self.dirty_run(number, &id)?;
        }
        let rows = self.dirty_runs.values().map(|row| &row.new);
        Ok(rows.filter(|row| row.experiment == experiment).map(|row| row.id).collect())
    }

    /// Does to the rows what an edit asks for. Doing it twice is as doing it once.
    pub(super) fn apply(&mut self, number: u64, timed: &TimedEdit) -> Result<(), StoreError> {
        match &timed.edit {
            Edit::Document { document, edit } => {
                if let Some(run) = document.as_run() {
                    let (number, row) = self.run_mut(&run)?;
                    fields::edit_run(row, edit);
                    if row.end_ms.is_some() {
                        self.ended.push(number);
                    }
                } else if let Some(id) = document.as_experiment() {
                    fields::edit_experiment(self.experiment_mut(id, *document)?, edit);
                } else if document.kind().is_some() {
                    self.documents()?.edit(*document, edit)?;
                    self.overlay_trace(*document)?;
                }
                Ok(())
            }
            Edit::Points { run, metrics } => self.add_unsealed(number, run, metrics),
            Edit::Artifact { owner, path, content } => {
                if let Some((blob, _)) = content {
                    self.grants.insert(blob.as_bytes(), ())?;
                }
                self.put_artifact(*owner, path, timed.clock, *content)
            }
            Edit::Act(_) => Ok(()),
            Edit::Trace(part) => self.take_trace(part),
        }
    }

    /// Takes in a part of a trace.
    pub(super) fn take_trace(&mut self, part: &TracePart) -> Result<(), StoreError> {
        if self.traces()?.take(part)? {
            // The document about it may have arrived before.
            self.overlay_trace(part.document())?;
        }
        Ok(())
    }

    /// Shows on a trace what the document about it says, if it is such a document.
    pub(super) fn overlay_trace(&mut self, document: DocumentId) -> Result<(), StoreError> {
        if document.kind() != Some(DocumentKind::Trace) {
            return Ok(());
        }
        let row = self.documents()?.row(&document)?.cloned();
        match row {
            Some(row) => self.traces()?.overlay(document, &row),
            None => Ok(()),
        }
    }

    /// What is known of a trace that is not deleted.
    pub(super) fn trace(&mut self, id: &str) -> Result<Option<&TraceState>, StoreError> {
        let state = self.traces()?.state(&DocumentId::trace(id))?;
        Ok(state.filter(|state| !state.deleted))
    }

    /// Traces: their rows, spans and keys.
    pub(super) fn traces(&mut self) -> Result<&mut TraceIndex<'txn>, StoreError> {
        match &mut self.traces {
            Some(traces) => Ok(traces),
            closed => Ok(closed.insert(TraceIndex::open(self.txn)?)),
        }
    }

    /// Adds points that are not sealed yet.
    fn add_unsealed(
        &mut self,
        edit: u64,
        run: &RunId,
        metrics: &[Metric],
    ) -> Result<(), StoreError> {
        if self.unsealed.is_empty() {
            self.unsealed_chunk = unsealed_chunk(edit);
        }
        let (run_number, row) = self.run_mut(run)?;
        for metric in metrics {
            fields::offer_metric(&mut row.metrics, metric);
        }
        for metric in metrics {
            let series = self.series_number(&metric.key, &metric.context)?;
            self.unsealed.entry((run_number, series)).or_default().push(metric.point);
        }
        Ok(())
    }

    /// Takes away the unsealed points of a run's series: they are about to be added as sealed.
    pub(super) fn remove_unsealed(
        &mut self,
        run: &RunId,
        key: &str,
        context: &MetricContext,
    ) -> Result<(), StoreError> {
        let Some(run_number) = self.run_number(run)? else { return Ok(()) };
        let series_number = self.series_number(key, context)?;
        self.unsealed.remove(&(run_number, series_number));
        let (run, series) = (run_number, series_number);
        let all = (run, series, UNSEALED_CHUNKS)..=(run, series, u32::MAX);
        let places = self.series.range(all)?.map(|item| Ok(item?.0.value()));
        for place in places.collect::<Result<Vec<_>, StoreError>>()? {
            self.series.remove(place)?;
        }
        Ok(())
    }

    /// Adds sealed points to the chunks of a series.
    pub(super) fn add_sealed(
        &mut self,
        run: &RunId,
        key: &str,
        context: &MetricContext,
        points: &[Point],
    ) -> Result<(), StoreError> {
        let (run_number, _) = self.run_mut(run)?;
        let series_number = self.series_number(key, context)?;
        let all = (run_number, series_number, 0)..(run_number, series_number, UNSEALED_CHUNKS);
        let last = self.series.range(all)?.next_back().transpose()?;
        let last = last.map(|(place, bytes)| (place.value().2, bytes.value().to_vec()));
        let (chunk, points) = match last {
            Some((chunk, bytes)) if bytes.len() < OPEN_CHUNK_BYTES => {
                let held = decode_chunk(&bytes)?;
                (chunk, series::merge([held, points.to_vec()]))
            }
            Some((chunk, _)) => (chunk + 1, points.to_vec()),
            None => (0, points.to_vec()),
        };
        let bytes = series::encode_columns(&points);
        self.series.insert((run_number, series_number, chunk), bytes.as_slice())?;
        Ok(())
    }

    /// Takes points of peers into a run's latest metrics and its series.
    pub(super) fn ingest_points(
        &mut self,
        run: &RunId,
        arrived: &series::SeriesPoints,
    ) -> Result<(), StoreError> {
        let (_, row) = self.run_mut(run)?;
        if let Some(latest) = arrived.points.iter().max_by(|a, b| a.latest_order(b)) {
            let (key, context) = (arrived.key.clone(), arrived.context.clone());
            fields::offer_metric(&mut row.metrics, &Metric { key, context, point: *latest });
        }
        self.add_sealed(run, &arrived.key, &arrived.context, &arrived.points)
    }

    /// Puts what is at a path, unless something later is there.
    pub(super) fn put_artifact(
        &mut self,
        owner: DocumentId,
        path: &str,
        clock: Clock,
        content: Option<(BlobHash, u64)>,
    ) -> Result<(), StoreError> {
        let new = ArtifactState { clock, content };
        let place = (&owner.to_bytes(), path);
        let held = self.artifacts.get(place)?;
        let held = held.map(|bytes| decode::<ArtifactState>("artifacts", bytes.value()));
        if held.transpose()?.is_none_or(|held| held < new) {
            self.artifacts.insert(place, encode(&new).as_slice())?;
        }
        Ok(())
    }

    /// Whether an artifact stands at a path.
    pub(super) fn stands_at(&self, owner: DocumentId, path: &str) -> Result<bool, StoreError> {
        let held = self.artifacts.get((&owner.to_bytes(), path))?;
        let held = held.map(|bytes| decode::<ArtifactState>("artifacts", bytes.value()));
        Ok(held.transpose()?.is_some_and(|state| state.content.is_some()))
    }

    /// Whether a path is a folder in which an artifact stands.
    pub(super) fn stands_below(&self, owner: DocumentId, path: &str) -> Result<bool, StoreError> {
        let (owner, head) = (owner.to_bytes(), format!("{path}/"));
        for item in self.artifacts.range((&owner, head.as_str())..)? {
            let (place, bytes) = item?;
            let (found_owner, found) = place.value();
            if found_owner != &owner || !found.starts_with(&head) {
                break;
            }
            if decode::<ArtifactState>("artifacts", bytes.value())?.content.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The paths of artifacts that stand at a path or below it; empty for all.
    pub(super) fn artifact_paths(
        &self,
        owner: DocumentId,
        path: &str,
    ) -> Result<Vec<String>, StoreError> {
        let owner = owner.to_bytes();
        let mut paths = Vec::new();
        for item in self.artifacts.range((&owner, path)..)? {
            let (place, bytes) = item?;
            let (found_owner, found) = place.value();
            if found_owner != &owner || !found.starts_with(path) {
                break;
            }
            let below = &found[path.len()..];
            let inside = path.is_empty() || below.is_empty() || below.starts_with('/');
            let state: ArtifactState = decode("artifacts", bytes.value())?;
            if inside && state.content.is_some() {
                paths.push(found.to_owned());
            }
        }
        Ok(paths)
    }

    /// Notes that this device may serve a blob in this workspace.
    pub(super) fn grant(&mut self, blob: &BlobHash) -> Result<(), StoreError> {
        self.grants.insert(blob.as_bytes(), ())?;
        Ok(())
    }

    fn series_number(&mut self, key: &str, context: &MetricContext) -> Result<u32, StoreError> {
        self.runs.key_number(&series_name(key, context))
    }
}

/// The name under which a series is numbered: its key, and its context if it has one.
pub(super) fn series_name<'a>(key: &'a str, context: &MetricContext) -> std::borrow::Cow<'a, str> {
    if *context == MetricContext::default() {
        return key.into();
    }
    let MetricContext { model_id, dataset_name, dataset_digest } = context;
    format!("{key}\0{model_id}\0{dataset_name}\0{dataset_digest}").into()
}

pub(super) fn decode_chunk(bytes: &[u8]) -> Result<Vec<Point>, StoreError> {
    let damaged = |_| StoreError::NotOurs("a chunk of points is damaged; rebuild the index");
    series::decode_columns(bytes).map_err(damaged)
}

/// Edits are sealed long before their numbers come round again.
const fn unsealed_chunk(edit: u64) -> u32 {
    UNSEALED_CHUNKS | edit as u32
}
