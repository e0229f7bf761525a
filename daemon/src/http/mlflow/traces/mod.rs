//! Traces: OpenTelemetry's spans in, MLflow's traces out, and what people say of them.
//!
//! A trace arrives as spans over OTLP and as one message about all of it, in either order. What the
//! rest of the daemon keeps of it is neutral; MLflow's names for things are in `names`, and what
//! its server works out of spans is worked out in `spans` when they come in.

mod assessments;
mod change;
mod correlation;
mod dialects;
mod measure;
mod metric_filter;
mod metrics;
mod names;
mod otlp;
mod otlp_json;
mod otlp_proto;
mod preview;
mod read;
mod render;
mod search;
mod spans;
mod start;
mod time;
mod translate;
mod v2;
mod value;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};
use runmesh_core::ids::ExperimentId;

pub(crate) use self::assessments::assessed_since;
pub(crate) use self::search::each_of_run;
use super::error::ApiError;
use crate::app::App;

/// The folder of the artifact proxy in which clients keep the files of a trace, with a slash at its end.
pub(crate) fn folder(experiment: ExperimentId, trace: &str) -> String {
    format!("{experiment}/traces/{trace}/artifacts/")
}

/// What is the same in the second and the third version of the API.
fn shared() -> Router<Arc<App>> {
    Router::new()
        .route("/traces/delete-traces", post(change::delete))
        .route("/traces/link-to-run", post(change::link_to_run))
        .route("/traces/link-prompts", post(change::link_prompts))
        .route(
            "/traces/{id}/tags",
            axum::routing::patch(change::set_tag).delete(change::delete_tag),
        )
        .route("/get-trace-artifact", get(read::artifact))
}

/// Routes of the third version.
pub(super) fn routes_v3() -> Router<Arc<App>> {
    let assessment = get(assessments::get).patch(assessments::update).delete(assessments::delete);
    shared()
        .route("/traces", post(start::start))
        .route("/traces/get", get(read::get))
        .route("/traces/batchGet", get(read::batch_get))
        .route("/traces/batchGetInfos", post(read::batch_get_infos))
        .route("/traces/search", post(search::search))
        .route("/traces/calculate-filter-correlation", post(correlation::calculate))
        .route("/traces/metrics", post(metrics::query))
        .route("/traces/{id}", get(read::info))
        .route("/traces/{id}/assessments", post(assessments::create))
        .route("/traces/{id}/assessments/{assessment}", assessment)
}

/// Routes of the second version.
pub(super) fn routes_v2() -> Router<Arc<App>> {
    shared()
        .route("/traces", get(v2::search).post(v2::start))
        .route("/traces/{id}", axum::routing::patch(v2::end))
        .route("/traces/{id}/info", get(v2::info))
}

/// Where exporters of OpenTelemetry send spans.
pub(super) fn otlp_routes() -> Router<Arc<App>> {
    Router::new().route("/v1/traces", post(otlp::export))
}

/// There is no such trace.
fn no_such(id: impl std::fmt::Display) -> ApiError {
    ApiError::absent(format!("Trace with ID '{id}' not found."))
}
