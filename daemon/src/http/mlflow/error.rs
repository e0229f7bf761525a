//! Errors as MLflow's clients read them: `{"error_code", "message", "sqlstate", "error_class"}`.
//!
//! The HTTP status follows from the code, in one `match`; clients retry by status and decide by
//! code, so both are part of the protocol. Messages are those a real server gives, because people
//! search for them.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use runmesh_core::action::{ParamChange, Refusal};
use runmesh_core::ids::{DocumentId, RunId};
use runmesh_core::rows::Lifecycle;
use runmesh_core::store::StoreError;
use serde::Serialize;

use super::python;
use crate::WriteError;
use crate::causes::with_causes;

/// Why a request failed, by MLflow's name for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ErrorCode {
    InvalidParameterValue,
    BadRequest,
    /// As [`Self::InvalidParameterValue`], for a body that is larger than we read.
    BodyTooLarge,
    ResourceAlreadyExists,
    ResourceDoesNotExist,
    /// It means two things, and somebody must decide.
    ResourceConflict,
    Unauthenticated,
    PermissionDenied,
    InvalidState,
    InternalError,
    NotImplemented,
    TemporarilyUnavailable,
    /// The disk is full. MLflow's own status for its code, 429, would have clients try again for
    /// minutes; 507 has them fail at once and say why.
    StorageFull,
}

impl ErrorCode {
    /// The name, the HTTP status, and the finer classes that newer clients show.
    const fn wire(self) -> (&'static str, StatusCode, Option<(&'static str, &'static str)>) {
        const USER: &str = "KAM00";
        const SYSTEM: &str = "XXM00";
        const INVALID: &str = "INVALID_PARAMETER_VALUE";
        const BROKEN: &str = "CLIENT_INTERNAL_ERROR";
        match self {
            Self::InvalidParameterValue => {
                (INVALID, StatusCode::BAD_REQUEST, Some((USER, INVALID)))
            }
            Self::BadRequest => ("BAD_REQUEST", StatusCode::BAD_REQUEST, Some((USER, INVALID))),
            Self::BodyTooLarge => (INVALID, StatusCode::PAYLOAD_TOO_LARGE, Some((USER, INVALID))),
            Self::ResourceAlreadyExists => (
                "RESOURCE_ALREADY_EXISTS",
                StatusCode::BAD_REQUEST,
                Some((USER, "RESOURCE_ALREADY_EXISTS")),
            ),
            Self::ResourceDoesNotExist => (
                "RESOURCE_DOES_NOT_EXIST",
                StatusCode::NOT_FOUND,
                Some((USER, "RESOURCE_NOT_FOUND")),
            ),
            Self::ResourceConflict => ("RESOURCE_CONFLICT", StatusCode::CONFLICT, None),
            Self::Unauthenticated => ("UNAUTHENTICATED", StatusCode::UNAUTHORIZED, None),
            Self::PermissionDenied => ("PERMISSION_DENIED", StatusCode::FORBIDDEN, None),
            Self::InvalidState => {
                ("INVALID_STATE", StatusCode::INTERNAL_SERVER_ERROR, Some((SYSTEM, BROKEN)))
            }
            Self::InternalError => {
                ("INTERNAL_ERROR", StatusCode::INTERNAL_SERVER_ERROR, Some((SYSTEM, BROKEN)))
            }
            Self::NotImplemented => ("NOT_IMPLEMENTED", StatusCode::NOT_IMPLEMENTED, None),
            Self::TemporarilyUnavailable => {
                ("TEMPORARILY_UNAVAILABLE", StatusCode::SERVICE_UNAVAILABLE, Some((SYSTEM, BROKEN)))
            }
            Self::StorageFull => ("RESOURCE_EXHAUSTED", StatusCode::INSUFFICIENT_STORAGE, None),
        }
    }
}

/// A request that failed, as its sender is told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct ApiError {
    /// Why.
    pub(crate) code: ErrorCode,
    /// Why, in words.
    pub(crate) message: String,
}

