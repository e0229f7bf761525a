//! What can go wrong in the store that is nobody's bad input: the disk, or our own bytes.

/// A failure of the disk or of the bytes on it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// redb could not read or write.
    #[error("the store could not be read or written")]
    Database(#[source] redb::Error),
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

impl<E: Into<redb::Error>> From<E> for StoreError {
    fn from(error: E) -> Self {
        Self::Database(error.into())
    }
}
