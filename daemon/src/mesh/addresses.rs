//! The address book: where peers were reached, kept in the home over restarts.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use runmesh_core::ids::DeviceId;
use serde::{Deserialize, Serialize};

/// The most addresses that are kept of one peer.
const MAX_ADDRESSES: usize = 16;

/// What is known of where a peer is.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Contact {
    /// Where it may be, the most recent first.
    pub(super) addresses: Vec<SocketAddr>,
    /// When it was last heard of.
    pub(super) last_seen_ms: Option<u64>,
}

/// Where peers were reached.
#[derive(Debug)]
pub(super) struct AddressBook {
    file: PathBuf,
    contacts: BTreeMap<String, Contact>,
}

impl AddressBook {
    /// Reads the book. One that cannot be read is begun anew: it is a convenience.
    pub(super) fn open(file: PathBuf) -> Self {
        let contacts = std::fs::read(&file)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default();
        Self { file, contacts }
    }

    /// What is known of a peer.
    pub(super) fn contact(&self, device: &DeviceId) -> Contact {
        self.contacts.get(&device.to_string()).cloned().unwrap_or_default()
    }

    /// Notes where a peer may be.
    pub(super) fn note(&mut self, device: &DeviceId, addresses: &[SocketAddr]) {
        let contact = self.contacts.entry(device.to_string()).or_default();
        let before = contact.addresses.clone();
        for address in addresses.iter().rev() {
            contact.addresses.retain(|held| held != address);
            contact.addresses.insert(0, *address);
        }
        contact.addresses.truncate(MAX_ADDRESSES);
        if contact.addresses != before {
            self.save();
        }
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
