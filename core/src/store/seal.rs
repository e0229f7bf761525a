//! Sealing: edits become entries of this device's journal.
//!
//! One durable transaction builds one Automerge change for each touched document, merges points
//! into columns, writes the entries and takes the edits away. An entry leaves the device only
//! after it.

use std::collections::HashMap;

use redb::WriteTransaction;

use super::apply::Applier;
use super::batch::Batch;
use super::journals::Journals;
use super::meta::Progress;
use super::{Store, StoreError, durable, meta};
use crate::act::Act;
use crate::artifact::ArtifactContent;
use crate::clock::{Clock, UnixMillis};
use crate::document::{self, ChangeContent, DocumentEdit, Put, Scalar};
use crate::edit::{Edit, MAX_EDIT_BYTES};
use crate::entry::Entry;
use crate::ids::{DocumentId, RunId};
use crate::operation::{MAX_OPERATIONS, Operation, OperationKind};
use crate::rows::{MetricContext, Point};
use crate::series::{self, SeriesPoints};
use crate::trace::TracePart;

/// An entry's body is closed when it is this long before compression.
const BODY_BYTES: usize = 1 << 20;
/// A change is closed when its edits are this long: more go to a further one. A change can hold
/// [twice as much](MAX_CONTENT_BYTES), and one edit is never longer than this.
const CHANGE_BYTES: usize = MAX_EDIT_BYTES;
/// What a put takes beside its key and value, at most.
const PUT_BYTES: usize = 32;
/// Points of one operation: more go to a further one.
const POINTS_PER_OPERATION: usize = 1 << 16;

/// More of one trace than this goes to further operations, one for each edit at the most.
const TRACE_BYTES: usize = 1 << 20;

/// What the edits come to, by what they touch, in the order it was first touched.
#[derive(Default)]
struct Gathered {
    /// Each with its length. A document may be there several times, in order.
    documents: Vec<(DocumentId, DocumentEdit, usize)>,
    document_places: HashMap<DocumentId, usize>,
    runs: Vec<(RunId, Vec<SeriesPoints>)>,
    run_places: HashMap<RunId, usize>,
    series_places: HashMap<(RunId, String, MetricContext), usize>,
    artifacts: Vec<(DocumentId, ArtifactContent)>,
    artifact_places: HashMap<(DocumentId, String), usize>,
    acts: Vec<Act>,
    traces: Vec<TracePart>,
    trace_places: HashMap<(String, DocumentId), usize>,
}

impl Gathered {
    fn add(&mut self, edit: &Edit) {
        match edit {
            Edit::Document { document, edit } => self.add_document(*document, edit),
            Edit::Points { run, metrics } => {
                for metric in metrics {
                    self.add_point(*run, &metric.key, &metric.context, metric.point);
                }
            }
            Edit::Artifact { owner, path, content } => {
                let next = self.artifacts.len();
                let at = *self.artifact_places.entry((*owner, path.clone())).or_insert(next);
                if at == next {
                    let artifact = ArtifactContent { path: path.clone(), content: *content };
                    self.artifacts.push((*owner, artifact));
                } else {
                    self.artifacts[at].1.content = *content;
                }
            }
            Edit::Act(act) => self.acts.push(act.clone()),
            Edit::Trace(part) => {
                let next = self.traces.len();
                let name = (part.trace.clone(), part.experiment);
                let at = self.trace_places.entry(name).or_insert(next);
                match self.traces.get_mut(*at) {
                    Some(held) if held.bytes() + part.bytes() <= TRACE_BYTES => {
                        held.merge(part.clone());
                    }
                    _ => {
                        *at = next;
                        self.traces.push(part.clone());
                    }
                }
            }
        }
    }

