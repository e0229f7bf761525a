//! A snapshot: what the store held at one moment, for readers.
//!
//! A snapshot never waits for the writer and never changes. It sees every acknowledged write that
//! came before it.

use std::sync::Arc;

use redb::{ReadTransaction, ReadableTableMetadata};
use serde::{Deserialize, Serialize};

use super::StoreError;
use super::tables::{ARTIFACTS, EXPERIMENTS, RUNS, WAITING};
use crate::search::RunColumns;

mod artifacts;
mod documents;
mod journals;
mod runs;

pub use self::artifacts::ArtifactEntry;
pub(crate) use self::artifacts::ArtifactState;
pub use self::journals::{Chain, JournalInfo};

/// What the store held at one moment.
pub struct Snapshot {
    txn: ReadTransaction,
    /// What searches of this store keep in memory, if they do.
    columns: Option<Arc<RunColumns>>,
}

/// How much of what a store holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Experiments, active and deleted.
    pub experiments: u64,
    /// Runs, active and deleted.
    pub runs: u64,
    /// Paths of artifacts, removed ones too.
    pub artifacts: u64,
    /// Changes that wait for others that have not arrived.
    pub waiting_changes: u64,
}

/// The stored form of a row.
pub(crate) fn encode(row: &impl Serialize) -> Vec<u8> {
    postcard::to_stdvec(row).expect("a row is plain data, and a vector takes all of it")
}

/// Reads the stored form of a row.
pub(crate) fn decode<'a, T: Deserialize<'a>>(
    table: &'static str,
    bytes: &'a [u8],
) -> Result<T, StoreError> {
    postcard::from_bytes(bytes).map_err(|source| StoreError::DamagedRow { table, source })
}

impl Snapshot {
    /// What a read transaction of the store's file sees.
    pub const fn new(txn: ReadTransaction) -> Self {
        Self { txn, columns: None }
    }

    /// The same, with what earlier searches of this store have in memory.
    pub(crate) const fn with_columns(txn: ReadTransaction, columns: Arc<RunColumns>) -> Self {
        Self { txn, columns: Some(columns) }
    }

    pub(crate) fn columns(&self) -> Option<&RunColumns> {
        self.columns.as_deref()
    }

    pub(crate) const fn txn(&self) -> &ReadTransaction {
        &self.txn
    }

    /// How much of what there is.
    pub fn counts(&self) -> Result<Counts, StoreError> {
        Ok(Counts {
            experiments: self.txn.open_table(EXPERIMENTS)?.len()?,
            runs: self.txn.open_table(RUNS)?.len()?,
            artifacts: self.txn.open_table(ARTIFACTS)?.len()?,
            waiting_changes: self.txn.open_table(WAITING)?.len()?,
        })
    }
}
