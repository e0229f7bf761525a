//! The receiving half of a session: what is being ingested, and what is not taken.
//!
//! Invariants: entries are passed on in order, journal by journal, and never beyond a gap; a
//! fault stops one journal and no other. A journal whose device is not known to be a member, or may
//! only read, is put off, and asked for again once that is otherwise.

use std::collections::{BTreeMap, BTreeSet};

use super::message::Obstacle;
use super::port::Held;
use crate::ids::JournalId;
use crate::store::Fault;

/// What to do with entries that came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Ingest them.
    Take,
    /// They are here already.
    Known,
    /// Some are missing before them.
    Gap,
    /// They are not taken, for this reason.
    Refuse(Obstacle, String),
}

/// The receiving half of a session.
#[derive(Debug, Default)]
pub(super) struct Receiving {
    /// How many batches are being ingested.
    batches: usize,
    /// The number expected next of journals that are being ingested.
    coming: BTreeMap<JournalId, u64>,
    /// Journals not taken any more in this session.
    stuck: BTreeMap<JournalId, (Obstacle, String)>,
    /// Journals not taken until their devices are known to be members, or to be writers.
    put_off: BTreeMap<JournalId, (Obstacle, String)>,
    /// Journals that were put off and are asked for again.
    asked: BTreeSet<JournalId>,
    /// Whether to ask the peer to send again what we lack.
    ask_again: bool,
}

impl Receiving {
    /// Judges entries `first..until` of a journal; if they are to be taken, notes them as coming.
    pub(super) fn judge(
        &mut self,
        held: &Held,
        journal: JournalId,
        first: u64,
        until: u64,
    ) -> Verdict {
        if let Some((obstacle, text)) = self.stuck.get(&journal) {
            return Verdict::Refuse(*obstacle, text.clone());
        }
        if let Some((obstacle, text)) = self.put_off.get(&journal) {
            return Verdict::Refuse(*obstacle, text.clone());
        }
        let count = held.vector.tip(&journal).count;
        let next = self.coming.get(&journal).copied().unwrap_or(0).max(count);
        if first > next {
            self.ask_again = true;
            return Verdict::Gap;
        }
        if until <= next {
            return Verdict::Known;
        }
        self.asked.remove(&journal);
        self.coming.insert(journal, until);
        self.batches += 1;
        Verdict::Take
    }

    /// Takes in what came of ingesting. `held` is what is held after it. Returns the journals that
    /// are not taken and why.
    pub(super) fn ingested(
        &mut self,
        held: &Held,
        batches: usize,
        faults: &[(JournalId, Fault)],
    ) -> Vec<(JournalId, Obstacle, String)> {
        self.batches = self.batches.saturating_sub(batches);
        if self.batches == 0 {
            self.coming.clear();
        }
        let mut refused = Vec::new();
        for (journal, fault) in faults {
            self.coming.remove(journal);
            let text = describe(fault);
            match Obstacle::of(fault) {
                None => self.ask_again = true,
                // What came in the same batch has let it in meanwhile.
                Some(obstacle) if obstacle.may_pass() && lets_in(held, journal, obstacle) => {
                    self.ask_for(*journal);
                }
                Some(obstacle) if obstacle.may_pass() => {
                    self.put_off.insert(*journal, (obstacle, text.clone()));
                    refused.push((*journal, obstacle, text));
                }
                Some(obstacle) => {
                    self.stuck.insert(*journal, (obstacle, text.clone()));
                    refused.push((*journal, obstacle, text));
                }
            }
        }
        refused
    }

    /// Asks again for journals whose devices have become members, or writers, or may have, for
    /// their first entries are joins that nobody here could judge before.
    pub(super) fn membership_changed(&mut self, held: &Held) {
        let put_off = std::mem::take(&mut self.put_off);
        for (journal, (obstacle, text)) in put_off {
            let starts = held.vector.tip(&journal).count == 0;
            let may_join = starts && !held.membership.was_removed(&journal.device);
            if may_join || lets_in(held, &journal, obstacle) {
                self.ask_for(journal);
            } else {
                self.put_off.insert(journal, (obstacle, text));
            }
        }
    }

    fn ask_for(&mut self, journal: JournalId) {
        self.asked.insert(journal);
        self.ask_again = true;
    }

    /// Notes that the peer's line of a journal is another than ours.
    pub(super) fn forked(&mut self, journal: JournalId) {
        let text = format!("there are two lines of journal {journal}");
        self.stuck.entry(journal).or_insert((Obstacle::BrokenChain, text));
    }

    /// Whether it is time to ask the peer to send again what we lack; once.
    pub(super) fn take_ask(&mut self) -> bool {
        // What is being ingested would be asked for in vain.
        self.batches == 0 && std::mem::take(&mut self.ask_again)
    }

    /// Whether something is being ingested.
    pub(super) const fn is_busy(&self) -> bool {
        self.batches > 0
    }

    /// Forgets having asked for journals of which the peer has nothing more.
    pub(super) fn settle(&mut self, has_more: impl Fn(&JournalId) -> bool) {
        self.asked.retain(has_more);
    }

    /// How many journals are not taken.
    pub(super) fn journals(&self) -> usize {
        self.stuck.len() + self.put_off.len()
    }

    /// Whether the peer was asked for something that has not come.
    pub(super) fn waits(&self) -> bool {
        !self.asked.is_empty()
    }

    /// Asks once more for what has not come.
    pub(super) fn insist(&mut self) {
        self.ask_again |= self.waits();
    }

    /// Whether entries of a journal would be taken.
    pub(super) fn takes(&self, journal: &JournalId) -> bool {
        !self.stuck.contains_key(journal) && !self.put_off.contains_key(journal)
    }

    /// The journals not taken, and why.
    pub(super) fn not_taken(&self) -> impl Iterator<Item = (&JournalId, &str)> {
        let stuck = self.stuck.iter().map(|(journal, (_, text))| (journal, text.as_str()));
        stuck.chain(self.put_off.iter().map(|(journal, (_, text))| (journal, text.as_str())))
    }
}

/// Whether what stood in the way of a journal's next entry is gone.
fn lets_in(held: &Held, journal: &JournalId, obstacle: Obstacle) -> bool {
    let next = held.vector.tip(journal).count;
    let counts = held.membership.limit(journal).is_none_or(|limit| next < limit);
    counts && (obstacle != Obstacle::NotAWriter || held.membership.may_hold_data(journal, next))
}

/// A fault and its causes, for people.
fn describe(fault: &Fault) -> String {
    let mut text = fault.to_string();
    let mut cause = std::error::Error::source(fault);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    super::message::cut(&text).to_owned()
}
