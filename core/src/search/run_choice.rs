//! Choosing the next runs of one experiment from columns in memory.
//!
//! All runs are looked at, a block at a time, and those that sort first are kept: some at first, and
//! more each time that these were not enough. So what a search costs goes with the experiment's
//! size, at a few nanoseconds a run and clause, and not with how rare or how late what it finds is.
//!
//! Invariants: every run for which the clauses hold is chosen, in the right order but for ties,
//! which are in one group; others may be chosen too, for whoever reads the rows to leave out.

use std::sync::Arc;

use super::Condition;
use super::column_filter::{ColumnFilter, Mask, narrow};
use super::run_column::RunColumn;
use super::run_columns::{ColumnField, ColumnReader};
use super::run_texts::{NO_TEXT, head_of};
use super::runs::{RunQuery, ViewType};
use super::schema::Field;
use super::sort_key::{self, First};
use crate::ids::ExperimentId;
use crate::index::column_block::{BLOCK, Held, NAN, NO_NUMBER};
use crate::index::value_key;
use crate::rows::Lifecycle;
use crate::store::{Snapshot, StoreError};

/// How many are chosen at first, at least.
const FEW: usize = 128;
/// How many times more are chosen each time.
const MORE: usize = 4;
/// No text starts with bytes that are this or more.
const LAST_HEAD: u64 = 0xF5 << 56;

/// A place in the order, and what stands there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Chosen {
    pub(super) place: Place,
    pub(super) number: u32,
}

/// What comes first in the order, and the start if that comes next. Runs with one place tie.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place(u64, u64);

/// The runs that a query's clauses leave, in order.
pub(super) struct RunChoice {
    start: Arc<RunColumn>,
    order: Order,
    /// Whether the start breaks ties.
    start_is_next: bool,
    filters: Vec<ColumnFilter>,
    lifecycle: Option<ColumnFilter>,
    /// Places before this one, itself included if it is said so, were chosen already.
    after: (Place, bool),
    /// How many to choose next.
    size: usize,
    chosen: Vec<Chosen>,
    /// Whether there are none but those chosen.
    is_done: bool,
}

/// What comes first in the order.
struct Order {
    column: Arc<RunColumn>,
    ascending: bool,
    /// Texts are not ranked: they stand at the place of their first eight bytes, and those that
    /// agree in these tie.
    by_head: bool,
}

impl RunChoice {
    /// Chooses what comes after a place, if columns can. About so many are wanted.
    pub(super) fn open(
        snapshot: &Snapshot,
        query: &RunQuery,
        experiment: ExperimentId,
        after: Option<&[u8]>,
        wanted: usize,
    ) -> Result<Option<Self>, StoreError> {
        let Some(reader) = ColumnReader::open(snapshot, experiment)? else { return Ok(None) };
        let Some(start) = reader.starts()? else { return Ok(None) };
        let Some(order) = Order::open(&reader, query, &start)? else { return Ok(None) };
        let mut filters = Vec::new();
        for clause in &query.clauses {
            let of_integers = matches!(clause.field, Field::Attribute(_));
            // A clause that has no column is for the rows to check.
            let column = reader.column_for(query, &clause.field)?;
            filters.extend(
                column.map(|column| ColumnFilter::new(column, &clause.condition, of_integers)),
            );
        }
        let start_is_next = query.order.len() == 1 && order.is_exact();
        let mut choice = Self {
            start,
            order,
            start_is_next,
            filters,
            lifecycle: None,
            after: (Place::default(), false),
            size: wanted.saturating_add(1).max(FEW),
            chosen: Vec::new(),
            is_done: false,
        };
        if query.view == ViewType::DeletedOnly {
            choice.look_at_lifecycles(&reader, query)?;
        }
        choice.after = (after.map_or_else(Place::default, |key| choice.place_of(key)), false);
        Ok(Some(choice))
    }

    /// The next runs that tie.
    pub(super) fn next_group(
        &mut self,
        snapshot: &Snapshot,
        query: &RunQuery,
        experiment: ExperimentId,
    ) -> Result<Option<Vec<u32>>, StoreError> {
        if self.chosen.is_empty() && !self.is_done {
            if self.after.1
                && self.lifecycle.is_none()
                && query.view == ViewType::ActiveOnly
                && let Some(reader) = ColumnReader::open(snapshot, experiment)?
            {
                // So many were not found: it may be that they are deleted.
                self.look_at_lifecycles(&reader, query)?;
            }
            self.choose();
        }
        let Some(first) = self.chosen.last() else { return Ok(None) };
        let place = first.place;
        let tie = self.chosen.iter().rev().take_while(|chosen| chosen.place == place).count();
        let group = self.chosen.drain(self.chosen.len() - tie..).map(|chosen| chosen.number);
        Ok(Some(group.collect()))
    }

