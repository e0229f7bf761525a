//! How far joining is, for who waits for it: a large workspace takes minutes.
//!
//! Invariants: what is shown of a joining ends with it, however it ends; nothing here holds the store
//! of a workspace that is not joined yet.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use runmesh_core::api::{JoinStage, Joining, Named};
use runmesh_core::ids::{DeviceId, WorkspaceId};

use super::link::Link;
use super::{Mesh, locked};

/// What is being joined on a device, in whatever workspace it was asked for.
#[derive(Default)]
pub(super) struct Joinings(Arc<Mutex<Vec<Shown>>>);

/// A joining that goes on, and what tells it from the others.
struct Shown {
    number: u64,
    workspace: WorkspaceId,
    member: DeviceId,
    stage: JoinStage,
    /// The session with the member, once it answered.
    link: Option<Arc<Link>>,
    runs: u64,
}

impl Joinings {
    /// Shows that a workspace is being joined, until what this returns is dropped.
    pub(super) fn begin(&self, workspace: WorkspaceId, inviter: DeviceId) -> JoinProgress {
        let mut all = locked(&self.0);
        let number = all.iter().map(|shown| shown.number + 1).max().unwrap_or_default();
        let (stage, link) = (JoinStage::Calling, None);
        all.push(Shown { number, workspace, member: inviter, stage, link, runs: 0 });
        JoinProgress { number, all: Arc::clone(&self.0) }
    }
}

/// The progress of one joining.
pub(super) struct JoinProgress {
    number: u64,
    all: Arc<Mutex<Vec<Shown>>>,
}

impl JoinProgress {
    /// A member is called.
    pub(super) fn calls(&self, member: DeviceId) {
        self.update(|shown| {
            (shown.member, shown.stage, shown.link) = (member, JoinStage::Calling, None);
        });
    }

    /// It answered, and sends what it holds.
    pub(super) fn takes_in(&self, link: &Arc<Link>) {
        self.update(|shown| {
            (shown.stage, shown.link) = (JoinStage::TakingIn, Some(Arc::clone(link)));
        });
    }

    /// So many runs are in what has come.
    pub(super) fn has_runs(&self, runs: u64) {
        self.update(|shown| shown.runs = runs);
    }

    /// This device is in, and what it had is taken along.
    pub(super) fn takes_along(&self) {
        self.update(|shown| shown.stage = JoinStage::TakingAlong);
    }

    fn update(&self, update: impl FnOnce(&mut Shown)) {
        let mut all = locked(&self.all);
        let shown = all.iter_mut().find(|shown| shown.number == self.number);
        update(shown.expect("it is shown until this is dropped"));
    }
}

impl Drop for JoinProgress {
    fn drop(&mut self) {
        locked(&self.all).retain(|shown| shown.number != self.number);
    }
}

impl Shown {
    fn joining(&self) -> Joining {
        let session = self.link.as_ref().map(|link| link.status()).unwrap_or_default();
        let entries = |link: &Arc<Link>| link.moved.entries_in.load(Ordering::Relaxed);
        Joining {
            workspace: self.workspace,
            through: Named { id: self.member, name: session.name.unwrap_or_default() },
            stage: self.stage,
            entries: self.link.as_ref().map_or(0, entries),
            entries_to_come: session.to_receive,
            runs: self.runs,
        }
    }
}

impl Mesh {
    /// What is being joined on this device, and how far that is.
    pub fn joining(&self) -> Vec<Joining> {
        locked(&self.inner.board.joinings.0).iter().map(Shown::joining).collect()
    }
}
