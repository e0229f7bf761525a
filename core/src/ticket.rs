//! Tickets: copyable invitations. A ticket is a key.
//!
//! A ticket carries the private half of an invitation's key, so whoever holds it may join until
//! it ends or is used up: it is to be handled like a password. It also says where the inviting
//! device was last seen, so that a joiner finds it without any directory.

use core::net::{IpAddr, SocketAddr};
use std::fmt;
use std::str::FromStr;

use data_encoding::BASE32_NOPAD;
use ed25519_dalek::SigningKey;

use crate::codec::{DecodeError, Reader, put_varint};
use crate::ids::{DeviceId, WorkspaceId};

/// The most addresses a ticket carries.
pub const MAX_ADDRESSES: usize = 32;
/// The longest text of a ticket.
pub const MAX_TICKET_CHARS: usize = 2048;

const PREFIX: &str = "runmesh";
const VERSION: u8 = 1;
const CHECKSUM_BYTES: usize = 4;

/// An invitation as it is handed to a joiner.
#[derive(Clone, PartialEq, Eq)]
pub struct Ticket {
    /// The private half of the invitation's key.
    pub key: [u8; 32],
    /// The workspace.
    pub workspace: WorkspaceId,
    /// The device that made it, which can be asked to sync first.
    pub inviter: DeviceId,
    /// When it ends, in milliseconds since 1970; 0 is never.
    pub expires_ms: u64,
    /// Where the inviting device was reachable.
    pub addresses: Vec<SocketAddr>,
}

/// Why a text is not a ticket.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TicketError {
    /// It does not look like one.
    #[error("this is not a ticket; a ticket starts with `runmesh` and is one long word")]
    NotATicket,
    /// Characters were lost or changed.
    #[error("the ticket is damaged; copy all of it again")]
    Damaged,
    /// A newer version made it.
    #[error("the ticket is of version {0}, which needs a newer runmesh")]
    NewerVersion(u8),
    /// Its bytes are not in the format.
    #[error("the ticket cannot be read")]
    Malformed(#[from] DecodeError),
}

impl Ticket {
    /// The invitation's key.
    pub fn signing_key(&self) -> SigningKey {
        SigningKey::from_bytes(&self.key)
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.extend_from_slice(&self.key);
        out.extend_from_slice(self.workspace.as_bytes());
        out.extend_from_slice(self.inviter.as_bytes());
        out.extend_from_slice(&self.expires_ms.to_le_bytes());
        let addresses = &self.addresses[..self.addresses.len().min(MAX_ADDRESSES)];
        put_varint(&mut out, addresses.len() as u64);
        for address in addresses {
            match address.ip() {
                IpAddr::V4(ip) => {
                    out.push(4);
                    out.extend_from_slice(&ip.octets());
                }
                IpAddr::V6(ip) => {
                    out.push(6);
                    out.extend_from_slice(&ip.octets());
                }
            }
            out.extend_from_slice(&address.port().to_le_bytes());
        }
        out.extend_from_slice(&blake3::hash(&out).as_bytes()[..CHECKSUM_BYTES]);
        out
    }

    fn decode(bytes: &[u8]) -> Result<Self, TicketError> {
        match bytes.first() {
            Some(&VERSION) => {}
            Some(&newer) if newer > VERSION => return Err(TicketError::NewerVersion(newer)),
            _ => return Err(TicketError::NotATicket),
        }
        let (body, checksum) =
            bytes.split_last_chunk::<CHECKSUM_BYTES>().ok_or(TicketError::Damaged)?;
        if blake3::hash(body).as_bytes()[..CHECKSUM_BYTES] != checksum[..] {
            return Err(TicketError::Damaged);
        }
        let mut reader = Reader::new(&body[1..]);
        let key = reader.array("ticket key")?;
        let workspace = WorkspaceId::new(reader.array("workspace")?);
        let inviter = DeviceId::new(reader.array("device")?);
        let expires_ms = reader.u64("expiry")?;
        let count = reader.length(MAX_ADDRESSES, "addresses")?;
        let addresses =
            (0..count).map(|_| read_address(&mut reader)).collect::<Result<Vec<_>, _>>()?;
        reader.finish("ticket")?;
        Ok(Self { key, workspace, inviter, expires_ms, addresses })
    }
}

fn read_address(reader: &mut Reader<'_>) -> Result<SocketAddr, DecodeError> {
    let ip: IpAddr = match reader.u8("address kind")? {
        4 => reader.array::<4>("address")?.into(),
        6 => reader.array::<16>("address")?.into(),
        _ => return Err(DecodeError::Invalid { what: "address kind" }),
    };
    Ok(SocketAddr::new(ip, u16::from_le_bytes(reader.array("port")?)))
}

impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", BASE32_NOPAD.encode(&self.encode()).to_lowercase())
    }
}

/// Shows no key: what is debugged ends in logs.
impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ticket({:?} by {:?})", self.workspace, self.inviter)
    }
}

impl FromStr for Ticket {
    type Err = TicketError;

    fn from_str(text: &str) -> Result<Self, TicketError> {
        let text = text.trim();
        if text.len() > MAX_TICKET_CHARS {
            return Err(TicketError::NotATicket);
        }
        // A QR code holds capitals, for they take less room there.
        let (prefix, body) = text.split_at_checked(PREFIX.len()).ok_or(TicketError::NotATicket)?;
        if !prefix.eq_ignore_ascii_case(PREFIX) {
            return Err(TicketError::NotATicket);
        }
        let bytes = BASE32_NOPAD
            .decode(body.to_ascii_uppercase().as_bytes())
            .map_err(|_| TicketError::Damaged)?;
        Self::decode(&bytes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ticket() -> Ticket {
        Ticket {
            key: [7; 32],
            workspace: WorkspaceId::new([8; 32]),
            inviter: DeviceId::new([9; 32]),
            expires_ms: 1_700_000_000_000,
            addresses: vec!["192.0.2.7:4748".parse().unwrap(), "[2001:db8::1]:9".parse().unwrap()],
        }
    }

    #[test]
    fn a_ticket_survives_being_copied() {
        let text = format!("  {}\n", ticket());
        assert_eq!(text.parse(), Ok(ticket()));
        assert_eq!(text.to_ascii_uppercase().parse(), Ok(ticket()));
        assert!(!format!("{:?}", ticket()).contains("0707"));
    }

    #[test]
    fn a_ticket_with_a_wrong_character_is_refused() {
        let text = ticket().to_string();
        for at in PREFIX.len()..text.len() {
            let swap = if &text[at..=at] == "a" { "b" } else { "a" };
            let damaged = format!("{}{swap}{}", &text[..at], &text[at + 1..]);
            assert!(damaged.parse::<Ticket>().is_err(), "character {at}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_ticket_or_an_error(text in "runmesh[a-z2-7]{0,300}|.{0,300}") {
            let _ = text.parse::<Ticket>();
        }
    }
}
