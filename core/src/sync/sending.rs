//! The sending half of a session: what the peer lacks, and what is on its way to it.
//!
//! Invariants: what the peer holds is what it said; what was sent is only hoped to have arrived
//! until the peer says so. At most [`WINDOW_BYTES`] are hoped for at a time, and one batch more,
//! which bounds the memory of both sides.

use std::collections::BTreeMap;

use super::message::{Obstacle, Scope};
use super::port::Held;
use crate::ids::JournalId;
use crate::vector::VersionVector;

/// How many bytes of entries are sent before the peer has said that it holds what came before.
pub const WINDOW_BYTES: usize = 8 << 20;

/// A batch that was sent and of which the peer has not said that it holds it.
#[derive(Debug)]
struct Sent {
    journal: JournalId,
    until: u64,
    bytes: usize,
}

/// The sending half of a session.
#[derive(Debug, Default)]
pub(super) struct Sending {
    /// How many entries of each journal the peer holds, by what it said; none before it did.
    theirs: Option<BTreeMap<JournalId, u64>>,
    in_flight: Vec<Sent>,
    loading: Option<JournalId>,
    refused: BTreeMap<JournalId, (Obstacle, String)>,
}

impl Sending {
    /// Whether the peer has said what it holds.
    pub(super) const fn knows_theirs(&self) -> bool {
        self.theirs.is_some()
    }

    /// Whether the peer is known to hold so many entries of a journal.
    pub(super) fn they_hold(&self, journal: &JournalId, count: u64) -> bool {
        self.theirs().is_some_and(|theirs| theirs.get(journal).is_some_and(|held| *held >= count))
    }

    /// Whether the peer has shown this journal to us.
    pub(super) fn they_know(&self, journal: &JournalId) -> bool {
        self.theirs().is_some_and(|theirs| theirs.contains_key(journal))
    }

    const fn theirs(&self) -> Option<&BTreeMap<JournalId, u64>> {
        self.theirs.as_ref()
    }

    /// Takes in what the peer says it holds. Returns whether anything is on its way no longer.
    pub(super) fn they_have(&mut self, scope: Scope, vector: &VersionVector) -> bool {
        let counts = vector.iter().map(|(journal, tip)| (*journal, tip.count));
        match &mut self.theirs {
            Some(theirs) if scope == Scope::Changed => {
                for (journal, count) in counts {
                    let held = theirs.entry(journal).or_default();
                    *held = count.max(*held);
                }
            }
            // Before it said what it holds in all, what changed says too little.
            None if scope == Scope::Changed => return false,
            theirs => *theirs = Some(counts.collect()),
        }
        let before = self.in_flight.len();
        if scope == Scope::Again {
            self.in_flight.clear();
            self.refused.retain(|_, (obstacle, _)| !obstacle.may_pass());
        }
        let theirs = self.theirs.take().unwrap_or_default();
        self.in_flight
            .retain(|sent| theirs.get(&sent.journal).is_none_or(|count| *count < sent.until));
        self.theirs = Some(theirs);
        self.in_flight.len() < before
    }

    /// Notes that the peer sent us entries up to a number: it holds them.
    pub(super) fn they_sent(&mut self, journal: JournalId, until: u64) {
        if let Some(theirs) = &mut self.theirs {
            let held = theirs.entry(journal).or_default();
            *held = until.max(*held);
        }
        self.in_flight.retain(|sent| sent.journal != journal || sent.until > until);
    }

    /// How many journals the peer has named.
    pub(super) fn journals(&self) -> usize {
        self.theirs().map_or(0, BTreeMap::len)
    }

    /// Notes that the peer does not take a journal, at least for now.
    pub(super) fn they_refuse(&mut self, journal: JournalId, obstacle: Obstacle, text: String) {
        self.in_flight.retain(|sent| sent.journal != journal);
        self.refused.insert(journal, (obstacle, text));
    }

    /// What to read from the store next, if anything is to be sent and may be.
    pub(super) fn next_load(&mut self, held: &Held) -> Option<(JournalId, u64)> {
        let on_the_way: usize = self.in_flight.iter().map(|sent| sent.bytes).sum();
        if self.loading.is_some() || on_the_way >= WINDOW_BYTES {
            return None;
        }
        let lacking = held.vector.iter().filter_map(|(journal, tip)| {
            let from = self.sent_until(journal)?;
            (from < tip.count && !self.refused.contains_key(journal)).then_some((*journal, from))
        });
        // Who joined earlier comes first: a newcomer can tell who is a member only from the
        // journals of those who let them in.
        let next = lacking.min_by_key(|(journal, _)| {
            let since = held.membership.member(&journal.device).map(|member| member.since);
            (since.is_none(), since, *journal)
        })?;
        self.loading = Some(next.0);
        Some(next)
    }

    /// Up to where a journal was sent, if the peer has said what it holds.
    fn sent_until(&self, journal: &JournalId) -> Option<u64> {
        let held = self.theirs()?.get(journal).copied().unwrap_or(0);
        let sent = self.in_flight.iter().filter(|sent| sent.journal == *journal);
        Some(sent.map(|sent| sent.until).max().unwrap_or(0).max(held))
    }

    /// Notes what came from the store. Returns whether it is to be sent.
    pub(super) fn loaded(&mut self, journal: JournalId, until: u64, bytes: usize) -> bool {
        if self.loading.take() != Some(journal) || self.refused.contains_key(&journal) {
            return false;
        }
        if !self.they_hold(&journal, until) {
            self.in_flight.push(Sent { journal, until, bytes });
        }
        true
    }

    /// Whether anything was sent that the peer has not said to hold.
    pub(super) const fn waits_for_word(&self) -> bool {
        !self.in_flight.is_empty()
    }

    /// Takes what is on its way for lost.
    pub(super) fn start_over(&mut self) {
        self.in_flight.clear();
    }

    /// How many entries the peer lacks that it would take.
    pub(super) fn lacking(&self, held: &Held) -> u64 {
        let Some(theirs) = self.theirs() else { return 0 };
        let lacks = |(journal, tip): (&JournalId, &crate::vector::Tip)| {
            let refused = self.refused.contains_key(journal);
            if refused { 0 } else { tip.count.saturating_sub(*theirs.get(journal).unwrap_or(&0)) }
        };
        held.vector.iter().map(lacks).sum()
    }

    /// Of each journal, how many entries the peer holds and we lack.
    pub(super) fn ahead(&self, held: &Held) -> impl Iterator<Item = (&JournalId, u64)> {
        let theirs = self.theirs.iter().flatten();
        theirs
            .map(|(journal, count)| (journal, count.saturating_sub(held.vector.tip(journal).count)))
    }

    /// The journals that the peer does not take, and why.
    pub(super) fn refused(&self) -> impl Iterator<Item = (&JournalId, &str)> {
        self.refused.iter().map(|(journal, (_, text))| (journal, text.as_str()))
    }
}
