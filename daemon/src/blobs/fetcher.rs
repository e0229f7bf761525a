//! Sees to it that the blobs this device wants get here: those its policy asks for and those that
//! are pinned in the background, those that somebody reads at once. Hears from every connected peer
//! which blobs it holds.
//!
//! Invariants: a blob is fetched once at a time, a large one from several peers that said that they
//! hold it; what was noted as wanted is tried again until it is here, or is given up; a blob counts
//! as here when it is durable and its grant is, too.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use iroh::endpoint::Connection;
use runmesh_core::ids::{BlobHash, DeviceId, WorkspaceId};
use runmesh_core::store::{Snapshot, StoreError};
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::JoinSet;

use super::queue::{Progress, Queue, UnderWay};
use super::{BlobError, Blobs, FetchError, Lease, MAX_BLOB_BYTES, Pin, Pins, Wanted, news};
use crate::config::BlobPolicy;
use crate::writer::WriteError;

/// How many blobs are fetched at once in the background, and how many if somebody waits for them.
const AT_ONCE: usize = 4;
const AT_ONCE_URGENT: usize = 16;
/// A blob of this size, or larger, is fetched from several holders at once, and from how many.
const LARGE_BYTES: u64 = 16 << 20;
const MAX_SOURCES: usize = 4;
/// How often to look who can be heard, if nothing says that somebody came.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// What the fetcher needs from the rest of the daemon.
pub struct Surroundings {
    /// The workspace of this device, now.
    pub workspace: Box<dyn Fn() -> WorkspaceId + Send + Sync>,
    /// The connected peers, each with a connection of the blob protocol.
    pub peers: Box<dyn Fn() -> Vec<(DeviceId, Connection)> + Send + Sync>,
    /// Notes durably that a blob has come through the workspace.
    pub grant: Grant,
    /// What a device is called.
    pub name_of: Box<dyn Fn(&DeviceId) -> String + Send + Sync>,
}

/// Notes durably that a blob has come through the workspace.
pub type Grant = Box<dyn Fn(BlobHash) -> BoxFuture<'static, Result<(), WriteError>> + Send + Sync>;

/// A blob that somebody waited for did not come.
#[derive(Debug, Clone, thiserror::Error)]
pub enum NotFetched {
    /// Nobody who could be asked has it.
    #[error("no connected peer has blob {hash}{}; {asked} were asked", who(.held_by, .uploaded_by))]
    Nobody {
        /// The blob.
        hash: BlobHash,
        /// Who uploaded it, if that is known: the device to switch on.
        uploaded_by: Option<DeviceId>,
        /// What those are called that said that they hold it.
        held_by: Vec<String>,
        /// How many peers were asked.
        asked: usize,
        /// What the last of them failed with.
        source: Option<Arc<FetchError>>,
    },
    /// This device's disk failed.
    #[error(transparent)]
    Store(Arc<BlobError>),
    /// The blob is here, but that could not be noted.
    #[error(transparent)]
    Grant(#[from] WriteError),
    /// The daemon is stopping, or has gone over to another workspace, or what named the blob was
    /// purged.
    #[error("blob {hash} is not fetched any more")]
    GivenUp {
        /// The blob.
        hash: BlobHash,
    },
}

fn who(held_by: &[String], uploader: &Option<DeviceId>) -> String {
    match (held_by, uploader) {
        ([], None) => String::new(),
        ([], Some(device)) => format!(", which device {} uploaded", device.short()),
        (names, _) => format!(", which {} held when last heard of", names.join(", ")),
    }
}

/// There are too many blobs to fetch already: offer this one again when there are fewer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many blobs are waiting to be fetched")]
pub struct QueueFull;

type Reply = oneshot::Sender<Result<(), NotFetched>>;

/// Fetches what is wanted. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Fetcher {
    shared: Arc<Shared>,
}

struct Shared {
    blobs: Blobs,
    policy: BlobPolicy,
    surroundings: Surroundings,
    queue: Mutex<Queue<Reply>>,
    /// Told when there may be something to do.
    wake: Notify,
    progress: watch::Sender<Progress>,
    /// Workspaces for which the ledger agrees with the disk.
    compared: Mutex<HashSet<WorkspaceId>>,
    /// Changes with all that peers say that they hold.
    heard: watch::Sender<u64>,
    /// Told when what may be under way was given up.
    given_up: watch::Sender<()>,
}

