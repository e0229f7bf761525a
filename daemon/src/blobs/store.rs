//! Where blobs live: plain files named by their hash, beside the outboards that verify them.
//!
//! ```text
//! blobs/ab/ab12….            the bytes
//! blobs/ab/ab12….obao        the tree's inner nodes, if there is more than one group
//! blobs/tmp/                 imports under way; emptied at every start
//! blobs/partial/ab12….       what a broken fetch left behind, to be resumed
//! blobs/ledger.redb          who holds what, pins, promises
//! ```
//!
//! Invariants: a file under a blob's name is whole, is what its name says and is on the disk, not
//! only in memory; so are its outboard and the folders that lead to it, before anyone is told that
//! the blob is here. One process has the folder open (the home's lock file sees to that).
//!
//! The folder is shared by all workspaces of a home. That a blob is here says nothing about who
//! may have it: see [`Gate`](super::Gate).

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use runmesh_core::ids::BlobHash;
use tempfile::NamedTempFile;

use super::leases::Leases;
use super::ledger::Ledger;
use super::tree::tree_of;
use super::{BlobError, off_the_runtime};

const TMP: &str = "tmp";
const PARTIAL: &str = "partial";

/// What the blob store takes on disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// How many blobs there are.
    pub blobs: u64,
    /// Their bytes, without the outboards.
    pub bytes: u64,
}

/// The blobs of this device. Cheap to clone; all clones are one store.
#[derive(Debug, Clone)]
pub struct Blobs {
    folder: Arc<Folder>,
}

#[derive(Debug)]
struct Folder {
    root: PathBuf,
    /// The first bytes of hashes whose folder is known to be on the disk.
    durable: Mutex<HashSet<u8>>,
    ledger: Ledger,
    leases: Arc<Leases>,
}

impl Blobs {
    /// Uses the folder at `root`, which is created if need be, and removes what a crash left there.
    pub fn in_folder(root: impl Into<PathBuf>) -> Result<Self, BlobError> {
        let root = root.into();
        for folder in [root.join(TMP), root.join(PARTIAL)] {
            fs::create_dir_all(&folder)
                .map_err(|source| BlobError::io("create", &folder, source))?;
        }
        let ledger = Ledger::open(&root.join("ledger.redb"))?;
        let (durable, leases) = (Mutex::default(), Arc::default());
        let blobs = Self { folder: Arc::new(Folder { root, durable, ledger, leases }) };
        sync_folder(blobs.root())?;
        blobs.empty_tmp()?;
        Ok(blobs)
    }

    /// Opens a blob for reading, if it is here.
    pub async fn open(&self, hash: &BlobHash) -> Result<Option<tokio::fs::File>, BlobError> {
        let path = self.path(hash);
        let file = off_the_runtime(move || open_if_there(&path)).await?;
        Ok(file.map(tokio::fs::File::from_std))
    }

    /// Opens a blob for reading, if it is here, on a thread that may block.
    pub fn open_blocking(&self, hash: &BlobHash) -> Result<Option<File>, BlobError> {
        open_if_there(&self.path(hash))
    }

    /// The size of a blob, if it is here.
    pub fn size(&self, hash: &BlobHash) -> Result<Option<u64>, BlobError> {
        size_of(&self.path(hash))
    }

    /// Whether a blob is here.
    pub fn has(&self, hash: &BlobHash) -> Result<bool, BlobError> {
        Ok(self.size(hash)?.is_some())
    }

    /// Who holds what, pins and promises.
    pub fn ledger(&self) -> &Ledger {
        &self.folder.ledger
    }

    pub(super) fn leases(&self) -> &Arc<Leases> {
        &self.folder.leases
    }

    /// Removes a blob; returns whether it was here. The caller sees to it that no grant names it
    /// and that no import of it is being acknowledged meanwhile: see [`Blobs::collection`].
    pub fn remove(&self, hash: &BlobHash) -> Result<bool, BlobError> {
        let path = self.path(hash);
        let was_here = remove_if_there(&path)?;
        remove_if_there(&self.outboard_path(hash))?;
        if was_here {
            sync_folder(&self.folder_of(hash))?;
        }
        Ok(was_here)
    }

    /// Counts what is here, by walking the folders: for a status line, not for every request.
    pub fn usage(&self) -> Result<Usage, BlobError> {
        let mut usage = Usage::default();
        self.visit(|_, bytes| {
            usage.blobs += 1;
            usage.bytes += bytes;
        })?;
        Ok(usage)
    }

    /// All blobs that are here, with their sizes.
    pub fn list(&self) -> Result<Vec<(BlobHash, u64)>, BlobError> {
        let mut found = Vec::new();
        self.visit(|name, bytes| found.extend(name.parse().ok().map(|hash| (hash, bytes))))?;
        Ok(found)
    }

    /// Those of some blobs that are here.
    pub(crate) fn held(&self, granted: &[BlobHash]) -> Result<HashSet<BlobHash>, BlobError> {
        let here: HashSet<_> = self.list()?.into_iter().map(|(hash, _)| hash).collect();
        Ok(granted.iter().filter(|hash| here.contains(hash)).copied().collect())
    }

