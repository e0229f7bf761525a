//! Writing runs into the index: a run's row, its number, and the ordered keys that find it.
//!
//! Invariants: once flushed, the keys of a run in `values` are exactly those that its row asks for,
//! so whoever changes a row hands in the old one too. What finds an experiment's runs is there at
//! once. Runs and keys are numbered in order of arrival without
//! gaps and their numbers are never taken back, so a table's length is the next number.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap};

use redb::{ReadableTable, ReadableTableMetadata, Table, WriteTransaction};

use super::key_changes::{Change, KeyChanges};
use super::value_key::{self, Column};
use crate::ids::{ExperimentId, RunId};
use crate::rows::RunRow;
use crate::store::StoreError;
use crate::store::tables::{KEYS, MODEL_RUNS, RUN_NUMBERS, RUNS, VALUES};

/// The tables of runs, opened once for all the rows that a transaction writes.
pub struct RunIndex<'txn> {
    runs: Table<'txn, u32, &'static [u8]>,
    run_numbers: Table<'txn, &'static [u8; 16], u32>,
    values: Table<'txn, &'static [u8], ()>,
    model_runs: Table<'txn, (&'static str, u32), ()>,
    keys: KeyNumbers<'txn>,
    changes: KeyChanges,
    /// Kept from row to row: allocating anew for each would cost more than encoding it.
    encoded: Vec<u8>,
    value_key: Vec<u8>,
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
            values: txn.open_table(VALUES)?,
            model_runs: txn.open_table(MODEL_RUNS)?,
            keys: KeyNumbers { table: txn.open_table(KEYS)?, seen: HashMap::new() },
            changes: KeyChanges::default(),
            encoded: Vec::new(),
            value_key: Vec::new(),
        })
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
        let from = value_key::prefix(id, Column::Start, 0);
        let until = value_key::prefix(id, Column::Start, 1);
        let mut runs = Vec::new();
        for item in self.values.range::<&[u8]>(&from[..]..&until[..])? {
            let number = value_key::read(item?.0.value())?.run_number();
            runs.extend(self.row(number)?.map(|row| (number, row.id)));
        }
        Ok(runs)
    }

    /// The row of a number, if it was put.
    pub fn row(&self, number: u32) -> Result<Option<RunRow>, StoreError> {
        let Some(bytes) = self.runs.get(number)? else { return Ok(None) };
        postcard::from_bytes(bytes.value())
            .map(Some)
            .map_err(|source| StoreError::DamagedRow { table: "index-runs", source })
    }

    /// Makes what was put be found by its ordered keys. Whoever has put rows calls it before the
    /// transaction ends.
    pub fn flush(&mut self) -> Result<(), StoreError> {
        self.changes.make(&mut self.values)
    }

    /// Stores a row in place of `old`, which must be what was last put under this number, and
    /// changes the ordered keys by the difference of the two.
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

        self.put_models(number, old, new)?;
        if self.changes.is_full() {
            self.flush()?;
        }
        let old = old.map(ordered_values).unwrap_or_default();
        let new = ordered_values(new);
        let (mut old, mut new) = (old.iter().peekable(), new.iter().peekable());
        loop {
            let order = match (old.peek(), new.peek()) {
                (Some(old), Some(new)) => old.cmp(new),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => return Ok(()),
            };
            let gone = old.next_if(|_| order.is_le());
            let come = new.next_if(|_| order.is_ge());
            match (gone, come) {
                (Some(gone), None) => self.change_key(number, gone, Change::Go)?,
                (None, Some(come)) => self.change_key(number, come, Change::Come)?,
                _ => {}
            }
        }
    }

    /// Has the run found by the logged models that it measured.
    fn put_models(
        &mut self,
        number: u32,
        old: Option<&RunRow>,
        new: &RunRow,
    ) -> Result<(), StoreError> {
        let (old, new) = (old.map(measured_models).unwrap_or_default(), measured_models(new));
        for model in old.difference(&new) {
            self.model_runs.remove((*model, number))?;
        }
        for model in new.difference(&old) {
            self.model_runs.insert((*model, number), ())?;
        }
        Ok(())
    }

    fn change_key(
        &mut self,
        number: u32,
        value: &OrderedValue<'_>,
        change: Change,
    ) -> Result<(), StoreError> {
        self.build_key(number, value)?;
        let key = self.value_key.as_slice();
        match value.column {
            Column::Start => change.make(&mut self.values, key)?,
            Column::Metric | Column::Param | Column::Tag => self.changes.push(key, change),
        }
        Ok(())
    }

    fn build_key(&mut self, number: u32, value: &OrderedValue<'_>) -> Result<(), StoreError> {
        let key_number = match value.column {
            Column::Start => 0,
            Column::Metric | Column::Param | Column::Tag => self.keys.number(value.key)?,
        };
        let out = &mut self.value_key;
        out.clear();
        out.extend_from_slice(&value_key::prefix(value.experiment, value.column, key_number));
        match &value.place {
            Place::Number(bytes) => out.extend_from_slice(bytes),
            Place::Text { head, is_cut_at_zero } => {
                value_key::push_text(out, head, *is_cut_at_zero);
            }
        }
        out.extend_from_slice(&number.to_be_bytes());
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

/// The logged models that a run logged metrics of.
fn measured_models(row: &RunRow) -> BTreeSet<&str> {
    let models = row.metrics.iter().map(|metric| metric.context.model_id.as_str());
    models.filter(|model| !model.is_empty()).collect()
}

/// One place in the order of a column. They sort as their keys do within a run's row.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct OrderedValue<'a> {
    experiment: ExperimentId,
    column: Column,
    key: &'a str,
    place: Place<'a>,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Place<'a> {
    Number([u8; 8]),
    Text { head: &'a [u8], is_cut_at_zero: bool },
}

/// All that a row asks to be found by, sorted because a row's own vectors are.
fn ordered_values(row: &RunRow) -> Vec<OrderedValue<'_>> {
    let experiment = row.experiment;
    let value = |column, key, place| OrderedValue { experiment, column, key, place };

    let mut values = Vec::with_capacity(1 + row.metrics.len() + row.params.len() + row.tags.len());
    values.push(value(Column::Start, "", Place::Number(value_key::integer(row.start_ms))));
    values.extend(row.latest_metrics().map(|(key, point)| {
        value(Column::Metric, key, Place::Number(value_key::number(point.value)))
    }));
    for (column, pairs) in [(Column::Param, &row.params), (Column::Tag, &row.tags)] {
        values.extend(pairs.iter().map(|pair| {
            let head = value_key::text(&pair.value);
            let is_cut_at_zero = value_key::is_cut_at_zero(&pair.value);
            value(column, &pair.key, Place::Text { head, is_cut_at_zero })
        }));
    }
    debug_assert!(values.is_sorted(), "a row's vectors are sorted by key");
    values
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use redb::backends::InMemoryBackend;
    use redb::{Database, ReadableDatabase};

    use super::*;
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

    fn all_values(db: &Database) -> Result<BTreeSet<Vec<u8>>, StoreError> {
        let table = db.begin_read()?.open_table(VALUES)?;
        table.iter()?.map(|item| Ok(item?.0.value().to_vec())).collect()
    }

    /// Puts each row in turn, each in place of the one before.
    fn put_each(db: &Database, rows: &[RunRow]) -> Result<(), StoreError> {
        let mut old = None;
        for row in rows {
            let txn = db.begin_write()?;
            {
                let mut index = RunIndex::open(&txn)?;
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
    fn a_metric_is_found_by_its_latest_value() -> Result<(), StoreError> {
        let db = in_memory();
        let mut row = run(1);
        row.metrics = vec![
            metric("auc", "", 1, 0.25),
            metric("auc", "m-1", 9, 0.75),
            metric("loss", "", 0, f64::NAN),
        ];
        put_each(&db, &[row])?;
        let snapshot = Snapshot::new(db.begin_read()?);
        for (key, place) in [("auc", value_key::number(0.75)), ("loss", value_key::NAN)] {
            let number = snapshot.key_number(key)?.expect("a key with a value is numbered");
            let keys = snapshot
                .column(ExperimentId(3), Column::Metric, number, None, None)?
                .collect::<Result<Vec<_>, _>>()?;
            assert_eq!(keys.len(), 1);
            assert_eq!(keys[0].place(), place);
        }
        Ok(())
    }

    fn pairs() -> impl Strategy<Value = Vec<KeyValue>> {
        let value = prop_oneof!["[a-c]{0,2}", "x{31,34}", Just("a\0b".to_owned())];
        prop::collection::btree_map("[a-d]", value, 0..4)
            .prop_map(|map| map.into_iter().map(|(key, value)| KeyValue { key, value }).collect())
    }

    fn metrics() -> impl Strategy<Value = Vec<Metric>> {
        let value = prop_oneof![Just(f64::NAN), Just(f64::INFINITY), Just(-0.0), -2.0..2.0];
        let series = ("[a-c]", prop_oneof![Just(""), Just("m-1")]);
        prop::collection::btree_map(series, (0i64..3, value), 0..5).prop_map(|map| {
            map.into_iter()
                .map(|((key, model), (step, value))| metric(&key, model, step, value))
                .collect()
        })
    }

    proptest! {
        #[test]
        fn keys_changed_by_difference_are_those_of_the_last_row_alone(
            versions in prop::collection::vec((0u64..2, 0i64..2, pairs(), pairs(), metrics()), 1..6),
        ) {
            let rows: Vec<RunRow> = versions
                .into_iter()
                .map(|(experiment, start_ms, params, tags, metrics)| RunRow {
                    experiment: ExperimentId(experiment),
                    start_ms,
                    params,
                    tags,
                    metrics,
                    ..run(1)
                })
                .collect();
            let (changed, fresh) = (in_memory(), in_memory());
            put_each(&changed, &rows).expect("memory does not fail");
            // The keys get the same numbers, then the last row alone is put.
            let read = changed.begin_read().expect("memory does not fail");
            let keys = read.open_table(KEYS).expect("it was made");
            let txn = fresh.begin_write().expect("memory does not fail");
            {
                let mut same = txn.open_table(KEYS).expect("memory does not fail");
                for item in keys.iter().expect("memory does not fail") {
                    let (key, number) = item.expect("memory does not fail");
                    same.insert(key.value(), number.value()).expect("memory does not fail");
                }
            }
            txn.commit().expect("memory does not fail");
            put_each(&fresh, &rows[rows.len() - 1..]).expect("memory does not fail");
            prop_assert_eq!(
                all_values(&changed).expect("memory does not fail"),
                all_values(&fresh).expect("memory does not fail")
            );
        }
    }
}
