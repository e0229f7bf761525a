//! A link: one session over one connection, driven until it ends.
//!
//! Invariants: the session decides; this only moves bytes. Reading, writing, loading and ingesting
//! go on at once, so that two devices that both have much to send never wait for each other. What
//! is on its way in memory is bounded by the session's window and by what a channel holds.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::FusedFuture;
use iroh::endpoint::{Connection, RecvStream, SendStream, VarInt};
use runmesh_core::codec::DecodeError;
use runmesh_core::ids::{DeviceId, JournalId, WorkspaceId};
use runmesh_core::store::{Chain, Fault, Ingested, StoreError};
use runmesh_core::sync::{
    self, Batch, Ended, Farewell, FirstEntry, Frame, Held, Input, MAX_FIRST_ENTRY_BYTES,
    MAX_TEXT_BYTES, Message, Output, Peering, Session, Status, SyncError, frame_bytes,
};
use runmesh_core::vector::Tip;
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

use super::{Inner, locked};
use crate::workspace::Workspace;
use crate::{WriteError, lines, now};

pub(super) const CLOSE_DONE: u32 = 0;
pub(super) const CLOSE_TWICE: u32 = 2;
pub(super) const CLOSE_SWITCHED: u32 = 3;
pub(super) const CLOSE_BAD: u32 = 4;

/// How long the peer may take to open its stream.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the last messages may take.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// Messages read and not yet handled.
const READ_AHEAD: usize = 4;
/// Batches are ingested together up to so many bytes, some 5,000 runs: each time ends in a sync of the
/// disk, but what is taken in takes many times the memory that it takes in its entry.
const TOGETHER_BYTES: usize = 1 << 20;
/// The longest hello: two ids, a version, an incarnation, a name and an entry with their lengths.
const MAX_HELLO_BYTES: usize = 128 + MAX_TEXT_BYTES + MAX_FIRST_ENTRY_BYTES;

