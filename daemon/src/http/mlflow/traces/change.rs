//! Changing traces that were written: tags, links to runs and prompts, deletion.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use runmesh_core::action::{Action, Outcome, Refusal, TraceChange, TracesToDelete};
use runmesh_core::rows::KeyValue;
use serde::Serialize;

use super::names::{ARCHIVAL_FAILURE, ARTIFACT_LOCATION, SERVER_TAGS};
use super::no_such;
use crate::WriteError;
use crate::app::App;
use crate::http::mlflow::error::ApiError;
use crate::http::mlflow::message::{Message, missing};
use crate::http::mlflow::{act, experiments, limits, render, runs};

/// MLflow's own limit of tags' values, in characters.
const MAX_TAG_VALUE_CHARS: usize = 8000;
/// MLflow's own limit of traces that one request links.
const MAX_LINKS: usize = 100;

/// Carries out a change of a trace.
pub(super) async fn change(
    app: &App,
    trace: String,
    change: TraceChange,
) -> Result<Outcome, ApiError> {
    act(app, Action::ChangeTrace { trace, change }).await
}

fn check_tag(key: &str, operation: &str) -> Result<(), ApiError> {
    let may_go = operation == "deleted" && key == ARCHIVAL_FAILURE;
    let is_servers = SERVER_TAGS.contains(&key) || key == ARTIFACT_LOCATION;
    if is_servers && !may_go {
        let message = format!("Tag '{key}' is immutable and cannot be {operation} on a trace.");
        return Err(ApiError::invalid(message));
    }
    Ok(())
}

pub(super) async fn set_tag(
    State(app): State<Arc<App>>,
    Path(trace): Path<String>,
    message: Message,
) -> Result<Response, ApiError> {
    let fields = message.fields();
    let key = fields.required_text("key")?;
    let value = fields.text("value")?.unwrap_or_default();
    check_tag(key, "set")?;
    limits::check_key(|| "key".to_owned(), key)?;
    limits::check_length("key", limits::MAX_KEY_CHARS, key)?;
    let tag = KeyValue::new(key, limits::cut(MAX_TAG_VALUE_CHARS, value));
    change(&app, trace, TraceChange::SetTag(tag)).await?;
    Ok(render::done())
}

pub(super) async fn delete_tag(
    State(app): State<Arc<App>>,
    Path(trace): Path<String>,
    message: Message,
) -> Result<Response, ApiError> {
    let key = message.fields().required_text("key")?.to_owned();
    check_tag(&key, "deleted")?;
    let deletion =
        Action::ChangeTrace { trace: trace.clone(), change: TraceChange::DeleteTag(key.clone()) };
    match app.workspace.act(deletion).await {
        Ok(_) => Ok(render::done()),
        Err(WriteError::Refused(Refusal::NoSuchTag { .. })) => Err(ApiError::absent(format!(
            "No trace tag with key '{key}' for trace with ID '{trace}'"
        ))),
        Err(error) => Err(error.into()),
    }
}

pub(super) async fn link_to_run(
    State(app): State<Arc<App>>,
    message: Message,
) -> Result<Response, ApiError> {
    let fields = message.fields();
    let traces = fields.texts("trace_ids")?;
    if traces.is_empty() {
        return Err(missing("trace_ids"));
    }
    let run = fields.required_text("run_id")?;
    if traces.len() > MAX_LINKS {
        return Err(ApiError::invalid(format!(
            "Cannot link more than {MAX_LINKS} traces to a run in a single request. Provided {} \
             traces.",
            traces.len()
        )));
    }
    let run = runs::parse_id(run)?;
    for trace in traces {
        link(&app, trace, TraceChange::LinkRun(run)).await?;
    }
    Ok(render::done())
}

/// Links a trace, which may come later. One that is deleted is passed over.
pub(super) async fn link(app: &App, trace: &str, link: TraceChange) -> Result<(), ApiError> {
    let change = Action::ChangeTrace { trace: trace.to_owned(), change: link };
    match app.workspace.act(change).await {
        Ok(_) | Err(WriteError::Refused(Refusal::NoSuchTrace(_))) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

pub(super) async fn link_prompts(
    State(app): State<Arc<App>>,
    message: Message,
) -> Result<Response, ApiError> {
    let fields = message.fields();
    let trace = fields.text("trace_id")?.unwrap_or_default().to_owned();
    let mut prompts = Vec::new();
    for version in fields.messages("prompt_versions")? {
        let (name, number) = (version.required_text("name")?, version.required_text("version")?);
        prompts.push(format!("{name}/{number}"));
    }
    if prompts.is_empty() {
        return Err(missing("prompt_versions"));
    }
    change(&app, trace, TraceChange::LinkPrompts(prompts)).await?;
    Ok(render::done())
}

pub(super) async fn delete(
    State(app): State<Arc<App>>,
    message: Message,
) -> Result<Response, ApiError> {
    #[derive(Serialize)]
    struct Deleted {
        traces_deleted: u64,
    }
    let fields = message.fields();
    let experiment = experiments::parse_id(fields.required_text("experiment_id")?)?;
    let ids: Vec<String> = fields.texts("request_ids")?.into_iter().map(str::to_owned).collect();
    let until_ms = fields.integer("max_timestamp_millis")?;
    let limit = fields.integer("max_traces")?;
    let refuse = |message: &str| Err(ApiError::invalid(message));
    match (until_ms, ids.is_empty(), limit) {
        (None, true, _) => {
            return refuse("Either `max_timestamp_millis` or `trace_ids` must be specified.");
        }
        (Some(_), false, _) => {
            return refuse("Only one of `max_timestamp_millis` and `trace_ids` can be specified.");
        }
        (_, false, Some(_)) => {
            return refuse("`max_traces` can't be specified if `trace_ids` is specified.");
        }
        (_, _, Some(limit)) if limit <= 0 => {
            return refuse("`max_traces` must be a positive integer.");
        }
        _ => {}
    }
    let limit = limit.and_then(|limit| usize::try_from(limit).ok());
    let wanted = TracesToDelete { experiment, ids, until_ms, limit };
    let traces_deleted = match act(&app, Action::DeleteTraces(wanted)).await? {
        Outcome::Count(count) => count,
        other => unreachable!("deleting traces answered {other:?}"),
    };
    Ok(render::json(&Deleted { traces_deleted }))
}

/// A trace that must be there.
pub(super) async fn find(app: &App, id: &str) -> Result<runmesh_core::rows::TraceRow, ApiError> {
    app.workspace.fresh().await?.trace(id)?.ok_or_else(|| no_such(id))
}
