//! The address book: where peers may be, kept in the home over restarts.
//!
//! Invariants: where a peer was reached comes first, and nothing that anybody says takes its place;
//! what mDNS and the configuration say is not kept. The book is bounded, whatever members tell.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use iroh::{EndpointAddr, RelayUrl};
use runmesh_core::ids::DeviceId;
use runmesh_core::sync::MAX_CONTACTS;
use runmesh_core::ticket;
use serde::{Deserialize, Serialize};

use super::endpoint_id;
use crate::config::Config;

/// The most addresses that are kept of one peer.
const MAX_ADDRESSES: usize = 16;
/// The most addresses that are kept of those that it or others told of one peer.
const MAX_HEARSAY: usize = 16;
/// The most devices in the book of which nothing but hearsay is known.
const MAX_UNSEEN: usize = 1024;
/// The most devices of the LAN that are kept in mind: anybody there can claim to be many.
const MAX_NEARBY: usize = 1024;
/// The most addresses of one device that others are told.
const MAX_TOLD: usize = 4;

/// What is known of where a peer is.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Contact {
    /// Where it was reached, the most recent first.
    pub(super) addresses: Vec<SocketAddr>,
    /// Where it, others or a ticket said it is, the most recent first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    hearsay: Vec<SocketAddr>,
    /// When it was last heard of.
    pub(super) last_seen_ms: Option<u64>,
}

/// Where peers may be.
#[derive(Debug)]
pub(super) struct AddressBook {
    file: PathBuf,
    contacts: BTreeMap<String, Contact>,
    configured: Vec<ticket::Contact>,
    /// Where everybody can be reached who has the same one configured.
    relay: Option<RelayUrl>,
    /// The devices that mDNS tells of, members or not.
    nearby: BTreeMap<DeviceId, Vec<SocketAddr>>,
}

impl AddressBook {
    /// Reads the book. One that cannot be read is begun anew: it is a convenience.
    pub(super) fn open(file: PathBuf, config: &Config) -> Self {
        let contacts = std::fs::read(&file)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default();
        let (configured, relay) = (config.peers.clone(), config.relay.clone());
        Self { file, contacts, configured, relay, nearby: BTreeMap::new() }
    }

    /// What is known of a peer that was met.
    pub(super) fn contact(&self, device: &DeviceId) -> Contact {
        self.contacts.get(&device.to_string()).cloned().unwrap_or_default()
    }

    /// Everywhere that a peer may be, the likeliest first.
    pub(super) fn places(&self, device: &DeviceId) -> Vec<SocketAddr> {
        let Contact { addresses, hearsay, .. } = self.contact(device);
        let configured = self.configured.iter().filter(|contact| contact.device == *device);
        let configured = configured.flat_map(|contact| contact.addresses.iter().copied());
        let nearby = self.nearby.get(device).into_iter().flatten().copied();
        let mut places: Vec<SocketAddr> = Vec::new();
        for place in addresses.into_iter().chain(configured).chain(nearby).chain(hearsay) {
            if !places.contains(&place) {
                places.push(place);
            }
        }
        places
    }

    /// How to call a peer from a device that is at `own`; none if that is not known. A ticket may
    /// say that it is at `others` too.
    pub(super) fn address_of(
        &self,
        device: &DeviceId,
        others: &[SocketAddr],
        own: &[SocketAddr],
    ) -> Option<EndpointAddr> {
        let mut places = others.to_vec();
        places.extend(self.places(device));
        keep_others(&mut places, own, &self.contact(device).addresses);
        let mut address = EndpointAddr::new(endpoint_id(device)?);
        address = places.into_iter().fold(address, EndpointAddr::with_ip_addr);
        if let Some(relay) = &self.relay {
            address = address.with_relay_url(relay.clone());
        }
        (!address.is_empty()).then_some(address)
    }

    /// Notes where a peer was reached. Nobody else is there any more.
    pub(super) fn note(&mut self, device: &DeviceId, addresses: &[SocketAddr]) {
        let name = device.to_string();
        let others = self.contacts.iter_mut().filter(|(other, _)| **other != name);
        for (_, contact) in others {
            contact.addresses.retain(|held| !addresses.contains(held));
            contact.hearsay.retain(|held| !addresses.contains(held));
        }
        let contact = self.contacts.entry(name).or_default();
        if put_first(&mut contact.addresses, addresses, MAX_ADDRESSES) {
            self.save();
        }
    }

