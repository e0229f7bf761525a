//! The writer: the one thread that owns the store.
//!
//! Invariants: only this thread writes; it takes what is queued as one group, and replies only once
//! the group is durable; readers who ask for what is new get all that was replied to before; it
//! seals when the rules of [`Pace`] say so, and once more before it stops.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use runmesh_core::act::ActKind;
use runmesh_core::action::{Action, Outcome, Refusal};
use runmesh_core::clock::UnixMillis;
use runmesh_core::entry::Entry;
use runmesh_core::ids::{BlobHash, DocumentId, Incarnation};
use runmesh_core::store::{
    CarriedOver, Ingested, Round, RoundEnd, SEAL_BYTES, Snapshot, Store, StoreError,
};
use tokio::sync::{mpsc, oneshot, watch};

use self::queue::{Queue, Received};
use self::space::Space;

pub(crate) mod commit_times;
mod queue;
mod space;

/// Actions that wait for the writer; who comes when it is full waits too.
pub(crate) const QUEUE: usize = 1024;
/// The most actions of one commit.
const GROUP: usize = 512;
/// How long the writer waits for more before it shows readers what was written, if none asks.
const LINGER: Duration = Duration::from_millis(10);

/// Why a write was not done.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WriteError {
    /// The domain's rules refuse it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The disk is full.
    #[error(
        "the disk is full: {free_bytes} bytes are free and {} must stay so; \
         free some space and try again, nothing was lost",
        space::RESERVE_BYTES
    )]
    DiskFull {
        /// How much is free.
        free_bytes: u64,
    },
    /// The store failed.
    #[error("the store failed; nothing of this request is known to be written")]
    Store(#[source] Arc<StoreError>),
    /// The store failed earlier.
    #[error("the store failed earlier; restart the daemon to write again")]
    Broken,
    /// The daemon is stopping.
    #[error("the daemon is stopping")]
    Stopping,
}

pub(crate) type Reply<T> = oneshot::Sender<Result<T, WriteError>>;

/// What the writer is asked to do.
pub(crate) enum Write {
    Act(Action, Reply<Outcome>),
    Ingest(Vec<Entry>, Reply<Ingested>),
    Declare(Vec<ActKind>, Reply<()>),
    Grant(Vec<BlobHash>, Reply<()>),
    Ungrant(Vec<BlobHash>, Reply<()>),
    /// Notes that blobs of purged documents need not be freed any more.
    ForgetPurged(Vec<BlobHash>, Reply<()>),
    /// Entries of this device's own journals, in which it may have been forked.
    TakeLine(Vec<Entry>, Reply<CarriedOver>),
    /// Notes which version was served under a number of a model.
    NoteServed([(DocumentId, i64, DocumentId); 1], Reply<()>),
    Adopt(Snapshot, Reply<u64>),
    /// Readers want to see what was written.
    Publish(oneshot::Sender<()>),
    Seal(Reply<()>),
    Rebuild(Reply<u64>),
    /// How many peers are connected now: with one there, edits are sealed sooner.
    Connected(usize),
    Stop(oneshot::Sender<()>),
}

/// When to seal. Alone, edits may gather for a minute, for many in one entry take less space than
/// one each; a peer that is connected sees them soon.
#[derive(Debug)]
struct Pace {
    connected: usize,
    first_edit: Option<Instant>,
    last_seal: Option<Instant>,
}

impl Pace {
    const ALONE: Duration = Duration::from_secs(60);
    const WITH_PEERS: Duration = Duration::from_millis(500);
    const BETWEEN: Duration = Duration::from_secs(5);

    fn deadline(&self) -> Option<Instant> {
        let first = self.first_edit?;
        if self.connected == 0 {
            return Some(first + Self::ALONE);
        }
        let soon = first + Self::WITH_PEERS;
        Some(self.last_seal.map_or(soon, |last| soon.max(last + Self::BETWEEN)))
    }
}

/// The wall clock, in milliseconds since 1970.
pub fn now() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis(since.as_millis() as u64)
}

/// Owns the store of one workspace.
pub(crate) struct Writer {
    store: Store,
    queue: Queue,
    /// Counts what others may want to read: entries that were sealed or came in.
    changed: watch::Sender<u64>,
    unsealed: watch::Sender<u64>,
    /// Whether something was replied to that readers do not see yet.
    unpublished: Arc<AtomicBool>,
    space: Space,
    pace: Pace,
    broken: bool,
}

impl Writer {
    pub(crate) fn new(
        store: Store,
        queue: mpsc::Receiver<Write>,
        changed: watch::Sender<u64>,
        unsealed: watch::Sender<u64>,
        unpublished: Arc<AtomicBool>,
        folder: PathBuf,
    ) -> Self {
        let first_edit = (store.unsealed_edits() > 0).then(Instant::now);
        let pace = Pace { connected: 0, first_edit, last_seal: None };
        let (queue, space) = (Queue::new(queue), Space::new(folder));
        Self { store, queue, changed, unsealed, unpublished, space, pace, broken: false }
    }

