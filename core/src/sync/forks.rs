//! This device's own journals of which the peer holds another line: what only the peer has left of
//! them is asked for as a whole, and carried over.

use std::collections::BTreeMap;

use crate::ids::JournalId;

/// How far the peer's line of a journal is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    /// So many entries of it came.
    Coming(u64),
    /// All came, or what came is not what it should be.
    Done,
}

/// Journals that forked, as far as this session has met them.
#[derive(Debug, Default)]
pub(super) struct Forks(BTreeMap<JournalId, Line>);

impl Forks {
    /// Whether the peer was found to hold another line of a journal.
    pub(super) fn knows(&self, journal: &JournalId) -> bool {
        self.0.contains_key(journal)
    }

    /// The number of the next entry of the peer's line, while more of it is to come.
    pub(super) fn next(&self, journal: &JournalId) -> Option<u64> {
        match self.0.get(journal)? {
            Line::Coming(count) => Some(*count),
            Line::Done => None,
        }
    }

    /// Whether more of any line is to come.
    pub(super) fn are_coming(&self) -> bool {
        self.0.values().any(|line| matches!(line, Line::Coming(_)))
    }

    /// So many entries of the peer's line are here, and more are to come.
    pub(super) fn has_come(&mut self, journal: JournalId, count: u64) {
        self.0.insert(journal, Line::Coming(count));
    }

    /// No more of the peer's line is asked for.
    pub(super) fn end(&mut self, journal: JournalId) {
        self.0.insert(journal, Line::Done);
    }
}
