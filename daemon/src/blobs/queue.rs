//! What is to be fetched, in which order, and when again after a failure.
//!
//! Invariants: a blob is in the queue once, whoever wants it; it is never under way twice at the
//! same time; the queue is bounded. It is told the time.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

use runmesh_core::ids::BlobHash;

use super::Wanted;

/// How many blobs may be wanted at a time. More are refused, to be offered again later.
const MAX_WANTED: usize = 1 << 16;
/// How long to wait after the first failure; doubled with each further one, up to the longest.
const FIRST_DELAY: Duration = Duration::from_secs(1);
const LONGEST_DELAY: Duration = Duration::from_secs(300);

/// How far fetching has come since there was last nothing to fetch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Blobs that are wanted and not here, those under way included.
    pub queued: usize,
    /// Bytes that are here and verified.
    pub bytes_done: u64,
    /// Bytes of all blobs that were or are wanted.
    pub bytes_total: u64,
}

/// A blob that is being fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnderWay {
    /// Which.
    pub blob: BlobHash,
    /// How many of its bytes are here and verified.
    pub bytes_done: u64,
    /// All its bytes.
    pub bytes_total: u64,
}

/// The queue. `Reply` is what waits for a blob.
#[derive(Debug)]
pub(super) struct Queue<Reply> {
    wants: HashMap<BlobHash, Want<Reply>>,
    /// Those that somebody waits for.
    urgent: VecDeque<BlobHash>,
    ready: VecDeque<BlobHash>,
    /// Those that failed, by when to try again.
    later: BTreeSet<(Instant, BlobHash)>,
    progress: Progress,
}

#[derive(Debug)]
struct Want<Reply> {
    wanted: Wanted,
    /// Whether to try again after a failure, or only somebody waits for it now.
    is_lasting: bool,
    /// Whether it is to be forgotten although it is under way.
    is_given_up: bool,
    failures: u32,
    verified_bytes: u64,
    place: Place,
    waiting: Vec<Reply>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Urgent,
    Ready,
    Later(Instant),
    UnderWay,
}

impl<Reply> Queue<Reply> {
    pub(super) fn new() -> Self {
        Self {
            wants: HashMap::new(),
            urgent: VecDeque::new(),
            ready: VecDeque::new(),
            later: BTreeSet::new(),
            progress: Progress::default(),
        }
    }

    pub(super) const fn progress(&self) -> Progress {
        self.progress
    }

    /// What is being fetched.
    pub(super) fn under_way(&self) -> Vec<UnderWay> {
        let under_way = self.wants.values().filter(|want| want.place == Place::UnderWay);
        let told = |want: &Want<Reply>| UnderWay {
            blob: want.wanted.hash,
            bytes_done: want.verified_bytes,
            bytes_total: want.wanted.size,
        };
        let mut told: Vec<_> = under_way.map(told).collect();
        told.sort_by_key(|told| told.blob);
        told
    }

    /// Adds a blob that is wanted until it is here; returns false if there is no room.
    pub(super) fn add(&mut self, wanted: Wanted) -> bool {
        if let Some(want) = self.wants.get_mut(&wanted.hash) {
            want.is_lasting = true;
            return true;
        }
        if self.wants.len() >= MAX_WANTED {
            return false;
        }
        self.insert(wanted, true, Place::Ready);
        self.ready.push_back(wanted.hash);
        true
    }

    /// Adds a blob that somebody waits for, before all others.
    pub(super) fn add_urgent(&mut self, wanted: Wanted, reply: Reply) {
        if !self.wants.contains_key(&wanted.hash) {
            self.insert(wanted, false, Place::Urgent);
            self.urgent.push_back(wanted.hash);
        }
        let want = self.wants.get_mut(&wanted.hash).expect("just inserted");
        want.waiting.push(reply);
        match want.place {
            Place::Urgent | Place::UnderWay => return,
            Place::Ready => self.ready.retain(|hash| *hash != wanted.hash),
            Place::Later(due) => drop(self.later.remove(&(due, wanted.hash))),
        }
        want.place = Place::Urgent;
        self.urgent.push_back(wanted.hash);
    }

