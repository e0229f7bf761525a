//! What devices are held to: after every step, and at the end.
//!
//! Two are not held to all of it: a device that was removed or may only read, and one whose user has
//! bad intent. What these do must not keep the others from what was promised.

use runmesh_core::ids::JournalId;
use runmesh_core::vector::{Tip, VersionVector};

use super::Simulation;
use super::contents::Contents;
use super::device::Device;

/// A clock that is ahead by more is not adopted.
const BELIEVED_MS: u64 = 24 * 3_600_000;
/// How many of a device's writes are looked for after a step, from the last on.
const LOOKED_FOR: usize = 4;

impl Simulation {
    /// Whether a device is held to all promises.
    pub(super) fn is_honest(&self, device: usize) -> bool {
        let mallory = self.mallory.as_ref().map(|mallory| mallory.device);
        self.restricted != Some(device) && mallory != Some(device)
    }

    pub(super) fn honest(&self) -> impl Iterator<Item = &Device> {
        self.devices.iter().filter(|device| self.is_honest(device.number))
    }

    /// Holds every device to what was promised.
    pub fn check(&mut self) {
        let mut acknowledged: Vec<_> =
            self.devices.iter().flat_map(|device| device.acknowledged.clone()).collect();
        let purged = self.devices[0].purged();
        acknowledged.retain(|write| write.run().is_none_or(|run| !purged.contains(&run)));
        let (mut first, any_journals) = (None, self.may_fork());
        for device in 0..self.devices.len() {
            if !self.is_honest(device) {
                continue;
            }
            let device = &mut self.devices[device];
            assert_eq!(device.kept_of(&purged), 0, "device {} kept what was purged", device.number);
            let mut shown = device.contents();
            for write in &acknowledged {
                write.check(&device.snapshot(), device.number);
            }
            assert_eq!(shown.waiting, 0, "device {} still waits for changes", device.number);
            let rebuilt = device.rebuilt();
            assert_eq!(shown, rebuilt, "device {}: shown, and rebuilt", device.number);
            if any_journals {
                shown = shown.whatever_journals();
            }
            let first: &Contents = first.get_or_insert_with(|| shown.clone());
            assert_eq!(*first, shown, "devices 0 and {}", device.number);
            self.tally.carried += device.carries() as u64;
        }
    }

    /// Whether a device may have written two entries under one number. Others keep the one that they
    /// met first, so not all hold the same journals, though all hold the same.
    fn may_fork(&self) -> bool {
        self.rewound.is_some() || self.mallory.as_ref().is_some_and(|mallory| mallory.forks())
    }

    /// Whether all hold the same.
    pub(super) fn agreed(&self) -> bool {
        let forked = self.devices.iter().filter(|device| {
            let forks = self.mallory.as_ref().filter(|mallory| mallory.forks());
            self.rewound == Some(device.number)
                || forks.is_some_and(|mallory| mallory.device == device.number)
        });
        let forked: Vec<_> = forked.map(Device::id).collect();
        let comparable = |device: &Device| -> Vec<(JournalId, Tip)> {
            let vector = device.vector();
            let journals = vector.iter().filter(|(journal, _)| !forked.contains(&journal.device));
            journals.map(|(journal, tip)| (*journal, *tip)).collect()
        };
        if !are_same(self.honest().map(comparable)) {
            return false;
        }
        forked.is_empty()
            || are_same(self.honest().map(|device| device.contents().whatever_journals()))
    }

    /// Holds the devices that the last step changed to what must be so at any time.
    pub(super) fn check_step(&mut self) {
        self.changed = !self.touched.is_empty();
        for device in std::mem::take(&mut self.touched) {
            let held = &self.devices[device];
            if !held.is_up() {
                continue;
            }
            let vector = held.vector();
            let before = self.seen.insert(device, vector.clone());
            if before.as_ref() != Some(&vector) {
                self.check_device(device, before.as_ref(), &vector);
            }
        }
    }

    fn check_device(&self, device: usize, before: Option<&VersionVector>, now: &VersionVector) {
        let held = &self.devices[device];
        let snapshot = held.snapshot();
        let membership = snapshot.membership().expect("reading does not fail");
        let limit = |journal: &JournalId| {
            let others = journal.device != held.id() && membership.founder().is_some();
            others.then(|| membership.limit(journal)).flatten()
        };
        for (journal, tip) in now.iter() {
            let counts = limit(journal).is_none_or(|limit| tip.count <= limit);
            assert!(counts, "device {device} holds entries of {journal} that do not count");
        }
        for (journal, tip) in before.into_iter().flat_map(VersionVector::iter) {
            let left = now.tip(journal).count;
            let cut = left >= tip.count || limit(journal).is_some_and(|limit| left <= limit);
            assert!(cut, "device {device} lost entries of {journal}: {left} of {}", tip.count);
        }
        let purged = membership.purged();
        let is_purged = |run| purged.iter().any(|document| document.as_run() == Some(run));
        // What was put back gets what it wrote since from others.
        let looked_for = if self.rewound == Some(device) { 0 } else { LOOKED_FOR };
        let writes = held.acknowledged.iter().rev().take(looked_for);
        for write in writes.filter(|write| !write.run().is_some_and(is_purged)) {
            write.check(&snapshot, device);
        }
        if held.skew_ms == 0 && self.is_honest(device) {
            let clocks = snapshot.last_clocks().expect("reading does not fail");
            let own = clocks.iter().filter(|(journal, _)| journal.device == held.id());
            for (_, clock) in own {
                let ahead = clock.millis().saturating_sub(self.now);
                assert!(ahead <= BELIEVED_MS, "the clock of device {device} was led astray");
            }
        }
    }
}

fn are_same<T: PartialEq>(mut all: impl Iterator<Item = T>) -> bool {
    let first = all.next();
    all.all(|one| first.as_ref() == Some(&one))
}
