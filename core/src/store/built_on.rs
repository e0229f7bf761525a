//! What others built on: changes beyond a removed device's cut that changes which count follow.
//!
//! An innocent device may have built on what a removed one wrote beyond its cut. With that set aside,
//! Automerge would leave out what it built, for good. So whoever set such changes aside, and may write,
//! carries them: it signs them in its own journal, with the proof that they are genuine
//! ([`crate::carried`]). Like all that stands in a journal they come to every member, in whatever
//! order, and what a device shows stays a function of the entries that it holds.
//!
//! A change is needed if one that counts follows it, directly or not. And the change that made a
//! document is needed where entries that count say something of it, though it is not there: points of a
//! run, files of it, runs in an experiment, versions of a model.
//!
//! Invariants: a change is carried only with all that it follows, so that it applies at once and is
//! not needed any more; nothing of what was purged is; points, files, traces and acts beyond a cut never
//! are.

use std::collections::BTreeMap;
use std::sync::Arc;

use redb::{ReadableDatabase, ReadableTable};

use super::apply::{self, Applier, Checked};
use super::journals::{Journals, displace, journal_of, key_of};
use super::seal::split_bodies;
use super::tables::{ARTIFACTS, DOCUMENTS, SET_ASIDE, TRACE_KEYS, WAITING, open_if_there};
use super::{Snapshot, Store, StoreError, durable, meta};
use crate::carried::{Carried, MAX_CARRIED};
use crate::clock::UnixMillis;
use crate::document;
use crate::entry::{Entry, UnverifiedEntry};
use crate::ids::{ChangeHash, DocumentId, DocumentKind, ExperimentId, JournalId};
use crate::index::{Lookup, LookupKey, by_experiment, trace_key};
use crate::operation::{MAX_CONTENT_BYTES, Operation, OperationKind};

/// The changes that were set aside and do not count, by their hashes.
pub(super) type Beyond = BTreeMap<ChangeHash, Aside>;

/// A change that was set aside.
#[derive(Debug, Clone)]
pub(super) struct Aside {
    document: DocumentId,
    follows: Vec<ChangeHash>,
    /// Its entry and its place there.
    journal: JournalId,
    number: u64,
    place: u32,
}

impl Store {
    /// Carries the changes that were set aside and that others built on.
    pub(super) fn carry_what_was_built_on(&mut self, now: UnixMillis) -> Result<(), StoreError> {
        while self.membership.may_write(&self.identity.journal.device) {
            let beyond = match self.beyond.take() {
                Some(beyond) => beyond,
                None => self.set_aside_changes()?,
            };
            let needed = self.needed(&beyond)?;
            let operations = self.carried(needed)?;
            self.beyond = Some(beyond);
            if operations.is_empty() {
                break;
            }
            // An edit that was made before is of one that had not seen this.
            self.seal(now)?;
            self.push_carried(now, operations)?;
        }
        Ok(())
    }

    fn set_aside_changes(&self) -> Result<Beyond, StoreError> {
        let mut beyond = Beyond::new();
        let txn = self.database.begin_read()?;
        let Some(aside) = open_if_there(&txn, SET_ASIDE)? else { return Ok(beyond) };
        let vector = self.reader().snapshot()?.vector()?;
        for item in aside.iter()? {
            let (place, row) = item?;
            let (journal, number) = (journal_of(place.value().0), place.value().1);
            // What was taken again stays there, too.
            if number < vector.tip(&journal).count {
                continue;
            }
            let entry = UnverifiedEntry::decode(journal, number, displace(row.value())?.1)?;
            for (place, operation) in (0..).zip(entry.operations()) {
                if !can_be_carried(&entry, operation) {
                    continue;
                }
                if let Ok(Checked::Change { document, change }) =
                    apply::read(journal.device, operation)
                {
                    let follows = change.deps().to_vec();
                    let aside = Aside { document, follows, journal, number, place };
                    beyond.insert(change.hash(), aside);
                }
            }
        }
        Ok(beyond)
    }

