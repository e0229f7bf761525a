//! The tracking API of MLflow, as its unmodified clients speak it.
//!
//! What is MLflow's own stays in here: the rest of the daemon does not know that a run's name is
//! also a tag, or that an error has a `sqlstate`. `docs/mlflow.md` tells where we differ, and why.

pub(crate) mod artifact_path;
mod artifacts;
mod dataset_records;
pub(crate) mod download;
mod error;
mod evaluation_datasets;
mod experiments;
mod history;
mod inputs;
mod limits;
mod log;
mod logged_models;
mod message;
pub(crate) mod model_files;
mod page;
mod page_requests;
mod python;
mod registry;
mod render;
mod run_name;
mod runs;
mod scorers;
mod search;
mod search_models;
mod server;
#[cfg(test)]
mod tests;
pub(crate) mod traces;
pub(crate) mod webhooks;

use std::sync::Arc;

use axum::Router;
use axum::routing::{delete, get, patch, post, put};
use runmesh_core::action::{Action, Outcome};
use runmesh_core::store::Snapshot;

use self::error::ApiError;
use crate::app::App;

pub(super) use self::error::{ApiError as Error, ErrorCode};
pub(super) use self::server::{method_not_allowed, no_route, not_found};

/// All routes of MLflow's.
pub(super) fn routes() -> Router<Arc<App>> {
    let api = tracking();
    let mut router = Router::new()
        .route("/health", get(server::health))
        .route("/version", get(server::version))
        .route("/get-artifact", get(artifacts::get_of_run))
        .route("/model-versions/get-artifact", get(registry::get_artifact))
        .merge(traces::otlp_routes());
    for prefix in ["/api", "/ajax-api"] {
        router = router
            .nest(&format!("{prefix}/2.0/mlflow"), api.clone().merge(traces::routes_v2()))
            .nest(&format!("{prefix}/3.0/mlflow"), api.clone().merge(traces::routes_v3()))
            .nest(&format!("{prefix}/2.0/mlflow-artifacts"), artifact_proxy());
    }
    router.nest("/ajax-api/2.0/mlflow", page_only())
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
        .route("/artifacts/presigned-download-url", post(artifacts::no_presigned_download))
        .route("/artifacts/presigned-upload-url", post(artifacts::no_presigned_upload))
        .merge(logged_models())
        .merge(evaluation_datasets())
        .merge(scorers())
        .merge(webhook_routes())
        .route("/server-info", get(server::info))
        .merge(registry::routes())
}

fn logged_models() -> Router<Arc<App>> {
    let model =
        get(logged_models::get).patch(logged_models::finalize).delete(logged_models::delete);
    Router::new()
        .route("/logged-models", post(logged_models::create))
        .route("/logged-models/search", post(search_models::search))
        .route("/logged-models/{model_id}", model)
        .route("/logged-models/{model_id}/params", post(logged_models::log_params))
        .route("/logged-models/{model_id}/tags", patch(logged_models::set_tags))
        .route("/logged-models/{model_id}/tags/{key}", delete(logged_models::delete_tag))
        .route(
            "/logged-models/{model_id}/artifacts/directories",
            get(logged_models::list_artifacts),
        )
}

fn evaluation_datasets() -> Router<Arc<App>> {
    let records =
        get(dataset_records::get).post(dataset_records::upsert).delete(dataset_records::delete);
    let search = get(evaluation_datasets::search).post(evaluation_datasets::search);
    Router::new()
        .route("/datasets/create", post(evaluation_datasets::create))
        .route("/datasets/search", search)
        .route(
            "/datasets/{dataset_id}",
            get(evaluation_datasets::get).delete(evaluation_datasets::delete),
        )
        .route("/datasets/{dataset_id}/tags", patch(evaluation_datasets::set_tags))
        .route("/datasets/{dataset_id}/tags/{key}", delete(evaluation_datasets::delete_tag))
        .route("/datasets/{dataset_id}/records", records)
        .route("/datasets/{dataset_id}/experiment-ids", get(evaluation_datasets::experiment_ids))
        .route(
            "/datasets/{dataset_id}/add-experiments",
            post(evaluation_datasets::add_to_experiments),
        )
        .route(
            "/datasets/{dataset_id}/remove-experiments",
            post(evaluation_datasets::remove_from_experiments),
        )
}

fn scorers() -> Router<Arc<App>> {
    Router::new()
        .route("/scorers/register", post(scorers::register))
        .route("/scorers/list", get(scorers::list))
        .route("/scorers/versions", get(scorers::versions))
        .route("/scorers/get", get(scorers::get))
        .route("/scorers/delete", delete(scorers::delete))
        .route("/scorers/online-configs", get(scorers::online_configs))
        .route("/scorers/online-config", put(scorers::set_online_config))
}

fn webhook_routes() -> Router<Arc<App>> {
    let one = get(webhooks::get).patch(webhooks::update).delete(webhooks::delete);
    Router::new()
        .route("/webhooks", get(webhooks::list).post(webhooks::create))
        .route("/webhooks/{webhook_id}", one)
        .route("/webhooks/{webhook_id}/test", post(webhooks::test))
}

/// What only MLflow's own page asks for.
fn page_only() -> Router<Arc<App>> {
    Router::new()
        .route("/logged-models/{model_id}/artifacts/files", get(logged_models::get_artifact))
        .route("/experiments/search-datasets", post(page_requests::search_datasets))
        .route("/upload-artifact", post(page_requests::upload_artifact))
}

fn artifact_proxy() -> Router<Arc<App>> {
    let file = get(artifacts::download).put(artifacts::upload).delete(artifacts::delete);
    Router::new()
        .route("/artifacts", get(artifacts::list))
        .route("/artifacts/{*path}", file)
        .route("/mpu/{step}/{*path}", post(artifacts::no_multipart_upload))
        .route("/presigned/{*path}", get(artifacts::no_multipart_download))
}

/// What a request of a run's life asks for, if it is well-formed: parsing it is all that this does.
pub(super) fn parse(path: &str, body: &[u8]) -> Option<Action> {
    let message = || message::Message::from_json(body);
    match path {
        "runs/create" => runs::new_run(message().fields()).map(Action::CreateRun),
        "runs/log-batch" => log::read_batch(body).map(Action::Log),
        "runs/update" => runs::updated_run(message().fields()),
        _ => return None,
    }
    .ok()
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