    /// Takes the next blob that somebody waits for.
    pub(super) fn next_urgent(&mut self) -> Option<Wanted> {
        let hash = self.urgent.pop_front()?;
        Some(self.start(hash))
    }

    /// Takes the next blob, if one is due.
    pub(super) fn next(&mut self, now: Instant) -> Option<Wanted> {
        while let Some(&(due, hash)) = self.later.first()
            && due <= now
        {
            self.later.pop_first();
            self.make_ready(hash);
        }
        let hash = self.urgent.pop_front().or_else(|| self.ready.pop_front())?;
        Some(self.start(hash))
    }

    /// When the next blob that failed is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.later.first().map(|(due, _)| *due)
    }

    /// Notes how much of a blob under way is here; returns whether that is worth telling.
    pub(super) fn advance(&mut self, hash: &BlobHash, verified_bytes: u64) -> bool {
        const STEP_BYTES: u64 = 1 << 20;
        let Some(want) = self.wants.get_mut(hash) else { return false };
        let before = std::mem::replace(&mut want.verified_bytes, verified_bytes);
        self.progress.bytes_done = self.progress.bytes_done - before + verified_bytes;
        before / STEP_BYTES != verified_bytes / STEP_BYTES
    }

    /// Removes a blob that is here now; returns who waits for it.
    pub(super) fn done(&mut self, hash: &BlobHash) -> Vec<Reply> {
        let Some(want) = self.wants.remove(hash) else { return Vec::new() };
        self.progress.queued -= 1;
        self.progress.bytes_done += want.wanted.size - want.verified_bytes;
        want.waiting
    }

    /// Puts off a blob that nobody could give; returns who waits for it.
    pub(super) fn failed(&mut self, hash: &BlobHash, now: Instant) -> Vec<Reply> {
        let Some(want) = self.wants.get_mut(hash) else { return Vec::new() };
        let waiting = std::mem::take(&mut want.waiting);
        want.is_given_up = false;
        if !want.is_lasting {
            self.forget(hash);
            return waiting;
        }
        let delay = FIRST_DELAY.saturating_mul(1 << want.failures.min(16)).min(LONGEST_DELAY);
        want.failures += 1;
        want.place = Place::Later(now + delay);
        self.later.insert((now + delay, *hash));
        waiting
    }

    /// Makes everything due that failed before: there may be someone new to ask.
    pub(super) fn retry_all(&mut self) {
        while let Some((_, hash)) = self.later.pop_first() {
            self.make_ready(hash);
            self.wants.get_mut(&hash).expect("what is put off is wanted").failures = 0;
        }
    }

    /// Forgets a blob, or has it forgotten once whoever fetches it has stopped; returns who waits.
    pub(super) fn give_up(&mut self, hash: &BlobHash) -> Vec<Reply> {
        let Some(want) = self.wants.get_mut(hash) else { return Vec::new() };
        match want.place {
            Place::UnderWay => {
                (want.is_lasting, want.is_given_up) = (false, true);
                return std::mem::take(&mut want.waiting);
            }
            Place::Urgent => self.urgent.retain(|held| held != hash),
            Place::Ready => self.ready.retain(|held| held != hash),
            Place::Later(due) => drop(self.later.remove(&(due, *hash))),
        }
        self.forget(hash)
    }

    /// Whether a blob was given up while it was under way.
    pub(super) fn is_given_up(&self, hash: &BlobHash) -> bool {
        self.wants.get(hash).is_some_and(|want| want.is_given_up)
    }

    /// Forgets everything that is not under way; returns who waits for it.
    pub(super) fn clear(&mut self) -> Vec<Reply> {
        self.urgent.clear();
        self.ready.clear();
        self.later.clear();
        let idle = |want: &&Want<Reply>| want.place != Place::UnderWay;
        let forgotten: Vec<_> =
            self.wants.values().filter(idle).map(|want| want.wanted.hash).collect();
        for want in self.wants.values_mut() {
            want.is_lasting = false;
        }
        forgotten.iter().flat_map(|hash| self.forget(hash)).collect()
    }

    fn insert(&mut self, wanted: Wanted, is_lasting: bool, place: Place) {
        if self.wants.is_empty() {
            self.progress = Progress::default();
        }
        self.progress.queued += 1;
        self.progress.bytes_total = self.progress.bytes_total.saturating_add(wanted.size);
        let want = Want {
            wanted,
            is_lasting,
            is_given_up: false,
            failures: 0,
            verified_bytes: 0,
            place,
            waiting: Vec::new(),
        };
        self.wants.insert(wanted.hash, want);
    }

    fn forget(&mut self, hash: &BlobHash) -> Vec<Reply> {
        let want = self.wants.remove(hash).expect("only what is wanted is forgotten");
        self.progress.queued -= 1;
        self.progress.bytes_done -= want.verified_bytes;
        self.progress.bytes_total = self.progress.bytes_total.saturating_sub(want.wanted.size);
        want.waiting
    }

    fn make_ready(&mut self, hash: BlobHash) {
        self.wants.get_mut(&hash).expect("what is put off is wanted").place = Place::Ready;
        self.ready.push_back(hash);
    }

    fn start(&mut self, hash: BlobHash) -> Wanted {
        let want = self.wants.get_mut(&hash).expect("what is queued is wanted");
        want.place = Place::UnderWay;
        want.wanted
    }
}