    /// Those that are needed, each with all that it follows and that is not held.
    fn needed<'a>(&self, beyond: &'a Beyond) -> Result<Vec<&'a Aside>, StoreError> {
        let mut needed = BTreeMap::new();
        if beyond.is_empty() {
            return Ok(Vec::new());
        }
        let snapshot = self.reader().snapshot()?;
        let waiting = snapshot.txn().open_table(WAITING)?;
        for (hash, aside) in beyond {
            if self.membership.purged().contains(&aside.document) {
                continue;
            }
            let bytes = hash.as_bytes();
            let all = (bytes, 0, 0, 0)..=(bytes, u32::MAX, u64::MAX, u32::MAX);
            let is_needed = waiting.range(all)?.next().is_some()
                || (makes_document(aside) && is_spoken_of(&snapshot, &aside.document)?);
            if is_needed && !needed.contains_key(hash) {
                needed.extend(with_what_it_follows(&snapshot, beyond, *hash)?);
            }
        }
        Ok(needed.into_values().collect())
    }

    fn carried(&mut self, needed: Vec<&Aside>) -> Result<Vec<Operation>, StoreError> {
        let mut operations = Vec::with_capacity(needed.len());
        let txn = self.database.begin_read()?;
        for Aside { document, journal, number, place, .. } in needed {
            let row = txn.open_table(SET_ASIDE)?.get((&key_of(journal), *number))?;
            let row = row.ok_or(StoreError::NotOurs("an entry that was set aside is missing"))?;
            let (previous, stored) = displace(row.value())?;
            let entry = UnverifiedEntry::decode(*journal, *number, stored)?;
            let carried = Carried::of(&entry, previous, *place);
            let content = carried.map(|carried| carried.encode());
            let content =
                content.ok_or(StoreError::NotOurs("a change that was set aside is gone"))?;
            operations.push(self.operation(OperationKind::Carried, *document, content));
        }
        Ok(operations)
    }

    fn push_carried(
        &mut self,
        now: UnixMillis,
        operations: Vec<Operation>,
    ) -> Result<(), StoreError> {
        let (workspace, journal) = (self.identity.workspace, self.identity.journal);
        let mut progress = self.progress;
        progress.clock = progress.clock.tick(now);
        let database = Arc::clone(&self.database);
        let txn = durable(&database)?;
        {
            let (mut journals, mut applier) = (Journals::open(&txn)?, Applier::open(&txn)?);
            let parts = operations.chunks(MAX_CARRIED).map(<[Operation]>::to_vec);
            for body in parts.flat_map(split_bodies) {
                let (tip, clock) = (journals.tip(&journal)?, progress.clock);
                let key = &self.start.key;
                let entry = Entry::sign(key, workspace, journal, &tip, clock, body);
                let place = (journals.push(&entry)?, tip.count);
                let operations = (0..).zip(entry.operations());
                applier.add_stored(workspace, journal.device, place, clock, operations)?;
            }
            applier.apply_changes(&journals)?;
            applier.flush()?;
            meta::write_progress(&txn, &progress)?;
        }
        txn.commit()?;
        self.progress = progress;
        Ok(())
    }
}

/// Whether an operation is a change that leaves room for its proof.
fn can_be_carried(entry: &UnverifiedEntry, operation: &Operation) -> bool {
    let Operation::Whole { kind, content, .. } = operation else { return false };
    let hashes = 40 * entry.operations().len();
    *kind == OperationKind::Change as u8 && content.len() + hashes + 512 <= MAX_CONTENT_BYTES
}

/// Whether a change is one of those that made its document.
fn makes_document(aside: &Aside) -> bool {
    let kind = aside.document.kind();
    kind.is_some_and(|kind| aside.follows == [document::genesis(kind).hash()])
}

