//! What can go wrong in the store that is nobody's bad input: the disk, or our own bytes.

use crate::document::DocumentError;
use crate::edit_log::EditLogError;
use crate::entry::EntryError;
use crate::ids::DocumentId;

/// A failure of the disk or of the bytes on it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// redb could not read or write.
    #[error("the store could not be read or written")]
    Database(#[source] Box<redb::Error>),
    /// The edit log could not be read or written.
    #[error(transparent)]
    EditLog(#[from] EditLogError),
    /// A document could not be read or edited.
    #[error("{document} cannot be read or edited")]
    Document {
        /// Which.
        document: DocumentId,
        /// Why.
        #[source]
        source: Box<DocumentError>,
    },
    /// An entry that was verified when it was stored cannot be read back.
    #[error("an entry in the store is damaged")]
    DamagedEntry(#[source] Box<EntryError>),
    /// The file belongs to another device or workspace, or to a newer version.
    #[error("{0}")]
    NotOurs(&'static str),
    /// A row that this program wrote cannot be read back.
    #[error("a row of table {table} is damaged; `runmesh doctor --rebuild` makes it anew")]
    DamagedRow {
        /// The table.
        table: &'static str,
        /// What is wrong with it.
        #[source]
        source: postcard::Error,
    },
}

impl From<EntryError> for StoreError {
    fn from(error: EntryError) -> Self {
        Self::DamagedEntry(Box::new(error))
    }
}

impl From<redb::TransactionError> for StoreError {
    fn from(error: redb::TransactionError) -> Self {
        Self::Database(Box::new(error.into()))
    }
}

impl From<redb::TableError> for StoreError {
    fn from(error: redb::TableError) -> Self {
        Self::Database(Box::new(error.into()))
    }
}

impl From<redb::StorageError> for StoreError {
    fn from(error: redb::StorageError) -> Self {
        Self::Database(Box::new(error.into()))
    }
}

impl From<redb::CommitError> for StoreError {
    fn from(error: redb::CommitError) -> Self {
        Self::Database(Box::new(error.into()))
    }
}

impl From<redb::DatabaseError> for StoreError {
    fn from(error: redb::DatabaseError) -> Self {
        Self::Database(Box::new(error.into()))
    }
}

impl From<redb::SetDurabilityError> for StoreError {
    fn from(error: redb::SetDurabilityError) -> Self {
        Self::Database(Box::new(error.into()))
    }
}