#[cfg(test)]
mod tests {
    use runmesh_core::ids::DeviceId;

    use super::*;

    fn wanted(number: u8, size: u64) -> Wanted {
        Wanted {
            hash: BlobHash::new([number; 32]),
            size,
            uploaded_by: Some(DeviceId::new([1; 32])),
        }
    }

    fn numbers(queue: &mut Queue<&'static str>, now: Instant) -> Vec<u8> {
        std::iter::from_fn(|| queue.next(now)).map(|wanted| wanted.hash.as_bytes()[0]).collect()
    }

    #[test]
    fn a_blob_is_queued_once_and_who_waits_goes_first() {
        let (mut queue, now) = (Queue::new(), Instant::now());
        for number in [1, 2, 3, 2] {
            assert!(queue.add(wanted(number, 10)));
        }
        queue.add_urgent(wanted(3, 10), "ann");
        queue.add_urgent(wanted(4, 10), "bob");
        queue.add_urgent(wanted(3, 10), "cat");
        assert_eq!(queue.progress(), Progress { queued: 4, bytes_done: 0, bytes_total: 40 });
        assert_eq!(queue.next_urgent(), Some(wanted(3, 10)));
        queue.add_urgent(wanted(3, 10), "dan");
        assert_eq!(numbers(&mut queue, now), [4, 1, 2]);
        assert_eq!(queue.done(&wanted(3, 10).hash), ["ann", "cat", "dan"]);
        assert_eq!(queue.progress(), Progress { queued: 3, bytes_done: 10, bytes_total: 40 });
    }

