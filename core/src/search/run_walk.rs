//! Walking the runs of one experiment in the order that a query asks for.
//!
//! A plan is a list of steps: ranges of the index, or run numbers, that hold the runs wanted in
//! the right order but for ties. Every run met is checked on its row, so a plan may hold too many,
//! never too few.
//!
//! If the index has a column of what is sorted by first, it is walked until the page is full; the
//! runs that have no value there come after it. Nobody knows beforehand how many runs that means:
//! if the clauses leave few, nearly all are met before a page of them is found. So the walk races
//! against reading what the clauses leave off the index ([`Candidates`]), at half its cost. Once a
//! clause's runs are known, the walk passes over all others without reading their rows; and when
//! it has cost as much as reading the rows of all that are left, it ends and those are read and
//! sorted. So whatever the data, a search costs a few times the better way at most.
//!
//! Without such a column, all that the clauses leave are read and sorted.
//!
//! What costs more than a page of the latest runs does goes on from columns in memory
//! ([`RunChoice`]), if the snapshot has them.

use std::collections::VecDeque;

use super::candidates::{Candidates, RunSet};
use super::column_range::{ColumnRange, Indexed, Keys};
use super::run_choice::RunChoice;
use super::run_rows::{RowReader, RunRows};
use super::run_view::RunView;
use super::runs::RunQuery;
use super::sort_key::{self, First};
use super::{Condition, Field, RunAttribute};
use crate::ids::{ExperimentId, RunId};
use crate::index::value_key::ReadKey;
use crate::store::{Snapshot, StoreError};

/// How many keys can be read in the time that finding and checking a row takes.
pub(super) const ROW_KEYS: u64 = 6;
/// So many keys of a clause are read at a time.
const READ_KEYS: u64 = 256;

/// A run that a query finds, and what sorts it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Found {
    /// Ends in the run's id.
    pub(super) sort_key: Vec<u8>,
    pub(super) number: u32,
}

/// The runs of one experiment that a query finds, in order.
pub(super) struct RunWalk<'a> {
    snapshot: &'a Snapshot,
    rows: RowReader<'a>,
    query: &'a RunQuery,
    experiment: ExperimentId,
    /// No more than this many are wanted.
    wanted: usize,
    steps: VecDeque<Step>,
    candidates: Candidates,
    /// What the walk has cost, in keys.
    spent: u64,
    /// What it may cost before it goes on from columns in memory.
    limit: u64,
    /// Runs up to this place in the order were returned already.
    after: Option<Vec<u8>>,
    /// Runs found, the next at the end.
    found: Vec<Found>,
}

/// A part of a plan.
struct Step {
    source: Source,
    /// Leaves out the runs that have a value in this column: they were met in earlier steps.
    without: Option<ColumnRange>,
    /// Those runs, once they are known.
    met: RunSet,
}

enum Source {
    /// In any order.
    Numbers(Vec<u32>),
    /// In the right order but for ties, or in any.
    Keys { keys: Keys, sorted: bool, conditions: Vec<Condition>, next: Option<ReadKey> },
    /// In the right order but for ties.
    Choice(Box<RunChoice>),
}

impl<'a> RunWalk<'a> {
    /// Decides how to walk.
    pub(super) fn plan(
        snapshot: &'a Snapshot,
        rows: &'a RunRows,
        query: &'a RunQuery,
        experiment: ExperimentId,
    ) -> Result<Self, StoreError> {
        let mut walk = Self {
            snapshot,
            rows: rows.reader(),
            query,
            experiment,
            wanted: query.offset().saturating_add(query.limit).saturating_add(1),
            steps: VecDeque::new(),
            candidates: Candidates::default(),
            spent: 0,
            limit: 0,
            after: query.after.clone(),
            found: Vec::new(),
        };
        walk.limit = match snapshot.columns() {
            Some(columns) => columns.walk_keys(walk.wanted),
            None => u64::MAX,
        };
        walk.choose_steps()?;
        Ok(walk)
    }

    fn choose_steps(&mut self) -> Result<(), StoreError> {
        if let Some(ids) = asked_ids(self.query) {
            let numbers = ids.iter().map(|id| self.snapshot.run_number(id));
            let numbers = numbers.filter_map(Result::transpose).collect::<Result<_, _>>()?;
            self.steps.push_back(Step::of(Source::Numbers(numbers)));
            return Ok(());
        }
        let Some(clauses) = clause_ranges(self.snapshot, self.query)? else { return Ok(()) };
        let (order, ascending) = match self.query.order.first() {
            Some(first) => (ColumnRange::of_field(self.snapshot, &first.field)?, first.ascending),
            None => (Indexed::In(ColumnRange::all_runs()), false),
        };
        let (walked, others) =
            clauses.into_iter().partition(|(range, _)| order.is_column_of(range));
        self.candidates = Candidates::of(self.snapshot, self.experiment, others)?;
        match order {
            Indexed::In(column) => self.walk_column(&column, ascending, walked),
            Indexed::Empty => {
                // What has a value comes before all that have none, on whatever page that was.
                let resumed = self.after.as_deref().and_then(sort_key::after_missing);
                self.walk_rest(resumed.map(<[u8]>::to_vec), None)
            }
            Indexed::Not => {
                let source = self.all_candidates()?;
                self.steps.push_back(Step::of(source));
                Ok(())
            }
        }
    }

