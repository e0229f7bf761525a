//! Writing a backup of a live home.
//!
//! What clients wrote is sealed, then one snapshot is copied: the writer goes on meanwhile. Small
//! files follow, then blobs, which never change; a blob that is removed meanwhile is left out.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::backends::FileBackend;
use runmesh_core::ids::WorkspaceId;
use runmesh_core::store::{Snapshot, StoreError};

use super::{
    BackupError, COMPLETE, FORMAT, HEAD, Head, OWN_FILES, STORE, WORKSPACE_FILES, failed, files,
};
use crate::app::App;
use crate::now;
use crate::workspace::{OpenError, device_of};

/// A backup that is about to be written.
pub(crate) struct Backup {
    app: Arc<App>,
    head: Head,
    snapshots: Vec<(WorkspaceId, Snapshot)>,
}

impl Backup {
    /// Takes the moment: all that was acknowledged before this is called will be in it.
    pub(crate) async fn begin(app: &Arc<App>) -> Result<Self, BackupError> {
        let mut workspaces = vec![app.workspace.clone()];
        if let Some(all) = app.workspaces() {
            workspaces = all.all().iter().map(|space| space.app.workspace.clone()).collect();
        }
        let mut snapshots = Vec::new();
        for workspace in workspaces {
            workspace.seal().await?;
            snapshots.push((workspace.id(), workspace.fresh().await?));
        }
        let current = app.home.places()?.map(|places| places.current().id);
        let head = Head {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            device: device_of(&app.home),
            name: app.config.name.clone(),
            workspace: current.unwrap_or_else(|| app.workspace.id()),
            made_ms: now().0,
        };
        Ok(Self { app: Arc::clone(app), head, snapshots })
    }

    /// Writes it as a tar file. Blocks, so it runs on a thread of its own.
    pub(crate) fn write(self, out: impl Write) -> Result<(), BackupError> {
        let Self { app, head, snapshots } = self;
        let home = app.home.path();
        let mut tar = Tar { out: tar::Builder::new(out), made_ms: head.made_ms };
        let text = serde_json::to_vec_pretty(&head).expect("a head is plain data");
        tar.put(Path::new(HEAD), text.len() as u64, &text[..])?;
        // Each is let go when it is copied: what the original overwrites need not be kept longer.
        for (id, snapshot) in snapshots {
            tar.put_ground(home, &id, &snapshot)?;
        }
        for name in OWN_FILES {
            tar.put_if_there(home, Path::new(name))?;
        }
        for shard in list(&home.join("blobs"))? {
            for blob in list(&shard)? {
                let path = blob.strip_prefix(home).unwrap_or(&blob);
                if files::what(path).is_some() {
                    tar.put_if_there(home, path)?;
                }
            }
        }
        tar.put(Path::new(COMPLETE), 0, io::empty())?;
        Ok(tar.out.into_inner()?.flush()?)
    }
}

fn list(folder: &Path) -> Result<Vec<PathBuf>, BackupError> {
    let mut paths = Vec::new();
    match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => return Ok(paths),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(paths),
        opened => {
            for entry in opened.map_err(failed("read", folder))? {
                paths.push(entry.map_err(failed("read", folder))?.path());
            }
        }
    }
    paths.sort();
    Ok(paths)
}

struct Tar<W: Write> {
    out: tar::Builder<W>,
    made_ms: u64,
}

impl<W: Write> Tar<W> {
    fn put(&mut self, path: &Path, size: u64, bytes: impl Read) -> Result<(), BackupError> {
        let mut header = tar::Header::new_gnu();
        header.set_size(size);
        header.set_mode(0o600);
        header.set_mtime(self.made_ms / 1000);
        Ok(self.out.append_data(&mut header, path, bytes)?)
    }

    fn put_if_there(&mut self, home: &Path, path: &Path) -> Result<(), BackupError> {
        let whole = home.join(path);
        let file = match File::open(&whole) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            opened => opened.map_err(failed("read", &whole))?,
        };
        let size = file.metadata().map_err(failed("read", &whole))?.len();
        // A small file is replaced, never written to, so what is open stays as it is.
        self.put(path, size, file)
    }

    /// The store and the other files of a workspace.
    fn put_ground(
        &mut self,
        home: &Path,
        id: &WorkspaceId,
        snapshot: &Snapshot,
    ) -> Result<(), BackupError> {
        let folder = Path::new("workspaces").join(id.to_string());
        let mut copy =
            tempfile::tempfile_in(home.join(&folder)).map_err(failed("write in", home))?;
        let file = copy.try_clone()?;
        let backend = FileBackend::new(file).map_err(StoreError::from).map_err(OpenError::from)?;
        snapshot.copy_ground(backend)?;
        copy.seek(SeekFrom::Start(0))?;
        let size = copy.metadata()?.len();
        self.put(&folder.join(STORE), size, copy)?;
        for name in WORKSPACE_FILES {
            self.put_if_there(home, &folder.join(name))?;
        }
        Ok(())
    }
}
