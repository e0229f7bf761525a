//! A device of the simulation: a real store on disks that can fail and lose power.

use std::collections::BTreeSet;
use std::sync::Arc;

use ed25519_dalek::SigningKey;
use runmesh_core::act::{ActKind, Cuts, Role, workspace_id};
use runmesh_core::action::{Action, Outcome, Refusal};
use runmesh_core::clock::{Clock, UnixMillis};
use runmesh_core::disk::Disk;
use runmesh_core::entry::{Entry, UnverifiedEntry, verify_chain};
use runmesh_core::ids::{DeviceId, DocumentId, Incarnation, JournalId, RunId, WorkspaceId};
use runmesh_core::operation::{Operation, OperationKind};
use runmesh_core::store::{
    Birth, Chain, Fault, Files, RoundEnd, Snapshot, Start, Store, StoreError,
};
use runmesh_core::sync::{Batch, FirstEntry, Held, Input, verify, verify_line};
use runmesh_core::vector::{Tip, VersionVector};

use super::clients::Acknowledged;
use super::contents::Contents;

/// The device's disk failed: it is as good as without power.
#[derive(Debug)]
pub(super) struct Failed;

impl From<StoreError> for Failed {
    fn from(_: StoreError) -> Self {
        Self
    }
}

/// A device, up or not.
pub(super) struct Device {
    pub(super) number: usize,
    /// How far its clock is ahead.
    pub(super) skew_ms: i64,
    /// What its clients were told is written.
    pub(super) acknowledged: Vec<Acknowledged>,
    /// How many writes its clients asked for, so that no two are alike.
    pub(super) asked: u64,
    key: SigningKey,
    birth: Birth,
    starts: u8,
    database: Disk,
    log: Disk,
    /// What its disks held at some time, as a backup of the whole machine has it.
    saved: Option<(Disk, Disk)>,
    store: Option<Store>,
}

/// The first device of a workspace, which has invited the others. Only it has ever been up.
pub(super) fn founder_and_invited(count: usize, now_ms: u64) -> Vec<Device> {
    let nonce = [7; 16];
    let workspace = workspace_id(&id_of(&key(0)), &nonce);
    let name = "lab".to_owned();
    let found = ActKind::Found { nonce, name, device_name: "device 0".to_owned() };
    let mut devices = vec![Device::new(0, workspace, found)];
    let founder = &mut devices[0];
    founder.start(UnixMillis(now_ms)).expect("a disk that does not fail yet");
    let mut invited = Vec::new();
    for number in 1..count {
        let ticket = SigningKey::from_bytes(&[100 + number as u8; 32]);
        let public = ticket.verifying_key().to_bytes();
        let invite = ActKind::Invite { key: public, role: Role::Writer, expires_ms: 0, uses: 1 };
        let made = founder.store().declare(UnixMillis(now_ms), vec![invite]);
        made.expect("a disk that does not fail yet");
        let own = id_of(&key(number));
        let join = ActKind::join(&ticket, &workspace, &own, format!("device {number}"));
        invited.push(Device::new(number, workspace, join));
    }
    devices[0].store = None;
    devices.extend(invited);
    devices
}

fn key(number: usize) -> SigningKey {
    SigningKey::from_bytes(&[number as u8 + 1; 32])
}

fn id_of(key: &SigningKey) -> DeviceId {
    DeviceId::new(key.verifying_key().to_bytes())
}

impl Device {
    fn new(number: usize, workspace: WorkspaceId, act: ActKind) -> Self {
        let incarnation = Incarnation::new([number as u8; 16]);
        Self {
            number,
            skew_ms: 0,
            acknowledged: Vec::new(),
            asked: 0,
            key: key(number),
            birth: Birth { workspace, incarnation, act },
            starts: 0,
            database: Disk::new(),
            log: Disk::new(),
            saved: None,
            store: None,
        }
    }

    /// Opens the store, or makes it at the first start.
    pub(super) fn start(&mut self, now: UnixMillis) -> Result<(), Failed> {
        let mut opened = self.open();
        if opened.is_err() && !self.acknowledged.is_empty() {
            // The disk may have been told to fail meanwhile: then it opens with one that works.
            self.lose_power();
            opened = self.open();
        }
        self.store = Some(match opened {
            Ok(store) => store,
            // As a daemon does with a home whose first start was cut short.
            Err(error) => {
                let lost = !self.acknowledged.is_empty();
                assert!(!lost, "device {} lost its store: {error:?}", self.number);
                (self.database, self.log) = (Disk::new(), Disk::new());
                Store::create(self.files(), self.start_with(), self.birth.clone(), now)?
            }
        });
        Ok(())
    }

