//! A blob that is arriving, in parts that grow, each group verified before it is written.
//!
//! Invariants: the hash tree is written before the groups under it, so that what has arrived is
//! what the tree vouches for, wherever it lies: no other record is kept. What an earlier attempt
//! left is not trusted but verified again, because after a power cut a file may be as long as it
//! should be and full of zeros. Nobody collects the blob meanwhile.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use bao_tree::io::outboard::PostOrderOutboard;
use bao_tree::io::sync::{OutboardMut, WriteAt, valid_ranges};
use bao_tree::io::{Leaf, Parent};
use bao_tree::{BaoTree, ChunkRanges};
use runmesh_core::ids::BlobHash;

use super::leases::Lease;
use super::protocol::MAX_BLOB_BYTES;
use super::store::Staged;
use super::tree::tree_of;
use super::{BlobError, Blobs};

/// What has arrived of a blob. It stays when this is dropped, so that it can be resumed.
#[derive(Debug)]
pub(super) struct Partial {
    blobs: Blobs,
    hash: BlobHash,
    tree: BaoTree,
    data: File,
    /// None if the blob has one group only.
    outboard: Option<PostOrderOutboard<File>>,
    /// What was missing when it was opened.
    missing: Vec<Range<u64>>,
    verified_bytes: u64,
    _lease: Lease,
}

impl Partial {
    /// Starts a blob, or takes up what an earlier attempt left of it.
    pub(super) fn open(blobs: Blobs, hash: BlobHash, size: u64) -> Result<Self, BlobError> {
        if size > MAX_BLOB_BYTES {
            return Err(BlobError::TooLarge { size, limit: MAX_BLOB_BYTES });
        }
        let _lease = blobs.lease(hash);
        let tree = tree_of(size);
        let (data_path, outboard_path) = paths(&blobs, &hash);
        let data = open(&data_path)?;
        match data.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(BlobError::Busy { hash }),
            Err(TryLockError::Error(source)) => {
                return Err(BlobError::io("lock", &data_path, source));
            }
        }
        let mut outboard = None;
        if tree.outboard_size() > 0 {
            let nodes = open(&outboard_path)?;
            let sized = nodes.set_len(tree.outboard_size());
            sized.map_err(|source| BlobError::io("write", &outboard_path, source))?;
            let root = blake3::Hash::from_bytes(*hash.as_bytes());
            outboard = Some(PostOrderOutboard { root, tree, data: nodes });
        }
        let missing = Vec::new();
        let verified_bytes = 0;
        let mut partial =
            Self { blobs, hash, tree, data, outboard, missing, verified_bytes, _lease };
        partial
            .verify_what_is_here()
            .map_err(|source| BlobError::io("read", &data_path, source))?;
        partial.require_space()?;
        Ok(partial)
    }

    /// How much there is.
    pub(super) const fn verified_bytes(&self) -> u64 {
        self.verified_bytes
    }

    /// What is not here, at the time of opening. A blob of no bytes lacks its proof.
    pub(super) fn missing(&self) -> Vec<Range<u64>> {
        self.missing.clone()
    }

    /// Adds an inner node of the tree, which the caller has verified.
    pub(super) fn add_node(&mut self, parent: &Parent) -> Result<(), BlobError> {
        let saved = match &mut self.outboard {
            Some(outboard) => outboard.save(parent.node, &parent.pair),
            None => Ok(()),
        };
        saved.map_err(|source| self.write_failed(source))
    }

    /// Adds a group that was missing, which the caller has verified.
    pub(super) fn add_group(&mut self, leaf: &Leaf) -> Result<(), BlobError> {
        self.data
            .write_all_at(leaf.offset, &leaf.data)
            .map_err(|source| self.write_failed(source))?;
        self.verified_bytes += leaf.data.len() as u64;
        Ok(())
    }

    /// Gives the blob its name. When this returns, it is durable.
    pub(super) fn finish(self) -> Result<(), BlobError> {
        debug_assert_eq!(self.verified_bytes, self.tree.size(), "the caller added everything");
        let (data, nodes) = paths(&self.blobs, &self.hash);
        let outboard = self.outboard.as_ref();
        self.blobs.publish(
            &self.hash,
            self.tree.size(),
            Staged { file: &self.data, path: &data },
            outboard.map(|outboard| Staged { file: &outboard.data, path: &nodes }),
        )?;
        // Only there still if the blob had come in another way meanwhile.
        remove_files(&self.blobs, &self.hash);
        Ok(())
    }

    /// Finds out what of the data the root hash vouches for, and what is missing.
    fn verify_what_is_here(&mut self) -> io::Result<()> {
        let size = self.tree.size();
        let mut end = 0;
        if let Some(outboard) = &self.outboard
            && self.data.metadata()?.len() > 0
        {
            for range in valid_ranges(outboard, &self.data, &ChunkRanges::all()) {
                let range = range?;
                let start = range.start.to_bytes();
                if start > end {
                    self.missing.push(end..start);
                }
                end = range.end.to_bytes().min(size);
                self.verified_bytes += end - start;
            }
        }
        if end < size || size == 0 {
            self.missing.push(end..size);
        }
        self.data.set_len(end)
    }

    /// Fails early, and cheaply each time, instead of after gigabytes.
    fn require_space(&self) -> Result<(), BlobError> {
        let missing = self.tree.size() - self.verified_bytes;
        let root = self.blobs.root();
        let available = fs4::available_space(root)
            .map_err(|source| BlobError::io("find the space left in", root, source))?;
        if available < missing {
            return Err(self.write_failed(io::ErrorKind::StorageFull.into()));
        }
        Ok(())
    }

    /// On a full disk, the space is worth more to others than what has arrived is to us.
    fn write_failed(&self, source: io::Error) -> BlobError {
        let error = BlobError::io("write", &paths(&self.blobs, &self.hash).0, source);
        if matches!(error, BlobError::DiskFull { .. }) {
            remove_files(&self.blobs, &self.hash);
        }
        error
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if self.verified_bytes == 0 {
            remove_files(&self.blobs, &self.hash);
        }
    }
}

