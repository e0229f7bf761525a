//! The tables of a workspace's redb file, on one screen.
//!
//! Ground state: `meta`, `journals`, `entries`, `set-aside`, `forks`, `grants`, `served-versions`, `purged` and
//! `purged-blobs` (edits not sealed yet are in the edit log beside the file). Everything else is derived from it and is dropped by a rebuild. The
//! number at a name's end is the version of its format.

use redb::{
    Key, ReadOnlyTable, ReadTransaction, TableDefinition, TableError, Value, WriteTransaction,
};

use super::StoreError;

/// Small facts: what this file is, whose, and how far it has come.
pub(crate) const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta-1");
/// A journal's id (device, incarnation) to its row.
pub(crate) const JOURNALS: TableDefinition<&[u8; 48], &[u8]> = TableDefinition::new("journals-1");
/// (local journal number, entry number) to the hash of the entry before, which a peer is told, and
/// the entry as it is kept and sent. See `journals::place`.
pub(crate) const ENTRIES: TableDefinition<(u32, u64), &[u8]> = TableDefinition::new("entries-1");
/// (A journal's id, entry number) to the row of an entry that was held and does not count any more.
pub(crate) const SET_ASIDE: TableDefinition<(&[u8; 48], u64), &[u8]> =
    TableDefinition::new("set-aside-1");
/// (A journal's id, entry number, hash) of entries of this device's journals that were carried over
/// into a later incarnation, because there are two under their number. See `forks::note`.
pub(crate) const FORKS: TableDefinition<ForkPlace, &[u8]> = TableDefinition::new("forks-1");
/// A journal's id, an entry's number and its hash.
pub(crate) type ForkPlace = (&'static [u8; 48], u64, &'static [u8; 32]);
/// Blobs that this device may serve in this workspace: uploaded here or fetched from a member.
pub(crate) const GRANTS: TableDefinition<&[u8; 32], ()> = TableDefinition::new("grants-1");
/// (model, number) to the version that this device last served under it, which no entry tells: a
/// number that was pinned here must not silently become another model.
pub(crate) const SERVED_VERSIONS: TableDefinition<(&[u8; 17], i64), &[u8; 17]> =
    TableDefinition::new("served-versions-1");

/// Documents that were purged, and of which this store holds nothing any more.
pub(crate) const PURGED: TableDefinition<&[u8; 17], ()> = TableDefinition::new("purged-1");
/// Blobs that such documents named, until they are freed here or seen to be named by others.
pub(crate) const PURGED_BLOBS: TableDefinition<&[u8; 32], ()> =
    TableDefinition::new("purged-blobs-1");

/// A document's id to its snapshot.
pub(crate) const DOCUMENTS: TableDefinition<&[u8; 17], &[u8]> = TableDefinition::new("documents-1");
/// Documents in which devices that were apart set something to different values.
pub(crate) const CONTESTED: TableDefinition<&[u8; 17], ()> = TableDefinition::new("contested-1");
/// (hash of a missing change, journal, entry, operation) of changes that wait for it.
pub(crate) const WAITING: TableDefinition<(&[u8; 32], u32, u64, u32), ()> =
    TableDefinition::new("waiting-1");
/// (journal, entry, operation) of every act.
pub(crate) const ACTS: TableDefinition<(u32, u64, u32), ()> = TableDefinition::new("acts-1");
/// (run number, series number, chunk number) to a chunk of points.
pub(crate) const SERIES: TableDefinition<(u32, u32, u32), &[u8]> = TableDefinition::new("series-1");
/// (owner document, path) to what is there.
pub(crate) const ARTIFACTS: TableDefinition<(&[u8; 17], &str), &[u8]> =
    TableDefinition::new("artifacts-1");
/// An experiment's id to its row.
pub(crate) const EXPERIMENTS: TableDefinition<u64, &[u8]> =
    TableDefinition::new("index-experiments-1");
/// (name, creation clock, experiment) of every experiment: the first of a name holds it.
pub(crate) const EXPERIMENT_NAMES: TableDefinition<(&str, u64, u64), ()> =
    TableDefinition::new("index-experiment-names-1");
/// A run's local number to its row. Numbers are given in order of arrival, which keeps runs that are
/// written together close together.
pub(crate) const RUNS: TableDefinition<u32, &[u8]> = TableDefinition::new("index-runs-1");
/// A run's id to its local number.
pub(crate) const RUN_NUMBERS: TableDefinition<&[u8; 16], u32> =
    TableDefinition::new("index-run-numbers-1");
/// A param's, tag's or metric's key to its local number.
pub(crate) const KEYS: TableDefinition<&str, u32> = TableDefinition::new("index-keys-1");
/// (experiment, start, run number) of every run.
pub(crate) const STARTS: TableDefinition<(u64, i64, u32), ()> =
    TableDefinition::new("index-starts-1");
/// What the runs of an experiment have in one field, by block; see `index::columns`.
pub(crate) const COLUMNS: TableDefinition<ColumnPlace, &[u8]> =
    TableDefinition::new("index-columns-1");