    fn open(&mut self) -> Result<Store, StoreError> {
        self.starts += 1;
        Store::open(self.files(), self.start_with())
    }

    fn files(&self) -> Files<Disk, Disk> {
        let (database, edit_log) = (self.database.clone(), self.log.clone());
        Files { database, edit_log, cache_bytes: 1 << 20 }
    }

    /// What is new at each start.
    fn start_with(&self) -> Start {
        let (nonce, salts) = ([self.starts; 16], [self.starts; 32]);
        Start { key: self.key.clone(), nonce, salts, threads: 1 }
    }

    pub(super) fn lose_power(&mut self) {
        self.store = None;
        self.database = self.database.after_power_loss();
        self.log = self.log.after_power_loss();
    }

    /// Keeps what its disks hold now.
    pub(super) fn save(&mut self) {
        self.saved = Some((self.database.after_power_loss(), self.log.after_power_loss()));
    }

    /// Puts back what its disks held when they were saved, if they were.
    pub(super) fn rewind(&mut self) -> bool {
        let Some((database, log)) = self.saved.take() else { return false };
        self.store = None;
        (self.database, self.log) = (database, log);
        true
    }

    /// Lets one of its disks fail after some more operations.
    pub(super) fn fail_after(&self, operations: u64) {
        let disk = if operations.is_multiple_of(2) { &self.database } else { &self.log };
        disk.fail_after(Some(operations));
    }

    pub(super) fn disks_work(&self) {
        self.database.fail_after(None);
        self.log.fail_after(None);
    }

    pub(super) const fn is_up(&self) -> bool {
        self.store.is_some()
    }

    fn store(&mut self) -> &mut Store {
        self.store.as_mut().expect("the device is up")
    }

    pub(super) fn id(&self) -> DeviceId {
        id_of(&self.key)
    }

    pub(super) const fn workspace(&self) -> WorkspaceId {
        self.birth.workspace
    }

    /// Signs what no store would write: an entry that follows what a peer holds of this device's
    /// journal, or of what it says is another's.
    pub(super) fn forge(
        &self,
        journal: JournalId,
        tip: &Tip,
        clock: Clock,
        operations: Vec<Operation>,
    ) -> Vec<u8> {
        let entry = Entry::sign(&self.key, self.workspace(), journal, tip, clock, operations);
        entry.stored().to_vec()
    }

    /// The journal that it writes now.
    pub(super) fn writes(&self) -> JournalId {
        self.store.as_ref().expect("the device is up").journal()
    }

    fn journal(&self) -> JournalId {
        JournalId { device: self.id(), incarnation: self.birth.incarnation }
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let store = self.store.as_ref().expect("the device is up");
        store.reader().snapshot().expect("reading does not fail")
    }

    pub(super) fn vector(&self) -> VersionVector {
        self.snapshot().vector().expect("reading does not fail")
    }

    /// Bytes of the entries of all journals.
    pub(super) fn journal_bytes(&self) -> u64 {
        let journals = self.snapshot().journals().expect("reading does not fail");
        journals.iter().map(|held| held.bytes).sum()
    }

    pub(super) fn held(&self) -> Held {
        let snapshot = self.snapshot();
        let membership = snapshot.membership().expect("reading does not fail");
        Held {
            vector: snapshot.vector().expect("reading does not fail"),
            membership: Arc::new(membership),
        }
    }

    pub(super) fn first_entry(&self) -> Option<FirstEntry> {
        let journal = self.journal();
        let first =
            self.snapshot().entries(&journal, 0, 1).expect("reading does not fail").pop()?;
        Some(FirstEntry { incarnation: journal.incarnation, stored: first })
    }

    pub(super) fn load(
        &self,
        journal: JournalId,
        from: u64,
        max_bytes: usize,
        max_entries: usize,
    ) -> Result<Input, Failed> {
        let chain = self.snapshot().chain(&journal, from, max_bytes, max_entries)?;
        let nothing = Chain { previous: Tip::START.hash, entries: Vec::new() };
        let Chain { previous, entries } = chain.unwrap_or(nothing);
        Ok(Input::Loaded { journal, first: from, previous, entries })
    }

    pub(super) fn seal(&mut self, now: UnixMillis) -> Result<(), Failed> {
        self.store().seal(now)?;
        Ok(())
    }

