//! Meeting the runs of one experiment in the order that a query asks for.
//!
//! Runs come in groups among which the order is known: those that may be found, and maybe others.
//! Every run met is checked on its row, and those of a group are sorted by their rows, so whatever
//! tells of the groups may know too little, but never leave out a run that is found.
//!
//! If the latest or the first are wanted first, the runs' starts are walked, which are in order in
//! the index: mostly a page is full after a page of rows. A walk that has read many more goes on from
//! columns in memory ([`RunChoice`]), and so does, from the beginning, what sorts by something
//! else; few runs are all read, which takes less than making columns. Where there are no columns, all
//! are read and sorted, too.

use std::iter::Peekable;

use super::run_choice::RunChoice;
use super::run_rows::{RowReader, RunRows};
use super::run_view::RunView;
use super::runs::RunQuery;
use super::sort_key::{self, First};
use super::{Condition, Field, RunAttribute};
use crate::ids::{ExperimentId, RunId};
use crate::index::value_key;
use crate::store::{Snapshot, StoreError};

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
    source: Source,
    /// How many rows may be read before the walk goes on from columns, if it can.
    rows_left: usize,
    /// Runs up to this place in the order were returned already.
    after: Option<Vec<u8>>,
    /// Runs found, the next at the end.
    found: Vec<Found>,
}

/// What tells which runs come next.
enum Source {
    /// In any order, all that are left.
    Numbers(Vec<u32>),
    /// In the order of their starts.
    Starts(Peekable<Starts>),
    /// In the right order but for ties.
    Choice(Box<RunChoice>),
}

/// Starts and numbers of runs.
type Starts = Box<dyn Iterator<Item = Result<(i64, u32), StoreError>>>;

impl<'a> RunWalk<'a> {
    /// Decides how to walk.
    pub(super) fn plan(
        snapshot: &'a Snapshot,
        rows: &'a RunRows,
        query: &'a RunQuery,
        experiment: ExperimentId,
    ) -> Result<Self, StoreError> {
        let wanted = query.offset().saturating_add(query.limit).saturating_add(1);
        let mut walk = Self {
            snapshot,
            rows: rows.reader(),
            query,
            experiment,
            wanted,
            source: Source::Numbers(Vec::new()),
            rows_left: snapshot.columns().map_or(usize::MAX, |columns| columns.walk_rows(wanted)),
            after: query.after.clone(),
            found: Vec::new(),
        };
        walk.source = walk.first_source()?;
        Ok(walk)
    }

    fn first_source(&mut self) -> Result<Source, StoreError> {
        if let Some(ids) = asked_ids(self.query) {
            let numbers = ids.iter().map(|id| self.snapshot.run_number(id));
            let numbers = numbers.filter_map(Result::transpose).collect::<Result<_, _>>()?;
            return Ok(Source::Numbers(numbers));
        }
        if let Some(ascending) = order_by_start(self.query) {
            return Ok(Source::Starts(self.starts(ascending)?.peekable()));
        }
        let mut all = self.snapshot.starts(self.experiment, None, None)?;
        let number = |run: Result<(i64, u32), StoreError>| run.map(|(_, number)| number);
        let few = all.by_ref().take(self.rows_left).map(number);
        let mut numbers = few.collect::<Result<Vec<_>, _>>()?;
        if let Some(next) = all.next() {
            if let Some(choice) = self.choice()? {
                return Ok(choice);
            }
            numbers.push(number(next)?);
            numbers.extend(all.map(number).collect::<Result<Vec<_>, _>>()?);
        }
        // Neighbours are read fastest.
        numbers.sort_unstable();
        Ok(Source::Numbers(numbers))
    }

    /// All starts from where the last page ended.
    fn starts(&self, ascending: bool) -> Result<Starts, StoreError> {
        let key = self.after.as_deref().unwrap_or_default();
        let from = match sort_key::first(key, false, ascending) {
            Some((First::Number(bytes), _)) => Some(value_key::from_integer(bytes)),
            _ => None,
        };
        let (low, high) = if ascending { (from, None) } else { (None, from) };
        let starts = self.snapshot.starts(self.experiment, low, high)?;
        Ok(if ascending { Box::new(starts) } else { Box::new(starts.rev()) })
    }

    /// Columns in memory that choose all that was not returned yet, if they can. They are asked once.
    fn choice(&mut self) -> Result<Option<Source>, StoreError> {
        if self.rows_left == usize::MAX {
            return Ok(None);
        }
        self.rows_left = usize::MAX;
        let after = self.after.as_deref();
        let (snapshot, query) = (self.snapshot, self.query);
        let choice = RunChoice::open(snapshot, query, self.experiment, after, self.wanted)?;
        Ok(choice.map(Box::new).map(Source::Choice))
    }

    /// The next run, in order.
    pub(super) fn next_found(&mut self) -> Result<Option<Found>, StoreError> {
        'groups: while self.found.is_empty() {
            let Some(group) = self.next_group()? else { return Ok(None) };
            for number in group {
                let is_walk = matches!(self.source, Source::Starts(_));
                if is_walk
                    && self.rows_left == 0
                    && let Some(choice) = self.choice()?
                {
                    // All that was not returned yet is in there, this group too.
                    self.found.clear();
                    self.source = choice;
                    continue 'groups;
                }
                self.check(number)?;
            }
            self.found.sort_unstable_by(|a, b| b.cmp(a));
        }
        let found = self.found.pop();
        if let Some(found) = &found {
            self.after = Some(found.sort_key.clone());
        }
        Ok(found)
    }

    /// The next runs among which the order is not known yet.
    fn next_group(&mut self) -> Result<Option<Vec<u32>>, StoreError> {
        match &mut self.source {
            Source::Numbers(numbers) if numbers.is_empty() => Ok(None),
            Source::Numbers(numbers) => Ok(Some(std::mem::take(numbers))),
            Source::Choice(choice) => choice.next_group(self.snapshot, self.query, self.experiment),
            Source::Starts(starts) => {
                let Some((start, number)) = starts.next().transpose()? else { return Ok(None) };
                let mut group = vec![number];
                let ties = |run: &Result<(i64, u32), StoreError>| match run {
                    Ok((other, _)) => *other == start,
                    Err(_) => true,
                };
                while let Some(run) = starts.next_if(ties) {
                    group.push(run?.1);
                }
                Ok(Some(group))
            }
        }
    }

    /// Adds a run to those found, if it is.
    fn check(&mut self, number: u32) -> Result<(), StoreError> {
        if self.rows_left != usize::MAX {
            self.rows_left = self.rows_left.saturating_sub(1);
        }
        let Some(bytes) = self.rows.read(number)? else { return Ok(()) };
        let view = RunView::read(number, bytes.value())?;
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

/// Whether the order begins with the start, and if so, whether it is the first that comes first.
fn order_by_start(query: &RunQuery) -> Option<bool> {
    match query.order.first() {
        None => Some(false),
        Some(first) => {
            let is_start = first.field == Field::Attribute(RunAttribute::StartTime);
            is_start.then_some(first.ascending)
        }
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
