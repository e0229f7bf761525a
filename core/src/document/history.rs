//! The history of a document: which of its changes count, and in what order.
//!
//! A snapshot is the list of a document's changes. Invariants: which changes count, their order
//! and so the snapshot's bytes are functions of the set of changes, whatever order they came in.
//! Changes stand in order of (depth, hash), where depth is the length of the longest way down to
//! the genesis change; going through them in that order, a change counts if all that it follows
//! counts, if no change before it has its actor and sequence number, and if it is *sound*: if it
//! numbers itself and names operations as a device would that had seen exactly what it follows.
//! Soundness hangs on nothing but the change and what it follows, all of which its hash covers.
//! Changes that do not count are kept, for a change that comes later may turn that.
//!
//! The snapshot: a varint count and that many changes, then the same for those set aside. Each
//! is a varint length and the bytes. It is local to a device, and derived.

use std::collections::{BTreeSet, HashMap};

use super::decode::{Op, OpId, RawChange};
use super::error::DocumentError;
use super::genesis::{Genesis, genesis};
use super::put::Container;
use crate::clock::Clock;
use crate::codec::{DecodeError, Reader, put_bytes, put_varint};
use crate::ids::{ActorId, ChangeHash, DocumentKind};
use crate::operation::MAX_CONTENT_BYTES;

/// A change that counts, and what of it is asked for most.
#[derive(Debug, Clone)]
pub(super) struct Counted<'a> {
    pub(super) raw: RawChange<'a>,
    pub(super) bytes: &'a [u8],
}

/// The changes of a document.
#[derive(Debug)]
pub(super) struct History<'a> {
    kind: DocumentKind,
    counted: Vec<Counted<'a>>,
    by_hash: HashMap<ChangeHash, usize>,
    /// The places of each actor's changes, by sequence number.
    by_actor: HashMap<ActorId, Vec<usize>>,
    heads: BTreeSet<ChangeHash>,
    max_op: u64,
    aside: Vec<&'a [u8]>,
}

/// The change that created a document: when it was sealed, and its hash. Where devices that were apart
/// did, it is the same one on all.
pub fn first_change(
    kind: DocumentKind,
    snapshot: &[u8],
) -> Result<Option<(Clock, ChangeHash)>, DocumentError> {
    let mut reader = Reader::new(snapshot);
    if reader.length(snapshot.len(), "changes")? == 0 {
        return Ok(None);
    }
    // Each stands after those it follows, so what comes after the first is not read.
    let change = RawChange::read(kind, reader.bytes(MAX_CONTENT_BYTES, "change")?)?;
    Ok(Some((change.clock, change.hash)))
}

/// Which changes a change follows, directly or not.
enum Past {
    All,
    Some(Vec<bool>),
}

impl Past {
    fn has(&self, place: usize) -> bool {
        match self {
            Self::All => true,
            Self::Some(places) => places[place],
        }
    }
}

impl<'a> History<'a> {
    pub(super) fn new(kind: DocumentKind) -> Self {
        Self {
            kind,
            counted: Vec::new(),
            by_hash: HashMap::new(),
            by_actor: HashMap::new(),
            heads: BTreeSet::from([genesis(kind).hash()]),
            max_op: Genesis::MAX_OP,
            aside: Vec::new(),
        }
    }

    /// Reads a snapshot; none is a new document's.
    pub(super) fn read(
        kind: DocumentKind,
        snapshot: Option<&'a [u8]>,
    ) -> Result<Self, DecodeError> {
        let mut history = Self::new(kind);
        let Some(snapshot) = snapshot else { return Ok(history) };
        let mut reader = Reader::new(snapshot);
        for _ in 0..reader.length(snapshot.len(), "changes")? {
            let bytes = reader.bytes(MAX_CONTENT_BYTES, "change")?;
            let raw = RawChange::read(kind, bytes)?;
            if !history.can_count(&raw) {
                return Err(DecodeError::Invalid { what: "snapshot" });
            }
            history.count(raw, bytes);
        }
        for _ in 0..reader.length(snapshot.len(), "changes set aside")? {
            history.aside.push(reader.bytes(MAX_CONTENT_BYTES, "change set aside")?);
        }
        reader.finish("snapshot")?;
        Ok(history)
    }

    pub(super) fn to_snapshot(&self) -> Vec<u8> {
        let counted = self.counted.iter().map(|change| change.bytes.len() + 4).sum::<usize>();
        let mut out = Vec::with_capacity(counted + 8);
        put_varint(&mut out, self.counted.len() as u64);
        for change in &self.counted {
            put_bytes(&mut out, change.bytes);
        }
        put_varint(&mut out, self.aside.len() as u64);
        for bytes in &self.aside {
            put_bytes(&mut out, bytes);
        }
        out
    }

    /// The changes that count, each after those it follows.
    pub(super) fn counted(&self) -> &[Counted<'a>] {
        &self.counted
    }

    pub(super) const fn kind(&self) -> DocumentKind {
        self.kind
    }

    pub(super) fn heads(&self) -> impl Iterator<Item = ChangeHash> {
        self.heads.iter().copied()
    }

    pub(super) const fn max_op(&self) -> u64 {
        self.max_op
    }

    /// What a change of an actor that has seen all follows: the heads and, as Automerge has it,
    /// the actor's last change.
    pub(super) fn deps(&self, actor: ActorId) -> BTreeSet<ChangeHash> {
        self.heads.iter().copied().chain(self.last_of(actor)).collect()
    }