    /// Writes groups of actions in one round. What was answered before a failure is in `answers`.
    pub(super) fn write(
        &mut self,
        now: UnixMillis,
        groups: Vec<Vec<Action>>,
        end: RoundEnd,
        answers: &mut Vec<Result<Outcome, Refusal>>,
    ) -> Result<(), Failed> {
        self.store().round(|round| {
            for group in groups {
                answers.extend(round.write(now, group)?);
            }
            Ok(((), end))
        })?;
        Ok(())
    }

    pub(super) fn ingest(
        &mut self,
        now: UnixMillis,
        batches: Vec<Batch>,
    ) -> Result<Vec<(JournalId, Fault)>, Failed> {
        let (good, mut faults) = verify(self.workspace(), &self.vector(), batches, 1);
        if !good.is_empty() {
            faults.extend(self.store().ingest(now, good)?.faults);
        }
        Ok(faults)
    }

    /// Whether another device is a member here, as far as is known.
    pub(super) fn knows(&self, other: &Self) -> bool {
        self.held().membership.role(&other.id()).is_some()
    }

    /// Has the founder remove a device, or let it only read.
    pub(super) fn restrict(
        &mut self,
        now: UnixMillis,
        device: DeviceId,
        removes: bool,
    ) -> Result<(), Failed> {
        let cuts = Cuts::new();
        let act = if removes {
            ActKind::Remove { device, cuts }
        } else {
            ActKind::SetRole { device, role: Role::Reader, cuts }
        };
        self.store().declare(now, vec![act])?;
        Ok(())
    }

    /// Has the founder say that a run is gone for good.
    pub(super) fn purge(&mut self, now: UnixMillis, run: RunId) -> Result<(), Failed> {
        let document = DocumentId::run(run);
        self.store().declare(now, vec![ActKind::Purge { document }])?;
        Ok(())
    }

    /// The runs that are gone for good.
    pub(super) fn purged(&self) -> BTreeSet<RunId> {
        let membership = self.snapshot().membership().expect("reading does not fail");
        membership.purged().iter().filter_map(DocumentId::as_run).collect()
    }

    /// How many operations on these runs are kept with their content.
    pub(super) fn kept_of(&self, runs: &BTreeSet<RunId>) -> usize {
        let snapshot = self.snapshot();
        let mut kept = 0;
        for (journal, tip) in self.vector().iter() {
            let rows = snapshot.entries(journal, 0, usize::MAX).expect("reading does not fail");
            assert_eq!(rows.len() as u64, tip.count);
            let read = (0..).zip(&rows).map(|(number, row)| {
                UnverifiedEntry::decode(*journal, number, row).expect("it was stored")
            });
            let (good, fault) = verify_chain(self.workspace(), Tip::START, read.collect(), 1);
            assert_eq!((fault, good.last().map(Entry::tip)), (None, Some(*tip)));
            let operations = good.iter().flat_map(Entry::operations);
            let runs_of = operations.filter_map(|one| one.document()?.as_run());
            kept += runs_of.filter(|run| runs.contains(run)).count();
        }
        kept
    }

    /// How many changes of others this device carries in its journal.
    pub(super) fn carries(&self) -> usize {
        let rows = self.snapshot().entries(&self.writes(), 0, usize::MAX);
        let rows = rows.expect("reading does not fail");
        let entries = (0..).zip(&rows).map(|(number, row)| {
            UnverifiedEntry::decode(self.writes(), number, row).expect("it was stored")
        });
        let (good, _) = verify_chain(self.workspace(), Tip::START, entries.collect(), 1);
        let operations = good.iter().flat_map(Entry::operations);
        let kinds = operations.map(|operation| match operation {
            Operation::Whole { kind, .. } | Operation::Redacted { kind, .. } => *kind,
        });
        kinds.filter(|kind| *kind == OperationKind::Carried as u8).count()
    }

    /// Takes in what a peer holds of this device's own journal. Returns the last entry of it.
    pub(super) fn reclaim(
        &mut self,
        now: UnixMillis,
        incarnation: [u8; 16],
        batch: Batch,
    ) -> Result<Option<Tip>, Failed> {
        let entries = verify_line(self.workspace(), batch, 1);
        let tip = entries.last().map(Entry::tip);
        self.store().take_line(now, Incarnation::new(incarnation), entries)?;
        Ok(tip)
    }

    pub(super) fn contents(&self) -> Contents {
        Contents::of(&self.snapshot()).expect("reading does not fail")
    }

    /// What it shows once everything derived was built again.
    pub(super) fn rebuilt(&mut self) -> Contents {
        self.store().rebuild().expect("a disk that does not fail any more");
        self.contents()
    }
}
