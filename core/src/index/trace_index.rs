//! Writing traces into the index: their rows, their spans, and the ordered keys that find them.
//!
//! Invariants: the keys of a trace are exactly those that its row asks for; of a span said twice the
//! one that counts is held; a row is decoded and encoded at most once in a batch; a deleted trace
//! leaves its number and that it is deleted, nothing else. Numbers are given in order of arrival and
//! never taken back, so a table's length is the next number.

use std::collections::{BTreeMap, BTreeSet};

use redb::{ReadableTable, ReadableTableMetadata, Table, WriteTransaction};

use super::trace_key::{self, TraceColumn};
use crate::ids::{DocumentId, ExperimentId};
use crate::rows::{DocumentRow, TraceRow};
use crate::store::StoreError;
use crate::store::snapshot::{decode, encode};
use crate::store::tables::{SPANS, TRACE_KEYS, TRACE_NUMBERS, TRACES};
use crate::trace::{EncodedSpan, Span, SpanId, TracePart, TraceState};

/// The tables of traces and the rows that one transaction reads and writes.
pub struct TraceIndex<'txn> {
    rows: Table<'txn, u32, &'static [u8]>,
    numbers: Table<'txn, &'static [u8; 16], u32>,
    spans: Table<'txn, (u32, u64), &'static [u8]>,
    keys: Table<'txn, &'static [u8], ()>,
    held: BTreeMap<u32, Held>,
    /// Numbers of the traces that are held.
    held_numbers: BTreeMap<DocumentId, u32>,
}

struct Held {
    /// The keys that are in the table.
    keys: BTreeSet<Key>,
    state: TraceState,
    /// Spans that are not in the table.
    spans: BTreeMap<SpanId, EncodedSpan>,
    /// Whether spans were added since the state saw all.
    unseen: bool,
    changed: bool,
}

/// What a trace is found by, but for its number.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    experiment: ExperimentId,
    column: TraceColumn,
    key: String,
    text: String,
    start_ms: i64,
}

impl<'txn> TraceIndex<'txn> {
    /// Opens the tables.
    pub fn open(txn: &'txn WriteTransaction) -> Result<Self, StoreError> {
        Ok(Self {
            rows: txn.open_table(TRACES)?,
            numbers: txn.open_table(TRACE_NUMBERS)?,
            spans: txn.open_table(SPANS)?,
            keys: txn.open_table(TRACE_KEYS)?,
            held: BTreeMap::new(),
            held_numbers: BTreeMap::new(),
        })
    }

    fn number_of(&self, document: &DocumentId) -> Result<Option<u32>, StoreError> {
        if let Some(number) = self.held_numbers.get(document) {
            return Ok(Some(*number));
        }
        Ok(self.numbers.get(document.id())?.map(|number| number.value()))
    }

    /// Reads a trace that has a number.
    fn hold(&mut self, document: DocumentId, number: u32) -> Result<&mut Held, StoreError> {
        use std::collections::btree_map::Entry;
        self.held_numbers.insert(document, number);
        match self.held.entry(number) {
            Entry::Occupied(held) => Ok(held.into_mut()),
            Entry::Vacant(place) => {
                let bytes = self.rows.get(number)?;
                let bytes = bytes.ok_or(StoreError::NotOurs("a trace has a number and no row"))?;
                let state: TraceState = decode("traces", bytes.value())?;
                let keys = keys_of(&state);
                Ok(place.insert(Held {
                    keys,
                    state,
                    spans: BTreeMap::new(),
                    unseen: false,
                    changed: false,
                }))
            }
        }
    }

    /// What is known of a trace, if anything is.
    pub fn state(&mut self, document: &DocumentId) -> Result<Option<&TraceState>, StoreError> {
        let Some(number) = self.number_of(document)? else { return Ok(None) };
        self.hold(*document, number)?;
        self.see_spans(number)?;
        Ok(self.held.get(&number).map(|held| &held.state))
    }

    /// Takes in a part of a trace. Says whether it is the first of it.
    pub fn take(&mut self, part: &TracePart) -> Result<bool, StoreError> {
        let document = part.document();
        let known = self.number_of(&document)?;
        let number = match known {
            Some(number) => number,
            None => {
                let number = u32::try_from(self.numbers.len()?)
                    .expect("a store does not hold four billion traces");
                self.numbers.insert(document.id(), number)?;
                self.held_numbers.insert(document, number);
                let state = TraceState::unknown(part.trace.clone());
                let (keys, spans) = (BTreeSet::new(), BTreeMap::new());
                let held = Held { keys, state, spans, unseen: false, changed: true };
                self.held.insert(number, held);
                number
            }
        };
        let held = self.hold(document, number)?;
        if held.state.deleted {
            return Ok(false);
        }
        held.state.take(part);
        held.changed = true;
        if held.state.deleted {
            held.spans.clear();
            held.unseen = false;
            return Ok(false);
        }
        for span in &part.spans {
            self.take_span(number, span)?;
        }
        Ok(known.is_none())
    }

    fn take_span(&mut self, number: u32, span: &EncodedSpan) -> Result<(), StoreError> {
        let Some(held) = self.held.get_mut(&number) else { return Ok(()) };
        let stays = match held.spans.get(&span.id()) {
            Some(have) => have.counts_over(span),
            None => {
                let place = (number, u64::from_be_bytes(span.id()));
                let have = self.spans.get(place)?;
                have.is_some_and(|have| EncodedSpan::counts(have.value(), span.as_bytes()))
            }
        };
        if !stays {
            held.spans.insert(span.id(), span.clone());
            held.unseen = true;
        }
        Ok(())
    }

