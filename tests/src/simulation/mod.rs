//! A simulated network of devices, the same again from the same seed.
//!
//! Real stores on disks that lose power, and real sessions between them, over links that lose,
//! repeat, reorder and delay messages and are cut and healed; devices crash at any write, restart
//! and have wrong clocks; clients of all of them write to the same runs. Then the chaos ends, and
//! [`Simulation::check`] holds every device to what was promised: all hold the same, what they show
//! is what a rebuild shows, nothing that any of them acknowledged is missing, and nothing is kept of
//! what was purged.

mod clients;
mod contents;
mod device;
mod meetings;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use runmesh_core::clock::UnixMillis;
use runmesh_core::sync::{Batch, Ended, Input, Message, Output, Peering, Session};

use self::contents::Contents;
use self::device::{Device, Failed};
pub use self::meetings::Cost;

/// When the simulation starts.
const START_MS: u64 = 1_800_000_000_000;
/// How long clients write and everything breaks.
const CHAOS_MS: u64 = 120_000;
/// How long the devices may take to agree once nothing breaks any more.
const CALM_MS: u64 = 3_600_000;

/// Two devices, the lower number first.
type Pair = (usize, usize);

/// Something that happens at its time.
enum Event {
    /// A message arrives, if its connection still stands.
    Deliver { from: usize, to: usize, connection: u64, frame: Vec<u8> },
    /// A session is woken, if it still waits for this.
    Wake { device: usize, peer: usize, connection: u64, at: u64 },
    /// A device's clients write something.
    Write { device: usize },
    /// A device seals what was written.
    Seal { device: usize },
    /// A link is cut, for a while.
    Cut(Pair),
    /// Two devices that are up and not connected connect.
    Connect(Pair),
    /// A device loses power, at once or at one of its next writes to disk.
    Crash { device: usize, after: Option<u64> },
    /// A device starts.
    Start { device: usize },
}

/// One side of a connection.
struct Side {
    connection: u64,
    session: Session,
    wakes_at: u64,
}

/// Devices and what is between them.
pub struct Simulation {
    random: StdRng,
    now: u64,
    calm: bool,
    order: u64,
    connections: u64,
    events: BTreeMap<u64, Event>,
    times: BinaryHeap<Reverse<(u64, u64)>>,
    devices: Vec<Device>,
    sides: BTreeMap<(usize, usize), Side>,
    told: VecDeque<(usize, usize, Input)>,
    /// What happened, for a test that wants to know that something did.
    pub tally: Tally,
}

/// How often things happened.
#[derive(Debug, Default, Clone, Copy)]
pub struct Tally {
    /// Messages that were lost.
    pub lost: u64,
    /// Messages that came twice.
    pub repeated: u64,
    /// Links that were cut.
    pub cuts: u64,
    /// Devices that lost power.
    pub crashes: u64,
    /// Writes that were acknowledged.
    pub acknowledged: u64,
    /// Runs that were purged.
    pub purged: u64,
    /// Bytes of messages that were sent.
    pub bytes: u64,
}

impl Simulation {
    /// A founder and some devices that it invited, none of them up yet, that much will happen to.
    pub fn new(seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let count = random.random_range(2..=5);
        let mut simulation = Self::with_devices(random, count);
        for number in 0..count {
            // Clocks are up to two days off, which is more than any is believed.
            let hours = [0, 0, 0, -48, 1, 30][simulation.random.random_range(0..6)];
            simulation.devices[number].skew_ms = hours * 3_600_000;
            let joins_after = if number == 0 { 0 } else { simulation.within(CHAOS_MS / 2) };
            simulation.after(joins_after, Event::Start { device: number });
        }
        simulation
    }

    /// A founder and some devices that it invited, none of them up yet.
    fn with_devices(random: StdRng, count: usize) -> Self {
        Self {
            random,
            now: START_MS,
            calm: false,
            order: 0,
            connections: 0,
            events: BTreeMap::new(),
            times: BinaryHeap::new(),
            devices: device::founder_and_invited(count, START_MS),
            sides: BTreeMap::new(),
            told: VecDeque::new(),
            tally: Tally::default(),
        }
    }

