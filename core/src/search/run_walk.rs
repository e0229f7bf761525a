//! Walking the runs of one experiment in the order that a query asks for.
//!
//! A plan is a list of steps: ranges of the index, or run numbers, that hold the runs wanted in
//! the right order but for ties. Every run met is checked on its row, so a plan may hold too many,
//! never too few.
//!
//! - If a clause leaves only a few runs, they are read and sorted.
//! - Else, if the index has a column of what is sorted by first, it is walked until the page is
//!   full; the runs that have no value there come after it.
//! - Else all runs that the most promising clause leaves are read and sorted.

use std::collections::VecDeque;

use redb::ReadOnlyTable;

use super::column_range::{ColumnRange, Indexed};
use super::run_view::{Head, RunView};
use super::runs::RunQuery;
use super::{Condition, Field, RunAttribute};
use crate::ids::{ExperimentId, RunId};
use crate::index::value_key;
use crate::rows::RunRow;
use crate::store::{Snapshot, StoreError};

/// Rows of runs by number.
pub(super) struct Rows {
    table: ReadOnlyTable<u32, &'static [u8]>,
    count: u64,
}

impl Rows {
    pub(super) fn open(snapshot: &Snapshot) -> Result<Self, StoreError> {
        use redb::ReadableTableMetadata;

        let table = snapshot.run_rows()?;
        let count = table.len()?;
        Ok(Self { table, count })
    }

    pub(super) fn whole(&self, number: u32) -> Result<Option<RunRow>, StoreError> {
        let Some(bytes) = self.table.get(number)? else { return Ok(None) };
        postcard::from_bytes(bytes.value())
            .map(Some)
            .map_err(|source| StoreError::DamagedRow { table: "index-runs", source })
    }

    /// Reads the head of every row, in order of arrival.
    pub(super) fn each_head(&self, mut read: impl FnMut(&Head<'_>)) -> Result<(), StoreError> {
        use redb::ReadableTable;

        for item in self.table.iter()? {
            read(&RunView::read(item?.1.value(), false)?.head);
        }
        Ok(())
    }
}

/// A run that a query finds, and what sorts it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Found {
    /// Ends in the run's id.
    sort_key: Vec<u8>,
    pub(super) number: u32,
}

impl Found {
    pub(super) fn id(&self) -> RunId {
        RunId::new(*self.sort_key.last_chunk().expect("a sort key ends in the run's id"))
    }
}

/// The runs of one experiment that a query finds, in order.
pub(super) struct RunWalk<'a> {
    rows: &'a Rows,
    query: &'a RunQuery,
    experiment: ExperimentId,
    /// Whether the query asks about more than the head of a row.
    reads_body: bool,
    /// No more than this many are wanted.
    wanted: usize,
    steps: VecDeque<Step>,
    /// Runs met in the steps so far, if a later one must leave them out.
    met: RunSet,
    /// Runs found, the next at the end.
    found: Vec<Found>,
}

/// A part of a plan.
struct Step {
    source: Source,
    /// What is known to come in the right order already.
    sorted: bool,
    /// Leaves out the runs that earlier steps met.
    only_unmet: bool,
}

enum Source {
    Numbers(Vec<u32>),
    Keys { keys: Keys, next: Option<Vec<u8>> },
}

type Keys = Box<dyn Iterator<Item = Result<Vec<u8>, StoreError>>>;

/// A set of run numbers, which are dense.
#[derive(Default)]
struct RunSet(Vec<u64>);

impl<'a> RunWalk<'a> {
    /// Decides how to walk.
    pub(super) fn plan(
        snapshot: &Snapshot,
        rows: &'a Rows,
        query: &'a RunQuery,
        experiment: ExperimentId,
    ) -> Result<Self, StoreError> {
        let in_head = |field: &Field<RunAttribute>| matches!(field, Field::Attribute(_));
        let mut walk = Self {
            rows,
            query,
            experiment,
            reads_body: !query.fields().all(in_head),
            wanted: query.offset.saturating_add(query.limit).saturating_add(1),
            steps: VecDeque::new(),
            met: RunSet::default(),
            found: Vec::new(),
        };
        walk.steps = walk.choose_steps(snapshot)?.into();
        Ok(walk)
    }