    fn add_document(&mut self, document: DocumentId, edit: &DocumentEdit) {
        let (next, bytes) = (self.documents.len(), edit_bytes(edit));
        let at = self.document_places.entry(document).or_insert(next);
        if self.documents.get(*at).is_some_and(|(.., held)| held + bytes > CHANGE_BYTES) {
            *at = next;
        }
        if *at == next {
            self.documents.push((document, edit.clone(), bytes));
            return;
        }
        let (_, held, held_bytes) = &mut self.documents[*at];
        *held_bytes += bytes;
        held.puts.extend(edit.puts.iter().cloned());
        if edit.description.is_some() {
            held.description.clone_from(&edit.description);
        }
    }

    fn add_point(&mut self, run: RunId, key: &str, context: &MetricContext, point: Point) {
        let next = self.runs.len();
        let at = *self.run_places.entry(run).or_insert(next);
        if at == next {
            self.runs.push((run, Vec::new()));
        }
        let series = &mut self.runs[at].1;
        let next = series.len();
        let name = (run, key.to_owned(), context.clone());
        let at = *self.series_places.entry(name).or_insert(next);
        if at == next {
            let (key, context) = (key.to_owned(), context.clone());
            series.push(SeriesPoints { key, context, points: Vec::new() });
        }
        series[at].points.push(point);
    }
}

/// What a seal came to.
pub(super) struct Sealed {
    progress: Progress,
    entries: usize,
    acts: bool,
}

impl Store {
    /// Seals all edits. Returns how many entries that made; none if there was nothing to seal.
    pub fn seal(&mut self, now: UnixMillis) -> Result<usize, StoreError> {
        if self.pending.is_empty() {
            return Ok(0);
        }
        let database = std::sync::Arc::clone(&self.database);
        let txn = durable(&database)?;
        let (batch, progress) = (Batch::open(&txn)?, self.progress);
        let sealed = self.seal_batch(&txn, batch, progress, now)?;
        txn.commit()?;
        self.sealed(sealed, now)
    }

    /// Seals all edits together with rows that are not in the tables yet. The caller commits.
    pub(super) fn seal_batch(
        &mut self,
        txn: &WriteTransaction,
        batch: Batch<'_>,
        mut progress: Progress,
        now: UnixMillis,
    ) -> Result<Sealed, StoreError> {
        let mut gathered = Gathered::default();
        for timed in &self.pending {
            gathered.add(&timed.edit);
        }
        progress.clock = progress.clock.tick(now);
        progress.sealed = progress.applied;
        let acts = !gathered.acts.is_empty();
        let mut journals = Journals::open(txn)?;
        let mut applier = Applier::with(txn, batch)?;
        let operations = self.operations(&mut applier, gathered, progress.clock)?;
        let entries = self.push_entries(&mut journals, &mut applier, operations, progress.clock)?;
        applier.flush()?;
        meta::write_progress(txn, &progress)?;
        Ok(Sealed { progress, entries, acts })
    }

    /// Notes that a seal is committed.
    pub(super) fn sealed(&mut self, sealed: Sealed, now: UnixMillis) -> Result<usize, StoreError> {
        self.log.start_over();
        self.progress = sealed.progress;
        self.pending.clear();
        if sealed.acts {
            self.settle(now)?;
        }
        Ok(sealed.entries)
    }

    fn operations(
        &mut self,
        applier: &mut Applier<'_>,
        gathered: Gathered,
        clock: Clock,
    ) -> Result<Vec<Operation>, StoreError> {
        let mut operations = Vec::new();
        for act in gathered.acts {
            let content = act.encode();
            operations.push(self.operation(OperationKind::Act, DocumentId::WORKSPACE, content));
        }
        for (document, edit, _) in gathered.documents {
            let Some(kind) = document.kind() else { continue };
            let failed = |source| StoreError::Document { document, source: Box::new(source) };
            let held = applier.snapshot(&document)?;
            let sealed = document::seal_edit(kind, held.as_deref(), self.actor, clock, &edit);
            let Some(sealed) = sealed.map_err(failed)? else { continue };
            applier.keep(&document, &sealed.snapshot)?;
            let content = ChangeContent { nonce: self.start.nonce, bytes: sealed.change };
            operations.push(self.operation(OperationKind::Change, document, content.encode()));
        }
        for (run, all) in gathered.runs {
            for points in &all {
                applier.batch.remove_unsealed(&run, &points.key, &points.context)?;
                applier.batch.add_sealed(&run, &points.key, &points.context, &points.points)?;
            }
            for part in split_points(all) {
                let content = series::encode_points(&part);
                let document = DocumentId::run(run);
                operations.push(self.operation(OperationKind::Points, document, content));
            }
        }
        for (owner, artifact) in gathered.artifacts {
            applier.batch.put_artifact(owner, &artifact.path, clock, artifact.content)?;
            let content = artifact.encode();
            operations.push(self.operation(OperationKind::Artifact, owner, content));
        }
        for part in gathered.traces {
            let (document, content) = (part.document(), part.encode());
            operations.push(self.operation(OperationKind::Trace, document, content));
        }
        Ok(operations)
    }

