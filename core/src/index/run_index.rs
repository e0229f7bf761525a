//! Writing runs into the index: a run's row, its number, and what finds it.
//!
//! Invariants: what finds an experiment's runs is there at once, and once flushed, columns and the
//! rows of loose runs say what the rows do (`columns`); whoever changes a row hands in the old one too. Runs and keys are
//! numbered in order of arrival without gaps and their numbers are never taken back, so a table's
//! length is the next number.

use std::collections::{BTreeSet, HashMap};

use redb::{ReadableTable, ReadableTableMetadata, Table, WriteTransaction};

use super::columns::Columns;
use crate::ids::{ExperimentId, RunId};
use crate::rows::RunRow;
use crate::store::StoreError;
use crate::store::tables::{KEYS, MODEL_RUNS, RUN_NUMBERS, RUNS, STARTS};

/// The tables of runs, opened once for all the rows that a transaction writes.
pub struct RunIndex<'txn> {
    runs: Table<'txn, u32, &'static [u8]>,
    run_numbers: Table<'txn, &'static [u8; 16], u32>,
    starts: Table<'txn, (u64, i64, u32), ()>,
    columns: Columns<'txn>,
    model_runs: Table<'txn, (&'static str, u32), ()>,
    keys: KeyNumbers<'txn>,
    /// Kept from row to row: allocating anew for each would cost more than encoding it.
    encoded: Vec<u8>,
}

/// Numbers of the keys of params, tags and metrics.
struct KeyNumbers<'txn> {
    table: Table<'txn, &'static str, u32>,
    /// Runs of one transaction mostly share their keys.
    seen: HashMap<String, u32>,
}

impl<'txn> RunIndex<'txn> {
    /// Opens the tables, which makes those that are missing.
    pub fn open(txn: &'txn WriteTransaction) -> Result<Self, StoreError> {
        Ok(Self {
            runs: txn.open_table(RUNS)?,
            run_numbers: txn.open_table(RUN_NUMBERS)?,
            starts: txn.open_table(STARTS)?,
            columns: Columns::open(txn)?,
            model_runs: txn.open_table(MODEL_RUNS)?,
            keys: KeyNumbers { table: txn.open_table(KEYS)?, seen: HashMap::new() },
            encoded: Vec::new(),
        })
    }

    /// Makes columns of what few runs say, if their rows take no more than this.
    #[cfg(test)]
    pub(crate) fn folding_at(mut self, loose: u32, bytes: usize) -> Self {
        self.columns.fold_at(loose, bytes);
        self
    }

    /// The number of a run, if it has one.
    pub fn number_of(&self, run: &RunId) -> Result<Option<u32>, StoreError> {
        Ok(self.run_numbers.get(run.as_bytes())?.map(|number| number.value()))
    }

    /// The number of a run, which it gets now if it has none.
    pub fn assign(&mut self, run: &RunId) -> Result<u32, StoreError> {
        if let Some(number) = self.number_of(run)? {
            return Ok(number);
        }
        let number = next_number(self.run_numbers.len()?);
        self.run_numbers.insert(run.as_bytes(), number)?;
        Ok(number)
    }

    /// The number of a key of a param, tag, metric or series, which it gets now if it has none.
    pub fn key_number(&mut self, key: &str) -> Result<u32, StoreError> {
        self.keys.number(key)
    }

    /// All runs of an experiment that were put, whatever their state.
    pub fn of_experiment(&self, id: ExperimentId) -> Result<Vec<(u32, RunId)>, StoreError> {
        let mut runs = Vec::new();
        for item in self.starts.range((id.0, i64::MIN, 0)..=(id.0, i64::MAX, u32::MAX))? {
            let number = item?.0.value().2;
            runs.extend(self.row(number)?.map(|row| (number, row.id)));
        }
        Ok(runs)
    }

    /// The row of a number, if it was put.
    pub fn row(&self, number: u32) -> Result<Option<RunRow>, StoreError> {
        let Some(bytes) = self.runs.get(number)? else { return Ok(None) };
        RunRow::read(bytes.value()).map(Some)
    }

    /// Makes the columns tell of what was put. Whoever has put rows calls it before the transaction
    /// ends.
    pub fn flush(&mut self) -> Result<(), StoreError> {
        let Self { columns, runs, keys, .. } = self;
        columns.flush(runs, |key| keys.number(key))
    }