    fn choose_steps(&self, snapshot: &Snapshot) -> Result<Vec<Step>, StoreError> {
        if let Some(ids) = self.asked_ids() {
            let mut numbers = Vec::new();
            for id in ids {
                numbers.extend(snapshot.run_number(&id)?);
            }
            return Ok(vec![Step::unsorted(Source::Numbers(numbers))]);
        }
        let mut ranges = Vec::new();
        for clause in &self.query.clauses {
            match ColumnRange::of_clause(snapshot, clause)? {
                Indexed::In(range) => ranges.push(range),
                Indexed::Empty => return Ok(Vec::new()),
                Indexed::Not => {}
            }
        }
        let (order, ascending) = match self.query.order.first() {
            Some(first) => (ColumnRange::of_field(snapshot, &first.field)?, first.ascending),
            None => (Indexed::In(ColumnRange::all_runs()), false),
        };
        let in_order = |range: &ColumnRange| matches!(&order, Indexed::In(column) if column.is_of_same_values(range));

        if let Some(numbers) = self.few(snapshot, ranges.iter().filter(|range| !in_order(range)))? {
            return Ok(vec![Step::unsorted(Source::Numbers(numbers))]);
        }
        let column = match &order {
            Indexed::In(column) => Some(column.clone()),
            Indexed::Empty => None,
            Indexed::Not => {
                let promising = ranges.into_iter().max_by_key(ColumnRange::promise);
                let range = promising.unwrap_or_else(ColumnRange::all_runs);
                return Ok(vec![Step::unsorted(self.keys(snapshot, &range, true)?)]);
            }
        };
        let bounds = ranges.into_iter().filter(in_order).collect();
        self.steps_in_order(snapshot, column, ascending, bounds)
    }

    /// The runs that a clause names by id.
    fn asked_ids(&self) -> Option<Vec<RunId>> {
        self.query.clauses.iter().find_map(|clause| {
            let texts = match (&clause.field, &clause.condition) {
                (Field::Attribute(RunAttribute::Id), Condition::Equal(text)) => {
                    std::slice::from_ref(text)
                }
                (Field::Attribute(RunAttribute::Id), Condition::In(texts)) => texts.as_slice(),
                _ => return None,
            };
            let mut ids: Vec<RunId> = texts.iter().filter_map(|text| text.parse().ok()).collect();
            ids.sort_unstable();
            ids.dedup();
            Some(ids)
        })
    }