    /// Walks the values of a column in order, then NaN, then the runs that have none: from where
    /// the last page ended.
    fn walk_column(
        &mut self,
        column: &ColumnRange,
        ascending: bool,
        clauses: Vec<(ColumnRange, Condition)>,
    ) -> Result<(), StoreError> {
        let needs_value = !clauses.is_empty();
        let (bounds, conditions): (Vec<_>, Vec<_>) = clauses.into_iter().unzip();
        let bounded = bounds.into_iter().fold(column.clone(), ColumnRange::intersect);

        let key = self.after.clone().unwrap_or_default();
        let (first, rest) = sort_key::first(&key, column.is_of_text(), ascending).unzip();
        let values = bounded.numbers_only();
        let values = match &first {
            None => Some(values),
            Some(First::Number(value)) => Some(values.starting_at_number(*value, ascending)),
            Some(First::Text(text)) => Some(values.starting_at_text(text, ascending)),
            Some(First::NotANumber | First::Missing) => None,
        };
        let nan = bounded.nan_only().filter(|_| first != Some(First::Missing));
        for (range, ascending) in [(values, ascending), (nan, true)] {
            let Some(range) = range else { continue };
            let keys = range.keys(self.snapshot, self.experiment, ascending)?;
            let conditions = conditions.clone();
            let source = Source::Keys { keys, sorted: true, conditions, next: None };
            self.steps.push_back(Step::of(source));
        }
        if needs_value || column.is_all_runs() {
            return Ok(());
        }
        let rest = rest.filter(|_| first == Some(First::Missing));
        self.walk_rest(rest.map(<[u8]>::to_vec), Some(column.clone()))
    }

    /// Walks the runs that have no value in the column of what is sorted by first: of those the
    /// latest comes first, if nothing else is to sort them.
    fn walk_rest(
        &mut self,
        resumed: Option<Vec<u8>>,
        without: Option<ColumnRange>,
    ) -> Result<(), StoreError> {
        let sorted = self.query.order.len() <= 1;
        let mut range = ColumnRange::all_runs();
        if let Some(key) = resumed.filter(|_| sorted)
            && let Some((First::Number(start), _)) = sort_key::first(&key, false, false)
        {
            range = range.starting_at_number(start, false);
        }
        let keys = range.keys(self.snapshot, self.experiment, false)?;
        let source = Source::Keys { keys, sorted, conditions: Vec::new(), next: None };
        self.steps.push_back(Step { without, ..Step::of(source) });
        Ok(())
    }

    /// All runs that the clauses leave, as far as the one tells that is read to its end first; or
    /// those that columns in memory choose, if that would take long.
    fn all_candidates(&mut self) -> Result<Source, StoreError> {
        let mut candidates = std::mem::take(&mut self.candidates);
        if candidates.is_read() {
            candidates = Candidates::of(self.snapshot, self.experiment, with_default(Vec::new()))?;
        }
        while !candidates.read(READ_KEYS)? {
            if candidates.keys_read() > self.limit
                && let Some(choice) = self.choice()?
            {
                return Ok(Source::Choice(choice));
            }
        }
        let left = candidates.left().map_or_else(Vec::new, |(left, _)| left.iter().collect());
        Ok(Source::Numbers(left))
    }

    /// Has columns in memory choose all that was not returned yet, if they can.
    fn goes_on_from_columns(&mut self) -> Result<bool, StoreError> {
        let Some(choice) = self.choice()? else { return Ok(false) };
        self.found.clear();
        self.candidates = Candidates::default();
        self.steps = VecDeque::from([Step::of(Source::Choice(choice))]);
        Ok(true)
    }

    /// What comes next, by columns in memory. They are asked once.
    fn choice(&mut self) -> Result<Option<Box<RunChoice>>, StoreError> {
        if self.limit == u64::MAX {
            return Ok(None);
        }
        self.limit = u64::MAX;
        let after = self.after.as_deref();
        let (snapshot, query) = (self.snapshot, self.query);
        let choice = RunChoice::open(snapshot, query, self.experiment, after, self.wanted)?;
        Ok(choice.map(Box::new))
    }

