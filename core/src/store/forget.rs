//! Forgetting documents: what is derived of them is taken out of the tables, after operations about
//! them were redacted or taken away.
//!
//! Invariants: what is derived of other documents stays as it is; a run keeps its number, which may be
//! in readers' columns, and has no row, as if nothing were known of it. Names of keys that no run has any
//! more stay numbered until the next rebuild.

use std::collections::{BTreeSet, HashMap};

use redb::{ReadableTable, WriteTransaction};

use super::StoreError;
use super::journals::Journals;
use super::snapshot::decode;
use super::tables::{
    ACTS, ARTIFACTS, CONTESTED, DOCUMENTS, EXPERIMENT_NAMES, EXPERIMENTS, SERIES, WAITING,
};
use crate::ids::{DocumentId, DocumentKind, ExperimentId, RunId};
use crate::index::{DocumentIndex, RunIndex, run_changes};
use crate::rows::ExperimentRow;

/// Whether all of these documents can be forgotten. Traces cannot: many operations make up one row.
pub(super) fn can_forget(documents: &BTreeSet<DocumentId>) -> bool {
    documents.iter().all(|document| document.kind() != Some(DocumentKind::Trace))
}

/// Takes out what is derived of documents.
pub(super) fn forget(
    txn: &WriteTransaction,
    documents: &BTreeSet<DocumentId>,
) -> Result<(), StoreError> {
    forget_snapshots(txn, documents)?;
    forget_artifacts(txn, documents)?;
    forget_acts(txn)?;
    forget_waiting(txn, documents)?;
    let runs = documents.iter().filter_map(DocumentId::as_run);
    forget_runs(txn, runs)?;
    let experiments = documents.iter().filter_map(DocumentId::as_experiment);
    forget_experiments(txn, experiments)?;
    let mut index = DocumentIndex::open(txn)?;
    for document in documents {
        if document.as_run().is_none() && document.as_experiment().is_none() {
            index.forget(document)?;
        }
    }
    index.flush()
}

fn forget_snapshots(
    txn: &WriteTransaction,
    documents: &BTreeSet<DocumentId>,
) -> Result<(), StoreError> {
    let (mut snapshots, mut contested) = (txn.open_table(DOCUMENTS)?, txn.open_table(CONTESTED)?);
    for document in documents {
        snapshots.remove(&document.to_bytes())?;
        contested.remove(&document.to_bytes())?;
    }
    Ok(())
}

fn forget_artifacts(
    txn: &WriteTransaction,
    documents: &BTreeSet<DocumentId>,
) -> Result<(), StoreError> {
    let mut artifacts = txn.open_table(ARTIFACTS)?;
    for document in documents {
        let owner = document.to_bytes();
        let mut paths = Vec::new();
        for item in artifacts.range((&owner, "")..)? {
            let (place, _) = item?;
            let (found, path) = place.value();
            if found != &owner {
                break;
            }
            paths.push(path.to_owned());
        }
        for path in &paths {
            artifacts.remove((&owner, path.as_str()))?;
        }
    }
    Ok(())
}

/// Takes out where acts stand that are not held any more.
fn forget_acts(txn: &WriteTransaction) -> Result<(), StoreError> {
    let journals = Journals::open(txn)?;
    let mut counts = HashMap::new();
    for (number, journal) in journals.by_number()? {
        counts.insert(number, journals.tip(&journal)?.count);
    }
    let is_held = |(journal, entry, _): (u32, u64, u32)| {
        counts.get(&journal).is_some_and(|count| entry < *count)
    };
    Ok(txn.open_table(ACTS)?.retain(|place, ()| is_held(place))?)
}

/// Takes out changes that wait and are not held any more, or are of these documents: they wait again
/// if they must.
fn forget_waiting(
    txn: &WriteTransaction,
    documents: &BTreeSet<DocumentId>,
) -> Result<(), StoreError> {
    let journals = Journals::open(txn)?;
    let by_number = journals.by_number()?;
    let document_at = |journal: u32, entry: u64, at: u32| {
        let Some(id) = by_number.get(&journal) else { return Ok(None) };
        let entry = journals.read(*id, journal, entry)?;
        let operation = entry.as_ref().and_then(|entry| entry.operations().get(at as usize));
        Ok::<_, StoreError>(operation.and_then(|operation| operation.document().copied()))
    };
    let mut waiting = txn.open_table(WAITING)?;
    let mut gone = Vec::new();
    for item in waiting.iter()? {
        let place = item?.0;
        let (missing, journal, entry, at) = place.value();
        let document = document_at(journal, entry, at)?;
        if document.is_none_or(|document| documents.contains(&document)) {
            gone.push((*missing, journal, entry, at));
        }
    }
    for (missing, journal, entry, at) in gone {
        waiting.remove((&missing, journal, entry, at))?;
    }
    Ok(())
}

fn forget_runs(
    txn: &WriteTransaction,
    runs: impl Iterator<Item = RunId>,
) -> Result<(), StoreError> {
    let mut index = RunIndex::open(txn)?;
    let mut series = txn.open_table(SERIES)?;
    let mut changed = Vec::new();
    for run in runs {
        let Some(number) = index.number_of(&run)? else { continue };
        series.retain_in((number, 0, 0)..=(number, u32::MAX, u32::MAX), |_, _| false)?;
        index.forget(number)?;
        changed.push(number);
    }
    index.flush()?;
    run_changes::note(txn, changed.into_iter())
}

fn forget_experiments(
    txn: &WriteTransaction,
    experiments: impl Iterator<Item = ExperimentId>,
) -> Result<(), StoreError> {
    let (mut table, mut names) = (txn.open_table(EXPERIMENTS)?, txn.open_table(EXPERIMENT_NAMES)?);
    for id in experiments {
        let held = table.remove(id.0)?;
        let held = held.map(|bytes| decode::<ExperimentRow>("index-experiments", bytes.value()));
        if let Some(row) = held.transpose()? {
            names.remove((row.name.as_str(), row.created.0, id.0))?;
        }
    }
    Ok(())
}
