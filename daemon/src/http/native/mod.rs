//! runmesh's own HTTP API, under `/api/v1`: what the CLI asks. Its types are `runmesh_core::api`.
//!
//! Invariants: what changes this device, or says who is a member, demands the home's token; a
//! request that names another device is refused, whatever it asks.

mod artifacts;
mod audit;
mod backups;
mod blobs;
mod bundles;
mod conflicts;
mod curves;
mod device_names;
mod devices;
mod error;
mod events;
mod groups;
mod logged_models;
mod manage;
mod members;
mod models;
mod openapi;
mod runs;
mod status;
mod table;
mod update;
mod views;
mod workspaces;

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Extension, Router};
use runmesh_core::api::{DEVICE_HEADER, ROOT};
use runmesh_core::ids::DeviceId;
use runmesh_core::store::Snapshot;
use serde::de::DeserializeOwned;

pub(super) use self::error::Error;
use super::guard;
use crate::app::App;
use crate::device::Device;
use crate::workspace::device_of;

/// The largest JSON body that is read.
const MAX_BODY_BYTES: usize = 1 << 20;

/// The routes, with their checks.
pub(super) fn routes(app: &Arc<App>) -> Router<Arc<App>> {
    let open = Router::new()
        .route("/openapi.json", get(openapi::document))
        .route("/status", get(status::status))
        .route("/peers", get(manage::peers))
        .route("/members", get(members::list))
        .route("/events", get(events::events))
        .route("/audit", post(audit::page))
        .route("/conflicts", get(conflicts::list))
        .route("/conflicts/resolve", post(conflicts::resolve))
        .route("/experiments", get(runs::experiments).post(update::create_experiment))
        .route("/experiments/{experiment}", post(update::experiment))
        .route("/columns", get(table::columns))
        .route("/curves", post(curves::curves))
        .route("/logged-models/{model}", get(logged_models::show))
        .route("/logged-models/{model}/artifacts", get(logged_models::list))
        .route("/logged-models/{model}/artifact", get(logged_models::get))
        .route("/models", get(models::list))
        .route("/models/register", post(models::register))
        .route("/models/promote", post(models::promote))
        .route("/models/resolve", post(models::resolve))
        .route("/models/{name}", get(models::show))
        .route("/runs/search", post(runs::search))
        .route("/runs/table", post(table::table))
        .route("/runs/groups", post(groups::groups))
        .route("/runs/update", post(update::runs))
        .route("/views", get(views::list).post(views::save))
        .route("/pins", get(blobs::pins))
        .route("/transfers", get(blobs::transfers))
        .route("/blobs/{hash}/holders", get(blobs::holders_of_blob))
        .route("/runs/{run}/holders", get(blobs::holders))
        .route("/runs/{run}/versions", get(models::of_run))
        .route("/workspaces", get(workspaces::list))
        .route("/runs/{run}", get(runs::show))
        .route("/runs/{run}/artifacts", get(artifacts::list))
        .route("/runs/{run}/artifact", get(artifacts::get).put(artifacts::put))
        .layer(from_fn_with_state(Arc::clone(app.device()), check_client));
    let managed = Router::new()
        .route("/invite", post(manage::invite))
        .route("/members/remove", post(members::remove))
        .route("/members/role", post(members::role))
        .route("/members/rename", post(members::rename))
        .route("/members/revoke", post(members::revoke))
        .route("/recovery", get(members::recovery).delete(members::forget_recovery))
        .route("/join", get(manage::joining).post(manage::join))
        .route("/pins", post(blobs::pin))
        .route("/pins/remove", post(blobs::unpin))
        .route("/gc", post(blobs::gc))
        .route("/runs/purge", post(blobs::purge_many))
        .route("/runs/{run}/purge", post(blobs::purge))
        .route("/bundle/export", post(bundles::export))
        .route("/bundle/import", put(bundles::import))
        .route("/bundle/inspect", put(bundles::inspect))
        .route("/audit/verify", post(audit::verify))
        .route("/backup", post(backups::backup))
        .route("/sync", post(manage::sync))
        .route("/doctor", get(manage::doctor))
        .route("/doctor/rebuild", post(manage::rebuild))
        .route("/workspaces/create", post(workspaces::create))
        .route("/workspaces/use", post(workspaces::choose))
        .route("/workspaces/rename", post(workspaces::rename))
        .route("/workspaces/leave", post(workspaces::leave))
        .route("/copy", post(workspaces::copy))
        .route("/shutdown", post(manage::shutdown))
        .layer(from_fn_with_state(Arc::clone(app.device()), check_manager));
    let routes = open
        .merge(managed)
        .fallback(async || Error::NoSuchRoute)
        .method_not_allowed_fallback(async || Error::NoSuchRoute)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(Extension(Arc::new(table::Sets::default())))
        .layer(Extension(Arc::new(devices::Known::default())))
        .layer(from_fn_with_state(device_of(&app.home), check_device))
        .layer(from_fn(check_page));
    Router::new().nest(ROOT, routes)
}