    /// Lets everything happen, then lets it heal.
    pub fn run(&mut self) {
        while self.now < START_MS + CHAOS_MS && self.step() {}
        self.calm = true;
        for device in 0..self.devices.len() {
            self.devices[device].disks_work();
            self.start(device);
            self.seal(device);
        }
        for pair in self.pairs() {
            self.after(0, Event::Connect(pair));
        }
        let deadline = self.now + CALM_MS;
        while !self.agreed() {
            assert!(self.step(), "nothing happens any more, and the devices do not agree");
            assert!(self.now < deadline, "the devices did not agree in time");
        }
    }

    /// Holds every device to what was promised.
    pub fn check(&mut self) {
        let mut acknowledged: Vec<_> =
            self.devices.iter().flat_map(|device| device.acknowledged.clone()).collect();
        let purged = self.devices[0].purged();
        acknowledged.retain(|write| write.run().is_none_or(|run| !purged.contains(&run)));
        let mut first = None;
        for device in &mut self.devices {
            assert_eq!(device.kept_of(&purged), 0, "device {} kept what was purged", device.number);
            let shown = device.contents();
            for write in &acknowledged {
                write.check(&device.snapshot(), device.number);
            }
            assert_eq!(shown.waiting, 0, "device {} still waits for changes", device.number);
            let rebuilt = device.rebuilt();
            assert_eq!(shown, rebuilt, "device {}: shown, and rebuilt", device.number);
            let first: &Contents = first.get_or_insert_with(|| shown.clone());
            assert_eq!(*first, shown, "devices 0 and {}", device.number);
        }
    }

    fn pairs(&self) -> Vec<Pair> {
        let count = self.devices.len();
        (0..count).flat_map(|a| (a + 1..count).map(move |b| (a, b))).collect()
    }

    fn agreed(&self) -> bool {
        let mut vectors = self.devices.iter().map(|device| device.vector());
        let first = vectors.next();
        vectors.all(|vector| Some(vector) == first)
    }

    fn within(&mut self, ms: u64) -> u64 {
        self.random.random_range(0..=ms)
    }

    fn after(&mut self, ms: u64, event: Event) {
        self.order += 1;
        self.events.insert(self.order, event);
        self.times.push(Reverse((self.now + ms, self.order)));
    }

