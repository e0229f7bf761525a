//! Reading which artifacts there are, and which blobs may be served.
//!
//! Invariant: folders exist only by what is in them.

use redb::ReadableTable;
use serde::{Deserialize, Serialize};

use super::super::StoreError;
use super::super::tables::{ARTIFACTS, GRANTS, PURGED_BLOBS, open_if_there};
use super::{Snapshot, decode};
use crate::clock::Clock;
use crate::ids::{BlobHash, DocumentId};
use crate::rows::ArtifactRow;

/// One element of a folder of artifacts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArtifactEntry {
    /// A folder, by its whole path.
    Folder(String),
    /// A file.
    File(ArtifactRow),
}

/// What was last done at a path: the latest by clock, and among equals the higher content.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct ArtifactState {
    pub(crate) clock: Clock,
    /// The blob and its size, or none if it was removed.
    pub(crate) content: Option<(BlobHash, u64)>,
}

impl Snapshot {
    /// Whether this device may serve a blob in this workspace.
    pub fn is_granted(&self, blob: &BlobHash) -> Result<bool, StoreError> {
        Ok(self.txn.open_table(GRANTS)?.get(blob.as_bytes())?.is_some())
    }

    /// All blobs that this device may serve in this workspace.
    pub fn granted(&self) -> Result<Vec<BlobHash>, StoreError> {
        let table = self.txn.open_table(GRANTS)?;
        table.iter()?.map(|item| Ok(BlobHash::new(*item?.0.value()))).collect()
    }

    /// Blobs of purged documents that are not freed yet.
    pub fn purged_blobs(&self) -> Result<Vec<BlobHash>, StoreError> {
        let Some(table) = open_if_there(&self.txn, PURGED_BLOBS)? else { return Ok(Vec::new()) };
        table.iter()?.map(|item| Ok(BlobHash::new(*item?.0.value()))).collect()
    }

    /// All artifacts of all owners.
    pub fn all_artifacts(&self) -> Result<Vec<(DocumentId, ArtifactRow)>, StoreError> {
        let table = self.txn.open_table(ARTIFACTS)?;
        let mut all = Vec::new();
        for item in table.iter()? {
            let (key, value) = item?;
            let (owner, path) = key.value();
            let row = artifact_row(path, value.value())?;
            all.extend(row.map(|row| (DocumentId::from_bytes(owner), row)));
        }
        Ok(all)
    }

    /// What stands at a path, if it is a file.
    pub fn artifact(
        &self,
        owner: DocumentId,
        path: &str,
    ) -> Result<Option<ArtifactRow>, StoreError> {
        let table = self.txn.open_table(ARTIFACTS)?;
        let bytes = table.get((&owner.to_bytes(), path))?;
        Ok(bytes.map(|bytes| artifact_row(path, bytes.value())).transpose()?.flatten())
    }

    /// What stands directly in a folder (empty for the root), by path. None if there is no such
    /// folder: folders exist only by what is in them.
    pub fn artifacts_in(
        &self,
        owner: DocumentId,
        folder: &str,
    ) -> Result<Vec<ArtifactEntry>, StoreError> {
        let head = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let mut entries: Vec<ArtifactEntry> = Vec::new();
        for row in self.artifacts_below(owner, &head)? {
            match row.path[head.len()..].split_once('/') {
                None => entries.push(ArtifactEntry::File(row)),
                Some((name, _)) => {
                    let folder = ArtifactEntry::Folder(format!("{head}{name}"));
                    if entries.last() != Some(&folder) {
                        entries.push(folder);
                    }
                }
            }
        }
        Ok(entries)
    }

    /// What an owner has at a path and below it; at the empty path, all.
    pub fn artifacts_at_or_below(
        &self,
        owner: DocumentId,
        path: &str,
    ) -> Result<Vec<ArtifactRow>, StoreError> {
        if path.is_empty() {
            return self.artifacts_below(owner, "");
        }
        let mut rows = self.artifacts_below(owner, &format!("{path}/"))?;
        rows.extend(self.artifact(owner, path)?);
        Ok(rows)
    }

    /// All artifacts of an owner whose path starts with `head` (empty, or ending in `/`), by path.
    pub fn artifacts_below(
        &self,
        owner: DocumentId,
        head: &str,
    ) -> Result<Vec<ArtifactRow>, StoreError> {
        let table = self.txn.open_table(ARTIFACTS)?;
        let owner = owner.to_bytes();
        let mut rows = Vec::new();
        for item in table.range((&owner, head)..)? {
            let (key, value) = item?;
            let (found, path) = key.value();
            if found != &owner || !path.starts_with(head) {
                break;
            }
            rows.extend(artifact_row(path, value.value())?);
        }
        Ok(rows)
    }
}

fn artifact_row(path: &str, bytes: &[u8]) -> Result<Option<ArtifactRow>, StoreError> {
    let state: ArtifactState = decode("artifacts", bytes)?;
    let row = |(blob, size)| ArtifactRow { path: path.to_owned(), blob, size };
    Ok(state.content.map(row))
}
