//! Applies changes of peers to a document, and answers what a snapshot holds.

use std::collections::{HashMap, HashSet};

use super::change::ParsedChange;
use super::decode::RawChange;
use super::error::DocumentError;
use super::genesis::{Genesis, genesis};
use super::history::History;
use crate::ids::{ChangeHash, DocumentKind};

/// A change that follows one which is not here. The caller keeps it and tries again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// The change.
    pub change: ChangeHash,
    /// One that it follows; when that has been applied is the time to try again.
    pub missing: ChangeHash,
}

/// What came of applying changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The document now.
    pub snapshot: Vec<u8>,
    /// Changes that the snapshot holds now and did not before, whether they count or not.
    pub applied: Vec<ChangeHash>,
    /// Changes that the snapshot holds and that do not count, but did before or are new: they
    /// contradict themselves, or another change of their actor took their place, or they follow
    /// one of which this is so.
    pub set_aside: Vec<ChangeHash>,
    /// Changes that could not be applied yet.
    pub waiting: Vec<Waiting>,
}

/// Applies changes to a document; no snapshot is a new document's. Changes it has are ignored.
pub fn apply(
    kind: DocumentKind,
    snapshot: Option<&[u8]>,
    changes: &[ParsedChange],
) -> Result<Applied, DocumentError> {
    let old = History::read(kind, snapshot)?;
    let mut all = Vec::new();
    for bytes in old.aside() {
        all.push((RawChange::read(kind, bytes)?, *bytes));
    }
    all.extend(old.counted().iter().map(|change| (change.raw.clone(), change.bytes)));
    let mut held: HashSet<ChangeHash> = all.iter().map(|(raw, _)| raw.hash).collect();
    held.insert(genesis(kind).hash());
    let (ready, waiting) = ready(&mut held, changes);
    for change in &ready {
        all.push((RawChange::read(kind, &change.bytes)?, &change.bytes));
    }

    let new = decide(&old, kind, all);
    let applied: Vec<_> = ready.iter().map(|change| change.hash()).collect();
    let set_aside = applied
        .iter()
        .copied()
        .chain(old.counted().iter().map(|change| change.raw.hash))
        .filter(|hash| !new.has(hash))
        .collect();
    Ok(Applied { snapshot: new.to_snapshot(), applied, set_aside, waiting })
}

/// Tells the changes of which all that they follow is held from those that have to wait.
fn ready<'a>(
    held: &mut HashSet<ChangeHash>,
    changes: &'a [ParsedChange],
) -> (Vec<&'a ParsedChange>, Vec<Waiting>) {
    let mut ready = Vec::new();
    let mut waiting: HashMap<ChangeHash, Vec<&ParsedChange>> = HashMap::new();
    let mut seen = HashSet::new();
    for change in changes {
        let mut next = Vec::from_iter(seen.insert(change.hash()).then_some(change));
        while let Some(change) = next.pop() {
            match change.deps().iter().find(|dep| !held.contains(*dep)) {
                Some(missing) => waiting.entry(*missing).or_default().push(change),
                None if held.insert(change.hash()) => {
                    ready.push(change);
                    next.extend(waiting.remove(&change.hash()).unwrap_or_default());
                }
                None => {}
            }
        }
    }
    let mut waiting: Vec<_> = waiting
        .into_iter()
        .flat_map(|(missing, changes)| {
            changes.into_iter().map(move |change| Waiting { change: change.hash(), missing })
        })
        .collect();
    waiting.sort_unstable_by_key(|waiting| waiting.change);
    (ready, waiting)
}

/// Decides which of all changes count. None of them follows one that is not among them.
fn decide<'a>(
    old: &History<'_>,
    kind: DocumentKind,
    mut all: Vec<(RawChange<'a>, &'a [u8])>,
) -> History<'a> {
    // A sound change starts after all that it follows, so this order meets those first.
    all.sort_unstable_by_key(|(raw, _)| (raw.start_op, raw.hash));
    let mut known = HashMap::from([(genesis(kind).hash(), (0u32, Genesis::MAX_OP))]);
    let mut ordered = Vec::with_capacity(all.len());
    let mut aside = Vec::new();
    for (raw, bytes) in all {
        let below = raw.deps.iter().map(|dep| known.get(dep).copied());
        let below = below.collect::<Option<Vec<_>>>().unwrap_or_default();
        let depth = below.iter().map(|(depth, _)| depth + 1).max();
        let max_op = below.iter().map(|(_, max_op)| *max_op).max();
        match (depth, max_op) {
            (Some(depth), Some(max_op)) if raw.start_op == max_op + 1 => {
                known.insert(raw.hash, (depth, raw.max_op()));
                ordered.push((depth, raw, bytes));
            }
            _ => aside.push((raw.hash, bytes)),
        }
    }
    ordered.sort_unstable_by_key(|(depth, raw, _)| (*depth, raw.hash));
    let mut history = History::new(kind);
    for (_, raw, bytes) in ordered {
        // What counted before was sound, and being sound does not change.
        if history.can_count(&raw) && (old.has(&raw.hash) || history.is_sound(&raw)) {
            history.count(raw, bytes);
        } else {
            aside.push((raw.hash, bytes));
        }
    }
    history.set_aside(aside);
    history
}

/// Whether a snapshot holds a change, whether it counts or not.
pub fn contains(
    kind: DocumentKind,
    snapshot: &[u8],
    change: &ChangeHash,
) -> Result<bool, DocumentError> {
    let history = History::read(kind, Some(snapshot))?;
    if history.has(change) {
        return Ok(true);
    }
    for bytes in history.aside() {
        if RawChange::read(kind, bytes)?.hash == *change {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The changes that no other one follows, sorted: two devices with the same heads have the same
/// document.
pub fn heads(kind: DocumentKind, snapshot: &[u8]) -> Result<Vec<ChangeHash>, DocumentError> {
    Ok(History::read(kind, Some(snapshot))?.heads().collect())
}
