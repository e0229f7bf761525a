//! What can go wrong with a document.

use crate::codec::DecodeError;

/// A document that cannot be read or edited.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// The snapshot is not one; a rebuild makes it anew.
    #[error("the document's snapshot cannot be read")]
    Damaged(#[from] DecodeError),
    /// Automerge refused changes that are sound.
    #[error("automerge cannot read the document")]
    Automerge(#[source] automerge::AutomergeError),
    /// Automerge refused the bytes of a change that is sound.
    #[error("automerge cannot read a change of the document")]
    Load(#[source] automerge::LoadChangeError),
    /// Automerge panicked over changes that are sound.
    #[error("automerge failed on the document")]
    Panicked,
    /// An edit is larger than one change can be.
    #[error("the edit takes {operations} operations; a change can carry {limit}")]
    TooLarge {
        /// How many it takes.
        operations: usize,
        /// How many a change can carry.
        limit: usize,
    },
}
