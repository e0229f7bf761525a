//! Backups: the ground state of a store in a file of its own, and a store that goes on from one.
//!
//! Invariants: a copy is what one snapshot saw, so the writer never waits for it; it holds no
//! derived state, which the next opening makes anew; a store that goes on from a copy begins a new
//! incarnation of its device's journal, so that it never writes a second entry under a number that
//! the original may have used since.

use redb::{
    Database, Key, ReadTransaction, ReadableTable, StorageBackend, TableDefinition, Value,
    WriteTransaction,
};

use super::meta::{self, Identity};
use super::tables::{
    self, ENTRIES, FORKS, GRANTS, JOURNALS, META, PURGED, PURGED_BLOBS, SERVED_VERSIONS, SET_ASIDE,
};
use super::{Files, Snapshot, Start, Store, StoreError, durable};
use crate::act::{Act, ActKind};
use crate::clock::UnixMillis;
use crate::edit::Edit;
use crate::ids::{DeviceId, Incarnation, JournalId};

/// As what a store goes on from a copy.
#[derive(Debug, Clone)]
pub enum GoesOn {
    /// As the device that it was copied from, which will never run again.
    AsSameDevice,
    /// As another device, whose first word this join is.
    AsNewDevice(ActKind),
}

impl Snapshot {
    /// Copies the ground state to an empty file. What is not sealed is not in it.
    pub fn copy_ground(&self, to: impl StorageBackend) -> Result<(), StoreError> {
        let database = Database::builder().create_with_backend(to)?;
        let txn = durable(&database)?;
        copy(self.txn(), &txn, META)?;
        copy(self.txn(), &txn, JOURNALS)?;
        copy(self.txn(), &txn, ENTRIES)?;
        copy(self.txn(), &txn, SET_ASIDE)?;
        copy(self.txn(), &txn, FORKS)?;
        copy(self.txn(), &txn, GRANTS)?;
        copy(self.txn(), &txn, PURGED)?;
        copy(self.txn(), &txn, PURGED_BLOBS)?;
        copy(self.txn(), &txn, SERVED_VERSIONS)?;
        meta::note_copied(&txn)?;
        tables::create_all(&txn)?;
        Ok(txn.commit()?)
    }
}

fn copy<K: Key + 'static, V: Value + 'static>(
    from: &ReadTransaction,
    to: &WriteTransaction,
    table: TableDefinition<'static, K, V>,
) -> Result<(), StoreError> {
    let Some(source) = tables::open_if_there(from, table)? else { return Ok(()) };
    let mut target = to.open_table(table)?;
    for item in source.iter()? {
        let (key, value) = item?;
        target.insert(key.value(), value.value())?;
    }
    Ok(())
}

impl Store {
    /// Opens a copy, of which no other store goes on, in a new incarnation of the journal.
    pub fn go_on<D: StorageBackend, L: StorageBackend>(
        files: Files<D, L>,
        start: Start,
        incarnation: Incarnation,
        how: GoesOn,
        now: UnixMillis,
    ) -> Result<Self, StoreError> {
        let (database, edit_log) = files.open()?;
        let device = DeviceId::new(start.key.verifying_key().to_bytes());
        let txn = durable(&database)?;
        let Some((was, _)) = meta::read(&txn)? else {
            return Err(StoreError::NotOurs("there is no store here"));
        };
        let same = was.journal.device == device;
        let (join, fits) = match how {
            GoesOn::AsSameDevice => (None, same),
            GoesOn::AsNewDevice(join) => (Some(join), !same),
        };
        if !fits {
            return Err(StoreError::NotOurs("the store is of another device key than it is to be"));
        }
        let journal = JournalId { device, incarnation };
        meta::write_identity(&txn, &Identity { workspace: was.workspace, journal })?;
        txn.commit()?;
        let mut store = Self::open_with(database, edit_log, start)?;
        if let Some(kind) = join {
            store.append(now, vec![Edit::Act(Act { kind, seen: Vec::new() })])?;
            store.seal(now)?;
        }
        Ok(store)
    }

    /// Begins a new incarnation of this device's journal: what is written from here on stands
    /// there. What was written before is sealed first, where it was begun.
    pub fn reincarnate(
        &mut self,
        now: UnixMillis,
        incarnation: Incarnation,
    ) -> Result<(), StoreError> {
        self.seal(now)?;
        let journal = JournalId { incarnation, ..self.identity.journal };
        let identity = Identity { journal, ..self.identity };
        let txn = durable(&self.database)?;
        meta::write_identity(&txn, &identity)?;
        txn.commit()?;
        self.identity = identity;
        Ok(())
    }
}
