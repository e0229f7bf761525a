//! The messages of ALPN `runmesh/sync/1` and their bytes.
//!
//! Invariants: reading never panics and never allocates more than the bytes hold; every length is
//! compared with a named limit first; every message has exactly one encoding. A frame is the
//! length of a message in four bytes, little-endian, and the message. `docs/protocol.md` has the
//! bytes.

use crate::codec::{DecodeError, Reader, put_bytes, put_varint};
use crate::entry::{EntryError, MAX_STORED_BYTES};
use crate::ids::{DeviceId, EntryHash, Incarnation, JournalId, WorkspaceId};
use crate::store::Fault;
use crate::ticket::{Contact, put_contact, read_contact};
use crate::vector::VersionVector;

/// What both sides name when they connect.
pub const ALPN: &[u8] = b"runmesh/sync/1";
/// The version of this protocol that we speak. A device sends nothing that came after the version
/// its peer named.
pub const VERSION: u32 = 2;
/// The first version that knows [`Message::Contacts`].
pub(super) const CONTACTS_SINCE: u32 = 2;
/// The longest message.
pub const MAX_FRAME_BYTES: usize = 16 << 20;
/// The most entries in one message.
pub const MAX_ENTRIES: usize = 4096;
/// The longest first entry a newcomer can show: it holds its join and little else.
pub const MAX_FIRST_ENTRY_BYTES: usize = 64 << 10;
/// The most devices in one [`Message::Contacts`].
pub const MAX_CONTACTS: usize = 64;
/// The most addresses of each of them.
pub const MAX_CONTACT_ADDRESSES: usize = 8;
/// The longest text for people: a device's name, or why something is refused.
pub const MAX_TEXT_BYTES: usize = 256;

/// The first entry of a device's journal: that it founds the workspace, or joins it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FirstEntry {
    /// Which journal of the device.
    pub incarnation: Incarnation,
    /// The entry, as it is stored.
    pub stored: Vec<u8>,
}

/// What a vector in [`Message::Have`] covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Scope {
    /// The journals of which more is held than was said last.
    Changed = 0,
    /// Everything held.
    All = 1,
    /// Everything held; what was sent beyond it did not arrive, or could not be taken yet, and is
    /// to be sent again.
    Again = 2,
}

/// Why entries of a journal are not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Obstacle {
    /// Its device is not known to be a member, or was removed. It will be asked for again once it
    /// is one.
    NotAMember = 0,
    /// Its device may only read. It will be asked for again once it may write.
    NotAWriter = 1,
    /// An entry is not in the format.
    Malformed = 2,
    /// An entry follows another than the one that is held: there are two lines of the journal.
    BrokenChain = 3,
    /// An entry is not signed by its device for this workspace and place.
    BadSignature = 4,
    /// An entry holds an operation that its device may not have written.
    Operation = 5,
    /// Too many changes wait for others already.
    TooManyWaiting = 6,
}

/// Why a session ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Farewell {
    /// The device stops, or closes this connection for another.
    Leaving = 0,
    /// The peer is not a member.
    NotAMember = 1,
    /// The peer is of another workspace.
    OtherWorkspace = 2,
    /// The peer sent what makes no sense.
    Nonsense = 3,
}

/// What one device tells the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// The first message of both sides.
    Hello {
        /// The version of the protocol that the sender speaks.
        version: u32,
        /// The workspace.
        workspace: WorkspaceId,
        /// What the sender calls itself.
        name: String,
        /// The sender's first entry, by which a device that has not met it can tell whether it is
        /// a member.
        first: Option<FirstEntry>,
    },
    /// What the sender holds.
    Have {
        /// What the vector covers.
        scope: Scope,
        /// How much of each journal.
        vector: VersionVector,
    },
    /// Entries that follow one another in one journal.
    Entries {
        /// The journal.
        journal: JournalId,
        /// The number of the first.
        first: u64,
        /// The hash of the entry before the first; zeros if there is none.
        previous: EntryHash,
        /// The entries as they are stored, at least one.
        entries: Vec<Vec<u8>>,
    },
    /// Entries of this journal are not taken, at least for now. Others are.
    Refuse {
        /// The journal.
        journal: JournalId,
        /// Why.
        obstacle: Obstacle,
        /// Why, for people.
        text: String,
    },
    /// Somebody looks at this device: asks the peer to seal what it has, now.
    Watch {
        /// Comes back in the answer.
        token: u32,
    },
    /// The answer to [`Message::Watch`]: it is sealed, and a full [`Message::Have`] was sent.
    Sealed {
        /// The token of the question.
        token: u32,
    },
    /// Where the sender is, and where it reached other members.
    Contacts {
        /// The devices and their addresses.
        contacts: Vec<Contact>,
    },
    /// The last message of a session.
    Bye {
        /// Why.
        farewell: Farewell,
        /// Why, for people.
        text: String,
    },
}

