//! Finding devices on the same LAN by mDNS.
//!
//! Invariants: only addresses of the LAN's kinds are said, and only such are believed: what anybody
//! on the LAN claims must not make this device call beyond it. That a device is there says nothing
//! about who it is; the handshake does. However many names are said there, a limited number is kept.
//!
//! iroh-mdns-address-lookup speaks on the network of the default route alone, so it is of no use on
//! a LAN without a router. What it is made of is used instead.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE32_NOPAD;
use iroh::{Endpoint, Watcher};
use runmesh_core::ids::DeviceId;
use swarm_discovery::{Discoverer, DropGuard, Peer, SpawnError};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout_at};

/// The service that devices look for: `_runmesh._udp.local`.
const SERVICE: &str = "runmesh";
/// How long to wait, about, between two questions to the LAN, whoever asks them.
const CADENCE: Duration = Duration::from_secs(4);
/// How many devices answer each second at most, however many there are.
const ANSWERS_A_SECOND: f32 = 1.0;
/// After this long the sockets are made anew: one that failed is not told of.
const RENEW_AFTER: Duration = Duration::from_secs(300);
/// The most names that are heard before all are forgotten: each is kept for a time that grows with
/// their number. A name comes in a packet of 1,472 bytes at most.
const MAX_NAMES: usize = 4096;
/// For how long nothing is heard and nothing said after so many.
const PAUSE: Duration = Duration::from_secs(60);
/// The most addresses that are said, or believed of one device.
const MAX_ADDRESSES: usize = 8;

/// Says on the LAN where this device is, and tells `found` where others are, for as long as it is
/// polled. Without mDNS, which some systems do not allow, the mesh works as it does between
/// networks.
pub(super) async fn look_around(
    endpoint: Endpoint,
    found: impl Fn(DeviceId, Vec<SocketAddr>) + Clone + Send + Sync + 'static,
) {
    let mut watcher = endpoint.watch_addr();
    loop {
        let own = kept(watcher.get().ip_addrs());
        let too_many = Arc::new(Notify::new());
        let names = Names { heard: HashSet::new(), too_many: Arc::clone(&too_many) };
        let speaking = (!own.is_empty()).then(|| speak(&endpoint, &own, names, found.clone()));
        if let Some(Err(error)) = &speaking {
            let error = &**error as &dyn std::error::Error;
            tracing::warn!(error, "devices on the LAN cannot be looked for by mDNS");
        }
        let until = Instant::now() + RENEW_AFTER;
        loop {
            let updated = tokio::select! {
                updated = timeout_at(until, watcher.updated()) => updated,
                () = too_many.notified() => {
                    tracing::warn!(
                        names = MAX_NAMES,
                        "too many devices on the LAN say that they are there: for a minute, none is heard"
                    );
                    // What is kept of them goes with this.
                    drop(speaking);
                    sleep(PAUSE).await;
                    break;
                }
            };
            match updated {
                Ok(Ok(address)) if kept(address.ip_addrs()) == own => {}
                Ok(Err(_)) => return,
                Ok(Ok(_)) | Err(_) => break,
            }
        }
    }
}

/// The names that were heard since the sockets were made.
struct Names {
    heard: HashSet<String>,
    too_many: Arc<Notify>,
}

impl Names {
    /// Notes one; returns whether it is within the limit.
    fn note(&mut self, name: &str) -> bool {
        if self.heard.contains(name) {
            return true;
        }
        let has_room = self.heard.len() < MAX_NAMES;
        if has_room {
            self.heard.insert(name.to_owned());
        } else {
            self.too_many.notify_one();
        }
        has_room
    }
}

fn speak(
    endpoint: &Endpoint,
    own: &[SocketAddr],
    mut names: Names,
    found: impl Fn(DeviceId, Vec<SocketAddr>) + Send + 'static,
) -> Result<DropGuard, Box<SpawnError>> {
    let own_device = DeviceId::new(*endpoint.id().as_bytes());
    let heard = move |name: &str, peer: &Peer| {
        let is_kept = names.note(name);
        let Some(device) = device_called(name).filter(|device| is_kept && *device != own_device)
        else {
            return;
        };
        let addresses: Vec<_> = peer.addrs().iter().map(|at| SocketAddr::from(*at)).collect();
        found(device, kept(addresses.iter()));
    };
    let networks = own.iter().filter_map(|address| match address.ip() {
        IpAddr::V4(ip) => Some(ip),
        IpAddr::V6(_) => None,
    });
    let discoverer = Discoverer::new(SERVICE.to_owned(), name_of(&own_device))
        .with_cadence(CADENCE)
        .with_response_rate(ANSWERS_A_SECOND)
        .with_multicast_interfaces_v4(networks.collect())
        .with_callback(heard);
    let say = |discoverer: Discoverer, at: &SocketAddr| discoverer.with_addrs(at.port(), [at.ip()]);
    own.iter().fold(discoverer, say).spawn(&Handle::current()).map_err(Box::new)
}

/// What a device is called on the LAN: hexadecimal would be too long.
fn name_of(device: &DeviceId) -> String {
    BASE32_NOPAD.encode(device.as_bytes()).to_ascii_lowercase()
}

fn device_called(name: &str) -> Option<DeviceId> {
    let bytes = BASE32_NOPAD.decode(name.to_ascii_uppercase().as_bytes()).ok()?;
    Some(DeviceId::new(bytes.try_into().ok()?))
}

fn kept<'a>(addresses: impl Iterator<Item = &'a SocketAddr>) -> Vec<SocketAddr> {
    let of_lan = addresses.filter(|address| is_of_lan(address.ip()) && address.port() != 0);
    of_lan.take(MAX_ADDRESSES).copied().collect()
}

/// Whether an address is of a kind that only the networks around use.
fn is_of_lan(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_private() || ip.is_link_local(),
        // Link-local ones say nothing without the name of an interface.
        IpAddr::V6(ip) => ip.is_unique_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_a_lan_are_said_and_believed() {
        for near in ["10.1.2.3", "172.16.0.9", "192.168.1.7", "169.254.3.4", "fd00::1"] {
            assert!(is_of_lan(near.parse().unwrap()), "{near}");
        }
        for far in
            ["8.8.8.8", "172.32.0.1", "127.0.0.1", "0.0.0.0", "2001:db8::1", "fe80::1", "::1"]
        {
            assert!(!is_of_lan(far.parse().unwrap()), "{far}");
        }
    }

    #[tokio::test]
    async fn who_says_too_many_names_is_not_heard() {
        let too_many = Arc::new(Notify::new());
        let mut names = Names { heard: HashSet::new(), too_many: Arc::clone(&too_many) };
        for number in 0..MAX_NAMES {
            assert!(names.note(&number.to_string()));
        }
        assert!(names.note("7"), "it is known");
        assert!(!names.note("one more"));
        assert_eq!(names.heard.len(), MAX_NAMES);
        too_many.notified().await;
    }

    #[test]
    fn a_device_is_named_by_its_key_however_it_is_written() {
        let device = DeviceId::new([0xa7; 32]);
        let name = name_of(&device);
        // A DNS label holds 63 bytes.
        assert!(name.len() <= 63);
        assert_eq!(device_called(&name), Some(device));
        assert_eq!(device_called(&name.to_ascii_uppercase()), Some(device));
        assert_eq!(device_called("printer"), None);
        assert_eq!(device_called(&name[1..]), None);
    }
}