/// Why a session ended badly.
#[derive(Debug, thiserror::Error)]
pub(super) enum LinkError {
    #[error("another session took its place")]
    Replaced,
    #[error("the connection was lost")]
    Lost(#[source] iroh::endpoint::ConnectionError),
    #[error("the peer opened no session")]
    NotOpened,
    #[error(transparent)]
    Sync(#[from] SyncError),
    #[error("the peer ended the session: {0}")]
    SentAway(String),
    #[error("the store failed")]
    Store(#[from] StoreError),
    #[error("what came could not be written")]
    Write(#[from] WriteError),
}

/// What was moved in a session.
#[derive(Debug, Default)]
pub(super) struct Moved {
    pub(super) bytes_in: AtomicU64,
    pub(super) bytes_out: AtomicU64,
    pub(super) entries_in: AtomicU64,
    pub(super) entries_out: AtomicU64,
}

/// A call of a peer, heard as far as its hello.
pub(super) struct Call {
    connection: Connection,
    opened: Opened,
}

/// A conversation that the peer has opened.
struct Opened {
    send: SendStream,
    receive: RecvStream,
    workspace: WorkspaceId,
    hello: Message,
}

impl Call {
    /// Waits for the hello of who opened a connection.
    pub(super) async fn hear(connection: Connection) -> Result<Self, LinkError> {
        let opened = timeout(OPEN_TIMEOUT, hear_hello(&connection)).await;
        let opened = opened.map_err(|_| LinkError::NotOpened)??;
        Ok(Self { connection, opened })
    }

    /// The workspace that the caller means.
    pub(super) const fn workspace(&self) -> WorkspaceId {
        self.opened.workspace
    }

    /// Ends the call with a last word, which depends on the first entry of the caller's journal.
    pub(super) async fn turn_away(self, word: impl FnOnce(Option<&FirstEntry>) -> Message) {
        let Opened { mut send, hello, .. } = self.opened;
        let first = match &hello {
            Message::Hello { first, .. } => first.as_ref(),
            _ => None,
        };
        let Frame(bytes) = word(first).frame();
        let last_words = async {
            // Fails only if the caller is gone.
            let _ = send.write_all(&bytes).await;
            let _ = send.finish();
            self.connection.closed().await
        };
        let _ = timeout(LAST_WORDS, last_words).await;
        self.connection.close(VarInt::from_u32(CLOSE_DONE), b"done");
    }
}

async fn hear_hello(connection: &Connection) -> Result<Opened, LinkError> {
    let (send, mut receive) = connection.accept_bi().await.map_err(lost)?;
    let mut head = [0; 4];
    let broken_off = |_| LinkError::NotOpened;
    receive.read_exact(&mut head).await.map_err(broken_off)?;
    let length = frame_bytes(head, MAX_HELLO_BYTES).map_err(SyncError::from)?;
    let mut bytes = vec![0; length];
    receive.read_exact(&mut bytes).await.map_err(broken_off)?;
    let hello = Message::decode(&bytes).map_err(SyncError::from)?;
    let Message::Hello { workspace, .. } = hello else { return Err(LinkError::NotOpened) };
    Ok(Opened { send, receive, workspace, hello })
}

/// One session over one connection.
pub(super) struct Link {
    connection: Connection,
    dialer: DeviceId,
    /// What a caller has opened, until the session starts.
    opened: Mutex<Option<Opened>>,
    since: Instant,
    pub(super) moved: Moved,
    heard_goodbye: AtomicBool,
    status: Mutex<Status>,
    watches: mpsc::UnboundedSender<u32>,
    asked: Mutex<Option<mpsc::UnboundedReceiver<u32>>>,
}

enum Event {
    Input(Input),
    Failed(LinkError),
}

impl Link {
    /// A link of this device's own making.
    pub(super) fn calling(connection: Connection, device: DeviceId) -> Self {
        Self::new(connection, device, None)
    }

    /// A link that a peer has made.
    pub(super) fn answering(call: Call) -> Self {
        let peer = super::device_at(&call.connection);
        Self::new(call.connection, peer, Some(call.opened))
    }

    fn new(connection: Connection, dialer: DeviceId, opened: Option<Opened>) -> Self {
        let opened = Mutex::new(opened);
        let (watches, asked) = mpsc::unbounded_channel();
        let (status, asked) = (Mutex::default(), Mutex::new(Some(asked)));
        let since = Instant::now();
        let (moved, heard_goodbye) = (Moved::default(), AtomicBool::new(false));
        Self { connection, dialer, opened, since, moved, heard_goodbye, status, watches, asked }
    }

    /// Who opened the connection.
    pub(super) const fn dialer(&self) -> DeviceId {
        self.dialer
    }

    /// How long it stands.
    pub(super) fn age(&self) -> Duration {
        self.since.elapsed()
    }

    /// The connection, whose statistics count what QUIC itself sent.
    pub(super) const fn connection(&self) -> &Connection {
        &self.connection
    }

    /// How the session stands.
    pub(super) fn status(&self) -> Status {
        locked(&self.status).clone()
    }

    /// Asks the peer to seal what it has; [`Status::sealed`] shows the token when it did.
    pub(super) fn watch(&self, token: u32) {
        // A session that has ended needs no watching.
        let _ = self.watches.send(token);
    }

    pub(super) fn close(&self, code: u32, reason: &[u8]) {
        self.connection.close(VarInt::from_u32(code), reason);
    }

    /// Runs the session with this device's workspace until it ends.
    pub(super) async fn run(&self, inner: &Arc<Inner>) -> Result<(), LinkError> {
        let ended = self.drive(inner, &inner.workspace, |_| false).await;
        // Closing drops what the peer has not read yet, so who heard the last word closes.
        if !self.heard_goodbye.load(Ordering::Relaxed) {
            let _ = timeout(LAST_WORDS, self.connection.closed()).await;
        }
        self.close(CLOSE_DONE, b"done");
        ended
    }

    /// Runs the session with a workspace until it ends, or until `enough` says so of what is held.
    pub(super) async fn drive(
        &self,
        inner: &Arc<Inner>,
        workspace: &Workspace,
        enough: impl Fn(&Held) -> bool,
    ) -> Result<(), LinkError> {
        let (send, receive, hello) = self.open().await?;
        let peer = super::device_at(&self.connection);
        let held = read_held(workspace)?;
        let peering = Peering {
            workspace: workspace.id(),
            device: inner.device,
            peer,
            name: inner.name.clone(),
            first: first_entry(workspace)?,
            calls: hello.is_none(),
        };
        let mut session = Session::new(peering, held);
        let limit = Arc::new(AtomicUsize::new(session.frame_limit()));
        let (frames, outgoing) = mpsc::unbounded_channel();
        let (to_ingest, batches) = mpsc::unbounded_channel();
        let (events, mut happened) = mpsc::channel(READ_AHEAD);
        if let Some(hello) = hello {
            // There is room for the first.
            let _ = events.try_send(Event::Input(Input::Received(hello)));
        }
        let work = async {
            tokio::select! {
                biased;
                () = self.ingest_all(inner, workspace, batches, &events) => {}
                () = self.read_all(receive, &limit, &events) => {}
            }
            std::future::pending::<()>().await;
        };
        let write = self.write_all(send, outgoing).fuse();
        let lead = async {
            let frames = frames;
            let ports = Ports { frames: &frames, to_ingest: &to_ingest, events: &events };
            self.lead(inner, workspace, &mut session, &limit, &ports, &mut happened, enough).await
        };
        tokio::pin!(write);
        let ended = tokio::select! {
            ended = lead => ended,
            () = work => unreachable!("it never ends by itself"),
            written = &mut write => written,
        };
        // The last words go out before the connection closes.
        if !write.is_terminated() {
            let _ = timeout(LAST_WORDS, &mut write).await;
        }
        ended
    }

    /// The two directions of the conversation, and the hello if the peer has said it.
    async fn open(&self) -> Result<(SendStream, RecvStream, Option<Message>), LinkError> {
        let opened = locked(&self.opened).take();
        if let Some(Opened { send, receive, hello, .. }) = opened {
            return Ok((send, receive, Some(hello)));
        }
        match timeout(OPEN_TIMEOUT, self.connection.open_bi()).await {
            Ok(streams) => {
                let (send, receive) = streams.map_err(lost)?;
                Ok((send, receive, None))
            }
            Err(_) => Err(LinkError::NotOpened),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one conversation")]
    async fn lead(
        &self,
        inner: &Arc<Inner>,
        workspace: &Workspace,
        session: &mut Session,
        limit: &AtomicUsize,
        ports: &Ports<'_>,
        happened: &mut mpsc::Receiver<Event>,
        enough: impl Fn(&Held) -> bool,
    ) -> Result<(), LinkError> {
        let mut changed = workspace.changed();
        let mut contacts = inner.contacts.subscribe();
        let mut watches = locked(&self.asked).take().ok_or(LinkError::NotOpened)?;
        let mut wake_at = None;
        let mut met = false;
        session.handle(now(), Input::Started)?;
        loop {
            while let Some(output) = session.next() {
                match output {
                    Output::WakeAt(at) => {
                        let wait = at.0.saturating_sub(now().0);
                        wake_at = Some(Instant::now() + Duration::from_millis(wait));
                    }
                    Output::Done(ended) => return self.done(ended),
                    Output::Learn(told) => inner.learn(&self.connection, told),
                    output => self.act(workspace, output, ports)?,
                }
            }
            limit.store(session.frame_limit(), Ordering::Relaxed);
            let status = session.status();
            if status.met && !met {
                met = true;
                inner.met(super::device_at(&self.connection), self.dialer, &self.connection);
            }
            *locked(&self.status) = status;
            inner.moved();
            let input = tokio::select! {
                event = happened.recv() => match event {
                    Some(Event::Input(input)) => input,
                    Some(Event::Failed(error)) => return Err(error),
                    None => return Ok(()),
                },
                Ok(()) = changed.changed() => Input::Changed(read_held(workspace)?),
                Ok(()) = contacts.changed() => {
                    Input::Contacts(inner.contacts_for(workspace, &self.connection))
                }
                Some(token) = watches.recv() => Input::Watch { token },
                () = sleep(wake_at) => {
                    wake_at = None;
                    Input::Tick
                }
                () = inner.tasks.stopping() => Input::Stop,
            };
            if let Input::Ingested { held, .. } | Input::Changed(held) = &input
                && enough(held)
            {
                return Ok(());
            }
            let handled = session.handle(now(), input);
            if let Err(error) = handled {
                while let Some(Output::Send(message)) = session.next() {
                    let _ = ports.frames.send(message.frame());
                }
                return Err(error.into());
            }
        }
    }

    fn done(&self, ended: Ended) -> Result<(), LinkError> {
        let there = matches!(ended, Ended::There(..));
        self.heard_goodbye.store(there, Ordering::Relaxed);
        match ended {
            Ended::Here(Farewell::NotAMember) => {
                Err(LinkError::SentAway("it is not a member".to_owned()))
            }
            Ended::There(Farewell::Leaving, _) | Ended::Here(_) => Ok(()),
            Ended::There(_, text) => Err(LinkError::SentAway(text)),
        }
    }

    fn act(
        &self,
        workspace: &Workspace,
        output: Output,
        ports: &Ports<'_>,
    ) -> Result<(), LinkError> {
        match output {
            Output::Send(message) => {
                if let Message::Entries { entries, .. } = &message {
                    let count = entries.len() as u64;
                    self.moved.entries_out.fetch_add(count, Ordering::Relaxed);
                }
                // The writer ends only with the session.
                let _ = ports.frames.send(message.frame());
            }
            Output::Load { journal, from, max_bytes, max_entries } => {
                let snapshot = workspace.snapshot()?;
                let events = ports.events.clone();
                tokio::task::spawn_blocking(move || {
                    let event = match snapshot.chain(&journal, from, max_bytes, max_entries) {
                        Ok(chain) => {
                            let nothing = Chain { previous: Tip::START.hash, entries: Vec::new() };
                            let Chain { previous, entries } = chain.unwrap_or(nothing);
                            Event::Input(Input::Loaded { journal, first: from, previous, entries })
                        }
                        Err(error) => Event::Failed(error.into()),
                    };
                    let _ = events.blocking_send(event);
                });
            }
            Output::Ingest { journal, first, previous, entries } => {
                let _ = ports.to_ingest.send(Batch { journal, first, previous, entries });
            }
            Output::Reclaim { journal, first, previous, entries } => {
                let (workspace, events) = (workspace.clone(), ports.events.clone());
                tokio::spawn(async move {
                    let batch = Batch { journal, first, previous, entries };
                    let input = reclaim(&workspace, batch).await;
                    let _ = events.send(input.map_or_else(Event::Failed, Event::Input)).await;
                });
            }
            Output::Seal { token } => {
                let (workspace, events) = (workspace.clone(), ports.events.clone());
                tokio::spawn(async move {
                    let sealed = async {
                        workspace.seal().await?;
                        Ok(Input::Sealed { token, held: read_held(&workspace)? })
                    };
                    let _ =
                        events.send(sealed.await.map_or_else(Event::Failed, Event::Input)).await;
                });
            }
            Output::WakeAt(_) | Output::Learn(_) | Output::Done(_) => {
                unreachable!("taken by the caller")
            }
        }
        Ok(())
    }

    async fn write_all(
        &self,
        mut send: SendStream,
        mut frames: mpsc::UnboundedReceiver<Frame>,
    ) -> Result<(), LinkError> {
        while let Some(Frame(bytes)) = frames.recv().await {
            self.moved.bytes_out.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            if send.write_all(&bytes).await.is_err() {
                return Err(lost(self.connection.closed().await));
            }
        }
        // Fails only if the connection is gone, and with it who would read this.
        let _ = send.finish();
        let _ = send.stopped().await;
        Ok(())
    }

    async fn read_all(
        &self,
        mut receive: RecvStream,
        limit: &AtomicUsize,
        events: &mpsc::Sender<Event>,
    ) {
        loop {
            let mut head = [0; 4];
            if receive.read_exact(&mut head).await.is_err() {
                break;
            }
            let message = match frame_bytes(head, limit.load(Ordering::Relaxed)) {
                Ok(length) => {
                    // Memory is taken as bytes come, not as they are announced.
                    let mut bytes = Vec::with_capacity(length.min(64 << 10));
                    let read = (&mut receive).take(length as u64).read_to_end(&mut bytes).await;
                    if read.ok() != Some(length) {
                        break;
                    }
                    self.moved.bytes_in.fetch_add(length as u64 + 4, Ordering::Relaxed);
                    Message::decode(&bytes)
                }
                Err(error) => Err(error),
            };
            let event = match message {
                Ok(message) => Event::Input(Input::Received(message)),
                Err(error) => Event::Failed(SyncError::from(DecodeError::clone(&error)).into()),
            };
            if events.send(event).await.is_err() {
                return;
            }
        }
        let error = self.connection.closed().await;
        let _ = events.send(Event::Failed(lost(error))).await;
    }

    /// Ingests what came, much of what waits in one transaction.
    async fn ingest_all(
        &self,
        inner: &Arc<Inner>,
        workspace: &Workspace,
        mut batches: mpsc::UnboundedReceiver<Batch>,
        events: &mpsc::Sender<Event>,
    ) {
        while let Some(first) = batches.recv().await {
            let mut bytes = bytes_of(&first);
            let mut all = vec![first];
            while bytes < TOGETHER_BYTES
                && let Ok(next) = batches.try_recv()
            {
                bytes += bytes_of(&next);
                all.push(next);
            }
            let count = all.len();
            let event = match ingest(inner, workspace, all).await {
                Ok((ingested, faults)) => {
                    let entries = ingested.entries as u64;
                    self.moved.entries_in.fetch_add(entries, Ordering::Relaxed);
                    // What a workspace names that is being joined is offered once it is joined.
                    if workspace.id() == inner.workspace.id() {
                        inner.offer(ingested.blobs);
                    }
                    match read_held(workspace) {
                        Ok(held) => Event::Input(Input::Ingested { batches: count, held, faults }),
                        Err(error) => Event::Failed(error.into()),
                    }
                }
                Err(error) => Event::Failed(error),
            };
            if events.send(event).await.is_err() {
                return;
            }
        }
    }
}

fn bytes_of(batch: &Batch) -> usize {
    batch.entries.iter().map(Vec::len).sum()
}

struct Ports<'a> {
    frames: &'a mpsc::UnboundedSender<Frame>,
    to_ingest: &'a mpsc::UnboundedSender<Batch>,
    events: &'a mpsc::Sender<Event>,
}

async fn sleep(until: Option<Instant>) {
    match until {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

fn lost(error: iroh::endpoint::ConnectionError) -> LinkError {
    match &error {
        iroh::endpoint::ConnectionError::ApplicationClosed(close)
            if close.error_code == VarInt::from_u32(CLOSE_TWICE) =>
        {
            LinkError::Replaced
        }
        iroh::endpoint::ConnectionError::LocallyClosed => LinkError::Replaced,
        _ => LinkError::Lost(error),
    }
}

pub(super) fn read_held(workspace: &Workspace) -> Result<Held, StoreError> {
    let snapshot = workspace.snapshot()?;
    Ok(Held { vector: snapshot.vector()?, membership: Arc::new(snapshot.membership()?) })
}

fn first_entry(workspace: &Workspace) -> Result<Option<FirstEntry>, StoreError> {
    let snapshot = workspace.snapshot()?;
    // The journal may have begun anew since: who does not know the device needs its join.
    let journal = snapshot.birth_of(&workspace.journal())?;
    let first = snapshot.entries(&journal, 0, 1)?.into_iter().next();
    Ok(first.map(|stored| FirstEntry { incarnation: journal.incarnation, stored }))
}

/// Carries over what a peer holds of this device's own journal and is not here.
async fn reclaim(workspace: &Workspace, batch: Batch) -> Result<Input, LinkError> {
    let journal = batch.journal;
    let tip = lines::reclaim(workspace, batch).await?.tip;
    Ok(Input::Reclaimed { journal, tip, held: read_held(workspace)? })
}

type Faults = Vec<(JournalId, Fault)>;

/// Verifies batches and stores what is good of them.
async fn ingest(
    inner: &Arc<Inner>,
    workspace: &Workspace,
    batches: Vec<Batch>,
) -> Result<(Ingested, Faults), LinkError> {
    let vector = workspace.snapshot()?.vector()?;
    let id = workspace.id();
    let verify = move || {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        sync::verify(id, &vector, batches, threads)
    };
    let verified = tokio::task::spawn_blocking(verify).await;
    let (good, mut faults) = verified.expect("checking entries does not panic");
    let mut ingested =
        if good.is_empty() { Ingested::default() } else { workspace.ingest(good).await? };
    faults.append(&mut ingested.faults);
    if ingested.membership_changed {
        inner.refresh_membership();
    }
    Ok((ingested, faults))
}
