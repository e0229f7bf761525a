//! The tracking API of MLflow, as its unmodified clients speak it.
//!
//! What is MLflow's own stays in here: the rest of the daemon does not know that a run's name is
//! also a tag, or that an error has a `sqlstate`. `docs/mlflow.md` tells where we differ, and why.

pub(crate) mod artifact_path;
mod artifacts;
mod download;
mod error;
mod experiments;
mod history;
mod inputs;
mod limits;
mod log;
mod message;
mod page;
mod python;
mod render;
mod run_name;
mod runs;
mod search;
mod server;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};
use runmesh_core::action::{Action, Outcome};
use runmesh_core::store::Snapshot;

use self::error::ApiError;
use crate::app::App;

pub(super) use self::error::{ApiError as Error, ErrorCode};
pub(super) use self::server::{method_not_allowed, not_found};

/// All routes of MLflow's.
pub(super) fn routes() -> Router<Arc<App>> {
    let api = tracking();
    let mut router = Router::new()
        .route("/health", get(server::health))
        .route("/version", get(server::version))
        .route("/get-artifact", get(artifacts::get_of_run));
    for prefix in ["/api", "/ajax-api"] {
        router = router
            .nest(&format!("{prefix}/2.0/mlflow"), api.clone())
            .nest(&format!("{prefix}/3.0/mlflow"), api.clone())
            .nest(&format!("{prefix}/2.0/mlflow-artifacts"), artifact_proxy());
    }
    router
}

fn tracking() -> Router<Arc<App>> {
    Router::new()
        .route("/experiments/create", post(experiments::create))
        .route("/experiments/get", get(experiments::get))
        .route("/experiments/get-by-name", get(experiments::get_by_name))
        .route("/experiments/search", get(search::experiments).post(search::experiments))
        .route("/experiments/update", post(experiments::update))
        .route("/experiments/delete", post(experiments::delete))
        .route("/experiments/restore", post(experiments::restore))
        .route("/experiments/set-experiment-tag", post(experiments::set_tag))
        .route("/experiments/delete-experiment-tag", post(experiments::delete_tag))
        .route("/runs/create", post(runs::create))
        .route("/runs/get", get(runs::get))
        .route("/runs/update", post(runs::update))
        .route("/runs/delete", post(runs::delete))
        .route("/runs/restore", post(runs::restore))
        .route("/runs/delete-tag", post(runs::delete_tag))
        .route("/runs/search", post(search::runs))
        .route("/runs/log-metric", post(log::log_metric))
        .route("/runs/log-parameter", post(log::log_param))
        .route("/runs/set-tag", post(log::set_tag))
        .route("/runs/log-batch", post(log::log_batch))
        .route("/runs/log-inputs", post(inputs::log_inputs))
        .route("/runs/outputs", post(inputs::log_outputs))
        .route("/runs/log-model", post(inputs::log_model))
        .route("/metrics/get-history", get(history::get))
        .route("/metrics/get-history-bulk", get(history::get_bulk))
        .route("/metrics/get-history-bulk-interval", get(history::get_bulk_interval))
        .route("/artifacts/list", get(artifacts::list_of_run))
        // No logged models can be created here yet, so a search finds none. The Python client asks
        // before it downloads any artifact of a run.
        .route("/logged-models/search", post(render::none))
        .route("/server-info", get(server::info))
}

fn artifact_proxy() -> Router<Arc<App>> {
    let file = get(artifacts::download).put(artifacts::upload).delete(artifacts::delete);
    Router::new()
        .route("/artifacts", get(artifacts::list))
        .route("/artifacts/{*path}", file)
        .route("/mpu/{step}/{*path}", post(artifacts::no_multipart_upload))
        .route("/presigned/{*path}", get(artifacts::no_multipart_download))
}

/// Carries an action out; it is durable when this returns.
async fn act(app: &App, action: Action) -> Result<Outcome, ApiError> {
    Ok(app.workspace.act(action).await?)
}

/// Reads from a snapshot, away from the threads that drive the network.
async fn read<T: Send + 'static>(
    app: &Arc<App>,
    read: impl FnOnce(&Snapshot) -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    let snapshot = app.workspace.fresh().await?;
    let reading = tokio::task::spawn_blocking(move || read(&snapshot));
    match reading.await {
        Ok(answer) => answer,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
