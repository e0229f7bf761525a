//! The device that created a run: what tables show of it, and what searches sort, filter and group by.
//!
//! Only journals know it, so it is looked up, for the runs that a search may find, and only if the
//! search names it. What was found is kept: the device of a run is another only once a device is removed,
//! or what of its journals counts.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use runmesh_core::ids::{DeviceId, DocumentId, WorkspaceId};
use runmesh_core::membership::{Former, Membership};
use runmesh_core::search::{
    Field, RunAttribute, RunDevices, RunNumber, RunQuery, find_for_devices, read_ids,
};
use runmesh_core::store::{Authors, Creator, Snapshot};

use super::device_names::Names;
use super::error::Error;
use crate::app::App;
use crate::workspace::device_of;

const DEVICE: Field<RunAttribute> = Field::Attribute(RunAttribute::Device);

/// The devices of runs that were looked up.
#[derive(Default)]
pub(super) struct Known(Mutex<HashMap<WorkspaceId, Kept>>);

#[derive(Default)]
struct Kept {
    /// Who had been removed, and what of them counts.
    former: Vec<(DeviceId, Former)>,
    devices: RunDevices<DeviceId>,
}

/// Looks up the devices of runs.
pub(super) struct Devices<'s> {
    known: &'s Known,
    workspace: WorkspaceId,
    snapshot: &'s Snapshot,
    own: DeviceId,
    names: Names,
}

impl<'s> Devices<'s> {
    pub(super) fn open(app: &App, snapshot: &'s Snapshot, known: &'s Known) -> Result<Self, Error> {
        let (workspace, members) = (app.workspace.id(), snapshot.membership()?);
        known.with(workspace, |kept| kept.keep_while(&members));
        let (own, names) = (device_of(&app.home), Names::of(&members));
        Ok(Self { known, workspace, snapshot, own, names })
    }

    /// What the devices that created these runs, and maybe others, are called, as far as that can be told.
    pub(super) fn of(&mut self, runs: &[RunNumber]) -> Result<RunDevices, Error> {
        let is_missing = |kept: &mut Kept| -> Vec<RunNumber> {
            runs.iter().copied().filter(|run| kept.devices.of(*run).is_none()).collect()
        };
        let missing = self.known.with(self.workspace, is_missing);
        let found = self.look_up(&missing)?;
        Ok(self.known.with(self.workspace, |kept| {
            found.into_iter().for_each(|(run, device)| kept.devices.tell(run, device));
            kept.devices.named(|device| self.names.shown(*device))
        }))
    }

    fn look_up(&self, runs: &[RunNumber]) -> Result<Vec<(RunNumber, DeviceId)>, Error> {
        if runs.is_empty() {
            return Ok(Vec::new());
        }
        let mut authors = Authors::open(self.snapshot)?;
        let mut found = Vec::with_capacity(runs.len());
        for (run, id) in runs.iter().zip(read_ids(self.snapshot, runs)?) {
            let Some(id) = id else { continue };
            match authors.of_document(&DocumentId::run(id))? {
                Creator::Device(device) => found.push((*run, device)),
                Creator::NotSealed => found.push((*run, self.own)),
                Creator::Unknown => {}
            }
        }
        Ok(found)
    }
}

impl Known {
    fn with<T>(&self, workspace: WorkspaceId, work: impl FnOnce(&mut Kept) -> T) -> T {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        work(all.entry(workspace).or_default())
    }
}

impl Kept {
    /// Forgets all if what counts of removed devices is not what it was.
    fn keep_while(&mut self, members: &Membership) {
        let former = members.former().map(|(device, former)| (*device, former.clone()));
        let former: Vec<_> = former.collect();
        if self.former != former {
            *self = Self { former, ..Self::default() };
        }
    }
}

/// Tells a search the devices that it, or what its runs are grouped by, names.
pub(super) fn tell(
    app: &App,
    snapshot: &Snapshot,
    known: &Known,
    search: &mut RunQuery,
    by: Option<&Field<RunAttribute>>,
) -> Result<(), Error> {
    if by != Some(&DEVICE) && !search.names(&DEVICE) {
        return Ok(());
    }
    let mut devices = Devices::open(app, snapshot, known)?;
    search.devices = Arc::new(devices.of(&find_for_devices(snapshot, search)?)?);
    for clause in search.clauses.iter_mut().filter(|clause| clause.field == DEVICE) {
        clause.condition = devices.names.meant(&clause.condition);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use runmesh_core::clock::Clock;

    use super::*;

    #[test]
    fn what_was_looked_up_is_kept_until_another_device_is_gone() {
        let (run, device) = (7, DeviceId::new([2; 32]));
        let (known, here) = (Known::default(), WorkspaceId::new([1; 32]));
        known.with(here, |kept| kept.devices.tell(run, device));
        let nobody_left = Membership::default();
        known.with(here, |kept| kept.keep_while(&nobody_left));
        let of = |workspace| known.with(workspace, |kept| kept.devices.of(run).copied());
        assert_eq!(of(here), Some(device));
        assert_eq!(of(WorkspaceId::new([2; 32])), None);
        known.with(here, |kept| kept.former = former_of(device));
        known.with(here, |kept| kept.keep_while(&nobody_left));
        assert_eq!(of(here), None);
    }

    fn former_of(device: DeviceId) -> Vec<(DeviceId, Former)> {
        let former = Former {
            name: String::new(),
            by: device,
            at: Clock::default(),
            cuts: Default::default(),
        };
        vec![(device, former)]
    }
}
