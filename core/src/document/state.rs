//! What a document says.
//!
//! Invariant: a function of the set of changes that count. Maps are read from the changes: a value
//! stands until a change that has seen it sets or deletes its key, so of what was done while apart
//! every value stands, and a rule chooses the one to show. The description is Automerge's.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::decode::{Op, OpId, Value};
use super::error::DocumentError;
use super::history::History;
use super::put::{Container, Scalar};
use super::text;
use crate::clock::Clock;
use crate::ids::{ChangeHash, DocumentKind};
use crate::index::fields::is_bookkeeping;
use crate::rows::Lifecycle;

/// What stands at a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The value to show.
    pub value: Scalar,
    /// Values that were set at the same time elsewhere, and when.
    pub others: Vec<(Scalar, Clock)>,
}

impl Held {
    /// Whether something else was set at the same time elsewhere.
    pub fn is_contested(&self) -> bool {
        self.others.iter().any(|(other, _)| *other != self.value)
    }
}

/// What a document says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DocumentState {
    /// The document's own fields.
    pub info: BTreeMap<String, Held>,
    /// Params by key.
    pub params: BTreeMap<String, Held>,
    /// Tags by key.
    pub tags: BTreeMap<String, Held>,
    /// Datasets and models read.
    pub inputs: BTreeMap<String, Held>,
    /// Models produced.
    pub outputs: BTreeMap<String, Held>,
    /// The note that people edit.
    pub description: String,
}

impl DocumentState {
    /// Reads a snapshot.
    pub fn read(kind: DocumentKind, snapshot: &[u8]) -> Result<Self, DocumentError> {
        let history = History::read(kind, Some(snapshot))?;
        let standing = Standing::read(&history)?;
        let mut state = Self::default();
        for ((container, key), values) in standing.values {
            let held = choose(kind, container, key, values);
            state.map_mut(container).insert(key.to_owned(), held);
        }
        if standing.has_text {
            state.description = text::read(&history)?;
        }
        Ok(state)
    }

    /// Whether devices that were apart set something that people care for to different values.
    pub fn is_contested(&self) -> bool {
        Container::ALL.into_iter().any(|container| {
            let mut held = self.map(container).iter();
            held.any(|(key, held)| held.is_contested() && !is_bookkeeping(container, key))
        })
    }

    /// One of the maps.
    pub const fn map(&self, container: Container) -> &BTreeMap<String, Held> {
        match container {
            Container::Info => &self.info,
            Container::Params => &self.params,
            Container::Tags => &self.tags,
            Container::Inputs => &self.inputs,
            Container::Outputs => &self.outputs,
        }
    }

    const fn map_mut(&mut self, container: Container) -> &mut BTreeMap<String, Held> {
        match container {
            Container::Info => &mut self.info,
            Container::Params => &mut self.params,
            Container::Tags => &mut self.tags,
            Container::Inputs => &mut self.inputs,
            Container::Outputs => &mut self.outputs,
        }
    }
}

/// A value that stands at a key, and the change that set it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Set<'a> {
    pub(super) id: OpId,
    pub(super) value: Value<'a>,
    pub(super) clock: Clock,
    pub(super) change: ChangeHash,
}

/// The values that stand in the maps of a document.
#[derive(Debug, Default)]
pub(super) struct Standing<'a> {
    pub(super) values: BTreeMap<(Container, &'a str), Vec<Set<'a>>>,
    pub(super) has_text: bool,
}

impl<'a> Standing<'a> {
    pub(super) fn read(history: &History<'a>) -> Result<Self, DocumentError> {
        let mut standing = Self::default();
        for change in history.counted() {
            let raw = &change.raw;
            for (at, op) in raw.read_ops()?.into_iter().enumerate() {
                let Op::Put { container, key, value, replaces } = op else {
                    standing.has_text = true;
                    continue;
                };
                let id = raw.op_id(at);
                let set = |value| Set { id, value, clock: raw.clock, change: raw.hash };
                standing.put(container, key, value.map(set), &replaces);
            }
        }
        Ok(standing)
    }

    fn put(&mut self, container: Container, key: &'a str, set: Option<Set<'a>>, replaces: &[OpId]) {
        let values = self.values.entry((container, key)).or_default();
        values.retain(|earlier| !replaces.contains(&earlier.id));
        values.extend(set);
        if values.is_empty() {
            self.values.remove(&(container, key));
        }
    }
}

/// Orders what stands at a key: what is to be shown comes first.
pub(super) fn order(kind: DocumentKind, container: Container, key: &str, values: &mut [Set<'_>]) {
    if values.len() > 1 {
        let named = matches!(kind, DocumentKind::Experiment | DocumentKind::RegisteredModel);
        let lifecycle = named && (container, key) == (Container::Info, "lifecycle");
        let active = Value::Text(Lifecycle::Active.as_str());
        // A param is written once, so what came first is what it is.
        let once = container == Container::Params
            && matches!(kind, DocumentKind::Run | DocumentKind::LoggedModel);
        match container {
            _ if once => values.sort_unstable_by_key(|set| (set.clock, set.change, set.id)),
            // Creating what is known by its name beats deleting it meanwhile.
            _ if lifecycle => {
                values.sort_unstable_by_key(|set| (set.value != active, Reverse(set.id)));
            }
            _ => values.sort_unstable_by_key(|set| Reverse(set.id)),
        }
    }
}

fn choose(kind: DocumentKind, container: Container, key: &str, mut values: Vec<Set<'_>>) -> Held {
    order(kind, container, key, &mut values);
    let mut values = values.into_iter();
    let value = values.next().expect("a key without values is not kept").value.into();
    Held { value, others: values.map(|set| (set.value.into(), set.clock)).collect() }
}