    /// Whether runs stand where their texts rank, which says nothing beside another experiment's.
    pub(super) fn is_by_text(&self) -> bool {
        self.order.is_of_texts()
    }

    /// All runs that the query finds, in order but for ties. None if some rows would have to be read
    /// to know.
    pub(super) fn all(
        mut self,
        snapshot: &Snapshot,
        query: &RunQuery,
        experiment: ExperimentId,
    ) -> Result<Option<Vec<Chosen>>, StoreError> {
        if let Some(reader) = ColumnReader::open(snapshot, experiment)? {
            self.look_at_lifecycles(&reader, query)?;
        }
        let sees_lifecycles = query.view == ViewType::All || self.lifecycle.is_some();
        let is_exact = sees_lifecycles
            && self.filters.len() == query.clauses.len()
            && self.filters.iter().all(ColumnFilter::is_exact)
            && query.order.len() <= 1
            && self.order.is_exact();
        if !is_exact {
            return Ok(None);
        }
        self.size = usize::MAX;
        self.choose();
        self.chosen.reverse();
        Ok(Some(self.chosen))
    }

    fn look_at_lifecycles(
        &mut self,
        reader: &ColumnReader<'_>,
        query: &RunQuery,
    ) -> Result<(), StoreError> {
        let lifecycle = match query.view {
            ViewType::ActiveOnly => Lifecycle::Active,
            ViewType::DeletedOnly => Lifecycle::Deleted,
            ViewType::All => return Ok(()),
        };
        let condition = Condition::Equal(lifecycle.as_str().to_owned());
        let column = reader.column(&ColumnField::Lifecycle)?;
        self.lifecycle = column.map(|column| ColumnFilter::new(column, &condition, false));
        Ok(())
    }

    /// Chooses the runs that come next.
    fn choose(&mut self) {
        let RunColumn::Numbers(starts) = &*self.start else { unreachable!("starts are numbers") };
        let mut mask: Mask = [0; BLOCK];
        let mut chosen: Vec<Chosen> = Vec::new();
        let (mut last, mut trim_at) = (None, self.size.saturating_mul(2));
        // All that a column has are runs of the experiment.
        let filters = || self.filters.iter().chain(&self.lifecycle);
        let has_others = filters().all(ColumnFilter::keeps_missing);
        // Mostly the latest are wanted first, and once they are chosen others are passed over.
        for at in (0..starts.len()).rev() {
            let Some(block) = starts.block(at) else { continue };
            if last.is_some_and(|last| self.order.first_of(at) > Some(last)) {
                continue;
            }
            if !filters().all(|filter| filter.may_keep(at)) {
                continue;
            }
            mask.fill(1);
            if has_others {
                narrow(&mut mask, &block.values, |start| start != NO_NUMBER);
            }
            for filter in filters() {
                filter.narrow(at, &mut mask);
            }
            if let Some(last) = last {
                self.order.narrow(at, last, &mut mask);
            }
            for (eight, kept) in mask.as_chunks::<8>().0.iter().enumerate() {
                if *kept == [0; 8] {
                    continue;
                }
                for within in (eight * 8..eight * 8 + 8).filter(|within| mask[*within] == 1) {
                    let first = self.order.key(at, within);
                    let start = if self.start_is_next { latest(block.values[within]) } else { 0 };
                    let place = Place(first, start);
                    let (after, itself) = self.after;
                    if place < after
                        || (itself && place == after)
                        || last.is_some_and(|last| place.0 > last)
                    {
                        continue;
                    }
                    chosen.push(Chosen { place, number: (at * BLOCK + within) as u32 });
                }
                if chosen.len() >= trim_at {
                    let bound = trim(&mut chosen, self.size);
                    last = Some(bound.0);
                    trim_at = chosen.len() + self.size;
                }
            }
        }
        self.is_done = last.is_none() && chosen.len() <= self.size;
        if chosen.len() > self.size {
            trim(&mut chosen, self.size);
        }
        chosen.sort_unstable_by(|a, b| b.cmp(a));
        if let Some(first) = chosen.first() {
            self.after = (first.place, true);
        }
        self.is_done |= chosen.is_empty();
        self.chosen = chosen;
        self.size = self.size.saturating_mul(MORE);
    }

    /// The place of a sort key, or one before it.
    fn place_of(&self, key: &[u8]) -> Place {
        let is_text = self.order.is_of_texts();
        let Some((first, rest)) = sort_key::first(key, is_text, self.order.ascending) else {
            return Place::default();
        };
        // Where no run here has the text, all that stands at its place comes after it.
        let is_here = self.order.has(&first);
        let first = self.order.key_of(&first);
        match sort_key::first(rest, false, false) {
            Some((First::Number(start), _)) if self.start_is_next && is_here => {
                match Held::integer(value_key::from_integer(start)) {
                    Held::Number(start) => Place(first, latest(start)),
                    _ => Place(first, 0),
                }
            }
            _ => Place(first, 0),
        }
    }
}

