//! Searching traces: which, in which order, and page by page.

use super::trace_view::TraceView;
use super::trace_walk::{self, Found};
use super::{PageStart, TraceClause, TraceField, TraceOrder};
use crate::ids::ExperimentId;
use crate::rows::TraceRow;
use crate::store::traces::TraceRows;
use crate::store::{Snapshot, StoreError};
use crate::trace::Span;

/// What kind of assessment it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AssessmentKind {
    /// How good something was.
    Feedback,
    /// What should have come out.
    Expectation,
    /// That something is an instance of a known issue.
    Issue,
}

/// What a search needs to know of an assessment.
#[derive(Debug, Clone, PartialEq)]
pub struct Assessed {
    /// What kind it is.
    pub kind: AssessmentKind,
    /// Its name.
    pub name: String,
    /// Whether no other one overrides it.
    pub valid: bool,
    /// Its value, as JSON.
    pub value: String,
}

/// Words of the client protocol that a search needs: the rest of core does not know them.
#[derive(Debug, Clone, Copy)]
pub struct TraceWords {
    /// The tag that holds a trace's name.
    pub name_tag: &'static str,
    /// The fact that says from which run a trace comes.
    pub run_fact: &'static str,
    /// Reads an assessment.
    pub assessment: fn(&str) -> Option<Assessed>,
    /// All of a span, as text.
    pub span_text: fn(&Span) -> String,
    /// An attribute of a span, as text.
    pub attribute_text: fn(&Span, &str) -> Option<String>,
    /// The word for how a span ended.
    pub span_status: fn(&Span) -> &'static str,
}

/// Which traces to find, in which order, and which of them to return.
#[derive(Debug, Clone)]
pub struct TraceQuery {
    /// The experiments to search.
    pub experiments: Vec<ExperimentId>,
    /// What must hold: see [`parse_trace_filter`](super::parse_trace_filter).
    pub clauses: Vec<TraceClause>,
    /// What to sort by. What is a tie then goes by start, the latest first, and by id.
    pub order: Vec<TraceOrder>,
    /// Where to start.
    pub start: PageStart,
    /// How many to return.
    pub limit: usize,
    /// Words of the client protocol.
    pub words: TraceWords,
}

/// Some of the traces that a query finds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TracePage {
    /// The traces, in order.
    pub traces: Vec<TraceRow>,
    /// If there are more: the sort key of the last, after which the next page starts.
    pub next: Option<Vec<u8>>,
}

/// Finds traces.
pub fn search_traces(snapshot: &Snapshot, query: &TraceQuery) -> Result<TracePage, StoreError> {
    let rows = TraceRows::open(snapshot)?;
    let mut walk = trace_walk::plan(snapshot, query)?;
    let (mut to_skip, after) = match &query.start {
        PageStart::Offset(offset) => (*offset, None),
        PageStart::After(key) => (0, Some(key)),
    };
    let is_before = |found: &Found| after.is_some_and(|after| found.sort_key <= *after);
    let in_time = trace_walk::is_in_time(query);
    let mut page = TracePage::default();
    let mut end = None;
    let mut all: Vec<Found> = Vec::new();
    while let Some(group) = walk.next_group()? {
        let mut found = Vec::new();
        for number in group {
            let Some(row) = rows.row(number)? else { continue };
            let mut view = TraceView::new(&rows, number, &row, query.words);
            if query.experiments.contains(&row.experiment) && view.is_found_by(&query.clauses)? {
                let sort_key = view.sort_key(&query.order);
                found.push(Found { sort_key, number, row: in_time.then_some(row) });
            }
        }
        found.retain(|one| !is_before(one));
        if !in_time {
            all.append(&mut found);
            continue;
        }
        found.sort_unstable_by(|a, b| a.sort_key.cmp(&b.sort_key));
        for one in found {
            if to_skip > 0 {
                to_skip -= 1;
            } else if page.traces.len() == query.limit {
                page.next = end;
                return Ok(page);
            } else {
                page.traces.extend(one.row);
                end = Some(one.sort_key);
            }
        }
    }
    if in_time {
        return Ok(page);
    }
    all.sort_unstable_by(|a, b| a.sort_key.cmp(&b.sort_key));
    all.drain(..to_skip.min(all.len()));
    let more = all.len() > query.limit;
    all.truncate(query.limit);
    for one in &all {
        page.traces.extend(rows.row(one.number)?);
    }
    page.next = all.pop().filter(|_| more).map(|last| last.sort_key);
    Ok(page)
}

impl TraceQuery {
    /// How many traces it finds, whatever its limit.
    pub fn count(&self, snapshot: &Snapshot) -> Result<u64, StoreError> {
        let mut count = 0;
        self.each(snapshot, |_| count += 1)?;
        Ok(count)
    }

    /// Shows all traces that it finds, in no order, whatever its limit.
    pub fn each(
        &self,
        snapshot: &Snapshot,
        mut show: impl FnMut(&TraceRow),
    ) -> Result<(), StoreError> {
        let rows = TraceRows::open(snapshot)?;
        let mut walk = trace_walk::plan(snapshot, self)?;
        while let Some(group) = walk.next_group()? {
            for number in group {
                let Some(row) = rows.row(number)? else { continue };
                let mut view = TraceView::new(&rows, number, &row, self.words);
                if self.experiments.contains(&row.experiment) && view.is_found_by(&self.clauses)? {
                    show(&row);
                }
            }
        }
        Ok(())
    }

    pub(super) fn orders_by(&self) -> Option<&TraceField> {
        self.order.first().map(|order| &order.field)
    }
}