    /// Notes where a device is on the LAN; nowhere, if it is gone. Strangers make room for members.
    /// Returns whether that is news.
    pub(super) fn note_nearby(
        &mut self,
        device: DeviceId,
        addresses: Vec<SocketAddr>,
        is_member: impl Fn(&DeviceId) -> bool,
    ) -> bool {
        if addresses.is_empty() {
            self.nearby.remove(&device);
            return false;
        }
        if self.nearby.len() >= MAX_NEARBY && !self.nearby.contains_key(&device) {
            let stranger = self.nearby.keys().find(|held| !is_member(held)).copied();
            let Some(stranger) = stranger.filter(|_| is_member(&device)) else { return false };
            self.nearby.remove(&stranger);
        }
        self.nearby.insert(device, addresses.clone()) != Some(addresses)
    }

    /// Notes where peers are, as one of them says. Returns of whom that is news.
    pub(super) fn learn(
        &mut self,
        told: &[ticket::Contact],
        is_member: impl Fn(&DeviceId) -> bool,
    ) -> Vec<DeviceId> {
        let mut news = Vec::new();
        for ticket::Contact { device, addresses } in told {
            if self.has_room_for(device, &is_member) {
                let contact = self.contacts.entry(device.to_string()).or_default();
                let is_new = |at: &SocketAddr| !contact.addresses.contains(at);
                let others: Vec<_> = addresses.iter().filter(|at| is_new(at)).copied().collect();
                if put_first(&mut contact.hearsay, &others, MAX_HEARSAY) {
                    news.push(*device);
                }
            }
        }
        if !news.is_empty() {
            self.save();
        }
        news
    }

    /// Whether a device is in the book or may come into it by hearsay. Strangers make room.
    fn has_room_for(&mut self, device: &DeviceId, is_member: impl Fn(&DeviceId) -> bool) -> bool {
        if self.contacts.contains_key(&device.to_string()) {
            return true;
        }
        let unseen = |contact: &Contact| contact.addresses.is_empty();
        let count = |book: &Self| book.contacts.values().filter(|held| unseen(held)).count();
        if count(self) >= MAX_UNSEEN {
            self.contacts.retain(|name, contact| {
                !unseen(contact) || name.parse().is_ok_and(|device| is_member(&device))
            });
        }
        count(self) < MAX_UNSEEN
    }

    /// Where members were reached, for other members: those seen last.
    pub(super) fn to_tell(&self, members: impl Iterator<Item = DeviceId>) -> Vec<ticket::Contact> {
        let mut seen: Vec<_> = members
            .filter_map(|device| {
                let Contact { mut addresses, last_seen_ms, .. } = self.contact(&device);
                addresses.truncate(MAX_TOLD);
                let seen = last_seen_ms.filter(|_| !addresses.is_empty())?;
                Some((seen, ticket::Contact { device, addresses }))
            })
            .collect();
        seen.sort_by_key(|(seen, _)| std::cmp::Reverse(*seen));
        seen.truncate(MAX_CONTACTS / 4);
        // Whom was met last is no news by itself.
        let mut told: Vec<_> = seen.into_iter().map(|(_, contact)| contact).collect();
        told.sort_by_key(|contact| contact.device);
        told
    }

    /// Notes that a peer was heard of.
    pub(super) fn seen(&mut self, device: &DeviceId, now_ms: u64) {
        self.contacts.entry(device.to_string()).or_default().last_seen_ms = Some(now_ms);
        self.save();
    }

    fn save(&self) {
        let json = serde_json::to_vec_pretty(&self.contacts).expect("a map of texts is JSON");
        let new = self.file.with_extension("new");
        let saved = std::fs::write(&new, json).and_then(|()| std::fs::rename(&new, &self.file));
        if let Err(error) = saved {
            tracing::warn!(%error, "the peers' addresses could not be saved");
        }
    }
}

