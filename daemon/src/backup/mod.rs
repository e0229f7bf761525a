//! Backups: a copy of a live home, and a home that goes on from one.
//!
//! A backup is a tar file, or the same files in a folder:
//!
//! ```text
//! backup.json                   what it is, of which device, when; the first
//! workspaces/ID/store.redb      the ground state of a workspace, all that was acknowledged in it
//! workspaces/ID/recovery …      the other files of the workspace
//! device.key, config.toml …     the home's own files
//! blobs/ab/ab12… (.obao)        blobs and what verifies them
//! complete                      the last: a backup without it was not finished
//! ```
//!
//! Invariants: nothing that was acknowledged before a backup began is missing from it, and the
//! writer never waits for it; a home that goes on from a backup begins a new incarnation of its
//! journals, so that it never forks one.

mod files;
mod restore;
mod write;

use std::io;
use std::path::PathBuf;

use runmesh_core::ids::{DeviceId, WorkspaceId};
use runmesh_core::membership::JoinRefusal;
use runmesh_core::store::StoreError;
use serde::{Deserialize, Serialize};

pub use self::files::{Unpacked, unpack};
pub use self::restore::{As, Restored, restore};
pub(crate) use self::write::Backup;
use crate::WriteError;
use crate::blobs::BlobError;
use crate::home::HomeError;
use crate::workspace::OpenError;

/// The format of backups that this version writes and reads.
const FORMAT: u32 = 1;

const HEAD: &str = "backup.json";
const COMPLETE: &str = "complete";
const KEY: &str = "device.key";
/// The home's own files that go along, where they are there.
const OWN_FILES: [&str; 8] = [
    "version",
    "workspace",
    KEY,
    "config.toml",
    "webhooks.json",
    "peers.json",
    "port",
    "watched.json",
];
/// A workspace's files that go along, where they are there, beside its store.
const WORKSPACE_FILES: [&str; 2] = ["recovery", "acknowledged.json"];
const STORE: &str = "store.redb";

/// What a backup says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The format.
    pub format: u32,
    /// The version of runmesh that wrote it.
    pub version: String,
    /// The device.
    pub device: DeviceId,
    /// What it is called.
    pub name: String,
    /// The workspace in use.
    pub workspace: WorkspaceId,
    /// When the backup began, in milliseconds since 1970.
    pub made_ms: u64,
}

/// Why there is no backup, or no home from one.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The store cannot be read or copied.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What was written last cannot be sealed.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The home cannot be read or made.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// A store cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A blob cannot be read.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// The disk, or whoever reads it, failed.
    #[error("the backup cannot be written")]
    Io(#[from] io::Error),
    /// The system refused.
    #[error("cannot {doing} {}", .path.display())]
    File {
        /// What was tried.
        doing: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the system answered.
        source: io::Error,
    },
    /// It is something else.
    #[error("{} is not a backup of a runmesh home", .path.display())]
    NotABackup {
        /// The file or folder.
        path: PathBuf,
    },
    /// A newer version wrote it.
    #[error("the backup was written by runmesh {version}, which is needed to restore it")]
    TooNew {
        /// The version.
        version: String,
    },
    /// It holds a file that is none of a backup's.
    #[error("the backup holds {path:?}, which is none of a home's files")]
    StrangeFile {
        /// The file.
        path: String,
    },
    /// There is something where the home is to be.
    #[error("{} is not empty", .path.display())]
    NotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// The ticket is of another workspace.
    #[error("the ticket is of a workspace that is not in the backup")]
    OtherWorkspace,
    /// The ticket lets nobody in any more, as far as the backup knows.
    #[error("the ticket does not let this device in")]
    Refused(#[from] JoinRefusal),
}

fn failed(doing: &'static str, path: &std::path::Path) -> impl FnOnce(io::Error) -> BackupError {
    let path = path.to_owned();
    move |source| BackupError::File { doing, path, source }
}