    /// Stores a row in place of `old`, which must be what was last put under this number.
    pub fn put(
        &mut self,
        number: u32,
        old: Option<&RunRow>,
        new: &RunRow,
    ) -> Result<(), StoreError> {
        self.encoded.clear();
        let buffer = std::mem::take(&mut self.encoded);
        self.encoded = postcard::to_extend(new, buffer)
            .expect("a row is plain data, and a vector takes all of it");
        self.runs.insert(number, self.encoded.as_slice())?;
        self.columns.note(number);

        let old_place = old.map(|row| start_place(number, row));
        let place = start_place(number, new);
        if old_place != Some(place) {
            if let Some(place) = old_place {
                self.starts.remove(place)?;
            }
            self.starts.insert(place, ())?;
        }
        self.put_models(number, old, Some(new))
    }

    /// Takes out the row of a number, if there is one. Nothing that it said stays in columns.
    pub fn forget(&mut self, number: u32) -> Result<(), StoreError> {
        let Some(row) = self.row(number)? else { return Ok(()) };
        self.runs.remove(number)?;
        self.starts.remove(start_place(number, &row))?;
        self.columns.forget(number);
        self.put_models(number, Some(&row), None)
    }

    /// Has the run found by the logged models that it measured, and by no others.
    fn put_models(
        &mut self,
        number: u32,
        old: Option<&RunRow>,
        new: Option<&RunRow>,
    ) -> Result<(), StoreError> {
        let models = |row: Option<_>| row.map(measured_models).unwrap_or_default();
        let (old, new) = (models(old), models(new));
        for model in old.difference(&new) {
            self.model_runs.remove((*model, number))?;
        }
        for model in new.difference(&old) {
            self.model_runs.insert((*model, number), ())?;
        }
        Ok(())
    }
}

impl KeyNumbers<'_> {
    fn number(&mut self, key: &str) -> Result<u32, StoreError> {
        if let Some(number) = self.seen.get(key) {
            return Ok(*number);
        }
        let stored = self.table.get(key)?.map(|number| number.value());
        let number = match stored {
            Some(number) => number,
            None => {
                let number = next_number(self.table.len()?);
                self.table.insert(key, number)?;
                number
            }
        };
        self.seen.insert(key.to_owned(), number);
        Ok(number)
    }
}

fn next_number(count: u64) -> u32 {
    u32::try_from(count).expect("a store holds fewer than four billion runs and keys")
}

/// What finds a run by its start.
const fn start_place(number: u32, row: &RunRow) -> (u64, i64, u32) {
    (row.experiment.0, row.start_ms, number)
}

