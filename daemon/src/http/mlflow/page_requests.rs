//! What only MLflow's own page asks for: datasets to choose from, and small files to upload.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use runmesh_core::search::{DatasetUse, dataset_uses};
use serde::Serialize;

use super::artifact_path::{self, Place};
use super::artifacts;
use super::error::ApiError;
use super::message::Message;
use super::render::{self, Page};
use super::search::DATASET_CONTEXT_TAG;
use super::{experiments, read};
use crate::app::App;

/// The most experiments whose datasets are listed at once.
const MAX_EXPERIMENTS: usize = 20;
/// The most datasets that are listed.
const MAX_DATASETS: usize = 1000;
/// The largest file that the page may upload.
const MAX_UPLOAD_BYTES: usize = 10 << 20;

#[derive(Serialize)]
struct SummaryJson {
    experiment_id: String,
    name: String,
    digest: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<String>,
}

impl From<DatasetUse> for SummaryJson {
    fn from(it: DatasetUse) -> Self {
        let experiment_id = it.experiment.to_string();
        Self { experiment_id, name: it.name, digest: it.digest, context: it.context }
    }
}

/// Which datasets the runs of experiments read.
pub(super) async fn search_datasets(
    State(app): State<Arc<App>>,
    message: Message,
) -> Result<Response, ApiError> {
    let ids = message.fields().texts("experiment_ids")?;
    if ids.is_empty() {
        return Err(ApiError::invalid(
            "SearchDatasets request must specify at least one experiment_id.",
        ));
    }
    if ids.len() > MAX_EXPERIMENTS {
        let given = ids.len();
        return Err(ApiError::invalid(format!(
            "SearchDatasets request cannot specify more than {MAX_EXPERIMENTS} experiment_ids. \
             Received {given} experiment_ids."
        )));
    }
    let wanted = ids.into_iter().map(experiments::parse_id).collect::<Result<Vec<_>, _>>()?;
    read(&app, move |snapshot| {
        let uses = dataset_uses(snapshot, &wanted, DATASET_CONTEXT_TAG, MAX_DATASETS)?;
        let items: Vec<SummaryJson> = uses.into_iter().map(SummaryJson::from).collect();
        Ok(render::json(&Page { name: "dataset_summaries", items: &items, next: None }))
    })
    .await
}

/// Uploads a small file to a run.
pub(super) async fn upload_artifact(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
    body: Body,
) -> Result<Response, ApiError> {
    let query = Message::from_query(&query.unwrap_or_default());
    let given = |name: &str| {
        let text = query.fields().text(name)?.filter(|text| !text.is_empty());
        let missing = || ApiError::invalid(format!("Request must specify {name}."));
        text.map(str::to_owned).ok_or_else(missing)
    };
    let run_id = given("run_uuid")?;
    let path = artifact_path::parse(&given("path")?)?;
    let too_large = || ApiError::invalid("Artifact size is too large. Max size is 10MB.");
    let bytes = to_bytes(body, MAX_UPLOAD_BYTES).await.map_err(|_| too_large())?;
    if bytes.is_empty() {
        return Err(ApiError::invalid("Request must specify data."));
    }
    let place = read(&app, move |snapshot| {
        let root = artifacts::root_of(snapshot, &run_id)?;
        Ok(Place::of(&artifacts::path_below(&root, &path)?))
    });
    match place.await? {
        Place::Owned { owner, path } if !path.is_empty() => {
            artifacts::put(&app, owner, path, bytes.as_ref()).await?;
        }
        _ => return Err(ApiError::invalid("Invalid path")),
    }
    Ok(StatusCode::OK.into_response())
}