    /// Lets the next thing happen; false if there is none.
    fn step(&mut self) -> bool {
        let Some(Reverse((time, order))) = self.times.pop() else { return false };
        self.now = self.now.max(time);
        let event = self.events.remove(&order).expect("every time has its event");
        self.happen(event);
        while let Some((device, peer, input)) = self.told.pop_front() {
            self.tell(device, peer, input);
        }
        true
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Deliver { from, to, connection, frame } => {
                if self.is_connected(to, from, connection) {
                    let message = Message::decode(&frame[4..]).expect("we sent a message");
                    self.told.push_back((to, from, Input::Received(message)));
                }
            }
            Event::Wake { device, peer, connection, at } => {
                let waits = self.sides.get(&(device, peer));
                if waits.is_some_and(|side| side.connection == connection && side.wakes_at == at) {
                    self.told.push_back((device, peer, Input::Tick));
                }
            }
            Event::Write { device } if !self.calm => self.write(device),
            Event::Seal { device } => self.seal(device),
            Event::Cut((a, b)) if !self.calm => {
                self.tally.cuts += u64::from(self.disconnect(a, b));
                let (heals, cut) = (self.within(8_000), self.within(40_000));
                self.after(heals, Event::Connect((a, b)));
                self.after(heals + cut, Event::Cut((a, b)));
            }
            Event::Connect((a, b)) => self.connect(a, b),
            Event::Crash { device, after } if !self.calm => match after {
                Some(operations) => {
                    self.devices[device].fail_after(operations);
                    // If it writes too little to fail, it loses power all the same.
                    self.after(5_000, Event::Crash { device, after: None });
                }
                None => self.crash(device),
            },
            Event::Start { device } => self.start(device),
            Event::Write { .. } | Event::Cut(_) | Event::Crash { .. } => {}
        }
    }

    fn is_connected(&self, device: usize, peer: usize, connection: u64) -> bool {
        self.sides.get(&(device, peer)).is_some_and(|side| side.connection == connection)
    }

    fn time_at(&self, device: usize) -> UnixMillis {
        UnixMillis(self.now.saturating_add_signed(self.devices[device].skew_ms))
    }

    fn start(&mut self, device: usize) {
        if self.devices[device].is_up() {
            return;
        }
        let now = self.time_at(device);
        if self.devices[device].start(now).is_err() {
            // The disk failed while it started; it is started once more with a disk that works.
            return self.crash(device);
        }
        let (write, crash) = (self.within(2_000), 10_000 + self.within(CHAOS_MS));
        self.after(write, Event::Write { device });
        let after = self.random.random_bool(0.7).then(|| self.random.random_range(0..60));
        self.after(crash, Event::Crash { device, after });
        for (a, b) in self.pairs() {
            if a == device || b == device {
                let (connects, cut) = (self.within(3_000), self.within(60_000));
                self.after(connects, Event::Connect((a, b)));
                self.after(cut, Event::Cut((a, b)));
            }
        }
    }

    fn crash(&mut self, device: usize) {
        for peer in 0..self.devices.len() {
            self.disconnect(device, peer);
        }
        self.devices[device].lose_power();
        self.tally.crashes += 1;
        let starts = self.within(5_000);
        self.after(starts, Event::Start { device });
    }

    fn connect(&mut self, a: usize, b: usize) {
        if self.sides.contains_key(&(a, b)) || !self.devices[a].is_up() || !self.devices[b].is_up()
        {
            return;
        }
        self.connections += 1;
        for (device, peer) in [(a, b), (b, a)] {
            let own = &self.devices[device];
            let peering = Peering {
                workspace: own.workspace(),
                device: own.id(),
                peer: self.devices[peer].id(),
                name: format!("device {device}"),
                first: own.first_entry(),
                calls: device == a,
            };
            let session = Session::new(peering, own.held());
            let side = Side { connection: self.connections, session, wakes_at: 0 };
            self.sides.insert((device, peer), side);
            self.told.push_back((device, peer, Input::Started));
        }
    }

    /// Ends a connection, if there is one.
    fn disconnect(&mut self, a: usize, b: usize) -> bool {
        self.told.retain(
            |(device, peer, _)| !matches!((*device, *peer), p if p == (a, b) || p == (b, a)),
        );
        self.sides.remove(&(b, a));
        self.sides.remove(&(a, b)).is_some()
    }

    /// Tells a session something and does what it wants done.
    fn tell(&mut self, device: usize, peer: usize, input: Input) {
        let now = self.time_at(device);
        let Some(side) = self.sides.get_mut(&(device, peer)) else { return };
        side.session.handle(now, input).expect("nobody here sends nonsense");
        let mut batches = Vec::new();
        while let Some(side) = self.sides.get_mut(&(device, peer)) {
            let Some(output) = side.session.next() else { break };
            let done = match output {
                Output::Ingest { journal, first, previous, entries } => {
                    batches.push(Batch { journal, first, previous, entries });
                    Ok(())
                }
                output => self.carry_out(device, peer, output),
            };
            if done.is_err() {
                return self.crash(device);
            }
        }
        if !batches.is_empty() && self.ingest(device, peer, batches).is_err() {
            self.crash(device);
        }
    }

    fn carry_out(&mut self, device: usize, peer: usize, output: Output) -> Result<(), Failed> {
        match output {
            Output::Send(message) => self.send(device, peer, message),
            Output::Load { journal, from, max_bytes, max_entries } => {
                let loaded = self.devices[device].load(journal, from, max_bytes, max_entries)?;
                self.told.push_back((device, peer, loaded));
            }
            Output::Reclaim { journal, first, previous, entries } => {
                let batch = Batch { journal, first, previous, entries };
                let (now, incarnation) = (self.time_at(device), self.random.random());
                let tip = self.devices[device].reclaim(now, incarnation, batch)?;
                let held = self.devices[device].held();
                self.told.push_back((device, peer, Input::Reclaimed { journal, tip, held }));
                self.tell_others(device, peer);
            }
            Output::Seal { token } => {
                let now = self.time_at(device);
                self.devices[device].seal(now)?;
                let held = self.devices[device].held();
                self.told.push_back((device, peer, Input::Sealed { token, held }));
                self.tell_others(device, peer);
            }
            Output::WakeAt(at) => {
                let wait = at.0.saturating_sub(self.time_at(device).0);
                if let Some(side) = self.sides.get_mut(&(device, peer)) {
                    side.wakes_at = at.0;
                    let connection = side.connection;
                    self.after(wait, Event::Wake { device, peer, connection, at: at.0 });
                }
            }
            Output::Done(Ended::Here(_) | Ended::There(..)) => {
                self.disconnect(device, peer);
                let pair = (device.min(peer), device.max(peer));
                let again = 500 + self.within(2_000);
                self.after(again, Event::Connect(pair));
            }
            // Who can reach whom is the simulator's to say.
            Output::Learn(_) => {}
            Output::Ingest { .. } => unreachable!("taken by the caller"),
        }
        Ok(())
    }

    fn send(&mut self, from: usize, to: usize, message: Message) {
        let Some(side) = self.sides.get(&(from, to)) else { return };
        let (connection, frame) = (side.connection, message.frame().0);
        self.tally.bytes += frame.len() as u64;
        if !self.calm && self.random.random_bool(0.1) {
            self.tally.lost += 1;
            return;
        }
        let copies = if !self.calm && self.random.random_bool(0.05) { 2 } else { 1 };
        self.tally.repeated += copies - 1;
        for _ in 0..copies {
            let delay = if self.calm { 1 } else { 1 + self.within(200) };
            self.after(delay, Event::Deliver { from, to, connection, frame: frame.clone() });
        }
    }

    fn ingest(&mut self, device: usize, peer: usize, batches: Vec<Batch>) -> Result<(), Failed> {
        let (now, count) = (self.time_at(device), batches.len());
        let faults = self.devices[device].ingest(now, batches)?;
        let held = self.devices[device].held();
        self.told.push_back((device, peer, Input::Ingested { batches: count, held, faults }));
        self.tell_others(device, peer);
        Ok(())
    }

    /// Tells all sessions of a device, but one, what it holds now.
    fn tell_others(&mut self, device: usize, but: usize) {
        let held = self.devices[device].held();
        let peers: BTreeSet<usize> =
            self.sides.keys().filter(|(own, _)| *own == device).map(|(_, peer)| *peer).collect();
        for peer in peers.into_iter().filter(|peer| *peer != but) {
            self.told.push_back((device, peer, Input::Changed(held.clone())));
        }
    }

    fn seal(&mut self, device: usize) {
        if !self.devices[device].is_up() {
            return;
        }
        let now = self.time_at(device);
        match self.devices[device].seal(now) {
            Ok(()) => self.tell_others(device, usize::MAX),
            Err(Failed) => self.crash(device),
        }
    }

    fn write(&mut self, device: usize) {
        if !self.devices[device].is_up() {
            return;
        }
        let now = self.time_at(device);
        match clients::write(&mut self.devices[device], now, &mut self.random) {
            Ok(acknowledged) => self.tally.acknowledged += acknowledged as u64,
            Err(Failed) => return self.crash(device),
        }
        // The founder is an admin whatever happens.
        if device == 0 && self.random.random_bool(0.05) {
            match clients::purge(&mut self.devices[device], now, &mut self.random) {
                Ok(purged) => self.tally.purged += u64::from(purged),
                Err(Failed) => return self.crash(device),
            }
        }
        let (next, seal) = (500 + self.within(6_000), self.within(3_000));
        self.after(next, Event::Write { device });
        self.after(seal, Event::Seal { device });
    }
}
