//! Collection: frees blobs that this device need not hold.
//!
//! Invariants: a copy goes only if a connected member has durably promised to keep its own; a blob
//! that a document names goes under no other condition, and one that none names also if that is
//! asked for; what a purged document named, in any case. What is pinned, promised to others, being
//! taken in, or of another workspace stays. A
//! blob is told to be held no more before its file is removed, so that a crash leaves a file too
//! many and never a name without a file.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use runmesh_core::api::{CollectRequest, Collected, KeptBlobs, KeptWhy};
use runmesh_core::ids::{BlobHash, WorkspaceId};
use runmesh_core::store::{Snapshot, StoreError};
use tokio::time::timeout;

use crate::app::App;
use crate::blobs::{BlobError, Blobs, Collection, Pins, ask_to_keep, off_the_runtime};
use crate::config::BlobPolicy;
use crate::workspaces::Workspaces;
use crate::writer::WriteError;

/// For how long members are asked to keep what this device drops. After that, they in turn need a
/// promise to drop it.
const KEEP_MS: u64 = 24 * 3_600_000;
/// How long one member may take to promise.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often to look whether something was purged.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How many blobs are freed in one go, while whoever uploads one of them waits.
const AT_ONCE: usize = 256;

/// Why blobs were not collected.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// One collection at a time.
    #[error("blobs are being collected already")]
    Busy,
    /// What is named could not be looked up.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The disk failed.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// It could not be noted that blobs go.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// A blob that may go if somebody promises to keep it.
#[derive(Debug, Clone, Copy)]
struct Spare {
    blob: BlobHash,
    bytes: u64,
    is_named: bool,
}

/// What is known before anybody is asked.
#[derive(Default)]
struct Plan {
    spare: Vec<Spare>,
    /// What came in part, and is named by nothing in this workspace.
    parts: Vec<Spare>,
    kept: Tally,
}

/// What was kept, by the reason.
#[derive(Default)]
struct Tally(BTreeMap<KeptWhy, (u64, u64)>);

impl Tally {
    fn add(&mut self, why: KeptWhy, bytes: u64) {
        let (blobs, sum) = self.0.entry(why).or_default();
        *blobs += 1;
        *sum += bytes;
    }

    fn told(self) -> Vec<KeptBlobs> {
        let told = |(why, (blobs, bytes))| KeptBlobs { why, blobs, bytes };
        self.0.into_iter().map(told).collect()
    }
}

/// Frees blobs that no document names, and those that the policy does not want here.
pub async fn collect(app: &App, asked: CollectRequest) -> Result<Collected, CollectError> {
    // Before we look what is named: what is taken in from now on stays.
    let collection = app.blobs.collection().ok_or(CollectError::Busy)?;
    let workspace = app.workspace.id();
    let snapshot = app.workspace.fresh().await?;
    let look = Look { workspace, blobs: app.blobs.clone(), policy: app.config.blobs };
    let Plan { spare, parts, mut kept } = off_the_runtime(move || look.plan(&snapshot)).await?;
    let round = Round { app, workspace, collection };
    let promised = match asked.dry_run {
        true => round.likely(&spare)?,
        false => round.promised(&spare).await,
    };
    let mut going = Vec::new();
    for one in spare {
        if promised.contains(&one.blob) || asked.force && !one.is_named {
            going.push(one);
            continue;
        }
        let why = if one.is_named { KeptWhy::OnlyCopy } else { KeptWhy::NobodyPromised };
        kept.add(why, one.bytes);
    }
    let mut freed = (0, 0);
    for some in going.chunks(AT_ONCE) {
        for one in round.free(some, asked.dry_run, &mut kept).await? {
            freed = (freed.0 + 1, freed.1 + one.bytes);
        }
    }
    for one in round.free_parts(parts, asked.dry_run).await? {
        freed = (freed.0 + 1, freed.1 + one.bytes);
    }
    let (freed_blobs, freed_bytes) = freed;
    Ok(Collected { dry_run: asked.dry_run, freed_blobs, freed_bytes, kept: kept.told() })
}

