//! The home: the one folder that holds all a device has.
//!
//! Invariants: one home is one device, and at most one daemon has it open, which holds the lock
//! file for as long as it lives. The device key is made once and never again: without it the
//! device's journals cannot be continued. Secrets are readable by their owner alone. A file is
//! replaced whole, durably, or not at all.
//!
//! ```text
//! lock            held by the daemon that runs; names its pid
//! version         the home's format, and the oldest runmesh that can open it
//! device.key      the device's secret key
//! token           what management requests must carry
//! webhooks.json   the device's webhooks with their secrets, if it has any
//! daemon.json     where the daemon listens, while it does
//! config.toml     written by people, if at all
//! workspace       the workspaces and their names, the current one first (`places`)
//! workspaces/ID/  store.redb and edits.log of one workspace
//! blobs/  log/
//! ```

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use data_encoding::HEXLOWER;
use rand::TryRng;
use runmesh_core::api::DaemonFile;
use runmesh_core::ids::WorkspaceId;

use crate::bundle;
use crate::http::mlflow::webhooks;
use crate::places::{PlaceError, Places};

/// The format of homes that this version writes.
const FORMAT: u32 = 1;
/// The oldest runmesh that can open a home of [`FORMAT`].
const OLDEST_READER: &str = "0.1.0";

/// Keeps a home from being opened by another daemon until the last copy of it is dropped. What is
/// open in a home holds one: the next daemon must not meet a store that is still being closed.
#[derive(Debug, Clone)]
pub(crate) struct HomeLock {
    /// Closing the file is what releases the lock.
    _file: Arc<File>,
}

/// An open home. No other daemon can open it until this, and all that is open in it, is dropped.
#[derive(Debug)]
pub struct Home {
    path: PathBuf,
    device_secret: [u8; 32],
    token: String,
    lock: HomeLock,
    /// Held by who changes the list of workspaces.
    listing: Mutex<()>,
}

/// Why a home cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// The platform names no data folder for this user.
    #[error("this user has no data folder; choose one with --home or RUNMESH_HOME")]
    NoDataFolder,
    /// Another daemon has it.
    #[error(
        "the home {} is in use by the runmesh daemon with pid {pid}; stop it with `runmesh down`, \
         or choose another home with --home", .path.display()
    )]
    InUse {
        /// The home.
        path: PathBuf,
        /// The pid in the lock file.
        pid: String,
    },
    /// Two daemons on one home would destroy it, and here nothing could keep the second out.
    #[error(
        "the file system of {} has no file locks, which a home needs; choose a local one with \
         --home or RUNMESH_HOME", .path.display()
    )]
    NoLocks {
        /// The home.
        path: PathBuf,
        /// What the system answered.
        source: io::Error,
    },
    /// A newer runmesh wrote it.
    #[error(
        "the home {} was written by a newer version; it needs runmesh {needed} or later",
        .path.display()
    )]
    TooNew {
        /// The home.
        path: PathBuf,
        /// The version that is needed.
        needed: String,
    },
    /// The home holds workspaces but not the key that can continue them.
    #[error(
        "{} holds workspaces but no device.key; put the key back from a backup, or move the home \
         away to start as a new device", .path.display()
    )]
    KeyMissing {
        /// The home.
        path: PathBuf,
    },
    /// A file is not what this program wrote.
    #[error("{} is damaged: it is not {expected}", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What it should be.
        expected: &'static str,
    },
    /// The system refused.
    #[error("cannot {doing} {}", .path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the system answered.
        source: io::Error,
    },
}

/// Why the list of workspaces could not be changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangePlacesError {
    /// It makes no sense.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// It cannot be read or written.
    #[error(transparent)]
    Home(#[from] HomeError),
}

/// Where the home is unless the user says otherwise: the platform's data folder.
pub fn default_path() -> Result<PathBuf, HomeError> {
    let dirs = directories::ProjectDirs::from("", "", "runmesh").ok_or(HomeError::NoDataFolder)?;
    Ok(dirs.data_dir().to_owned())
}

