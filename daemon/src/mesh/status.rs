//! How the mesh stands, and waiting until it is still.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use runmesh_core::act::Role;
use runmesh_core::api::Traffic;
use runmesh_core::ids::DeviceId;
use tokio::time::{Instant, timeout_at};

use super::link::Link;
use super::{Inner, Mesh, locked, switchboard};
use crate::WriteError;

/// How a peer stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerStatus {
    /// Which.
    pub device: DeviceId,
    /// What it calls itself.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Whether a session is open, and both have said what they hold.
    pub connected: bool,
    /// When it was last met, in milliseconds since 1970.
    pub last_seen_ms: Option<u64>,
    /// Entries it holds that we lack, as far as is known.
    pub to_receive: u64,
    /// Entries we hold that it lacks, as far as is known.
    pub to_send: u64,
    /// Bytes that came in this session, entries and what is said about them.
    pub bytes_in: u64,
    /// Bytes that went out.
    pub bytes_out: u64,
    /// Bytes that came as UDP payload, with all that QUIC adds.
    pub wire_in: u64,
    /// Bytes that went out so.
    pub wire_out: u64,
    /// Entries that came in this session.
    pub entries_in: u64,
    /// Entries that went out.
    pub entries_out: u64,
    /// Why the last session or call ended badly, if it did.
    pub last_error: Option<String>,
    /// Journals that are not taken from it or by it, and why.
    pub stuck: Vec<String>,
}

/// What waiting came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Synced {
    /// Peers that hold the same as this device.
    pub peers: Vec<(DeviceId, String)>,
    /// Whether the wait ended because time was up.
    pub timed_out: bool,
}

impl Inner {
    /// Counts what moved over a link that has ended.
    pub(super) fn count(&self, link: &Link) {
        add(&mut locked(&self.ended), link);
    }
}

fn add(traffic: &mut Traffic, link: &Link) {
    switchboard::count(traffic, link.connection());
    traffic.entries_in += link.moved.entries_in.load(Ordering::Relaxed);
    traffic.entries_out += link.moved.entries_out.load(Ordering::Relaxed);
}

impl Mesh {
    /// What moved since the daemon started, as it was on the wire. Blobs of all workspaces go over
    /// the same connections, and are counted in each.
    pub fn traffic(&self) -> Traffic {
        let mut traffic = *locked(&self.inner.ended);
        for link in locked(&self.inner.links).values() {
            add(&mut traffic, link);
        }
        let blobs = self.inner.board.traffic();
        traffic.bytes_in += blobs.bytes_in;
        traffic.bytes_out += blobs.bytes_out;
        traffic
    }

    /// The other members, and how each stands.
    pub fn peers(&self) -> Vec<PeerStatus> {
        let inner = &self.inner;
        let (links, errors, book) = (
            locked(&inner.links).clone(),
            locked(&inner.errors).clone(),
            locked(&inner.board.book),
        );
        let membership = inner.membership();
        let others = membership.members().filter(|(device, _)| **device != inner.device);
        let peers = others.map(|(device, member)| {
            let link = links.get(device);
            let session = link.map(|link| link.status()).unwrap_or_default();
            let count = |counter: fn(&super::link::Moved) -> &std::sync::atomic::AtomicU64| {
                link.map_or(0, |link| counter(&link.moved).load(Ordering::Relaxed))
            };
            let wire = link.map(|link| link.connection().stats());
            let stuck = session.stuck.iter().chain(&session.refused);
            PeerStatus {
                device: *device,
                name: member.name.clone(),
                role: member.role,
                connected: session.met,
                last_seen_ms: book.contact(device).last_seen_ms,
                to_receive: session.to_receive,
                to_send: session.to_send,
                bytes_in: count(|moved| &moved.bytes_in),
                bytes_out: count(|moved| &moved.bytes_out),
                wire_in: wire.as_ref().map_or(0, |stats| stats.udp_rx.bytes),
                wire_out: wire.as_ref().map_or(0, |stats| stats.udp_tx.bytes),
                entries_in: count(|moved| &moved.entries_in),
                entries_out: count(|moved| &moved.entries_out),
                last_error: errors.get(device).cloned(),
                stuck: stuck.map(|(journal, why)| format!("{journal}: {why}")).collect(),
            }
        });
        peers.collect()
    }

    /// Waits until this device and every connected peer hold the same entries: everything that
    /// was edited on either before this was called. Waits for at least one peer.
    pub async fn sync_wait(&self, at_most: Duration) -> Result<Synced, WriteError> {
        let deadline = Instant::now() + at_most;
        self.inner.workspace.seal().await?;
        let mut progress = self.inner.progress.subscribe();
        // Not that of those who wait for no answer.
        let token = rand::random::<u32>() | 1;
        let mut asked: Vec<Arc<Link>> = Vec::new();
        loop {
            let links = locked(&self.inner.links).clone();
            for link in links.values() {
                if !asked.iter().any(|held| Arc::ptr_eq(held, link)) {
                    link.watch(token);
                    asked.push(Arc::clone(link));
                }
            }
            let same = |link: &Link| {
                let status = link.status();
                let nothing_to_do = status.to_send == 0 && status.to_receive == 0;
                status.met && status.sealed == Some(token) && nothing_to_do
            };
            let still = !links.is_empty() && links.values().all(|link| same(link));
            if still || Instant::now() >= deadline {
                let membership = self.inner.membership();
                let name = |device: &DeviceId| {
                    let members = membership.members().find(|(member, _)| *member == device);
                    members.map(|(_, member)| member.name.clone()).unwrap_or_default()
                };
                let agreeing = links.iter().filter(|(_, link)| same(link));
                let peers = agreeing.map(|(device, _)| (*device, name(device))).collect();
                return Ok(Synced { peers, timed_out: !still });
            }
            // Time being up is seen above; the sender lives as long as this.
            let _ = timeout_at(deadline, progress.changed()).await;
        }
    }
}