    fn visit(&self, mut seen: impl FnMut(&str, u64)) -> Result<(), BlobError> {
        for shard in list(self.root())? {
            let name = shard.file_name();
            if name.len() != 2 {
                continue;
            }
            for file in list(&shard.path())? {
                if file.path().extension().is_none()
                    && let Some(name) = file.file_name().to_str()
                    && let Some(bytes) = size_of(&file.path())?
                {
                    seen(name, bytes);
                }
            }
        }
        Ok(())
    }

    pub(super) fn root(&self) -> &Path {
        &self.folder.root
    }

    pub(super) fn tmp_folder(&self) -> PathBuf {
        self.root().join(TMP)
    }

    pub(super) fn partial_folder(&self) -> PathBuf {
        self.root().join(PARTIAL)
    }

    /// A file for an import, which disappears when it is dropped.
    pub(super) fn tmp_file(&self) -> Result<NamedTempFile, BlobError> {
        let folder = self.tmp_folder();
        NamedTempFile::new_in(&folder).map_err(|source| BlobError::io("write in", &folder, source))
    }

    fn folder_of(&self, hash: &BlobHash) -> PathBuf {
        self.root().join(format!("{:02x}", hash.as_bytes()[0]))
    }

    pub(super) fn path(&self, hash: &BlobHash) -> PathBuf {
        self.folder_of(hash).join(hash.to_string())
    }

    pub(super) fn outboard_path(&self, hash: &BlobHash) -> PathBuf {
        self.folder_of(hash).join(format!("{hash}.obao"))
    }

    /// Gives staged files their final names. On return, blob and outboard survive a power cut.
    ///
    /// The order matters: the bytes reach the disk before they get a name, and the outboard gets
    /// its name before the blob does, so that whoever sees the blob sees its outboard.
    pub(super) fn publish(
        &self,
        hash: &BlobHash,
        size: u64,
        data: Staged<'_>,
        outboard: Option<Staged<'_>>,
    ) -> Result<(), BlobError> {
        self.ensure_folder(hash)?;
        if !self.is_whole(hash, size)? {
            if let Some(outboard) = outboard {
                outboard.publish(&self.outboard_path(hash))?;
            }
            data.publish(&self.path(hash))?;
        }
        // Also if the blob was here: whoever put it there may not have come this far yet.
        sync_folder(&self.folder_of(hash))
    }

    /// Whether a blob of this size is here with its outboard.
    fn is_whole(&self, hash: &BlobHash, size: u64) -> Result<bool, BlobError> {
        let outboard_bytes = tree_of(size).outboard_size();
        Ok(self.size(hash)? == Some(size)
            && (outboard_bytes == 0 || size_of(&self.outboard_path(hash))? == Some(outboard_bytes)))
    }

    /// Creates the folder of a blob. The lock makes a second import wait until the first has the
    /// new folder on the disk.
    fn ensure_folder(&self, hash: &BlobHash) -> Result<(), BlobError> {
        let mut durable = self.folder.durable.lock().unwrap_or_else(PoisonError::into_inner);
        let shard = hash.as_bytes()[0];
        if !durable.contains(&shard) {
            let folder = self.folder_of(hash);
            fs::create_dir_all(&folder)
                .map_err(|source| BlobError::io("create", &folder, source))?;
            sync_folder(self.root())?;
            durable.insert(shard);
        }
        Ok(())
    }

    fn empty_tmp(&self) -> Result<(), BlobError> {
        for leftover in list(&self.tmp_folder())? {
            remove_if_there(&leftover.path())?;
        }
        Ok(())
    }
}

/// A complete file that waits for its final name.
pub(super) struct Staged<'a> {
    pub(super) file: &'a File,
    pub(super) path: &'a Path,
}

impl Staged<'_> {
    fn publish(&self, target: &Path) -> Result<(), BlobError> {
        self.file.sync_all().map_err(|source| BlobError::io("flush", self.path, source))?;
        fs::rename(self.path, target).map_err(|source| BlobError::io("rename", self.path, source))
    }
}

/// Puts a folder's list of names on the disk.
fn sync_folder(folder: &Path) -> Result<(), BlobError> {
    // Windows has no such call; there, renaming is all that can be done.
    if cfg!(unix) {
        File::open(folder)
            .and_then(|opened| opened.sync_all())
            .map_err(|source| BlobError::io("flush", folder, source))?;
    }
    Ok(())
}

fn list(folder: &Path) -> Result<Vec<fs::DirEntry>, BlobError> {
    fs::read_dir(folder)
        .and_then(Iterator::collect)
        .map_err(|source| BlobError::io("list", folder, source))
}

/// Opens a file for reading, if there is one.
pub(super) fn open_if_there(path: &Path) -> Result<Option<File>, BlobError> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(BlobError::io("open", path, source)),
    }
}

fn size_of(path: &Path) -> Result<Option<u64>, BlobError> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata.len())),
        Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(BlobError::io("look at", path, source)),
    }
}

fn remove_if_there(path: &Path) -> Result<bool, BlobError> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(BlobError::io("remove", path, source)),
    }
}
