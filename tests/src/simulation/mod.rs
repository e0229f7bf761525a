//! A simulated network of devices, the same again from the same seed.
//!
//! Real stores on disks that lose power, and real sessions between them, over links that lose,
//! repeat, reorder and delay messages and are cut and healed; devices crash at any write, restart,
//! are put back from old backups, are removed by a founder who was away, and have wrong clocks; one
//! may be a member with bad intent; clients of all of them write to the same runs. After every step some
//! things must be so. Then the chaos ends, and [`Simulation::check`] holds every device to what was promised: all hold the
//! same, what they show is what a rebuild shows, nothing that any of them acknowledged is missing,
//! and nothing is kept of what was purged.

mod clients;
mod contents;
mod device;
mod mallory;
mod meetings;
mod promises;
mod trouble;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use runmesh_core::clock::UnixMillis;
use runmesh_core::sync::{Batch, Ended, Input, Message, Output, Peering, Session};
use runmesh_core::vector::VersionVector;

use self::device::{Device, Failed};
use self::mallory::Mallory;
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
    /// The founder is away from all others.
    Leave { until: u64 },
    /// The founder removes a device, or lets it only read.
    Restrict { device: usize, removes: bool },
    /// What a device's disks hold is kept.
    Save { device: usize },
    /// What they held then is put back.
    Rewind { device: usize },
    /// A member with bad intent does something.
    Misbehave,
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
    /// Until when nobody meets the founder.
    away_until: u64,
    /// The device that is no writer any more.
    restricted: Option<usize>,
    /// The device that was put back to what it was before.
    rewound: Option<usize>,
    /// The member with bad intent.
    mallory: Option<Mallory>,
    /// The devices that the step changed.
    touched: BTreeSet<usize>,
    /// Whether the last step changed any.
    changed: bool,
    /// What each held after the last step that changed it.
    seen: BTreeMap<usize, VersionVector>,
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
    /// Devices that were removed, or may only read.
    pub restricted: u64,
    /// Devices that were put back to what they were before.
    pub rewound: u64,
    /// Changes beyond cuts that others carry, because something was built on them.
    pub carried: u64,
    /// Times that a member with bad intent did something.
    pub misdeeds: u64,
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
            // Some clocks are off by more than any is believed, or by a year.
            let hours = [0, 0, 0, 0, -48, 1, 30, 8_766, -8_766];
            let hours = hours[simulation.random.random_range(0..hours.len())];
            simulation.devices[number].skew_ms = hours * 3_600_000;
            let joins_after = if number == 0 { 0 } else { simulation.within(CHAOS_MS / 2) };
            simulation.after(joins_after, Event::Start { device: number });
        }
        if count > 2 && simulation.random.random_bool(0.4) {
            simulation.mallory = Some(Mallory::new(count - 1, &mut simulation.random));
            simulation.after(CHAOS_MS / 4, Event::Misbehave);
        }
        simulation.plan_trouble();
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
            away_until: START_MS,
            restricted: None,
            rewound: None,
            mallory: None,
            touched: BTreeSet::new(),
            changed: true,
            seen: BTreeMap::new(),
            tally: Tally::default(),
        }
    }

    /// Lets everything happen, then lets it heal.
    pub fn run(&mut self) {
        while self.now < START_MS + CHAOS_MS && self.step() {}
        self.calm = true;
        for device in 0..self.devices.len() {
            let vanishes = self.mallory.as_ref().is_some_and(Mallory::vanishes);
            if vanishes && self.is_mallory(device) {
                self.crash(device);
                continue;
            }
            self.devices[device].disks_work();
            self.start(device);
            self.seal(device);
        }
        for pair in self.pairs() {
            self.after(0, Event::Connect(pair));
        }
        let deadline = self.now + CALM_MS;
        // To compare all that devices hold is dear, and they hold the same as before most of the time.
        while !(self.changed && self.agreed()) {
            assert!(self.step(), "nothing happens any more, and the devices do not agree");
            assert!(self.now < deadline, "the devices did not agree in time");
        }
    }

    fn pairs(&self) -> Vec<Pair> {
        let count = self.devices.len();
        (0..count).flat_map(|a| (a + 1..count).map(move |b| (a, b))).collect()
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
        self.check_step();
        true
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Deliver { from, to, connection, frame } => {
                if self.is_connected(to, from, connection) {
                    self.deliver(from, to, &frame);
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
            Event::Leave { until } if !self.calm => self.leave(until),
            Event::Restrict { device, removes } if !self.calm => self.restrict(device, removes),
            Event::Save { device } if !self.calm => self.save(device),
            Event::Rewind { device } if !self.calm => self.rewind(device),
            Event::Misbehave if !self.calm => self.misbehave(),
            Event::Write { .. }
            | Event::Cut(_)
            | Event::Crash { .. }
            | Event::Leave { .. }
            | Event::Restrict { .. }
            | Event::Save { .. }
            | Event::Rewind { .. }
            | Event::Misbehave => {}
        }
    }

    /// Gives a device a message that arrived, as its daemon would.
    fn deliver(&mut self, from: usize, to: usize, frame: &[u8]) {
        let limit = self.sides.get(&(to, from)).map_or(0, |side| side.session.frame_limit());
        let fits = frame.len() - 4 <= limit;
        match fits.then(|| Message::decode(&frame[4..])) {
            Some(Ok(message)) => self.told.push_back((to, from, Input::Received(message))),
            _ => {
                assert!(self.is_mallory(from), "device {from} sent device {to} nonsense");
                self.reconnect(to, from);
            }
        }
    }

    /// Ends a connection, and has it made again later.
    fn reconnect(&mut self, device: usize, peer: usize) {
        self.disconnect(device, peer);
        let pair = (device.min(peer), device.max(peer));
        let again = 500 + self.within(2_000);
        self.after(again, Event::Connect(pair));
    }

    fn is_connected(&self, device: usize, peer: usize, connection: u64) -> bool {
        self.sides.get(&(device, peer)).is_some_and(|side| side.connection == connection)
    }

    fn time_at(&self, device: usize) -> UnixMillis {
        UnixMillis(self.now.saturating_add_signed(self.devices[device].skew_ms))
    }

    fn start(&mut self, device: usize) {
        let vanished = self.calm && self.mallory.as_ref().is_some_and(Mallory::vanishes);
        if self.devices[device].is_up() || (vanished && self.is_mallory(device)) {
            return;
        }
        self.touched.insert(device);
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
        let meet = self.mallory.as_ref().is_none_or(|mallory| mallory.meets(a, b));
        let are_up = self.devices[a].is_up() && self.devices[b].is_up();
        let is_away = a == 0 && self.now < self.away_until && !self.calm;
        if self.sides.contains_key(&(a, b)) || !are_up || !meet || is_away {
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
        if let Err(error) = side.session.handle(now, input) {
            assert!(self.is_mallory(peer), "device {peer} sent device {device} nonsense: {error}");
            return self.reconnect(device, peer);
        }
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
                self.touched.insert(device);
                let tip = self.devices[device].reclaim(now, incarnation, batch)?;
                let held = self.devices[device].held();
                self.told.push_back((device, peer, Input::Reclaimed { journal, tip, held }));
                self.tell_others(device, peer);
            }
            Output::Seal { token } => {
                let now = self.time_at(device);
                self.touched.insert(device);
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
                self.reconnect(device, peer);
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
        let is_silent =
            self.mallory.as_ref().is_some_and(|mallory| mallory.is_silent(from, self.now));
        if !self.calm && (is_silent || self.random.random_bool(0.1)) {
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
        self.touched.insert(device);
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
        self.touched.insert(device);
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
        self.touched.insert(device);
        let before = self.devices[device].acknowledged.len();
        let written = clients::write(&mut self.devices[device], now, &mut self.random);
        if !self.is_honest(device) {
            self.devices[device].acknowledged.truncate(before);
        }
        match written {
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