/// Block, experiment, what the column is of, the number of its key.
pub(crate) type ColumnPlace = (u32, u64, u8, u32);
/// A block of columns to the runs of which it may say what was; see `index::columns`.
pub(crate) const LOOSE: TableDefinition<u32, &[u8]> = TableDefinition::new("index-loose-1");
/// The number of a commit that changed rows of runs to their numbers; see `index::run_changes`.
pub(crate) const RUN_CHANGES: TableDefinition<u64, &[u8]> =
    TableDefinition::new("index-run-changes-1");
/// (logged model, run number) of every run that logged a metric of the model.
pub(crate) const MODEL_RUNS: TableDefinition<(&str, u32), ()> =
    TableDefinition::new("index-model-runs-1");
/// The row of a document that is neither a run nor an experiment.
pub(crate) const DOCUMENT_ROWS: TableDefinition<&[u8; 17], &[u8]> =
    TableDefinition::new("index-documents-1");
/// Keys that find such documents; see `index::LookupKey`.
pub(crate) const LOOKUPS: TableDefinition<&[u8], ()> = TableDefinition::new("index-lookups-1");
/// A trace's local number to what is known of it.
pub(crate) const TRACES: TableDefinition<u32, &[u8]> = TableDefinition::new("index-traces-1");
/// The id of the document about a trace to the trace's local number.
pub(crate) const TRACE_NUMBERS: TableDefinition<&[u8; 16], u32> =
    TableDefinition::new("index-trace-numbers-1");
/// (trace number, span id) to the span.
pub(crate) const SPANS: TableDefinition<(u32, u64), &[u8]> = TableDefinition::new("spans-1");
/// Keys that find traces in order of time; see `index::trace_key`.
pub(crate) const TRACE_KEYS: TableDefinition<&[u8], ()> =
    TableDefinition::new("index-trace-keys-1");

/// Derived tables that earlier versions wrote.
const OLD: [TableDefinition<&[u8], ()>; 1] = [TableDefinition::new("index-values-1")];

/// Opens a table; none if the store was made before there was such a one, and nothing wrote to it since.
pub(crate) fn open_if_there<K: Key + 'static, V: Value + 'static>(
    txn: &ReadTransaction,
    table: TableDefinition<'_, K, V>,
) -> Result<Option<ReadOnlyTable<K, V>>, StoreError> {
    match txn.open_table(table) {
        Ok(table) => Ok(Some(table)),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Makes the tables that are missing, so that readers find them all.
pub(crate) fn create_all(txn: &WriteTransaction) -> Result<(), StoreError> {
    txn.open_table(META)?;
    txn.open_table(JOURNALS)?;
    txn.open_table(ENTRIES)?;
    txn.open_table(SET_ASIDE)?;
    txn.open_table(FORKS)?;
    txn.open_table(GRANTS)?;
    txn.open_table(SERVED_VERSIONS)?;
    txn.open_table(PURGED)?;
    txn.open_table(PURGED_BLOBS)?;
    txn.open_table(DOCUMENTS)?;
    txn.open_table(CONTESTED)?;
    txn.open_table(WAITING)?;
    txn.open_table(ACTS)?;
    txn.open_table(SERIES)?;
    txn.open_table(ARTIFACTS)?;
    txn.open_table(EXPERIMENTS)?;
    txn.open_table(EXPERIMENT_NAMES)?;
    txn.open_table(RUNS)?;
    txn.open_table(RUN_NUMBERS)?;
    txn.open_table(KEYS)?;
    txn.open_table(STARTS)?;
    txn.open_table(COLUMNS)?;
    txn.open_table(LOOSE)?;
    txn.open_table(RUN_CHANGES)?;
    txn.open_table(MODEL_RUNS)?;
    txn.open_table(DOCUMENT_ROWS)?;
    txn.open_table(LOOKUPS)?;
    txn.open_table(TRACES)?;
    txn.open_table(TRACE_NUMBERS)?;
    txn.open_table(SPANS)?;
    txn.open_table(TRACE_KEYS)?;
    Ok(())
}

/// Drops all that is derived, but for [`RUN_CHANGES`], whose numbers must never come again, and
/// [`RUN_NUMBERS`], which readers know runs by.
pub(crate) fn drop_derived(txn: &WriteTransaction) -> Result<(), StoreError> {
    txn.delete_table(DOCUMENTS)?;
    txn.delete_table(CONTESTED)?;
    txn.delete_table(WAITING)?;
    txn.delete_table(ACTS)?;
    txn.delete_table(SERIES)?;
    txn.delete_table(ARTIFACTS)?;
    txn.delete_table(EXPERIMENTS)?;
    txn.delete_table(EXPERIMENT_NAMES)?;
    txn.delete_table(RUNS)?;
    txn.delete_table(KEYS)?;
    txn.delete_table(STARTS)?;
    txn.delete_table(COLUMNS)?;
    txn.delete_table(LOOSE)?;
    for old in OLD {
        txn.delete_table(old)?;
    }
    txn.delete_table(MODEL_RUNS)?;
    txn.delete_table(DOCUMENT_ROWS)?;
    txn.delete_table(LOOKUPS)?;
    txn.delete_table(TRACES)?;
    txn.delete_table(TRACE_NUMBERS)?;
    txn.delete_table(SPANS)?;
    txn.delete_table(TRACE_KEYS)?;
    Ok(())
}
