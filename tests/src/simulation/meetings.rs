//! Devices that meet by chance, two at a time, until all hold the same: what that takes.
//!
//! Nothing breaks here. In each round every device meets one other, they sync, and part. Nobody meets
//! everybody, so most entries come from a third device that had them from a fourth.

use std::iter;

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use runmesh_core::action::Action;
use runmesh_core::clock::UnixMillis;
use runmesh_core::ids::{DocumentId, RunId};
use runmesh_core::store::RoundEnd;

use super::{Event, Simulation};
use crate::requests::{new_run, run_batch, run_end};

const EXPERIMENT: &str = "fraud-detection";
/// How long two devices have for one another.
const MEETING_MS: u64 = 30_000;

/// What it took until all devices held the same.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    /// How often each device met another.
    pub rounds: u64,
    /// Bytes of all messages of all meetings.
    pub bytes: u64,
    /// Bytes of the entries of all journals, once.
    pub journal_bytes: u64,
}

impl Simulation {
    /// Devices that are up, and that nothing happens to. Each has met the founder, so that all are
    /// members; none is connected with another any more.
    pub fn of_calm_devices(seed: u64, count: usize) -> Self {
        let mut simulation = Self::with_devices(StdRng::seed_from_u64(seed), count);
        simulation.calm = true;
        for device in 0..count {
            let now = simulation.time_at(device);
            simulation.devices[device].start(now).expect("a disk that does not fail");
        }
        let with_founder: Vec<_> = (1..count).map(|device| (0, device)).collect();
        simulation.meet(&with_founder);
        simulation
    }

    /// Has clients of each device log so many runs of 20 params, 5 tags and 5 metrics, and seals
    /// them as one entry.
    pub fn log_runs(&mut self, each: u64) {
        for device in 0..self.devices.len() {
            let now = self.time_at(device);
            let runs = (0..each).map(|number| whole_run(device, number, now));
            let groups = iter::once(vec![new_experiment()]).chain(runs).collect();
            let mut answers = Vec::new();
            let written =
                self.devices[device].write(now, groups, RoundEnd::Seal(now), &mut answers);
            written.expect("a disk that does not fail");
            assert!(answers.iter().all(Result::is_ok), "{answers:?}");
        }
    }

    /// Lets the devices meet until all hold the same.
    pub fn meet_until_agreed(&mut self) -> Cost {
        let (mut rounds, before) = (0, self.tally.bytes);
        while !self.agreed() {
            let mut order: Vec<usize> = (0..self.devices.len()).collect();
            order.shuffle(&mut self.random);
            let pairs: Vec<_> =
                order.as_chunks::<2>().0.iter().map(|[a, b]| (*a.min(b), *a.max(b))).collect();
            self.meet(&pairs);
            rounds += 1;
            assert!(rounds < 1_000, "the devices do not agree");
        }
        let journal_bytes = self.devices[0].journal_bytes();
        Cost { rounds, bytes: self.tally.bytes - before, journal_bytes }
    }

    fn meet(&mut self, pairs: &[(usize, usize)]) {
        let parts = self.now + MEETING_MS;
        for pair in pairs {
            self.after(0, Event::Connect(*pair));
        }
        let same = |simulation: &Self, (a, b): &(usize, usize)| {
            simulation.devices[*a].vector() == simulation.devices[*b].vector()
        };
        let mut apart: Vec<_> = pairs.to_vec();
        while !apart.is_empty() && self.now < parts && self.step() {
            apart.retain(|pair| !same(self, pair));
        }
        for (a, b) in pairs {
            self.disconnect(*a, *b);
        }
        assert!(apart.is_empty(), "a meeting was too short");
    }
}

/// All devices mean the same one by this name.
fn new_experiment() -> Action {
    let (name, tags) = (EXPERIMENT.to_owned(), Vec::new());
    Action::CreateExperiment { name, artifact_location: None, tags, description: None }
}

/// The actions of a run that an MLflow client logs.
fn whole_run(device: usize, number: u64, now: UnixMillis) -> Vec<Action> {
    let parse = |path: &str, body: serde_json::Value| {
        runmesh_daemon::http::parse(path, body.to_string().as_bytes()).expect("a sound request")
    };
    let mut id = [device as u8; 16];
    id[8..].copy_from_slice(&number.to_be_bytes());
    let run = RunId::new(id);
    let experiment = DocumentId::experiment(EXPERIMENT, 0).as_experiment();
    let experiment = experiment.expect("an experiment's document").to_string();
    let mut create = parse("runs/create", new_run(&experiment, number));
    if let Action::CreateRun(new) = &mut create {
        (new.id, new.start_ms) = (run, now.0 as i64);
    }
    let log = parse("runs/log-batch", run_batch(&run.to_string(), number));
    vec![create, log, parse("runs/update", run_end(&run.to_string(), number))]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_that_never_all_meet_agree_through_one_another() {
        let mut simulation = Simulation::of_calm_devices(4, 12);
        simulation.log_runs(3);
        let cost = simulation.meet_until_agreed();
        simulation.check();
        assert!(cost.rounds >= 4, "twelve devices cannot agree in {} rounds", cost.rounds);
        assert!(cost.bytes > 11 * cost.journal_bytes, "each needs what the others wrote: {cost:?}");
    }

    #[test]
    fn what_is_logged_travels_along_a_chain_at_once() {
        let mut simulation = Simulation::of_calm_devices(5, 4);
        for pair in [(0, 1), (1, 2), (2, 3)] {
            simulation.after(0, Event::Connect(pair));
        }
        while !simulation.agreed() {
            assert!(simulation.step());
        }
        let now = simulation.time_at(0);
        let mut answers = Vec::new();
        let run = vec![vec![new_experiment()], whole_run(0, 1, now)];
        let written = simulation.devices[0].write(now, run, RoundEnd::Publish, &mut answers);
        written.expect("a disk that does not fail");
        simulation.after(0, Event::Seal { device: 0 });
        let told = simulation.now;
        // The seal is one of the next things that happen.
        while simulation.agreed() {
            assert!(simulation.step());
        }
        while !simulation.agreed() {
            assert!(simulation.step());
        }
        assert!(simulation.now < told + 1_000, "it took {} ms", simulation.now - told);
    }
}
