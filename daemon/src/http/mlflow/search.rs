//! Searching runs and experiments: from MLflow's words for it to a query, and page by page.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use runmesh_core::ids::ExperimentId;
use runmesh_core::search::{
    EXPERIMENTS, ExperimentAttribute, ExperimentQuery, Field, PageStart, RUNS, RowQuery,
    RunAttribute, RunQuery, SearchError, ViewType, parse_filter, parse_order, search_experiments,
    visit_runs,
};
use runmesh_core::store::{Snapshot, StoreError};
use serde_json::Value;

use super::error::ApiError;
use super::message::{Fields, Message, wrong_type};
use super::render::{self, ExperimentJson, GrowingPage, NOTE_TAG, Page, RUN_NAME_TAG, RunJson};
use super::runs::Locations;
use super::{experiments, page, read};
use crate::app::App;

/// The most elements of a page.
const MAX_RESULTS: usize = 50_000;
/// The elements of a page of runs, unless asked for another number.
const DEFAULT_RUNS: i64 = 1000;
/// The tag in which a client says what a run used a dataset for.
pub(super) const DATASET_CONTEXT_TAG: &str = "mlflow.data.context";

/// The words for what a search shows by lifecycle, in the order of their numbers.
const VIEWS: [(&str, ViewType); 3] = [
    ("ACTIVE_ONLY", ViewType::ActiveOnly),
    ("DELETED_ONLY", ViewType::DeletedOnly),
    ("ALL", ViewType::All),
];

impl From<SearchError> for ApiError {
    fn from(error: SearchError) -> Self {
        Self::invalid(error.to_string())
    }
}

fn limit(given: i64) -> Result<usize, ApiError> {
    usize::try_from(given).ok().filter(|limit| *limit > 0).ok_or_else(|| {
        ApiError::invalid(format!(
            "Invalid value {given} for parameter 'max_results' supplied. It must be a positive \
             integer"
        ))
    })
}

/// How many elements a page shall have, where asking for too many is a mistake.
pub(super) fn page_limit(given: i64) -> Result<usize, ApiError> {
    let limit = limit(given)?;
    if limit > MAX_RESULTS {
        return Err(ApiError::invalid(format!(
            "Invalid value {limit} for parameter 'max_results' supplied. It must be at most \
             {MAX_RESULTS}"
        )));
    }
    Ok(limit)
}

pub(super) async fn runs(
    State(app): State<Arc<App>>,
    message: Message,
) -> Result<Response, ApiError> {
    let page = page::Asked::read("runs", message.fields())?;
    let query = run_query(message.fields(), &page)?;
    read(&app, move |snapshot| answer_runs(snapshot, query, &page)).await
}

fn run_query(fields: Fields<'_>, page: &page::Asked) -> Result<RunQuery, ApiError> {
    let given = fields.integer("max_results")?.unwrap_or(DEFAULT_RUNS);
    if given > MAX_RESULTS as i64 {
        return Err(wrong_type("max_results", &Value::from(given)));
    }
    let limit = limit(given)?;
    let mut experiments = Vec::new();
    for text in fields.texts("experiment_ids")? {
        // A number that no experiment can have finds nothing; what is no number is a mistake.
        match text.parse::<i128>() {
            Ok(id) => experiments.extend(u64::try_from(id).ok().map(ExperimentId)),
            Err(_) => experiments.push(experiments::parse_id(text)?),
        }
    }
    let mut query = RunQuery {
        experiments,
        view: fields.word("run_view_type", &VIEWS)?.unwrap_or_default(),
        clauses: parse_filter(&RUNS, fields.text("filter")?.unwrap_or_default())?,
        order: parse_order(&RUNS, &fields.texts("order_by")?)?,
        offset: page.offset,
        after: match &page.start {
            PageStart::After(place) => Some(place.clone()),
            PageStart::Offset(_) => None,
        },
        limit,
        dataset_context_tag: DATASET_CONTEXT_TAG.to_owned(),
        ..RunQuery::default()
    };
    query.map_fields(|field| match field {
        Field::Tag(tag) if tag == RUN_NAME_TAG => Field::Attribute(RunAttribute::Name),
        Field::Tag(tag) if tag == NOTE_TAG => Field::Attribute(RunAttribute::Description),
        other => other,
    });
    Ok(query)
}

fn answer_runs(
    snapshot: &Snapshot,
    mut query: RunQuery,
    page: &page::Asked,
) -> Result<Response, ApiError> {
    if query.names(&Field::Attribute(RunAttribute::ArtifactUri)) {
        query.artifact_roots = artifact_roots(snapshot, &query.experiments)?;
    }
    let (mut runs, mut locations) = (GrowingPage::new("runs"), Locations::default());
    let end = visit_runs(snapshot, &query, |run| {
        locations.add(snapshot, run)?;
        runs.push(&RunJson::new(run, locations.of(run)));
        Ok(())
    })?;
    let place = end.place.filter(|_| end.more);
    let next = place.map(|place| page.next(runs.len(), &place));
    Ok(runs.end(next.as_deref()))
}

fn artifact_roots(
    snapshot: &Snapshot,
    experiments: &[ExperimentId],
) -> Result<BTreeMap<ExperimentId, String>, StoreError> {
    let mut roots = BTreeMap::new();
    for id in experiments {
        let row = snapshot.experiment(*id)?;
        let location = row.and_then(|row| row.artifact_location);
        roots.insert(*id, location.unwrap_or_else(|| render::default_location(*id)));
    }
    Ok(roots)
}

pub(super) async fn experiments(
    State(app): State<Arc<App>>,
    message: Message,
) -> Result<Response, ApiError> {
    let page = page::Asked::read("experiments", message.fields())?;
    let query = experiment_query(message.fields(), page.start.clone())?;
    read(&app, move |snapshot| {
        let found = search_experiments(snapshot, &query)?;
        let items: Vec<_> = found.rows.iter().map(ExperimentJson::from).collect();
        let next = found.next.map(|key| page.next(items.len(), &key));
        Ok(render::json(&Page { name: "experiments", items: &items, next }))
    })
    .await
}

fn experiment_query(fields: Fields<'_>, start: PageStart) -> Result<ExperimentQuery, ApiError> {
    let limit = page_limit(fields.integer("max_results")?.unwrap_or_default())?;
    let mut rows = RowQuery {
        clauses: parse_filter(&EXPERIMENTS, fields.text("filter")?.unwrap_or_default())?,
        order: parse_order(&EXPERIMENTS, &fields.texts("order_by")?)?,
        start,
        limit,
    };
    rows.map_fields(|field| match field {
        Field::Tag(tag) if tag == NOTE_TAG => Field::Attribute(ExperimentAttribute::Description),
        other => other,
    });
    let view = fields.word("view_type", &VIEWS)?.unwrap_or_default();
    Ok(ExperimentQuery { view, rows })
}
