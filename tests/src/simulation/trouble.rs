//! What is done to devices beside crashes: they are removed, may only read any more, and are put back
//! from a backup of the whole machine.

use rand::RngExt;

use super::device::Failed;
use super::{CHAOS_MS, Event, START_MS, Simulation};

/// How long the founder may be away.
const AWAY_MS: u64 = 40_000;

impl Simulation {
    /// Plans who is removed, and who is put back.
    pub(super) fn plan_trouble(&mut self) {
        let last = self.devices.len() - 1;
        let forks = self.mallory.as_ref().is_some_and(|mallory| mallory.forks());
        // Whoever writes twice under one number puts that right itself, which takes that it is let.
        if last > 1 && !forks && self.random.random_bool(0.6) {
            let removes = self.random.random_bool(0.6);
            let at = CHAOS_MS / 2 + self.within(CHAOS_MS / 2);
            self.after(at, Event::Restrict { device: last, removes });
            // What the device writes meanwhile is beyond the cut, and others build on it.
            if self.random.random_bool(0.7) {
                let away = AWAY_MS / 2 + self.within(AWAY_MS / 2);
                self.after(at - away, Event::Leave { until: START_MS + at + 1 });
            }
        }
        if last > 1 && self.random.random_bool(0.4) {
            let at = CHAOS_MS / 3 + self.within(CHAOS_MS / 2);
            self.after(at, Event::Save { device: 1 });
        }
    }

    /// Has nobody meet the founder for a while.
    pub(super) fn leave(&mut self, until: u64) {
        self.away_until = until;
        for peer in 1..self.devices.len() {
            self.disconnect(0, peer);
            let comes_back = until - self.now + self.within(3_000);
            self.after(comes_back, Event::Connect((0, peer)));
        }
    }

    /// Has the founder remove a device, or let it only read. What had arrived at the founder stays; what
    /// the device's clients write from then on is not promised to be anywhere else.
    pub(super) fn restrict(&mut self, device: usize, removes: bool) {
        if !self.devices[0].is_up() || !self.devices[0].knows(&self.devices[device]) {
            return self.after(1_000, Event::Restrict { device, removes });
        }
        let held = self.devices[0].snapshot();
        self.devices[device].acknowledged.retain(|write| write.is_held(&held));
        self.restricted = Some(device);
        if let Some(rewound) = self.rewound {
            // What was put back may get what it wrote since from this device alone, and does not any more.
            self.forget_what_nobody_holds(rewound);
        }
        self.tally.restricted += 1;
        self.touched.insert(0);
        let (now, id) = (self.time_at(0), self.devices[device].id());
        match self.devices[0].restrict(now, id, removes) {
            Ok(()) => self.tell_others(0, usize::MAX),
            Err(Failed) => self.crash(0),
        }
    }

    /// Keeps what a device's disks hold, to put it back later.
    pub(super) fn save(&mut self, device: usize) {
        if !self.devices[device].is_up() {
            return self.after(1_000, Event::Save { device });
        }
        self.devices[device].save();
        let later = self.within(30_000);
        self.after(later, Event::Rewind { device });
    }

    /// Puts back what a device's disks held once. What it wrote since and nobody else had is gone.
    pub(super) fn rewind(&mut self, device: usize) {
        for peer in 0..self.devices.len() {
            self.disconnect(device, peer);
        }
        if !self.devices[device].rewind() {
            return;
        }
        self.seen.remove(&device);
        self.rewound = Some(device);
        self.tally.rewound += 1;
        self.start(device);
        self.forget_what_nobody_holds(device);
    }

    /// Gives up what a device's clients were told is written and no device that is up and honest holds.
    fn forget_what_nobody_holds(&mut self, device: usize) {
        let mut written = std::mem::take(&mut self.devices[device].acknowledged);
        let up = self.honest().filter(|held| held.is_up());
        let snapshots: Vec<_> = up.map(|held| held.snapshot()).collect();
        written.retain(|write| snapshots.iter().any(|held| write.is_held(held)));
        self.devices[device].acknowledged = written;
    }
}