    /// The next run, in order.
    pub(super) fn next_found(&mut self) -> Result<Option<Found>, StoreError> {
        'steps: while self.found.is_empty() {
            let Some(mut step) = self.steps.pop_front() else { return Ok(None) };
            let Some(group) = step.next_group(self)? else { continue };
            if let Some(left) = self.cheaper_than_walking() {
                // All that was not returned yet is in there, this group too.
                self.steps = VecDeque::from([Step::of(Source::Numbers(left))]);
                self.candidates = Candidates::default();
                continue;
            }
            if step.without.is_some() || (step.is_of_keys() && self.spent > self.limit) {
                // As above.
                if self.goes_on_from_columns()? {
                    continue;
                }
            }
            step.meet(self.snapshot, self.experiment)?;
            for number in group {
                if self.candidates.may_be(number) && !step.met.contains(number) {
                    self.check(number)?;
                    self.race()?;
                }
                if step.is_of_keys() && self.spent > self.limit && self.goes_on_from_columns()? {
                    continue 'steps;
                }
            }
            self.found.sort_unstable_by(|a, b| b.cmp(a));
            self.steps.push_front(step);
        }
        let found = self.found.pop();
        if let Some(found) = &found {
            self.after = Some(found.sort_key.clone());
        }
        Ok(found)
    }

    /// Reads on what the clauses leave, until that has cost half as much as the walk.
    fn race(&mut self) -> Result<(), StoreError> {
        let half = self.spent / 2;
        while !self.candidates.is_read() && self.candidates.keys_read() + READ_KEYS <= half {
            self.candidates.read(READ_KEYS)?;
        }
        Ok(())
    }

    /// The runs that the clauses leave, if reading all of them costs no more than the walk has.
    fn cheaper_than_walking(&self) -> Option<Vec<u32>> {
        let (left, count) = self.candidates.left()?;
        (count * ROW_KEYS <= self.spent).then(|| left.iter().collect())
    }

    /// Adds a run to those found, if it is.
    fn check(&mut self, number: u32) -> Result<(), StoreError> {
        self.spent += ROW_KEYS;
        let Some(bytes) = self.rows.read(number)? else { return Ok(()) };
        let view = RunView::read(bytes.value())?;
        if view.head.experiment != self.experiment || !view.is_found_by(self.query)? {
            return Ok(());
        }
        let sort_key = view.sort_key(self.query)?;
        if self.after.as_ref().is_some_and(|after| sort_key <= *after) {
            return Ok(());
        }
        self.found.push(Found { sort_key, number });
        // Keeps memory within what is wanted, however many tie.
        if self.found.len() >= self.wanted.saturating_mul(2).max(1_024) {
            self.found.select_nth_unstable(self.wanted);
            self.found.truncate(self.wanted);
        }
        Ok(())
    }
}

impl Step {
    fn of(source: Source) -> Self {
        Self { source, without: None, met: RunSet::default() }
    }

    /// Reads which runs earlier steps met, when that is first needed.
    fn meet(&mut self, snapshot: &Snapshot, experiment: ExperimentId) -> Result<(), StoreError> {
        let Some(column) = self.without.take() else { return Ok(()) };
        for key in column.keys(snapshot, experiment, true)? {
            self.met.insert(key?.run_number());
        }
        Ok(())
    }

    const fn is_of_keys(&self) -> bool {
        matches!(self.source, Source::Keys { .. })
    }

    /// The next runs among which the order is not known yet: those of one value. Notes what that
    /// cost the walk.
    fn next_group(&mut self, walk: &mut RunWalk<'_>) -> Result<Option<Vec<u32>>, StoreError> {
        let (keys, sorted, conditions, next) = match &mut self.source {
            Source::Numbers(numbers) if numbers.is_empty() => return Ok(None),
            Source::Numbers(numbers) => return Ok(Some(std::mem::take(numbers))),
            Source::Choice(choice) => {
                return choice.next_group(walk.snapshot, walk.query, walk.experiment);
            }
            Source::Keys { keys, sorted, conditions, next } => (keys, *sorted, conditions, next),
        };
        let mut group = Vec::new();
        let mut first: Option<ReadKey> = None;
        while let Some(key) = next.take().map(Ok).or_else(|| keys.next()).transpose()? {
            if sorted && first.as_ref().is_some_and(|first| first.place() != key.place()) {
                *next = Some(key);
                break;
            }
            walk.spent += 1;
            if group.is_empty() && walk.spent > walk.limit {
                // Maybe there is a better way.
                *next = Some(key);
                return Ok(Some(group));
            }
            if conditions.iter().all(|asked| asked.holds_for_told(key.told()) != Some(false)) {
                group.push(key.run_number());
                first.get_or_insert(key);
            }
        }
        Ok((!group.is_empty()).then_some(group))
    }
}

/// The runs that a clause names by id.
fn asked_ids(query: &RunQuery) -> Option<Vec<RunId>> {
    query.clauses.iter().find_map(|clause| {
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

type ClauseRange = (ColumnRange, Condition);

/// Where the index has the runs of each clause, of those for which it has a column; none if a
/// clause asks for a value that no run has.
fn clause_ranges(
    snapshot: &Snapshot,
    query: &RunQuery,
) -> Result<Option<Vec<ClauseRange>>, StoreError> {
    let mut clauses = Vec::new();
    for clause in &query.clauses {
        match ColumnRange::of_clause(snapshot, clause)? {
            Indexed::In(range) => clauses.push((range, clause.condition.clone())),
            Indexed::Empty => return Ok(None),
            Indexed::Not => {}
        }
    }
    Ok(Some(clauses))
}

/// These, or else all runs.
fn with_default(clauses: Vec<ClauseRange>) -> Vec<ClauseRange> {
    let all = || vec![(ColumnRange::all_runs(), Condition::IsNotNull)];
    if clauses.is_empty() { all() } else { clauses }
}
