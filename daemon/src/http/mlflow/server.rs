//! What clients ask about the server itself, and answers to what it does not know.

use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Redirect, Response};
use serde_json::json;

use super::render;

/// The MLflow whose API this is, as clients use it. The Python client asks before it exports its
/// first span: a server from 3.4 on gets spans posted to `/v1/traces`. Nothing else in the clients
/// of 2.x and 3.x depends on this value.
const VERSION: &str = "3.17.2";

pub(crate) async fn health() -> &'static str {
    "OK"
}

pub(crate) async fn version() -> Response {
    ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], VERSION).into_response()
}

/// What this server can do, which clients ask before their first transfer of an artifact.
pub(crate) async fn info() -> Response {
    render::json(&json!({
        "store_type": "SqlStore",
        "workspaces_enabled": false,
        "trace_archival_enabled": false,
        "multipart_uploads_enabled": false,
        "multipart_downloads_enabled": false,
        "artifact_serving_enabled": true,
        "presigned_upload_run_id_supported": false,
        "presigned_upload_model_id_supported": false,
        "model_artifact_presigned_downloads_supported": false,
        "features_enabled": {},
        "tracking_auth": "",
        "artifacts_presigned_only": false,
    }))
}

fn html(status: StatusCode, title: &str, text: &str) -> Response {
    let code = status.as_u16();
    let body = format!(
        "<!doctype html>\n<html lang=en>\n<title>{code} {title}</title>\n<h1>{title}</h1>\n\
         <p>{text}</p>\n"
    );
    (status, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], body).into_response()
}

/// No route leads to this path. Doubled slashes come from a base address that ends in one; whoever
/// sends them is told the path without, as by MLflow's server.
pub(crate) async fn no_route(uri: Uri) -> Response {
    if uri.path().contains("//") {
        let parts = uri.path().split('/').filter(|part| !part.is_empty());
        let path = parts.fold(String::new(), |path, part| path + "/" + part);
        let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        return Redirect::permanent(&format!("{path}{query}")).into_response();
    }
    not_found().await
}

/// There is nothing at this path. Clients tell by the HTML that it is not a thing of theirs that
/// is missing, but the route.
pub(crate) async fn not_found() -> Response {
    let text = "The requested URL was not found on the server. If you entered the URL manually \
                please check your spelling and try again.";
    html(StatusCode::NOT_FOUND, "Not Found", text)
}

/// There is something at this path, for another method.
pub(crate) async fn method_not_allowed() -> Response {
    let text = "The method is not allowed for the requested URL.";
    html(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed", text)
}
