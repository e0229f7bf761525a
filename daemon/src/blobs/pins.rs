//! Pins: what this device keeps and fetches, whatever its policy says.
//!
//! Invariants: a pin is on the disk before it is told of; a pinned run is pinned with all that it
//! has or will have.

use std::collections::{BTreeMap, HashMap, HashSet};

use redb::{Durability, ReadableDatabase};
use runmesh_core::ids::{BlobHash, DocumentId, WorkspaceId};

use super::BlobError;
use super::ledger::{Ledger, PINS};

/// What can be pinned.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pin {
    /// A blob, whatever names it.
    Blob(BlobHash),
    /// What an owner has at a path and below it; at the empty path, all.
    Artifacts {
        /// A run, or a model.
        owner: DocumentId,
        /// A file or a folder.
        path: String,
    },
}

impl Pin {
    const BLOB: u8 = 0;
    const ARTIFACTS: u8 = 1;

    fn encode(&self) -> Vec<u8> {
        match self {
            Self::Blob(blob) => [&[Self::BLOB][..], blob.as_bytes()].concat(),
            Self::Artifacts { owner, path } => {
                [&[Self::ARTIFACTS][..], &owner.to_bytes(), path.as_bytes()].concat()
            }
        }
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (kind, rest) = bytes.split_first()?;
        match *kind {
            Self::BLOB => Some(Self::Blob(BlobHash::new(rest.try_into().ok()?))),
            Self::ARTIFACTS => {
                let (owner, path) = rest.split_first_chunk()?;
                let path = std::str::from_utf8(path).ok()?.to_owned();
                Some(Self::Artifacts { owner: DocumentId::from_bytes(owner), path })
            }
            _ => None,
        }
    }
}

/// All pins of a workspace, to be asked for many blobs.
#[derive(Debug, Clone, Default)]
pub struct Pins {
    blobs: HashSet<BlobHash>,
    paths: HashMap<DocumentId, Vec<String>>,
    since: BTreeMap<Pin, u64>,
}

impl Pins {
    /// Whether what an owner has at a path is pinned.
    pub fn pin(&self, owner: &DocumentId, path: &str, blob: &BlobHash) -> bool {
        let is_under = |folder: &String| {
            folder.is_empty()
                || path
                    .strip_prefix(folder.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.blobs.contains(blob)
            || self.paths.get(owner).is_some_and(|folders| folders.iter().any(is_under))
    }

    /// Whether a blob is pinned by its hash.
    pub fn pin_blob(&self, blob: &BlobHash) -> bool {
        self.blobs.contains(blob)
    }

    /// What is pinned, and when that was said, in milliseconds since 1970.
    pub fn all(&self) -> impl Iterator<Item = (&Pin, u64)> {
        self.since.iter().map(|(pin, since)| (pin, *since))
    }
}

impl Ledger {
    /// Pins something, durably; returns whether it was not pinned before.
    pub fn pin(&self, workspace: &WorkspaceId, pin: &Pin, now_ms: u64) -> Result<bool, BlobError> {
        let txn = self.begin(Durability::Immediate)?;
        let key = pin.encode();
        let is_new = {
            let mut pins = txn.open_table(PINS)?;
            let key = (workspace.as_bytes(), &key[..]);
            let is_new = redb::ReadableTable::get(&pins, key)?.is_none();
            if is_new {
                pins.insert(key, now_ms)?;
            }
            is_new
        };
        txn.commit()?;
        Ok(is_new)
    }

    /// Takes a pin away, durably; returns whether there was one.
    pub fn unpin(&self, workspace: &WorkspaceId, pin: &Pin) -> Result<bool, BlobError> {
        let txn = self.begin(Durability::Immediate)?;
        let was_there = {
            let mut pins = txn.open_table(PINS)?;
            let key = pin.encode();
            pins.remove((workspace.as_bytes(), &key[..]))?.is_some()
        };
        txn.commit()?;
        Ok(was_there)
    }

    /// The pins of a workspace.
    pub fn pins(&self, workspace: &WorkspaceId) -> Result<Pins, BlobError> {
        let table = self.database.begin_read()?.open_table(PINS)?;
        let mut pins = Pins::default();
        for item in table.range((workspace.as_bytes(), &[][..])..)? {
            let (key, since) = item?;
            let (of, pin) = key.value();
            if of != workspace.as_bytes() {
                break;
            }
            let Some(pin) = Pin::decode(pin) else { continue };
            match &pin {
                Pin::Blob(blob) => drop(pins.blobs.insert(*blob)),
                Pin::Artifacts { owner, path } => {
                    pins.paths.entry(*owner).or_default().push(path.clone());
                }
            }
            pins.since.insert(pin, since.value());
        }
        Ok(pins)
    }
}

#[cfg(test)]
mod tests {
    use runmesh_core::ids::RunId;

    use super::*;

    #[test]
    fn a_pin_holds_for_all_below_it_and_is_there_after_a_restart() -> Result<(), BlobError> {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let path = folder.path().join("ledger.redb");
        let (workspace, other) = (WorkspaceId::new([1; 32]), WorkspaceId::new([2; 32]));
        let run = DocumentId::run(RunId::new([3; 16]));
        let blob = BlobHash::new([4; 32]);
        let model = Pin::Artifacts { owner: run, path: "model".to_owned() };
        let ledger = Ledger::open(&path)?;
        assert!(ledger.pin(&workspace, &model, 5)?);
        assert!(!ledger.pin(&workspace, &model, 6)?);
        assert!(ledger.pin(&workspace, &Pin::Blob(blob), 7)?);
        drop(ledger);
        let ledger = Ledger::open(&path)?;
        let (pins, unnamed) = (ledger.pins(&workspace)?, BlobHash::new([9; 32]));
        assert!(pins.pin(&run, "model", &unnamed) && pins.pin(&run, "model/a/b", &unnamed));
        assert!(!pins.pin(&run, "models", &unnamed) && !pins.pin(&run, "", &unnamed));
        assert!(pins.pin(&run, "else", &blob) && pins.pin_blob(&blob));
        assert_eq!(pins.all().map(|(_, since)| since).collect::<Vec<_>>(), [7, 5]);
        assert_eq!(ledger.pins(&other)?.all().count(), 0);
        assert!(ledger.unpin(&workspace, &model)? && !ledger.unpin(&workspace, &model)?);
        assert!(!ledger.pins(&workspace)?.pin(&run, "model", &unnamed));
        Ok(())
    }
}
