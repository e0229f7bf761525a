//! What is asked about the daemon of a home.

use std::net::SocketAddr;

use clap::{Args as ClapArgs, Subcommand};
use runmesh_core::ticket::Contact;
use runmesh_daemon::config::{BlobPolicy, RelayUrl, WebhookPolicy, parse_relay};

#[derive(Debug, Default, ClapArgs)]
pub(crate) struct Up {
    /// Run in the background
    #[arg(long, short)]
    pub(crate) detach: bool,
    /// Where HTTP listens; port 0 is any that is free [default: 127.0.0.1:4747]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) http: Option<SocketAddr>,
    /// The UDP port for other devices [default: the one of last time, first 4747]
    #[arg(long, value_name = "PORT")]
    pub(crate) peer_port: Option<u16>,
    /// Whether to look for members on the LAN, and to be found there [default: true]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub(crate) mdns: Option<bool>,
    /// Where a member is that nothing else tells of; repeatable
    #[arg(long = "peer", value_name = "DEVICE@IP:PORT")]
    pub(crate) peers: Vec<Contact>,
    /// Your own iroh-relay, for members that cannot reach each other otherwise [default: none]
    #[arg(long, value_name = "URL", value_parser = parse_relay)]
    pub(crate) relay: Option<RelayUrl>,
    /// Which blobs to fetch unasked: all, none or small:SIZE [default: small:16MiB]
    #[arg(long, value_name = "POLICY")]
    pub(crate) blobs: Option<BlobPolicy>,
    /// A name other than loopback's that clients may use for this machine; repeatable
    #[arg(long = "allowed-host", value_name = "NAME")]
    pub(crate) allowed_hosts: Vec<String>,
    /// Whether ML clients need the token [default: if others can log in to this machine]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    pub(crate) require_token: Option<bool>,
    /// Where webhooks may be sent: public (https to the internet) or any [default: public]
    #[arg(long, value_name = "POLICY")]
    pub(crate) webhooks: Option<WebhookPolicy>,
    /// What this device is called [default: the host's name]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Leave the terminal's session: what --detach starts
    #[arg(long, hide = true)]
    pub(crate) background: bool,
    /// Stop when standard input ends: for a parent that may be killed
    #[arg(long, hide = true)]
    pub(crate) with_parent: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ServiceAsked {
    /// Write the unit, and start it where systemd runs
    Install(Service),
    /// Stop the unit and remove it; the home stays
    Uninstall(Service),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Service {
    /// One daemon for the whole machine, under a user of its own, with its home in /var/lib/runmesh
    #[arg(long)]
    pub(crate) system: bool,
}
