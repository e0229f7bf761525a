//! What can go wrong with a blob on this device's disk.

use std::io;
use std::path::{Path, PathBuf};

use runmesh_core::ids::BlobHash;

/// The blob store could not do what it was asked. Nothing half-done is left under a blob's name.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// There is no room on the disk.
    #[error("the disk is full: cannot write {}", path.display())]
    DiskFull {
        /// What was being written.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The disk failed.
    #[error("cannot {doing} {}", path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To which file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What is noted about blobs cannot be read or written.
    #[error("the ledger of blobs failed")]
    Ledger(#[source] Box<redb::Error>),
    /// The bytes stopped coming before their end.
    #[error("the upload broke off after {bytes} bytes")]
    UploadBroken {
        /// How many had come.
        bytes: u64,
        /// Why.
        source: io::Error,
    },
    /// Two fetches of one blob at once.
    #[error("blob {hash} is being fetched already")]
    Busy {
        /// Which one.
        hash: BlobHash,
    },
    /// A size that no blob has.
    #[error("a blob of {size} bytes is over the limit of {limit}")]
    TooLarge {
        /// The size.
        size: u64,
        /// The limit.
        limit: u64,
    },
}

impl BlobError {
    /// Names what was being done to which path when `source` came up.
    pub(super) fn io(doing: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::DiskFull { path, source }
            }
            _ => Self::Io { doing, path, source },
        }
    }
}

impl From<redb::TransactionError> for BlobError {
    fn from(error: redb::TransactionError) -> Self {
        Self::Ledger(Box::new(error.into()))
    }
}

impl From<redb::TableError> for BlobError {
    fn from(error: redb::TableError) -> Self {
        Self::Ledger(Box::new(error.into()))
    }
}

impl From<redb::StorageError> for BlobError {
    fn from(error: redb::StorageError) -> Self {
        Self::Ledger(Box::new(error.into()))
    }
}

impl From<redb::CommitError> for BlobError {
    fn from(error: redb::CommitError) -> Self {
        Self::Ledger(Box::new(error.into()))
    }
}

impl From<redb::DatabaseError> for BlobError {
    fn from(error: redb::DatabaseError) -> Self {
        Self::Ledger(Box::new(error.into()))
    }
}

impl From<redb::SetDurabilityError> for BlobError {
    fn from(error: redb::SetDurabilityError) -> Self {
        Self::Ledger(Box::new(error.into()))
    }
}
