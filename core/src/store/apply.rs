//! Applies the operations of entries to documents, series and rows.
//!
//! Invariants: what comes of a set of entries does not depend on their order; an operation is
//! checked before its entry is stored, so that applying cannot fail on a peer's bytes; a change
//! whose dependencies have not arrived waits, and is applied when the last of them is.

use std::collections::{BTreeMap, HashMap};

use redb::{ReadableTable, ReadableTableMetadata, Table, WriteTransaction};

use super::StoreError;
use super::batch::Batch;
use super::journals::Journals;
use super::tables::{ACTS, CONTESTED, DOCUMENTS, WAITING};
use crate::act::Act;
use crate::artifact::ArtifactContent;
use crate::carried::{Carried, MAX_CARRIED};
use crate::clock::Clock;
use crate::codec::DecodeError;
use crate::document::{self, ChangeError, DocumentState, ParsedChange};
use crate::entry::EntryError;
use crate::ids::{BlobHash, ChangeHash, DeviceId, DocumentId, DocumentKind, WorkspaceId};
use crate::index::fields;
use crate::operation::{Operation, OperationKind};
use crate::series::{self, SeriesPoints};
use crate::trace::TracePart;

/// An operation that was checked.
#[derive(Debug)]
pub(super) enum Checked {
    Change {
        document: DocumentId,
        change: ParsedChange,
    },
    Points {
        document: DocumentId,
        series: Vec<SeriesPoints>,
    },
    Artifact {
        owner: DocumentId,
        artifact: ArtifactContent,
    },
    Act(Act),
    Trace(Box<TracePart>),
    /// Of a kind that this version does not know, or redacted: kept and forwarded.
    Opaque,
}

/// Why an operation is not one that its device may have written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OperationError {
    /// Its content is not in the format of its kind.
    #[error("an operation cannot be read")]
    Malformed(#[from] DecodeError),
    /// Its change is not one that the device may have made.
    #[error("a change is refused")]
    Change(#[from] ChangeError),
    /// It is about a thing that operations of its kind are not about.
    #[error("an operation is about the wrong kind of document")]
    WrongDocument,
    /// It carries what the device that is named did not sign.
    #[error("a carried change is not what its device signed")]
    NotSigned(#[source] Box<EntryError>),
    /// Its entry carries too many changes.
    #[error("an entry carries more than {MAX_CARRIED} changes")]
    TooManyCarried,
}

/// Checks an operation in an entry of `device`.
pub(super) fn check(
    workspace: WorkspaceId,
    device: DeviceId,
    operation: &Operation,
) -> Result<Checked, OperationError> {
    if let Operation::Whole { kind, content, .. } = operation
        && *kind == OperationKind::Carried as u8
    {
        Carried::decode(content)?
            .verify(workspace)
            .map_err(|error| OperationError::NotSigned(Box::new(error)))?;
    }
    read(device, operation)
}

/// Checks that an entry's operations do not carry too many changes.
pub(super) fn check_carried(operations: &[Operation]) -> Result<(), OperationError> {
    let carries = |operation: &&Operation| matches!(operation, Operation::Whole { kind, .. } if *kind == OperationKind::Carried as u8);
    match operations.iter().filter(carries).count() {
        0..=MAX_CARRIED => Ok(()),
        _ => Err(OperationError::TooManyCarried),
    }
}

/// Reads an operation in an entry of `device` that was checked when it came.
pub(super) fn read(device: DeviceId, operation: &Operation) -> Result<Checked, OperationError> {
    let Operation::Whole { kind, document, content, .. } = operation else {
        return Ok(Checked::Opaque);
    };
    let document = *document;
    match OperationKind::from_number(*kind) {
        Some(OperationKind::Change) => {
            let Some(kind) = document.kind() else { return Ok(Checked::Opaque) };
            let change = ParsedChange::parse(kind, device, content)?;
            Ok(Checked::Change { document, change })
        }
        Some(OperationKind::Points) if document.as_run().is_none() => {
            Err(OperationError::WrongDocument)
        }
        Some(OperationKind::Points) => {
            Ok(Checked::Points { document, series: series::decode_points(content)? })
        }
        Some(OperationKind::Artifact) => {
            let artifact = ArtifactContent::decode(content)?;
            Ok(Checked::Artifact { owner: document, artifact })
        }
        Some(OperationKind::Act) => Ok(Act::decode(content)?.map_or(Checked::Opaque, Checked::Act)),
        Some(OperationKind::Trace) => {
            let part = TracePart::decode(content)?;
            if part.document() != document {
                return Err(OperationError::WrongDocument);
            }
            Ok(Checked::Trace(Box::new(part)))
        }
        Some(OperationKind::Carried) => {
            let carried = Carried::decode(content)?;
            let (about, content) = carried.change();
            if about != document {
                return Err(OperationError::WrongDocument);
            }
            let Some(kind) = document.kind() else { return Ok(Checked::Opaque) };
            let change = ParsedChange::parse(kind, carried.device(), content)?;
            Ok(Checked::Change { document, change })
        }
        None => Ok(Checked::Opaque),
    }
}

/// Where an operation stands: journal number, entry number, place in the entry.
pub(super) type Place = (u32, u64, u32);

#[derive(Default)]
struct Incoming {
    changes: Vec<ParsedChange>,
    places: HashMap<ChangeHash, Place>,
}

/// Collects checked operations and applies them to the tables of one transaction.
pub(super) struct Applier<'txn> {
    pub(super) batch: Batch<'txn>,
    documents: Table<'txn, &'static [u8; 17], &'static [u8]>,
    contested: Table<'txn, &'static [u8; 17], ()>,
    waiting: Table<'txn, (&'static [u8; 32], u32, u64, u32), ()>,
    acts: Table<'txn, (u32, u64, u32), ()>,
    incoming: BTreeMap<DocumentId, Incoming>,
    /// Blobs that were named, and their sizes.
    pub(super) blobs: Vec<(BlobHash, u64)>,
}

