//! Where devices are: what members tell each other of it, and what becomes of such news.
//!
//! Invariants: members of a workspace are told of nobody but its members; what they say is a place
//! to call and nothing more, for who answers there must have the device's key; this device is told
//! nothing about itself.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use iroh::endpoint::Connection;
use iroh::{TransportAddr, Watcher};
use runmesh_core::ids::DeviceId;
use runmesh_core::sync::MAX_CONTACT_ADDRESSES;
use runmesh_core::ticket::Contact;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::addresses::is_place;
use super::{Inner, endpoint, locked};
use crate::workspace::Workspace;

/// How long to wait after peers were told where devices are, before they are told again.
const TELL_AT_MOST_EVERY: Duration = Duration::from_secs(2);

/// What peers are told of where devices are.
#[derive(Debug, Default)]
pub(super) struct Contacts {
    told: watch::Sender<Vec<Contact>>,
    moved: Notify,
}

impl Contacts {
    /// To be called when a peer was reached, maybe where it was not before.
    pub(super) fn met_somebody(&self) {
        self.moved.notify_one();
    }

    /// Changes when peers are to be told anew, and has changed for who has not told its peer yet.
    pub(super) fn subscribe(&self) -> watch::Receiver<Vec<Contact>> {
        let mut told = self.told.subscribe();
        told.mark_changed();
        told
    }
}

/// Where the other end of a connection is.
pub(super) fn places_of(connection: &Connection) -> Vec<SocketAddr> {
    let paths = connection.paths();
    let places = paths.iter().filter_map(|path| match path.remote_addr() {
        TransportAddr::Ip(address) => Some(*address),
        _ => None,
    });
    places.collect()
}

fn is_on_this_machine(connection: &Connection) -> bool {
    places_of(connection).iter().any(|address| address.ip().is_loopback())
}

impl Inner {
    /// Keeps what peers are told up to date, and calls everybody when this device has moved.
    pub(super) async fn follow_addresses(self: Arc<Self>) {
        let mut watcher = self.board.endpoint.watch_addr();
        let mut before = None;
        loop {
            let own = endpoint::addresses(&self.board.endpoint);
            if before.as_ref().is_some_and(|before| *before != own) {
                locked(&self.attempts).clear();
                self.call_now.notify_one();
            }
            self.tell(&own);
            before = Some(own);
            tokio::time::sleep(TELL_AT_MOST_EVERY).await;
            tokio::select! {
                moved = watcher.updated() => if moved.is_err() { return },
                () = self.contacts.moved.notified() => {}
            }
        }
    }

    fn tell(&self, own: &[SocketAddr]) {
        let membership = self.membership();
        let others = membership.members().map(|(device, _)| *device);
        let others = others.filter(|device| *device != self.device);
        let mut all = vec![Contact { device: self.device, addresses: own.to_vec() }];
        all.extend(locked(&self.board.book).to_tell(others));
        self.contacts.told.send_if_modified(|told| {
            let is_news = *told != all;
            *told = all;
            is_news
        });
    }

    /// What a peer is told in a session over a workspace.
    pub(super) fn contacts_for(&self, workspace: &Workspace, peer: &Connection) -> Vec<Contact> {
        let (membership, same_machine) = (self.membership(), is_on_this_machine(peer));
        let is_joining = workspace.id() != self.workspace.id();
        let concerns = |contact: &Contact| {
            contact.device == self.device
                || (!is_joining
                    && contact.device != super::device_at(peer)
                    && membership.role(&contact.device).is_some())
        };
        let told = self.contacts.told.borrow();
        let told = told.iter().filter(|contact| concerns(contact)).cloned();
        let told = told.map(|mut contact| {
            contact.addresses.retain(|address| is_place(address, same_machine));
            contact.addresses.truncate(MAX_CONTACT_ADDRESSES);
            contact
        });
        told.filter(|contact| !contact.addresses.is_empty()).collect()
    }

    /// Takes in what a peer says of where devices are.
    pub(super) fn learn(&self, peer: &Connection, mut told: Vec<Contact>) {
        let same_machine = is_on_this_machine(peer);
        told.retain(|contact| contact.device != self.device);
        for contact in &mut told {
            contact.addresses.retain(|address| is_place(address, same_machine));
        }
        let news = locked(&self.board.book).learn(&told, |device| self.board.knows(device));
        self.call_soon(&news);
    }

    /// Calls devices of which there is news, if they are members that no session is open with.
    pub(super) fn call_soon(&self, devices: &[DeviceId]) {
        let membership = self.membership();
        let mut attempts = locked(&self.attempts);
        for device in devices.iter().filter(|device| membership.role(device).is_some()) {
            if let Some(attempt) = attempts.get_mut(device) {
                attempt.failures = 0;
                attempt.next = Instant::now();
            }
        }
        drop(attempts);
        self.call_now.notify_one();
    }
}
