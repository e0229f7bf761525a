//! Reading experiments, runs and their series.
//!
//! Invariant: a run of which no more is known than that something was logged to it is not shown.

use redb::ReadableTable;

use super::super::StoreError;
use super::super::batch::{decode_chunk, series_name};
use super::super::tables::{
    EXPERIMENT_NAMES, EXPERIMENTS, KEYS, MODEL_RUNS, RUN_NUMBERS, RUNS, SERIES, STARTS,
};
use super::{Snapshot, decode};
use crate::ids::{ExperimentId, RunId};
use crate::rows::{ExperimentRow, MetricContext, Point, RunRow};
use crate::series;

impl Snapshot {
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
        let bytes = self.run_rows()?.get(number)?;
        bytes.map(|bytes| RunRow::read(bytes.value())).transpose()
    }

    /// The table of runs' rows, for those who read many.
    pub(crate) fn run_rows(&self) -> Result<redb::ReadOnlyTable<u32, &'static [u8]>, StoreError> {
        Ok(self.txn.open_table(RUNS)?)
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

    /// All runs, whatever their state, in order of arrival.
    pub fn runs(
        &self,
    ) -> Result<impl Iterator<Item = Result<RunRow, StoreError>> + use<>, StoreError> {
        let rows = self.txn.open_table(RUNS)?.range::<u32>(..)?;
        let decoded = rows.map(|item| RunRow::<String>::read(item?.1.value()));
        Ok(decoded.filter(|row| row.as_ref().map_or(true, is_known)))
    }

    /// The local numbers of the runs that logged a metric of a logged model.
    pub(crate) fn runs_measuring(&self, model_id: &str) -> Result<Vec<u32>, StoreError> {
        let table = self.txn.open_table(MODEL_RUNS)?;
        let runs = table.range((model_id, 0)..=(model_id, u32::MAX))?;
        runs.map(|item| Ok(item?.0.value().1)).collect()
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
