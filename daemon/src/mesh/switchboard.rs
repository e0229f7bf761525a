//! The switchboard: the one endpoint of a device, and which of its workspaces a peer gets to.
//!
//! Invariants: who calls names a workspace before it hears anything; whether that is none of ours
//! or one that the caller is no member of, it hears the same. Blobs go over one connection with a
//! peer whatever the workspace, and each request names its own: a blob is served to members of a
//! workspace in which this device uploaded or fetched it, and not by its hash alone.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};

use iroh::endpoint::{Connection, VarInt};
use iroh::{Endpoint, EndpointAddr};
use runmesh_core::api::Traffic;
use runmesh_core::ids::{BlobHash, DeviceId, WorkspaceId};
use runmesh_core::sync::{ALPN, turned_away};
use runmesh_core::ticket::{Contact, Ticket};
use tokio::sync::watch;
use tokio::time::timeout;

use super::addresses::AddressBook;
use super::joining::Joinings;
use super::link::{self, Call};
use super::tasks::Tasks;
use super::{DIAL_TIMEOUT, EndpointError, Inner, device_at, endpoint, lan, locked};
use crate::blobs;
use crate::config::Config;
use crate::home::Home;

/// The sessions of the workspaces that are open.
type Meshes = Arc<RwLock<Vec<Weak<Inner>>>>;

/// What the meshes of all workspaces share.
pub(super) struct Board {
    pub(super) endpoint: Endpoint,
    pub(super) device: DeviceId,
    /// Where peers were reached, in whatever workspace.
    pub(super) book: Mutex<AddressBook>,
    /// What is being joined.
    pub(super) joinings: Joinings,
    meshes: Meshes,
    provider: blobs::Provider,
    /// A connection of the blob protocol with each peer.
    blob_connections: Mutex<BTreeMap<DeviceId, Connection>>,
    /// Changes with each of them that is made.
    blobs_came: watch::Sender<u64>,
    /// What moved over blob connections that have ended.
    ended: Mutex<Traffic>,
    tasks: Tasks,
}

/// The one endpoint of a device. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Switchboard {
    pub(super) board: Arc<Board>,
}

impl Switchboard {
    /// Starts taking calls.
    pub async fn start(
        home: &Home,
        config: &Config,
        blobs: blobs::Blobs,
    ) -> Result<Self, EndpointError> {
        let endpoint = endpoint::bind(home, config).await?;
        if let Some(socket) = endpoint.bound_sockets().first()
            && let Err(error) = home.set_last_peer_port(socket.port())
        {
            tracing::warn!(%error, "the peers' port could not be saved");
        }
        let meshes = Meshes::default();
        let board = Arc::new(Board {
            endpoint,
            device: crate::workspace::device_of(home),
            book: Mutex::new(AddressBook::open(home.path().join("peers.json"), config)),
            joinings: Joinings::default(),
            provider: blobs::Provider::new(blobs, gate(&meshes)),
            meshes,
            blob_connections: Mutex::default(),
            blobs_came: watch::Sender::new(0),
            ended: Mutex::default(),
            tasks: Tasks::default(),
        });
        board.spawn(Board::accept(Arc::clone(&board)));
        if config.mdns {
            let meshes = Arc::clone(&board);
            let found = move |device, addresses| meshes.found_on_lan(device, addresses);
            board.spawn(lan::look_around(board.endpoint.clone(), found));
        }
        Ok(Self { board })
    }

    /// Where peers can reach this device.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        endpoint::addresses(&self.board.endpoint)
    }

    /// The connected peers, each with a connection of the blob protocol.
    pub fn peers(&self) -> Vec<(DeviceId, Connection)> {
        let held = locked(&self.board.blob_connections);
        held.iter().map(|(device, connection)| (*device, connection.clone())).collect()
    }

    /// Takes no calls any more and serves no blobs; sessions go on.
    pub async fn stop(&self) {
        if !self.board.tasks.stop().await {
            tracing::debug!("connections were cut, for they took too long to end");
        }
    }

    /// Closes the endpoint, and with it all connections.
    pub async fn close(&self) {
        self.board.endpoint.close().await;
    }
}

