//! Blobs: who holds which, what is pinned, and what is under way.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use runmesh_core::act::ActKind;
use runmesh_core::api::{
    CollectRequest, Collected, Held, Holder, Named, PinInfo, PinRequest, PurgeRequest, Purged,
    PurgedRuns, Role, Transfer, Transfers,
};
use runmesh_core::ids::{BlobHash, DeviceId, DocumentId, RunId};
use runmesh_core::membership::NotYours;
use runmesh_core::rows::Lifecycle;
use runmesh_core::store::Snapshot;
use serde::Deserialize;

use super::error::Error;
use super::{artifacts, query, read, runs};
use crate::app::App;
use crate::blobs::{Pin, Pins};
use crate::collect::{collect, free_purged};
use crate::workspace::device_of;

/// The most runs that one request purges.
const MAX_PURGED: usize = 1_000;

#[derive(Deserialize)]
pub(super) struct Place {
    #[serde(default)]
    path: String,
}

pub(super) async fn holders(
    State(app): State<Arc<App>>,
    Path(run): Path<String>,
    Query(place): Query<Place>,
) -> Result<Json<Vec<Held>>, Error> {
    let path = artifacts::parse(&place.path)?;
    query(&app, move |app, snapshot| {
        let run = runs::find(snapshot, &run)?.id;
        let owner = DocumentId::run(run);
        let rows = snapshot.artifacts_at_or_below(owner, &path)?;
        if rows.is_empty() && !path.is_empty() {
            return Err(Error::NoSuchArtifact { run: run.to_string(), path });
        }
        let (names, pins) = (Names::of(app, snapshot)?, pins_of(app)?);
        let held = rows.into_iter().map(|row| {
            let pinned = pins.pin(&owner, &row.path, &row.blob);
            let holders = names.holders(app, snapshot, &row.blob)?;
            Ok(Held { path: row.path, blob: row.blob, size: Some(row.size), pinned, holders })
        });
        Ok(Json(held.collect::<Result<_, Error>>()?))
    })
    .await
}

pub(super) async fn holders_of_blob(
    State(app): State<Arc<App>>,
    Path(hash): Path<String>,
) -> Result<Json<Held>, Error> {
    let blob: BlobHash = hash.parse().map_err(|_| Error::NotAHash(hash))?;
    query(&app, move |app, snapshot| {
        let holders = Names::of(app, snapshot)?.holders(app, snapshot, &blob)?;
        let size = if snapshot.is_granted(&blob)? { app.blobs.size(&blob)? } else { None };
        let pinned = pins_of(app)?.pin_blob(&blob);
        Ok(Json(Held { path: String::new(), blob, size, pinned, holders }))
    })
    .await
}

/// What devices are called, and which are connected.
struct Names {
    names: BTreeMap<DeviceId, String>,
    connected: Vec<DeviceId>,
}

impl Names {
    fn of(app: &App, snapshot: &Snapshot) -> Result<Self, Error> {
        let membership = snapshot.membership()?;
        let names = membership.members().map(|(device, member)| (*device, member.name.clone()));
        let connected = app.fetcher.peers().into_iter().map(|(device, _)| device).collect();
        Ok(Self { names: names.collect(), connected })
    }

    /// Who holds a blob: this device first, then those that are connected.
    fn holders(
        &self,
        app: &App,
        snapshot: &Snapshot,
        blob: &BlobHash,
    ) -> Result<Vec<Holder>, Error> {
        let (own, workspace) = (device_of(&app.home), app.workspace.id());
        let here = snapshot.is_granted(blob)? && app.blobs.has(blob)?;
        let others = app.blobs.ledger().holders(&workspace, blob)?;
        // What a device said that is no member any more helps nobody.
        let others = others.into_iter().filter(|device| self.names.contains_key(device));
        let mut holders: Vec<_> = here
            .then_some(own)
            .into_iter()
            .chain(others)
            .map(|id| {
                let name = self.names.get(&id).cloned().unwrap_or_default();
                let here = id == own;
                let connected = here || self.connected.contains(&id);
                Holder { device: Named { id, name }, here, connected }
            })
            .collect();
        holders.sort_by_key(|holder| (!holder.here, !holder.connected));
        Ok(holders)
    }
}

fn pins_of(app: &App) -> Result<Pins, Error> {
    Ok(app.blobs.ledger().pins(&app.workspace.id())?)
}

pub(super) async fn pins(State(app): State<Arc<App>>) -> Result<Json<Vec<PinInfo>>, Error> {
    query(&app, |app, snapshot| {
        let all = pins_of(app)?;
        let infos = all.all().map(|(pin, since_ms)| info(app, snapshot, pin, since_ms));
        Ok(Json(infos.collect::<Result<_, Error>>()?))
    })
    .await
}