impl<'txn> Applier<'txn> {
    pub(super) fn open(txn: &'txn WriteTransaction) -> Result<Self, StoreError> {
        Self::with(txn, Batch::open(txn)?)
    }

    /// Goes on with rows that are not in the tables yet.
    pub(super) fn with(
        txn: &'txn WriteTransaction,
        batch: Batch<'txn>,
    ) -> Result<Self, StoreError> {
        Ok(Self {
            batch,
            documents: txn.open_table(DOCUMENTS)?,
            contested: txn.open_table(CONTESTED)?,
            waiting: txn.open_table(WAITING)?,
            acts: txn.open_table(ACTS)?,
            incoming: BTreeMap::new(),
            blobs: Vec::new(),
        })
    }

    /// How many changes wait for others.
    pub(super) fn waiting(&self) -> Result<u64, StoreError> {
        Ok(self.waiting.len()?)
    }

    /// Takes an operation of an entry sealed at `clock`.
    pub(super) fn add(
        &mut self,
        place: Place,
        clock: Clock,
        operation: Checked,
    ) -> Result<(), StoreError> {
        match operation {
            Checked::Change { document, change } => {
                let incoming = self.incoming.entry(document).or_default();
                incoming.places.insert(change.hash(), place);
                incoming.changes.push(change);
            }
            Checked::Points { document, series } => {
                let run = document.as_run().expect("checked: points are of runs");
                for points in &series {
                    self.batch.ingest_points(&run, points)?;
                }
            }
            Checked::Artifact { owner, artifact } => {
                self.blobs.extend(artifact.content);
                self.batch.put_artifact(owner, &artifact.path, clock, artifact.content)?;
            }
            Checked::Act(_) => drop(self.acts.insert(place, ())?),
            Checked::Trace(part) => self.batch.take_trace(&part)?,
            Checked::Opaque => {}
        }
        Ok(())
    }

    /// Takes operations of a stored entry, with their places in it, that are good: they were when it
    /// came, and a newer version may understand more of it. Returns how many there are.
    pub(super) fn add_stored<'a>(
        &mut self,
        workspace: WorkspaceId,
        device: DeviceId,
        (journal, entry): (u32, u64),
        clock: Clock,
        operations: impl Iterator<Item = (u32, &'a Operation)>,
    ) -> Result<usize, StoreError> {
        let mut taken = 0;
        for (at, operation) in operations {
            taken += 1;
            if let Ok(checked) = check(workspace, device, operation) {
                self.add((journal, entry, at), clock, checked)?;
            }
        }
        Ok(taken)
    }

