//! A member with bad intent: a device that runs what all run, and whose user does more with its key.

use rand::RngExt;
use rand::rngs::StdRng;
use runmesh_core::clock::Clock;
use runmesh_core::ids::{DeviceId, DocumentId, EntryHash, Incarnation, JournalId, RunId};
use runmesh_core::operation::{Operation, OperationKind};
use runmesh_core::rows::{MetricContext, Point};
use runmesh_core::series::{self, SeriesPoints};
use runmesh_core::sync::{MAX_FRAME_BYTES, Message, Obstacle, Scope};
use runmesh_core::vector::{Tip, VersionVector};

use super::device::Device;
use super::{Event, Simulation};

/// What it is up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Malice {
    /// It writes different entries under one number, with a clock a year ahead.
    Equivocates,
    /// It sends what is damaged, forged, too long, or a lie.
    Garbles,
    /// It sends far too much.
    Floods,
    /// It tells what it writes to one peer alone, and then nobody ever hears of it again.
    Withholds,
    /// It keeps connections and says nothing.
    Stalls,
}

/// The member.
pub(super) struct Mallory {
    pub(super) device: usize,
    malice: Malice,
    /// Until when it says nothing.
    silent_until: u64,
}

impl Mallory {
    pub(super) fn new(device: usize, random: &mut StdRng) -> Self {
        let all = [
            Malice::Equivocates,
            Malice::Garbles,
            Malice::Floods,
            Malice::Withholds,
            Malice::Stalls,
        ];
        Self { device, malice: all[random.random_range(0..all.len())], silent_until: 0 }
    }

    /// Whether there are two entries under one number.
    pub(super) fn forks(&self) -> bool {
        self.malice == Malice::Equivocates
    }

    /// Whether it is not there any more once nothing breaks.
    pub(super) fn vanishes(&self) -> bool {
        self.malice == Malice::Withholds
    }

    /// Whether it meets a peer at all.
    pub(super) fn meets(&self, a: usize, b: usize) -> bool {
        !self.vanishes() || (a != self.device && b != self.device) || a.min(b) == 0
    }

    /// Whether it sends nothing at this time.
    pub(super) fn is_silent(&self, device: usize, now: u64) -> bool {
        device == self.device && now < self.silent_until
    }
}

impl Simulation {
    /// Does something bad to one of the peers.
    pub(super) fn misbehave(&mut self) {
        let next = 1_000 + self.within(5_000);
        self.after(next, Event::Misbehave);
        let Some(Mallory { device, malice, .. }) = &self.mallory else { return };
        let (device, malice) = (*device, *malice);
        let peers: Vec<usize> =
            self.sides.keys().filter(|(own, _)| *own == device).map(|(_, peer)| *peer).collect();
        if peers.is_empty() {
            return;
        }
        let peer = peers[self.random.random_range(0..peers.len())];
        self.tally.misdeeds += 1;
        let frames = match malice {
            Malice::Equivocates => vec![framed(self.another_entry(device, peer))],
            Malice::Garbles => vec![self.nonsense(device, peer)],
            Malice::Floods => self.flood(device, peer),
            Malice::Withholds => Vec::new(),
            Malice::Stalls => {
                let silent_until = self.now + self.within(40_000);
                self.mallory.iter_mut().for_each(|mallory| mallory.silent_until = silent_until);
                Vec::new()
            }
        };
        let Some(connection) = self.sides.get(&(device, peer)).map(|side| side.connection) else {
            return;
        };
        for frame in frames {
            let delay = self.within(500);
            self.after(delay, Event::Deliver { from: device, to: peer, connection, frame });
        }
    }

    /// Whether a message comes from a member with bad intent.
    pub(super) fn is_mallory(&self, device: usize) -> bool {
        self.mallory.as_ref().is_some_and(|mallory| mallory.device == device)
    }

    /// An entry that follows on what the peer holds, and that the device itself does not have. It
    /// says something of a run that nobody else knows.
    fn another_entry(&mut self, device: usize, peer: usize) -> Message {
        let journal = self.devices[device].writes();
        let tip = self.devices[peer].vector().tip(&journal);
        let year_ahead = Clock((self.now + 365 * 24 * 3_600_000) << 16);
        let operation = points(&mut self.random);
        let stored = self.devices[device].forge(journal, &tip, year_ahead, vec![operation]);
        let (first, previous) = (tip.count, tip.hash);
        Message::Entries { journal, first, previous, entries: vec![stored] }
    }

