//! Walking the traces that a query may find, in order of time.
//!
//! Every trace that is met is checked on its row, so a walk may hold too many, never too few. Keys of
//! one text come in order of time (`index::trace_key`), so a clause that asks for a text narrows the
//! walk and keeps its order: the cost goes with what is found. Several sources, of several
//! experiments or of what is in either of two places, are walked side by side.

use std::collections::BTreeSet;

use super::condition::{Condition, Relation};
use super::sort_key::{self, First};
use super::traces::{TraceQuery, TraceWords};
use super::{PageStart, TraceAttribute, TraceClause, TraceCondition, TraceField};
use crate::ids::ExperimentId;
use crate::index::trace_key::{self, TraceColumn};
use crate::index::value_key;
use crate::rows::TraceRow;
use crate::store::{Snapshot, StoreError};

/// Sources are compared by their size up to this: beyond it, any is as good.
const ENOUGH: usize = 1000;

/// A trace that a query finds, and what sorts it.
pub(super) struct Found {
    pub(super) sort_key: Vec<u8>,
    pub(super) number: u32,
    /// The row, if it is about to be returned.
    pub(super) row: Option<TraceRow>,
}

type Keys = Box<dyn Iterator<Item = Result<Vec<u8>, StoreError>>>;

/// Traces in groups of one start, in order of time.
pub(super) struct TraceWalk {
    ascending: bool,
    sources: Vec<std::iter::Peekable<Keys>>,
    /// Traces that were asked for by id: one group, instead of sources.
    named: Option<Vec<u32>>,
}

/// Whether a query sorts by nothing but time.
pub(super) fn is_in_time(query: &TraceQuery) -> bool {
    match query.orders_by() {
        None => true,
        Some(first) => *first == TraceField::Attribute(TraceAttribute::Start),
    }
}

/// Decides how to walk.
pub(super) fn plan(snapshot: &Snapshot, query: &TraceQuery) -> Result<TraceWalk, StoreError> {
    let ascending = is_in_time(query) && query.order.first().is_some_and(|order| order.ascending);
    if let Some(ids) = asked_ids(&query.clauses) {
        let mut numbers = BTreeSet::new();
        for id in ids {
            numbers.extend(snapshot.trace_number(id)?);
        }
        let named = Some(numbers.into_iter().collect());
        return Ok(TraceWalk { ascending, sources: Vec::new(), named });
    }
    let (mut low, mut high) = time_bounds(&query.clauses);
    match started_before(query) {
        Some(start_ms) if ascending => low = low.max(start_ms),
        Some(start_ms) => high = high.min(start_ms),
        None => {}
    }
    let mut sources = Vec::new();
    let experiments: BTreeSet<ExperimentId> = query.experiments.iter().copied().collect();
    for experiment in experiments {
        for head in heads(snapshot, query, experiment)? {
            let from = trace_key::at_start(head.clone(), low);
            let until = trace_key::key(head, high, u32::MAX);
            let keys = snapshot.trace_keys(&from, &until)?;
            let keys: Keys = if ascending { Box::new(keys) } else { Box::new(keys.rev()) };
            sources.push(keys.peekable());
        }
    }
    Ok(TraceWalk { ascending, sources, named: None })
}

/// When the last trace of the page before started, if that is what traces are sorted by.
fn started_before(query: &TraceQuery) -> Option<i64> {
    let PageStart::After(key) = &query.start else { return None };
    let ascending = query.order.first().is_some_and(|order| order.ascending);
    match sort_key::first(key, false, ascending)? {
        (First::Number(bytes), _) if is_in_time(query) => Some(value_key::from_integer(bytes)),
        _ => None,
    }
}

/// The traces that a clause names by id.
fn asked_ids(clauses: &[TraceClause]) -> Option<Vec<&str>> {
    clauses.iter().find_map(|clause| match (&clause.field, &clause.condition) {
        (TraceField::Attribute(TraceAttribute::Id), TraceCondition::Plain(condition)) => {
            match condition {
                Condition::Equal(id) => Some(vec![id.as_str()]),
                Condition::In(ids) => Some(ids.iter().map(String::as_str).collect()),
                _ => None,
            }
        }
        _ => None,
    })
}

/// The first and the last start that may be found, in milliseconds.
fn time_bounds(clauses: &[TraceClause]) -> (i64, i64) {
    let (mut low, mut high) = (i64::MIN, i64::MAX);
    for clause in clauses {
        let TraceField::Attribute(TraceAttribute::Start) = clause.field else { continue };
        let TraceCondition::Plain(Condition::Number(relation, asked)) = clause.condition else {
            continue;
        };
        // A conversion saturates, and rows are checked: a bound may be too wide.
        let (floor, ceil) = (asked.floor() as i64, asked.ceil() as i64);
        match relation {
            Relation::Equal => (low, high) = (low.max(floor), high.min(ceil)),
            Relation::Greater | Relation::GreaterOrEqual => low = low.max(floor),
            Relation::Less | Relation::LessOrEqual => high = high.min(ceil),
            Relation::NotEqual => {}
        }
    }
    (low, high)
}