const HELLO: u8 = 1;
const HAVE: u8 = 2;
const ENTRIES: u8 = 3;
const REFUSE: u8 = 4;
const WATCH: u8 = 5;
const SEALED: u8 = 6;
const BYE: u8 = 7;
const CONTACTS: u8 = 8;

/// A message with its length before it, ready to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame(pub Vec<u8>);

/// How many bytes follow a frame's first four. `limit` is at most [`MAX_FRAME_BYTES`].
pub fn frame_bytes(head: [u8; 4], limit: usize) -> Result<usize, DecodeError> {
    let length = u32::from_le_bytes(head);
    match usize::try_from(length) {
        Ok(fits) if fits <= limit => Ok(fits),
        _ => Err(DecodeError::TooLong { what: "message", length: length.into(), limit }),
    }
}

impl Message {
    /// The message with its length before it.
    pub fn frame(&self) -> Frame {
        let mut out = vec![0; 4];
        self.put(&mut out);
        let length = out.len() - 4;
        debug_assert!(length <= MAX_FRAME_BYTES);
        out[..4].copy_from_slice(&(length as u32).to_le_bytes());
        Frame(out)
    }

    /// The message's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.put(&mut out);
        out
    }

    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Hello { version, workspace, name, first } => {
                out.push(HELLO);
                out.extend_from_slice(&version.to_le_bytes());
                out.extend_from_slice(workspace.as_bytes());
                put_text(out, name);
                out.push(first.is_some().into());
                if let Some(first) = first {
                    out.extend_from_slice(first.incarnation.as_bytes());
                    put_bytes(out, &first.stored);
                }
            }
            Self::Have { scope, vector } => {
                out.extend_from_slice(&[HAVE, *scope as u8]);
                vector.put(out);
            }
            Self::Entries { journal, first, previous, entries } => {
                out.push(ENTRIES);
                put_journal(out, journal);
                put_varint(out, *first);
                out.extend_from_slice(previous.as_bytes());
                put_varint(out, entries.len() as u64);
                for entry in entries {
                    put_bytes(out, entry);
                }
            }
            Self::Refuse { journal, obstacle, text } => {
                out.push(REFUSE);
                put_journal(out, journal);
                out.push(*obstacle as u8);
                put_text(out, text);
            }
            Self::Watch { token } => {
                out.push(WATCH);
                out.extend_from_slice(&token.to_le_bytes());
            }
            Self::Sealed { token } => {
                out.push(SEALED);
                out.extend_from_slice(&token.to_le_bytes());
            }
            Self::Contacts { contacts } => {
                let contacts = &contacts[..contacts.len().min(MAX_CONTACTS)];
                out.push(CONTACTS);
                put_varint(out, contacts.len() as u64);
                for contact in contacts {
                    put_contact(out, contact, MAX_CONTACT_ADDRESSES);
                }
            }
            Self::Bye { farewell, text } => {
                out.extend_from_slice(&[BYE, *farewell as u8]);
                put_text(out, text);
            }
        }
    }

    /// Reads a message.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let message = match reader.u8("message kind")? {
            HELLO => Self::Hello {
                version: reader.u32("version")?,
                workspace: WorkspaceId::new(reader.array("workspace")?),
                name: reader.text(MAX_TEXT_BYTES, "device name")?.to_owned(),
                first: read_first_entry(&mut reader)?,
            },
            HAVE => Self::Have {
                scope: Scope::read(&mut reader)?,
                vector: VersionVector::read(&mut reader)?,
            },
            ENTRIES => Self::Entries {
                journal: read_journal(&mut reader)?,
                first: reader.varint("entry number")?,
                previous: EntryHash::new(reader.array("entry hash")?),
                entries: read_entries(&mut reader)?,
            },
            REFUSE => Self::Refuse {
                journal: read_journal(&mut reader)?,
                obstacle: Obstacle::read(&mut reader)?,
                text: reader.text(MAX_TEXT_BYTES, "reason")?.to_owned(),
            },
            WATCH => Self::Watch { token: reader.u32("token")? },
            SEALED => Self::Sealed { token: reader.u32("token")? },
            CONTACTS => Self::Contacts { contacts: read_contacts(&mut reader)? },
            BYE => Self::Bye {
                farewell: Farewell::read(&mut reader)?,
                text: reader.text(MAX_TEXT_BYTES, "reason")?.to_owned(),
            },
            _ => return Err(DecodeError::Invalid { what: "message kind" }),
        };
        reader.finish("message")?;
        Ok(message)
    }
}