impl Fetcher {
    /// Fetches into `blobs`, once [`Fetcher::run`] runs.
    pub fn new(blobs: Blobs, policy: BlobPolicy, surroundings: Surroundings) -> Self {
        let (queue, wake) = (Mutex::new(Queue::new()), Notify::new());
        let progress = watch::Sender::new(Progress::default());
        let (compared, heard) = (Mutex::default(), watch::Sender::new(0));
        let given_up = watch::Sender::new(());
        let shared = Shared {
            blobs,
            policy,
            surroundings,
            queue,
            wake,
            progress,
            compared,
            heard,
            given_up,
        };
        Self { shared: Arc::new(shared) }
    }

    /// Takes note of a blob that an entry names and that has no grant here. If the policy wants
    /// it, it is fetched in the background, and tried again until it is here.
    pub fn offer(&self, wanted: Wanted) -> Result<(), QueueFull> {
        if !self.shared.policy.wants(wanted.size) {
            return Ok(());
        }
        self.want(wanted)
    }

    /// Takes note of a blob that is wanted whatever the policy says.
    fn want(&self, wanted: Wanted) -> Result<(), QueueFull> {
        if wanted.size > MAX_BLOB_BYTES {
            return Ok(());
        }
        let added = self.queue().add(wanted);
        self.tell();
        if added { Ok(()) } else { Err(QueueFull) }
    }

