//! Tickets: copyable invitations. A ticket is a key.
//!
//! A ticket carries the private half of an invitation's key, so whoever holds it may join until
//! it ends or is used up: it is to be handled like a password. It also says where the inviting
//! device and some other members were last seen, so that a joiner finds one of them without any
//! directory.

use core::net::{IpAddr, SocketAddr};
use std::fmt;
use std::str::FromStr;

use data_encoding::BASE32_NOPAD;
use ed25519_dalek::SigningKey;

use crate::codec::{DecodeError, Reader, put_varint};
use crate::ids::{DeviceId, WorkspaceId};

/// The most addresses a ticket carries.
pub const MAX_ADDRESSES: usize = 32;
/// The most members beside the inviting device that a ticket names.
pub const MAX_OTHERS: usize = 4;
/// The most addresses that a ticket carries of each of them.
pub const MAX_OTHER_ADDRESSES: usize = 4;
/// The longest text of a ticket.
pub const MAX_TICKET_CHARS: usize = 2048;

const PREFIX: &str = "runmesh";
/// Names the inviting device alone, which every version of runmesh reads.
const ONE_MEMBER: u8 = 1;
/// Names other members too.
const SEVERAL_MEMBERS: u8 = 2;
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
    /// Other members, and where they were reachable: any of them can let a joiner in.
    pub others: Vec<Contact>,
}

/// A device, and where it may be reached. As text: `DEVICE@IP:PORT`, with one address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contact {
    /// The device.
    pub device: DeviceId,
    /// Its addresses.
    pub addresses: Vec<SocketAddr>,
}

/// Text that does not say which device is where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} does not say where a device is; write its whole id, @ and its address, as in 5f0c…@192.168.1.7:4747"
)]
pub struct ParseContactError {
    text: String,
}

impl FromStr for Contact {
    type Err = ParseContactError;

    fn from_str(text: &str) -> Result<Self, ParseContactError> {
        let error = || ParseContactError { text: text.to_owned() };
        let (device, address) = text.trim().split_once('@').ok_or_else(error)?;
        let device = device.parse().map_err(|_| error())?;
        let address = address.parse().map_err(|_| error())?;
        Ok(Self { device, addresses: vec![address] })
    }
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
        let version = if self.others.is_empty() { ONE_MEMBER } else { SEVERAL_MEMBERS };
        let mut out = vec![version];
        out.extend_from_slice(&self.key);
        out.extend_from_slice(self.workspace.as_bytes());
        out.extend_from_slice(self.inviter.as_bytes());
        out.extend_from_slice(&self.expires_ms.to_le_bytes());
        put_addresses(&mut out, &self.addresses, MAX_ADDRESSES);
        if !self.others.is_empty() {
            let others = &self.others[..self.others.len().min(MAX_OTHERS)];
            put_varint(&mut out, others.len() as u64);
            for other in others {
                put_contact(&mut out, other, MAX_OTHER_ADDRESSES);
            }
        }
        out.extend_from_slice(&blake3::hash(&out).as_bytes()[..CHECKSUM_BYTES]);
        out
    }

    fn decode(bytes: &[u8]) -> Result<Self, TicketError> {
        let version = match bytes.first() {
            Some(&version @ (ONE_MEMBER | SEVERAL_MEMBERS)) => version,
            Some(&newer) if newer > SEVERAL_MEMBERS => {
                return Err(TicketError::NewerVersion(newer));
            }
            _ => return Err(TicketError::NotATicket),
        };
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
        let addresses = read_addresses(&mut reader, MAX_ADDRESSES)?;
        let count = match version {
            SEVERAL_MEMBERS => reader.length(MAX_OTHERS, "members")?,
            _ => 0,
        };
        let others = (0..count).map(|_| read_contact(&mut reader, MAX_OTHER_ADDRESSES));
        let others = others.collect::<Result<Vec<_>, _>>()?;
        reader.finish("ticket")?;
        Ok(Self { key, workspace, inviter, expires_ms, addresses, others })
    }
}

/// Appends a contact with its first addresses.
pub(crate) fn put_contact(out: &mut Vec<u8>, contact: &Contact, addresses_at_most: usize) {
    out.extend_from_slice(contact.device.as_bytes());
    put_addresses(out, &contact.addresses, addresses_at_most);
}

fn put_addresses(out: &mut Vec<u8>, addresses: &[SocketAddr], at_most: usize) {
    let addresses = &addresses[..addresses.len().min(at_most)];
    put_varint(out, addresses.len() as u64);
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
}

fn read_addresses(reader: &mut Reader<'_>, at_most: usize) -> Result<Vec<SocketAddr>, DecodeError> {
    let count = reader.length(at_most, "addresses")?;
    (0..count).map(|_| read_address(reader)).collect()
}

/// Reads a contact with so many addresses at most.
pub(crate) fn read_contact(
    reader: &mut Reader<'_>,
    addresses_at_most: usize,
) -> Result<Contact, DecodeError> {
    let device = DeviceId::new(reader.array("device")?);
    Ok(Contact { device, addresses: read_addresses(reader, addresses_at_most)? })
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
            others: Vec::new(),
        }
    }

    fn of_several(members: usize) -> Ticket {
        let addresses = vec!["[2001:db8::2]:4747".parse().unwrap(); MAX_OTHER_ADDRESSES];
        let other =
            |n| Contact { device: DeviceId::new([n as u8; 32]), addresses: addresses.clone() };
        Ticket { others: (0..members).map(other).collect(), ..ticket() }
    }

    #[test]
    fn a_ticket_names_several_members_and_stays_one_that_can_be_read() {
        for members in 1..=MAX_OTHERS {
            assert_eq!(of_several(members).to_string().parse(), Ok(of_several(members)));
        }
        // One that names none is of the version that every runmesh reads.
        assert_eq!((ticket().encode()[0], of_several(1).encode()[0]), (1, 2));
        let longest = Ticket {
            addresses: vec!["[2001:db8::1]:9".parse().unwrap(); MAX_ADDRESSES],
            ..of_several(MAX_OTHERS + 3)
        };
        let read: Ticket = longest.to_string().parse().unwrap();
        assert_eq!((read.addresses.len(), read.others.len()), (MAX_ADDRESSES, MAX_OTHERS));
    }

    #[test]
    fn the_bytes_are_those_of_the_document() {
        let ticket = Ticket {
            addresses: vec!["192.0.2.7:4748".parse().unwrap()],
            others: vec![Contact {
                device: DeviceId::new([6; 32]),
                addresses: vec!["192.0.2.8:4747".parse().unwrap()],
            }],
            ..ticket()
        };
        let bytes = ticket.encode();
        let tail: Vec<u8> =
            [&[1, 4, 192, 0, 2, 7, 0x8c, 0x12, 1][..], &[6; 32], &[1, 4, 192, 0, 2, 8, 0x8b, 0x12]]
                .concat();
        assert_eq!(bytes[105..bytes.len() - CHECKSUM_BYTES], tail);
    }

    #[test]
    fn where_a_device_is_can_be_written_down() {
        let device = DeviceId::new([0xab; 32]);
        let contact: Contact = format!("{device}@192.0.2.7:4747").parse().unwrap();
        assert_eq!((contact.device, contact.addresses.len()), (device, 1));
        for wrong in ["", "192.0.2.7:4747", "ab@192.0.2.7:4747", &format!("{device}@lab:4747")] {
            assert!(wrong.parse::<Contact>().is_err(), "{wrong}");
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
