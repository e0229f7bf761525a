//! The description, an Automerge text: read and edited by Automerge itself.

use std::panic::{AssertUnwindSafe, catch_unwind};

use automerge::transaction::{CommitOptions, Transaction};
use automerge::{Automerge, AutomergeError, Change, ObjId, ROOT, ReadDoc};

use super::error::DocumentError;
use super::genesis::genesis;
use super::history::History;
use crate::clock::Clock;
use crate::ids::ActorId;

/// Reads the description.
pub(super) fn read(history: &History<'_>) -> Result<String, DocumentError> {
    guarded(|| {
        let document = load(history)?;
        let description = object(&document, "description");
        description.and_then(|id| document.text(id)).map_err(DocumentError::Automerge)
    })
}

/// Makes a change with Automerge. None if `edit` changes nothing.
pub(super) fn change(
    history: &History<'_>,
    actor: ActorId,
    clock: Clock,
    edit: impl FnOnce(&mut Transaction<'_>) -> Result<(), AutomergeError>,
) -> Result<Option<Vec<u8>>, DocumentError> {
    guarded(|| {
        let mut document = load(history)?;
        document.set_actor(automerge::ActorId::from(*actor.as_bytes()));
        let mut transaction = document.transaction();
        edit(&mut transaction).map_err(DocumentError::Automerge)?;
        let time = clock.0 as i64;
        let (made, _) = transaction.commit_with(CommitOptions::default().with_time(time));
        let change = made.and_then(|hash| document.get_change_by_hash(&hash));
        Ok(change.map(|change| change.raw_bytes().to_vec()))
    })
}

/// The id of an object at the document's root.
pub(super) fn object(document: &impl ReadDoc, name: &str) -> Result<ObjId, AutomergeError> {
    let found = document.get(ROOT, name)?;
    Ok(found.expect("the genesis change made it, and no other can touch the root").1)
}

fn load(history: &History<'_>) -> Result<Automerge, DocumentError> {
    let genesis = genesis(history.kind()).bytes();
    let changes = [genesis].into_iter().chain(history.counted().iter().map(|change| change.bytes));
    let changes: Vec<_> =
        changes.map(Change::try_from).collect::<Result<_, _>>().map_err(DocumentError::Load)?;
    let mut document = Automerge::new();
    document.apply_changes(changes).map_err(DocumentError::Automerge)?;
    Ok(document)
}

/// Automerge asserts what it takes for granted. What gets here has been checked, so a panic is a
/// gap in our checks; it must not take the daemon down. Nothing that was touched is used again.
fn guarded<T>(work: impl FnOnce() -> Result<T, DocumentError>) -> Result<T, DocumentError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(Err(DocumentError::Panicked))
}
