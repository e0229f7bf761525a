//! Devices that are in several workspaces, over real sockets.

use std::time::Duration;

use runmesh_core::act::Role;
use runmesh_core::action::Action;
use runmesh_core::ids::{BlobHash, DocumentId, RunId};
use tempfile::TempDir;

use super::*;
use crate::blobs::{FetchError, Wanted};
use crate::config::{BlobPolicy, Config};
use crate::home::Home;
use crate::mesh::NewTicket;
use crate::testing::create_run;

const PATIENCE: Duration = Duration::from_secs(60);

struct Up {
    workspaces: Arc<Workspaces>,
    folder: TempDir,
}

fn name(text: &str) -> PlaceName {
    text.parse().expect("a name")
}

impl Up {
    async fn new(name: &str) -> Self {
        Self::again(tempfile::tempdir().expect("a temporary folder"), name).await
    }

    async fn again(folder: TempDir, name: &str) -> Self {
        // What a test wants fetched it asks for.
        let blobs = BlobPolicy::None;
        let config = Config {
            name: name.to_owned(),
            peer_port: Some(0),
            mdns: false,
            blobs,
            ..Config::default()
        };
        let home = Home::open(folder.path()).expect("a home");
        let device = Arc::new(Device::open(home, config).expect("a device"));
        let workspaces = Workspaces::open(device).expect("its workspaces");
        workspaces.start_meshes().await.expect("sessions");
        Self { workspaces, folder }
    }

    async fn down(self) -> TempDir {
        self.workspaces.device().hang_up().await;
        self.workspaces.stop().await;
        self.workspaces.device().close().await;
        self.folder
    }

    fn app(&self, name: &str) -> Arc<App> {
        self.workspaces.named(name).expect("it is open").app
    }

    /// Joins the workspace that another device calls `there`, as `here`.
    async fn join(&self, other: &Self, there: &str, here: &str) {
        let new = NewTicket { role: Role::Writer, expires_ms: 0, uses: 1, name: None };
        let app = other.app(there);
        let mut ticket = app.mesh().expect("sessions").invite(new).await.expect("a ticket");
        ticket.addresses.retain(|address| address.ip().is_loopback());
        let (space, joined) =
            self.workspaces.join(&ticket, Some(name(here)), false).await.expect("joins");
        assert_eq!((space.name.as_str(), joined.role, joined.runs_taken), (here, Role::Writer, 0));
    }

    async fn run(&self, workspace: &str, id: u8) -> RunId {
        let id = RunId::new([id; 16]);
        self.app(workspace).workspace.act(create_run(id)).await.expect("a run");
        id
    }

    async fn put(&self, workspace: &str, run: RunId, bytes: &[u8]) -> BlobHash {
        let app = self.app(workspace);
        let blob = app.blobs.import(bytes).await.expect("imports");
        let (owner, path) = (DocumentId::run(run), "file.bin".to_owned());
        let put = Action::PutArtifact { owner, path, blob: blob.hash, size: blob.size };
        app.workspace.act(put).await.expect("an artifact");
        blob.hash
    }

    async fn has(&self, workspace: &str, run: RunId) -> bool {
        let held = self.app(workspace).workspace.fresh().await.expect("a snapshot");
        held.run(&run).expect("reads").is_some()
    }

