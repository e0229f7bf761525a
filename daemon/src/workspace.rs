//! A workspace as the rest of the daemon sees it: act, read, and be told of changes.
//!
//! Joining another with all that is in it switches to that one: whoever holds a [`Workspace`] then
//! talks to the other one from the next call on.

use std::fs::{File, OpenOptions};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use ed25519_dalek::SigningKey;
use redb::backends::FileBackend;
use runmesh_core::act::{ActKind, workspace_id};
use runmesh_core::action::{Action, Outcome};
use runmesh_core::entry::Entry;
use runmesh_core::ids::{BlobHash, DeviceId, DocumentId, Incarnation, JournalId, WorkspaceId};
use runmesh_core::store::{
    Birth, CarriedOver, Files, Ingested, Snapshot, Start, Store, StoreError, StoreReader,
};
use tokio::sync::{mpsc, oneshot, watch};

use crate::home::{ChangePlacesError, Home, HomeError, HomeLock};
use crate::places::{PlaceName, Places};
use crate::writer::{QUEUE, Write, WriteError, Writer, now};

/// How much of the store is kept in memory.
const CACHE_BYTES: usize = 16 << 20;

/// Why a workspace could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The home failed.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// A file could not be opened.
    #[error("the store's files could not be opened")]
    Io(#[from] std::io::Error),
    /// The store cannot be opened.
    #[error("the workspace's store cannot be opened")]
    Store(#[from] StoreError),
}

/// Why this device stays with the workspace it has.
#[derive(Debug, thiserror::Error)]
pub enum SwitchError {
    /// The new workspace cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The home cannot have it in the place of the old one.
    #[error(transparent)]
    Place(#[from] ChangePlacesError),
    /// The runs could not be taken along.
    #[error("the runs of this device could not be taken along")]
    TakeAlong(#[from] WriteError),
}

/// One open workspace: its writer's queue and its readers.
struct Open {
    id: WorkspaceId,
    journal: JournalId,
    queue: mpsc::Sender<Write>,
    reader: StoreReader,
    changed: watch::Receiver<u64>,
    unsealed: watch::Receiver<u64>,
    unpublished: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
    /// Released last, when the store is closed.
    _home: HomeLock,
}

/// A workspace that is open but not yet the one that is used.
pub struct Candidate(Open);

/// The workspace of this device.
#[derive(Clone)]
pub struct Workspace {
    open: Arc<RwLock<Open>>,
    /// Held by every write, and alone by a switch: a write is made before it or after it.
    gate: Arc<Gate>,
    /// Counts switches.
    switched: watch::Sender<u64>,
}

type Gate = tokio::sync::RwLock<()>;

impl Workspace {
    /// Opens the workspace of a home that clients get if they name none. At the first start it
    /// founds one, called `device_name`.
    pub fn open(home: &Home, device_name: &str) -> Result<Self, OpenError> {
        if let Some(places) = home.places()? {
            return Self::open_one(home, places.current().id);
        }
        let workspace = Self::found(home, device_name, device_name)?;
        home.set_places(&Places::one(workspace.id(), PlaceName::like(device_name)))?;
        Ok(workspace)
    }

    /// Opens a workspace of a home.
    pub fn open_one(home: &Home, id: WorkspaceId) -> Result<Self, OpenError> {
        Ok(Self::of(open_store(home, id)?))
    }

    /// Founds a workspace, which the home does not list yet.
    pub fn found(home: &Home, name: &str, device_name: &str) -> Result<Self, OpenError> {
        let nonce = rand::random();
        let id = workspace_id(&device_of(home), &nonce);
        let (name, device_name) = (name.to_owned(), device_name.to_owned());
        Ok(Self::of(create_store(home, id, ActKind::Found { nonce, name, device_name })?))
    }

    fn of(open: Open) -> Self {
        let (gate, switched) = (Arc::new(Gate::default()), watch::Sender::new(0));
        Self { open: Arc::new(RwLock::new(open)), gate, switched }
    }

    /// Makes or opens the store for a workspace that this device wants to join. Nothing else
    /// changes until [`Workspace::switch`].
    pub fn candidate(home: &Home, id: WorkspaceId, join: ActKind) -> Result<Candidate, OpenError> {
        let open = match open_store(home, id) {
            // An earlier attempt may have left one; its join may be by another ticket.
            Ok(open) if open.journal.device == device_of(home) => open,
            _ => {
                Self::discard(home, &id)?;
                create_store(home, id, join)?
            }
        };
        Ok(Candidate(open))
    }

    /// Throws away the store of a workspace that this device did not get into.
    pub fn discard(home: &Home, id: &WorkspaceId) -> Result<(), OpenError> {
        let folder = home.workspace_dir(id)?;
        for file in ["store.redb", "edits.log"] {
            remove_if_there(&folder.join(file))?;
        }
        Ok(())
    }

    /// Puts a candidate in the place of this workspace and stops the old one's writer. What is
    /// here is taken along if asked for: everything that was acknowledged, for writes wait
    /// meanwhile. Returns how many runs were taken along.
    ///
    /// A crash on the way leaves the old workspace in place.
    pub async fn switch(
        &self,
        home: &Home,
        candidate: Candidate,
        take_along: bool,
    ) -> Result<u64, SwitchError> {
        let _alone = self.gate.write().await;
        let mut taken = 0;
        if take_along {
            let (reply, answer) = oneshot::channel();
            self.publish().await;
            let adopt = Write::Adopt(self.snapshot().map_err(OpenError::from)?, reply);
            // If the writer is gone, so is the answer.
            let _ = candidate.0.queue.send(adopt).await;
            taken = answer.await.unwrap_or(Err(WriteError::Stopping))?;
        }
        home.change_places(|places| places.replace(self.id(), candidate.0.id))?;
        let old = {
            let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *open, candidate.0)
        };
        self.switched.send_modify(|count| *count += 1);
        old.stop().await;
        Ok(taken)
    }

    fn with<T>(&self, read: impl FnOnce(&Open) -> T) -> T {
        read(&self.open.read().unwrap_or_else(PoisonError::into_inner))
    }

    async fn ask<T>(&self, write: impl FnOnce(oneshot::Sender<T>) -> Write) -> Option<T> {
        let _not_switching = self.gate.read().await;
        let queue = self.with(|open| open.queue.clone());
        let (reply, answer) = oneshot::channel();
        queue.send(write(reply)).await.ok()?;
        answer.await.ok()
    }

    /// Does what a client asks for; it is durable when this returns.
    pub async fn act(&self, action: Action) -> Result<Outcome, WriteError> {
        let done = self.ask(|reply| Write::Act(action, reply)).await;
        done.unwrap_or(Err(WriteError::Stopping))
    }

    /// Stores and applies entries of peers; they are durable when this returns.
    pub async fn ingest(&self, entries: Vec<Entry>) -> Result<Ingested, WriteError> {
        let done = self.ask(|reply| Write::Ingest(entries, reply)).await;
        done.unwrap_or(Err(WriteError::Stopping))
    }

    /// Takes in entries of this device's own journals that a peer holds; those that are not here are
    /// carried over into a new part of its journal.
    pub async fn take_line(&self, entries: Vec<Entry>) -> Result<CarriedOver, WriteError> {
        let done = self.ask(|reply| Write::TakeLine(entries, reply)).await;
        done.unwrap_or(Err(WriteError::Stopping))
    }

    /// Seals what was edited, so that peers can have it.
    pub async fn seal(&self) -> Result<(), WriteError> {
        self.ask(Write::Seal).await.unwrap_or(Err(WriteError::Stopping))
    }

    /// Writes acts, which are sealed when this returns. Cuts are filled in by what is held.
    pub async fn declare(&self, kinds: Vec<ActKind>) -> Result<(), WriteError> {
        let done = self.ask(|reply| Write::Declare(kinds, reply)).await;
        done.unwrap_or(Err(WriteError::Stopping))
    }

    /// Notes that this device may serve blobs in this workspace.
    pub async fn grant(&self, blobs: Vec<BlobHash>) -> Result<(), WriteError> {
        let done = self.ask(|reply| Write::Grant(blobs, reply)).await;
        done.unwrap_or(Err(WriteError::Stopping))
    }

    /// Notes that this device serves blobs in this workspace no more.
    pub async fn ungrant(&self, blobs: Vec<BlobHash>) -> Result<(), WriteError> {
        let done = self.ask(|reply| Write::Ungrant(blobs, reply)).await;
        done.unwrap_or(Err(WriteError::Stopping))
    }

    /// Notes that blobs of purged documents need not be freed any more.
    pub async fn forget_purged(&self, blobs: Vec<BlobHash>) -> Result<(), WriteError> {
        let done = self.ask(|reply| Write::ForgetPurged(blobs, reply)).await;
        done.unwrap_or(Err(WriteError::Stopping))
    }

    /// Notes which version this device serves under a number of a model, before it does.
    pub async fn note_served(
        &self,
        model: DocumentId,
        number: i64,
        version: DocumentId,
    ) -> Result<(), WriteError> {
        let served = [(model, number, version)];
        let done = self.ask(|reply| Write::NoteServed(served, reply)).await;
        done.unwrap_or(Err(WriteError::Stopping))
    }

    /// Appends all that another workspace's snapshot shows. Returns how many runs that were.
    pub async fn adopt(&self, old: Snapshot) -> Result<u64, WriteError> {
        let done = self.ask(|reply| Write::Adopt(old, reply)).await;
        done.unwrap_or(Err(WriteError::Stopping))
    }

    /// Drops everything derived and builds it again. Returns how many entries were applied.
    pub async fn rebuild(&self) -> Result<u64, WriteError> {
        self.ask(Write::Rebuild).await.unwrap_or(Err(WriteError::Stopping))
    }

    /// Says how many peers are connected: with one there, edits are sealed sooner.
    pub async fn set_connected(&self, peers: usize) {
        let queue = self.with(|open| open.queue.clone());
        // A writer that has stopped needs to know nothing.
        let _ = queue.send(Write::Connected(peers)).await;
    }

    /// What the workspace holds now, all that was replied to included.
    pub async fn fresh(&self) -> Result<Snapshot, StoreError> {
        let _not_switching = self.gate.read().await;
        self.publish().await;
        self.snapshot()
    }

    /// Has the writer show readers what it replied to.
    async fn publish(&self) {
        let (queue, unpublished) =
            self.with(|open| (open.queue.clone(), Arc::clone(&open.unpublished)));
        if !unpublished.load(Ordering::Acquire) {
            return;
        }
        let (reply, published) = oneshot::channel();
        // A writer that has stopped has shown everything before.
        if queue.send(Write::Publish(reply)).await.is_ok() {
            let _ = published.await;
        }
    }

    /// What the workspace held lately: all that is sealed or came from peers, but maybe not what
    /// was written in the last moments. Never waits for the writer.
    pub fn snapshot(&self) -> Result<Snapshot, StoreError> {
        self.with(|open| open.reader.clone()).snapshot()
    }

    /// The workspace's id.
    pub fn id(&self) -> WorkspaceId {
        self.with(|open| open.id)
    }

    /// The journal that this device writes there.
    pub fn journal(&self) -> JournalId {
        self.with(|open| open.journal)
    }

    /// Changes when entries were sealed or came in.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.with(|open| open.changed.clone())
    }

    /// Changes when this device goes over to another workspace.
    pub fn switched(&self) -> watch::Receiver<u64> {
        self.switched.subscribe()
    }

    /// How many edits are durable but not sealed.
    pub fn unsealed_edits(&self) -> u64 {
        *self.unsealed().borrow()
    }

    /// Changes when edits were made or sealed.
    pub fn unsealed(&self) -> watch::Receiver<u64> {
        self.with(|open| open.unsealed.clone())
    }

    /// Seals what is left, commits and closes the store.
    pub async fn stop(&self) {
        let (queue, thread) = {
            let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
            (open.queue.clone(), open.thread.take())
        };
        stop_writer(queue, thread).await;
    }
}

impl Candidate {
    /// The candidate as a workspace to sync with, before it is the device's own.
    pub fn into_workspace(self) -> Workspace {
        Workspace::of(self.0)
    }
}

impl Workspace {
    /// Takes back a candidate that was used as a workspace, if nobody else uses it any more.
    pub fn into_candidate(self) -> Option<Candidate> {
        let open = Arc::into_inner(self.open)?;
        Some(Candidate(open.into_inner().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl Open {
    async fn stop(self) {
        stop_writer(self.queue, self.thread).await;
    }
}

async fn stop_writer(queue: mpsc::Sender<Write>, thread: Option<std::thread::JoinHandle<()>>) {
    let (done, stopped) = oneshot::channel();
    if queue.send(Write::Stop(done)).await.is_ok() {
        let _ = stopped.await;
    }
    if let Some(thread) = thread
        && thread.join().is_err()
    {
        tracing::error!("the writer panicked");
    }
}

/// The key of a home's device.
pub(crate) fn signing_key(home: &Home) -> SigningKey {
    SigningKey::from_bytes(home.device_secret())
}

/// The device of a home.
pub fn device_of(home: &Home) -> DeviceId {
    DeviceId::new(signing_key(home).verifying_key().to_bytes())
}

pub(crate) fn start(home: &Home) -> Start {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    Start { key: signing_key(home), nonce: rand::random(), salts: rand::random(), threads }
}

fn open_file(path: &Path, make: bool) -> Result<File, std::io::Error> {
    OpenOptions::new().read(true).write(true).create(make).truncate(false).open(path)
}

pub(crate) fn files(
    folder: &Path,
    make: bool,
) -> Result<Files<FileBackend, FileBackend>, OpenError> {
    let backend = |name: &str| -> Result<FileBackend, OpenError> {
        let file = open_file(&folder.join(name), make)?;
        FileBackend::new(file).map_err(|error| StoreError::from(error).into())
    };
    let (database, edit_log) = (backend("store.redb")?, backend("edits.log")?);
    Ok(Files { database, edit_log, cache_bytes: CACHE_BYTES })
}

fn open_store(home: &Home, id: WorkspaceId) -> Result<Open, OpenError> {
    let folder = home.workspace_dir(&id)?;
    let store = Store::open(files(&folder, false)?, start(home))?;
    Ok(run_writer(store, home, &folder))
}

fn create_store(home: &Home, id: WorkspaceId, act: ActKind) -> Result<Open, OpenError> {
    let folder = home.workspace_dir(&id)?;
    let birth = Birth { workspace: id, incarnation: Incarnation::new(rand::random()), act };
    let store = Store::create(files(&folder, true)?, start(home), birth, now())?;
    // The names of new files are durable only with their folder.
    File::open(&folder)?.sync_all()?;
    Ok(run_writer(store, home, &folder))
}

fn remove_if_there(path: &Path) -> Result<(), std::io::Error> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn run_writer(store: Store, home: &Home, folder: &Path) -> Open {
    let (queue, requests) = mpsc::channel(QUEUE);
    let (changes, changed) = watch::channel(0);
    let (counts, unsealed) = watch::channel(store.unsealed_edits() as u64);
    let (id, journal, reader) = (store.workspace(), store.journal(), store.reader());
    let unpublished = Arc::new(AtomicBool::new(false));
    let unseen = Arc::clone(&unpublished);
    let writer = Writer::new(store, requests, changes, counts, unseen, folder.to_owned());
    let thread = std::thread::Builder::new()
        .name("writer".to_owned())
        .spawn(move || writer.run())
        .expect("a daemon that cannot start a thread cannot work");
    let (thread, _home) = (Some(thread), home.lock());
    Open { id, journal, queue, reader, changed, unsealed, unpublished, thread, _home }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::home;

    #[tokio::test]
    async fn a_home_stays_locked_until_its_store_is_closed() -> Result<(), OpenError> {
        let dir = tempfile::tempdir()?;
        let home = Home::open(dir.path())?;
        let workspace = Workspace::open(&home, "ann")?;
        drop(home);
        workspace.stop().await;
        assert!(home::is_in_use(dir.path())?, "the store is open still");
        drop(workspace);
        assert!(!home::is_in_use(dir.path())?);
        let home = Home::open(dir.path())?;
        Workspace::open(&home, "ann")?.stop().await;
        Ok(())
    }
}