    /// Works until it is told to stop, or all who could ask it are gone. Runs on a thread of its
    /// own.
    pub(crate) fn run(mut self) {
        let mut next = None;
        loop {
            let write = match next.take() {
                Some(write) => Some(write),
                None => match self.wait() {
                    Waited::Write(write) => Some(write),
                    Waited::SealNow => None,
                    Waited::Gone => break,
                },
            };
            match write {
                Some(Write::Stop(done)) => {
                    self.seal_unasked();
                    drop(self);
                    // Nobody may have waited for it.
                    let _ = done.send(());
                    return;
                }
                Some(Write::Act(action, reply)) => next = self.round((action, reply)),
                Some(write) => self.one(write),
                None => self.seal_unasked(),
            }
            if self.store.unsealed_bytes() >= SEAL_BYTES {
                self.seal_unasked();
            }
            self.note_unsealed();
        }
        self.seal_unasked();
    }

    /// Seals when no one waits for it. A failure is logged, and told to whoever writes next.
    fn seal_unasked(&mut self) {
        let _ = self.seal_and_tell();
    }

    fn wait(&mut self) -> Waited {
        match self.queue.receive(self.pace.deadline()) {
            Received::Write(write) => Waited::Write(write),
            Received::Gone => Waited::Gone,
            Received::Nothing => Waited::SealNow,
        }
    }

    /// Carries out an action and all that come behind it, group by group, until something else is
    /// asked for or nothing comes for a while. Returns what came after them.
    fn round(&mut self, first: Asked) -> Option<Write> {
        if self.broken {
            refuse([first.1], &WriteError::Broken);
            return None;
        }
        let Self { store, queue, unpublished, space, pace, .. } = self;
        let mut desk = Desk { queue, unpublished, space, failed: Vec::new() };
        let mut after = None;
        let done = store.round(|round| {
            let mut asked = Some(Write::Act(first.0, first.1));
            let mut sealed_by = Instant::now() + Pace::ALONE;
            while let Some(write) = asked.take() {
                let Write::Act(action, reply) = write else {
                    after = Some(write);
                    break;
                };
                after = desk.write_group(round, (action, reply))?;
                pace.first_edit.get_or_insert_with(Instant::now);
                sealed_by = pace.deadline().unwrap_or(sealed_by);
                if after.is_some() || round.unsealed_bytes() >= SEAL_BYTES {
                    break;
                }
                asked = desk.next(round, sealed_by)?;
            }
            let full = round.unsealed_bytes() >= SEAL_BYTES;
            let seal = full || (sealed_by <= Instant::now() && round.unsealed_bytes() > 0);
            Ok((seal, if seal { RoundEnd::Seal(now()) } else { RoundEnd::Publish }))
        });
        let failed = desk.failed;
        self.unpublished.store(false, Ordering::Release);
        match done {
            Ok(true) => self.note_seal(),
            Ok(false) => {}
            Err(error) => refuse(failed, &self.note_broken(error)),
        }
        after
    }

    fn one(&mut self, write: Write) {
        match write {
            Write::Ingest(entries, reply) => {
                let ingested = self.guarded(|store| store.ingest(now(), entries));
                self.pace.last_seal = Some(Instant::now());
                self.tell();
                let _ = reply.send(ingested);
            }
            Write::Declare(kinds, reply) => {
                let made = self.guarded(|store| store.declare(now(), kinds));
                self.tell();
                let _ = reply.send(made);
            }
            Write::TakeLine(entries, reply) => {
                let incarnation = Incarnation::new(rand::random());
                let took = self.guarded(|store| store.take_line(now(), incarnation, entries));
                self.tell();
                let _ = reply.send(took);
            }
            Write::Grant(blobs, reply) => {
                drop(reply.send(self.guarded(|store| store.grant(&blobs))))
            }
            Write::Ungrant(blobs, reply) => {
                drop(reply.send(self.make_room(|store| store.ungrant(&blobs))))
            }
            Write::ForgetPurged(blobs, reply) => {
                drop(reply.send(self.make_room(|store| store.forget_purged(&blobs))))
            }
            Write::NoteServed(served, reply) => {
                drop(reply.send(self.guarded(|store| store.note_served(&served))))
            }
            Write::Adopt(old, reply) => {
                let taken = self.guarded(|store| store.adopt(now(), &old));
                self.tell();
                let _ = reply.send(taken);
            }
            // The round that it asks to see has ended.
            Write::Publish(reply) => drop(reply.send(())),
            Write::Seal(reply) => drop(reply.send(self.seal_and_tell())),
            Write::Rebuild(reply) => {
                let _ = reply.send(self.guarded(Store::rebuild));
            }
            Write::Connected(peers) => self.pace.connected = peers,
            Write::Act(..) | Write::Stop(_) => unreachable!("taken by the caller"),
        }
    }

