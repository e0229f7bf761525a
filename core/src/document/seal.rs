//! Turns edits into a change.
//!
//! Invariants: the change is the one that Automerge itself would make of the same edit (a test
//! compares the bytes); a key is put once; what changes nothing makes no change.

use std::collections::BTreeMap;
use std::num::NonZeroU64;

use automerge::legacy::{self, Key, OpType};
use automerge::transaction::Transactable;
use automerge::{ExpandedChange, ScalarValue};

use super::decode::{MAX_CHANGE_OPS, OpId, RawChange};
use super::error::DocumentError;
use super::genesis::genesis;
use super::history::History;
use super::put::{Container, DocumentEdit, Scalar};
use super::state::{Set, Standing};
use super::text;
use crate::clock::Clock;
use crate::ids::{ActorId, ChangeHash, DocumentKind};

/// A change that was made of an edit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The Automerge change, for [`super::ChangeContent`].
    pub change: Vec<u8>,
    /// Its hash.
    pub hash: ChangeHash,
    /// The document with it.
    pub snapshot: Vec<u8>,
}

/// Makes one change of an edit; none if it changes nothing. No snapshot is a new document's.
pub fn seal_edit(
    kind: DocumentKind,
    snapshot: Option<&[u8]>,
    actor: ActorId,
    clock: Clock,
    edit: &DocumentEdit,
) -> Result<Option<Sealed>, DocumentError> {
    let mut history = History::read(kind, snapshot)?;
    let standing = Standing::read(&history)?;
    let puts = effective(edit, &standing);
    let change = match &edit.description {
        Some(text) if standing.has_text || !text.is_empty() => {
            with_automerge(&history, actor, clock, &puts, Some(text))?
        }
        _ if puts.is_empty() => None,
        _ => Some(directly(&history, actor, clock, &puts, &standing)?),
    };
    let Some(change) = change else { return Ok(None) };
    let raw = RawChange::read(kind, &change)?;
    let hash = raw.hash;
    debug_assert!(history.can_count(&raw) && history.is_sound(&raw));
    history.count(raw, &change);
    let snapshot = history.to_snapshot();
    Ok(Some(Sealed { snapshot, hash, change }))
}

pub(super) type Puts<'a> = BTreeMap<(Container, &'a str), Option<&'a Scalar>>;

/// The puts that change something: the last of each key, unless it is what stands there alone.
pub(super) fn effective<'a>(edit: &'a DocumentEdit, standing: &Standing<'_>) -> Puts<'a> {
    let puts = edit.puts.iter();
    let mut puts: Puts<'a> =
        puts.map(|put| ((put.container, put.key.as_str()), put.value.as_ref())).collect();
    puts.retain(|place, value| match (standing.values.get(place).map(Vec::as_slice), value) {
        (None, None) => false,
        (Some([alone]), Some(value)) => Scalar::from(alone.value) != **value,
        _ => true,
    });
    puts
}

/// Builds a change that touches maps only, as Automerge would, without its document.
fn directly(
    history: &History<'_>,
    actor: ActorId,
    clock: Clock,
    puts: &Puts<'_>,
    standing: &Standing<'_>,
) -> Result<Vec<u8>, DocumentError> {
    check_size(puts.len())?;
    let objects = Container::ALL.map(|map| genesis(history.kind()).object_id(map.object()));
    let op = |(place, value): (&(Container, &str), &Option<&Scalar>)| {
        let mut standing = standing.values.get(place).cloned().unwrap_or_default();
        standing.sort_unstable_by_key(|set| set.id);
        let mut action = value.map_or(OpType::Delete, |value| OpType::Put(scalar(value)));
        // To settle on the value that Automerge shows anyway, it deletes the others.
        let shown =
            |set: &mut Set<'_>| value.is_some_and(|value| Scalar::from(set.value) == *value);
        if standing.pop_if(shown).is_some() {
            action = OpType::Delete;
        }
        legacy::Op {
            action,
            obj: objects[place.0 as usize].clone(),
            key: Key::Map(place.1.into()),
            pred: standing.iter().map(|set| legacy_id(set.id)).collect(),
            insert: false,
        }
    };
    let change = automerge::Change::from(ExpandedChange {
        operations: puts.iter().map(op).collect(),
        actor_id: automerge::ActorId::from(*actor.as_bytes()),
        hash: None,
        seq: history.last_seq(actor) + 1,
        start_op: NonZeroU64::MIN.saturating_add(history.max_op()),
        time: clock.0 as i64,
        message: None,
        deps: history
            .deps(actor)
            .iter()
            .map(|hash| automerge::ChangeHash(*hash.as_bytes()))
            .collect(),
        extra_bytes: Vec::new(),
        author: None,
    });
    Ok(change.raw_bytes().to_vec())
}

/// Lets Automerge make the change: it knows how to edit a text.
pub(super) fn with_automerge(
    history: &History<'_>,
    actor: ActorId,
    clock: Clock,
    puts: &Puts<'_>,
    description: Option<&str>,
) -> Result<Option<Vec<u8>>, DocumentError> {
    check_size(puts.len() + description.map_or(0, str::len))?;
    text::change(history, actor, clock, |transaction| {
        for ((container, key), value) in puts {
            let map = text::object(transaction, container.name(history.kind()))?;
            match value {
                Some(value) => transaction.put(map, *key, scalar(value))?,
                None => transaction.delete(map, *key)?,
            }
        }
        if let Some(text) = description {
            let object = text::object(transaction, "description")?;
            transaction.update_text(&object, text)?;
        }
        Ok(())
    })
}

fn legacy_id(id: OpId) -> legacy::OpId {
    legacy::OpId::new(id.counter, &automerge::ActorId::from(*id.actor.as_bytes()))
}

fn scalar(value: &Scalar) -> ScalarValue {
    match value {
        Scalar::Text(text) => ScalarValue::Str(text.as_str().into()),
        Scalar::Integer(integer) => ScalarValue::Int(*integer),
    }
}

/// Half of the limit, for a text that is replaced is deleted by as many operations again.
const fn check_size(operations: usize) -> Result<(), DocumentError> {
    let limit = MAX_CHANGE_OPS / 2;
    if operations > limit { Err(DocumentError::TooLarge { operations, limit }) } else { Ok(()) }
}