    /// Applies the changes taken so far, and those that waited for them.
    pub(super) fn apply_changes(&mut self, journals: &Journals<'_>) -> Result<(), StoreError> {
        while let Some((document, incoming)) = self.incoming.pop_first() {
            let Some(kind) = document.kind() else { continue };
            let failed = |source| StoreError::Document { document, source: Box::new(source) };
            let held = self.documents.get(&document.to_bytes())?;
            let snapshot = held.as_ref().map(|bytes| bytes.value());
            let applied = document::apply(kind, snapshot, &incoming.changes).map_err(failed)?;
            drop(held);
            self.documents.insert(&document.to_bytes(), applied.snapshot.as_slice())?;
            for waiting in &applied.waiting {
                let (journal, entry, at) = incoming.places[&waiting.change];
                self.waiting.insert((waiting.missing.as_bytes(), journal, entry, at), ())?;
            }
            for hash in &applied.applied {
                self.wake(hash, journals)?;
            }
            if !applied.applied.is_empty() {
                self.update_row(kind, document, &applied.snapshot)?;
            }
        }
        Ok(())
    }

    /// Takes the changes that waited for one that has arrived.
    fn wake(&mut self, arrived: &ChangeHash, journals: &Journals<'_>) -> Result<(), StoreError> {
        if self.waiting.is_empty()? {
            return Ok(());
        }
        let hash = arrived.as_bytes();
        let range = self.waiting.range((hash, 0, 0, 0)..=(hash, u32::MAX, u64::MAX, u32::MAX))?;
        let places = range.map(|item| {
            let (_, journal, entry, at) = item?.0.value();
            Ok((journal, entry, at))
        });
        let places: Vec<Place> = places.collect::<Result<_, StoreError>>()?;
        if places.is_empty() {
            return Ok(());
        }
        let by_number = journals.by_number()?;
        for (journal_number, entry_number, at) in places {
            self.waiting.remove((hash, journal_number, entry_number, at))?;
            let Some(journal) = by_number.get(&journal_number) else { continue };
            let entry = journals.read(*journal, journal_number, entry_number)?;
            let operation = entry.as_ref().and_then(|entry| entry.operations().get(at as usize));
            if let Some(Ok(checked @ Checked::Change { .. })) =
                operation.map(|operation| read(journal.device, operation))
            {
                self.add((journal_number, entry_number, at), Clock::default(), checked)?;
            }
        }
        Ok(())
    }

    fn update_row(
        &mut self,
        kind: DocumentKind,
        document: DocumentId,
        snapshot: &[u8],
    ) -> Result<(), StoreError> {
        let failed = |source| StoreError::Document { document, source: Box::new(source) };
        let state = DocumentState::read(kind, snapshot).map_err(failed)?;
        self.note_contested(&document, &state)?;
        if let Some(run) = document.as_run() {
            let (_, row) = self.batch.run_mut(&run)?;
            let metrics = std::mem::take(&mut row.metrics);
            *row = fields::run_from(run, &state, metrics);
        } else if let Some(id) = document.as_experiment() {
            *self.batch.experiment_mut(id, document)? =
                fields::experiment_from(id, document, &state);
        } else {
            self.batch.documents()?.replace(document, &state)?;
            self.batch.overlay_trace(document)?;
        }
        Ok(())
    }

    fn note_contested(
        &mut self,
        document: &DocumentId,
        state: &DocumentState,
    ) -> Result<(), StoreError> {
        if state.is_contested() {
            self.contested.insert(&document.to_bytes(), ())?;
        } else if !self.contested.is_empty()? {
            self.contested.remove(&document.to_bytes())?;
        }
        Ok(())
    }

    /// The snapshot of a document, if it has one.
    pub(super) fn snapshot(&self, document: &DocumentId) -> Result<Option<Vec<u8>>, StoreError> {
        let held = self.documents.get(&document.to_bytes())?;
        Ok(held.map(|bytes| bytes.value().to_vec()))
    }

    /// Keeps the snapshot of a document that was sealed here, and wakes what waited for it.
    pub(super) fn keep(
        &mut self,
        document: &DocumentId,
        snapshot: &[u8],
    ) -> Result<(), StoreError> {
        self.documents.insert(&document.to_bytes(), snapshot)?;
        // What is sealed here replaces all that is known, so it settles and contests nothing.
        if self.contested.is_empty()? || self.contested.get(&document.to_bytes())?.is_none() {
            return Ok(());
        }
        let Some(kind) = document.kind() else { return Ok(()) };
        let failed =
            |source| StoreError::Document { document: *document, source: Box::new(source) };
        let state = DocumentState::read(kind, snapshot).map_err(failed)?;
        self.note_contested(document, &state)
    }

    /// Notes where an act stands that was sealed here.
    pub(super) fn keep_act(&mut self, place: Place) -> Result<(), StoreError> {
        self.acts.insert(place, ())?;
        Ok(())
    }

    /// Writes all changed rows and closes the tables.
    pub(super) fn flush(self) -> Result<(), StoreError> {
        self.batch.flush()
    }
}
