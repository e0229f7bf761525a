//! Which parts of a blob are to come still, and which peer brings which.
//!
//! Invariants: each byte that is missing is in one part; one source at a time brings a part, from its
//! start on; who has nothing to do takes the second half of the longest part, or all of one whose
//! source has stopped, so that no source is waited for while another could go on. It is told the time.

use std::ops::Range;
use std::time::{Duration, Instant};

use super::tree::GROUP_BYTES;

/// A part is divided while both halves have this much, or more: a source that is to stop has sent some
/// hundred KiB more by then.
const MIN_HALF_BYTES: u64 = 4 << 20;
/// How long a source may bring nothing before another that has nothing to do takes its part over.
const STALLED_AFTER: Duration = Duration::from_secs(5);

/// The parts of one blob, and its sources by their numbers.
#[derive(Debug)]
pub(super) struct Parts {
    waiting: Vec<Range<u64>>,
    sources: Vec<Source>,
}

#[derive(Debug)]
enum Source {
    Idle,
    /// Brings a part. What of it has come is not in `rest` any more.
    Busy {
        rest: Range<u64>,
        moved: Instant,
    },
    /// It stopped, and another has its part. It is given no other.
    Passed,
}

/// What a source is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// To bring the part that starts there, until it is told to stop.
    Part(u64),
    /// To ask again then, or when a part was given back.
    Later(Instant),
    /// Nothing: everything is here.
    Done,
}

impl Parts {
    /// Parts that nobody brings yet.
    pub(super) fn new(missing: Vec<Range<u64>>, sources: usize) -> Self {
        let sources = std::iter::repeat_with(|| Source::Idle).take(sources).collect();
        Self { waiting: missing, sources }
    }

    /// Gives a source that has nothing to do its next part.
    pub(super) fn next(&mut self, source: usize, now: Instant) -> Next {
        let part = self.waiting.pop().or_else(|| self.divide()).or_else(|| self.take_over(now));
        if let Some(rest) = part {
            let start = rest.start;
            self.sources[source] = Source::Busy { rest, moved: now };
            return Next::Part(start);
        }
        let moved = self.sources.iter().filter_map(|source| match source {
            Source::Busy { moved, .. } => Some(*moved),
            Source::Idle | Source::Passed => None,
        });
        moved.min().map_or(Next::Done, |moved| Next::Later(moved + STALLED_AFTER))
    }

    /// Whether a source is to bring what starts there.
    pub(super) fn awaits(&self, source: usize, at: u64) -> bool {
        matches!(&self.sources[source], Source::Busy { rest, .. } if rest.start == at)
    }

    /// Notes that a source has brought its part up to there. Returns whether it goes on.
    pub(super) fn advance(&mut self, source: usize, to: u64, now: Instant) -> bool {
        let Source::Busy { rest, moved } = &mut self.sources[source] else { return false };
        (rest.start, *moved) = (to, now);
        let goes_on = rest.start < rest.end;
        if !goes_on {
            self.sources[source] = Source::Idle;
        }
        goes_on
    }

    /// Takes back what a source has not brought.
    pub(super) fn give_back(&mut self, source: usize) {
        if let Source::Busy { rest, .. } = &mut self.sources[source] {
            self.waiting.push(rest.clone());
            self.sources[source] = Source::Idle;
        }
    }

    /// Whether another has the part of a source, because it stopped.
    pub(super) fn is_passed(&self, source: usize) -> bool {
        matches!(self.sources[source], Source::Passed)
    }

    /// Whether everything is here.
    pub(super) fn is_done(&self) -> bool {
        let busy = |source: &Source| matches!(source, Source::Busy { .. });
        self.waiting.is_empty() && !self.sources.iter().any(busy)
    }

    /// Takes the second half of the longest part, if that is long enough.
    fn divide(&mut self) -> Option<Range<u64>> {
        let rests = self.sources.iter_mut().filter_map(|source| match source {
            Source::Busy { rest, .. } => Some(rest),
            Source::Idle | Source::Passed => None,
        });
        let rest = rests.max_by_key(|rest| rest.end - rest.start)?;
        let half = (rest.end - rest.start) / 2 / GROUP_BYTES * GROUP_BYTES;
        if half < MIN_HALF_BYTES {
            return None;
        }
        let second = rest.start + half..rest.end;
        rest.end = second.start;
        Some(second)
    }