    fn last_of(&self, actor: ActorId) -> Option<ChangeHash> {
        let place = self.by_actor.get(&actor)?.last()?;
        Some(self.counted[*place].raw.hash)
    }

    /// How many changes of an actor count.
    pub(super) fn last_seq(&self, actor: ActorId) -> u64 {
        self.by_actor.get(&actor).map_or(0, |changes| changes.len() as u64)
    }

    /// The changes that do not count, by hash.
    pub(super) fn aside(&self) -> &[&'a [u8]] {
        &self.aside
    }

    /// Keeps changes that do not count.
    pub(super) fn set_aside(&mut self, mut changes: Vec<(ChangeHash, &'a [u8])>) {
        changes.sort_unstable();
        self.aside = changes.into_iter().map(|(_, bytes)| bytes).collect();
    }

    /// Whether a change counts.
    pub(super) fn has(&self, hash: &ChangeHash) -> bool {
        *hash == genesis(self.kind).hash() || self.by_hash.contains_key(hash)
    }

    /// Appends a change, which counts.
    pub(super) fn count(&mut self, raw: RawChange<'a>, bytes: &'a [u8]) {
        let place = self.counted.len();
        for dep in &raw.deps {
            self.heads.remove(dep);
        }
        self.heads.insert(raw.hash);
        self.max_op = self.max_op.max(raw.max_op());
        self.by_hash.insert(raw.hash, place);
        self.by_actor.entry(raw.actor).or_default().push(place);
        self.counted.push(Counted { raw, bytes });
    }

    /// Whether a change can be counted next: all that it follows counts, and it numbers itself as
    /// the next one. Which operations it names is for [`Self::is_sound`].
    pub(super) fn can_count(&self, raw: &RawChange<'_>) -> bool {
        let Some(max_op) = raw.deps.iter().map(|dep| self.max_op_of(dep)).max().flatten() else {
            return false;
        };
        let counts = raw.deps.iter().all(|dep| self.has(dep));
        counts && raw.start_op == max_op + 1 && raw.seq == self.last_seq(raw.actor) + 1
    }

    fn max_op_of(&self, hash: &ChangeHash) -> Option<u64> {
        match self.by_hash.get(hash) {
            Some(place) => Some(self.counted[*place].raw.max_op()),
            None => self.has(hash).then_some(Genesis::MAX_OP),
        }
    }

    /// Whether a change that can be counted follows its actor's last one, as Automerge has it,
    /// and names operations that it may have seen.
    pub(super) fn is_sound(&self, raw: &RawChange<'_>) -> bool {
        let Ok(ops) = raw.read_ops() else { return false };
        let follows_own = self.last_of(raw.actor).is_none_or(|last| raw.deps.contains(&last));
        let mut lookup = Lookup { history: self, past: self.past(raw), cache: HashMap::new() };
        follows_own && ops.iter().enumerate().all(|(at, op)| lookup.allows(raw, &ops[..at], op))
    }

    fn past(&self, raw: &RawChange<'_>) -> Past {
        if self.heads.iter().all(|head| raw.deps.contains(head)) {
            return Past::All;
        }
        let mut places = vec![false; self.counted.len()];
        let mut next: Vec<&ChangeHash> = raw.deps.iter().collect();
        while let Some(hash) = next.pop() {
            let Some(place) = self.by_hash.get(hash) else { continue };
            if !std::mem::replace(&mut places[*place], true) {
                next.extend(&self.counted[*place].raw.deps);
            }
        }
        Past::Some(places)
    }
}

/// Finds the operations that a change names.
struct Lookup<'h, 'a> {
    history: &'h History<'a>,
    past: Past,
    cache: HashMap<usize, Vec<Op<'a>>>,
}

impl<'a> Lookup<'_, 'a> {
    fn allows(&mut self, raw: &RawChange<'_>, before: &[Op<'_>], op: &Op<'_>) -> bool {
        match op {
            Op::Put { container, key, replaces, .. } => {
                replaces.iter().all(|id| self.is_put(*id, *container, key))
            }
            Op::Insert { after: None, .. } => true,
            Op::Insert { after: Some(id), .. }
                if id.actor == raw.actor && id.counter >= raw.start_op =>
            {
                let at = (id.counter - raw.start_op) as usize;
                matches!(before.get(at), Some(Op::Insert { .. }))
            }
            Op::Insert { after: Some(id), .. } | Op::Delete { element: id } => {
                matches!(self.find(*id), Some(Op::Insert { .. }))
            }
        }
    }

    fn is_put(&mut self, id: OpId, in_container: Container, at_key: &str) -> bool {
        match self.find(id) {
            Some(Op::Put { container, key, value: Some(_), .. }) => {
                *container == in_container && *key == at_key
            }
            _ => false,
        }
    }

    fn find(&mut self, id: OpId) -> Option<&Op<'a>> {
        let changes = self.history.by_actor.get(&id.actor)?;
        let start = |place: &usize| self.history.counted[*place].raw.start_op;
        let after = changes.partition_point(|place| start(place) <= id.counter);
        let place = *changes.get(after.checked_sub(1)?)?;
        if !self.past.has(place) {
            return None;
        }
        let raw = &self.history.counted[place].raw;
        // What counts has been read before.
        let ops = self.cache.entry(place).or_insert_with(|| raw.read_ops().unwrap_or_default());
        ops.get((id.counter - raw.start_op) as usize)
    }
}
