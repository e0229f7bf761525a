//! Acts: operations that say who is a member.
//!
//! Every act names the acts that its author had seen, so that acts form a graph and every device
//! can tell which were concurrent. `docs/data.md` describes the bytes; kinds that this version
//! does not know are kept and forwarded like any operation.

use std::collections::BTreeMap;

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};

use crate::codec::{DecodeError, Reader, put_bytes, put_varint};
use crate::ids::{DeviceId, DocumentId, Incarnation, JournalId, WorkspaceId};
use crate::operation::OperationHash;

/// The longest name of a device or a workspace, in bytes.
pub const MAX_NAME_BYTES: usize = 256;
/// The most acts one act can name as seen.
pub const MAX_SEEN: usize = 1024;
/// The most journals of a device that one act can cut.
pub const MAX_CUTS: usize = 1024;

/// What names an act: its operation and the journal that it stands in, so that whoever copies an
/// operation into another journal makes another act.
pub type ActId = [u8; 32];

/// How many entries of each of a device's journals count, by incarnation; of others, none.
pub type Cuts = BTreeMap<Incarnation, u64>;

/// The name of the act that an operation in a journal holds.
pub fn act_id(journal: &JournalId, operation: &OperationHash) -> ActId {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"runmesh/act/1");
    hasher.update(journal.device.as_bytes());
    hasher.update(journal.incarnation.as_bytes());
    hasher.update(operation);
    hasher.finalize().into()
}

/// What a member may do. The numbers are part of the signed format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Role {
    /// Reads.
    Reader = 0,
    /// Reads and writes.
    Writer = 1,
    /// Reads, writes, and says who is a member.
    Admin = 2,
}

impl Role {
    /// The word that people and programs use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reader => "reader",
            Self::Writer => "writer",
            Self::Admin => "admin",
        }
    }

    const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Reader),
            1 => Some(Self::Writer),
            2 => Some(Self::Admin),
            _ => None,
        }
    }
}

/// A membership act, and the last acts its author had seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Act {
    /// What it says.
    pub kind: ActKind,
    /// The acts seen that no other act seen had named, in order.
    pub seen: Vec<ActId>,
}

/// What an act says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ActKind {
    /// The founder's first word: makes the workspace whose id derives from it.
    Found {
        /// Random bytes.
        nonce: [u8; 16],
        /// The workspace's name.
        name: String,
        /// The founder's name.
        device_name: String,
    },
    /// An admin's offer of membership to whoever holds the secret half of `key`.
    Invite {
        /// The public half of the ticket's key.
        key: [u8; 32],
        /// The role it gives.
        role: Role,
        /// When it ends, in milliseconds since 1970; 0 is never.
        expires_ms: u64,
        /// How many devices may join by it.
        uses: u32,
    },
    /// A joiner's first word.
    Join {
        /// The public half of the ticket's key.
        key: [u8; 32],
        /// The ticket's signature over workspace and device, in two halves of 32 bytes.
        signature: ([u8; 32], [u8; 32]),
        /// The joiner's name.
        device_name: String,
    },
    /// An admin's word that a device is a member no longer.
    Remove {
        /// The device.
        device: DeviceId,
        /// What of its journals counts.
        cuts: Cuts,
    },
    /// An admin's word on what a member may do from here on.
    SetRole {
        /// The member.
        device: DeviceId,
        /// What it may do.
        role: Role,
        /// Where the role is a lower one: what of its journals counts as of the higher.
        cuts: Cuts,
    },
    /// Gives a device another name, or whoever joins by a ticket its first one.
    Rename {
        /// The device, or the public half of the ticket's key.
        key: [u8; 32],
        /// The name.
        name: String,
    },
    /// An admin's word that nobody joins by a ticket any more.
    Revoke {
        /// The public half of the ticket's key.
        key: [u8; 32],
    },
    /// An admin's ticket, for one device and without end, to be kept for the day on which the
    /// admin's device is lost: who joins by it is an admin, and senior to the one that made it.
    Recovery {
        /// The public half of the ticket's key.
        key: [u8; 32],
    },
    /// Says nothing but what its author had seen, where that is too much for one act.
    Seen,
    /// An admin's word that what is held of a document, and what comes of it later, is redacted.
    Purge {
        /// The document.
        document: DocumentId,
    },
}

const FOUND: u8 = 1;
const INVITE: u8 = 2;
const JOIN: u8 = 3;
const REMOVE: u8 = 4;
const SET_ROLE: u8 = 5;
const RENAME: u8 = 6;
const REVOKE: u8 = 7;
const RECOVERY: u8 = 8;
const SEEN: u8 = 9;
const PURGE: u8 = 10;

/// The id of the workspace that `founder` founds with `nonce`.
pub fn workspace_id(founder: &DeviceId, nonce: &[u8; 16]) -> WorkspaceId {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"runmesh/workspace/1");
    hasher.update(founder.as_bytes());
    hasher.update(nonce);
    WorkspaceId::new(hasher.finalize().into())
}