    /// Writes unless the disk is full or the store failed before; notes if it fails now.
    fn guarded<T>(
        &mut self,
        write: impl FnOnce(&mut Store) -> Result<T, StoreError>,
    ) -> Result<T, WriteError> {
        if self.broken {
            return Err(WriteError::Broken);
        }
        self.space.check()?;
        write(&mut self.store).map_err(|error| self.note_broken(error))
    }

    /// Writes what makes room: a full disk does not keep it back.
    fn make_room(
        &mut self,
        write: impl FnOnce(&mut Store) -> Result<(), StoreError>,
    ) -> Result<(), WriteError> {
        if self.broken {
            return Err(WriteError::Broken);
        }
        write(&mut self.store).map_err(|error| self.note_broken(error))
    }

    fn note_broken(&mut self, error: StoreError) -> WriteError {
        tracing::error!(error = &error as &dyn std::error::Error, "the store failed");
        self.broken = true;
        WriteError::Store(Arc::new(error))
    }

    fn seal_and_tell(&mut self) -> Result<(), WriteError> {
        if self.broken {
            return Err(WriteError::Broken);
        }
        let sealed = self.store.seal(now()).map_err(|error| self.note_broken(error))?;
        self.pace.first_edit = None;
        if sealed > 0 {
            self.note_seal();
        }
        self.note_unsealed();
        Ok(())
    }

    fn note_seal(&mut self) {
        self.pace.first_edit = None;
        self.pace.last_seal = Some(Instant::now());
        self.tell();
    }

    fn tell(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    fn note_unsealed(&mut self) {
        let edits = self.store.unsealed_edits() as u64;
        self.unsealed.send_replace(edits);
        if edits == 0 || self.broken {
            self.pace.first_edit = None;
        } else if self.pace.first_edit.is_none() {
            self.pace.first_edit = Some(Instant::now());
        }
    }
}

type Asked = (Action, Reply<Outcome>);

/// Where requests come in during a round.
struct Desk<'a> {
    queue: &'a mut Queue,
    unpublished: &'a AtomicBool,
    space: &'a mut Space,
    /// Whom the store failed.
    failed: Vec<Reply<Outcome>>,
}

impl Desk<'_> {
    /// Carries out an action and all that are queued behind it as one group, and replies. Returns
    /// what came after them, if it was something else.
    fn write_group(
        &mut self,
        round: &mut Round<'_, '_>,
        first: Asked,
    ) -> Result<Option<Write>, StoreError> {
        let (mut actions, mut replies) = (vec![first.0], vec![first.1]);
        let mut after = None;
        while actions.len() < GROUP {
            match self.queue.try_recv() {
                Some(Write::Act(action, reply)) => {
                    actions.push(action);
                    replies.push(reply);
                }
                Some(other) => {
                    after = Some(other);
                    break;
                }
                None => break,
            }
        }
        if let Err(full) = self.space.check() {
            refuse(replies, &full);
            return Ok(after);
        }
        let started = Instant::now();
        let answers = match round.write(now(), actions) {
            Ok(answers) => answers,
            Err(error) => {
                self.failed = replies;
                return Err(error);
            }
        };
        commit_times::note(started.elapsed());
        // Before any reply: who hears one and then reads must find what it says.
        self.unpublished.store(true, Ordering::Release);
        for (reply, answer) in replies.into_iter().zip(answers) {
            // Who asked may have gone; the write stands.
            let _ = reply.send(answer.map_err(WriteError::Refused));
        }
        round.catch_up()?;
        Ok(after)
    }

    /// What is asked for next, if it comes soon. Until it comes, the round's end is prepared.
    fn next(
        &mut self,
        round: &mut Round<'_, '_>,
        until: Instant,
    ) -> Result<Option<Write>, StoreError> {
        loop {
            if let Some(write) = self.queue.try_recv() {
                return Ok(Some(write));
            }
            if !round.work_ahead()? {
                break;
            }
        }
        Ok(match self.queue.receive(Some(until.min(Instant::now() + LINGER))) {
            Received::Write(write) => Some(write),
            Received::Gone | Received::Nothing => None,
        })
    }
}

fn refuse<T>(replies: impl IntoIterator<Item = Reply<T>>, error: &WriteError) {
    for reply in replies {
        // Who asked may have gone.
        let _ = reply.send(Err(error.clone()));
    }
}

enum Waited {
    Write(Write),
    SealNow,
    Gone,
}
