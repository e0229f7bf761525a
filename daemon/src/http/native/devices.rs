//! The device that created a run: what tables show of it, and what searches sort, filter and group by.
//!
//! Only journals know it, so it is looked up, for the runs that a search may find, and only if the
//! search names it. What was found is kept: the device of a run is another only once a device is removed,
//! or what of its journals counts.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use runmesh_core::ids::{DeviceId, DocumentId, RunId, WorkspaceId};
use runmesh_core::membership::{Former, Membership};
use runmesh_core::search::{Field, RunAttribute, RunQuery, find_for_devices};
use runmesh_core::store::{Authors, Creator, Snapshot};

use super::device_names::Names;
use super::error::Error;
use crate::app::App;
use crate::workspace::device_of;

const DEVICE: Field<RunAttribute> = Field::Attribute(RunAttribute::Device);

/// Of so many runs a workspace's are kept, some 40 MB of them.
const MAX_KEPT: usize = 1 << 20;

/// The devices of runs that were looked up.
#[derive(Default)]
pub(super) struct Known(Mutex<HashMap<WorkspaceId, Kept>>);

#[derive(Default)]
struct Kept {
    /// Who had been removed, and what of them counts.
    former: Vec<(DeviceId, Former)>,
    devices: Vec<DeviceId>,
    /// Places among the devices: there are many runs, and few devices.
    runs: HashMap<RunId, u32>,
}

/// Looks up the devices of runs.
pub(super) struct Devices<'s> {
    known: &'s Known,
    workspace: WorkspaceId,
    authors: Authors<'s>,
    own: DeviceId,
    names: Names,
}

impl<'s> Devices<'s> {
    pub(super) fn open(app: &App, snapshot: &'s Snapshot, known: &'s Known) -> Result<Self, Error> {
        let (workspace, members) = (app.workspace.id(), snapshot.membership()?);
        known.with(workspace, |kept| kept.keep_while(&members));
        let (authors, own) = (Authors::open(snapshot)?, device_of(&app.home));
        Ok(Self { known, workspace, authors, own, names: Names::of(&members) })
    }

    /// What the device that created a run is called; none if it cannot be told.
    pub(super) fn of(&mut self, run: RunId) -> Result<Option<Arc<str>>, Error> {
        let device = match self.known.with(self.workspace, |kept| kept.device(&run)) {
            Some(device) => device,
            None => match self.authors.of_document(&DocumentId::run(run))? {
                Creator::Device(device) => {
                    self.known.with(self.workspace, |kept| kept.add(run, device));
                    device
                }
                Creator::NotSealed => self.own,
                Creator::Unknown => return Ok(None),
            },
        };
        Ok(Some(self.names.shown(device)))
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

    fn device(&self, run: &RunId) -> Option<DeviceId> {
        self.runs.get(run).map(|place| self.devices[*place as usize])
    }

    fn add(&mut self, run: RunId, device: DeviceId) {
        if self.runs.len() == MAX_KEPT {
            self.runs.clear();
        }
        let place = self.devices.iter().position(|known| *known == device);
        let place = place.unwrap_or_else(|| {
            self.devices.push(device);
            self.devices.len() - 1
        });
        self.runs.insert(run, place as u32);
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
    let mut told = HashMap::new();
    for run in find_for_devices(snapshot, search)? {
        told.extend(devices.of(run)?.map(|device| (run, device)));
    }
    for clause in search.clauses.iter_mut().filter(|clause| clause.field == DEVICE) {
        clause.condition = devices.names.meant(&clause.condition);
    }
    search.devices = Arc::new(told);
    Ok(())
}

#[cfg(test)]
mod tests {
    use runmesh_core::clock::Clock;

    use super::*;

    #[test]
    fn what_was_looked_up_is_kept_until_another_device_is_gone() {
        let (run, device) = (RunId::new([1; 16]), DeviceId::new([2; 32]));
        let (known, here) = (Known::default(), WorkspaceId::new([1; 32]));
        known.with(here, |kept| kept.add(run, device));
        let nobody_left = Membership::default();
        known.with(here, |kept| kept.keep_while(&nobody_left));
        assert_eq!(known.with(here, |kept| kept.device(&run)), Some(device));
        assert_eq!(known.with(WorkspaceId::new([2; 32]), |kept| kept.device(&run)), None);
        known.with(here, |kept| kept.former = former_of(device));
        known.with(here, |kept| kept.keep_while(&nobody_left));
        assert_eq!(known.with(here, |kept| kept.device(&run)), None);
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
