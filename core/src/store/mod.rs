//! The store: one workspace in one redb file and one edit log beside it.
//!
//! Invariants: what [`Store::write`], [`Store::seal`] and [`Store::ingest`] report as done is
//! durable; only the one owner of a [`Store`] writes, and readers never wait for it; after a crash
//! at any moment the store opens with everything that was reported as done.

mod adopt;
mod apply;
mod authors;
mod backup;
mod batch;
mod built_on;
mod contested;
mod cuts;
mod error;
mod forget;
mod forks;
mod ingest;
mod journals;
mod meta;
mod model_points;
pub(crate) mod placed;
mod plan;
mod purge;
mod rebuild;
mod run_keys;
mod seal;
pub(crate) mod snapshot;
pub(crate) mod tables;
pub(crate) mod traces;
mod write;

use std::collections::BTreeSet;
use std::sync::Arc;

use ed25519_dalek::SigningKey;
use redb::{Database, Durability, ReadableDatabase, StorageBackend, WriteTransaction};

pub use self::apply::OperationError;
pub use self::authors::{Authors, Creator};
pub use self::backup::GoesOn;
use self::built_on::Beyond;
pub use self::error::StoreError;
pub use self::forks::{CarriedOver, ForkedLine, MAX_LINES};
pub use self::ingest::{Fault, Ingested, MAX_WAITING};
use self::meta::{Identity, Progress};
pub use self::model_points::ModelPoint;
pub use self::run_keys::RunKeys;
pub use self::snapshot::{ArtifactEntry, Chain, Counts, JournalInfo, Snapshot};
pub use self::write::{Round, RoundEnd};
use crate::act::{Act, ActKind, MAX_SEEN};
use crate::clock::UnixMillis;
use crate::edit::{Edit, TimedEdit};
use crate::edit_log::EditLog;
use crate::ids::{ActorId, BlobHash, DeviceId, DocumentId, Incarnation, JournalId, WorkspaceId};
use crate::membership::{self, Membership};
use crate::search::RunColumns;

/// Seal when the unsealed edits take this many bytes.
pub const SEAL_BYTES: u64 = 256 << 10;

/// Where a store's bytes are: two files, or two of anything that behaves like one.
#[derive(Debug)]
pub struct Files<D, L> {
    /// The redb file.
    pub database: D,
    /// The edit log.
    pub edit_log: L,
    /// How much of the database to keep in memory, in bytes.
    pub cache_bytes: usize,
}

impl<D: StorageBackend, L: StorageBackend> Files<D, L> {
    fn open(self) -> Result<(Arc<Database>, Box<dyn StorageBackend>), StoreError> {
        let mut builder = redb::Builder::new();
        builder.set_cache_size(self.cache_bytes);
        Ok((Arc::new(builder.create_with_backend(self.database)?), Box::new(self.edit_log)))
    }
}

/// What a store cannot make up itself: it knows no randomness.
#[derive(Clone)]
pub struct Start {
    /// The device's key.
    pub key: SigningKey,
    /// Random bytes, chosen anew at every start: the device's Automerge actor derives from them.
    pub nonce: [u8; 16],
    /// Random bytes, chosen anew at every start: the salts of operations derive from them.
    pub salts: [u8; 32],
    /// How many threads may check signatures.
    pub threads: usize,
}

/// How a store that does not exist yet begins.
#[derive(Debug, Clone)]
pub struct Birth {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// Random bytes that name the device's new journal.
    pub incarnation: Incarnation,
    /// The device's first word: that it founds the workspace, or joins it.
    pub act: ActKind,
}

/// One workspace on disk, to be written by one owner.
pub struct Store {
    database: Arc<Database>,
    /// What searches keep in memory.
    columns: Arc<RunColumns>,
    log: EditLog,
    start: Start,
    actor: ActorId,
    identity: Identity,
    progress: Progress,
    /// Edits that are not sealed yet; the first has the number `progress.sealed`.
    pending: Vec<TimedEdit>,
    salts_made: u64,
    membership: Arc<Membership>,
    /// The changes that were set aside, once somebody asked for them.
    beyond: Option<Beyond>,
}