/// Frees the blobs of documents that were purged, unless something else names them: whatever was
/// pinned or promised. Returns how many, and their bytes.
pub async fn free_purged(app: &App) -> Result<(u64, u64), CollectError> {
    if app.workspace.snapshot()?.purged_blobs()?.is_empty() {
        return Ok((0, 0));
    }
    // Another collection frees other blobs; this one waits for it.
    let collection = app.blobs.next_collection().await;
    let workspace = app.workspace.id();
    let snapshot = app.workspace.fresh().await?;
    let blobs = app.blobs.clone();
    let Purged { all, going, absent } =
        off_the_runtime(move || Purged::look(&snapshot, &blobs, &workspace)).await?;
    app.fetcher.give_up(&absent);
    let round = Round { app, workspace, collection };
    let (mut freed, mut coming_in) = ((0, 0), HashSet::new());
    for some in going.chunks(AT_ONCE) {
        let (claimed, left): (Vec<_>, Vec<_>) =
            some.iter().copied().partition(|one| round.collection.claim(one.blob));
        coming_in.extend(left.iter().map(|one| one.blob));
        let removed = round.remove(claimed.iter().map(|one| one.blob).collect()).await;
        round.collection.release();
        removed?;
        freed.0 += claimed.len() as u64;
        freed.1 += claimed.iter().map(|one| one.bytes).sum::<u64>();
    }
    for some in absent.chunks(AT_ONCE) {
        let (claimed, left): (Vec<_>, Vec<_>) =
            some.iter().copied().partition(|blob| round.collection.claim(*blob));
        coming_in.extend(left);
        round.remove_parts(claimed).await;
    }
    // What is just being taken in is looked at again the next time.
    let done = all.into_iter().filter(|blob| !coming_in.contains(blob)).collect();
    app.workspace.forget_purged(done).await?;
    Ok(freed)
}

/// The blobs of purged documents.
struct Purged {
    all: Vec<BlobHash>,
    /// Those that are here, and that nothing else names.
    going: Vec<Spare>,
    /// Those that are not here, and that nothing else names: a part of them may be, or be coming.
    absent: Vec<BlobHash>,
}

impl Purged {
    fn look(
        snapshot: &Snapshot,
        blobs: &Blobs,
        workspace: &WorkspaceId,
    ) -> Result<Self, CollectError> {
        let all = snapshot.purged_blobs()?;
        let named = named(snapshot, &Pins::default())?;
        let (mut going, mut absent) = (Vec::new(), Vec::new());
        for blob in all.iter().copied().filter(|blob| !named.contains_key(blob)) {
            let of = blobs.ledger().workspaces_of(&blob)?;
            match blobs.size(&blob)? {
                None => absent.push(blob),
                Some(bytes) if of.iter().all(|of| of == workspace) => {
                    going.push(Spare { blob, bytes, is_named: false });
                }
                Some(_) => {}
            }
        }
        Ok(Self { all, going, absent })
    }
}

/// Frees blobs of documents that other devices purge, in every workspace, until the daemon stops.
pub async fn follow_purges(workspaces: Arc<Workspaces>) {
    loop {
        for space in workspaces.all() {
            match free_purged(&space.app).await {
                Ok((0, _)) => {}
                Ok((blobs, bytes)) => tracing::info!(blobs, bytes, "freed what was purged"),
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "blobs of purged runs were not freed");
                }
            }
        }
        tokio::select! {
            () = workspaces.device().stopping.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

/// What decides which blobs are spare.
struct Look {
    workspace: WorkspaceId,
    blobs: Blobs,
    policy: BlobPolicy,
}

impl Look {
    fn plan(&self, snapshot: &Snapshot) -> Result<Plan, CollectError> {
        let (ledger, now_ms) = (self.blobs.ledger(), crate::now().0);
        ledger.compare(&self.workspace, &self.blobs.held(&snapshot.granted()?)?)?;
        ledger.forget_old_promises(now_ms)?;
        let pins = ledger.pins(&self.workspace)?;
        let named = named(snapshot, &pins)?;
        let mut plan = Plan::default();
        for (blob, bytes) in self.blobs.list()? {
            let of = ledger.workspaces_of(&blob)?;
            let is_named = named.contains_key(&blob);
            let is_pinned = pins.pin_blob(&blob) || named.get(&blob) == Some(&true);
            let why = if of.iter().any(|of| *of != self.workspace) {
                KeptWhy::OtherWorkspace
            } else if is_pinned {
                KeptWhy::Pinned
            } else if is_named && self.policy.wants(bytes) {
                KeptWhy::Wanted
            } else if ledger.promised(&blob, now_ms)?.is_some() {
                KeptWhy::Promised
            } else {
                plan.spare.push(Spare { blob, bytes, is_named });
                continue;
            };
            plan.kept.add(why, bytes);
        }
        for (blob, bytes) in self.blobs.list_partial()? {
            if !named.contains_key(&blob) && !pins.pin_blob(&blob) {
                plan.parts.push(Spare { blob, bytes, is_named: false });
            }
        }
        Ok(plan)
    }
}

/// All blobs that documents name, and whether one that does is pinned.
fn named(snapshot: &Snapshot, pins: &Pins) -> Result<HashMap<BlobHash, bool>, StoreError> {
    let mut named = HashMap::new();
    for (owner, row) in snapshot.all_artifacts()? {
        *named.entry(row.blob).or_insert(false) |= pins.pin(&owner, &row.path, &row.blob);
    }
    Ok(named)
}

/// A collection under way.
struct Round<'a> {
    app: &'a App,
    workspace: WorkspaceId,
    collection: Collection,
}

