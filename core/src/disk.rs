//! Disks for tests: in memory, outliving the store that writes to them, and able to fail.
//!
//! A disk keeps what was synced apart from what was only written, so that a test can pull the
//! plug: what was not synced is then lost.

use std::io::{Error, ErrorKind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;

#[derive(Debug, Default)]
struct Platter {
    /// What readers see.
    written: Vec<u8>,
    /// What survives a loss of power.
    synced: Vec<u8>,
    /// What was written since, as (offset, length): a sync costs what was written, not all.
    unsynced: Vec<(usize, usize)>,
    /// How many more writes and syncs succeed; none is without end.
    allowance: Option<u64>,
    operations: u64,
}

/// A disk in memory. Clones are the same disk.
#[derive(Debug, Clone, Default)]
pub struct Disk(Arc<Mutex<Platter>>);

impl Disk {
    /// An empty disk.
    pub fn new() -> Self {
        Self::default()
    }

    fn platter(&self) -> MutexGuard<'_, Platter> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets only so many more writes and syncs succeed; `None` lets all.
    pub fn fail_after(&self, operations: Option<u64>) {
        self.platter().allowance = operations;
    }

    /// How many writes and syncs there were.
    pub fn operations(&self) -> u64 {
        self.platter().operations
    }

    /// The disk as it is found after a loss of power: with what was synced, and working again.
    #[must_use]
    pub fn after_power_loss(&self) -> Self {
        let synced = self.platter().synced.clone();
        let platter = Platter { written: synced.clone(), synced, ..Platter::default() };
        Self(Arc::new(Mutex::new(platter)))
    }

    /// How many bytes there are.
    pub fn bytes(&self) -> u64 {
        self.platter().written.len() as u64
    }
}

impl Platter {
    fn spend(&mut self) -> Result<(), Error> {
        self.operations += 1;
        match &mut self.allowance {
            Some(0) => Err(Error::new(ErrorKind::StorageFull, "the disk was told to fail")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> Result<u64, Error> {
        Ok(self.bytes())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), Error> {
        let platter = self.platter();
        let from = offset as usize;
        let bytes = platter.written.get(from..from + out.len());
        out.copy_from_slice(bytes.ok_or(ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), Error> {
        let mut platter = self.platter();
        platter.spend()?;
        let (old, new) = (platter.written.len(), len as usize);
        platter.written.resize(new, 0);
        if new > old {
            platter.unsynced.push((old, new - old));
        }
        Ok(())
    }

    fn sync_data(&self) -> Result<(), Error> {
        let mut platter = self.platter();
        platter.spend()?;
        let Platter { written, synced, unsynced, .. } = &mut *platter;
        synced.resize(written.len(), 0);
        for (from, length) in unsynced.drain(..) {
            let until = (from + length).min(written.len());
            synced[from.min(until)..until].copy_from_slice(&written[from.min(until)..until]);
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), Error> {
        let mut platter = self.platter();
        platter.spend()?;
        let from = offset as usize;
        let place = platter.written.get_mut(from..from + data.len());
        place.ok_or(ErrorKind::UnexpectedEof)?.copy_from_slice(data);
        platter.unsynced.push((from, data.len()));
        Ok(())
    }
}
