//! Leaving a workspace: what would be lost is told first; then its data is freed.
//!
//! Invariants: the workspace that clients get if they name none is not left, and so never the last
//! one; it is off the home's list, durably, before anything of it is removed; a blob is removed
//! only if no other workspace here may serve it, and nobody is being told that it is here.

use std::collections::HashSet;

use runmesh_core::ids::{BlobHash, WorkspaceId};
use runmesh_core::store::{Snapshot, StoreError};

use super::{Space, Workspaces, WorkspacesError};
use crate::WriteError;
use crate::app::App;
use crate::blobs::{BlobError, off_the_runtime};
use crate::places::PlaceError;

/// Why a workspace was not left, or not all of it was freed.
#[derive(Debug, thiserror::Error)]
pub enum LeaveError {
    /// What is in it cannot be told.
    #[error("what is in the workspace cannot be told, so it stays")]
    Store(#[from] StoreError),
    /// What was written last cannot be sealed.
    #[error("what was written last cannot be sealed, so the workspace stays")]
    Seal(#[source] WriteError),
    /// Its blobs cannot be removed.
    #[error("the workspace was left, but not all of its blobs could be removed")]
    Blobs(#[from] BlobError),
}

/// What leaving a workspace takes from this device.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stake {
    /// Its runs.
    pub runs: u64,
    /// Members besides this device.
    pub others: u64,
    /// Whether one of them is connected, or said in a bundle what it holds.
    pub heard_of: bool,
    /// Entries that no other device is known to hold.
    pub entries_only_here: u64,
    /// Blobs that no other workspace here may serve.
    pub blobs: u64,
    /// Their bytes.
    pub blob_bytes: u64,
    /// Of these, those that no other member said that it holds.
    pub blobs_only_here: u64,
}

impl Workspaces {
    /// Says what leaving a workspace would take from this device, and leaves it if that is
    /// `confirmed`. Returns whether it was left.
    pub async fn leave(
        &self,
        name: &str,
        confirmed: bool,
    ) -> Result<(Space, Stake, bool), WorkspacesError> {
        let _alone = self.changing.lock().await;
        let space = self.named(name)?;
        if self.current().name == space.name {
            return Err(PlaceError::Current(space.name).into());
        }
        space.app.workspace.seal().await.map_err(LeaveError::Seal)?;
        let (stake, granted) = self.stake(&space.app).await?;
        if !confirmed {
            return Ok((space, stake, false));
        }
        self.device.home.change_places(|places| places.remove(name))?;
        self.change(|held| held.all.retain(|held| held.name != space.name));
        let id = space.app.workspace.id();
        space.app.stop().await;
        self.device.home.remove_workspace_dir(&id)?;
        self.free(id, granted).await?;
        Ok((space, stake, true))
    }

    async fn stake(&self, app: &App) -> Result<(Stake, Vec<BlobHash>), LeaveError> {
        let snapshot = app.workspace.fresh().await?;
        let (vector, membership) = (snapshot.vector()?, snapshot.membership()?);
        let own = crate::workspace::device_of(&app.home);
        let others: Vec<_> = membership
            .members()
            .map(|(device, _)| *device)
            .filter(|member| *member != own)
            .collect();
        let peers = app.mesh().map(|mesh| mesh.peers()).unwrap_or_default();
        let connected = peers.iter().filter(|peer| peer.connected).map(|peer| peer.to_send);
        let words = app.home.acknowledged(&app.workspace.id()).unwrap_or_default();
        let said = others.iter().filter(|device| words.contains_key(*device)).map(|device| {
            let missing = vector.missing_from(&crate::bundle::held_by(&words, device));
            missing.iter().map(|(_, range)| range.end - range.start).sum::<u64>()
        });
        let least: Option<u64> = connected.chain(said).min();
        let granted = snapshot.granted()?;
        let mut stake = Stake {
            runs: snapshot.counts()?.runs,
            others: others.len() as u64,
            heard_of: least.is_some(),
            entries_only_here: least.unwrap_or_else(|| vector.entries()),
            ..Stake::default()
        };
        let elsewhere = self.others_of(&app.workspace.id()).await?;
        for blob in &granted {
            if !granted_in_any(&elsewhere, blob)?
                && let Some(size) = app.blobs.size(blob).ok().flatten()
            {
                stake.blobs += 1;
                stake.blob_bytes += size;
                let id = app.workspace.id();
                let holders = app.blobs.ledger().holders(&id, blob).unwrap_or_default();
                stake.blobs_only_here += u64::from(holders.is_empty());
            }
        }
        Ok((stake, granted))
    }

    /// Removes those of these blobs of a workspace that was left which no other may serve.
    async fn free(&self, left: WorkspaceId, blobs: Vec<BlobHash>) -> Result<(), LeaveError> {
        // Before it is looked up what is granted: what is taken in from now on stays.
        let collection = self.device.blobs.next_collection().await;
        let others = self.others_of(&left).await?;
        let store = self.device.blobs.clone();
        off_the_runtime(move || {
            store.ledger().compare(&left, &HashSet::new())?;
            for blob in blobs {
                if granted_in_any(&others, &blob)? || !collection.claim(blob) {
                    continue;
                }
                let removed = store.remove(&blob);
                collection.release();
                removed?;
            }
            Ok(())
        })
        .await
    }

    /// What all workspaces but one hold.
    async fn others_of(&self, one: &WorkspaceId) -> Result<Vec<Snapshot>, StoreError> {
        let mut others = Vec::new();
        for space in self.all().iter().filter(|space| space.app.workspace.id() != *one) {
            others.push(space.app.workspace.fresh().await?);
        }
        Ok(others)
    }
}

fn granted_in_any(workspaces: &[Snapshot], blob: &BlobHash) -> Result<bool, StoreError> {
    for held in workspaces {
        if held.is_granted(blob)? {
            return Ok(true);
        }
    }
    Ok(false)
}
