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

use super::admission::{self, NOT_A_MEMBER};
use super::forks::Forks;
use super::message::{
    CONTACTS_SINCE, Farewell, FirstEntry, MAX_ENTRIES, MAX_FRAME_BYTES, Message, Obstacle, Scope,
    VERSION, cut,
};
use super::port::{Ended, Held, Input, Output, Peering, Status, SyncError, UNAWAITED};
use super::receiving::{Receiving, Verdict};
use super::sending::Sending;
use crate::clock::UnixMillis;
use crate::entry::EntryError;
use crate::ids::{EntryHash, JournalId};
use crate::membership::JoinRefusal;
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
    /// This device's own journals that the peer holds otherwise.
    forks: Forks,
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
            forks: Forks::default(),
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
                    if !self.forks.knows(&journal) {
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
                let (members, workspace) = (&self.held.membership, self.peering.workspace);
                if let Some(refusal) = admission::refusal(members, workspace, now, journal, &stored)
                {
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
        if is_own && self.peer_is_member() && !self.forks.knows(&journal) {
            self.forks.has_come(journal, 0);
            self.told.remove(&journal);
            self.tell_all(Scope::Again);
        }
    }

    /// Takes in that entries of the peer's line are here. The peer hears so, and sends more.
    fn reclaimed(&mut self, journal: JournalId, tip: Option<Tip>) {
        let Some(tip) = tip else {
            self.forks.end(journal);
            return;
        };
        if self.sending.they_hold(&journal, tip.count + 1) {
            self.forks.has_come(journal, tip.count);
        } else {
            self.forks.end(journal);
        }
        let mut vector = VersionVector::new();
        vector.set(journal, tip);
        self.send(Message::Have { scope: Scope::Changed, vector });
    }

    /// What this device holds, but for journals whose other lines it asks for.
    fn held_but_forked(&self) -> VersionVector {
        let mut vector = VersionVector::new();
        for (journal, tip) in self.held.vector.iter() {
            if self.forks.next(journal).is_none() {
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
        if let Some(next) = self.forks.next(&journal) {
            if first <= next && until > next {
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
            if self.forks.next(journal).is_some() {
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
        self.forks.are_coming()
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
        if self.forks.are_coming() {
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
