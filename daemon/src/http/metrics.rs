//! `/metrics`: figures for Prometheus, in the text format of OpenMetrics.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use runmesh_core::api::Traffic;
use runmesh_core::ids::DeviceId;
use runmesh_core::store::{Snapshot, StoreError};

use crate::app::App;
use crate::causes::with_causes;
use crate::clocks;
use crate::figures::{Counted, Figures};
use crate::mesh::{Mesh, PeerStatus};
use crate::now;
use crate::writer::commit_times;

const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Since when entries of a peer are known to be missing here, by what was seen when asked.
#[derive(Debug, Default)]
pub struct Lags(Mutex<HashMap<DeviceId, Instant>>);

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfPeer {
    device: String,
    name: String,
}

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/metrics", get(metrics))
}

async fn metrics(State(app): State<Arc<App>>) -> Response {
    let counted = Figures::of(&app).await;
    let told = tokio::task::spawn_blocking(move || tell(&app, &counted)).await;
    match told {
        Ok(Ok(text)) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
        Ok(Err(error)) => (StatusCode::INTERNAL_SERVER_ERROR, with_causes(&error)).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

fn tell(app: &App, counted: &Counted) -> Result<String, StoreError> {
    let mut registry = Registry::with_prefix("runmesh");
    let snapshot = app.workspace.snapshot()?;
    tell_store(&mut registry, app, &snapshot)?;
    tell_disk(&mut registry, counted);
    let peers = app.mesh().map(Mesh::peers).unwrap_or_default();
    tell_peers(&mut registry, &app.lags, &peers);
    tell_traffic(&mut registry, app.mesh().map(Mesh::traffic).unwrap_or_default());
    let help = "Time until a group of writes is durable";
    registry.register_with_unit("commit", help, Unit::Seconds, commit_times::all().clone());
    let mut text = String::new();
    encode(&mut text, &registry).expect("a string takes all that is written to it");
    Ok(text)
}

fn gauge(registry: &mut Registry, name: &str, help: &str, value: u64) {
    let gauge: Gauge = Gauge::default();
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
    registry.register(name, help, gauge);
}

fn counter(registry: &mut Registry, name: &str, help: &str, value: u64) {
    let counter: Counter = Counter::default();
    counter.inc_by(value);
    registry.register(name, help, counter);
}

fn tell_store(registry: &mut Registry, app: &App, snapshot: &Snapshot) -> Result<(), StoreError> {
    let (counts, vector) = (snapshot.counts()?, snapshot.vector()?);
    let ahead_ms = clocks::furthest_ahead_ms(&snapshot.last_clocks()?, now());
    let mut tell = |name, help, value| gauge(registry, name, help, value);
    tell("uptime_seconds", "How long the daemon runs", app.started_at.elapsed().as_secs());
    tell("experiments", "Experiments, deleted ones too", counts.experiments);
    tell("runs", "Runs, deleted ones too", counts.runs);
    tell("journals", "Journals held", vector.len() as u64);
    tell("entries", "Entries held", vector.entries());
    tell("unsealed_edits", "Edits that are durable and not sealed", app.workspace.unsealed_edits());
    tell("waiting_changes", "Changes that wait for another", counts.waiting_changes);
    tell("clock_ahead_seconds", "How far the furthest clock is ahead of this one", ahead_ms / 1000);
    Ok(())
}

fn tell_disk(registry: &mut Registry, counted: &Counted) {
    let Counted { blobs, disk } = counted;
    let mut tell = |name, help, value| gauge(registry, name, help, value);
    tell("blobs_held", "Blobs that are here", blobs.held);
    tell("blobs_missing", "Blobs that are wanted here and are not", blobs.queued);
    tell("blobs_elsewhere", "Blobs that are neither here nor wanted here", blobs.elsewhere);
    tell("blob_bytes", "Bytes that blobs take on the disk", disk.blob_bytes);
    tell("store_bytes", "Bytes that the workspace's store takes on the disk", disk.store_bytes);
    tell("journal_bytes", "Bytes of the entries in the store", disk.journal_bytes);
    tell("disk_free_bytes", "Bytes that are free on the disk of the home", disk.free_bytes);
}

fn tell_peers(registry: &mut Registry, lags: &Lags, peers: &[PeerStatus]) {
    let connected = peers.iter().filter(|peer| peer.connected).count() as u64;
    gauge(registry, "peers", "Other members", peers.len() as u64);
    gauge(registry, "peers_connected", "Other members that are connected", connected);
    let families: [Family<OfPeer, Gauge>; 4] = Default::default();
    let [is_connected, lacking, owed, seconds] = &families;
    for peer in peers {
        let of = OfPeer { device: peer.device.to_string(), name: peer.name.clone() };
        let set = |family: &Family<OfPeer, Gauge>, value: u64| {
            family.get_or_create(&of).set(i64::try_from(value).unwrap_or(i64::MAX));
        };
        set(is_connected, peer.connected.into());
        set(lacking, peer.to_receive);
        set(owed, peer.to_send);
        set(seconds, lags.seconds(peer));
    }
    let [is_connected, lacking, owed, seconds] = families;
    registry.register("peer_connected", "Whether the peer is connected", is_connected);
    registry.register("peer_lag_entries", "Entries of the peer that are not here", lacking);
    registry.register("peer_owed_entries", "Entries that are not at the peer", owed);
    registry.register("peer_lag_seconds", "How long entries of the peer are missing", seconds);
}

fn tell_traffic(registry: &mut Registry, traffic: Traffic) {
    counter(registry, "received_bytes", "Bytes that came from peers", traffic.bytes_in);
    counter(registry, "sent_bytes", "Bytes that went to peers", traffic.bytes_out);
    counter(registry, "received_entries", "Entries that came from peers", traffic.entries_in);
    counter(registry, "sent_entries", "Entries that went to peers", traffic.entries_out);
}

impl Lags {
    /// How long entries of a peer have been seen to be missing.
    fn seconds(&self, peer: &PeerStatus) -> u64 {
        let mut since = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if peer.to_receive == 0 {
            since.remove(&peer.device);
            return 0;
        }
        since.entry(peer.device).or_insert_with(Instant::now).elapsed().as_secs()
    }
}