/// Gives snapshots of a store to any number of readers.
#[derive(Clone)]
pub struct StoreReader {
    database: Arc<Database>,
    columns: Arc<RunColumns>,
}

impl StoreReader {
    /// What the store holds now.
    pub fn snapshot(&self) -> Result<Snapshot, StoreError> {
        Ok(Snapshot::with_columns(self.database.begin_read()?, Arc::clone(&self.columns)))
    }
}

impl Store {
    /// Opens a store that exists.
    pub fn open<D: StorageBackend, L: StorageBackend>(
        files: Files<D, L>,
        start: Start,
    ) -> Result<Self, StoreError> {
        let (database, edit_log) = files.open()?;
        Self::open_with(database, edit_log, start)
    }

    /// Makes a new store, whose device's first entry is sealed when this returns.
    pub fn create<D: StorageBackend, L: StorageBackend>(
        files: Files<D, L>,
        start: Start,
        birth: Birth,
        now: UnixMillis,
    ) -> Result<Self, StoreError> {
        let (database, edit_log) = files.open()?;
        let device = DeviceId::new(start.key.verifying_key().to_bytes());
        let journal = JournalId { device, incarnation: birth.incarnation };
        let txn = durable(&database)?;
        if meta::read(&txn)?.is_some() {
            return Err(StoreError::NotOurs("there is a store already"));
        }
        tables::create_all(&txn)?;
        meta::write_identity(&txn, &Identity { workspace: birth.workspace, journal })?;
        meta::write_derived(&txn)?;
        meta::write_progress(&txn, &Progress::default())?;
        txn.commit()?;
        let mut store = Self::open_with(database, edit_log, start)?;
        let founds = matches!(birth.act, ActKind::Found { .. });
        store.append(now, vec![Edit::Act(Act { kind: birth.act, seen: Vec::new() })])?;
        store.seal(now)?;
        if founds {
            // Who joins gets it from there, and may be one who only reads.
            store.create_default_experiment(now)?;
        }
        Ok(store)
    }

    fn open_with(
        database: Arc<Database>,
        edit_log: Box<dyn StorageBackend>,
        start: Start,
    ) -> Result<Self, StoreError> {
        let txn = database.begin_write()?;
        let found = meta::read(&txn)?;
        let outdated = found.is_some() && meta::is_outdated(&txn)?;
        txn.abort()?;
        let (identity, progress) = found.ok_or(StoreError::NotOurs("there is no store here"))?;
        let device = DeviceId::new(start.key.verifying_key().to_bytes());
        if device != identity.journal.device {
            return Err(StoreError::NotOurs("the store belongs to another device key"));
        }
        let (log, pending) = EditLog::open(edit_log, progress.sealed)?;
        let actor = crate::document::actor(device, start.nonce);
        let membership = Arc::new(Membership::default());
        let mut store = Self {
            database,
            columns: Arc::default(),
            log,
            start,
            actor,
            identity,
            progress,
            pending,
            salts_made: 0,
            membership,
            beyond: None,
        };
        if outdated {
            store.rebuild()?;
        }
        store.replay()?;
        // A crash may have come between members' acts and what follows from them.
        store.settle(UnixMillis(store.progress.clock.millis()))?;
        Ok(store)
    }

    /// Applies the edits that were durable in the log, but not yet in the database, at a crash.
    fn replay(&mut self) -> Result<(), StoreError> {
        let skip = (self.progress.applied - self.progress.sealed) as usize;
        let txn = durable(&self.database)?;
        let mut batch = batch::Batch::open(&txn)?;
        let mut progress = self.progress;
        for timed in self.pending.iter().skip(skip) {
            batch.apply(progress.applied, timed)?;
            progress.applied += 1;
            progress.clock = progress.clock.max(timed.clock);
        }
        batch.flush()?;
        if progress == self.progress {
            return Ok(txn.abort()?);
        }
        meta::write_progress(&txn, &progress)?;
        txn.commit()?;
        self.progress = progress;
        Ok(())
    }

