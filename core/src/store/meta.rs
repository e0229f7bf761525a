//! Small facts about a store: what it is, whose, and how far it has come.

use redb::{ReadableTable, Table, WriteTransaction};

use super::StoreError;
use super::tables::META;
use crate::clock::Clock;
use crate::ids::{DeviceId, Incarnation, JournalId, WorkspaceId};

/// The format of the store's tables. A store of a higher format is not opened.
pub(super) const FORMAT: u32 = 1;

/// What is derived and how. A store whose derived state is of a lower number is rebuilt when it is
/// opened: entries that an older version kept without understanding are applied then.
const DERIVED: u32 = 8;

const FORMAT_KEY: &str = "format";
const DERIVED_KEY: &str = "derived";
const WORKSPACE: &str = "workspace";
const DEVICE: &str = "device";
const INCARNATION: &str = "incarnation";
const CLOCK: &str = "clock";
const EDITS_APPLIED: &str = "edits-applied";
const EDITS_SEALED: &str = "edits-sealed";

/// What does not change while a store lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) workspace: WorkspaceId,
    pub(super) journal: JournalId,
}

/// How far a store has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Progress {
    pub(super) clock: Clock,
    /// Edits below this number are in the index.
    pub(super) applied: u64,
    /// Edits below this number are sealed.
    pub(super) sealed: u64,
}

type MetaTable<'txn> = Table<'txn, &'static str, &'static [u8]>;

fn array<const N: usize>(table: &MetaTable<'_>, key: &str) -> Result<Option<[u8; N]>, StoreError> {
    let Some(bytes) = table.get(key)? else { return Ok(None) };
    let damaged = || StoreError::NotOurs("the store's meta table is damaged");
    bytes.value().try_into().map(Some).map_err(|_| damaged())
}

/// Reads what a store is; none if it is new.
pub(super) fn read(txn: &WriteTransaction) -> Result<Option<(Identity, Progress)>, StoreError> {
    let table = txn.open_table(META)?;
    let Some(format) = array(&table, FORMAT_KEY)? else { return Ok(None) };
    if u32::from_le_bytes(format) > FORMAT {
        return Err(StoreError::NotOurs(
            "the store was written by a newer version of runmesh, which is needed to open it",
        ));
    }
    let missing = || StoreError::NotOurs("the store's meta table is damaged");
    let device = DeviceId::new(array(&table, DEVICE)?.ok_or_else(missing)?);
    let incarnation = Incarnation::new(array(&table, INCARNATION)?.ok_or_else(missing)?);
    let workspace = WorkspaceId::new(array(&table, WORKSPACE)?.ok_or_else(missing)?);
    let number = |key| Ok::<_, StoreError>(array(&table, key)?.map_or(0, u64::from_le_bytes));
    let progress = Progress {
        clock: Clock(number(CLOCK)?),
        applied: number(EDITS_APPLIED)?,
        sealed: number(EDITS_SEALED)?,
    };
    let journal = JournalId { device, incarnation };
    Ok(Some((Identity { workspace, journal }, progress)))
}

/// Writes what a new store is.
pub(super) fn write_identity(
    txn: &WriteTransaction,
    identity: &Identity,
) -> Result<(), StoreError> {
    let mut table = txn.open_table(META)?;
    table.insert(FORMAT_KEY, &FORMAT.to_le_bytes()[..])?;
    table.insert(WORKSPACE, &identity.workspace.as_bytes()[..])?;
    table.insert(DEVICE, &identity.journal.device.as_bytes()[..])?;
    table.insert(INCARNATION, &identity.journal.incarnation.as_bytes()[..])?;
    Ok(())
}

/// Notes that a copy holds no derived state and no edits: what was not sealed is not in it.
pub(super) fn note_copied(txn: &WriteTransaction) -> Result<(), StoreError> {
    let mut table = txn.open_table(META)?;
    table.remove(DERIVED_KEY)?;
    let sealed = table.get(EDITS_SEALED)?.map(|bytes| bytes.value().to_vec());
    if let Some(sealed) = sealed {
        table.insert(EDITS_APPLIED, sealed.as_slice())?;
    }
    Ok(())
}

/// Whether the derived state was made by a version that derived less or otherwise.
pub(super) fn is_outdated(txn: &WriteTransaction) -> Result<bool, StoreError> {
    let derived = array(&txn.open_table(META)?, DERIVED_KEY)?;
    // The first version wrote no number.
    Ok(derived.map_or(1, u32::from_le_bytes) < DERIVED)
}

/// Notes that the derived state is as this version makes it.
pub(super) fn write_derived(txn: &WriteTransaction) -> Result<(), StoreError> {
    txn.open_table(META)?.insert(DERIVED_KEY, &DERIVED.to_le_bytes()[..])?;
    Ok(())
}

/// Writes how far the store has come.
pub(super) fn write_progress(
    txn: &WriteTransaction,
    progress: &Progress,
) -> Result<(), StoreError> {
    let mut table = txn.open_table(META)?;
    table.insert(CLOCK, &progress.clock.0.to_le_bytes()[..])?;
    table.insert(EDITS_APPLIED, &progress.applied.to_le_bytes()[..])?;
    table.insert(EDITS_SEALED, &progress.sealed.to_le_bytes()[..])?;
    Ok(())
}
