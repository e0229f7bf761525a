//! A home from a backup.
//!
//! Invariants: the home appears whole or not at all; the device key comes along only if the home
//! goes on as the same device, which the backup's original must never do again; every store in it
//! begins a new incarnation of its journal.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use runmesh_core::act::ActKind;
use runmesh_core::audit;
use runmesh_core::ids::{BlobHash, DeviceId, Incarnation, WorkspaceId};
use runmesh_core::store::{GoesOn, Store};
use runmesh_core::ticket::Ticket;

use super::files::{self, What};
use super::{BackupError, FORMAT, Head, KEY, failed};
use crate::config::{Config, ConfigError};
use crate::home::Home;
use crate::now;
use crate::places::{PlaceName, Places};
use crate::workspace::{device_of, files as store_files, start};

/// As what a home goes on.
#[derive(Debug, Clone)]
pub enum As {
    /// As the device that was backed up.
    SameDevice,
    /// As a new device, which joins by a ticket the workspace that this is of.
    NewDevice(Box<Ticket>),
}

impl As {
    /// The workspace that is in use then.
    fn workspace(&self, head: &Head) -> WorkspaceId {
        match self {
            Self::SameDevice => head.workspace,
            Self::NewDevice(ticket) => ticket.workspace,
        }
    }
}

/// What came of restoring.
#[derive(Debug, Clone)]
pub struct Restored {
    /// What the backup says of itself.
    pub head: Head,
    /// The device that the home is now.
    pub device: DeviceId,
    /// Workspaces that are in the home.
    pub workspaces: u64,
    /// Workspaces that were left behind: a new device needs a ticket for each.
    pub left_behind: Vec<WorkspaceId>,
    /// Runs in the workspace in use.
    pub runs: u64,
    /// Entries in it that are genuine.
    pub entries: u64,
    /// Of each of its journals that is not whole, what is wrong.
    pub wrong: Vec<String>,
    /// Blobs.
    pub blobs: u64,
    /// Blobs whose bytes are not what their names say. They were left out.
    pub blobs_bad: Vec<BlobHash>,
    /// Whether the backup was finished.
    pub complete: bool,
}