/// The logged models that a run logged metrics of.
fn measured_models(row: &RunRow) -> BTreeSet<&str> {
    let models = row.metrics.iter().map(|metric| metric.context.model_id.as_str());
    models.filter(|model| !model.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use redb::backends::InMemoryBackend;
    use redb::{Database, ReadableDatabase};

    use super::*;
    use crate::index::column_block::{Block, Held, NAN, Values};
    use crate::index::{Column, StoredColumns};
    use crate::rows::{KeyValue, Lifecycle, Metric, MetricContext, Point, RunStatus};
    use crate::store::Snapshot;

    fn in_memory() -> Database {
        Database::builder()
            .create_with_backend(InMemoryBackend::new())
            .expect("memory does not fail")
    }

    fn run(id: u8) -> RunRow {
        RunRow {
            id: RunId::new([id; 16]),
            experiment: ExperimentId(3),
            name: "first".into(),
            user: String::new(),
            status: RunStatus::Running,
            lifecycle: Lifecycle::Active,
            start_ms: 1_000,
            end_ms: None,
            deleted_ms: None,
            description: String::new(),
            params: Vec::new(),
            tags: Vec::new(),
            metrics: Vec::new(),
            datasets: Vec::new(),
            model_inputs: Vec::new(),
            model_outputs: Vec::new(),
            conflicted_params: Vec::new(),
        }
    }

    fn metric(key: &str, model: &str, step: i64, value: f64) -> Metric {
        let context = MetricContext { model_id: model.into(), ..MetricContext::default() };
        Metric { key: key.into(), context, point: Point { step, timestamp_ms: 0, value } }
    }

    /// Puts each row in turn, each in place of the one before.
    fn put_each(db: &Database, rows: &[RunRow]) -> Result<(), StoreError> {
        let mut old = None;
        for row in rows {
            let txn = db.begin_write()?;
            {
                let mut index = RunIndex::open(&txn)?.folding_at(1, usize::MAX);
                let number = index.assign(&row.id)?;
                // By their text: NaN is not equal to itself.
                assert_eq!(format!("{:?}", index.row(number)?.as_ref()), format!("{old:?}"));
                index.put(number, old, row)?;
                index.flush()?;
                old = Some(row);
            }
            txn.commit()?;
        }
        Ok(())
    }

    #[test]
    fn runs_are_numbered_in_order_of_arrival_and_found_again() -> Result<(), StoreError> {
        let db = in_memory();
        let txn = db.begin_write()?;
        {
            let mut index = RunIndex::open(&txn)?;
            for (expected, id) in [(0, 9), (1, 2), (0, 9), (2, 5)] {
                let row = run(id);
                assert_eq!(index.assign(&row.id)?, expected);
                let old = index.row(expected)?;
                index.put(expected, old.as_ref(), &row)?;
            }
            assert_eq!(index.number_of(&RunId::new([7; 16]))?, None);
        }
        txn.commit()?;
        let snapshot = Snapshot::new(db.begin_read()?);
        assert_eq!(snapshot.run_number(&RunId::new([2; 16]))?, Some(1));
        assert_eq!(snapshot.run(&RunId::new([5; 16]))?, Some(run(5)));
        Ok(())
    }

    #[test]
    fn an_experiments_runs_are_those_whose_last_row_is_in_it() -> Result<(), StoreError> {
        let db = in_memory();
        let moved = RunRow { experiment: ExperimentId(4), ..run(1) };
        let later = RunRow { start_ms: -5, ..moved.clone() };
        put_each(&db, &[run(1), moved, later])?;
        let snapshot = Snapshot::new(db.begin_read()?);
        let starts = |experiment| snapshot.starts(experiment, None, None)?.collect();
        let starts = |experiment| -> Result<Vec<(i64, u32)>, StoreError> { starts(experiment) };
        assert_eq!(starts(ExperimentId(3))?, []);
        assert_eq!(starts(ExperimentId(4))?, [(-5, 0)]);
        Ok(())
    }

    #[test]
    fn what_a_forgotten_run_said_is_in_no_column() -> Result<(), StoreError> {
        for bytes in [usize::MAX, 300] {
            let db = in_memory();
            let txn = db.begin_write()?;
            {
                // The block is folded with a little in it, and may be too large when the run goes.
                let mut index = RunIndex::open(&txn)?.folding_at(1, bytes);
                for id in 0..9 {
                    let mut row = run(id);
                    row.params = vec![KeyValue::new("key", format!("value-{id}"))];
                    row.metrics = vec![metric("auc", "m-1", 1, f64::from(id))];
                    let number = index.assign(&row.id)?;
                    index.put(number, None, &row)?;
                    index.flush()?;
                }
                let gone = index.number_of(&RunId::new([1; 16]))?.expect("it was put");
                index.forget(gone)?;
                index.flush()?;
                assert_eq!(index.row(gone)?, None);
            }
            let table = txn.open_table(crate::store::tables::COLUMNS)?;
            for item in table.iter()? {
                let (_, column) = item?;
                assert!(!column.value().windows(7).any(|part| part == b"value-1"));
            }
            assert_eq!(table.is_empty()?, bytes != usize::MAX, "too much is in no column");
            drop(table);
            txn.commit()?;
            let snapshot = Snapshot::new(db.begin_read()?);
            assert_eq!(snapshot.starts(ExperimentId(3), None, None)?.count(), 8);
            assert_eq!(snapshot.runs_measuring("m-1")?.len(), 8);
            assert_eq!(snapshot.runs_starting_with("01", 9)?, []);
        }
        Ok(())
    }

    #[test]
    fn a_folded_block_has_the_latest_value_of_a_metric() -> Result<(), StoreError> {
        let db = in_memory();
        let mut row = run(1);
        row.metrics = vec![
            metric("auc", "", 1, 0.25),
            metric("auc", "m-1", 9, 0.75),
            metric("loss", "", 0, f64::NAN),
        ];
        put_each(&db, &[run(1), row])?;
        let read = db.begin_read()?;
        let (columns, snapshot) = (StoredColumns::open(&read)?, Snapshot::new(db.begin_read()?));
        assert!(columns.loose_runs()?.is_empty());
        for (key, expected) in [("auc", Held::number(0.75)), ("loss", Held::Number(NAN))] {
            let number = snapshot.key_number(key)?.expect("a key with a value is numbered");
            let mut found = Vec::new();
            columns.each_block(ExperimentId(3), Column::Metric, number, |_, bytes| {
                let Values::Numbers(numbers) = Block::read(bytes)?.values else {
                    panic!("numbers")
                };
                found.extend(numbers.iter().map(|bytes| Held::Number(u64::from_le_bytes(*bytes))));
                Ok(())
            })?;
            assert_eq!(found, [expected]);
        }
        Ok(())
    }
}
