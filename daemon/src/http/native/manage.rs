//! What only who has the home's token may ask: who else is a member, and what becomes of this
//! device.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use runmesh_core::api::Diagnosis;
use runmesh_core::store::Snapshot;

use super::error::Error;
use super::query;
use crate::app::App;
use crate::doctor;

pub(super) async fn doctor(State(app): State<Arc<App>>) -> Result<Json<Diagnosis>, Error> {
    query(&app, |app, snapshot| Ok(Json(look(app, snapshot)))).await
}

fn look(app: &App, snapshot: &Snapshot) -> Diagnosis {
    doctor::look(&app.home, &app.blobs, snapshot, app.workspace.id())
}

pub(super) async fn rebuild(State(app): State<Arc<App>>) -> Result<Json<Diagnosis>, Error> {
    let started = std::time::Instant::now();
    let entries = app.workspace.rebuild().await?;
    let rebuilt = doctor::rebuilt(entries);
    query(&app, move |app, snapshot| {
        let mut diagnosis = look(app, snapshot);
        diagnosis.checks.insert(0, rebuilt);
        diagnosis.took_ms = doctor::millis(started.elapsed());
        Ok(Json(diagnosis))
    })
    .await
}

pub(super) async fn shutdown(State(app): State<Arc<App>>) -> Json<()> {
    tracing::info!("told to stop over HTTP");
    app.stop.notify_one();
    Json(())
}