    /// Syncs until a run is here. The device that has it may have yet to be found: one `sync` waits
    /// only for those that are.
    async fn gets(&self, workspace: &str, run: RunId) {
        let gets = async {
            while !self.has(workspace, run).await {
                self.synced(workspace).await;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, gets).await.expect("the run comes");
    }

    async fn synced(&self, workspace: &str) {
        let app = self.app(workspace);
        let synced = app.mesh().expect("sessions").sync_wait(PATIENCE).await.expect("syncs");
        assert!(!synced.timed_out, "{workspace} does not sync");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_workspace_of_a_device_is_shared_with_its_own_members() {
    let (ann, bob, carl) = (Up::new("ann").await, Up::new("bob").await, Up::new("carl").await);
    ann.workspaces.create(name("lab")).await.expect("founds one");
    bob.join(&ann, "lab", "lab").await;
    // Of two workspaces that two devices share, each has a session.
    carl.join(&ann, "lab", "team").await;
    carl.join(&ann, "ann", "with-ann").await;
    let (private, shared) = (ann.run("ann", 1).await, ann.run("lab", 2).await);
    let of_carl = carl.run("with-ann", 3).await;
    bob.synced("lab").await;
    for workspace in ["team", "with-ann"] {
        carl.synced(workspace).await;
    }
    assert!(bob.has("lab", shared).await && !bob.has("lab", private).await);
    assert!(!bob.has("bob", shared).await, "nothing was taken along or brought in");
    assert!(carl.has("team", shared).await && !carl.has("team", private).await);
    assert!(carl.has("with-ann", private).await && !carl.has("with-ann", shared).await);
    assert!(ann.has("ann", of_carl).await && !ann.has("lab", of_carl).await);

    // After a restart all are there, and found again.
    let ann = Up::again(ann.down().await, "ann").await;
    let later = ann.run("lab", 4).await;
    bob.gets("lab", later).await;
    for device in [ann, bob, carl] {
        device.down().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_of_one_workspace_gets_no_blob_of_another_by_its_hash() {
    let (ann, bob) = (Up::new("ann").await, Up::new("bob").await);
    ann.workspaces.create(name("lab")).await.expect("founds one");
    let private = ann.run("ann", 1).await;
    let secret = ann.put("ann", private, &[7; 50_000]).await;
    let public = ann.run("lab", 2).await;
    let shared = ann.put("lab", public, &[8; 50_000]).await;
    bob.join(&ann, "lab", "lab").await;
    bob.synced("lab").await;
    let lab = bob.app("lab");
    let wanted = |hash| Wanted { hash, size: 50_000, uploaded_by: None };
    // Waits for a connection, too.
    let mut peers = lab.switchboard().expect("it is up").peers();
    while peers.is_empty() {
        tokio::task::yield_now().await;
        peers = lab.switchboard().expect("it is up").peers();
    }
    let (_, connection) = peers.remove(0);
    let (here, there) = (lab.workspace.id(), ann.app("ann").workspace.id());
    for workspace in [here, there] {
        let asked = lab
            .blobs
            .fetch(std::slice::from_ref(&connection), &workspace, &wanted(secret), |_| {})
            .await;
        assert!(matches!(asked, Err(FetchError::NotHere { .. })), "{asked:?}");
    }
    let asked =
        lab.blobs.fetch(std::slice::from_ref(&connection), &there, &wanted(shared), |_| {}).await;
    assert!(matches!(asked, Err(FetchError::NotHere { .. })), "{asked:?}");
    lab.fetcher.fetch_now(wanted(shared)).await.expect("it is of this workspace");
    assert!(!lab.blobs.has(&secret).expect("looks"));
    ann.down().await;
    bob.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_kept_over_restarts_and_mean_one_workspace_each() {
    let ann = Up::new("Ann's laptop").await;
    assert_eq!(ann.workspaces.current().name, name("Ann-s-laptop"));
    ann.workspaces.create(name("lab")).await.expect("founds one");
    let twice = ann.workspaces.create(name("lab")).await.map(|space| space.name);
    let taken = WorkspacesError::from(PlaceError::Taken(name("lab"))).to_string();
    assert_eq!(twice.expect_err("the name is taken").to_string(), taken);
    ann.workspaces.choose("lab").await.expect("it is there");
    let run = ann.run("lab", 1).await;
    ann.workspaces.rename("lab", name("team")).await.expect("the name is free");
    assert!(ann.workspaces.named("lab").is_err());
    assert!(ann.workspaces.choose("lab").await.is_err());
    let ann = Up::again(ann.down().await, "ann").await;
    assert_eq!(ann.workspaces.current().name, name("team"));
    let names: Vec<_> = ann.workspaces.all().into_iter().map(|space| space.name).collect();
    assert_eq!(names, [name("Ann-s-laptop"), name("team")]);
    assert!(ann.has("team", run).await && !ann.has("Ann-s-laptop", run).await);
    ann.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workspace_that_is_here_is_not_joined_again_beside_itself() {
    let (ann, bob) = (Up::new("ann").await, Up::new("bob").await);
    bob.join(&ann, "ann", "lab").await;
    let new = NewTicket { role: Role::Writer, expires_ms: 0, uses: 1, name: None };
    let ticket = ann.app("ann").mesh().expect("sessions").invite(new).await.expect("a ticket");
    let again = bob.workspaces.join(&ticket, Some(name("twice")), false).await;
    assert!(matches!(again, Err(WorkspacesError::Place(PlaceError::Here))));
    let mesh = bob.app("bob").mesh().expect("sessions").clone();
    let instead = mesh.join(&bob.workspaces.device().home, &ticket, false).await;
    assert!(matches!(instead, Err(JoinError::AlreadyIn)), "{instead:?}");
    ann.down().await;
    bob.down().await;
}