fn put_journal(out: &mut Vec<u8>, journal: &JournalId) {
    out.extend_from_slice(journal.device.as_bytes());
    out.extend_from_slice(journal.incarnation.as_bytes());
}

fn read_journal(reader: &mut Reader<'_>) -> Result<JournalId, DecodeError> {
    let device = DeviceId::new(reader.array("device")?);
    let incarnation = Incarnation::new(reader.array("incarnation")?);
    Ok(JournalId { device, incarnation })
}

fn read_first_entry(reader: &mut Reader<'_>) -> Result<Option<FirstEntry>, DecodeError> {
    match reader.u8("first entry")? {
        0 => Ok(None),
        1 => Ok(Some(FirstEntry {
            incarnation: Incarnation::new(reader.array("incarnation")?),
            stored: reader.bytes(MAX_FIRST_ENTRY_BYTES, "first entry")?.to_vec(),
        })),
        _ => Err(DecodeError::Invalid { what: "first entry" }),
    }
}

fn read_entries(reader: &mut Reader<'_>) -> Result<Vec<Vec<u8>>, DecodeError> {
    let count = reader.length(MAX_ENTRIES, "entries")?;
    if count == 0 {
        return Err(DecodeError::Invalid { what: "entries" });
    }
    (0..count).map(|_| Ok(reader.bytes(MAX_STORED_BYTES, "entry")?.to_vec())).collect()
}

fn read_contacts(reader: &mut Reader<'_>) -> Result<Vec<Contact>, DecodeError> {
    let count = reader.length(MAX_CONTACTS, "contacts")?;
    (0..count).map(|_| read_contact(reader, MAX_CONTACT_ADDRESSES)).collect()
}

/// Appends text, cut to what the format allows.
fn put_text(out: &mut Vec<u8>, text: &str) {
    put_bytes(out, cut(text).as_bytes());
}

/// The start of a text, as long as a message can carry.
pub(super) fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TEXT_BYTES)]
}

impl Scope {
    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match reader.u8("scope")? {
            0 => Self::Changed,
            1 => Self::All,
            2 => Self::Again,
            _ => return Err(DecodeError::Invalid { what: "scope" }),
        })
    }
}

impl Obstacle {
    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match reader.u8("obstacle")? {
            0 => Self::NotAMember,
            1 => Self::NotAWriter,
            2 => Self::Malformed,
            3 => Self::BrokenChain,
            4 => Self::BadSignature,
            5 => Self::Operation,
            6 => Self::TooManyWaiting,
            _ => return Err(DecodeError::Invalid { what: "obstacle" }),
        })
    }

    /// Whether acts that are yet to come may take it away.
    pub(super) const fn may_pass(self) -> bool {
        matches!(self, Self::NotAMember | Self::NotAWriter)
    }

    /// What a fault comes to for the peer; none for a gap, which is no fault of the journal's.
    pub(super) const fn of(fault: &Fault) -> Option<Self> {
        Some(match fault {
            Fault::Entry(EntryError::Gap { .. }) => return None,
            Fault::Entry(EntryError::Malformed { .. }) => Self::Malformed,
            Fault::Entry(EntryError::BrokenChain { .. }) => Self::BrokenChain,
            Fault::Entry(EntryError::BadSignature { .. }) => Self::BadSignature,
            Fault::NotAMember(_) | Fault::Removed(_) => Self::NotAMember,
            Fault::NotAWriter(_) => Self::NotAWriter,
            Fault::Operation { .. } => Self::Operation,
            Fault::TooManyWaiting => Self::TooManyWaiting,
        })
    }
}