    /// The runs in the smallest range, if reading them all costs less than walking in order.
    fn few<'r>(
        &self,
        snapshot: &Snapshot,
        ranges: impl Iterator<Item = &'r ColumnRange>,
    ) -> Result<Option<Vec<u32>>, StoreError> {
        // Of n runs a clause leaves m. A walk in order reads n / m rows for each that it finds,
        // so for w of them it reads more than m if m < sqrt(n w).
        let mut at_most = self.rows.count.saturating_mul(self.wanted as u64).isqrt() as usize;
        let mut smallest = None;
        for range in ranges {
            let keys = range.keys(snapshot, self.experiment)?;
            let numbers: Vec<u32> = keys
                .take(at_most + 1)
                .map(|key| Ok(number(&key?)))
                .collect::<Result<_, StoreError>>()?;
            if numbers.len() <= at_most {
                at_most = numbers.len();
                smallest = Some(numbers);
            }
        }
        Ok(smallest)
    }

    /// The values of a column in order, then NaN, then the runs that have none. Without a column
    /// that is all runs; with bounds, the runs that have none are not wanted.
    fn steps_in_order(
        &self,
        snapshot: &Snapshot,
        column: Option<ColumnRange>,
        ascending: bool,
        bounds: Vec<ColumnRange>,
    ) -> Result<Vec<Step>, StoreError> {
        let mut steps = Vec::new();
        let needs_value = !bounds.is_empty();
        if let Some(column) = column {
            let bounded = bounds.into_iter().fold(column.clone(), ColumnRange::intersect);
            let sorted = |source| Step { source, sorted: true, only_unmet: false };
            steps.push(sorted(self.keys(snapshot, &bounded.numbers_only(), ascending)?));
            if let Some(nan) = bounded.nan_only() {
                steps.push(sorted(self.keys(snapshot, &nan, true)?));
            }
            if needs_value || column.is_all_runs() {
                return Ok(steps);
            }
        }
        // Among runs without a value the latest comes first, if nothing else is to sort them.
        let rest = self.keys(snapshot, &ColumnRange::all_runs(), false)?;
        let sorted = self.query.order.len() == 1;
        steps.push(Step { source: rest, sorted, only_unmet: true });
        Ok(steps)
    }

    fn keys(
        &self,
        snapshot: &Snapshot,
        range: &ColumnRange,
        ascending: bool,
    ) -> Result<Source, StoreError> {
        let keys = range.keys(snapshot, self.experiment)?;
        let keys: Keys = if ascending { Box::new(keys) } else { Box::new(keys.rev()) };
        Ok(Source::Keys { keys, next: None })
    }

    /// The next run, in order.
    pub(super) fn next_found(&mut self) -> Result<Option<Found>, StoreError> {
        while self.found.is_empty() {
            let Some(mut step) = self.steps.pop_front() else { return Ok(None) };
            let last = self.steps.is_empty();
            let group = step.next_group()?;
            let Some(group) = group else { continue };
            for number in &group {
                if !(step.only_unmet && self.met.contains(*number)) {
                    self.check(*number)?;
                }
            }
            if !last && !step.only_unmet {
                group.iter().for_each(|number| self.met.insert(*number));
            }
            self.found.sort_unstable_by(|a, b| b.cmp(a));
            self.steps.push_front(step);
        }
        Ok(self.found.pop())
    }

    /// Adds a run to those found, if it is.
    fn check(&mut self, number: u32) -> Result<(), StoreError> {
        let Some(bytes) = self.rows.table.get(number)? else { return Ok(()) };
        let view = RunView::read(bytes.value(), self.reads_body)?;
        if view.head.experiment != self.experiment || !view.is_found_by(self.query) {
            return Ok(());
        }
        self.found.push(Found { sort_key: view.sort_key(self.query), number });
        // Keeps memory within what is wanted, however many tie.
        if self.found.len() >= self.wanted.saturating_mul(2).max(1_024) {
            self.found.select_nth_unstable(self.wanted);
            self.found.truncate(self.wanted);
        }
        Ok(())
    }
}

impl Step {
    fn unsorted(source: Source) -> Self {
        Self { source, sorted: false, only_unmet: false }
    }

    /// The next runs among which the order is not known yet: those of one value.
    fn next_group(&mut self) -> Result<Option<Vec<u32>>, StoreError> {
        let (keys, next) = match &mut self.source {
            Source::Numbers(numbers) if numbers.is_empty() => return Ok(None),
            Source::Numbers(numbers) => return Ok(Some(std::mem::take(numbers))),
            Source::Keys { keys, next } => (keys, next),
        };
        let Some(first) = next.take().map(Ok).or_else(|| keys.next()).transpose()? else {
            return Ok(None);
        };
        let mut group = vec![number(&first)];
        for key in keys {
            let key = key?;
            if self.sorted && value_key::value_bytes(&key) != value_key::value_bytes(&first) {
                *next = Some(key);
                break;
            }
            group.push(number(&key));
        }
        Ok(Some(group))
    }
}

fn number(key: &[u8]) -> u32 {
    value_key::run_number(key).expect("keys of the index end in a run's number")
}

impl RunSet {
    fn insert(&mut self, number: u32) {
        let word = number as usize / 64;
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= 1 << (number % 64);
    }

    fn contains(&self, number: u32) -> bool {
        let word = self.0.get(number as usize / 64);
        word.is_some_and(|word| word & (1 << (number % 64)) != 0)
    }
}