/// Says where the daemon of the home at `path` listens, if one wrote so. After a crash the answer
/// is stale: requests name the device they mean, so that another's daemon refuses them.
pub fn daemon_of(path: &Path) -> Result<Option<DaemonFile>, HomeError> {
    let file = path.join("daemon.json");
    let Some(text) = read_if_there(&file)? else { return Ok(None) };
    let damaged = |_| HomeError::Damaged { path: file, expected: "where a daemon listens" };
    serde_json::from_str(&text).map(Some).map_err(damaged)
}

/// Reads the token that the daemon of the home at `path` wants of management requests.
pub fn token_of(path: &Path) -> Result<Option<String>, HomeError> {
    Ok(read_if_there(&path.join("token"))?.map(|token| token.trim().to_owned()))
}

/// Whether a daemon has the home at `path` open.
pub fn is_in_use(path: &Path) -> Result<bool, HomeError> {
    let path = path.join("lock");
    match File::open(&path) {
        Ok(lock) => Ok(matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(io_error("open", &path)(error)),
    }
}

impl Home {
    /// Opens the home at `path`, making it if it is not there.
    pub fn open(path: &Path) -> Result<Self, HomeError> {
        make_private_dir(path)?;
        let path = &fs::canonicalize(path).map_err(io_error("open", path))?;
        let lock = take_lock(path)?;
        check_version(path)?;
        let device_secret = device_secret(path)?;
        for folder in ["workspaces", "blobs", "log"] {
            make_private_dir(&path.join(folder))?;
        }
        let token = secret_file(&path.join("token"))?;
        let (token, listing) = (HEXLOWER.encode(&token), Mutex::default());
        let home = Self { path: path.clone(), device_secret, token, lock, listing };
        home.withdraw()?; // A daemon that died could not.
        Ok(home)
    }

    /// Makes the key of a new device in a folder that is to be a home and has none.
    pub(crate) fn make_device_key(folder: &Path) -> Result<(), HomeError> {
        secret_file(&folder.join("device.key")).map(drop)
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What keeps other daemons out.
    pub(crate) fn lock(&self) -> HomeLock {
        self.lock.clone()
    }

    /// The secret half of the device's key.
    pub fn device_secret(&self) -> &[u8; 32] {
        &self.device_secret
    }

    /// What management requests must carry.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Where blobs are.
    pub fn blobs_dir(&self) -> PathBuf {
        self.path.join("blobs")
    }

    /// Where logs go when the daemon runs in the background.
    pub fn log_dir(&self) -> PathBuf {
        self.path.join("log")
    }

    /// The folder of one workspace, made if it is not there.
    pub fn workspace_dir(&self, id: &WorkspaceId) -> Result<PathBuf, HomeError> {
        let dir = self.path.join("workspaces").join(id.to_string());
        make_private_dir(&dir)?;
        sync_dir(&self.path.join("workspaces"))?;
        Ok(dir)
    }

    /// The workspaces of this home; none before the first start.
    pub fn places(&self) -> Result<Option<Places>, HomeError> {
        let path = self.path.join("workspace");
        let Some(text) = read_if_there(&path)? else { return Ok(None) };
        let damaged = || HomeError::Damaged { path, expected: "a list of workspaces" };
        Places::parse(&text).map(Some).ok_or_else(damaged)
    }

    /// Notes the first workspace of this home.
    pub fn set_places(&self, places: &Places) -> Result<(), HomeError> {
        replace(&self.path.join("workspace"), places.to_text().as_bytes())
    }

    /// Changes the list of workspaces, durably, or leaves it as it is.
    pub fn change_places(
        &self,
        change: impl FnOnce(&mut Places) -> Result<(), PlaceError>,
    ) -> Result<(), ChangePlacesError> {
        let _alone = self.listing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut places = self.places()?.ok_or(PlaceError::NoSuch(String::new()))?;
        change(&mut places)?;
        Ok(self.set_places(&places)?)
    }

    /// Removes the folder of a workspace that is on the list no more.
    pub fn remove_workspace_dir(&self, id: &WorkspaceId) -> Result<(), HomeError> {
        let folder = self.path.join("workspaces");
        let dir = folder.join(id.to_string());
        match fs::remove_dir_all(&dir) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(io_error("remove", &dir)(error))
            }
            _ => sync_dir(&folder),
        }
    }

    /// The webhooks of this device.
    pub(crate) fn webhooks(&self) -> Result<webhooks::Kept, HomeError> {
        let path = self.path.join("webhooks.json");
        let Some(text) = read_if_there(&path)? else { return Ok(webhooks::Kept::new()) };
        let expected = "a list of webhooks";
        serde_json::from_str(&text).map_err(|_| HomeError::Damaged { path, expected })
    }

    /// Keeps the webhooks of this device, whose secrets nobody else may read.
    pub(crate) fn set_webhooks(&self, webhooks: &webhooks::Kept) -> Result<(), HomeError> {
        let json = serde_json::to_vec_pretty(webhooks).expect("webhooks are plain data");
        replace(&self.path.join("webhooks.json"), &json)
    }

    /// What other members of a workspace said in bundles that they hold.
    pub(crate) fn acknowledged(&self, id: &WorkspaceId) -> Result<bundle::Words, HomeError> {
        let path = self.workspace_dir(id)?.join("acknowledged.json");
        let Some(text) = read_if_there(&path)? else { return Ok(bundle::Words::new()) };
        let expected = "what members hold";
        serde_json::from_str(&text).map_err(|_| HomeError::Damaged { path, expected })
    }

    /// Keeps what other members of a workspace said that they hold.
    pub(crate) fn set_acknowledged(
        &self,
        id: &WorkspaceId,
        words: &bundle::Words,
    ) -> Result<(), HomeError> {
        let json = serde_json::to_vec_pretty(words).expect("words are plain data");
        replace(&self.workspace_dir(id)?.join("acknowledged.json"), &json)
    }

    /// The bundles of the watched folder that were imported.
    pub(crate) fn watched(&self) -> Result<bundle::Seen, HomeError> {
        let path = self.path.join("watched.json");
        let Some(text) = read_if_there(&path)? else { return Ok(bundle::Seen::new()) };
        let expected = "a list of bundles";
        serde_json::from_str(&text).map_err(|_| HomeError::Damaged { path, expected })
    }

    /// Notes which bundles of the watched folder were imported.
    pub(crate) fn set_watched(&self, seen: &bundle::Seen) -> Result<(), HomeError> {
        let json = serde_json::to_vec(seen).expect("names and numbers are plain data");
        replace(&self.path.join("watched.json"), &json)
    }

    /// The ticket that brings a workspace back if this device is lost, while it is kept here.
    pub fn recovery_ticket(&self, id: &WorkspaceId) -> Result<Option<String>, HomeError> {
        let text = read_if_there(&self.workspace_dir(id)?.join("recovery"))?;
        Ok(text.map(|text| text.trim().to_owned()))
    }

    /// Keeps the ticket that brings a workspace back, for a person to take away.
    pub fn keep_recovery_ticket(&self, id: &WorkspaceId, ticket: &str) -> Result<(), HomeError> {
        replace(&self.workspace_dir(id)?.join("recovery"), format!("{ticket}\n").as_bytes())
    }

    /// Forgets the ticket: the person has it elsewhere now.
    pub fn forget_recovery_ticket(&self, id: &WorkspaceId) -> Result<(), HomeError> {
        let file = self.workspace_dir(id)?.join("recovery");
        match fs::remove_file(&file) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(io_error("remove", &file)(error))
            }
            _ => Ok(()),
        }
    }

    /// The UDP port that peers reached this device at last time: tickets name it.
    pub fn last_peer_port(&self) -> Result<Option<u16>, HomeError> {
        let text = read_if_there(&self.path.join("port"))?;
        Ok(text.and_then(|text| text.trim().parse().ok()))
    }

    /// Notes the UDP port that peers reach this device at.
    pub fn set_last_peer_port(&self, port: u16) -> Result<(), HomeError> {
        replace(&self.path.join("port"), format!("{port}\n").as_bytes())
    }

    /// Tells the CLI where the daemon listens.
    pub fn announce(&self, daemon: &DaemonFile) -> Result<(), HomeError> {
        let json = serde_json::to_vec(daemon).expect("a struct of strings and numbers is JSON");
        replace(&self.path.join("daemon.json"), &json)
    }

    /// Takes back what [`Home::announce`] said.
    pub fn withdraw(&self) -> Result<(), HomeError> {
        let file = self.path.join("daemon.json");
        match fs::remove_file(&file) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(io_error("remove", &file)(error))
            }
            _ => Ok(()),
        }
    }
}

