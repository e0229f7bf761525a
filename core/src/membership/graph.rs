//! The graph of acts: what each one's author had seen.
//!
//! Invariants: an act has seen what it names, what stands before it in its journal, and what those
//! have seen; joins have seen nothing, for joiners know nothing yet; acts that have seen themselves,
//! which nobody can write by accident, have no place in the graph.

use std::collections::{BTreeMap, HashMap};

use super::PlacedAct;
use crate::act::{ActId, ActKind};
use crate::ids::{DeviceId, JournalId};

/// A set of acts, by their places in the graph.
#[derive(Clone, Default)]
struct Set(Vec<u64>);

impl Set {
    fn empty(acts: usize) -> Self {
        Self(vec![0; acts.div_ceil(64)])
    }

    fn has(&self, at: usize) -> bool {
        self.0.get(at / 64).is_some_and(|word| word & (1 << (at % 64)) != 0)
    }

    fn add(&mut self, at: usize) -> bool {
        let word = &mut self.0[at / 64];
        let before = *word;
        *word |= 1 << (at % 64);
        *word != before
    }

    fn add_all(&mut self, other: &Self) -> bool {
        let mut more = false;
        for (word, others) in self.0.iter_mut().zip(&other.0) {
            more |= others & !*word != 0;
            *word |= others;
        }
        more
    }

    fn len(&self) -> u64 {
        self.0.iter().map(|word| u64::from(word.count_ones())).sum()
    }
}

/// All acts, in order of their ids, and what each has seen.
pub(super) struct Graph<'a> {
    acts: Vec<&'a PlacedAct>,
    seen: Vec<Set>,
    by_device: BTreeMap<DeviceId, Vec<usize>>,
}

impl<'a> Graph<'a> {
    pub(super) fn of(acts: &'a [PlacedAct]) -> Self {
        let mut acts: Vec<&PlacedAct> = acts.iter().collect();
        acts.sort_by_key(|placed| (placed.id, placed.place));
        // An operation that a device wrote twice is the act that it was at first.
        acts.dedup_by_key(|placed| placed.id);
        let before = direct(&acts);
        let mut seen = vec![Set::default(); acts.len()];
        let mut in_time: Vec<usize> = (0..acts.len()).filter(|at| !acts[*at].is_join()).collect();
        in_time.sort_by_key(|at| (acts[*at].clock, acts[*at].id));
        for at in &in_time {
            seen[*at] = Set::empty(acts.len());
        }
        // By clock, most acts come after what they have seen, and this ends soon.
        let mut more = true;
        while std::mem::take(&mut more) {
            for at in &in_time {
                let mut held = std::mem::take(&mut seen[*at]);
                for earlier in &before[*at] {
                    more |= held.add(*earlier);
                    more |= held.add_all(&seen[*earlier]);
                }
                seen[*at] = held;
            }
        }
        let mut graph = Self { acts, seen, by_device: BTreeMap::new() };
        for (at, placed) in graph.acts.iter().enumerate() {
            if !graph.seen[at].has(at) {
                graph.by_device.entry(placed.journal.device).or_default().push(at);
            }
        }
        for own in graph.by_device.values_mut() {
            own.sort_by_key(|at| (graph.seen[*at].len(), graph.acts[*at].id));
        }
        graph
    }

    pub(super) fn act(&self, at: usize) -> &'a PlacedAct {
        self.acts[at]
    }

    pub(super) const fn len(&self) -> usize {
        self.acts.len()
    }

    /// Whether the author of one act had seen another.
    pub(super) fn has_seen(&self, act: usize, earlier: usize) -> bool {
        self.seen[act].has(earlier)
    }

    /// Whether neither author had seen the other's act.
    pub(super) fn concurrent(&self, a: usize, b: usize) -> bool {
        !self.has_seen(a, b) && !self.has_seen(b, a)
    }

    /// How many acts the author of one had seen: more than of any act that it had seen.
    pub(super) fn depth(&self, act: usize) -> u64 {
        self.seen[act].len()
    }

    /// The acts of a device, each after those that it had seen.
    pub(super) fn of_device(&self, device: &DeviceId) -> &[usize] {
        self.by_device.get(device).map_or(&[], Vec::as_slice)
    }

    /// The acts that no other has seen. Acts without a place in the graph hide nothing.
    pub(super) fn heads(&self) -> Vec<usize> {
        let mut seen = Set::empty(self.len());
        for at in self.placed() {
            seen.add_all(&self.seen[at]);
        }
        self.placed().filter(|at| !seen.has(*at)).collect()
    }

    /// All acts that have a place in the graph, device by device.
    pub(super) fn placed(&self) -> impl Iterator<Item = usize> {
        self.by_device.values().flatten().copied()
    }
}

impl PlacedAct {
    pub(super) const fn is_join(&self) -> bool {
        matches!(self.act.kind, ActKind::Join { .. })
    }
}

/// What each act names, and those before it in its journal up to the last that is no join.
fn direct(acts: &[&PlacedAct]) -> Vec<Vec<usize>> {
    let by_id: HashMap<ActId, usize> =
        acts.iter().enumerate().map(|(at, placed)| (placed.id, at)).collect();
    let mut journals: BTreeMap<JournalId, Vec<usize>> = BTreeMap::new();
    for (at, placed) in acts.iter().enumerate() {
        journals.entry(placed.journal).or_default().push(at);
    }
    let mut before = vec![Vec::new(); acts.len()];
    for (at, placed) in acts.iter().enumerate() {
        before[at].extend(placed.act.seen.iter().filter_map(|id| by_id.get(id)));
    }
    for journal in journals.values_mut() {
        journal.sort_by_key(|at| acts[*at].place);
        for (nth, at) in journal.iter().enumerate() {
            let earlier = journal[..nth].iter().rev();
            let mut last = false;
            let near =
                earlier.take_while(|at| !std::mem::replace(&mut last, !acts[**at].is_join()));
            before[*at].extend(near);
        }
    }
    before
}
