//! Runs for which clauses may hold, as the index alone tells.
//!
//! Invariant: once all keys of a column's range were read, no run for which its clause holds is
//! missing; some may be there for which it does not.

use super::column_range::{ColumnRange, Keys};
use super::condition::Condition;
use crate::ids::ExperimentId;
use crate::store::{Snapshot, StoreError};

/// A set of run numbers, which are dense.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct RunSet(Vec<u64>);

impl RunSet {
    pub(super) fn insert(&mut self, number: u32) {
        let word = number as usize / 64;
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= 1 << (number % 64);
    }

    pub(super) fn contains(&self, number: u32) -> bool {
        let word = self.0.get(number as usize / 64);
        word.is_some_and(|word| word & (1 << (number % 64)) != 0)
    }

    pub(super) fn len(&self) -> u64 {
        self.0.iter().map(|word| u64::from(word.count_ones())).sum()
    }

    /// Its numbers, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        let words = self.0.iter().enumerate().filter(|(_, word)| **word != 0);
        words.flat_map(|(at, word)| {
            let bits = (0..64).filter(move |bit| word & (1 << bit) != 0);
            bits.map(move |bit| at as u32 * 64 + bit)
        })
    }

    /// Keeps only what is in another set too.
    fn intersect(&mut self, other: &Self) {
        self.0.truncate(other.0.len());
        for (word, other) in self.0.iter_mut().zip(&other.0) {
            *word &= other;
        }
    }
}

/// The runs of one clause, read a few keys at a time.
struct Reading {
    keys: Keys,
    condition: Condition,
    runs: RunSet,
}

impl Reading {
    /// Reads up to so many keys. Says whether there are no more.
    fn read(&mut self, keys: u64) -> Result<bool, StoreError> {
        for _ in 0..keys {
            let Some(key) = self.keys.next().transpose()? else { return Ok(true) };
            if self.condition.holds_for_told(key.told()) != Some(false) {
                self.runs.insert(key.run_number());
            }
        }
        Ok(false)
    }
}

/// The runs that a query's clauses leave, as far as the index was read.
#[derive(Default)]
pub(super) struct Candidates {
    reading: Vec<Reading>,
    /// What the columns leave that were read to their ends.
    left: Option<RunSet>,
    left_count: u64,
    keys_read: u64,
}

impl Candidates {
    /// What these clauses leave, each of which may hold in its range of the index.
    pub(super) fn of(
        snapshot: &Snapshot,
        experiment: ExperimentId,
        clauses: impl IntoIterator<Item = (ColumnRange, Condition)>,
    ) -> Result<Self, StoreError> {
        let mut reading = Vec::new();
        for (range, condition) in clauses {
            let keys = range.keys(snapshot, experiment, true)?;
            reading.push(Reading { keys, condition, runs: RunSet::default() });
        }
        Ok(Self { reading, ..Self::default() })
    }

    /// How many keys were read.
    pub(super) const fn keys_read(&self) -> u64 {
        self.keys_read
    }

    /// Reads up to so many keys of each column that was not read to its end. Says whether one was
    /// now.
    pub(super) fn read(&mut self, keys: u64) -> Result<bool, StoreError> {
        let before = self.reading.len();
        self.keys_read += keys * before as u64;
        let mut unread = Vec::with_capacity(before);
        for mut reading in self.reading.drain(..) {
            if !reading.read(keys)? {
                unread.push(reading);
                continue;
            }
            match &mut self.left {
                Some(left) => left.intersect(&reading.runs),
                None => self.left = Some(reading.runs),
            }
        }
        self.reading = unread;
        let is_less = self.reading.len() < before;
        if is_less {
            self.left_count = self.left.as_ref().map_or(0, RunSet::len);
        }
        Ok(is_less)
    }

    /// Whether there is nothing more to read.
    pub(super) const fn is_read(&self) -> bool {
        self.reading.is_empty()
    }

    /// Whether a run may be one for which the clauses hold.
    pub(super) fn may_be(&self, number: u32) -> bool {
        self.left.as_ref().is_none_or(|left| left.contains(number))
    }

    /// The runs that are left, and how many; none before the first column was read to its end.
    pub(super) fn left(&self) -> Option<(&RunSet, u64)> {
        self.left.as_ref().map(|left| (left, self.left_count))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_set_of_runs_is_a_set(
            a in prop::collection::btree_set(0u32..300, 0..20),
            b in prop::collection::btree_set(0u32..300, 0..20),
        ) {
            let set = |numbers: &BTreeSet<u32>| {
                let mut set = RunSet::default();
                numbers.iter().for_each(|number| set.insert(*number));
                set
            };
            let mut both = set(&a);
            prop_assert_eq!(both.len(), a.len() as u64);
            prop_assert!((0..300).all(|number| both.contains(number) == a.contains(&number)));
            both.intersect(&set(&b));
            prop_assert!(both.iter().eq(a.intersection(&b).copied()));
        }
    }
}
