//! The tables of a workspace's redb file, on one screen.
//!
//! Ground state: `meta`, `journals`, `entries` and `grants` (edits not sealed yet are in the edit
//! log beside the file). Everything else is derived from it and is dropped by a rebuild. The
//! number at a name's end is the version of its format.

use redb::TableDefinition;

/// Small facts: what this file is, whose, and how far it has come.
pub(crate) const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta-1");
/// A journal's id (device, incarnation) to its row.
pub(crate) const JOURNALS: TableDefinition<&[u8; 48], &[u8]> = TableDefinition::new("journals-1");
/// (local journal number, entry number) to the entry as it is kept and sent.
pub(crate) const ENTRIES: TableDefinition<(u32, u64), &[u8]> = TableDefinition::new("entries-1");
/// Blobs that this device may serve in this workspace: uploaded here or fetched from a member.
pub(crate) const GRANTS: TableDefinition<&[u8; 32], ()> = TableDefinition::new("grants-1");

/// A document's id to its snapshot.
pub(crate) const DOCUMENTS: TableDefinition<&[u8; 17], &[u8]> = TableDefinition::new("documents-1");
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
/// A run's local number to its row. Numbers are given in order of arrival, which keeps inserts of
/// index keys close together.
pub(crate) const RUNS: TableDefinition<u32, &[u8]> = TableDefinition::new("index-runs-1");
/// A run's id to its local number.
pub(crate) const RUN_NUMBERS: TableDefinition<&[u8; 16], u32> =
    TableDefinition::new("index-run-numbers-1");
/// A param's, tag's or metric's key to its local number.
pub(crate) const KEYS: TableDefinition<&str, u32> = TableDefinition::new("index-keys-1");
/// Keys that order runs by what people order by; see `index::value_key`.
pub(crate) const VALUES: TableDefinition<&[u8], ()> = TableDefinition::new("index-values-1");
