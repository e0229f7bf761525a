//! Searching traces.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use runmesh_core::ids::{ExperimentId, RunId};
use runmesh_core::rows::TraceRow;
use runmesh_core::search::{
    Assessed, AssessmentKind, Condition, PageStart, TraceClause, TraceCondition, TraceField,
    TraceQuery, TraceWords, parse_trace_filter, parse_trace_order, search_traces,
};
use runmesh_core::store::{Snapshot, StoreError};
use runmesh_core::trace::{Span, SpanStatus};
use serde_json::Value;

use super::names::{SOURCE_RUN, TRACE_NAME};
use super::render::{InfoJson, Locations, trace_file};
use super::spans::text_of;
use crate::app::App;
use crate::http::mlflow::error::ApiError;
use crate::http::mlflow::message::{Fields, Message, missing, wrong_type};
use crate::http::mlflow::{experiments, page, read, render as answers};

/// The most traces of a page.
const MAX_RESULTS: i64 = 500;
/// The traces of a page, unless asked for another number.
const DEFAULT_RESULTS: i64 = 100;

/// MLflow's words in a search.
pub(super) const WORDS: TraceWords = TraceWords {
    name_tag: TRACE_NAME,
    run_fact: SOURCE_RUN,
    assessment: assessed,
    span_text,
    attribute_text,
    span_status,
};

fn assessed(json: &str) -> Option<Assessed> {
    let assessment: Value = serde_json::from_str(json).ok()?;
    let kinds = [
        ("feedback", AssessmentKind::Feedback),
        ("expectation", AssessmentKind::Expectation),
        ("issue", AssessmentKind::Issue),
    ];
    let (value, kind) =
        kinds.into_iter().find_map(|(name, kind)| Some((assessment.get(name)?, kind)))?;
    let serialized = value["serialized_value"]["value"].as_str();
    let value = match serialized {
        Some(json) => json.to_owned(),
        None => value.get("value").unwrap_or(&Value::Null).to_string(),
    };
    Some(Assessed {
        kind,
        name: assessment["assessment_name"].as_str()?.to_owned(),
        valid: assessment["valid"].as_bool().unwrap_or(true),
        value,
    })
}

/// A span as MLflow keeps it, in which its users look for text.
fn span_text(span: &Span) -> String {
    trace_file(&[0; 16], std::slice::from_ref(span))
}

/// A text is found both as it is and as JSON, which is how MLflow's users know it.
fn attribute_text(span: &Span, key: &str) -> Option<String> {
    text_of(span.attribute(key))
}

const fn span_status(span: &Span) -> &'static str {
    match span.status {
        SpanStatus::Unset => "UNSET",
        SpanStatus::Ok => "OK",
        SpanStatus::Error => "ERROR",
    }
}

/// Shows the traces of a run, in whatever experiment: those that were logged in it, and those that
/// were linked to it.
pub(crate) fn each_of_run(
    snapshot: &Snapshot,
    run: &RunId,
    show: impl FnMut(&TraceRow),
) -> Result<(), StoreError> {
    let condition = TraceCondition::Plain(Condition::Equal(run.to_string()));
    let query = TraceQuery {
        experiments: snapshot.experiments()?.into_iter().map(|row| row.id).collect(),
        clauses: vec![TraceClause { field: TraceField::Run, condition }],
        order: Vec::new(),
        start: PageStart::Offset(0),
        limit: usize::MAX,
        words: WORDS,
    };
    query.each(snapshot, show)
}

/// Reads what both versions of the API ask in the same way.
pub(super) fn query(
    fields: Fields<'_>,
    experiments: Vec<ExperimentId>,
) -> Result<(TraceQuery, page::Asked), ApiError> {
    let given = fields.integer("max_results")?.unwrap_or(DEFAULT_RESULTS);
    if given > MAX_RESULTS {
        return Err(wrong_type("max_results", &Value::from(given)));
    }
    let limit = usize::try_from(given).ok().filter(|limit| *limit > 0).ok_or_else(|| {
        ApiError::invalid(format!(
            "Invalid value {given} for parameter 'max_results' supplied. It must be a positive \
             integer"
        ))
    })?;
    let page = page::Asked::read("traces", fields)?;
    let query = TraceQuery {
        experiments,
        clauses: parse_trace_filter(fields.text("filter")?.unwrap_or_default())?,
        order: parse_trace_order(&fields.texts("order_by")?)?,
        start: page.start.clone(),
        limit,
        words: WORDS,
    };
    Ok((query, page))
}

/// What a query finds, where its artifacts are, and the token of the next page.
pub(super) fn find(
    snapshot: &Snapshot,
    query: &TraceQuery,
    page: &page::Asked,
) -> Result<(Vec<TraceRow>, Locations, Option<String>), ApiError> {
    let found = search_traces(snapshot, query)?;
    let mut locations = Locations::default();
    found.traces.iter().try_for_each(|row| locations.add(snapshot, row))?;
    let next = found.next.map(|key| page.next(found.traces.len(), &key));
    Ok((found.traces, locations, next))
}

pub(super) async fn search(
    State(app): State<Arc<App>>,
    message: Message,
) -> Result<Response, ApiError> {
    let fields = message.fields();
    let locations = fields.messages("locations")?;
    if locations.is_empty() {
        return Err(missing("locations"));
    }
    let mut experiments = Vec::new();
    for location in locations {
        if let Some(experiment) = location.message("mlflow_experiment")? {
            experiments.push(experiments::parse_id(experiment.required_text("experiment_id")?)?);
        }
    }
    let (query, page) = query(fields, experiments)?;
    read(&app, move |snapshot| {
        let (rows, locations, next) = find(snapshot, &query, &page)?;
        let items: Vec<_> = rows.iter().map(|row| InfoJson::new(row, &locations)).collect();
        Ok(answers::json(&answers::Page { name: "traces", items: &items, next }))
    })
    .await
}
