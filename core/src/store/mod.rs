//! The store: one workspace in one redb file and one edit log beside it.

mod error;
mod snapshot;
pub(crate) mod tables;

pub use error::StoreError;
pub use snapshot::{ArtifactEntry, Snapshot};