fn io_error(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> HomeError {
    let path = path.to_owned();
    move |source| HomeError::Io { doing, path, source }
}

fn take_lock(home: &Path) -> Result<HomeLock, HomeError> {
    let path = home.join("lock");
    let mut options = private_options();
    let mut lock = options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(io_error("open", &path))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            lock.read_to_string(&mut pid).map_err(io_error("read", &path))?;
            let pid = pid.trim().to_owned();
            return Err(HomeError::InUse { path: home.to_owned(), pid });
        }
        Err(TryLockError::Error(source)) => {
            return Err(HomeError::NoLocks { path: home.to_owned(), source });
        }
    }
    lock.set_len(0)
        .and_then(|()| writeln!(lock, "{}", std::process::id()))
        .map_err(io_error("write", &path))?;
    Ok(HomeLock { _file: Arc::new(lock) })
}

fn check_version(home: &Path) -> Result<(), HomeError> {
    let path = home.join("version");
    let Some(text) = read_if_there(&path)? else {
        return replace(&path, format!("{FORMAT}\n{OLDEST_READER}\n").as_bytes());
    };
    let mut lines = text.lines();
    let format = lines.next().and_then(|line| line.parse::<u32>().ok());
    match format {
        Some(FORMAT) => Ok(()),
        Some(newer) if newer > FORMAT => {
            let needed = lines.next().unwrap_or("of a newer release").to_owned();
            Err(HomeError::TooNew { path: home.to_owned(), needed })
        }
        _ => Err(HomeError::Damaged { path, expected: "the version of a home" }),
    }
}

