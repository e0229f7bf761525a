//! What the devices are called that created runs: what a search is told, for no row says it.
//!
//! Invariant: the column of them holds only runs of its experiment, as columns of the index do.

use std::sync::Arc;

use super::run_column::{Blocks, RunColumn};
use super::run_find::RunNumber;
use crate::index::column_block::{BLOCK, NO_NUMBER};

/// Devices, by id or by name, and which of them created each run.
#[derive(Debug, Clone, PartialEq)]
pub struct RunDevices<D = Arc<str>> {
    devices: Vec<D>,
    /// By run number: the place of a device, from 1; 0 if none was told. A search shares it with who told it.
    of: Arc<Vec<u32>>,
}

impl<D> Default for RunDevices<D> {
    fn default() -> Self {
        Self { devices: Vec::new(), of: Arc::default() }
    }
}

impl<D: PartialEq> RunDevices<D> {
    /// Tells which device created a run.
    pub fn tell(&mut self, run: RunNumber, device: D) {
        let place = self.devices.iter().position(|known| *known == device);
        let place = place.unwrap_or_else(|| {
            self.devices.push(device);
            self.devices.len() - 1
        });
        let (of, at) = (Arc::make_mut(&mut self.of), run as usize);
        if of.len() <= at {
            of.resize(at + 1, 0);
        }
        of[at] = place as u32 + 1;
    }

    /// The device that created a run, if that was told.
    pub fn of(&self, run: RunNumber) -> Option<&D> {
        let place = *self.of.get(run as usize)? as usize;
        self.devices.get(place.checked_sub(1)?)
    }

    /// The same of devices by other names, of which two may have one.
    pub fn named<N>(&self, name: impl FnMut(&D) -> N) -> RunDevices<N> {
        RunDevices { devices: self.devices.iter().map(name).collect(), of: Arc::clone(&self.of) }
    }
}

impl RunDevices {
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
        RunColumn::of_few_texts(&self.devices, told.flatten())
    }
}