fn paths(blobs: &Blobs, hash: &BlobHash) -> (PathBuf, PathBuf) {
    let folder = blobs.partial_folder();
    (folder.join(hash.to_string()), folder.join(format!("{hash}.obao")))
}

fn open(path: &Path) -> Result<File, BlobError> {
    let mut options = OpenOptions::new();
    let opened = options.read(true).write(true).create(true).truncate(false).open(path);
    opened.map_err(|source| BlobError::io("open", path, source))
}

impl Blobs {
    /// The blobs of which a part is here, and how long their files are.
    pub(crate) fn list_partial(&self) -> Result<Vec<(BlobHash, u64)>, BlobError> {
        let folder = self.partial_folder();
        let failed = |source| BlobError::io("list", &folder, source);
        let mut found = Vec::new();
        for file in fs::read_dir(&folder).map_err(failed)? {
            let file = file.map_err(failed)?;
            let hash = file.file_name().to_str().and_then(|name| name.parse().ok());
            // One that went meanwhile has become a whole blob, or was given up.
            if let (Some(hash), Ok(metadata)) = (hash, file.metadata()) {
                found.push((hash, metadata.len()));
            }
        }
        Ok(found)
    }

    /// Removes what a broken fetch left of a blob. The caller sees to it that nobody fetches it
    /// meanwhile: see [`Blobs::collection`].
    pub(crate) fn remove_partial(&self, hash: &BlobHash) {
        remove_files(self, hash);
    }
}

fn remove_files(blobs: &Blobs, hash: &BlobHash) {
    let (data, nodes) = paths(blobs, hash);
    for path in [data, nodes] {
        if let Err(error) = fs::remove_file(&path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %path.display(), %error, "cannot remove a partial blob");
        }
    }
}
