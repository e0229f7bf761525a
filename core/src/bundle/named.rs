//! The blobs that an entry names, which a bundle carries along with it.

use crate::artifact::ArtifactContent;
use crate::entry::UnverifiedEntry;
use crate::ids::BlobHash;
use crate::operation::{Operation, OperationKind};

/// The blobs that an entry of the own store names, and their sizes. What was redacted names none.
pub fn blobs_named(entry: &UnverifiedEntry) -> Vec<(BlobHash, u64)> {
    let named = |operation: &Operation| match operation {
        Operation::Whole { kind, content, .. }
            if OperationKind::from_number(*kind) == Some(OperationKind::Artifact) =>
        {
            ArtifactContent::decode(content).ok()?.content
        }
        _ => None,
    };
    entry.operations().iter().filter_map(named).collect()
}
