//! A session: one sync conversation between two devices, as a pure state machine.
//!
//! Invariants: nothing of the workspace is told to a peer that is not a member, but who we are;
//! what is put into the store goes there by [`Output::Ingest`] only; messages may be lost,
//! repeated or come in any order, and both sides still come to hold the same entries. One batch
//! is read from the store at a time.
//!
//! Who calls says hello, and who is called says so to members; both then say what they hold. Each
//! sends what the other lacks, journal by journal in order, then goes on with whatever is sealed or comes from elsewhere. A device that
//! has just joined knows no members yet: it says hello with its join and asks for everything,
//! which tells nobody anything, listens until what came says that the peer is a member, and tells
//! more then.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::message::{
    CONTACTS_SINCE, Farewell, FirstEntry, MAX_ENTRIES, MAX_FRAME_BYTES, Message, Obstacle, Scope,
    VERSION, cut,
};
use super::receiving::{Receiving, Verdict};
use super::sending::Sending;
use crate::act::{Act, ActKind};
use crate::clock::UnixMillis;
use crate::codec::DecodeError;
use crate::entry::{EntryError, UnverifiedEntry};
use crate::ids::{DeviceId, EntryHash, JournalId, WorkspaceId};
use crate::membership::{JoinRefusal, Membership};
use crate::operation::{Operation, OperationKind};
use crate::store::Fault;
use crate::ticket::Contact;
use crate::vector::{MAX_JOURNALS, Tip, VersionVector};

/// Entries are sent in batches of about this size.
pub const BATCH_BYTES: usize = 1 << 20;
/// Without word of what was sent for this long, it is sent again. Streams lose nothing, so there
/// this must be long enough for a batch over a slow link.
const RESEND_AFTER_MS: u64 = 60_000;
/// The longest time between two attempts.
const RESEND_AT_MOST_MS: u64 = 16 * RESEND_AFTER_MS;
/// The longest message of a peer that has yet to show that it is a member.
const MAX_STRANGER_BYTES: usize = 1 << 20;

/// What a device is told that is no member and shows no join, or asks for a workspace that is not
/// here.
const NOT_A_MEMBER: &str = "this device is not a member";

/// The goodbye to a stranger that names a workspace which is not here: it hears what it would hear if
/// the workspace were here and did not know it.
pub fn turned_away(first: Option<&FirstEntry>) -> Message {
    let text = match first {
        Some(_) => JoinRefusal::UnknownTicket.to_string(),
        None => NOT_A_MEMBER.to_owned(),
    };
    Message::Bye { farewell: Farewell::NotAMember, text }
}

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
    /// Read entries from the store: at least one, up to some bytes and [`MAX_ENTRIES`].
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

/// How far a journal of this device is, of which the peer holds another line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reclaim {
    /// So many entries of it came.
    Coming(u64),
    /// All came, or what came is not what it should be.
    Done,
}

/// One sync conversation between two devices.
#[derive(Debug)]
pub struct Session {
    peering: Peering,
    held: Held,
    sending: Sending,
    receiving: Receiving,
    outputs: VecDeque<Output>,
    /// How many entries of each journal the peer was told of or sent.
    told: BTreeMap<JournalId, u64>,
    /// This device's own journals that the peer holds otherwise, and whether all of that came.
    forked: BTreeMap<JournalId, Reclaim>,
    /// Journals that the peer sent though we hold them: it does not know that we do.
    owed: BTreeSet<JournalId>,
    /// Whether this device has said hello.
    introduced: bool,
    /// Whether this device knew no members when it called: whom it called is listened to.
    came_new: bool,
    /// Whether the peer was told all we hold since it is a member.
    told_all: bool,
    peer_name: Option<String>,
    /// The version of the protocol that the peer speaks, once it said hello.
    peer_version: Option<u32>,
    /// What the peer is to be told of where devices are.
    contacts: Vec<Contact>,
    /// Whether the peer's first entry is being ingested.
    admitting: bool,
    sealed: Option<u32>,
    wake_at: Option<u64>,
    attempts: u32,
    done: bool,
}

impl Session {
    /// A session that has not started.
    pub fn new(peering: Peering, held: Held) -> Self {
        let came_new = held.membership.role(&peering.device).is_none();
        Self {
            peering,
            held,
            came_new,
            sending: Sending::default(),
            receiving: Receiving::default(),
            outputs: VecDeque::new(),
            told: BTreeMap::new(),
            forked: BTreeMap::new(),
            owed: BTreeSet::new(),
            introduced: false,
            told_all: false,
            peer_name: None,
            peer_version: None,
            contacts: Vec::new(),
            admitting: false,
            sealed: None,
            wake_at: None,
            attempts: 0,
            done: false,
        }
    }

