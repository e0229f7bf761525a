//! What the devices are called that created runs: what a search is told, for no row says it.
//!
//! Invariant: the column of them holds only runs of its experiment, as columns of the index do.

use std::sync::Arc;

use super::run_column::{Blocks, RunColumn};
use super::run_find::RunNumber;
use crate::index::column_block::{BLOCK, NO_NUMBER};

/// The names of devices, and which of them created each run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RunDevices {
    names: Vec<Arc<str>>,
    /// By run number: the place of a name, from 1; 0 if none was told.
    of: Vec<u32>,
}

impl RunDevices {
    /// Of no run yet. Two devices may have one name.
    pub const fn named(names: Vec<Arc<str>>) -> Self {
        Self { names, of: Vec::new() }
    }

    /// Tells that the device with this place among the names created a run.
    ///
    /// # Panics
    /// If there are not so many names.
    pub fn tell(&mut self, run: RunNumber, device: usize) {
        assert!(device < self.names.len(), "every device has a name");
        let at = run as usize;
        if self.of.len() <= at {
            self.of.resize(at + 1, 0);
        }
        self.of[at] = device as u32 + 1;
    }

    /// What the device that created a run is called, if that was told.
    pub fn of(&self, run: RunNumber) -> Option<&str> {
        let place = *self.of.get(run as usize)? as usize;
        self.names.get(place.checked_sub(1)?).map(|name| &**name)
    }

    /// The names of the devices of an experiment's runs, which are those that have a start.
    pub(super) fn column(&self, starts: &Blocks<u64>) -> RunColumn {
        let told = self.of.chunks(BLOCK).enumerate().filter_map(|(at, devices)| {
            let starts = &starts.block(at)?.values;
            Some(devices.iter().zip(starts.iter()).enumerate().filter_map(
                move |(within, (device, start))| {
                    let is_told = *device != 0 && *start != NO_NUMBER;
                    is_told.then_some(((at * BLOCK + within) as u32, *device))
                },
            ))
        });
        RunColumn::of_few_texts(&self.names, told.flatten())
    }
}
