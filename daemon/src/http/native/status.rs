//! How this device is doing.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use runmesh_core::api::{Named, PLACES, Peer, Status, Traffic};
use runmesh_core::store::Snapshot;

use super::error::Error;
use super::query;
use super::workspaces::place_of;
use crate::app::App;
use crate::clocks;
use crate::figures::{Counted, Figures};
use crate::mesh::{Mesh, PeerStatus};
use crate::workspace::device_of;

pub(super) async fn status(State(app): State<Arc<App>>) -> Result<Json<Status>, Error> {
    let Counted { blobs, disk } = Figures::of(&app).await;
    query(&app, move |app, snapshot| {
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
            blobs,
            disk,
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
    for line in snapshot.forked_lines()? {
        warnings.push(format!(
            "this device ran twice, or from a copy: what was written twice from entry {} of its \
             journal on counts both, and stands in a new one since (line {})",
            line.from,
            line.first.short()
        ));
    }
    let (own, members) = (device_of(&app.home), snapshot.membership()?);
    warnings.extend(clocks::warnings(&own, &members, &snapshot.last_clocks()?, crate::now()));
    Ok(warnings)
}