    /// Notes what the document about a trace says. One that is not here yet is told when it comes.
    pub fn overlay(&mut self, document: DocumentId, row: &DocumentRow) -> Result<(), StoreError> {
        let Some(number) = self.number_of(&document)? else { return Ok(()) };
        let held = self.hold(document, number)?;
        if !held.state.deleted {
            held.state.overlay(row);
            held.changed = true;
        }
        Ok(())
    }

    /// Works out what all spans of a trace come to, if some were added.
    fn see_spans(&mut self, number: u32) -> Result<(), StoreError> {
        let Some(held) = self.held.get_mut(&number).filter(|held| held.unseen) else {
            return Ok(());
        };
        let damaged = |_| StoreError::NotOurs("a span is damaged; rebuild the index");
        let mut all: BTreeMap<SpanId, Span> = BTreeMap::new();
        for item in self.spans.range((number, 0)..=(number, u64::MAX))? {
            let span = Span::decode(item?.1.value()).map_err(damaged)?;
            all.insert(span.id, span);
        }
        for span in held.spans.values() {
            all.insert(span.id(), span.decode().map_err(damaged)?);
        }
        held.state.see_spans(&all.into_values().collect::<Vec<_>>());
        held.unseen = false;
        Ok(())
    }

    /// The traces of an experiment that started until then, the oldest first, as the tables have them
    /// and as this batch has changed them.
    pub fn started_until(
        &mut self,
        experiment: ExperimentId,
        until_ms: i64,
    ) -> Result<Vec<(i64, String)>, StoreError> {
        let held: Vec<u32> = self.held.keys().copied().collect();
        for number in held {
            self.see_spans(number)?;
        }
        let head = trace_key::head(experiment, TraceColumn::Start, 0, "");
        let low = trace_key::at_start(head.clone(), i64::MIN);
        let high = trace_key::key(head, until_ms, u32::MAX);
        let mut found = Vec::new();
        for item in self.keys.range::<&[u8]>(low.as_slice()..=high.as_slice())? {
            let place = trace_key::start_and_number(item?.0.value());
            let (start_ms, number) = place.expect("keys of this table end in a trace's number");
            if !self.held.contains_key(&number)
                && let Some(bytes) = self.rows.get(number)?
            {
                let state: TraceState = decode("traces", bytes.value())?;
                found.push((start_ms, state.trace));
            }
        }
        for held in self.held.values().filter(|held| !held.state.deleted) {
            let row = held.state.clone().into_row();
            if row.experiment == experiment && row.start_ms <= until_ms {
                found.push((row.start_ms, row.id));
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    /// Writes all that changed and closes the tables. Keys are numbered by `key_number`.
    pub fn flush(
        mut self,
        mut key_number: impl FnMut(&str) -> Result<u32, StoreError>,
    ) -> Result<(), StoreError> {
        let numbers: Vec<u32> = self.held.keys().copied().collect();
        for number in numbers {
            self.see_spans(number)?;
        }
        for (number, held) in self.held.iter().filter(|(_, held)| held.changed) {
            for (id, span) in &held.spans {
                self.spans.insert((*number, u64::from_be_bytes(*id)), span.as_bytes())?;
            }
            if held.state.deleted {
                self.spans.retain_in((*number, 0)..=(*number, u64::MAX), |_, _| false)?;
            }
            self.rows.insert(number, encode(&held.state).as_slice())?;
            let keys = keys_of(&held.state);
            for gone in held.keys.difference(&keys) {
                self.keys.remove(gone.bytes(*number, &mut key_number)?.as_slice())?;
            }
            for come in keys.difference(&held.keys) {
                self.keys.insert(come.bytes(*number, &mut key_number)?.as_slice(), ())?;
            }
        }
        Ok(())
    }
}

impl Key {
    fn bytes(
        &self,
        number: u32,
        key_number: &mut impl FnMut(&str) -> Result<u32, StoreError>,
    ) -> Result<Vec<u8>, StoreError> {
        let key = match self.column {
            TraceColumn::Tag | TraceColumn::Metadata => key_number(&self.key)?,
            _ => 0,
        };
        let head = trace_key::head(self.experiment, self.column, key, &self.text);
        Ok(trace_key::key(head, self.start_ms, number))
    }
}

/// What a trace is found by.
fn keys_of(state: &TraceState) -> BTreeSet<Key> {
    if state.deleted {
        return BTreeSet::new();
    }
    let row: TraceRow = state.clone().into_row();
    let (experiment, start_ms) = (row.experiment, row.start_ms);
    let mut keys = BTreeSet::new();
    let mut add = |column, key: String, text: String| {
        if trace_key::is_indexed(&text) {
            keys.insert(Key { experiment, column, key, text, start_ms });
        }
    };
    add(TraceColumn::Start, String::new(), String::new());
    add(TraceColumn::Status, String::new(), row.status.as_str().to_owned());
    for tag in row.tags {
        add(TraceColumn::Tag, tag.key, tag.value);
    }
    for fact in row.metadata {
        add(TraceColumn::Metadata, fact.key, fact.value);
    }
    for run in row.runs {
        add(TraceColumn::Run, String::new(), run.to_string());
    }
    for prompt in row.prompts {
        add(TraceColumn::Prompt, String::new(), prompt);
    }
    keys
}
