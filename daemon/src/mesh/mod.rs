//! The mesh: sessions with the other members, kept up by themselves.
//!
//! Invariants: only members are served, and a newcomer only after its join was accepted; there is
//! at most one session with a peer; every task is one of the mesh's and ends with it.

mod addresses;
#[cfg(test)]
mod blob_tests;
mod contacts;
mod endpoint;
#[cfg(test)]
mod hostile;
mod join;
mod joining;
#[cfg(test)]
mod joining_tests;
mod lan;
mod link;
mod looking;
mod members;
#[cfg(test)]
mod members_tests;
mod status;
mod switchboard;
mod tasks;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use iroh::EndpointId;
use iroh::endpoint::Connection;
use runmesh_core::api::Traffic;
use runmesh_core::ids::{BlobHash, DeviceId};
use runmesh_core::membership::Membership;
use runmesh_core::sync::ALPN;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};

use self::contacts::Contacts;
pub use self::endpoint::EndpointError;
pub use self::join::{Admitted, JoinError, Joined};
use self::link::{Call, Link, LinkError};
use self::looking::Lookers;
pub use self::looking::Looking;
pub use self::members::{MembersError, NewTicket};
pub use self::status::{PeerStatus, Synced};
use self::switchboard::Board;
pub use self::switchboard::Switchboard;
use self::tasks::Tasks;
use crate::blobs::{Fetcher, Wanted};
use crate::causes::with_causes;
use crate::home::Home;
use crate::now;
use crate::workspace::Workspace;

/// How long a peer may take to answer a call.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to wait after the first failed call; each further one doubles it.
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
/// Sessions that were opened within this time were opened at once.
const AT_ONCE: Duration = Duration::from_secs(2);
/// The longest wait between calls.
const LONGEST_BACKOFF: Duration = Duration::from_secs(60);
/// How long after a session blobs may be asked of the peer, too.
const BLOBS_FOLLOW: Duration = Duration::from_secs(3);
/// How long sessions may take to end.
const GRACE: Duration = Duration::from_secs(2);

/// The membership of a workspace as it is now, to be looked at from anywhere. All clones are one.
#[derive(Debug, Clone, Default)]
pub struct MembershipNow(Arc<RwLock<Arc<Membership>>>);

impl MembershipNow {
    /// The membership.
    pub fn now(&self) -> Arc<Membership> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Notes what it is. Returns whether it was another before.
    fn note(&self, new: Membership) -> bool {
        let mut held = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let changed = **held != new;
        if changed {
            *held = Arc::new(new);
        }
        changed
    }
}

/// When to call a peer again.
#[derive(Debug, Clone, Copy)]
struct Attempt {
    failures: u32,
    next: Instant,
}

/// What is shared by the mesh's tasks.
struct Inner {
    board: Arc<Board>,
    workspace: Workspace,
    device: DeviceId,
    name: String,
    membership: MembershipNow,
    contacts: Contacts,
    lookers: Lookers,
    links: Mutex<BTreeMap<DeviceId, Arc<Link>>>,
    attempts: Mutex<BTreeMap<DeviceId, Attempt>>,
    errors: Mutex<BTreeMap<DeviceId, String>>,
    /// What moved over connections that have ended.
    ended: Mutex<Traffic>,
    /// Changes with every session that begins, ends or moves on.
    progress: watch::Sender<u64>,
    fetcher: Fetcher,
    call_now: Notify,
    tasks: Tasks,
}

/// The sessions with the other members of one workspace.
#[derive(Clone)]
pub struct Mesh {
    inner: Arc<Inner>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The iroh id of a device: the same key.
pub(crate) fn endpoint_id(device: &DeviceId) -> Option<EndpointId> {
    EndpointId::from_bytes(device.as_bytes()).ok()
}

fn device_at(connection: &Connection) -> DeviceId {
    DeviceId::new(*connection.remote_id().as_bytes())
}

impl Mesh {
    /// Starts taking calls from the switchboard and calling. Who is a member is noted in
    /// `membership`; blobs that entries name are offered to `fetcher`.
    pub async fn start(
        home: &Home,
        switchboard: &Switchboard,
        name: &str,
        workspace: Workspace,
        membership: MembershipNow,
        fetcher: Fetcher,
    ) -> Self {
        let board = Arc::clone(&switchboard.board);
        let inner = Arc::new(Inner {
            device: board.device,
            board,
            workspace,
            name: name.to_owned(),
            membership,
            contacts: Contacts::default(),
            lookers: Lookers::default(),
            links: Mutex::default(),
            attempts: Mutex::default(),
            errors: Mutex::default(),
            ended: Mutex::default(),
            progress: watch::Sender::new(0),
            fetcher,
            call_now: Notify::new(),
            tasks: Tasks::default(),
        });
        inner.refresh_membership();
        let mesh = Self { inner };
        mesh.inner.board.add(&mesh.inner);
        mesh.spawn(Inner::call_members(Arc::clone(&mesh.inner)));
        mesh.spawn(Inner::follow_addresses(Arc::clone(&mesh.inner)));
        mesh.spawn(Inner::follow_workspace(Arc::clone(&mesh.inner)));
        mesh.spawn(Inner::ask_while_looked_at(Arc::clone(&mesh.inner)));
        mesh.spawn(mesh.inner.fetcher.clone().run());
        mesh.offer_recovery(home).await;
        mesh
    }