/// Makes a home at `home` from a backup.
pub fn restore(from: &Path, home: &Path, how: &As) -> Result<Restored, BackupError> {
    let is_empty = match fs::read_dir(home) {
        Ok(mut files) => files.next().is_none(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => true,
        Err(error) => return Err(failed("read", home)(error)),
    };
    if !is_empty {
        return Err(BackupError::NotEmpty { path: home.to_owned() });
    }
    let home = &std::path::absolute(home).map_err(failed("find", home))?;
    let parent = home.parent().unwrap_or(Path::new("/"));
    files::make_folder(parent)?;
    // Removed again if anything fails.
    let staging = tempfile::Builder::new().prefix(".runmesh-restore-").tempdir_in(parent);
    let staging = staging.map_err(failed("make a folder in", parent))?;
    let taken = take(from, staging.path(), how)?;
    let restored = go_on(staging.path(), how, taken)?;
    let _ = fs::remove_dir(home);
    fs::rename(staging.path(), home).map_err(failed("make", home))?;
    // Its folder is the home now.
    let _ = staging.keep();
    fs::File::open(parent).and_then(|folder| folder.sync_all()).map_err(failed("sync", parent))?;
    Ok(restored)
}

/// What was found in a backup.
struct Taken {
    head: Head,
    workspaces: Vec<WorkspaceId>,
    left_behind: Vec<WorkspaceId>,
    blobs: u64,
    blobs_bad: Vec<BlobHash>,
    complete: bool,
}

fn take(from: &Path, folder: &Path, how: &As) -> Result<Taken, BackupError> {
    let mut head = None;
    let (mut workspaces, mut stores) = (Vec::new(), Vec::new());
    let (mut blobs, mut blobs_bad, mut complete) = (0, Vec::new(), false);
    files::each(from, &mut |path, what, _, bytes| {
        let target = folder.join(path);
        match what {
            What::Head => {
                let mut text = Vec::new();
                bytes.take(1 << 20).read_to_end(&mut text).map_err(failed("read", from))?;
                head = Some(text);
            }
            What::Complete => complete = true,
            What::Own if path == Path::new(KEY) && matches!(how, As::NewDevice(_)) => {}
            What::Store(id) => {
                files::put(&target, bytes)?;
                stores.push(id);
            }
            What::Blob(hash) => {
                let mut hasher = blake3::Hasher::new();
                files::put(&target, &mut Hashing { bytes, hasher: &mut hasher })?;
                if hasher.finalize().as_bytes() == hash.as_bytes() {
                    blobs += 1;
                } else {
                    files::remove_if_there(&target)?;
                    blobs_bad.push(hash);
                }
            }
            What::Own | What::Workspace(_) | What::Outboard => {
                files::put(&target, bytes)?;
            }
        }
        Ok(())
    })
    .map_err(|error| match error {
        // What is no tar file at all fails at its first header.
        BackupError::Io(_) if stores.is_empty() => {
            BackupError::NotABackup { path: from.to_owned() }
        }
        error => error,
    })?;
    let not_one = || BackupError::NotABackup { path: from.to_owned() };
    let head: Head =
        head.and_then(|text| serde_json::from_slice(&text).ok()).ok_or_else(not_one)?;
    if head.format > FORMAT {
        return Err(BackupError::TooNew { version: head.version });
    }
    let mut left_behind = Vec::new();
    let used = how.workspace(&head);
    for id in stores {
        if matches!(how, As::NewDevice(_)) && id != used {
            let whole = folder.join("workspaces").join(id.to_string());
            fs::remove_dir_all(&whole).map_err(failed("remove", &whole))?;
            left_behind.push(id);
        } else {
            workspaces.push(id);
        }
    }
    if !workspaces.contains(&used) {
        return Err(match how {
            As::SameDevice => not_one(),
            As::NewDevice(_) => BackupError::OtherWorkspace,
        });
    }
    Ok(Taken { head, workspaces, left_behind, blobs, blobs_bad, complete })
}

fn go_on(folder: &Path, how: &As, taken: Taken) -> Result<Restored, BackupError> {
    let used = how.workspace(&taken.head);
    if matches!(how, As::NewDevice(_)) {
        Home::make_device_key(folder)?;
    }
    let home = Home::open(folder)?;
    let device = device_of(&home);
    let name = Config::load(folder)?.name;
    let mut restored = Restored {
        device,
        workspaces: taken.workspaces.len() as u64,
        left_behind: taken.left_behind,
        runs: 0,
        entries: 0,
        wrong: Vec::new(),
        blobs: taken.blobs,
        blobs_bad: taken.blobs_bad,
        complete: taken.complete,
        head: taken.head,
    };
    for id in &taken.workspaces {
        let how = match how {
            As::SameDevice => GoesOn::AsSameDevice,
            As::NewDevice(ticket) => {
                // It is the old device's to keep, if anybody's.
                home.forget_recovery_ticket(id)?;
                let key = ticket.signing_key();
                GoesOn::AsNewDevice(ActKind::join(&key, id, &device, name.clone()))
            }
        };
        let files = store_files(&home.workspace_dir(id)?, true)?;
        let incarnation = Incarnation::new(rand::random());
        let store = Store::go_on(files, start(&home), incarnation, how, now())?;
        if *id == used {
            let snapshot = store.reader().snapshot()?;
            let threads = std::thread::available_parallelism().map_or(1, usize::from);
            let verified = audit::verify(&snapshot, *id, threads)?;
            restored.entries = verified.entries;
            restored.wrong = verified.wrong.iter().map(|wrong| wrong.why.to_string()).collect();
            restored.runs = snapshot.counts()?.runs;
            refuse_if_out(&snapshot.membership()?, &device)?;
        }
    }
    if matches!(how, As::NewDevice(_)) {
        let places = home.places()?;
        let name = places.and_then(|places| {
            let place = places.all().iter().find(|place| place.id == used);
            place.map(|place| place.name.clone())
        });
        home.set_places(&Places::one(used, name.unwrap_or_else(|| PlaceName::like("workspace"))))?;
    }
    Ok(restored)
}

/// A ticket that the backup's own acts do not let in will be let in by nobody else.
fn refuse_if_out(
    members: &runmesh_core::membership::Membership,
    device: &DeviceId,
) -> Result<(), BackupError> {
    use runmesh_core::membership::{JoinRefusal, Void};
    let void = members.void().find_map(|(_, who, why)| match why {
        Void::Join(why) if who == device => Some(*why),
        _ => None,
    });
    match void {
        // It may have been made after the backup: who has the act that made it will know.
        Some(JoinRefusal::UnknownTicket) | None => Ok(()),
        Some(_) if members.role(device).is_some() => Ok(()),
        Some(why) => Err(why.into()),
    }
}

/// Hashes what is read.
struct Hashing<'a> {
    bytes: &'a mut dyn Read,
    hasher: &'a mut blake3::Hasher,
}

impl Read for Hashing<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.bytes.read(into)?;
        self.hasher.update(&into[..read]);
        Ok(read)
    }
}

impl From<ConfigError> for BackupError {
    fn from(error: ConfigError) -> Self {
        let path = PathBuf::from("config.toml");
        Self::File { doing: "use", path, source: io::Error::other(error) }
    }
}
