//! The iroh endpoint: how this device is reached, and nothing that reaches beyond.
//!
//! Invariants: no relay but one that is configured, no DNS but for its name, no publishing of
//! addresses, no port mapping (iroh is built without its port mapper); what leaves this device goes
//! to addresses that a ticket, a peer, mDNS on the LAN or the configuration named.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use iroh::endpoint::presets;
use iroh::{Endpoint, RelayMode, SecretKey};
use runmesh_core::sync::ALPN;

use crate::blobs;
use crate::config::{Config, DEFAULT_PORT};
use crate::home::Home;

/// Why the endpoint could not be made.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// The port is taken.
    #[error("UDP port {port} cannot be used; choose another with `--peer-port PORT`")]
    Port {
        /// The port.
        port: u16,
        /// Why not.
        #[source]
        source: iroh::endpoint::BindError,
    },
    /// No port can be used.
    #[error("no UDP port can be used for peers")]
    NoPort(#[source] iroh::endpoint::BindError),
}

/// Makes the endpoint on the port that was chosen, or else on that of last time, or else on the
/// default one, or else on any: a ticket names the port, so it should stay.
pub(super) async fn bind(home: &Home, config: &Config) -> Result<Endpoint, EndpointError> {
    let bind_port = |port| bind_port(home, config, port);
    if let Some(port) = config.peer_port {
        let bound = bind_port(port).await;
        return bound.map_err(|source| EndpointError::Port { port, source });
    }
    let last = home.last_peer_port().unwrap_or_default();
    for port in last.into_iter().chain([DEFAULT_PORT]) {
        if let Ok(endpoint) = bind_port(port).await {
            return Ok(endpoint);
        }
    }
    bind_port(0).await.map_err(EndpointError::NoPort)
}

async fn bind_port(
    home: &Home,
    config: &Config,
    port: u16,
) -> Result<Endpoint, iroh::endpoint::BindError> {
    let relays = || match &config.relay {
        Some(relay) => RelayMode::custom([relay.clone()]),
        None => RelayMode::Disabled,
    };
    let builder = |addresses: &[SocketAddr]| {
        let builder = Endpoint::builder(presets::Minimal)
            .clear_address_lookup()
            .clear_ip_transports()
            .relay_mode(relays())
            .secret_key(SecretKey::from_bytes(home.device_secret()))
            .alpns(vec![ALPN.to_vec(), blobs::ALPN.to_vec()]);
        addresses.iter().fold(builder, |builder, address| {
            builder.bind_addr(*address).expect("an address in the form that iroh takes")
        })
    };
    let v4 = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
    let v6 = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
    match builder(&[v4, v6]).bind().await {
        Ok(endpoint) => Ok(endpoint),
        // A machine without IPv6 is still reached by IPv4.
        Err(_) => builder(&[v4]).bind().await,
    }
}

/// Where other devices can reach an endpoint: its addresses of this machine's networks.
pub(super) fn addresses(endpoint: &Endpoint) -> Vec<SocketAddr> {
    let mut addresses: Vec<_> = endpoint.addr().ip_addrs().copied().collect();
    // Loopback last: it is only of use on the same machine.
    addresses.sort_by_key(|address| (address.ip().is_loopback(), *address));
    let has_loopback = addresses.iter().any(|address| address.ip().is_loopback());
    let port =
        endpoint.bound_sockets().iter().find(|socket| socket.is_ipv4()).map(SocketAddr::port);
    if let (false, Some(port)) = (has_loopback, port) {
        addresses.push(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    }
    addresses
}
