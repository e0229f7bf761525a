//! How many runs in use each experiment has, counted once and then kept current.
//!
//! Invariant: as for columns (`run_columns`), counts hold the number of the change that they show and
//! are brought up to the snapshot's; for a snapshot that is older, rows are counted.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use super::run_rows::RunRows;
use crate::ids::ExperimentId;
use crate::index::column_block::{BLOCK, Block, Values};
use crate::index::{Column, StoredColumns, run_changes};
use crate::rows::Lifecycle;
use crate::store::{Snapshot, StoreError};

/// Counts the runs in use of each experiment that has any.
pub fn count_runs(snapshot: &Snapshot) -> Result<BTreeMap<ExperimentId, u64>, StoreError> {
    let change = run_changes::last(snapshot.txn())?;
    let (Some(columns), Some(change)) = (snapshot.columns(), change) else {
        return Ok(Counted::read(snapshot, 0)?.counts());
    };
    let mut held = columns.counts().0.lock().unwrap_or_else(PoisonError::into_inner);
    let counted = match held.take() {
        Some(counted) if counted.change > change => {
            *held = Some(counted);
            drop(held);
            return Ok(Counted::read(snapshot, change)?.counts());
        }
        Some(counted) => counted.bring(snapshot, change)?,
        None => Counted::read(snapshot, change)?,
    };
    let counts = counted.counts();
    *held = Some(counted);
    Ok(counts)
}

/// Counts in memory; four bytes a run.
#[derive(Default)]
pub(super) struct RunCounts(Mutex<Option<Counted>>);

#[derive(Default)]
struct Counted {
    /// By run number, the place of the experiment that counts it, from 1 on; or 0.
    counted_in: Vec<u32>,
    places: HashMap<ExperimentId, u32>,
    counts: Vec<(ExperimentId, u64)>,
    change: u64,
}

impl Counted {
    fn read(snapshot: &Snapshot, change: u64) -> Result<Self, StoreError> {
        let mut counted = Self { change, ..Self::default() };
        let columns = StoredColumns::open(snapshot.txn())?;
        columns.each_experiments_block(Column::Lifecycle, |at, experiment, bytes| {
            let block = Block::read(bytes)?;
            let Values::Texts { texts, codes } = block.values else { return Ok(()) };
            for (run, code) in block.runs.into_iter().zip(codes) {
                let is_active = texts[code].0 == Lifecycle::Active.as_str().as_bytes();
                counted.set((at * BLOCK + run) as u32, is_active.then_some(experiment));
            }
            Ok(())
        })?;
        counted.set_runs(snapshot, columns.loose_runs()?)?;
        Ok(counted)
    }

    /// Brings the counts up to a later change.
    fn bring(mut self, snapshot: &Snapshot, change: u64) -> Result<Self, StoreError> {
        if self.change == change {
            return Ok(self);
        }
        let Some(changed) = run_changes::between(snapshot.txn(), self.change, change)? else {
            return Self::read(snapshot, change);
        };
        self.set_runs(snapshot, changed)?;
        self.change = change;
        Ok(self)
    }

    /// Counts runs by their rows.
    fn set_runs(
        &mut self,
        snapshot: &Snapshot,
        runs: impl IntoIterator<Item = u32>,
    ) -> Result<(), StoreError> {
        RunRows::open(snapshot)?.each_of(runs, |number, view| {
            let head = view.map(|view| &view.head);
            let active = head.filter(|head| head.lifecycle == Lifecycle::Active);
            self.set(number, active.map(|head| head.experiment));
            Ok(())
        })
    }

    /// Notes which experiment counts a run, if one does.
    fn set(&mut self, number: u32, counts: Option<ExperimentId>) {
        let counts = counts.filter(|experiment| *experiment != ExperimentId::NONE);
        let place = counts.map_or(0, |experiment| self.place(experiment));
        let at = number as usize;
        if self.counted_in.len() <= at {
            self.counted_in.resize(at + 1, 0);
        }
        let before = std::mem::replace(&mut self.counted_in[at], place);
        if let Some(before) = before.checked_sub(1) {
            self.counts[before as usize].1 -= 1;
        }
        if let Some(now) = place.checked_sub(1) {
            self.counts[now as usize].1 += 1;
        }
    }

    fn place(&mut self, experiment: ExperimentId) -> u32 {
        *self.places.entry(experiment).or_insert_with(|| {
            self.counts.push((experiment, 0));
            self.counts.len() as u32
        })
    }

    fn counts(&self) -> BTreeMap<ExperimentId, u64> {
        self.counts.iter().filter(|(_, count)| *count > 0).copied().collect()
    }
}