fn device_secret(home: &Path) -> Result<[u8; 32], HomeError> {
    let path = home.join("device.key");
    if !path.exists() && home.join("workspace").exists() {
        return Err(HomeError::KeyMissing { path: home.to_owned() });
    }
    secret_file(&path)
}

/// Reads 32 secret bytes, or makes them if the file is not there.
fn secret_file(path: &Path) -> Result<[u8; 32], HomeError> {
    if let Some(text) = read_if_there(path)? {
        let bytes = HEXLOWER.decode(text.trim().as_bytes()).ok();
        let secret = bytes.and_then(|bytes| bytes.try_into().ok());
        let expected = "64 hexadecimal digits";
        return secret.ok_or_else(|| HomeError::Damaged { path: path.to_owned(), expected });
    }
    let mut secret = [0; 32];
    rand::rngs::SysRng
        .try_fill_bytes(&mut secret)
        .map_err(|error| io_error("make a secret for", path)(io::Error::other(error)))?;
    replace(path, format!("{}\n", HEXLOWER.encode(&secret)).as_bytes())?;
    Ok(secret)
}

fn read_if_there(path: &Path) -> Result<Option<String>, HomeError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io_error("read", path)(error)),
    }
}

/// Replaces a file whole and durably. The lock sees to it that nobody else does at the same time.
fn replace(path: &Path, bytes: &[u8]) -> Result<(), HomeError> {
    let new = path.with_extension("new");
    let mut options = private_options();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .open(&new)
        .map_err(io_error("write", &new))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(io_error("write", &new))?;
    fs::rename(&new, path).map_err(io_error("replace", path))?;
    path.parent().map_or(Ok(()), sync_dir)
}