    /// Takes all of the part of a source that has brought nothing for long.
    fn take_over(&mut self, now: Instant) -> Option<Range<u64>> {
        self.sources.iter_mut().find_map(|source| match source {
            Source::Busy { rest, moved } if now >= *moved + STALLED_AFTER => {
                let rest = rest.clone();
                *source = Source::Passed;
                Some(rest)
            }
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn whole(size: u64) -> Vec<Range<u64>> {
        vec![Range { start: 0, end: size }]
    }

    #[test]
    fn who_has_nothing_to_do_takes_half_of_the_longest() {
        let now = Instant::now();
        let mut parts = Parts::new(whole(64 * MIB), 3);
        assert_eq!(parts.next(0, now), Next::Part(0));
        assert_eq!(parts.next(1, now), Next::Part(32 * MIB));
        assert!(parts.advance(0, 4 * MIB, now));
        assert_eq!(parts.next(2, now), Next::Part(48 * MIB));
        // The first is fast, and goes on with half of what is left to another.
        assert!(!parts.advance(0, 32 * MIB, now));
        assert_eq!(parts.next(0, now), Next::Part(56 * MIB));
        assert!(parts.awaits(1, 32 * MIB) && !parts.awaits(0, 32 * MIB));
        assert!(parts.advance(1, 44 * MIB, now));
        assert!(!parts.advance(0, 64 * MIB, now));
        assert_eq!(parts.next(0, now), Next::Part(52 * MIB));
        assert!(!parts.advance(0, 56 * MIB, now));
        assert_eq!(parts.next(0, now), Next::Later(now + STALLED_AFTER), "4 at each are too few");
        assert!(!parts.advance(1, 48 * MIB, now) && !parts.is_done());
        assert!(!parts.advance(2, 52 * MIB, now));
        assert!(parts.is_done());
        assert_eq!(parts.next(0, now), Next::Done);
    }

    #[test]
    fn what_a_source_gives_back_another_brings() {
        let now = Instant::now();
        let mut parts = Parts::new(vec![0..MIB, 5 * MIB..6 * MIB], 2);
        assert_eq!(parts.next(0, now), Next::Part(5 * MIB));
        assert_eq!(parts.next(1, now), Next::Part(0));
        parts.advance(0, 5 * MIB + GROUP_BYTES, now);
        parts.give_back(0);
        assert!(!parts.is_passed(0) && !parts.awaits(0, 5 * MIB + GROUP_BYTES));
        assert!(!parts.advance(1, MIB, now));
        assert_eq!(parts.next(1, now), Next::Part(5 * MIB + GROUP_BYTES));
        parts.give_back(1);
        assert!(!parts.is_done(), "a part waits");
    }

    #[test]
    fn who_stops_is_passed_by_one_that_waits() {
        let now = Instant::now();
        let mut parts = Parts::new(whole(MIB), 2);
        assert_eq!(parts.next(0, now), Next::Part(0));
        let late = now + STALLED_AFTER;
        assert_eq!(parts.next(1, now), Next::Later(late));
        assert!(parts.advance(0, GROUP_BYTES, now));
        assert_eq!(parts.next(1, late), Next::Part(GROUP_BYTES));
        assert!(parts.is_passed(0) && !parts.awaits(0, GROUP_BYTES));
        assert!(!parts.advance(0, 2 * GROUP_BYTES, late), "it is not asked any more");
        parts.give_back(0);
        assert!(parts.awaits(1, GROUP_BYTES));
    }

    #[test]
    fn a_blob_of_no_bytes_is_asked_for_all_the_same() {
        let now = Instant::now();
        let mut parts = Parts::new(whole(0), 1);
        assert_eq!(parts.next(0, now), Next::Part(0));
        assert!(parts.awaits(0, 0) && !parts.is_done());
        assert!(!parts.advance(0, 0, now));
        assert!(parts.is_done());
    }
}