    /// Gives snapshots to readers.
    pub fn reader(&self) -> StoreReader {
        let (database, columns) = (Arc::clone(&self.database), Arc::clone(&self.columns));
        StoreReader { database, columns }
    }

    /// Notes, durably, that this device may serve these blobs in this workspace.
    pub fn grant(&mut self, blobs: &[BlobHash]) -> Result<(), StoreError> {
        let txn = durable(&self.database)?;
        let mut batch = batch::Batch::open(&txn)?;
        for blob in blobs {
            batch.grant(blob)?;
        }
        batch.flush()?;
        Ok(txn.commit()?)
    }

    /// Notes, durably, that this device serves these blobs in this workspace no more.
    pub fn ungrant(&mut self, blobs: &[BlobHash]) -> Result<(), StoreError> {
        let txn = durable(&self.database)?;
        {
            let mut table = txn.open_table(tables::GRANTS)?;
            for blob in blobs {
                table.remove(blob.as_bytes())?;
            }
        }
        Ok(txn.commit()?)
    }

    /// Notes, durably, which versions this device serves under which numbers of models.
    pub fn note_served(
        &mut self,
        served: &[(DocumentId, i64, DocumentId)],
    ) -> Result<(), StoreError> {
        let txn = durable(&self.database)?;
        {
            let mut table = txn.open_table(tables::SERVED_VERSIONS)?;
            for (model, number, version) in served {
                table.insert((&model.to_bytes(), *number), &version.to_bytes())?;
            }
        }
        Ok(txn.commit()?)
    }

    /// Writes acts and seals them. Whether this device may is the caller's to check. What of a
    /// device's journals counts, where an act says so, is what is held of them here.
    pub fn declare(&mut self, now: UnixMillis, kinds: Vec<ActKind>) -> Result<(), StoreError> {
        self.seal(now)?;
        let snapshot = self.reader().snapshot()?;
        let vector = snapshot.vector()?;
        let acts = snapshot.acts()?;
        let seen = membership::Seen::of(&acts);
        let mut edits = Vec::new();
        // What a `Seen` told is seen by all that follows it.
        let mut told = BTreeSet::new();
        for mut kind in kinds {
            if let ActKind::Remove { device, cuts } | ActKind::SetRole { device, cuts, .. } =
                &mut kind
            {
                let theirs = vector.iter().filter(|(journal, _)| journal.device == *device);
                *cuts = theirs.map(|(journal, tip)| (journal.incarnation, tip.count)).collect();
            }
            let mut named = seen.named_by(&self.identity.journal.device, &kind);
            named.retain(|act| !told.contains(act));
            while named.len() > MAX_SEEN {
                let seen = named.split_off(named.len() - MAX_SEEN);
                told.extend(seen.iter().copied());
                edits.push(Edit::Act(Act { kind: ActKind::Seen, seen }));
            }
            edits.push(Edit::Act(Act { kind, seen: named }));
        }
        self.append(now, edits)?;
        self.seal(now).map(drop)
    }

    /// The workspace.
    pub const fn workspace(&self) -> WorkspaceId {
        self.identity.workspace
    }

    /// The journal that this device writes.
    pub const fn journal(&self) -> JournalId {
        self.identity.journal
    }

    /// Who is a member, as far as entries that have arrived say.
    pub const fn membership(&self) -> &Arc<Membership> {
        &self.membership
    }

    /// How many bytes the edits take that are not sealed yet.
    pub fn unsealed_bytes(&self) -> u64 {
        if self.pending.is_empty() { 0 } else { self.log.bytes() }
    }

    /// How many edits are not sealed yet.
    pub fn unsealed_edits(&self) -> usize {
        self.pending.len()
    }
}

fn durable(database: &Database) -> Result<WriteTransaction, StoreError> {
    let mut txn = database.begin_write()?;
    txn.set_durability(Durability::Immediate)?;
    Ok(txn)
}

#[cfg(test)]
mod tests;