/// The heads of keys that hold all that may be found in an experiment: of the clause that leaves the
/// fewest, or of all its traces.
fn heads(
    snapshot: &Snapshot,
    query: &TraceQuery,
    experiment: ExperimentId,
) -> Result<Vec<Vec<u8>>, StoreError> {
    let mut choices = Vec::new();
    for clause in &query.clauses {
        choices.extend(heads_of(snapshot, clause, &query.words, experiment)?);
    }
    let mut best: Option<(usize, Vec<Vec<u8>>)> = None;
    let several = choices.len() > 1;
    for heads in choices {
        let size = if several { size(snapshot, &heads)? } else { 0 };
        if best.as_ref().is_none_or(|(least, _)| size < *least) {
            best = Some((size, heads));
        }
    }
    let all = || vec![trace_key::head(experiment, TraceColumn::Start, 0, "")];
    Ok(best.map_or_else(all, |(_, heads)| heads))
}

/// How many keys have one of these heads, up to [`ENOUGH`].
fn size(snapshot: &Snapshot, heads: &[Vec<u8>]) -> Result<usize, StoreError> {
    let mut size = 0;
    for head in heads {
        let from = trace_key::at_start(head.clone(), i64::MIN);
        let until = trace_key::key(head.clone(), i64::MAX, u32::MAX);
        size += snapshot.trace_keys(&from, &until)?.take(ENOUGH).count();
    }
    Ok(size)
}

/// The heads of keys that hold all that a clause may find, if keys can tell.
fn heads_of(
    snapshot: &Snapshot,
    clause: &TraceClause,
    words: &TraceWords,
    experiment: ExperimentId,
) -> Result<Option<Vec<Vec<u8>>>, StoreError> {
    let texts = match &clause.condition {
        TraceCondition::Plain(Condition::Equal(text)) => std::slice::from_ref(text),
        TraceCondition::Plain(Condition::In(texts)) => texts.as_slice(),
        _ => return Ok(None),
    };
    if !texts.iter().all(|text| trace_key::is_indexed(text)) {
        return Ok(None);
    }
    let columns = match &clause.field {
        TraceField::Attribute(TraceAttribute::Status) => vec![(TraceColumn::Status, None)],
        TraceField::Name => vec![(TraceColumn::Tag, Some(words.name_tag))],
        TraceField::Tag(key) => vec![(TraceColumn::Tag, Some(key.as_str()))],
        TraceField::Metadata(key) => vec![(TraceColumn::Metadata, Some(key.as_str()))],
        TraceField::Run => {
            vec![(TraceColumn::Metadata, Some(words.run_fact)), (TraceColumn::Run, None)]
        }
        TraceField::Prompt => vec![(TraceColumn::Prompt, None)],
        _ => return Ok(None),
    };
    let mut heads = Vec::new();
    for (column, key) in columns {
        let number = match key {
            None => Some(0),
            // A key that nothing has has no number, and no traces.
            Some(key) => snapshot.trace_key_number(key)?,
        };
        let Some(number) = number else { continue };
        heads.extend(texts.iter().map(|text| trace_key::head(experiment, column, number, text)));
    }
    heads.sort_unstable();
    heads.dedup();
    Ok(Some(heads))
}

impl TraceWalk {
    /// The next traces that started in the same millisecond, each once.
    pub(super) fn next_group(&mut self) -> Result<Option<Vec<u32>>, StoreError> {
        if let Some(named) = self.named.take() {
            return Ok(Some(named));
        }
        let place = |key: &[u8]| {
            trace_key::start_and_number(key).expect("keys of this table end in a trace's number")
        };
        let mut next: Option<i64> = None;
        for source in &mut self.sources {
            let start = match source.peek() {
                None => continue,
                Some(Ok(key)) => place(key).0,
                Some(Err(_)) => return source.next().transpose().map(|_| None),
            };
            let closer = |held: i64| if self.ascending { held.min(start) } else { held.max(start) };
            next = Some(next.map_or(start, closer));
        }
        let Some(next) = next else { return Ok(None) };
        let mut group = BTreeSet::new();
        for source in &mut self.sources {
            let of_group = |key: &Result<Vec<u8>, StoreError>| {
                key.as_ref().map_or(true, |k| place(k).0 == next)
            };
            while let Some(key) = source.next_if(of_group) {
                group.insert(place(&key?).1);
            }
        }
        Ok(Some(group.into_iter().collect()))
    }
}