fn join_message(workspace: &WorkspaceId, device: &DeviceId) -> Vec<u8> {
    [&b"runmesh/join/1"[..], workspace.as_bytes(), device.as_bytes()].concat()
}

impl ActKind {
    /// The act by which `device` joins `workspace` with a ticket's key.
    pub fn join(
        ticket: &SigningKey,
        workspace: &WorkspaceId,
        device: &DeviceId,
        device_name: String,
    ) -> Self {
        let signature = ticket.sign(&join_message(workspace, device)).to_bytes();
        let (head, tail) = signature.split_at(32);
        let half = |bytes: &[u8]| bytes.try_into().expect("a signature has 64 bytes");
        let key = ticket.verifying_key().to_bytes();
        Self::Join { key, signature: (half(head), half(tail)), device_name }
    }

    /// Whether this is a join by `device` that the ticket's key signed for `workspace`.
    pub fn is_signed_join(&self, workspace: &WorkspaceId, device: &DeviceId) -> bool {
        let Self::Join { key, signature, .. } = self else { return false };
        let Ok(key) = VerifyingKey::from_bytes(key) else { return false };
        let mut bytes = [0; 64];
        bytes[..32].copy_from_slice(&signature.0);
        bytes[32..].copy_from_slice(&signature.1);
        let signature = Signature::from_bytes(&bytes);
        key.verify_strict(&join_message(workspace, device), &signature).is_ok()
    }
}

impl Act {
    /// The signed form.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_varint(&mut out, self.seen.len() as u64);
        for act in &self.seen {
            out.extend_from_slice(act);
        }
        match &self.kind {
            ActKind::Found { nonce, name, device_name } => {
                out.push(FOUND);
                out.extend_from_slice(nonce);
                put_bytes(&mut out, name.as_bytes());
                put_bytes(&mut out, device_name.as_bytes());
            }
            ActKind::Invite { key, role, expires_ms, uses } => {
                out.push(INVITE);
                out.extend_from_slice(key);
                out.push(*role as u8);
                out.extend_from_slice(&expires_ms.to_le_bytes());
                out.extend_from_slice(&uses.to_le_bytes());
            }
            ActKind::Join { key, signature, device_name } => {
                out.push(JOIN);
                out.extend_from_slice(key);
                out.extend_from_slice(&signature.0);
                out.extend_from_slice(&signature.1);
                put_bytes(&mut out, device_name.as_bytes());
            }
            ActKind::Remove { device, cuts } => {
                out.push(REMOVE);
                out.extend_from_slice(device.as_bytes());
                put_cuts(&mut out, cuts);
            }
            ActKind::SetRole { device, role, cuts } => {
                out.push(SET_ROLE);
                out.extend_from_slice(device.as_bytes());
                out.push(*role as u8);
                put_cuts(&mut out, cuts);
            }
            ActKind::Rename { key, name } => {
                out.push(RENAME);
                out.extend_from_slice(key);
                put_bytes(&mut out, name.as_bytes());
            }
            ActKind::Revoke { key } => {
                out.push(REVOKE);
                out.extend_from_slice(key);
            }
            ActKind::Recovery { key } => {
                out.push(RECOVERY);
                out.extend_from_slice(key);
            }
            ActKind::Seen => out.push(SEEN),
            ActKind::Purge { document } => {
                out.push(PURGE);
                out.extend_from_slice(&document.to_bytes());
            }
        }
        out
    }

    /// Reads the signed form. Acts of a kind this version does not know are `None`.
    pub fn decode(bytes: &[u8]) -> Result<Option<Self>, DecodeError> {
        let mut reader = Reader::new(bytes);
        let count = reader.length(MAX_SEEN, "acts seen")?;
        let seen = (0..count).map(|_| reader.array("act seen"));
        let seen = seen.collect::<Result<_, _>>()?;
        let kind = match reader.u8("act kind")? {
            FOUND => ActKind::Found {
                nonce: reader.array("nonce")?,
                name: reader.text(MAX_NAME_BYTES, "workspace name")?.to_owned(),
                device_name: reader.text(MAX_NAME_BYTES, "device name")?.to_owned(),
            },
            INVITE => ActKind::Invite {
                key: reader.array("ticket key")?,
                role: read_role(&mut reader)?,
                expires_ms: reader.u64("expiry")?,
                uses: reader.u32("uses")?,
            },
            JOIN => ActKind::Join {
                key: reader.array("ticket key")?,
                signature: (reader.array("signature")?, reader.array("signature")?),
                device_name: reader.text(MAX_NAME_BYTES, "device name")?.to_owned(),
            },
            REMOVE => ActKind::Remove {
                device: DeviceId::new(reader.array("device")?),
                cuts: read_cuts(&mut reader)?,
            },
            SET_ROLE => ActKind::SetRole {
                device: DeviceId::new(reader.array("device")?),
                role: read_role(&mut reader)?,
                cuts: read_cuts(&mut reader)?,
            },
            RENAME => ActKind::Rename {
                key: reader.array("device or ticket key")?,
                name: reader.text(MAX_NAME_BYTES, "device name")?.to_owned(),
            },
            REVOKE => ActKind::Revoke { key: reader.array("ticket key")? },
            RECOVERY => ActKind::Recovery { key: reader.array("ticket key")? },
            SEEN => ActKind::Seen,
            PURGE => {
                let document = DocumentId::from_bytes(&reader.array("document")?);
                ActKind::Purge { document }
            }
            _ => return Ok(None),
        };
        reader.finish("act")?;
        Ok(Some(Self { kind, seen }))
    }
}

