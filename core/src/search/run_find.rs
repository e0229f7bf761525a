//! All runs of a query at once, by their numbers: what a table shows a part of and scrolls through.
//!
//! A row costs a microsecond or two, so a table of 100,000 runs is not sorted by their rows. If
//! columns in memory say of every run whether it is found and where it stands ([`RunChoice`]), only
//! rows of runs that tie are read, to put these in the order of their ids.
//!
//! Invariant: the answer is what [`search_runs`](super::search_runs) returns without a limit.

use std::ops::ControlFlow;

use super::run_choice::RunChoice;
use super::run_rows::{RowReader, RunRows};
use super::run_view::RunView;
use super::runs::{RunQuery, meet_in_order};
use super::schema::{Field, RunAttribute};
use crate::ids::RunId;
use crate::rows::RunRow;
use crate::store::{Snapshot, StoreError};

/// Of more experiments the columns are not made, of which each takes the reading of all runs that are not
/// in columns yet.
const MAX_TOGETHER: usize = 32;

/// The number of a run in one store. It stays the run's for as long as the store is open.
pub type RunNumber = u32;

/// Finds all runs of a query, whatever its offset and limit, in order.
pub fn find_runs(snapshot: &Snapshot, query: &RunQuery) -> Result<Vec<RunNumber>, StoreError> {
    let query = RunQuery { offset: 0, after: None, limit: usize::MAX, ..query.clone() };
    if let Some(numbers) = find_in_columns(snapshot, &query)? {
        return Ok(numbers);
    }
    let mut numbers = Vec::new();
    meet_in_order(snapshot, &query, |_, found| {
        numbers.push(found.number);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(numbers)
}

/// Finds the runs whose devices a query has to be told: those for which all holds that it asks of
/// anything else, in no order.
pub fn find_for_devices(
    snapshot: &Snapshot,
    query: &RunQuery,
) -> Result<Vec<RunNumber>, StoreError> {
    let device = Field::Attribute(RunAttribute::Device);
    let others = query.clauses.iter().filter(|clause| clause.field != device);
    let query = RunQuery { clauses: others.cloned().collect(), order: Vec::new(), ..query.clone() };
    find_runs(snapshot, &query)
}

/// Reads the ids of runs by their numbers; none of what is gone.
pub fn read_ids(
    snapshot: &Snapshot,
    numbers: &[RunNumber],
) -> Result<Vec<Option<RunId>>, StoreError> {
    let rows = RunRows::open(snapshot)?;
    let mut reader = rows.reader();
    numbers.iter().map(|number| id_of(&mut reader, *number)).collect()
}

/// Reads runs by their numbers; what is gone is left out.
pub fn read_runs(
    snapshot: &Snapshot,
    numbers: &[RunNumber],
) -> Result<Vec<(RunNumber, RunRow)>, StoreError> {
    let rows = RunRows::open(snapshot)?;
    let mut reader = rows.reader();
    let mut runs = Vec::with_capacity(numbers.len());
    for number in numbers {
        if let Some(bytes) = reader.read(*number)? {
            runs.push((*number, RunRow::read(bytes.value())?));
        }
    }
    Ok(runs)
}

/// None if columns cannot tell.
fn find_in_columns(
    snapshot: &Snapshot,
    query: &RunQuery,
) -> Result<Option<Vec<RunNumber>>, StoreError> {
    let experiments = query.distinct_experiments();
    if experiments.len() > MAX_TOGETHER {
        return Ok(None);
    }
    let mut chosen = Vec::new();
    for experiment in &experiments {
        let choice = RunChoice::open(snapshot, query, *experiment, None, usize::MAX)?;
        // Ranks of texts are of one experiment.
        let Some(choice) = choice.filter(|choice| experiments.len() == 1 || !choice.is_by_text())
        else {
            return Ok(None);
        };
        let Some(more) = choice.all(snapshot, query, *experiment)? else { return Ok(None) };
        chosen.extend(more);
    }
    if experiments.len() > 1 {
        chosen.sort_unstable();
    }
    let rows = RunRows::open(snapshot)?;
    let mut reader = rows.reader();
    for tie in chosen.chunk_by_mut(|a, b| a.place == b.place).filter(|tie| tie.len() > 1) {
        let mut ids = Vec::with_capacity(tie.len());
        for chosen in &*tie {
            ids.push((id_of(&mut reader, chosen.number)?, *chosen));
        }
        ids.sort_unstable_by_key(|(id, _)| *id);
        for (chosen, (_, sorted)) in tie.iter_mut().zip(ids) {
            *chosen = sorted;
        }
    }
    Ok(Some(chosen.into_iter().map(|chosen| chosen.number).collect()))
}

fn id_of(reader: &mut RowReader<'_>, number: RunNumber) -> Result<Option<RunId>, StoreError> {
    let Some(bytes) = reader.read(number)? else { return Ok(None) };
    Ok(Some(RunView::read(number, bytes.value())?.head.id))
}
