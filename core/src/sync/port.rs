//! What a session is told and what it wants done: all that passes between it and the world.

use std::sync::Arc;

use super::message::{Farewell, FirstEntry, Message};
use crate::clock::UnixMillis;
use crate::codec::DecodeError;
use crate::ids::{DeviceId, EntryHash, JournalId, WorkspaceId};
use crate::membership::Membership;
use crate::store::Fault;
use crate::ticket::Contact;
use crate::vector::{MAX_JOURNALS, Tip, VersionVector};

/// Who talks to whom about what.
#[derive(Debug, Clone)]
pub struct Peering {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// This device.
    pub device: DeviceId,
    /// The other one, which has proven that it is.
    pub peer: DeviceId,
    /// What this device calls itself.
    pub name: String,
    /// This device's first entry, for peers that have not met it.
    pub first: Option<FirstEntry>,
    /// Whether this device called. Who is called says hello to members only: a stranger does not
    /// hear which workspaces are here.
    pub calls: bool,
}

/// What this device holds and who it knows.
#[derive(Debug, Clone)]
pub struct Held {
    /// How much of each journal.
    pub vector: VersionVector,
    /// Who is a member, as far as that says.
    pub membership: Arc<Membership>,
}

/// What a session is told.
#[derive(Debug, Clone)]
pub enum Input {
    /// The peer can be talked to.
    Started,
    /// The peer sent this.
    Received(Message),
    /// The answer to [`Output::Load`].
    Loaded {
        /// The journal.
        journal: JournalId,
        /// The number of the first entry.
        first: u64,
        /// The hash of the entry before it.
        previous: EntryHash,
        /// The entries as they are stored; empty if there are none.
        entries: Vec<Vec<u8>>,
    },
    /// The answer to the oldest `batches` of [`Output::Ingest`].
    Ingested {
        /// How many.
        batches: usize,
        /// What is held now.
        held: Held,
        /// What was not taken.
        faults: Vec<(JournalId, Fault)>,
    },
    /// Something was sealed, or came from elsewhere.
    Changed(Held),
    /// Where this device is and where it reached others is this now: the peer shall know.
    Contacts(Vec<Contact>),
    /// Somebody looks at this device: the peer shall seal what it has.
    Watch {
        /// Comes back in [`Status::sealed`].
        token: u32,
    },
    /// The answer to [`Output::Reclaim`].
    Reclaimed {
        /// The journal.
        journal: JournalId,
        /// The last of the entries, as the peer has them; none if they are not what they should be.
        tip: Option<Tip>,
        /// What is held now.
        held: Held,
    },
    /// The answer to [`Output::Seal`].
    Sealed {
        /// The token of the question.
        token: u32,
        /// What is held now.
        held: Held,
    },
    /// The time that [`Output::WakeAt`] named has come.
    Tick,
    /// This device ends the session.
    Stop,
}

/// What a session wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send this to the peer.
    Send(Message),
    /// Read entries from the store: at least one, up to some bytes and [`MAX_ENTRIES`](super::MAX_ENTRIES).
    Load {
        /// The journal.
        journal: JournalId,
        /// The number of the first.
        from: u64,
        /// Stop before this many bytes.
        max_bytes: usize,
        /// Stop after this many entries.
        max_entries: usize,
    },
    /// Verify and store these. Several may be done at once, in order.
    Ingest {
        /// The journal.
        journal: JournalId,
        /// The number of the first.
        first: u64,
        /// The hash of the entry before it, as the peer says.
        previous: EntryHash,
        /// The entries as they are stored.
        entries: Vec<Vec<u8>>,
    },
    /// These are of one of this device's own journals, which the peer holds otherwise than it is
    /// here: verify each by the hash before it that the peer says, and carry over what is not here.
    Reclaim {
        /// The journal.
        journal: JournalId,
        /// The number of the first.
        first: u64,
        /// The hash of the entry before it, as the peer says.
        previous: EntryHash,
        /// The entries as they are stored.
        entries: Vec<Vec<u8>>,
    },
    /// Seal what clients wrote and answer with [`Input::Sealed`].
    Seal {
        /// To be given back.
        token: u32,
    },
    /// The peer, which is a member, says where it is and where it reached others. To be believed
    /// only as a place to call.
    Learn(Vec<Contact>),
    /// Give [`Input::Tick`] at this time; replaces what was wanted before.
    WakeAt(UnixMillis),
    /// The session is over; nothing follows.
    Done(Ended),
}

/// How a session ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// This device ended it.
    Here(Farewell),
    /// The peer ended it, and said why.
    There(Farewell, String),
}

/// A peer that does not keep to the protocol. The session is over; nothing of what it sent last is
/// stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SyncError {
    /// A message cannot be read.
    #[error("the peer sent what is not a message")]
    Malformed(#[from] DecodeError),
    /// The peer is of another workspace.
    #[error("the peer is of another workspace, {0}")]
    OtherWorkspace(WorkspaceId),
    /// More journals are named than there can be.
    #[error("the peer named more than {MAX_JOURNALS} journals")]
    TooManyJournals,
    /// Entries are numbered past the end of numbers.
    #[error("the peer sent entries of {journal} with numbers that do not exist")]
    Numbers {
        /// The journal.
        journal: JournalId,
    },
}

/// The token of [`Input::Watch`] whose answer nobody waits for.
pub const UNAWAITED: u32 = 0;

/// How a session stands, for people.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// What the peer calls itself, once it said hello.
    pub name: Option<String>,
    /// Whether both have said what they hold.
    pub met: bool,
    /// How many entries the peer lacks, as far as is known.
    pub to_send: u64,
    /// How many entries the peer holds and we lack, as far as is known.
    pub to_receive: u64,
    /// Journals that we do not take from the peer, and why.
    pub stuck: Vec<(JournalId, String)>,
    /// Journals that the peer does not take from us, and why.
    pub refused: Vec<(JournalId, String)>,
    /// The last token that the peer gave back: it had sealed, and said what it holds.
    pub sealed: Option<u32>,
}