impl ApiError {
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidParameterValue, message)
    }

    /// The failure of a layer below, with all that caused it: who runs the daemon also uses it.
    pub(crate) fn with_causes(code: ErrorCode, error: &(dyn std::error::Error + 'static)) -> Self {
        let message = with_causes(error);
        tracing::warn!("{}: {message}", code.wire().0);
        Self::new(code, message)
    }

    pub(crate) fn absent(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::ResourceDoesNotExist, message)
    }
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    error_code: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sqlstate: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_class: Option<&'static str>,
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (error_code, status, classes) = self.code.wire();
        let (sqlstate, error_class) = classes.unzip();
        let body = ErrorBody { error_code, message: &self.message, sqlstate, error_class };
        (status, Json(body)).into_response()
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            refusal @ (Refusal::OnlyReads | Refusal::NotAMember) => {
                Self::new(ErrorCode::PermissionDenied, refusal.to_string())
            }
            Refusal::ExperimentNameTaken { name, deleted } => {
                let state = if deleted { " in deleted state" } else { "" };
                let message = format!("Experiment(name={name}) already exists{state}.");
                Self::new(ErrorCode::ResourceAlreadyExists, message)
            }
            Refusal::NoSuchExperiment(id) => super::experiments::no_such(id),
            Refusal::WrongExperimentState { id, is } => wrong_state("experiment", id, is),
            Refusal::NoSuchRun(id) => super::runs::no_such(id),
            Refusal::RunDeleted(id) => wrong_state("run", id, Lifecycle::Deleted),
            Refusal::ParamsChanged { run, changes } => changed_params(run, &changes),
            Refusal::NoSuchDocument(document) => no_such_document(document),
            Refusal::ModelParamsChanged { document, changes } => {
                changed_model_params(document, &changes)
            }
            Refusal::NoSuchTag { document, key } => no_such_tag(document, &key),
            Refusal::Model(refusal) => super::registry::refused(refusal),
            Refusal::NoSuchTrace(id) => Self::absent(format!("Trace with ID '{id}' not found.")),
            refusal @ (Refusal::TraceDeleted(_)
            | Refusal::PathTaken { .. }
            | Refusal::TooLarge { .. }
            | Refusal::TooMany { .. }
            | Refusal::NoSuchScorer { .. }) => Self::invalid(refusal.to_string()),
        }
    }
}

fn wrong_state(kind: &str, id: impl std::fmt::Display, is: Lifecycle) -> ApiError {
    let other = match is {
        Lifecycle::Active => Lifecycle::Deleted,
        Lifecycle::Deleted => Lifecycle::Active,
    };
    ApiError::invalid(format!(
        "The {kind} {id} must be in the '{}' state. Current state is {}.",
        other.as_str(),
        is.as_str()
    ))
}

fn no_such_document(document: DocumentId) -> ApiError {
    match document.as_logged_model() {
        Some(model) => super::logged_models::no_such(model),
        None => ApiError::absent(format!("There is no {document}")),
    }
}

fn no_such_tag(document: DocumentId, key: &str) -> ApiError {
    if let Some(model) = document.as_logged_model() {
        let (key, model) = (python::repr(key), python::repr(&model));
        return ApiError::absent(format!("No tag with key {key} found for model with ID {model}."));
    }
    let owner = match (document.as_run(), document.as_experiment()) {
        (Some(run), _) => format!("run with id {run}"),
        (_, Some(experiment)) => format!("experiment with id {experiment}"),
        _ => document.to_string(),
    };
    ApiError::absent(format!("No tag with name: {key} in {owner}"))
}

/// What MLflow says to one param that was to be changed.
pub(crate) fn changed_param(run: RunId, change: &ParamChange) -> ApiError {
    ApiError::invalid(format!(
        "Changing param values is not allowed. Param with key='{}' was already logged with \
         value='{}' for run ID='{run}'. Attempted logging new value '{}'.",
        change.key, change.old, change.new
    ))
}

/// What MLflow says to a batch with params that were to be changed.
fn changed_params(run: RunId, changes: &[ParamChange]) -> ApiError {
    let changes = list_of_changes(changes);
    ApiError::invalid(format!(
        "Changing param values is not allowed. Params were already logged='{changes}' for run \
         ID='{run}'."
    ))
}

/// MLflow fails on any param that is there, with the text of its SQL statement.
fn changed_model_params(document: DocumentId, changes: &[ParamChange]) -> ApiError {
    let model = document.as_logged_model().unwrap_or_default();
    ApiError::new(
        ErrorCode::BadRequest,
        format!(
            "Changing param values is not allowed. Params were already logged='{}' for logged model \
         ID='{model}'.",
            list_of_changes(changes)
        ),
    )
}

fn list_of_changes(changes: &[ParamChange]) -> String {
    let change = |change: &ParamChange| {
        format!(
            "{{'key': {}, 'old_value': {}, 'new_value': {}}}",
            python::repr(&change.key),
            python::repr(&change.old),
            python::repr(&change.new)
        )
    };
    let changes: Vec<String> = changes.iter().map(change).collect();
    format!("[{}]", changes.join(", "))
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        Self::with_causes(ErrorCode::InternalError, &error)
    }
}

impl From<WriteError> for ApiError {
    fn from(error: WriteError) -> Self {
        let code = match error {
            WriteError::Refused(refusal) => return refusal.into(),
            WriteError::DiskFull { .. } => ErrorCode::StorageFull,
            WriteError::Stopping => ErrorCode::TemporarilyUnavailable,
            WriteError::Store(_) | WriteError::Broken => ErrorCode::InternalError,
        };
        Self::with_causes(code, &error)
    }
}
