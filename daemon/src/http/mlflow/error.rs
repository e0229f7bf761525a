//! Errors as MLflow's clients read them: `{"error_code", "message", "sqlstate", "error_class"}`.
//!
//! The HTTP status follows from the code, in one `match`; clients retry by status and decide by
//! code, so both are part of the protocol. Messages are those a real server gives, because people
//! search for them.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// Why a request failed, by MLflow's name for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ErrorCode {
    InvalidParameterValue,
    /// As [`Self::InvalidParameterValue`], for a body that is larger than we read.
    BodyTooLarge,
    ResourceAlreadyExists,
    ResourceDoesNotExist,
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
            Self::Unauthenticated => ("UNAUTHENTICATED", StatusCode::UNAUTHORIZED, None),
            Self::PermissionDenied => {
                ("PERMISSION_DENIED", StatusCode::FORBIDDEN, Some((USER, "PERMISSION_DENIED")))
            }
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