    fn nonsense(&mut self, device: usize, peer: usize) -> Vec<u8> {
        let own = self.devices[device].writes();
        let tip = self.devices[peer].vector().tip(&own);
        let victim = self.devices[peer].writes();
        let victims = self.devices[peer].vector().tip(&victim);
        let hash = EntryHash::new(self.random.random());
        let entry = |device: &Device, journal, tip: &Tip, operations| {
            let stored = device.forge(journal, tip, Clock(self.now << 16), operations);
            let (first, previous) = (tip.count, tip.hash);
            Message::Entries { journal, first, previous, entries: vec![stored] }
        };
        let mallory = &self.devices[device];
        let message = match self.random.random_range(0..9) {
            // Under another's name.
            0 => entry(mallory, victim, &victims, vec![points(&mut self.random)]),
            // A change of another that it did not sign, a change that is none.
            1 | 2 => {
                let kind = [OperationKind::Carried, OperationKind::Change, OperationKind::Points];
                let kind = kind[self.random.random_range(0..kind.len())];
                let run = DocumentId::run(RunId::new(self.random.random()));
                let content: [u8; 32] = self.random.random();
                let bad = Operation::new(kind, [1; 16], run, content.repeat(9));
                entry(mallory, own, &tip, vec![bad])
            }
            // The start of what says that it is 2^40 bytes long.
            3 => {
                let entries = vec![[&[7; 72][..], &[1, 255, 255, 255, 255, 255, 63]].concat()];
                let (first, previous) = (tip.count, tip.hash);
                Message::Entries { journal: own, first, previous, entries }
            }
            // It has another line of the peer's own journal.
            4 | 5 => {
                let mut vector = VersionVector::new();
                vector.set(victim, Tip { count: victims.count, hash });
                Message::Have { scope: Scope::Changed, vector }
            }
            6 => {
                let text = "no".to_owned();
                Message::Refuse { journal: victim, obstacle: Obstacle::BrokenChain, text }
            }
            // Too long.
            7 => return vec![0; MAX_FRAME_BYTES + 5],
            // Damaged.
            _ => {
                let vector = self.devices[peer].vector();
                let mut frame = Message::Have { scope: Scope::All, vector }.frame().0;
                let at = self.random.random_range(4..frame.len());
                frame[at] ^= 1 << self.random.random_range(0..8);
                return frame;
            }
        };
        framed(message)
    }

    fn flood(&mut self, device: usize, peer: usize) -> Vec<Vec<u8>> {
        let own = self.devices[device].writes();
        let tip = self.devices[peer].vector().tip(&own);
        let mut frames = Vec::new();
        for _ in 0..40 {
            let mut vector = VersionVector::new();
            let mut entries = Vec::new();
            for _ in 0..50 {
                let device = DeviceId::new(self.random.random());
                let incarnation = Incarnation::new(self.random.random());
                let hash = EntryHash::new(self.random.random());
                vector.set(JournalId { device, incarnation }, Tip { count: 1 << 40, hash });
                entries.push(hash.as_bytes().repeat(8));
            }
            let (first, previous) = (tip.count + 1, tip.hash);
            frames.push(framed(Message::Have { scope: Scope::Changed, vector }));
            frames.push(framed(Message::Entries { journal: own, first, previous, entries }));
            frames.push(framed(Message::Watch { token: self.random.random() }));
        }
        frames
    }
}

fn framed(message: Message) -> Vec<u8> {
    message.frame().0
}

/// Points of a run that nobody knows.
fn points(random: &mut StdRng) -> Operation {
    let run = DocumentId::run(RunId::new(random.random()));
    let point = Point { step: 1, timestamp_ms: 1, value: random.random() };
    let (key, context) = ("loss".to_owned(), MetricContext::default());
    let series = [SeriesPoints { key, context, points: vec![point] }];
    Operation::new(OperationKind::Points, random.random(), run, series::encode_points(&series))
}
