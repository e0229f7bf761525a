//! Searching runs: the query, the page, and how experiments' runs come together.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::ops::ControlFlow;
use std::sync::Arc;

use super::run_devices::RunDevices;
use super::run_rows::{RowReader, RunRows};
use super::run_walk::{Found, RunWalk};
use super::{Clause, Field, Order, RunAttribute};
use crate::ids::ExperimentId;
use crate::rows::{Lifecycle, RunRow};
use crate::store::{Snapshot, StoreError};

/// Whether rows in use, deleted ones or both are searched.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ViewType {
    /// Those in use.
    #[default]
    ActiveOnly,
    /// Those in the bin.
    DeletedOnly,
    /// Both.
    All,
}

impl ViewType {
    /// Whether a row is seen.
    pub fn shows(self, lifecycle: Lifecycle) -> bool {
        match self {
            Self::ActiveOnly => lifecycle == Lifecycle::Active,
            Self::DeletedOnly => lifecycle == Lifecycle::Deleted,
            Self::All => true,
        }
    }
}

/// Which runs to find, in which order, and which of them to return.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RunQuery {
    /// The experiments whose runs are searched.
    pub experiments: Vec<ExperimentId>,
    /// Whether deleted runs are searched.
    pub view: ViewType,
    /// What must hold: see [`parse_filter`](super::parse_filter) with [`RUNS`](super::RUNS).
    pub clauses: Vec<Clause<RunAttribute>>,
    /// What to sort by. What is a tie then goes by start, the latest first, and by id.
    pub order: Vec<Order<RunAttribute>>,
    /// How many to leave out, unless it is said after which.
    pub offset: usize,
    /// Returns only what comes after this place in the order: see [`RunPage::end`]. The query must
    /// otherwise be the one whose page ended there.
    pub after: Option<Vec<u8>>,
    /// How many to return.
    pub limit: usize,
    /// Where clients find the artifacts of each experiment. Only the client protocol knows; a
    /// run's are at `<root>/<run>/artifacts`, and of others no `artifact_uri` is known. Needed
    /// only if [`RunQuery::names`] the artifact URI.
    pub artifact_roots: BTreeMap<ExperimentId, String>,
    /// What the device that created each run is called. Only journals know it, no row does, and a
    /// run of which it is not told has none. Needed only if [`RunQuery::names`] the device, or runs are
    /// grouped by it, and only of [those that may be found](super::find_for_devices).
    pub devices: Arc<RunDevices>,
    /// The tag that holds what a dataset was used for, in the client protocol's words.
    pub dataset_context_tag: String,
}

impl RunQuery {
    /// Changes what the clauses and the order name: client protocols have tags that are
    /// attributes here.
    pub fn map_fields(&mut self, map: impl Fn(Field<RunAttribute>) -> Field<RunAttribute>) {
        let clauses = self.clauses.iter_mut().map(|clause| &mut clause.field);
        let order = self.order.iter_mut().map(|order| &mut order.field);
        for field in clauses.chain(order) {
            *field = map(field.clone());
        }
    }

    /// Whether a clause or the order names a field.
    pub fn names(&self, field: &Field<RunAttribute>) -> bool {
        self.fields().any(|named| named == field)
    }

    /// The experiments, each once, by id.
    pub(super) fn distinct_experiments(&self) -> Vec<ExperimentId> {
        let mut experiments = self.experiments.clone();
        experiments.sort_unstable();
        experiments.dedup();
        experiments
    }

    /// How many to leave out.
    pub(super) const fn offset(&self) -> usize {
        if self.after.is_some() { 0 } else { self.offset }
    }

    fn fields(&self) -> impl Iterator<Item = &Field<RunAttribute>> {
        let order = self.order.iter().map(|order| &order.field);
        self.clauses.iter().map(|clause| &clause.field).chain(order)
    }
}

/// Some of the runs that a query finds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RunPage {
    /// The runs, in order.
    pub runs: Vec<RunRow>,
    /// Where they end.
    pub end: PageEnd,
}

/// Where a page of runs ends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PageEnd {
    /// Whether there are more after it.
    pub more: bool,
    /// The place of the last run in the order, if there is a run. What [`RunQuery::after`] returns stays
    /// the same however many runs before it come or go meanwhile.
    pub place: Option<Vec<u8>>,
}

/// Finds runs.
pub fn search_runs(snapshot: &Snapshot, query: &RunQuery) -> Result<RunPage, StoreError> {
    let mut runs = Vec::new();
    let end = each_row(snapshot, query, |bytes| {
        runs.push(RunRow::read(bytes)?);
        Ok(())
    })?;
    Ok(RunPage { runs, end })
}

/// Finds runs and hands out each in its turn, as it lies in the store: a row has some eighty texts, and
/// to make these costs more than to find it.
pub fn visit_runs(
    snapshot: &Snapshot,
    query: &RunQuery,
    mut visit: impl FnMut(&RunRow<&str>) -> Result<(), StoreError>,
) -> Result<PageEnd, StoreError> {
    each_row(snapshot, query, |bytes| visit(&RunRow::read(bytes)?))
}

fn each_row(
    snapshot: &Snapshot,
    query: &RunQuery,
    mut take: impl FnMut(&[u8]) -> Result<(), StoreError>,
) -> Result<PageEnd, StoreError> {
    let mut end = PageEnd::default();
    let (mut skipped, mut taken) = (0, 0);
    meet_in_order(snapshot, query, |rows, found| {
        if skipped < query.offset() {
            skipped += 1;
        } else if taken == query.limit {
            end.more = true;
            return Ok(ControlFlow::Break(()));
        } else if let Some(bytes) = rows.read(found.number)? {
            take(bytes.value())?;
            taken += 1;
            end.place = Some(found.sort_key.clone());
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(end)
}

/// Meets the runs that a query finds, in order, until one is enough.
pub(super) fn meet_in_order(
    snapshot: &Snapshot,
    query: &RunQuery,
    mut meet: impl FnMut(&mut RowReader<'_>, &Found) -> Result<ControlFlow<()>, StoreError>,
) -> Result<(), StoreError> {
    let rows = RunRows::open(snapshot)?;
    let mut reader = rows.reader();
    let experiments = query.distinct_experiments();

    // The next run of each experiment; the least of them is the next of all.
    let mut walks = Vec::with_capacity(experiments.len());
    let mut heads = BinaryHeap::with_capacity(experiments.len());
    for experiment in experiments {
        let mut walk = RunWalk::plan(snapshot, &rows, query, experiment)?;
        if let Some(found) = walk.next_found()? {
            heads.push(Reverse((found, walks.len())));
        }
        walks.push(walk);
    }

    while let Some(mut head) = heads.peek_mut() {
        let Reverse((found, walk)) = &mut *head;
        if meet(&mut reader, found)?.is_break() {
            return Ok(());
        }
        match walks[*walk].next_found()? {
            Some(next) => *found = next,
            None => drop(std::collections::binary_heap::PeekMut::pop(head)),
        }
    }
    Ok(())
}