    /// Makes the recovery ticket of this device if it shall have one. It is tried again at every
    /// start, so that a full disk keeps nobody from starting.
    async fn offer_recovery(&self, home: &Home) {
        if let Err(error) = self.make_recovery_ticket(home).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "no recovery ticket could be made");
        }
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.inner.spawn(task);
    }

    /// Waits until peers that a session was opened with just now can be asked for blobs, too: that takes a
    /// connection of its own. If one does not come soon, it is not waited for any more.
    pub async fn blobs_in_reach(&self) {
        let young: Vec<DeviceId> = {
            let links = locked(&self.inner.links);
            let young = links.iter().filter(|(_, link)| link.age() < BLOBS_FOLLOW);
            young.map(|(device, _)| *device).collect()
        };
        let _ = timeout(BLOBS_FOLLOW, self.inner.board.reaches_blobs_of(&young)).await;
    }

    /// Where peers can reach this device.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        endpoint::addresses(&self.inner.board.endpoint)
    }

    /// Ends all sessions.
    pub async fn stop(&self) {
        self.inner.board.remove(&self.inner);
        if !self.inner.tasks.stop().await {
            tracing::debug!("sessions were cut, for they took too long to end");
        }
    }
}

impl Inner {
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    fn membership(&self) -> Arc<Membership> {
        self.membership.now()
    }

    /// Whether a device is a member of this workspace.
    fn has_member(&self, device: &DeviceId) -> bool {
        self.membership().role(device).is_some()
    }

    fn refresh_membership(&self) {
        match self.workspace.snapshot().and_then(|snapshot| snapshot.membership()) {
            Ok(new) => {
                if self.membership.note(new) {
                    self.board.close_to_strangers();
                    self.call_now.notify_one();
                }
            }
            Err(error) => tracing::error!(
                error = &error as &dyn std::error::Error,
                "the membership cannot be read"
            ),
        }
    }

    /// Keeps the membership up to date, and ends all sessions when the workspace is another.
    async fn follow_workspace(self: Arc<Self>) {
        let mut switched = self.workspace.switched();
        loop {
            let mut changed = self.workspace.changed();
            self.refresh_membership();
            self.blobs_reachable();
            loop {
                tokio::select! {
                    _ = switched.changed() => break,
                    news = changed.changed() => match news {
                        Ok(()) => self.refresh_membership(),
                        // The writer stopped: what comes next is a switch, or the end.
                        Err(_) => if switched.changed().await.is_err() { return } else { break },
                    },
                }
            }
            self.fetcher.clear();
            for link in locked(&self.links).values() {
                link.close(link::CLOSE_SWITCHED, b"this device went over to another workspace");
            }
            locked(&self.attempts).clear();
            self.call_now.notify_one();
        }
    }

    /// Starts a session with a peer that called.
    fn answer(self: Arc<Self>, call: Call) {
        self.start_link(Link::answering(call));
    }

    /// Calls every member that no session is open with, again and again, less and less often.
    async fn call_members(self: Arc<Self>) {
        loop {
            let due: Vec<DeviceId> = {
                let (links, mut attempts) = (locked(&self.links), locked(&self.attempts));
                let membership = self.membership();
                let absent = membership
                    .members()
                    .map(|(device, _)| *device)
                    .filter(|device| *device != self.device && !links.contains_key(device));
                let due = absent.filter(|device| {
                    attempts.get(device).is_none_or(|attempt| attempt.next <= Instant::now())
                });
                let due: Vec<_> = due.collect();
                for device in &due {
                    // Until the call ends, one way or the other, it is not made again.
                    let held = attempts.get(device).map_or(0, |attempt| attempt.failures);
                    let next = Instant::now() + DIAL_TIMEOUT + FIRST_BACKOFF;
                    attempts.insert(*device, Attempt { failures: held, next });
                }
                due
            };
            for device in due {
                let inner = Arc::clone(&self);
                self.spawn(async move { inner.call(device).await });
            }
            tokio::select! {
                () = self.call_now.notified() => {}
                () = tokio::time::sleep(Duration::from_millis(250)) => {}
            }
        }
    }

    async fn call(self: Arc<Self>, device: DeviceId) {
        let Some(address) = self.board.address_of(&device) else {
            return self.failed(device, None);
        };
        match timeout(DIAL_TIMEOUT, self.board.endpoint.connect(address, ALPN)).await {
            Ok(Ok(connection)) => {
                let link = Link::calling(connection, self.device);
                self.start_link(link);
            }
            Ok(Err(error)) => self.failed(device, Some(error.to_string())),
            Err(_) => self.failed(device, Some("it does not answer".to_owned())),
        }
    }

    /// To be called when blobs may have come within reach: of a new peer, or in a new workspace.
    fn blobs_reachable(&self) {
        self.offer_missing();
        self.fetcher.peer_came();
    }