/// Drops from where a peer may be where this device itself is: who answers first ends the call if
/// it is another. So does who listens at the same port of this machine as the peer does of its own,
/// if the peer was not reached by loopback and may be elsewhere.
fn keep_others(places: &mut Vec<SocketAddr>, own: &[SocketAddr], reached: &[SocketAddr]) {
    let is_own_port = |port| own.iter().any(|own| own.port() == port);
    let is_own_ip = |ip: IpAddr| ip.is_loopback() || own.iter().any(|own| own.ip() == ip);
    let elsewhere = places.iter().any(|place| !is_own_ip(place.ip()));
    places.retain(|place| {
        let is_own = is_own_ip(place.ip()) && is_own_port(place.port());
        let strays = place.ip().is_loopback() && elsewhere && !reached.contains(place);
        !is_own && !strays
    });
}

/// Puts addresses before those that are held. Returns whether any was not held.
fn put_first(held: &mut Vec<SocketAddr>, addresses: &[SocketAddr], limit: usize) -> bool {
    let before = held.clone();
    for address in addresses.iter().rev() {
        held.retain(|held| held != address);
        held.insert(0, *address);
    }
    held.truncate(limit);
    *held != before
}

/// Whether an address that somebody names can be called from elsewhere, or, if it is of loopback,
/// from the same machine.
pub(super) fn is_place(address: &SocketAddr, same_machine: bool) -> bool {
    let ip = address.ip();
    let one_device = match ip {
        IpAddr::V4(ip) => !ip.is_broadcast(),
        // Link-local ones say nothing without the name of an interface.
        IpAddr::V6(ip) => !ip.is_unicast_link_local(),
    };
    let here = ip.is_loopback();
    address.port() != 0
        && one_device
        && !ip.is_unspecified()
        && !ip.is_multicast()
        && (same_machine || !here)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn device(number: u32) -> DeviceId {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&number.to_le_bytes());
        DeviceId::new(bytes)
    }

    fn contact(number: u32, address: &str) -> ticket::Contact {
        ticket::Contact { device: device(number), addresses: vec![at(address)] }
    }

    fn book() -> (tempfile::TempDir, AddressBook) {
        let folder = tempfile::tempdir().unwrap();
        let config = Config { peers: vec![contact(7, "192.0.2.7:7")], ..Config::default() };
        let book = AddressBook::open(folder.path().join("peers.json"), &config);
        (folder, book)
    }

    #[test]
    fn where_a_peer_was_reached_comes_before_what_is_said_of_it() {
        let (folder, mut book) = book();
        book.note(&device(7), &[at("10.0.0.1:1"), at("10.0.0.2:1")]);
        assert!(book.note_nearby(device(7), vec![at("10.0.0.3:1")], |_| true));
        assert!(!book.note_nearby(device(7), vec![at("10.0.0.3:1")], |_| true), "it is known");
        let told = contact(7, "10.0.0.4:1");
        assert_eq!(book.learn(std::slice::from_ref(&told), |_| true), [device(7)]);
        assert!(book.learn(&[told], |_| true).is_empty(), "it is known");
        let places =
            ["10.0.0.1:1", "10.0.0.2:1", "192.0.2.7:7", "10.0.0.3:1", "10.0.0.4:1"].map(at);
        assert_eq!(book.places(&device(7)), places);
        book.note_nearby(device(7), Vec::new(), |_| true);
        let again = AddressBook::open(folder.path().join("peers.json"), &Config::default());
        assert_eq!(again.places(&device(7)), ["10.0.0.1:1", "10.0.0.2:1", "10.0.0.4:1"].map(at));
    }

    #[test]
    fn nobody_calls_itself_for_another() {
        let own = ["10.0.0.2:4747", "172.17.0.1:4747", "127.0.0.1:4747"].map(at);
        let left = |places: &[&str], reached: &[&str]| {
            let mut places: Vec<_> = places.iter().map(|text| at(text)).collect();
            let reached: Vec<_> = reached.iter().map(|text| at(text)).collect();
            keep_others(&mut places, &own, &reached);
            places.iter().map(SocketAddr::to_string).collect::<Vec<_>>()
        };
        // Another machine, whose daemon has the default port too, and its own docker's bridge.
        let ticket = ["10.0.0.1:4747", "172.17.0.1:4747", "127.0.0.1:4747"];
        assert_eq!(left(&ticket, &[]), ["10.0.0.1:4747"]);
        let ticket = ["10.0.0.1:9", "127.0.0.1:9"];
        assert_eq!(left(&ticket, &[]), ["10.0.0.1:9"]);
        // Another daemon of this machine, before and after the machine has moved.
        assert_eq!(left(&["10.0.0.2:9", "127.0.0.1:9"], &[]), ["10.0.0.2:9", "127.0.0.1:9"]);
        assert_eq!(left(&ticket, &["127.0.0.1:9"]), ticket);
    }

    #[test]
    fn an_address_that_another_took_over_is_forgotten() {
        let (_folder, mut book) = book();
        book.note(&device(2), &[at("10.0.0.2:1"), at("10.0.0.3:1")]);
        book.learn(&[contact(3, "10.0.0.2:1")], |_| true);
        book.note(&device(4), &[at("10.0.0.2:1")]);
        assert_eq!(book.places(&device(2)), [at("10.0.0.3:1")]);
        assert!(book.places(&device(3)).is_empty());
        assert_eq!(book.places(&device(4)), [at("10.0.0.2:1")]);
    }

    #[test]
    fn strangers_on_the_lan_keep_no_member_out() {
        let (_folder, mut book) = book();
        let is_member = |asked: &DeviceId| *asked == device(2);
        for stranger in 100..100 + MAX_NEARBY as u32 {
            assert!(book.note_nearby(device(stranger), vec![at("10.9.9.9:9")], is_member));
        }
        assert!(!book.note_nearby(device(3), vec![at("10.0.0.3:1")], is_member));
        assert!(book.note_nearby(device(2), vec![at("10.0.0.2:1")], is_member));
        assert_eq!(book.places(&device(2)), [at("10.0.0.2:1")]);
        assert_eq!(book.nearby.len(), MAX_NEARBY);
    }

    #[test]
    fn hearsay_is_bounded_and_members_stay() {
        let (_folder, mut book) = book();
        let is_member = |asked: &DeviceId| (0..5).map(device).any(|member| member == *asked);
        book.learn(&[contact(0, "10.0.0.1:1")], is_member);
        let many = (100..100 + MAX_UNSEEN as u32 + 9).map(|n| contact(n, "10.9.9.9:9"));
        let many: Vec<_> = many.collect();
        book.learn(&many, is_member);
        assert!(book.contacts.len() <= MAX_UNSEEN);
        for place in 0..99 {
            let place = format!("10.0.1.{place}:1");
            book.learn(&[contact(1, &place)], is_member);
        }
        assert_eq!(book.places(&device(0)), [at("10.0.0.1:1")]);
        assert_eq!(book.places(&device(1)).len(), MAX_HEARSAY);
        assert_eq!(book.places(&device(1))[0], at("10.0.1.98:1"));
    }

    #[test]
    fn others_are_told_of_those_that_were_seen() {
        let (_folder, mut book) = book();
        book.note(&device(2), &[at("10.0.0.2:1")]);
        book.learn(&[contact(3, "10.0.0.3:1")], |_| true);
        assert_eq!(book.to_tell([device(2), device(3)].into_iter()), []);
        book.seen(&device(2), 5);
        let told = book.to_tell([device(2), device(3)].into_iter());
        assert_eq!(told, [contact(2, "10.0.0.2:1")]);
    }

    #[test]
    fn what_cannot_be_called_is_no_place() {
        for good in ["10.1.2.3:1", "130.1.2.3:4747", "[fd00::1]:1", "[2001:db8::1]:1"] {
            assert!(is_place(&at(good), false), "{good}");
        }
        for bad in ["10.1.2.3:0", "0.0.0.0:1", "224.0.0.1:1", "255.255.255.255:1", "[::]:1"] {
            assert!(!is_place(&at(bad), true), "{bad}");
        }
        assert!(!is_place(&at("127.0.0.1:1"), false) && is_place(&at("127.0.0.1:1"), true));
        assert!(!is_place(&at("[fe80::1]:1"), true) && !is_place(&at("[::1]:1"), false));
    }
}