    #[test]
    fn failures_wait_longer_and_longer_until_someone_new_comes() {
        let (mut queue, mut now) = (Queue::<&str>::new(), Instant::now());
        queue.add(wanted(1, 10));
        for seconds in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
            assert_eq!(numbers(&mut queue, now), [1]);
            queue.failed(&wanted(1, 10).hash, now);
            let due = now + Duration::from_secs(seconds);
            assert_eq!(queue.next_due(), Some(due));
            assert!(queue.next(due - Duration::from_millis(1)).is_none());
            now = due;
        }
        queue.next(now);
        queue.failed(&wanted(1, 10).hash, now);
        queue.retry_all();
        assert_eq!(numbers(&mut queue, now), [1]);
        queue.failed(&wanted(1, 10).hash, now);
        assert_eq!(queue.next_due(), Some(now + FIRST_DELAY));
    }

    #[test]
    fn what_only_somebody_waited_for_is_not_tried_again() {
        let (mut queue, now) = (Queue::new(), Instant::now());
        queue.add_urgent(wanted(1, 10), "ann");
        assert_eq!(numbers(&mut queue, now), [1]);
        assert_eq!(queue.failed(&wanted(1, 10).hash, now), ["ann"]);
        assert_eq!((queue.next_due(), queue.progress().queued), (None, 0));

        queue.add_urgent(wanted(1, 10), "ann");
        queue.add(wanted(1, 10));
        assert_eq!(numbers(&mut queue, now), [1]);
        assert_eq!(queue.failed(&wanted(1, 10).hash, now), ["ann"]);
        assert!(queue.next_due().is_some());
    }

    #[test]
    fn progress_starts_anew_when_there_was_nothing_to_do() {
        let (mut queue, now) = (Queue::<&str>::new(), Instant::now());
        queue.add(wanted(1, 3 << 20));
        queue.next(now);
        assert!(!queue.advance(&wanted(1, 0).hash, 16 << 10));
        assert!(queue.advance(&wanted(1, 0).hash, 2 << 20));
        assert_eq!(queue.progress().bytes_done, 2 << 20);
        queue.done(&wanted(1, 0).hash);
        let all = Progress { queued: 0, bytes_done: 3 << 20, bytes_total: 3 << 20 };
        assert_eq!(queue.progress(), all);
        queue.add(wanted(2, 5));
        assert_eq!(queue.progress(), Progress { queued: 1, bytes_done: 0, bytes_total: 5 });
    }

    #[test]
    fn what_is_given_up_is_forgotten_wherever_it_stands() {
        let (mut queue, now) = (Queue::new(), Instant::now());
        for number in [1, 2, 3] {
            queue.add(wanted(number, 10));
        }
        queue.add_urgent(wanted(4, 10), "dan");
        assert_eq!(queue.next(now), Some(wanted(4, 10)));
        assert_eq!(queue.next(now), Some(wanted(1, 10)));
        queue.failed(&wanted(1, 10).hash, now);
        for number in [1, 2] {
            assert!(queue.give_up(&wanted(number, 10).hash).is_empty());
        }
        assert_eq!(queue.give_up(&wanted(4, 10).hash), ["dan"]);
        assert!(queue.is_given_up(&wanted(4, 10).hash), "it is under way still");
        assert!(queue.failed(&wanted(4, 10).hash, now).is_empty());
        assert!(!queue.is_given_up(&wanted(4, 10).hash));
        assert_eq!((queue.progress().queued, queue.next_due()), (1, None));
        assert_eq!(numbers(&mut queue, now), [3]);
        assert!(queue.give_up(&wanted(9, 10).hash).is_empty(), "nobody wants that");
    }

    #[test]
    fn clearing_forgets_all_but_what_is_under_way() {
        let (mut queue, now) = (Queue::new(), Instant::now());
        for number in [1, 2, 3] {
            queue.add(wanted(number, 10));
        }
        assert_eq!(queue.next(now), Some(wanted(1, 10)));
        assert_eq!(queue.next(now), Some(wanted(2, 10)));
        queue.failed(&wanted(2, 10).hash, now);
        queue.add_urgent(wanted(4, 10), "ann");
        assert_eq!(queue.clear(), ["ann"]);
        assert_eq!(queue.progress(), Progress { queued: 1, bytes_done: 0, bytes_total: 10 });
        assert!(queue.next(now + LONGEST_DELAY).is_none());
        queue.failed(&wanted(1, 10).hash, now);
        assert_eq!(queue.progress().queued, 0);
    }

    #[test]
    fn the_queue_is_bounded() {
        let mut queue = Queue::<&str>::new();
        for number in 0..=MAX_WANTED as u64 {
            let mut hash = [0; 32];
            hash[..8].copy_from_slice(&number.to_le_bytes());
            let wanted = Wanted { hash: BlobHash::new(hash), ..wanted(0, 1) };
            assert_eq!(queue.add(wanted), number < MAX_WANTED as u64);
        }
    }
}
