//! The keys of params, tags and metrics that the runs of an experiment have: what a table of them can
//! show.

use std::collections::{BTreeSet, HashMap};

use redb::ReadableTable;

use super::tables::KEYS;
use super::{Snapshot, StoreError};
use crate::ids::ExperimentId;
use crate::index::{Column, StoredColumns};
use crate::rows::{RunHead, cut_short};

/// The keys that the runs of an experiment have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunKeys {
    /// Of metrics.
    pub metrics: BTreeSet<String>,
    /// Of params.
    pub params: BTreeSet<String>,
    /// Of tags.
    pub tags: BTreeSet<String>,
}

impl Snapshot {
    /// The keys of the metrics, params and tags that runs of an experiment have, deleted runs too.
    pub fn run_keys(&self, experiment: ExperimentId) -> Result<RunKeys, StoreError> {
        let columns = StoredColumns::open(self.txn())?;
        let mut names = HashMap::new();
        for item in self.txn().open_table(KEYS)?.iter()? {
            let (name, number) = item?;
            names.insert(number.value(), name.value().to_owned());
        }
        let of = |column| -> Result<BTreeSet<String>, StoreError> {
            let numbers = columns.keys(experiment, column)?;
            Ok(numbers.iter().filter_map(|number| names.get(number).cloned()).collect())
        };
        let mut keys = RunKeys {
            metrics: of(Column::Metric)?,
            params: of(Column::Param)?,
            tags: of(Column::Tag)?,
        };
        let rows = self.run_rows()?;
        for number in columns.loose_runs()? {
            if let Some(row) = rows.get(number)? {
                keys.add_row(experiment, row.value())?;
            }
        }
        Ok(keys)
    }
}

impl RunKeys {
    /// Adds those of a run's row, if the run is in the experiment.
    fn add_row(&mut self, experiment: ExperimentId, row: &[u8]) -> Result<(), StoreError> {
        let (head, mut rest) = RunHead::read(row)?;
        if head.experiment != experiment {
            return Ok(());
        }
        for keys in [&mut self.params, &mut self.tags] {
            for _ in 0..rest.length().ok_or_else(cut_short)? {
                add_key(keys, rest.next_pair().ok_or_else(cut_short)?.0);
            }
        }
        for _ in 0..rest.length().ok_or_else(cut_short)? {
            add_key(&mut self.metrics, rest.next_metric().ok_or_else(cut_short)?.0);
        }
        Ok(())
    }
}

fn add_key(keys: &mut BTreeSet<String>, key: &[u8]) {
    let key = String::from_utf8_lossy(key);
    if !keys.contains(&*key) {
        keys.insert(key.into_owned());
    }
}