    /// Takes in what happened. What is to be done about it comes from [`Session::next`]. After an
    /// error the session is over; the peer is still to be sent what there is to send.
    pub fn handle(&mut self, now: UnixMillis, input: Input) -> Result<(), SyncError> {
        if self.done {
            return Ok(());
        }
        match input {
            Input::Started => {
                if self.peering.calls {
                    self.hello();
                }
                self.tell_all(Scope::All);
            }
            Input::Received(message) => {
                if let Err(error) = self.receive(now, message) {
                    let farewell = match error {
                        SyncError::OtherWorkspace(_) => Farewell::OtherWorkspace,
                        _ => Farewell::Nonsense,
                    };
                    self.leave(farewell, &error.to_string());
                    return Err(error);
                }
            }
            Input::Loaded { journal, first, previous, entries } => {
                self.loaded(journal, first, previous, entries);
            }
            Input::Ingested { batches, held, faults } => {
                let changed = self.hold(held);
                for (journal, fault) in &faults {
                    if matches!(fault, Fault::Entry(EntryError::BrokenChain { .. })) {
                        self.met_fork(*journal);
                    }
                }
                let refused = self.receiving.ingested(&self.held, batches, &faults);
                for (journal, obstacle, text) in refused {
                    // What is asked for as a whole is not refused.
                    if !self.forked.contains_key(&journal) {
                        self.refuse(journal, obstacle, text);
                    }
                }
                self.after_holding(changed);
                self.judge_admission();
            }
            Input::Changed(held) => {
                let changed = self.hold(held);
                self.after_holding(changed);
            }
            Input::Reclaimed { journal, tip, held } => {
                let changed = self.hold(held);
                self.reclaimed(journal, tip);
                self.after_holding(changed);
            }
            Input::Contacts(contacts) => self.contacts = contacts,
            Input::Watch { token } => self.send(Message::Watch { token }),
            Input::Sealed { token, held } => {
                let changed = self.hold(held);
                self.after_holding(changed);
                self.tell_all(Scope::All);
                self.send(Message::Sealed { token });
            }
            Input::Tick => self.tick(now),
            Input::Stop => self.leave(Farewell::Leaving, "the device stops"),
        }
        self.go_on(now);
        Ok(())
    }

