//! A blob that is arriving from a peer, in order, each group verified before it is written.
//!
//! Invariants: what is in the data file is verified; its length is how much there is. What an
//! earlier attempt left is not trusted but verified again, because after a power cut a file may be
//! as long as it should be and full of zeros.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use bao_tree::io::outboard::PostOrderOutboard;
use bao_tree::io::sync::{OutboardMut, WriteAt, valid_ranges};
use bao_tree::io::{Leaf, Parent};
use bao_tree::{BaoTree, ChunkNum, ChunkRanges};
use runmesh_core::ids::BlobHash;

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
    verified_bytes: u64,
}

impl Partial {
    /// Starts a blob, or takes up what an earlier attempt left of it.
    pub(super) fn open(blobs: Blobs, hash: BlobHash, size: u64) -> Result<Self, BlobError> {
        if size > MAX_BLOB_BYTES {
            return Err(BlobError::TooLarge { size, limit: MAX_BLOB_BYTES });
        }
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
        let mut partial = Self { blobs, hash, tree, data, outboard, verified_bytes: 0 };
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

    /// Adds an inner node of the tree, which the caller has verified.
    pub(super) fn add_node(&mut self, parent: &Parent) -> Result<(), BlobError> {
        let saved = match &mut self.outboard {
            Some(outboard) => outboard.save(parent.node, &parent.pair),
            None => Ok(()),
        };
        saved.map_err(|source| self.write_failed(source))
    }

    /// Adds the group that follows, which the caller has verified.
    pub(super) fn add_group(&mut self, leaf: &Leaf) -> Result<(), BlobError> {
        debug_assert_eq!(leaf.offset, self.verified_bytes, "groups arrive in order");
        self.data
            .write_all_at(leaf.offset, &leaf.data)
            .map_err(|source| self.write_failed(source))?;
        self.verified_bytes += leaf.data.len() as u64;
        Ok(())
    }

    /// Gives the blob its name. When this returns, it is durable.
    pub(super) fn finish(self) -> Result<(), BlobError> {
        debug_assert_eq!(self.verified_bytes, self.tree.size(), "the caller saw the end");
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

    /// Sets `verified_bytes` to the longest start of the data that the root hash vouches for.
    fn verify_what_is_here(&mut self) -> io::Result<()> {
        if let Some(outboard) = &self.outboard
            && self.data.metadata()?.len() > 0
        {
            let mut end = ChunkNum(0);
            for range in valid_ranges(outboard, &self.data, &ChunkRanges::all()) {
                let range = range?;
                if range.start != end {
                    break;
                }
                end = range.end;
            }
            self.verified_bytes = end.to_bytes().min(self.tree.size());
        }
        self.data.set_len(self.verified_bytes)
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