impl Farewell {
    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match reader.u8("farewell")? {
            0 => Self::Leaving,
            1 => Self::NotAMember,
            2 => Self::OtherWorkspace,
            3 => Self::Nonsense,
            _ => return Err(DecodeError::Invalid { what: "farewell" }),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::vector::Tip;

    fn journal(seed: u8) -> JournalId {
        let incarnation = Incarnation::new([seed.wrapping_add(1); 16]);
        JournalId { device: DeviceId::new([seed; 32]), incarnation }
    }

    fn vector(tips: &[(u8, u64)]) -> VersionVector {
        let mut vector = VersionVector::new();
        for (seed, count) in tips {
            vector.set(journal(*seed), Tip { count: *count, hash: EntryHash::new([*seed; 32]) });
        }
        vector
    }

    fn contact(seed: u8, addresses: &[&str]) -> Contact {
        let addresses = addresses.iter().map(|text| text.parse().expect("an address")).collect();
        Contact { device: DeviceId::new([seed; 32]), addresses }
    }

    fn messages() -> [Message; 8] {
        let first = FirstEntry { incarnation: Incarnation::new([2; 16]), stored: vec![3, 4, 5] };
        [
            Message::Hello {
                version: 1,
                workspace: WorkspaceId::new([1; 32]),
                name: "ann's laptop".to_owned(),
                first: Some(first),
            },
            Message::Have { scope: Scope::All, vector: vector(&[(1, 300), (2, 1)]) },
            Message::Entries {
                journal: journal(6),
                first: 1000,
                previous: EntryHash::new([7; 32]),
                entries: vec![vec![8; 3], vec![9; 200]],
            },
            Message::Refuse {
                journal: journal(6),
                obstacle: Obstacle::BadSignature,
                text: "no".to_owned(),
            },
            Message::Watch { token: 0x0102_0304 },
            Message::Sealed { token: 0x0102_0304 },
            Message::Bye { farewell: Farewell::NotAMember, text: "who are you?".to_owned() },
            Message::Contacts {
                contacts: vec![
                    contact(6, &["192.0.2.7:4748", "[2001:db8::1]:9"]),
                    contact(7, &["192.0.2.8:4747"]),
                ],
            },
        ]
    }

    /// Peers of other versions read these bytes.
    #[test]
    fn the_bytes_are_golden() {
        let hashes = messages().map(|message| {
            let hash = blake3::hash(&message.frame().0).to_hex();
            hash[..16].to_owned()
        });
        assert_eq!(hashes, GOLDEN);
        let watch = messages()[4].frame().0;
        assert_eq!(data_encoding::HEXLOWER.encode(&watch), "050000000504030201");
        let contacts = Message::Contacts { contacts: vec![contact(6, &["192.0.2.7:4748"])] };
        let bytes = [&[8, 1][..], &[6; 32], &[1, 4, 192, 0, 2, 7, 0x8c, 0x12]].concat();
        assert_eq!(contacts.encode(), bytes);
    }

    const GOLDEN: [&str; 8] = [
        "ad722d0b6acb8c60",
        "805eab85e21e0622",
        "19c1642bad0bfe6f",
        "59e72799696e6d74",
        "ceb6d1e8f3ca1501",
        "a427eb362e2e90cc",
        "bff2a94962a5cb19",
        "b7c0d67300c208b4",
    ];

    fn any_journal() -> impl Strategy<Value = JournalId> {
        any::<u8>().prop_map(journal)
    }

    fn any_message() -> impl Strategy<Value = Message> {
        let text = "[a-zåß🦀]{0,60}";
        let first = prop::option::of((any::<[u8; 16]>(), any::<Vec<u8>>()).prop_map(
            |(incarnation, stored)| FirstEntry {
                incarnation: Incarnation::new(incarnation),
                stored,
            },
        ));
        let scope = prop_oneof![Just(Scope::Changed), Just(Scope::All), Just(Scope::Again)];
        let obstacle = (0u8..7).prop_map(|n| Obstacle::read(&mut Reader::new(&[n])).expect("one"));
        let farewell = (0u8..4).prop_map(|n| Farewell::read(&mut Reader::new(&[n])).expect("one"));
        let tips = prop::collection::vec((any::<u8>(), 1..u64::MAX), 0..9);
        let address = (any::<core::net::IpAddr>(), any::<u16>()).prop_map(Into::into);
        let addresses = prop::collection::vec(address, 0..=MAX_CONTACT_ADDRESSES);
        let contacts = prop::collection::vec((any::<[u8; 32]>(), addresses), 0..9);
        let entries = prop::collection::vec(any::<Vec<u8>>(), 1..9);
        prop_oneof![
            (any::<u32>(), any::<[u8; 32]>(), text, first).prop_map(
                |(version, workspace, name, first)| {
                    let workspace = WorkspaceId::new(workspace);
                    Message::Hello { version, workspace, name: cut(&name).to_owned(), first }
                }
            ),
            (scope, tips).prop_map(|(scope, tips)| Message::Have { scope, vector: vector(&tips) }),
            (any_journal(), any::<u64>(), any::<[u8; 32]>(), entries).prop_map(
                |(journal, first, previous, entries)| Message::Entries {
                    journal,
                    first,
                    previous: EntryHash::new(previous),
                    entries,
                }
            ),
            (any_journal(), obstacle, text).prop_map(|(journal, obstacle, text)| {
                Message::Refuse { journal, obstacle, text: cut(&text).to_owned() }
            }),
            any::<u32>().prop_map(|token| Message::Watch { token }),
            any::<u32>().prop_map(|token| Message::Sealed { token }),
            (farewell, text).prop_map(|(farewell, text)| Message::Bye {
                farewell,
                text: cut(&text).to_owned()
            }),
            contacts.prop_map(|contacts| {
                let contact =
                    |(device, addresses)| Contact { device: DeviceId::new(device), addresses };
                Message::Contacts { contacts: contacts.into_iter().map(contact).collect() }
            }),
        ]
    }

    proptest! {
        #[test]
        fn messages_survive_their_encoding(message in any_message()) {
            let frame = message.frame().0;
            let (head, body) = frame.split_first_chunk().expect("four bytes");
            prop_assert_eq!(frame_bytes(*head, MAX_FRAME_BYTES), Ok(body.len()));
            prop_assert_eq!(Message::decode(body), Ok(message));
        }

        #[test]
        fn a_message_has_one_encoding(kind in 1u8..9, rest: Vec<u8>) {
            let bytes = [&[kind][..], &rest].concat();
            if let Ok(message) = Message::decode(&bytes) {
                prop_assert_eq!(message.encode(), bytes);
            }
        }

        #[test]
        fn no_damage_goes_unnoticed_or_panics(message in any_message(), at: usize, bit in 0u8..8) {
            let mut bytes = message.encode();
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            if let Ok(other) = Message::decode(&bytes) {
                prop_assert_ne!(&other, &message);
                prop_assert_eq!(other.encode(), bytes);
            }
        }
    }

    #[test]
    fn lengths_over_their_limits_are_refused_before_anything_is_read() {
        let too_long = frame_bytes([0xff; 4], MAX_FRAME_BYTES);
        assert!(matches!(too_long, Err(DecodeError::TooLong { what: "message", .. })));
        let mut many = vec![ENTRIES];
        put_journal(&mut many, &journal(1));
        many.push(0);
        many.extend_from_slice(&[0; 32]);
        put_varint(&mut many, MAX_ENTRIES as u64 + 1);
        let too_many = Message::decode(&many);
        assert!(matches!(too_many, Err(DecodeError::TooLong { what: "entries", .. })));
        let too_many = Message::decode(&[CONTACTS, MAX_CONTACTS as u8 + 1]);
        assert!(matches!(too_many, Err(DecodeError::TooLong { what: "contacts", .. })));
        let many = [&[CONTACTS, 1][..], &[0; 32], &[MAX_CONTACT_ADDRESSES as u8 + 1]].concat();
        let too_many = Message::decode(&many);
        assert!(matches!(too_many, Err(DecodeError::TooLong { what: "addresses", .. })));
    }
}