    /// What is to be done next, if anything.
    #[expect(clippy::should_implement_trait, reason = "a session is not over when it has nothing")]
    pub fn next(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The longest message that the peer may send now.
    pub fn frame_limit(&self) -> usize {
        if self.peer_is_member() || self.is_newcomer() {
            MAX_FRAME_BYTES
        } else {
            MAX_STRANGER_BYTES
        }
    }

    /// How the session stands.
    pub fn status(&self) -> Status {
        let owned = |(journal, text): (&JournalId, &str)| (*journal, text.to_owned());
        let takes = |(journal, _): &(&JournalId, u64)| self.receiving.takes(journal);
        let ahead = self.sending.ahead(&self.held).filter(takes);
        Status {
            name: self.peer_name.clone(),
            met: self.told_all && self.sending.knows_theirs(),
            to_send: self.sending.lacking(&self.held),
            to_receive: ahead.fold(0, |sum, (_, count)| sum.saturating_add(count)),
            stuck: self.receiving.not_taken().map(owned).collect(),
            refused: self.sending.refused().map(owned).collect(),
            sealed: self.sealed,
        }
    }

    fn peer_is_member(&self) -> bool {
        self.held.membership.role(&self.peering.peer).is_some()
    }

    /// Whether this device has yet to learn that it is a member, or that the peer is one which it
    /// came in through: of a peer that is not the founder, a later journal says so.
    fn is_newcomer(&self) -> bool {
        let (members, Peering { device: own, peer, .. }) = (&self.held.membership, &self.peering);
        let knows_peer = members.role(peer).is_some() || members.was_removed(peer);
        let listens = members.role(own).is_none() || (self.came_new && !knows_peer);
        listens && !members.was_removed(own)
    }

    fn send(&mut self, message: Message) {
        self.outputs.push_back(Output::Send(message));
    }

    fn leave(&mut self, farewell: Farewell, text: &str) {
        self.send(Message::Bye { farewell, text: cut(text).to_owned() });
        self.outputs.push_back(Output::Done(Ended::Here(farewell)));
        self.done = true;
    }

    fn hello(&mut self) {
        self.introduced = true;
        let Peering { workspace, name, first, .. } = self.peering.clone();
        self.send(Message::Hello { version: VERSION, workspace, name, first });
    }

    /// Tells the peer all that we hold and it may know of.
    fn tell_all(&mut self, scope: Scope) {
        let vector = if self.peer_is_member() {
            self.told_all = true;
            self.held_but_forked()
        } else if self.is_newcomer() {
            // Asks for everything. What the peer itself has shown us is no news to it.
            let mut vector = VersionVector::new();
            let shown = |journal: &JournalId| self.sending.they_know(journal);
            for (journal, tip) in self.held.vector.iter().filter(|(journal, _)| shown(journal)) {
                vector.set(*journal, *tip);
            }
            vector
        } else {
            return;
        };
        for (journal, tip) in vector.iter() {
            self.told.insert(*journal, tip.count);
        }
        if !self.introduced {
            self.hello();
        }
        self.send(Message::Have { scope, vector });
    }

    fn receive(&mut self, now: UnixMillis, message: Message) -> Result<(), SyncError> {
        match message {
            Message::Hello { version, workspace, name, first } => {
                if workspace != self.peering.workspace {
                    return Err(SyncError::OtherWorkspace(workspace));
                }
                self.peer_version = Some(version);
                self.greet(now, name, first);
            }
            Message::Have { scope, vector } => self.they_have(scope, &vector),
            Message::Entries { journal, first, previous, entries } => {
                let until = first.checked_add(entries.len() as u64);
                let until = until.ok_or(SyncError::Numbers { journal })?;
                // Entries of a stranger are not looked at, but by one who knows nobody yet.
                if self.peer_is_member() || self.is_newcomer() {
                    self.sending.they_sent(journal, until);
                    self.take(journal, first, until, previous, entries);
                }
            }
            Message::Refuse { journal, obstacle, text } => {
                if obstacle == Obstacle::BrokenChain {
                    self.met_fork(journal);
                }
                if self.held.vector.tip(&journal).count > 0 {
                    self.sending.they_refuse(journal, obstacle, text);
                }
            }
            Message::Watch { token } if self.peer_is_member() => {
                self.outputs.push_back(Output::Seal { token });
            }
            Message::Watch { .. } => {}
            Message::Sealed { token } if token == UNAWAITED => {}
            Message::Sealed { token } => self.sealed = Some(token),
            Message::Contacts { contacts } if self.peer_is_member() => {
                self.outputs.push_back(Output::Learn(contacts));
            }
            Message::Contacts { .. } => {}
            Message::Bye { farewell, text } => {
                self.outputs.push_back(Output::Done(Ended::There(farewell, text)));
                self.done = true;
            }
        }
        if self.sending.journals().max(self.receiving.journals()) > MAX_JOURNALS {
            return Err(SyncError::TooManyJournals);
        }
        Ok(())
    }

    fn greet(&mut self, now: UnixMillis, name: String, first: Option<FirstEntry>) {
        let again = self.peer_name.replace(name).is_some();
        if self.peer_is_member() {
            if again {
                // It has not heard from us.
                self.tell_all(Scope::All);
            }
            return;
        }
        match first {
            // Who knows nobody yet cannot tell, and listens: it comes in its turn.
            _ if self.is_newcomer() => {}
            Some(FirstEntry { incarnation, stored }) => {
                let journal = JournalId { device: self.peering.peer, incarnation };
                if let Some(refusal) = self.refusal(now, journal, &stored) {
                    return self.leave(Farewell::NotAMember, &refusal.to_string());
                }
                self.admitting = true;
                self.take(journal, 0, 1, Tip::START.hash, vec![stored]);
                self.judge_admission();
            }
            None => self.leave(Farewell::NotAMember, NOT_A_MEMBER),
        }
        if again {
            self.tell_all(Scope::All);
        }
    }

    /// Why a stranger's join is not let in here and now, by what is known here.
    ///
    /// Of two joins by one ticket that meet later, the set of acts decides; but to who comes to
    /// this door with a ticket that is used up or has ended, it is closed.
    fn refusal(&self, now: UnixMillis, journal: JournalId, stored: &[u8]) -> Option<JoinRefusal> {
        let entry = UnverifiedEntry::decode(journal, 0, stored).ok()?;
        let join = entry.operations().iter().find_map(|operation| match operation {
            Operation::Whole { kind, content, .. } if *kind == OperationKind::Act as u8 => {
                let act = Act::decode(content).ok()??;
                matches!(act.kind, ActKind::Join { .. }).then_some(act.kind)
            }
            _ => None,
        })?;
        let membership = &self.held.membership;
        membership.may_join(self.peering.workspace, &journal.device, &join, now.0).err()
    }

    /// Ends the session with a peer whose first entry did not make it a member.
    fn judge_admission(&mut self) {
        if !self.admitting || self.receiving.is_busy() {
            return;
        }
        self.admitting = false;
        if !self.peer_is_member() && !self.is_newcomer() {
            // Whoever had a ticket of this workspace was told more before its entry was taken.
            self.leave(Farewell::NotAMember, &JoinRefusal::UnknownTicket.to_string());
        }
    }

    fn they_have(&mut self, scope: Scope, vector: &VersionVector) {
        if self.sending.they_have(scope, vector) {
            self.attempts = 0;
            self.wake_at = None;
        }
        for (journal, tip) in vector.iter() {
            let ours = self.held.vector.tip(journal);
            if ours.count == tip.count && ours.hash != tip.hash {
                self.receiving.forked(*journal);
                self.met_fork(*journal);
            }
        }
    }

    /// Asks for the whole of the peer's line of a journal, if it is one of this device's own.
    fn met_fork(&mut self, journal: JournalId) {
        let is_held = self.held.vector.tip(&journal).count > 0;
        let is_own = journal.device == self.peering.device && is_held;
        if is_own && self.peer_is_member() && !self.forked.contains_key(&journal) {
            self.forked.insert(journal, Reclaim::Coming(0));
            self.told.remove(&journal);
            self.tell_all(Scope::Again);
        }
    }

    /// Takes in that entries of the peer's line are here. The peer hears so, and sends more.
    fn reclaimed(&mut self, journal: JournalId, tip: Option<Tip>) {
        let Some(tip) = tip else {
            self.forked.insert(journal, Reclaim::Done);
            return;
        };
        if self.sending.they_hold(&journal, tip.count + 1) {
            self.forked.insert(journal, Reclaim::Coming(tip.count));
        } else {
            self.forked.insert(journal, Reclaim::Done);
        }
        let mut vector = VersionVector::new();
        vector.set(journal, tip);
        self.send(Message::Have { scope: Scope::Changed, vector });
    }

    /// What this device holds, but for journals whose other lines it asks for.
    fn held_but_forked(&self) -> VersionVector {
        let mut vector = VersionVector::new();
        for (journal, tip) in self.held.vector.iter() {
            if !matches!(self.forked.get(journal), Some(Reclaim::Coming(_))) {
                vector.set(*journal, *tip);
            }
        }
        vector
    }

    fn take(
        &mut self,
        journal: JournalId,
        first: u64,
        until: u64,
        previous: EntryHash,
        entries: Vec<Vec<u8>>,
    ) {
        if let Some(Reclaim::Coming(count)) = self.forked.get(&journal).copied() {
            if first <= count && until > count {
                self.outputs.push_back(Output::Reclaim { journal, first, previous, entries });
            }
            return;
        }
        match self.receiving.judge(&self.held, journal, first, until) {
            Verdict::Take => {
                self.outputs.push_back(Output::Ingest { journal, first, previous, entries });
            }
            Verdict::Known => {
                self.owed.insert(journal);
            }
            Verdict::Gap => {}
            Verdict::Refuse(obstacle, text) => self.refuse(journal, obstacle, text),
        }
    }

    /// Says why entries are not taken; a stranger hears that with the goodbye.
    fn refuse(&mut self, journal: JournalId, obstacle: Obstacle, text: String) {
        if self.introduced {
            self.send(Message::Refuse { journal, obstacle, text });
        }
    }

    fn loaded(
        &mut self,
        journal: JournalId,
        first: u64,
        previous: EntryHash,
        entries: Vec<Vec<u8>>,
    ) {
        let until = first + entries.len() as u64;
        let bytes = entries.iter().map(Vec::len).sum();
        let wanted = self.sending.loaded(journal, until, bytes);
        if entries.is_empty() {
            let text = "they are not here".to_owned();
            self.sending.they_refuse(journal, Obstacle::Malformed, text);
        } else if wanted {
            let told = self.told.entry(journal).or_default();
            *told = until.max(*told);
            self.send(Message::Entries { journal, first, previous, entries });
        }
    }

    /// Takes in what is held now. Returns whether the members are others.
    fn hold(&mut self, held: Held) -> bool {
        let changed = self.held.membership != held.membership;
        let before = std::mem::replace(&mut self.held, held);
        let less = before
            .vector
            .iter()
            .any(|(journal, tip)| self.held.vector.tip(journal).count < tip.count);
        if less && self.told_all {
            // Some of it does not count any more: the peer is not to believe that it is here.
            self.told.clear();
            self.tell_all(Scope::All);
        }
        changed
    }

    fn after_holding(&mut self, membership_changed: bool) {
        if membership_changed {
            self.receiving.membership_changed(&self.held);
            if self.told_all && !self.peer_is_member() {
                return self.leave(Farewell::NotAMember, "this device is not a member any more");
            }
        }
        if self.peer_is_member() && !self.told_all {
            self.tell_all(Scope::All);
        }
    }

    /// Tells the peer what has come to be held here and what it was not told or sent; what it
    /// lacks it is sent instead.
    fn tell_changes(&mut self) {
        if !self.told_all && !self.is_newcomer() {
            return;
        }
        let owed = std::mem::take(&mut self.owed);
        let mut vector = VersionVector::new();
        for (journal, tip) in self.held.vector.iter() {
            if matches!(self.forked.get(journal), Some(Reclaim::Coming(_))) {
                continue;
            }
            let told = self.told.get(journal).is_some_and(|told| *told >= tip.count);
            if owed.contains(journal) || (!told && self.sending.they_hold(journal, tip.count)) {
                vector.set(*journal, *tip);
            }
        }
        if vector.is_empty() {
            return;
        }
        for (journal, tip) in vector.iter() {
            self.told.insert(*journal, tip.count);
        }
        self.send(Message::Have { scope: Scope::Changed, vector });
    }

    /// Tells a member where devices are. A hint that is lost is not sent again.
    fn tell_contacts(&mut self) {
        let understood = self.peer_version.is_some_and(|version| version >= CONTACTS_SINCE);
        if understood && self.told_all && self.peer_is_member() && !self.contacts.is_empty() {
            let contacts = std::mem::take(&mut self.contacts);
            self.send(Message::Contacts { contacts });
        }
    }

    /// Whether something is expected of the peer.
    fn waits(&self) -> bool {
        let wants_to_meet = self.peer_is_member() || self.is_newcomer();
        self.forked.values().any(|line| matches!(line, Reclaim::Coming(_)))
            || self.sending.waits_for_word()
            || self.receiving.waits()
            || (wants_to_meet && !self.sending.knows_theirs())
    }

    fn tick(&mut self, now: UnixMillis) {
        if self.wake_at.is_none_or(|at| now.0 < at) {
            return;
        }
        self.wake_at = None;
        if !self.waits() {
            return;
        }
        self.attempts += 1;
        self.sending.start_over();
        self.receiving.insist();
        if self.forked.values().any(|line| matches!(line, Reclaim::Coming(_))) {
            self.tell_all(Scope::Again);
        }
        if !self.sending.knows_theirs() {
            self.hello();
            self.tell_all(Scope::All);
        }
    }

    /// Does what can be done after any input.
    fn go_on(&mut self, now: UnixMillis) {
        if self.done {
            return;
        }
        let (held, sending) = (&self.held, &self.sending);
        let has_more =
            |journal: &JournalId| sending.they_hold(journal, held.vector.tip(journal).count + 1);
        self.receiving.settle(has_more);
        if self.receiving.take_ask() {
            self.tell_all(Scope::Again);
        }
        self.tell_changes();
        self.tell_contacts();
        if self.peer_is_member()
            && let Some((journal, from)) = self.sending.next_load(&self.held)
        {
            let (max_bytes, max_entries) = (BATCH_BYTES, MAX_ENTRIES);
            self.outputs.push_back(Output::Load { journal, from, max_bytes, max_entries });
        }
        if !self.waits() {
            self.attempts = 0;
            self.wake_at = None;
        } else if self.wake_at.is_none() {
            let after = RESEND_AFTER_MS << self.attempts.min(4);
            let at = now.0.saturating_add(after.min(RESEND_AT_MOST_MS));
            self.wake_at = Some(at);
            self.outputs.push_back(Output::WakeAt(UnixMillis(at)));
        }
    }
}
