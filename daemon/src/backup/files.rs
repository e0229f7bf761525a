//! The files of a backup: reading them from a tar file or a folder, and putting them in a folder.
//!
//! Invariant: nothing is written outside the folder, and nothing that is no file of a home: a
//! backup may come from anywhere.

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Component, Path, PathBuf};

use runmesh_core::ids::{BlobHash, WorkspaceId};

use super::{BackupError, COMPLETE, HEAD, OWN_FILES, STORE, WORKSPACE_FILES, failed};

/// The most bytes of a file other than a store or a blob.
const MAX_SMALL_BYTES: u64 = 64 << 20;

/// What a file of a backup is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    Head,
    Complete,
    Own,
    Workspace(WorkspaceId),
    Store(WorkspaceId),
    Blob(BlobHash),
    Outboard,
}

/// What was put into a folder.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Unpacked {
    /// How many bytes were written.
    pub bytes: u64,
    /// How many blobs there are.
    pub blobs: u64,
    /// How many of those were there already.
    pub blobs_there: u64,
    /// Whether the backup was finished.
    pub complete: bool,
}

/// Is shown a file: its path, what it is, its length and its bytes.
pub(super) type Visit<'a> =
    dyn FnMut(&Path, What, u64, &mut dyn Read) -> Result<(), BackupError> + 'a;

/// Puts a backup that comes as a tar file into a folder, which may hold an earlier backup: blobs
/// that are there are left as they are.
pub fn unpack(tar: impl Read, folder: &Path) -> Result<Unpacked, BackupError> {
    make_folder(folder)?;
    // Until all is there it is not complete.
    remove_if_there(&folder.join(COMPLETE))?;
    let mut unpacked = Unpacked::default();
    each_in_tar(tar, &mut |path, what, size, bytes| {
        let target = folder.join(path);
        unpacked.blobs += u64::from(matches!(what, What::Blob(_)));
        let is_there = fs::metadata(&target).is_ok_and(|meta| meta.len() == size);
        if is_there && matches!(what, What::Blob(_) | What::Outboard) {
            unpacked.blobs_there += u64::from(matches!(what, What::Blob(_)));
            return Ok(());
        }
        unpacked.complete |= what == What::Complete;
        unpacked.bytes += put(&target, bytes)?;
        Ok(())
    })?;
    Ok(unpacked)
}

/// Goes through the files of a backup, a tar file or a folder.
pub(super) fn each(from: &Path, visit: &mut Visit<'_>) -> Result<(), BackupError> {
    if !from.is_dir() {
        let file = File::open(from).map_err(failed("read", from))?;
        return each_in_tar(BufReader::with_capacity(1 << 20, file), visit);
    }
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let whole = from.join(&folder);
        for entry in fs::read_dir(&whole).map_err(failed("read", &whole))? {
            let entry = entry.map_err(failed("read", &whole))?;
            let path = folder.join(entry.file_name());
            let whole = from.join(&path);
            let meta = entry.metadata().map_err(failed("read", &whole))?;
            if meta.is_dir() {
                folders.push(path);
                continue;
            }
            let Some(what) = what(&path).filter(|_| meta.is_file()) else { continue };
            let mut file = File::open(&whole).map_err(failed("read", &whole))?;
            visit(&path, what, meta.len(), &mut file)?;
        }
    }
    Ok(())
}

fn each_in_tar(tar: impl Read, visit: &mut Visit<'_>) -> Result<(), BackupError> {
    let mut archive = tar::Archive::new(tar);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        let is_file = entry.header().entry_type().is_file();
        let strange = || BackupError::StrangeFile { path: path.display().to_string() };
        let what = what(&path).filter(|_| is_file).ok_or_else(strange)?;
        let size = entry.size();
        let is_large = matches!(what, What::Store(_) | What::Blob(_) | What::Outboard);
        if !is_large && size > MAX_SMALL_BYTES {
            return Err(strange());
        }
        visit(&path, what, size, &mut entry)?;
    }
    Ok(())
}

/// What a path of a backup names, if anything.
pub(super) fn what(path: &Path) -> Option<What> {
    let parts: Option<Vec<&str>> = path
        .components()
        .map(|part| match part {
            Component::Normal(name) => name.to_str(),
            _ => None,
        })
        .collect();
    match parts?[..] {
        [HEAD] => Some(What::Head),
        [COMPLETE] => Some(What::Complete),
        [name] if OWN_FILES.contains(&name) => Some(What::Own),
        ["workspaces", id, name] => {
            let id = id.parse().ok()?;
            match name {
                STORE => Some(What::Store(id)),
                name if WORKSPACE_FILES.contains(&name) => Some(What::Workspace(id)),
                _ => None,
            }
        }
        ["blobs", shard, name] if name.starts_with(shard) && shard.len() == 2 => {
            match name.strip_suffix(".obao") {
                Some(hash) => hash.parse::<BlobHash>().ok().map(|_| What::Outboard),
                None => name.parse().ok().map(What::Blob),
            }
        }
        _ => None,
    }
}

/// Writes a file whole and durably, readable by its owner alone. Returns its length.
pub(super) fn put(path: &Path, bytes: &mut dyn Read) -> Result<u64, BackupError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    make_folder(folder)?;
    // The file is made for its owner alone.
    let mut file = tempfile::Builder::new()
        .prefix(".runmesh-")
        .tempfile_in(folder)
        .map_err(failed("write in", folder))?;
    let size = io::copy(bytes, file.as_file_mut()).map_err(failed("write", path))?;
    file.as_file().sync_all().map_err(failed("write", path))?;
    file.persist(path).map_err(|error| failed("write", path)(error.error))?;
    Ok(size)
}

pub(super) fn make_folder(path: &Path) -> Result<(), BackupError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(failed("make", path))
}

pub(super) fn remove_if_there(path: &Path) -> Result<(), BackupError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_a_home_have_a_place_in_a_backup() {
        let id = "ab".repeat(32);
        let path = |path: &str| what(Path::new(&path.replace("ID", &id)));
        assert_eq!(path("backup.json"), Some(What::Head));
        assert_eq!(path("device.key"), Some(What::Own));
        assert!(matches!(path("workspaces/ID/store.redb"), Some(What::Store(_))));
        assert!(matches!(path("blobs/ab/ID"), Some(What::Blob(_))));
        assert_eq!(path("blobs/ab/ID.obao"), Some(What::Outboard));
        for strange in [
            "../device.key",
            "/etc/passwd",
            "blobs/../device.key",
            "blobs/cd/ID",
            "blobs/ab/ID.sh",
            "workspaces/x/store.redb",
            "workspaces/ID/edits.log",
            "lock",
            "token",
            "",
        ] {
            assert_eq!(path(strange), None, "{strange}");
        }
    }
}
