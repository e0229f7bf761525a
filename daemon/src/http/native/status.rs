//! How this device is doing.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use runmesh_core::api::{BlobStatus, DiskStatus, Named, PLACES, Peer, Status, Traffic};
use runmesh_core::entry::UnverifiedEntry;
use runmesh_core::ids::JournalId;
use runmesh_core::store::Snapshot;

use super::error::Error;
use super::query;
use super::workspaces::place_of;
use crate::app::App;
use crate::mesh::{Mesh, PeerStatus};
use crate::workspace::device_of;

pub(super) async fn status(State(app): State<Arc<App>>) -> Result<Json<Status>, Error> {
    query(&app, |app, snapshot| {
        let (counts, vector) = (snapshot.counts()?, snapshot.vector()?);
        let membership = snapshot.membership()?;
        let (device, workspace) = (device_of(&app.home), app.workspace.id());
        let address = app.http_address.get().unwrap_or(&app.config.http);
        Ok(Json(Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            device: Named { id: device, name: app.config.name.clone() },
            workspace: Named { id: workspace, name: membership.name().to_owned() },
            place: place(app),
            home: app.home.path().display().to_string(),
            pid: std::process::id(),
            http: address.to_string(),
            clients_need_token: app.config.clients_need_token(),
            peer_addresses: addresses(app),
            started_ms: app.started.0,
            uptime_ms: u64::try_from(app.started_at.elapsed().as_millis()).unwrap_or(u64::MAX),
            experiments: counts.experiments,
            runs: counts.runs,
            journals: vector.len() as u64,
            entries: vector.entries(),
            unsealed_edits: app.workspace.unsealed_edits(),
            waiting_changes: counts.waiting_changes,
            blobs: blobs(app, snapshot)?,
            disk: disk(app, snapshot)?,
            traffic: traffic(app),
            peers: peers(app),
            warnings: warnings(app, snapshot)?,
            watched: app.config.watch_dir.as_deref().map(|folder| app.watch.status(folder)),
        }))
    })
    .await
}

/// The path below which clients find this workspace; none for the one they get without.
fn place(app: &App) -> Option<String> {
    let current = app.workspaces()?.current();
    let is_current = current.app.workspace.id() == app.workspace.id();
    if is_current { None } else { place_of(app).map(|name| format!("{PLACES}{name}")) }
}

fn addresses(app: &App) -> Vec<String> {
    let addresses = app.mesh().map(Mesh::addresses).unwrap_or_default();
    addresses.iter().map(SocketAddr::to_string).collect()
}

/// What moved since the daemon started.
pub(super) fn traffic(app: &App) -> Traffic {
    app.mesh().map(Mesh::traffic).unwrap_or_default()
}

/// The other members.
pub(super) fn peers(app: &App) -> Vec<Peer> {
    let peers = app.mesh().map(Mesh::peers).unwrap_or_default();
    let peer = |peer: PeerStatus| Peer {
        device: Named { id: peer.device, name: peer.name },
        role: peer.role,
        connected: peer.connected,
        last_seen_ms: peer.last_seen_ms,
        entries_to_get: peer.to_receive,
        entries_to_give: peer.to_send,
        last_error: peer.last_error,
    };
    peers.into_iter().map(peer).collect()
}

/// What a person should know: journals that are not synced, and clocks that are wrong.
fn warnings(app: &App, snapshot: &Snapshot) -> Result<Vec<String>, Error> {
    let mut warnings = Vec::new();
    for peer in app.mesh().map(Mesh::peers).unwrap_or_default() {
        let name = if peer.name.is_empty() { peer.device.short() } else { peer.name };
        let stuck = peer.stuck.iter();
        warnings
            .extend(stuck.map(|stuck| format!("with {name}, a journal does not sync: {stuck}")));
    }
    for info in snapshot.journals()? {
        let last = info.tip.count.saturating_sub(1);
        let stored = snapshot.entries(&info.journal, last, 1)?.pop();
        let entry = stored.and_then(|bytes| decode(&info.journal, last, &bytes));
        warnings.extend(entry.and_then(|entry| ahead(&entry)));
    }
    Ok(warnings)
}

/// An entry of our own store; the doctor is who tells what is wrong with one.
fn decode(journal: &JournalId, number: u64, stored: &[u8]) -> Option<UnverifiedEntry> {
    UnverifiedEntry::decode(*journal, number, stored).ok()
}

fn ahead(entry: &UnverifiedEntry) -> Option<String> {
    let (clock, now) = (entry.clock(), crate::now());
    let hours = clock.millis().saturating_sub(now.0) / 3_600_000;
    let device = entry.journal().device.short();
    let text = || format!("the clock of device {device} is {hours} hours ahead; set it right");
    clock.is_too_far_ahead(now).then(text)
}

fn blobs(app: &App, snapshot: &Snapshot) -> Result<BlobStatus, Error> {
    let usage = app.blobs.usage()?;
    let mut status = BlobStatus { held: usage.blobs, bytes: usage.bytes, queued: 0, elsewhere: 0 };
    let mut seen = HashSet::new();
    for (_, row) in snapshot.all_artifacts()? {
        if !seen.insert(row.blob) || app.blobs.has(&row.blob)? {
            continue;
        }
        match app.config.blobs.wants(row.size) {
            true => status.queued += 1,
            false => status.elsewhere += 1,
        }
    }
    Ok(status)
}

fn disk(app: &App, snapshot: &Snapshot) -> Result<DiskStatus, Error> {
    let home = app.home.path();
    let workspace = home.join("workspaces").join(app.workspace.id().to_string());
    let size = |path: &Path| size_of(path).map_err(Error::Disk);
    Ok(DiskStatus {
        store_bytes: size(&workspace)?,
        journal_bytes: snapshot.journals()?.iter().map(|journal| journal.bytes).sum(),
        blob_bytes: size(&app.home.blobs_dir())?,
        free_bytes: fs4::available_space(home).map_err(Error::Disk)?,
    })
}

/// What a folder and all in it take on disk. Files that go away meanwhile take nothing.
fn size_of(path: &Path) -> io::Result<u64> {
    let gone = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    let mut total = 0;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        match entry.metadata() {
            Ok(meta) if meta.is_dir() => total += size_of(&entry.path())?,
            Ok(meta) => total += size_on_disk(&meta),
            Err(error) if gone(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(total)
}

/// What a file takes on disk: a store's file may have holes.
fn size_on_disk(meta: &fs::Metadata) -> u64 {
    #[cfg(unix)]
    let bytes = std::os::unix::fs::MetadataExt::blocks(meta) * 512;
    #[cfg(not(unix))]
    let bytes = meta.len();
    bytes
}
