//! The hybrid logical clock: what orders edits between devices.
//!
//! Invariants: a device's clock never goes back and never repeats; it follows wall time when wall
//! time runs, and counts when it stands still. Nothing is ever ordered by wall time alone.
//!
//! Kulkarni et al., "Logical Physical Clocks" (2014): 48 bits of milliseconds, 16 bits of counter.

use serde::{Deserialize, Serialize};

/// Milliseconds since 1970 by a device's own wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct UnixMillis(pub u64);

/// A moment of the hybrid clock.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Clock(pub u64);

/// A clock further ahead of our wall clock than this is stored but not adopted: 24 hours.
pub const MAX_AHEAD_MS: u64 = 24 * 60 * 60 * 1000;

const COUNTER_BITS: u32 = 16;

impl Clock {
    /// The first moment of a millisecond.
    pub const fn from_millis(millis: UnixMillis) -> Self {
        Self(millis.0 << COUNTER_BITS)
    }

    /// The wall time in it, in milliseconds since 1970.
    pub const fn millis(self) -> u64 {
        self.0 >> COUNTER_BITS
    }

    /// Returns the next moment to write with: after this one, and not before `now`.
    #[must_use]
    pub fn tick(self, now: UnixMillis) -> Self {
        Self::from_millis(now).max(Self(self.0.saturating_add(1)))
    }

    /// Returns this clock after having seen another device's, which is adopted unless it is more
    /// than [`MAX_AHEAD_MS`] ahead of `now`.
    #[must_use]
    pub fn observe(self, seen: Self, now: UnixMillis) -> Self {
        if seen.is_too_far_ahead(now) { self } else { self.max(seen) }
    }

    /// Whether this moment is too far ahead of `now` to be adopted.
    pub const fn is_too_far_ahead(self, now: UnixMillis) -> bool {
        self.millis() > now.0.saturating_add(MAX_AHEAD_MS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_never_goes_back_when_wall_time_does() {
        let first = Clock::default().tick(UnixMillis(1_000));
        let second = first.tick(UnixMillis(400));
        assert!(second > first);
        assert_eq!(second.millis(), 1_000);
        assert_eq!(second.tick(UnixMillis(2_000)).millis(), 2_000);
    }

    #[test]
    fn a_clock_a_year_ahead_is_not_adopted() {
        let now = UnixMillis(1_000_000_000_000);
        let ours = Clock::from_millis(now);
        let ahead = Clock::from_millis(UnixMillis(now.0 + 365 * MAX_AHEAD_MS));
        assert_eq!(ours.observe(ahead, now), ours);
        let near = Clock::from_millis(UnixMillis(now.0 + 5_000));
        assert_eq!(ours.observe(near, now), near);
    }
}