fn open_meshes(meshes: &Meshes) -> Vec<Arc<Inner>> {
    let held = meshes.read().unwrap_or_else(PoisonError::into_inner);
    held.iter().filter_map(Weak::upgrade).collect()
}

/// The sessions of one workspace, if it is open.
fn mesh_of(meshes: &Meshes, workspace: WorkspaceId) -> Option<Arc<Inner>> {
    open_meshes(meshes).into_iter().find(|mesh| mesh.workspace.id() == workspace)
}

/// Whether a device is a member of any workspace here.
fn is_known(meshes: &Meshes, device: &DeviceId) -> bool {
    open_meshes(meshes).iter().any(|mesh| mesh.has_member(device))
}

fn gate(meshes: &Meshes) -> blobs::Gate {
    let (of_members, of_grants) = (Arc::clone(meshes), Arc::clone(meshes));
    let of_one = Arc::clone(meshes);
    let granted = |inner: &Inner, blob: &BlobHash| {
        inner.workspace.snapshot().and_then(|held| held.is_granted(blob)).unwrap_or(false)
    };
    blobs::Gate {
        admits: Box::new(move |device| is_known(&of_members, device)),
        members: Box::new(move |device, id| {
            mesh_of(&of_one, *id).is_some_and(|inner| inner.has_member(device))
        }),
        grants: Box::new(move |device, id: &WorkspaceId, blob| {
            mesh_of(&of_grants, *id)
                .is_some_and(|inner| inner.has_member(device) && granted(&inner, blob))
        }),
    }
}

impl Board {
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// Lets calls through to a mesh.
    pub(super) fn add(&self, mesh: &Arc<Inner>) {
        let mut held = self.meshes.write().unwrap_or_else(PoisonError::into_inner);
        held.retain(|mesh| mesh.strong_count() > 0);
        held.push(Arc::downgrade(mesh));
    }

    /// Lets no more calls through to a mesh.
    pub(super) fn remove(&self, mesh: &Arc<Inner>) {
        let mut held = self.meshes.write().unwrap_or_else(PoisonError::into_inner);
        held.retain(|other| !std::ptr::eq(other.as_ptr(), Arc::as_ptr(mesh)));
        drop(held);
        self.close_to_strangers();
    }

    /// Whether a device is a member of any workspace here.
    pub(super) fn knows(&self, device: &DeviceId) -> bool {
        is_known(&self.meshes, device)
    }

    /// The address of a device, if it was met or a ticket named it.
    pub(super) fn address_of(&self, device: &DeviceId) -> Option<EndpointAddr> {
        self.address_at(device, &[])
    }

    /// The same of a device that a ticket says is at some addresses.
    pub(super) fn address_at(
        &self,
        device: &DeviceId,
        addresses: &[SocketAddr],
    ) -> Option<EndpointAddr> {
        let own = endpoint::addresses(&self.endpoint);
        locked(&self.book).address_of(device, addresses, &own)
    }

    /// Notes where members are, as a ticket says.
    pub(super) fn learn_of(&self, ticket: &Ticket) {
        let inviter = Contact { device: ticket.inviter, addresses: ticket.addresses.clone() };
        let mut book = locked(&self.book);
        for contact in [inviter].iter().chain(&ticket.others) {
            book.learn(std::slice::from_ref(contact), |_| true);
        }
    }

    /// Notes where a device is on the LAN; nowhere, if it is gone.
    fn found_on_lan(&self, device: DeviceId, addresses: Vec<SocketAddr>) {
        let is_member = |device: &DeviceId| self.knows(device);
        if locked(&self.book).note_nearby(device, addresses, is_member) {
            for mesh in open_meshes(&self.meshes) {
                mesh.call_soon(&[device]);
            }
        }
    }