/// A change and what it follows, of which nothing is held; nothing if some of that is not here.
fn with_what_it_follows<'a>(
    snapshot: &Snapshot,
    beyond: &'a Beyond,
    hash: ChangeHash,
) -> Result<BTreeMap<ChangeHash, &'a Aside>, StoreError> {
    let mut found = BTreeMap::new();
    let mut left = vec![hash];
    let documents = snapshot.txn().open_table(DOCUMENTS)?;
    let is_held = |id: DocumentId, hash: &ChangeHash| -> Result<bool, StoreError> {
        let Some(kind) = id.kind() else { return Ok(true) };
        if *hash == document::genesis(kind).hash() {
            return Ok(true);
        }
        let Some(held) = documents.get(&id.to_bytes())? else { return Ok(false) };
        let failed = |source| StoreError::Document { document: id, source: Box::new(source) };
        document::contains(kind, held.value(), hash).map_err(failed)
    };
    let Some(id) = beyond.get(&hash).map(|aside| aside.document) else { return Ok(found) };
    while let Some(next) = left.pop() {
        if found.contains_key(&next) || is_held(id, &next)? {
            continue;
        }
        let Some(aside) = beyond.get(&next).filter(|aside| aside.document == id) else {
            return Ok(BTreeMap::new());
        };
        left.extend(&aside.follows);
        found.insert(next, aside);
    }
    Ok(found)
}

/// Whether entries that count say something of a document of which no change is held.
fn is_spoken_of(snapshot: &Snapshot, id: &DocumentId) -> Result<bool, StoreError> {
    let Some(kind) = id.kind() else { return Ok(false) };
    if let Some(held) = snapshot.txn().open_table(DOCUMENTS)?.get(&id.to_bytes())? {
        let failed = |source| StoreError::Document { document: *id, source: Box::new(source) };
        let heads = document::heads(kind, held.value()).map_err(failed)?;
        if heads != [document::genesis(kind).hash()] {
            return Ok(false);
        }
    }
    let artifacts = snapshot.txn().open_table(ARTIFACTS)?;
    let owner = id.to_bytes();
    if let Some(item) = artifacts.range((&owner, "")..)?.next()
        && item?.0.value().0 == &owner
    {
        return Ok(true);
    }
    let found = |key: LookupKey| snapshot.find(&key).map(|mut found| found.next().is_some());
    match kind {
        DocumentKind::Run => {
            let number = id.as_run().map_or(Ok(None), |run| snapshot.run_number(&run))?;
            Ok(number.map_or(Ok(None), |number| snapshot.run_by_number(number))?.is_some())
        }
        DocumentKind::Experiment => id
            .as_experiment()
            .map_or(Ok(false), |experiment| is_experiment_in_use(snapshot, experiment)),
        DocumentKind::RegisteredModel => found(LookupKey::new(Lookup::ModelVersion).document(id)),
        DocumentKind::LoggedModel => {
            let name = id.as_logged_model().unwrap_or_default();
            Ok(!snapshot.runs_measuring(&name)?.is_empty())
        }
        _ => Ok(false),
    }
}

fn is_experiment_in_use(snapshot: &Snapshot, experiment: ExperimentId) -> Result<bool, StoreError> {
    if snapshot.starts(experiment, None, None)?.next().is_some() {
        return Ok(true);
    }
    let lookups =
        [Lookup::ModelsOfExperiment, Lookup::DatasetsOfExperiment, Lookup::ScorersOfExperiment];
    for lookup in lookups {
        if snapshot.find(&by_experiment(lookup, experiment))?.next().is_some() {
            return Ok(true);
        }
    }
    let traces = snapshot.txn().open_table(TRACE_KEYS)?;
    let head = trace_key::head(experiment, trace_key::TraceColumn::Start, 0, "");
    let first = traces.range::<&[u8]>(&head[..]..)?.next().transpose()?;
    Ok(first.is_some_and(|(key, _)| key.value().starts_with(&head)))
}