fn info(app: &App, snapshot: &Snapshot, pin: &Pin, since_ms: u64) -> Result<PinInfo, Error> {
    let blobs = match pin {
        Pin::Blob(blob) => vec![*blob],
        Pin::Artifacts { owner, path } => {
            let rows = snapshot.artifacts_at_or_below(*owner, path)?;
            rows.into_iter().map(|row| row.blob).collect()
        }
    };
    let mut missing = 0;
    for blob in &blobs {
        missing += u64::from(!(snapshot.is_granted(blob)? && app.blobs.has(blob)?));
    }
    Ok(PinInfo { what: text(pin), since_ms, blobs: blobs.len() as u64, missing })
}

fn text(pin: &Pin) -> String {
    match pin {
        Pin::Blob(blob) => blob.to_string(),
        Pin::Artifacts { owner, path } => {
            let owner = owner.as_run().map_or_else(|| owner.to_string(), |run| run.to_string());
            if path.is_empty() { owner } else { format!("{owner}/{path}") }
        }
    }
}

/// Reads `RUN`, `RUN/PATH` or a hash.
fn parse_pin(snapshot: &Snapshot, what: &str) -> Result<Pin, Error> {
    if let Ok(blob) = what.parse() {
        return Ok(Pin::Blob(blob));
    }
    let (run, path) = what.split_once('/').unwrap_or((what, ""));
    let owner = DocumentId::run(runs::find(snapshot, run)?.id);
    Ok(Pin::Artifacts { owner, path: artifacts::parse(path)? })
}

pub(super) async fn pin(State(app): State<Arc<App>>, body: Bytes) -> Result<Json<PinInfo>, Error> {
    let PinRequest { what } = read(&body)?;
    query(&app, move |app, snapshot| {
        let pin = parse_pin(snapshot, &what)?;
        let now_ms = crate::now().0;
        app.blobs.ledger().pin(&app.workspace.id(), &pin, now_ms)?;
        app.fetcher.offer_pinned(snapshot)?;
        Ok(Json(info(app, snapshot, &pin, now_ms)?))
    })
    .await
}

pub(super) async fn unpin(
    State(app): State<Arc<App>>,
    body: Bytes,
) -> Result<Json<PinInfo>, Error> {
    let PinRequest { what } = read(&body)?;
    query(&app, move |app, snapshot| {
        let pin = parse_pin(snapshot, &what)?;
        if !app.blobs.ledger().unpin(&app.workspace.id(), &pin)? {
            return Err(Error::NotPinned(what));
        }
        Ok(Json(info(app, snapshot, &pin, 0)?))
    })
    .await
}

pub(super) async fn gc(State(app): State<Arc<App>>, body: Bytes) -> Result<Json<Collected>, Error> {
    let asked: CollectRequest = read(&body)?;
    Ok(Json(collect(&app, asked).await?))
}

pub(super) async fn purge(
    State(app): State<Arc<App>>,
    Path(run): Path<String>,
) -> Result<Json<Purged>, Error> {
    let run = query(&app, move |_, snapshot| Ok(runs::find(snapshot, &run)?.id)).await?;
    let PurgedRuns { freed_blobs, freed_bytes, .. } = purge_all(&app, vec![run]).await?;
    Ok(Json(Purged { run, freed_blobs, freed_bytes }))
}

pub(super) async fn purge_many(
    State(app): State<Arc<App>>,
    body: Bytes,
) -> Result<Json<PurgedRuns>, Error> {
    let PurgeRequest { runs } = read(&body)?;
    if runs.len() > MAX_PURGED {
        return Err(Error::TooMany { what: "runs", given: runs.len(), limit: MAX_PURGED });
    }
    purge_all(&app, runs).await.map(Json)
}

/// Purges runs together: each time costs a walk over all journals.
async fn purge_all(app: &Arc<App>, runs: Vec<RunId>) -> Result<PurgedRuns, Error> {
    let own = device_of(&app.home);
    let acts = query(app, move |_, snapshot| {
        if snapshot.membership()?.role(&own) != Some(Role::Admin) {
            return Err(Error::Members(NotYours::NotAnAdmin.into()));
        }
        let act = |run: &RunId| {
            let row = snapshot.run(run)?.ok_or_else(|| Error::NoSuchRun(run.to_string()))?;
            match row.lifecycle {
                Lifecycle::Deleted => Ok(ActKind::Purge { document: DocumentId::run(*run) }),
                Lifecycle::Active => Err(Error::NotDeleted(run.to_string())),
            }
        };
        runs.iter().map(act).collect::<Result<Vec<_>, _>>()
    })
    .await?;
    let runs = acts.len() as u64;
    if runs > 0 {
        app.workspace.declare(acts).await?;
    }
    let (freed_blobs, freed_bytes) = free_purged(app).await?;
    Ok(PurgedRuns { runs, freed_blobs, freed_bytes })
}

pub(super) async fn transfers(State(app): State<Arc<App>>) -> Json<Transfers> {
    let progress = *app.fetcher.progress().borrow();
    let under_way = app.fetcher.under_way().into_iter().map(|one| Transfer {
        blob: one.blob,
        bytes_done: one.bytes_done,
        bytes_total: one.bytes_total,
    });
    Json(Transfers {
        queued: progress.queued as u64,
        bytes_done: progress.bytes_done,
        bytes_total: progress.bytes_total,
        under_way: under_way.collect(),
    })
}
