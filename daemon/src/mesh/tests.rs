//! Two devices on one machine, over real sockets.

use std::time::Duration;

use runmesh_core::act::Role;
use runmesh_core::action::Action;
use runmesh_core::ids::{DeviceId, DocumentId, RunId};
use runmesh_core::ticket::Ticket;

use super::{JoinError, NewTicket};
use crate::app::App;
use crate::config::{BlobPolicy, Config};
use crate::home::Home;
use crate::testing::create_run;

pub(super) const PATIENCE: Duration = Duration::from_secs(60);

pub(super) struct Device {
    pub(super) app: App,
    folder: tempfile::TempDir,
}

impl Device {
    pub(super) async fn up(name: &str) -> Self {
        Self::up_in(tempfile::tempdir().unwrap(), name).await
    }

    /// One that wants no more than these blobs unasked.
    pub(super) async fn up_wanting(name: &str, blobs: BlobPolicy) -> Self {
        Self::up_with(tempfile::tempdir().unwrap(), name, blobs).await
    }

    async fn up_in(folder: tempfile::TempDir, name: &str) -> Self {
        Self::up_with(folder, name, BlobPolicy::default()).await
    }

    async fn up_with(folder: tempfile::TempDir, name: &str, blobs: BlobPolicy) -> Self {
        // Devices of other tests are none of its business.
        let (name, peer_port, mdns) = (name.to_owned(), Some(0), false);
        let config = Config { name, peer_port, mdns, blobs, ..Config::default() };
        let app = App::open(Home::open(folder.path()).unwrap(), config).unwrap();
        app.start_mesh().await.unwrap();
        Self { app, folder }
    }

    pub(super) async fn down(self) -> tempfile::TempDir {
        self.app.hang_up().await;
        self.app.stop().await;
        self.app.close().await;
        self.folder
    }

    pub(super) async fn run(&self, id: u8) -> RunId {
        let id = RunId::new([id; 16]);
        self.app.workspace.act(create_run(id)).await.unwrap();
        id
    }

    pub(super) async fn put(&self, run: RunId, path: &str, bytes: &[u8]) {
        let blob = self.app.blobs.import(bytes).await.unwrap();
        self.app.grant(vec![blob.hash]).await.unwrap();
        let (owner, path) = (DocumentId::run(run), path.to_owned());
        let put = Action::PutArtifact { owner, path, blob: blob.hash, size: blob.size };
        self.app.workspace.act(put).await.unwrap();
    }

    pub(super) fn has(&self, run: RunId) -> bool {
        self.app.workspace.snapshot().unwrap().run(&run).unwrap().is_some()
    }

    pub(super) async fn invite(&self) -> Ticket {
        self.invite_as(Role::Writer).await
    }

    pub(super) async fn invite_as(&self, role: Role) -> Ticket {
        let new = NewTicket { role, expires_ms: 0, uses: 1, name: None };
        let mut ticket = self.app.mesh().unwrap().invite(new).await.unwrap();
        ticket.addresses.retain(|address| address.ip().is_loopback());
        ticket
    }

    pub(super) async fn join(&self, ticket: &Ticket) -> Result<u64, JoinError> {
        let mesh = self.app.mesh().unwrap();
        Ok(mesh.join(&self.app.home, ticket, false).await?.runs_taken)
    }

    pub(super) async fn synced(&self) -> bool {
        !self.app.mesh().unwrap().sync_wait(PATIENCE).await.unwrap().timed_out
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_devices_that_logged_apart_hold_the_same_after_joining() {
    let (ann, bob) = (Device::up("ann").await, Device::up("bob").await);
    let (first, second) = (ann.run(1).await, bob.run(2).await);
    ann.put(first, "model/weights.bin", &[7; 100_000]).await;
    assert_eq!(bob.join(&ann.invite().await).await.unwrap(), 1);
    assert!(bob.synced().await);
    assert!(ann.has(second) && bob.has(first));
    let vector = |device: &Device| device.app.workspace.snapshot().unwrap().vector().unwrap();
    assert_eq!(vector(&ann), vector(&bob));
    let owner = DocumentId::run(first);
    let row = bob.app.workspace.snapshot().unwrap().artifact(owner, "model/weights.bin");
    let blob = row.unwrap().unwrap().blob;
    // The fetcher tells whenever it has moved on.
    let mut progress = bob.app.fetcher.progress();
    while !bob.app.workspace.snapshot().unwrap().is_granted(&blob).unwrap() {
        tokio::time::timeout(PATIENCE, progress.changed()).await.unwrap().unwrap();
    }
    assert!(bob.app.blobs.has(&blob).unwrap());
    ann.down().await;
    bob.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_looks_sees_what_is_logged_elsewhere_without_waiting_for_it_to_be_sealed() {
    let (ann, bob) = (Device::up("ann").await, Device::up("bob").await);
    bob.join(&ann.invite().await).await.unwrap();
    assert!(bob.synced().await);
    let looking = bob.app.mesh().unwrap().look();
    // Unasked, a device seals every five seconds at most: these would take twice as long as we wait.
    let logging = async {
        for id in 1..=24 {
            let mut changed = bob.app.workspace.changed();
            let run = ann.run(id).await;
            while !bob.has(run) {
                changed.changed().await.unwrap();
            }
        }
    };
    tokio::time::timeout(PATIENCE, logging).await.expect("peers are asked while somebody looks");
    drop(looking);
    ann.down().await;
    bob.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_was_away_finds_the_other_again() {
    let (ann, bob) = (Device::up("ann").await, Device::up("bob").await);
    bob.join(&ann.invite().await).await.unwrap();
    assert!(bob.synced().await);
    let folder = bob.down().await;
    let run = ann.run(3).await;
    let bob = Device::up_in(folder, "bob").await;
    assert!(bob.synced().await);
    assert!(bob.has(run));
    ann.down().await;
    bob.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_admits_one_device_and_a_forged_one_none() {
    let (ann, bob, eve) =
        (Device::up("ann").await, Device::up("bob").await, Device::up("eve").await);
    let run = eve.run(4).await;
    let ticket = ann.invite().await;
    bob.join(&ticket).await.unwrap();
    let used = eve.join(&ticket).await;
    assert!(matches!(used, Err(JoinError::Refused { .. })), "{used:?}");
    let forged = Ticket { key: [9; 32], ..ticket };
    let refused = eve.join(&forged).await;
    assert!(matches!(refused, Err(JoinError::Refused { .. })), "{refused:?}");
    // Its own workspace is as it was.
    assert!(eve.has(run) && !eve.has(RunId::new([1; 16])));
    ann.down().await;
    bob.down().await;
    eve.down().await;
}

#[test]
fn a_device_that_comes_back_is_let_in_at_once() {
    let (low, high) = (DeviceId::new([1; 32]), DeviceId::new([2; 32]));
    let (young, old) = (Duration::ZERO, Duration::from_secs(9));
    // Both called at once, and both sides keep the same.
    assert!(super::stays(low, young, high) && !super::stays(high, young, low));
    // It was killed, and calls again before this side has noticed.
    assert!(!super::stays(low, old, high) && !super::stays(high, old, low));
    assert!(!super::stays(low, young, low));
}