    async fn accept(self: Arc<Self>) {
        while let Some(incoming) = self.endpoint.accept().await {
            let board = Arc::clone(&self);
            self.spawn(async move {
                let Ok(Ok(connection)) = timeout(DIAL_TIMEOUT, incoming).await else { return };
                match connection.alpn() {
                    alpn if alpn == ALPN => board.take_call(connection).await,
                    alpn if alpn == blobs::ALPN => board.serve_blobs(connection).await,
                    _ => connection.close(VarInt::from_u32(link::CLOSE_BAD), b"unknown protocol"),
                }
            });
        }
    }

    /// Hears which workspace a caller means, and lets it through to that one's mesh.
    async fn take_call(&self, connection: Connection) {
        let call = match Call::hear(connection.clone()).await {
            Ok(call) => call,
            Err(error) => {
                let peer = device_at(&connection);
                let cause = &error as &dyn std::error::Error;
                tracing::debug!(peer = %peer.short(), error = cause, "a call named no workspace");
                connection.close(VarInt::from_u32(link::CLOSE_BAD), b"no session was opened");
                return;
            }
        };
        match mesh_of(&self.meshes, call.workspace()) {
            Some(mesh) => mesh.answer(call),
            None => call.turn_away(turned_away).await,
        }
    }

    /// Opens a connection for blobs with a peer that a session was opened with.
    pub(super) fn call_for_blobs(self: &Arc<Self>, device: DeviceId) {
        let board = Arc::clone(self);
        self.spawn(async move {
            let Some(address) = board.address_of(&device) else { return };
            let call = board.endpoint.connect(address, blobs::ALPN);
            if let Ok(Ok(connection)) = timeout(DIAL_TIMEOUT, call).await {
                board.serve_blobs(connection).await;
            }
        });
    }

    /// Waits until blobs can be asked of all of these devices.
    pub(super) async fn reaches_blobs_of(&self, devices: &[DeviceId]) {
        let mut came = self.blobs_came.subscribe();
        let are_there = || {
            let held = locked(&self.blob_connections);
            devices.iter().all(|device| held.contains_key(device))
        };
        while !are_there() && came.changed().await.is_ok() {}
    }

    /// Serves blobs over a connection, from either side, and lets the fetchers use it meanwhile.
    async fn serve_blobs(&self, connection: Connection) {
        let device = device_at(&connection);
        if self.knows(&device) {
            locked(&self.blob_connections).insert(device, connection.clone());
            self.blobs_came.send_modify(|count| *count += 1);
            for mesh in open_meshes(&self.meshes) {
                if mesh.has_member(&device) {
                    mesh.blobs_reachable();
                }
            }
        }
        let id = connection.stable_id();
        self.provider.serve(connection.clone()).await;
        count(&mut locked(&self.ended), &connection);
        let mut connections = locked(&self.blob_connections);
        if connections.get(&device).is_some_and(|held| held.stable_id() == id) {
            connections.remove(&device);
        }
    }

    /// Closes what blobs come over to devices that are members of nothing here any more. Sessions
    /// see to themselves.
    pub(super) fn close_to_strangers(&self) {
        locked(&self.blob_connections).retain(|device, connection| {
            let stays = self.knows(device);
            if !stays {
                connection.close(blobs::CLOSE_NOT_A_MEMBER.into(), b"not a member");
            }
            stays
        });
    }

    /// Closes what blobs come over from a peer that was gone and is back: it opens another.
    pub(super) fn forget_blobs_of(&self, device: &DeviceId) {
        if let Some(stale) = locked(&self.blob_connections).remove(device) {
            stale.close(VarInt::from_u32(link::CLOSE_TWICE), b"there is another session");
        }
    }

    /// What moved over blob connections since the daemon started.
    pub(super) fn traffic(&self) -> Traffic {
        let mut traffic = *locked(&self.ended);
        for connection in locked(&self.blob_connections).values() {
            count(&mut traffic, connection);
        }
        traffic
    }
}

/// Adds what moved over a connection.
pub(super) fn count(traffic: &mut Traffic, connection: &Connection) {
    let stats = connection.stats();
    traffic.bytes_in += stats.udp_rx.bytes;
    traffic.bytes_out += stats.udp_tx.bytes;
}
