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
use runmesh_core::ids::DeviceId;
use runmesh_core::store::StoreError;
use runmesh_core::sync::{
    Ended, Farewell, Held, Input, Message, Output, Peering, Session, Status, SyncError,
};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

use self::call::Opened;
use self::work::{Ports, first_entry};
use super::{Inner, locked};
use crate::workspace::Workspace;
use crate::{WriteError, now};

mod call;
mod frames;
mod work;

pub(super) use call::Call;
pub(super) use work::read_held;

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