/// Lets through who may use the client protocols.
async fn check_client(State(device): State<Arc<Device>>, request: Request, next: Next) -> Response {
    if device.config.clients_need_token() {
        return check_manager(State(device), request, next).await;
    }
    next.run(request).await
}

/// Lets through who has the home's token.
async fn check_manager(
    State(device): State<Arc<Device>>,
    request: Request,
    next: Next,
) -> Response {
    if guard::has_token(request.headers(), device.home.token()) {
        return next.run(request).await;
    }
    Error::Unauthorized.into_response()
}

/// Refuses what another page than ours wants to write. Client protocols let in every page of this
/// machine, as MLflow does; here none but the daemon's own has business.
async fn check_page(request: Request, next: Next) -> Response {
    let reads = request.method().is_safe();
    if reads || is_own_page(request.headers()) {
        return next.run(request).await;
    }
    Error::ForeignPage.into_response()
}

/// Whether the headers name no page, or one of the same host and port.
fn is_own_page(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let page = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    page.is_some_and(|(_, page)| Some(page) == host)
}

/// Refuses what is meant for another device.
async fn check_device(State(device): State<DeviceId>, request: Request, next: Next) -> Response {
    if is_meant_for(&device, request.headers()) {
        return next.run(request).await;
    }
    Error::WrongDevice.into_response()
}

fn is_meant_for(device: &DeviceId, headers: &HeaderMap) -> bool {
    let Some(meant) = headers.get(DEVICE_HEADER) else { return true };
    meant.to_str().ok().and_then(|text| text.parse().ok()) == Some(*device)
}

/// Reads a JSON body.
fn read<T: DeserializeOwned>(body: &Bytes) -> Result<T, Error> {
    serde_json::from_slice(body).map_err(|error| Error::Invalid(error.to_string()))
}

/// Reads the store away from the threads that drive the network.
async fn query<T: Send + 'static>(
    app: &Arc<App>,
    read: impl FnOnce(&App, &Snapshot) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let (app, snapshot) = (Arc::clone(app), app.workspace.fresh().await?);
    let reading = tokio::task::spawn_blocking(move || read(&app, &snapshot));
    reading.await.unwrap_or_else(|error| Err(Error::Died(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_page_may_write() {
        let mut headers = HeaderMap::new();
        assert!(is_own_page(&headers), "programs are no pages");
        headers.insert(header::HOST, "127.0.0.1:4747".parse().expect("ASCII"));
        headers.insert(header::ORIGIN, "http://127.0.0.1:4747".parse().expect("ASCII"));
        assert!(is_own_page(&headers));
        for other in ["http://127.0.0.1:8888", "http://localhost:4747", "null", "http://evil.com"] {
            headers.insert(header::ORIGIN, other.parse().expect("ASCII"));
            assert!(!is_own_page(&headers), "{other}");
        }
    }

    #[test]
    fn a_request_may_name_the_device_it_means() {
        let device = DeviceId::new([7; 32]);
        let mut headers = HeaderMap::new();
        assert!(is_meant_for(&device, &headers));
        headers.insert(DEVICE_HEADER, device.to_string().parse().expect("hex"));
        assert!(is_meant_for(&device, &headers));
        for other in [DeviceId::new([8; 32]).to_string(), "x".to_owned()] {
            headers.insert(DEVICE_HEADER, other.parse().expect("hex"));
            assert!(!is_meant_for(&device, &headers));
        }
    }
}