fn read_role(reader: &mut Reader<'_>) -> Result<Role, DecodeError> {
    Role::from_number(reader.u8("role")?).ok_or(DecodeError::Invalid { what: "role" })
}

fn put_cuts(out: &mut Vec<u8>, cuts: &Cuts) {
    put_varint(out, cuts.len() as u64);
    for (incarnation, entries) in cuts {
        out.extend_from_slice(incarnation.as_bytes());
        put_varint(out, *entries);
    }
}

/// Reads cuts, which are in order of the incarnations.
fn read_cuts(reader: &mut Reader<'_>) -> Result<Cuts, DecodeError> {
    let mut cuts = Cuts::new();
    for _ in 0..reader.length(MAX_CUTS, "cuts")? {
        let incarnation = Incarnation::new(reader.array("incarnation")?);
        if cuts.last_key_value().is_some_and(|(last, _)| *last >= incarnation) {
            return Err(DecodeError::Invalid { what: "cuts" });
        }
        cuts.insert(incarnation, reader.varint("entry count")?);
    }
    Ok(cuts)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ids::RunId;

    fn acts() -> [Act; 10] {
        let seen = vec![[1; 32], [2; 32]];
        let (name, device_name) = ("lab".to_owned(), "ann's laptop".to_owned());
        let found = ActKind::Found { nonce: [3; 16], name, device_name: device_name.clone() };
        let ticket = SigningKey::from_bytes(&[4; 32]);
        let key = ticket.verifying_key().to_bytes();
        let invite = ActKind::Invite { key, role: Role::Writer, expires_ms: 77, uses: 2 };
        let (workspace, device) = (WorkspaceId::new([5; 32]), DeviceId::new([6; 32]));
        let join = ActKind::join(&ticket, &workspace, &device, device_name);
        let cuts = Cuts::from([(Incarnation::new([7; 16]), 300), (Incarnation::new([8; 16]), 1)]);
        let remove = ActKind::Remove { device, cuts: cuts.clone() };
        let role = ActKind::SetRole { device, role: Role::Reader, cuts };
        let rename = ActKind::Rename { key: [6; 32], name: "gpu-box".to_owned() };
        let (revoke, recovery) = (ActKind::Revoke { key }, ActKind::Recovery { key });
        let purge = ActKind::Purge { document: DocumentId::run(RunId::new([9; 16])) };
        [found, invite, join, remove, role, rename, revoke, recovery, ActKind::Seen, purge]
            .map(|kind| Act { kind, seen: seen.clone() })
    }

    /// The signed format may never change silently: people have journals in it.
    #[test]
    fn the_signed_bytes_are_golden() {
        let hashes = acts().map(|act| blake3::hash(&act.encode()).to_hex()[..16].to_owned());
        assert_eq!(hashes, GOLDEN);
    }

    const GOLDEN: [&str; 10] = [
        "681e42984a09afaa",
        "e9bb6f2a961d8884",
        "ebdbbdc07dd203f9",
        "ca9301f057cc5f3e",
        "91e297079edf9d15",
        "5dee7bd2e8e01aa6",
        "2c93a2fd2aaab3ad",
        "70ad86ee750de0c4",
        "6d7c087d1ab8438d",
        "60274d5464db3054",
    ];

    #[test]
    fn an_act_is_named_by_its_journal_too() {
        let journal = |seed| {
            let incarnation = Incarnation::new([seed; 16]);
            JournalId { device: DeviceId::new([1; 32]), incarnation }
        };
        let id = act_id(&journal(2), &[3; 32]);
        assert_eq!(data_encoding::HEXLOWER.encode(&id[..8]), "a1c96f636e050b06");
        assert_ne!(id, act_id(&journal(3), &[3; 32]));
    }

    #[test]
    fn acts_survive_their_encoding() {
        for act in acts() {
            assert_eq!(Act::decode(&act.encode()), Ok(Some(act)));
        }
    }

    #[test]
    fn a_join_is_for_one_device_and_one_workspace() {
        let [_, _, Act { kind, .. }, ..] = acts();
        let (workspace, device) = (WorkspaceId::new([5; 32]), DeviceId::new([6; 32]));
        assert!(kind.is_signed_join(&workspace, &device));
        assert!(!kind.is_signed_join(&workspace, &DeviceId::new([7; 32])));
        assert!(!kind.is_signed_join(&WorkspaceId::new([7; 32]), &device));
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_act_or_an_error(bytes: Vec<u8>) {
            if let Ok(Some(act)) = Act::decode(&bytes) {
                prop_assert_eq!(act.encode(), bytes);
            }
        }
    }
}
