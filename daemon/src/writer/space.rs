//! Whether the disk has room for what clients ask for.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::WriteError;

/// Writes are refused when less is free on the disk: what is left is for sealing and repair.
pub(super) const RESERVE_BYTES: u64 = 16 << 20;
/// For so long an answer is believed; what clients write meanwhile is far less than the reserve.
const BELIEVED: Duration = Duration::from_millis(50);

/// The room on the disk of a folder.
pub(super) struct Space {
    folder: PathBuf,
    enough_at: Option<Instant>,
}

impl Space {
    pub(super) const fn new(folder: PathBuf) -> Self {
        Self { folder, enough_at: None }
    }

    /// Refuses if the disk is full.
    pub(super) fn check(&mut self) -> Result<(), WriteError> {
        if self.enough_at.is_some_and(|at| at.elapsed() < BELIEVED) {
            return Ok(());
        }
        // If the disk cannot be asked, the write itself will tell.
        let free_bytes = fs4::available_space(&self.folder).unwrap_or(u64::MAX);
        let enough = free_bytes >= RESERVE_BYTES;
        self.enough_at = enough.then(Instant::now);
        if enough { Ok(()) } else { Err(WriteError::DiskFull { free_bytes }) }
    }
}