impl Round<'_> {
    /// Those that a connected member has promised to keep.
    async fn promised(&self, spare: &[Spare]) -> HashSet<BlobHash> {
        // From here on, this device promises none of them itself.
        self.collection.announce(spare.iter().map(|one| one.blob));
        let mut promised = HashSet::new();
        for (peer, connection) in self.app.fetcher.peers() {
            let blobs = spare.iter().map(|one| one.blob).filter(|blob| !promised.contains(blob));
            let blobs: Vec<_> = blobs.collect();
            if blobs.is_empty() {
                break;
            }
            let asking = ask_to_keep(&connection, self.workspace, &blobs, KEEP_MS);
            match timeout(PATIENCE, asking).await {
                Ok(Ok(kept)) => promised.extend(kept),
                Ok(Err(error)) => {
                    tracing::debug!(peer = %peer.short(), %error, "a peer promises nothing");
                }
                Err(_) => tracing::debug!(peer = %peer.short(), "a peer is slow to promise"),
            }
        }
        promised
    }

    /// Those that a connected member said that it holds, and so may promise to keep.
    fn likely(&self, spare: &[Spare]) -> Result<HashSet<BlobHash>, BlobError> {
        let peers: HashSet<_> =
            self.app.fetcher.peers().into_iter().map(|(peer, _)| peer).collect();
        let ledger = self.app.blobs.ledger();
        let mut likely = HashSet::new();
        for one in spare {
            let holders = ledger.holders(&self.workspace, &one.blob)?;
            if holders.iter().any(|holder| peers.contains(holder)) {
                likely.insert(one.blob);
            }
        }
        Ok(likely)
    }

    /// Frees blobs; returns those that it freed.
    async fn free(
        &self,
        some: &[Spare],
        dry_run: bool,
        kept: &mut Tally,
    ) -> Result<Vec<Spare>, CollectError> {
        if dry_run {
            return Ok(some.to_vec());
        }
        let mut claimed = Vec::new();
        for one in some {
            // A promise may have been given before this device said that it would not.
            let why = match self.app.blobs.ledger().promised(&one.blob, crate::now().0)? {
                Some(_) => KeptWhy::Promised,
                None if self.collection.claim(one.blob) => {
                    claimed.push(*one);
                    continue;
                }
                None => KeptWhy::ComingIn,
            };
            self.collection.relent(&one.blob);
            kept.add(why, one.bytes);
        }
        let freed = self.remove(claimed.iter().map(|one| one.blob).collect()).await;
        self.collection.release();
        freed.map(|()| claimed)
    }

    /// Removes what broken fetches left of blobs that no workspace here names or pins; returns what.
    async fn free_parts(
        &self,
        mut parts: Vec<Spare>,
        dry_run: bool,
    ) -> Result<Vec<Spare>, CollectError> {
        let all = self.app.workspaces().filter(|_| !parts.is_empty());
        for space in all.iter().flat_map(|all| all.all()) {
            let workspace = space.app.workspace.id();
            if workspace == self.workspace {
                continue;
            }
            let snapshot = space.app.workspace.fresh().await?;
            let named = off_the_runtime(move || named(&snapshot, &Pins::default())).await?;
            let pins = self.app.blobs.ledger().pins(&workspace)?;
            parts.retain(|one| !named.contains_key(&one.blob) && !pins.pin_blob(&one.blob));
        }
        // What is being fetched stays.
        parts.retain(|one| dry_run || self.collection.claim(one.blob));
        if !dry_run {
            self.remove_parts(parts.iter().map(|one| one.blob).collect()).await;
        }
        Ok(parts)
    }

    /// Removes what is here in part of blobs that are claimed, and lets them go.
    async fn remove_parts(&self, claimed: Vec<BlobHash>) {
        let blobs = self.app.blobs.clone();
        off_the_runtime(move || claimed.iter().for_each(|blob| blobs.remove_partial(blob))).await;
        self.collection.release();
    }

    async fn remove(&self, claimed: Vec<BlobHash>) -> Result<(), CollectError> {
        self.app.workspace.ungrant(claimed.clone()).await?;
        let (blobs, workspace) = (self.app.blobs.clone(), self.workspace);
        off_the_runtime(move || {
            blobs.ledger().lost(&workspace, &claimed)?;
            for blob in &claimed {
                blobs.remove(blob)?;
            }
            Ok(())
        })
        .await
    }
}

#[cfg(test)]
mod crash;