    pub(super) fn operation(
        &mut self,
        kind: OperationKind,
        document: DocumentId,
        content: Vec<u8>,
    ) -> Operation {
        let mut hasher = blake3::Hasher::new_keyed(&self.start.salts);
        hasher.update(&self.salts_made.to_le_bytes());
        self.salts_made += 1;
        let mut salt = [0; 16];
        salt.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        Operation::new(kind, salt, document, content)
    }

    fn push_entries(
        &self,
        journals: &mut Journals<'_>,
        applier: &mut Applier<'_>,
        operations: Vec<Operation>,
        clock: Clock,
    ) -> Result<usize, StoreError> {
        let journal = self.identity.journal;
        let mut entries = 0;
        for body in split_bodies(operations) {
            let tip = journals.tip(&journal)?;
            let workspace = self.identity.workspace;
            let entry = Entry::sign(&self.start.key, workspace, journal, &tip, clock, body);
            let journal_number = journals.push(&entry)?;
            for (at, operation) in entry.operations().iter().enumerate() {
                if let Operation::Whole { kind, .. } = operation
                    && *kind == OperationKind::Act as u8
                {
                    applier.keep_act((journal_number, tip.count, at as u32))?;
                }
            }
            entries += 1;
        }
        Ok(entries)
    }
}

/// About how long an edit is in a change, and not less.
fn edit_bytes(edit: &DocumentEdit) -> usize {
    let put = |put: &Put| {
        let value = put.value.as_ref().and_then(Scalar::as_text).map_or(0, str::len);
        PUT_BYTES + put.key.len() + value
    };
    let description = edit.description.as_ref().map_or(0, String::len);
    description + edit.puts.iter().map(put).sum::<usize>()
}

/// Splits the series of a run so that no part has too many points for one operation.
fn split_points(all: Vec<SeriesPoints>) -> Vec<Vec<SeriesPoints>> {
    let mut parts = vec![Vec::new()];
    let mut held = 0;
    for SeriesPoints { key, context, points } in all {
        for chunk in points.chunks(POINTS_PER_OPERATION) {
            if held > 0 && held + chunk.len() > POINTS_PER_OPERATION {
                parts.push(Vec::new());
                held = 0;
            }
            held += chunk.len();
            let (key, context, points) = (key.clone(), context.clone(), chunk.to_vec());
            if let Some(part) = parts.last_mut() {
                part.push(SeriesPoints { key, context, points });
            }
        }
    }
    parts
}

/// Splits operations into bodies of entries.
pub(super) fn split_bodies(operations: Vec<Operation>) -> Vec<Vec<Operation>> {
    let mut bodies: Vec<Vec<Operation>> = Vec::new();
    let mut bytes = 0;
    for operation in operations {
        let length = match &operation {
            Operation::Whole { content, .. } => content.len() + 40,
            Operation::Redacted { .. } => 33,
        };
        let fits =
            |body: &Vec<Operation>| bytes + length <= BODY_BYTES && body.len() < MAX_OPERATIONS;
        match bodies.last_mut().filter(|body| fits(body)) {
            Some(body) => body.push(operation),
            None => {
                bodies.push(vec![operation]);
                bytes = 0;
            }
        }
        bytes += length;
    }
    bodies
}