/// Keeps so many that come first, and what ties with the last of them. Returns its place.
fn trim(chosen: &mut Vec<Chosen>, size: usize) -> Place {
    let (_, last, _) = chosen.select_nth_unstable(size - 1);
    let place = last.place;
    chosen.retain(|chosen| chosen.place <= place);
    place
}

/// Sorts the latest start first.
const fn latest(start: u64) -> u64 {
    !start
}

impl Order {
    /// None if columns cannot put runs in this order.
    fn open(
        reader: &ColumnReader<'_>,
        query: &RunQuery,
        start: &Arc<RunColumn>,
    ) -> Result<Option<Self>, StoreError> {
        let Some(first) = query.order.first() else {
            let column = Arc::clone(start);
            return Ok(Some(Self { column, ascending: false, by_head: false }));
        };
        let column = reader.column_for(query, &first.field)?;
        Ok(column.map(|column| {
            let most = reader.max_ranked();
            let by_head = matches!(&*column, RunColumn::Texts(_, texts) if texts.len() > most);
            Self { column, ascending: first.ascending, by_head }
        }))
    }

    /// Whether runs at one place have one value.
    fn is_exact(&self) -> bool {
        !self.by_head && self.column.is_exact()
    }

    fn is_of_texts(&self) -> bool {
        matches!(*self.column, RunColumn::Texts(..))
    }

    fn number_key(&self, value: u64) -> u64 {
        match value {
            NO_NUMBER | NAN => value,
            value if self.ascending => value,
            // Numbers are in the middle of all values; an integer that is not stays before NaN.
            value => (!value).min(NAN - 1),
        }
    }

    fn rank_key(&self, rank: u32) -> u64 {
        u64::from(if self.ascending { rank } else { !rank })
    }

    fn head_key(&self, text: &[u8]) -> u64 {
        let head = head_of(text);
        if self.ascending { head } else { LAST_HEAD - head }
    }

    fn key(&self, block: usize, within: usize) -> u64 {
        match &*self.column {
            RunColumn::Numbers(blocks) => {
                blocks.block(block).map_or(NO_NUMBER, |block| self.number_key(block.values[within]))
            }
            RunColumn::Texts(blocks, texts) => {
                match blocks.block(block).map_or(NO_TEXT, |block| block.values[within]) {
                    NO_TEXT => NO_NUMBER,
                    code if self.by_head => self.head_key(texts.get(code).0),
                    code => self.rank_key(texts.ranks().of[code as usize]),
                }
            }
        }
    }

    /// Leaves only the runs of a block whose key is no more than this, or a few others.
    fn narrow(&self, block: usize, last: u64, mask: &mut Mask) {
        let RunColumn::Numbers(blocks) = &*self.column else { return };
        let Some(block) = blocks.block(block) else { return };
        if last >= NAN - 1 {
            return;
        }
        match self.ascending {
            true => narrow(mask, &block.values, |value| value <= last),
            // Keys are the complement of values, and those of NaN and of nothing are more.
            false => narrow(mask, &block.values, |value| value.wrapping_sub(!last) < last),
        }
    }

    /// The least key in a block, or less.
    fn first_of(&self, block: usize) -> Option<u64> {
        match &*self.column {
            RunColumn::Numbers(blocks) => {
                Some(blocks.block(block).map_or(NO_NUMBER, |block| match self.ascending {
                    true => block.least,
                    // NaN comes last, whatever the way.
                    false if block.most == NAN => 0,
                    false => self.number_key(block.most),
                }))
            }
            RunColumn::Texts(..) => None,
        }
    }

    /// Whether a value may stand at its own place, and is not between two that do.
    fn has(&self, first: &First) -> bool {
        match (first, &*self.column) {
            (First::Text(_), _) if self.by_head => false,
            (First::Text(text), RunColumn::Texts(_, texts)) => {
                // A column holds a long text in part, and that part may be another's whole.
                value_key::text(text).len() == text.len()
                    && texts.ranks_before(text, true) > texts.ranks_before(text, false)
            }
            _ => true,
        }
    }

    fn key_of(&self, first: &First) -> u64 {
        match (first, &*self.column) {
            (First::Missing, _) => NO_NUMBER,
            (First::NotANumber, _) => NAN,
            (First::Number(bytes), _) => self.number_key(u64::from_be_bytes(*bytes).min(NAN - 1)),
            (First::Text(text), _) if self.by_head => self.head_key(value_key::text(text)),
            (First::Text(text), RunColumn::Texts(_, texts)) => match self.ascending {
                true => u64::from(texts.ranks_before(text, false)),
                false => match texts.ranks_before(text, true).checked_sub(1) {
                    Some(rank) => self.rank_key(rank),
                    None => u64::from(u32::MAX) + 1,
                },
            },
            (First::Text(_), _) => 0,
        }
    }
}
