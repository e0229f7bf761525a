//! Columns of runs, as a snapshot has them: reading what `columns` wrote.

use std::collections::BTreeSet;

use redb::{ReadOnlyTable, ReadTransaction, ReadableTable, ReadableTableMetadata};

use super::columns::{Column, Loose, SPAN};
use crate::ids::ExperimentId;
use crate::store::StoreError;
use crate::store::tables::{COLUMNS, ColumnPlace, LOOSE, RUN_NUMBERS};

/// Columns, as a snapshot has them.
pub(crate) struct StoredColumns {
    blocks: ReadOnlyTable<ColumnPlace, &'static [u8]>,
    loose: ReadOnlyTable<u32, &'static [u8]>,
    /// How many blocks there may be.
    count: u32,
}

impl StoredColumns {
    pub(crate) fn open(txn: &ReadTransaction) -> Result<Self, StoreError> {
        let runs = txn.open_table(RUN_NUMBERS)?.len()?;
        let count = u32::try_from(runs.div_ceil(u64::from(SPAN))).unwrap_or(u32::MAX);
        Ok(Self { blocks: txn.open_table(COLUMNS)?, loose: txn.open_table(LOOSE)?, count })
    }

    /// The blocks of a column in which a run has a value, by their place among all blocks.
    pub(crate) fn each_block(
        &self,
        experiment: ExperimentId,
        column: Column,
        key_number: u32,
        mut read: impl FnMut(usize, &[u8]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        for block in 0..self.count {
            if let Some(bytes) = self.blocks.get((block, experiment.0, column as u8, key_number))? {
                read(block as usize, bytes.value())?;
            }
        }
        Ok(())
    }

    /// The blocks of one column of every experiment, with their places among all blocks.
    pub(crate) fn each_experiments_block(
        &self,
        column: Column,
        mut read: impl FnMut(usize, ExperimentId, &[u8]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        for block in 0..self.count {
            let mut next = Some(0);
            while let Some(from) = next {
                let rest = (block, from, column as u8, 0)..=(block, u64::MAX, u8::MAX, u32::MAX);
                let Some(item) = self.blocks.range(rest)?.next() else { break };
                let (place, bytes) = item?;
                let (_, experiment, found, _) = place.value();
                next = match found == column as u8 {
                    true => {
                        read(block as usize, ExperimentId(experiment), bytes.value())?;
                        experiment.checked_add(1)
                    }
                    // Another column of this experiment, or all columns that are left of the one before.
                    false if experiment > from => Some(experiment),
                    false => from.checked_add(1),
                };
            }
        }
        Ok(())
    }

    /// The runs whose rows have to be read: blocks may say what was.
    pub(crate) fn loose_runs(&self) -> Result<Vec<u32>, StoreError> {
        let mut runs = Vec::new();
        for item in self.loose.iter()? {
            let (block, bytes) = item?;
            let (first, loose) = (block.value() * SPAN, Loose::read(bytes.value())?);
            runs.extend(loose.iter().map(|run| first + run));
        }
        Ok(runs)
    }

    /// The numbers of the keys for which blocks have such columns of an experiment.
    pub(crate) fn keys(
        &self,
        experiment: ExperimentId,
        column: Column,
    ) -> Result<BTreeSet<u32>, StoreError> {
        let mut found = BTreeSet::new();
        for block in 0..self.count {
            let place = |key| (block, experiment.0, column as u8, key);
            for item in self.blocks.range(place(0)..=place(u32::MAX))? {
                found.insert(item?.0.value().3);
            }
        }
        Ok(found)
    }
}