/// Makes names in a folder durable. Windows does so by itself and has no call for it.
fn sync_dir(path: &Path) -> Result<(), HomeError> {
    if cfg!(unix) {
        File::open(path).and_then(|dir| dir.sync_all()).map_err(io_error("sync", path))?;
    }
    Ok(())
}

fn make_private_dir(path: &Path) -> Result<(), HomeError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(io_error("make", path))
}

fn private_options() -> OpenOptions {
    #[allow(unused_mut, reason = "only Unix has a mode to set")]
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_keeps_its_device_over_restarts_and_lets_one_daemon_in() -> Result<(), HomeError> {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("new/home");
        let home = Home::open(&path)?;
        let (key, token) = (*home.device_secret(), home.token().to_owned());
        assert!(is_in_use(&path)?);
        match Home::open(&path) {
            Err(HomeError::InUse { pid, .. }) => assert_eq!(pid, std::process::id().to_string()),
            other => panic!("a second daemon got in: {other:?}"),
        }
        drop(home);
        assert!(!is_in_use(&path)?);
        let home = Home::open(&path)?;
        assert_eq!((home.device_secret(), home.token()), (&key, token.as_str()));
        assert_eq!(token_of(&path)?, Some(token));
        Ok(())
    }

    #[test]
    fn what_the_daemon_announces_is_gone_after_a_restart() -> Result<(), HomeError> {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let home = Home::open(dir.path())?;
        let daemon = DaemonFile {
            pid: 7,
            http: "127.0.0.1:4747".to_owned(),
            device: runmesh_core::ids::DeviceId::new([3; 32]),
        };
        home.announce(&daemon)?;
        assert_eq!(daemon_of(dir.path())?, Some(daemon));
        drop(home); // As SIGKILL would: nothing is taken back.
        assert!(daemon_of(dir.path())?.is_some());
        let _home = Home::open(dir.path())?;
        assert_eq!(daemon_of(dir.path())?, None);
        Ok(())
    }

    #[test]
    fn a_home_of_a_newer_version_names_the_version_it_needs() -> Result<(), HomeError> {
        let dir = tempfile::tempdir().expect("a temporary folder");
        drop(Home::open(dir.path())?);
        fs::write(dir.path().join("version"), "2\n7.1.0\n").expect("a file");
        match Home::open(dir.path()) {
            Err(HomeError::TooNew { needed, .. }) => assert_eq!(needed, "7.1.0"),
            other => panic!("opened: {other:?}"),
        }
        Ok(())
    }

    #[test]
    fn a_lost_key_is_not_replaced_under_existing_workspaces() -> Result<(), HomeError> {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let home = Home::open(dir.path())?;
        let workspace = WorkspaceId::new([9; 32]);
        assert_eq!(home.places()?, None);
        let places = Places::one(workspace, "lab".parse().expect("a name"));
        home.set_places(&places)?;
        assert_eq!(home.places()?, Some(places));
        drop(home);
        fs::remove_file(dir.path().join("device.key")).expect("there was a key");
        assert!(matches!(Home::open(dir.path()), Err(HomeError::KeyMissing { .. })));
        Ok(())
    }

    #[cfg(unix)]
    #[test]
    fn nobody_else_can_read_a_home() -> Result<(), HomeError> {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("home");
        let _home = Home::open(&path)?;
        let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode();
        assert_eq!(mode(&path) & 0o777, 0o700);
        assert_eq!(mode(&path.join("device.key")) & 0o777, 0o600);
        assert_eq!(mode(&path.join("token")) & 0o777, 0o600);
        Ok(())
    }
}