    /// Offers the fetcher blobs that new entries name.
    fn offer(&self, blobs: Vec<(BlobHash, u64)>) {
        let Ok(snapshot) = self.workspace.snapshot() else { return };
        for (hash, size) in blobs {
            if !snapshot.is_granted(&hash).unwrap_or(false) {
                // What there is no room for now is offered again when a peer comes.
                let _ = self.fetcher.offer(Wanted { hash, size, uploaded_by: None });
            }
        }
        if let Err(error) = self.fetcher.offer_pinned(&snapshot) {
            let error = &error as &dyn std::error::Error;
            tracing::error!(error, "the artifacts cannot be read");
        }
    }

    /// Offers the fetcher what the workspace names and this device lacks.
    fn offer_missing(&self) {
        let offered =
            self.workspace.snapshot().and_then(|snapshot| self.fetcher.offer_missing(&snapshot));
        if let Err(error) = offered {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the artifacts cannot be read"
            );
        }
    }

    /// Notes that a call or a session failed, and when to call next.
    fn failed(&self, device: DeviceId, reason: Option<String>) {
        if let Some(reason) = reason {
            locked(&self.errors).insert(device, reason);
        }
        let mut attempts = locked(&self.attempts);
        let failures = attempts.get(&device).map_or(0, |attempt| attempt.failures);
        let backoff = FIRST_BACKOFF.saturating_mul(1 << failures.min(6)).min(LONGEST_BACKOFF);
        // Two devices that lost each other at one moment do not call at one moment.
        let jitter = backoff.mul_f64(rand::random::<f64>() / 2.0);
        let next = Instant::now() + backoff / 2 + jitter;
        attempts.insert(device, Attempt { failures: failures.saturating_add(1), next });
    }

    /// Starts a session, from either side. It is not cut when this device stops: it says goodbye
    /// then, and ends by itself.
    fn start_link(self: Arc<Self>, link: Link) {
        let inner = Arc::clone(&self);
        self.tasks.spawn_uncut(async move { inner.run_link(Arc::new(link)).await });
    }

    /// Runs a session until it ends.
    async fn run_link(self: Arc<Self>, link: Arc<Link>) {
        let device = device_at(link.connection());
        if !self.take_place(device, &link) {
            link.close(link::CLOSE_TWICE, b"there is a session already");
            return;
        }
        self.moved();
        self.tell_connected().await;
        let ended = link.run(&self).await;
        self.count(&link);
        if self.leave_place(device, &link) {
            self.tell_connected().await;
        }
        match ended {
            Ok(()) => self.ended_well(device),
            Err(LinkError::Replaced) => {}
            Err(error) => {
                tracing::debug!(peer = %device.short(), error = &error as &dyn std::error::Error, "session ended");
                self.failed(device, Some(with_causes(&error)));
            }
        }
        self.moved();
    }

    async fn tell_connected(&self) {
        let peers = locked(&self.links).len();
        self.workspace.set_connected(peers).await;
    }

    fn ended_well(&self, device: DeviceId) {
        let next = Instant::now() + FIRST_BACKOFF;
        locked(&self.attempts).insert(device, Attempt { failures: 0, next });
    }

    /// Lets one of two sessions with a peer be.
    fn take_place(&self, device: DeviceId, link: &Arc<Link>) -> bool {
        let mut links = locked(&self.links);
        if let Some(held) = links.get(&device) {
            if stays(held.dialer(), held.age(), link.dialer()) {
                return false;
            }
            held.close(link::CLOSE_TWICE, b"there is another session");
            // If the peer was gone, so is what its blobs came over, and who fetches from it must
            // not wait until that is noticed. The session's caller opens another.
            self.board.forget_blobs_of(&device);
        }
        links.insert(device, Arc::clone(link));
        true
    }

    fn leave_place(&self, device: DeviceId, link: &Arc<Link>) -> bool {
        let mut links = locked(&self.links);
        let mine = links.get(&device).is_some_and(|held| Arc::ptr_eq(held, link));
        if mine {
            links.remove(&device);
        }
        mine
    }

    /// Notes that a peer was met, and where.
    fn met(self: &Arc<Self>, device: DeviceId, dialer: DeviceId, connection: &Connection) {
        locked(&self.errors).remove(&device);
        locked(&self.attempts).remove(&device);
        let mut book = locked(&self.board.book);
        book.note(&device, &contacts::places_of(connection));
        book.seen(&device, now().0);
        drop(book);
        self.contacts.met_somebody();
        if dialer == self.device {
            self.board.call_for_blobs(device);
        }
    }

    fn moved(&self) {
        self.progress.send_modify(|count| *count += 1);
    }
}

/// Whether a session that is open stays when another with the same peer comes: of two that both
/// sides opened at once, the one that the device with the lower id opened; else the later, for a
/// peer that calls has no session, whatever this side believes. One that was killed and is back
/// would otherwise wait until this side notices that it was gone.
fn stays(dialer: DeviceId, age: Duration, other_dialer: DeviceId) -> bool {
    age < AT_ONCE && dialer < other_dialer
}