    /// Offers all blobs that a workspace names and that have no grant: after a start, after
    /// joining, and when the queue was full before. Returns whether there was room for all.
    pub fn offer_missing(&self, snapshot: &Snapshot) -> Result<bool, StoreError> {
        self.compare(snapshot)?;
        let pins = self.pins();
        for (owner, row) in snapshot.all_artifacts()? {
            let wanted = Wanted { hash: row.blob, size: row.size, uploaded_by: None };
            let pinned = pins.pin(&owner, &row.path, &row.blob);
            if !pinned && !self.shared.policy.wants(row.size) || snapshot.is_granted(&row.blob)? {
                continue;
            }
            if self.want(wanted).is_err() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Offers what is pinned and has no grant: after a pin, and when entries have come.
    pub fn offer_pinned(&self, snapshot: &Snapshot) -> Result<(), StoreError> {
        let pins = self.pins();
        for (pin, _) in pins.all() {
            let Pin::Artifacts { owner, path } = pin else { continue };
            for row in snapshot.artifacts_at_or_below(*owner, path)? {
                let wanted = Wanted { hash: row.blob, size: row.size, uploaded_by: None };
                if !snapshot.is_granted(&row.blob)? && self.want(wanted).is_err() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// The pins of the workspace; none, with a warning, if they cannot be read.
    fn pins(&self) -> Pins {
        let workspace = (self.shared.surroundings.workspace)();
        self.shared.blobs.ledger().pins(&workspace).unwrap_or_else(|error| {
            warn(&error);
            Pins::default()
        })
    }

    /// Brings what is told to others in line with what is here: once for each workspace.
    fn compare(&self, snapshot: &Snapshot) -> Result<(), StoreError> {
        let workspace = (self.shared.surroundings.workspace)();
        let compared = &self.shared.compared;
        if compared.lock().unwrap_or_else(PoisonError::into_inner).insert(workspace) {
            let held = self.shared.blobs.held(&snapshot.granted()?);
            let noted = held.and_then(|held| self.shared.blobs.ledger().compare(&workspace, &held));
            noted.unwrap_or_else(|error| warn(&error));
        }
        Ok(())
    }

    /// Fetches a blob for somebody who waits for it, whatever the policy says. When this returns,
    /// the blob is here, durable and granted.
    pub async fn fetch_now(&self, wanted: Wanted) -> Result<(), NotFetched> {
        let (reply, replied) = oneshot::channel();
        self.queue().add_urgent(wanted, reply);
        self.tell();
        replied.await.unwrap_or(Err(NotFetched::GivenUp { hash: wanted.hash }))
    }

    /// How far fetching has come.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.shared.progress.subscribe()
    }

    /// What is being fetched now, and how far it is.
    pub fn under_way(&self) -> Vec<UnderWay> {
        self.queue().under_way()
    }

    /// Changes when a peer said that it holds more or less.
    pub fn heard(&self) -> watch::Receiver<u64> {
        self.shared.heard.subscribe()
    }

    /// The connected peers, each with a connection of the blob protocol.
    pub fn peers(&self) -> Vec<(DeviceId, Connection)> {
        (self.shared.surroundings.peers)()
    }

    /// What a device is called.
    pub fn name_of(&self, device: &DeviceId) -> String {
        (self.shared.surroundings.name_of)(device)
    }

    /// To be called when a peer was added to those of [`Surroundings`]: everything that failed
    /// before is tried again.
    pub fn peer_came(&self) {
        self.queue().retry_all();
        self.tell();
    }

    /// Forgets what is wanted: this device goes over to another workspace.
    pub fn clear(&self) {
        // Dropping the replies tells those who wait.
        drop(self.queue().clear());
        self.tell();
    }

    /// Forgets blobs, those under way too: what named them was purged.
    pub fn give_up(&self, blobs: &[BlobHash]) {
        let mut queue = self.queue();
        // Dropping the replies tells those who wait.
        drop(blobs.iter().flat_map(|blob| queue.give_up(blob)).collect::<Vec<_>>());
        drop(queue);
        self.shared.given_up.send_replace(());
        self.tell();
    }

    /// Fetches until it is dropped.
    pub async fn run(self) {
        let (mut fetching, mut hearing) = (JoinSet::new(), JoinSet::new());
        let mut heard = HashSet::new();
        loop {
            let peers = self.peers();
            // With nobody to ask, only those who wait must hear of it.
            let has_peers = !peers.is_empty();
            for (device, connection) in peers {
                let workspace = (self.shared.surroundings.workspace)();
                let place = (workspace, connection.stable_id());
                if heard.insert(place) {
                    let hearing_one = self.clone().hear(workspace, device, connection);
                    hearing.spawn(async move {
                        hearing_one.await;
                        place
                    });
                }
            }
            while let Some(wanted) = self.next(fetching.len(), has_peers) {
                fetching.spawn(self.clone().fetch(wanted));
            }
            let due = self.queue().next_due().filter(|_| has_peers && fetching.len() < AT_ONCE);
            tokio::select! {
                () = self.shared.wake.notified() => {}
                Some(fetched) = fetching.join_next() => propagate_panic(fetched),
                Some(ended) = hearing.join_next() => match ended {
                    Ok(place) => drop(heard.remove(&place)),
                    Err(error) => propagate_panic(Err(error)),
                },
                () = until(due) => {}
                () = tokio::time::sleep(LOOK_AGAIN) => {}
            }
        }
    }

    async fn hear(self, workspace: WorkspaceId, device: DeviceId, connection: Connection) {
        let came = || self.shared.heard.send_modify(|count| *count += 1);
        news::hear(self.shared.blobs.clone(), workspace, device, connection, came).await;
    }

    fn next(&self, under_way: usize, has_peers: bool) -> Option<Wanted> {
        let mut queue = self.queue();
        match under_way {
            ..AT_ONCE if has_peers => queue.next(Instant::now()),
            ..AT_ONCE_URGENT => queue.next_urgent(),
            _ => None,
        }
    }

    async fn fetch(self, wanted: Wanted) {
        let fetched = tokio::select! {
            fetched = self.fetch_from_anyone(&wanted) => fetched,
            () = self.given_up(&wanted.hash) => Err(NotFetched::GivenUp { hash: wanted.hash }),
        };
        let waiting = match &fetched {
            Ok(()) => self.queue().done(&wanted.hash),
            Err(_) => self.queue().failed(&wanted.hash, Instant::now()),
        };
        self.tell();
        for reply in waiting {
            // Fails only if nobody waits any more.
            let _ = reply.send(fetched.clone());
        }
    }

    async fn fetch_from_anyone(&self, wanted: &Wanted) -> Result<(), NotFetched> {
        let shared = &self.shared;
        let mut peers = self.peers();
        let held_by = self.holders(&wanted.hash);
        // The uploader has it for sure, and who said so; after that, each blob starts with another
        // peer.
        let first = usize::from(wanted.hash.as_bytes()[31]) % peers.len().max(1);
        peers.rotate_left(first);
        let is_holder =
            |device: &DeviceId| Some(*device) == wanted.uploaded_by || held_by.contains(device);
        peers.sort_by_key(|(device, _)| !is_holder(device));
        let asked = peers.len();
        let holders = peers.iter().filter(|(device, _)| is_holder(device)).count();
        let connections: Vec<_> = peers.into_iter().map(|(_, connection)| connection).collect();
        let several = if wanted.size >= LARGE_BYTES { holders.min(MAX_SOURCES) } else { 0 };
        let (at_once, in_turn) = connections.split_at(several);
        let mut last = None;
        for sources in at_once.chunks(MAX_SOURCES).chain(in_turn.chunks(1)) {
            match self.fetch_from(sources, wanted).await {
                // The lease is let go when the grant is there.
                Ok(_lease) => return Ok((shared.surroundings.grant)(wanted.hash).await?),
                // The next peer's bytes would meet the same disk.
                Err(FetchError::Store(error)) => return Err(NotFetched::Store(Arc::new(error))),
                Err(error) => {
                    error.log();
                    last = Some(Arc::new(error));
                }
            }
        }
        let Wanted { hash, uploaded_by, .. } = *wanted;
        let held_by = held_by.iter().map(|device| self.name_of(device)).collect();
        Err(NotFetched::Nobody { hash, uploaded_by, held_by, asked, source: last })
    }

    /// Who said that it holds a blob.
    fn holders(&self, blob: &BlobHash) -> Vec<DeviceId> {
        let workspace = (self.shared.surroundings.workspace)();
        self.shared.blobs.ledger().holders(&workspace, blob).unwrap_or_else(|error| {
            warn(&error);
            Vec::new()
        })
    }

    /// Returns once a blob that is under way was given up.
    async fn given_up(&self, blob: &BlobHash) {
        let mut told = self.shared.given_up.subscribe();
        while !self.queue().is_given_up(blob) {
            // Never an error: this holds the other end, too.
            let _ = told.changed().await;
        }
    }

    async fn fetch_from(
        &self,
        sources: &[Connection],
        wanted: &Wanted,
    ) -> Result<Lease, FetchError> {
        let (shared, hash) = (&self.shared, wanted.hash);
        let workspace = (shared.surroundings.workspace)();
        let fetcher = self.clone();
        let advance = move |verified_bytes| {
            let mut queue = fetcher.queue();
            if queue.advance(&hash, verified_bytes) {
                fetcher.shared.progress.send_replace(queue.progress());
            }
        };
        shared.blobs.fetch(sources, &workspace, wanted, advance).await
    }

    fn queue(&self) -> MutexGuard<'_, Queue<Reply>> {
        self.shared.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells those who watch, and the loop, that the queue has changed.
    fn tell(&self) {
        let queue = self.queue();
        let progress = queue.progress();
        self.shared.progress.send_if_modified(|told| std::mem::replace(told, progress) != progress);
        self.shared.wake.notify_one();
    }
}

fn warn(error: &BlobError) {
    tracing::warn!(error = error as &dyn std::error::Error, "the ledger of blobs failed");
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}

fn propagate_panic(fetched: Result<(), tokio::task::JoinError>) {
    if let Err(error) = fetched
        && let Ok(panic) = error.try_into_panic()
    {
        std::panic::resume_unwind(panic);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::blobs::serve::device_at;
    use crate::blobs::testing::{Link, WORKSPACE, granting, noise, sends, store};
    use crate::blobs::{Gate, Provider};

    /// A device that fetches, with the peers that a test gives it.
    struct Device {
        _home: tempfile::TempDir,
        blobs: Blobs,
        fetcher: Fetcher,
        peers: Arc<Mutex<Vec<(DeviceId, Connection)>>>,
        granted: Arc<Mutex<Vec<BlobHash>>>,
        _running: JoinSet<()>,
    }

    impl Device {
        fn new(policy: BlobPolicy) -> Self {
            let (_home, blobs) = store();
            let (peers, granted) =
                (Arc::<Mutex<Vec<_>>>::default(), Arc::<Mutex<Vec<_>>>::default());
            let (list, grants) = (peers.clone(), granted.clone());
            let surroundings = Surroundings {
                workspace: Box::new(|| WORKSPACE),
                peers: Box::new(move || list.lock().expect("unpoisoned").clone()),
                grant: Box::new(move |hash| {
                    grants.lock().expect("unpoisoned").push(hash);
                    Box::pin(async { Ok(()) })
                }),
                name_of: Box::new(|device| format!("device {}", device.short())),
            };
            let fetcher = Fetcher::new(blobs.clone(), policy, surroundings);
            let mut running = JoinSet::new();
            running.spawn(fetcher.clone().run());
            Self { _home, blobs, fetcher, peers, granted, _running: running }
        }

        fn connect(&self, link: &Link) {
            let peer = (device_at(&link.asker), link.asker.clone());
            self.peers.lock().expect("unpoisoned").push(peer);
            self.fetcher.peer_came();
        }

        async fn everything_fetched(&self) {
            let mut progress = self.fetcher.progress();
            progress.wait_for(|progress| progress.queued == 0).await.expect("the fetcher lives");
        }
    }

    /// A store with blobs of these sizes, and what to want of it.
    async fn uploads(sizes: &[usize]) -> (tempfile::TempDir, Blobs, Vec<Wanted>) {
        let (home, blobs) = store();
        let mut all = Vec::new();
        for size in sizes {
            let imported = blobs.import(&noise(*size)[..]).await.expect("imports");
            all.push(Wanted { hash: imported.hash, size: imported.size, uploaded_by: None });
        }
        (home, blobs, all)
    }

    #[tokio::test]
    async fn what_the_policy_wants_comes_by_itself_and_the_rest_when_read() {
        let (_a, there, all) = uploads(&[1, 20_000, 300_000, 1_000_000, 2_000_001]).await;
        let gate = granting(all.iter().map(|wanted| wanted.hash));
        let link = Link::serving(Provider::new(there, gate)).await;
        let bob = Device::new(BlobPolicy::Small { max_bytes: 1_000_000 });
        for wanted in &all {
            bob.fetcher.offer(*wanted).expect("there is room");
        }
        assert_eq!(bob.fetcher.progress().borrow().bytes_total, 1_320_001);
        bob.connect(&link);
        bob.everything_fetched().await;
        let big = all[4];
        for wanted in &all {
            assert_eq!(bob.blobs.has(&wanted.hash).expect("looks"), *wanted != big);
        }
        assert_eq!(bob.granted.lock().expect("unpoisoned").len(), 4);
        let progress = *bob.fetcher.progress().borrow();
        assert_eq!((progress.bytes_done, progress.bytes_total), (1_320_001, 1_320_001));

        bob.fetcher.fetch_now(big).await.expect("is fetched through");
        assert!(bob.blobs.has(&big.hash).expect("looks"));
        assert!(bob.granted.lock().expect("unpoisoned").contains(&big.hash));
    }

    #[tokio::test]
    async fn many_who_want_one_blob_cost_one_transfer() {
        let (_a, there, all) = uploads(&[3_000_000]).await;
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        let gate = Gate {
            admits: Box::new(|_| true),
            members: Box::new(|_, _| false),
            grants: Box::new(move |_, _, _| {
                count.fetch_add(1, Ordering::SeqCst);
                true
            }),
        };
        let link = Link::serving(Provider::new(there, gate)).await;
        let bob = Device::new(BlobPolicy::All);
        bob.connect(&link);
        bob.fetcher.offer(all[0]).expect("there is room");
        let readers: Vec<_> = (0..10).map(|_| bob.fetcher.fetch_now(all[0])).collect();
        for done in futures_util::future::join_all(readers).await {
            done.expect("is fetched");
        }
        bob.everything_fetched().await;
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn if_nobody_has_it_the_error_names_who_uploaded_it() {
        let (_a, there, all) = uploads(&[50_000]).await;
        let bob = Device::new(BlobPolicy::All);
        let ann = DeviceId::new([0xaa; 32]);
        let wanted = Wanted { uploaded_by: Some(ann), ..all[0] };
        let alone = bob.fetcher.fetch_now(wanted).await.expect_err("nobody is there");
        assert!(alone.to_string().contains(&ann.short()), "{alone}");

        let (_c, without) = store();
        let without = Link::serving(Provider::new(without, granting([]))).await;
        bob.connect(&without);
        let error = bob.fetcher.fetch_now(wanted).await.expect_err("nobody has it");
        assert!(matches!(error, NotFetched::Nobody { asked: 1, .. }), "{error:?}");

        // Wanted in the background, it comes as soon as somebody has it.
        bob.fetcher.offer(wanted).expect("there is room");
        let with = Link::serving(Provider::new(there, granting([wanted.hash]))).await;
        bob.connect(&with);
        bob.everything_fetched().await;
        assert!(bob.blobs.has(&wanted.hash).expect("looks"));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_large_blob_comes_from_all_that_said_that_they_hold_it() {
        let (_a, there, all) = uploads(&[40_000_000]).await;
        there.ledger().gained(&WORKSPACE, &[all[0].hash]).expect("notes it");
        let provider = Provider::new(there, granting([all[0].hash]));
        let links = [Link::serving(provider.clone()).await, Link::serving(provider).await];
        let bob = Device::new(BlobPolicy::None);
        links.iter().for_each(|link| bob.connect(link));
        let mut heard = bob.fetcher.heard();
        while bob.fetcher.holders(&all[0].hash).len() < 2 {
            heard.changed().await.expect("the fetcher lives");
        }
        bob.fetcher.fetch_now(all[0]).await.expect("both have it");
        for link in links {
            let received = link.asker.stats().udp_rx.bytes;
            assert!(received > 4_000_000, "{received} bytes came from one of the two");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_given_up_while_it_comes_comes_no_further() {
        let (_a, _, all) = uploads(&[30_000_000]).await;
        let (link, bytes) = (Link::bare().await, noise(30_000_000));
        let sending = tokio::spawn(sends(link.provider.clone(), bytes.clone(), bytes, 3_000_000));
        let bob = Device::new(BlobPolicy::All);
        bob.connect(&link);
        let mut progress = bob.fetcher.progress();
        bob.fetcher.offer(all[0]).expect("there is room");
        let giving_up = async {
            let begun = progress.wait_for(|progress| progress.bytes_done > 1_000_000).await;
            drop(begun.expect("the fetcher lives"));
            bob.fetcher.give_up(&[all[0].hash]);
        };
        let (fetched, ()) = tokio::join!(bob.fetcher.fetch_now(all[0]), giving_up);
        assert!(matches!(fetched, Err(NotFetched::GivenUp { .. })), "{fetched:?}");
        bob.everything_fetched().await;
        assert!(bob.fetcher.under_way().is_empty());
        assert!(!bob.blobs.has(&all[0].hash).expect("looks"));
        assert!(bob.granted.lock().expect("unpoisoned").is_empty());
        sending.abort();
    }

    #[tokio::test]
    async fn a_blob_broken_off_at_one_peer_is_finished_at_another() {
        let (_a, there, all) = uploads(&[6_000_000]).await;
        let provider = Provider::new(there, granting([all[0].hash]));
        let first = Link::serving(provider.clone()).await;
        let second = Link::serving(provider).await;
        let bob = Device::new(BlobPolicy::None);
        bob.connect(&first);
        bob.connect(&second);
        let uploader = device_at(&first.asker);
        let wanted = Wanted { uploaded_by: Some(uploader), ..all[0] };
        let mut progress = bob.fetcher.progress();
        let cutting = async {
            let begun = progress.wait_for(|progress| progress.bytes_done > 1_000_000).await;
            drop(begun.expect("the fetcher lives"));
            first.provider.close(0u32.into(), b"cut");
        };
        let (fetched, ()) = tokio::join!(bob.fetcher.fetch_now(wanted), cutting);
        fetched.expect("the other peer has it");
        let received = first.asker.stats().udp_rx.bytes + second.asker.stats().udp_rx.bytes;
        assert!(received < 7_000_000, "{received} bytes for 6,000,000");
    }
}
