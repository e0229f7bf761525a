//! Which workspace a request is for: the one of its address's `/w/NAME`, or the home's current one.
//!
//! Invariants: what follows the name is answered as if the workspace were the only one; a name that
//! is not here is answered by the same checks as any request, and with the names that are only to
//! who may use them.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderValue, Uri, header};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router};
use runmesh_core::api::{PLACES, ROOT};
use tower::ServiceExt;

use super::{drain, guard, mlflow, native};
use crate::places::{PlaceError, PlaceName};
use crate::workspaces::{Workspaces, WorkspacesError};

/// All that is served over HTTP.
pub(super) fn router(workspaces: Arc<Workspaces>) -> Router {
    let device = workspaces.device();
    let no_such = Router::new()
        .fallback(no_such)
        .layer(from_fn_with_state(Arc::clone(device), guard::check_token))
        .layer(from_fn_with_state(Arc::clone(device), guard::check_origin))
        .layer(from_fn(drain::to_the_end))
        .with_state(Arc::clone(&workspaces));
    Router::new().fallback(forward).with_state(Doors { workspaces, no_such })
}

#[derive(Clone)]
struct Doors {
    workspaces: Arc<Workspaces>,
    /// Answers for workspaces that are not here.
    no_such: Router,
}

/// The name that was asked for.
#[derive(Clone)]
struct Asked(String);

async fn forward(State(doors): State<Doors>, mut request: Request) -> Response {
    let Some((name, rest)) = split(request.uri()) else {
        return answer(doors.workspaces.router(None).unwrap_or(doors.no_such), request).await;
    };
    *request.uri_mut() = rest;
    let Some(router) = doors.workspaces.router(Some(&name)) else {
        let no_such = doors.no_such.layer(Extension(Asked(name)));
        return answer(no_such, request).await;
    };
    let mut response = answer(router, request).await;
    // Where it leads to is in the same workspace.
    if let Some(location) = response.headers().get(header::LOCATION)
        && let Some(path) = location.to_str().ok().filter(|path| path.starts_with('/'))
        && let Ok(location) = HeaderValue::try_from(format!("{PLACES}{name}{path}"))
    {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

async fn answer(router: Router, request: Request) -> Response {
    match router.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

/// The name of the workspace in an address, and the address within it.
fn split(uri: &Uri) -> Option<(String, Uri)> {
    let rest = uri.path().strip_prefix(PLACES)?;
    let (name, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let path = if path.is_empty() { "/" } else { path };
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let mut parts = uri.clone().into_parts();
    // The end of a path that was one, from a slash on, is one.
    parts.path_and_query = PathAndQuery::try_from(format!("{path}{query}")).ok();
    Some((name.to_owned(), Uri::from_parts(parts).ok()?))
}

async fn no_such(
    State(workspaces): State<Arc<Workspaces>>,
    Extension(Asked(name)): Extension<Asked>,
    request: Request,
) -> Response {
    if request.uri().path().starts_with(ROOT) {
        let error = WorkspacesError::from(PlaceError::NoSuch(name));
        return native::Error::from(error).into_response();
    }
    let all = workspaces.all();
    let names: Vec<_> = all.iter().map(|space| PlaceName::as_str(&space.name)).collect();
    let message = format!(
        "No workspace named '{name}' on this device. There are: {}. `runmesh workspace list` tells \
         more.",
        names.join(", ")
    );
    mlflow::Error::new(mlflow::ErrorCode::ResourceDoesNotExist, message).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_split_after_the_name() {
        let parts = |uri: &str| {
            let (name, rest) = split(&uri.parse().expect("an address"))?;
            Some((name, rest.to_string()))
        };
        let some = |name: &str, rest: &str| Some((name.to_owned(), rest.to_owned()));
        assert_eq!(parts("/w/lab/api/v1/runs?x=%2F&y"), some("lab", "/api/v1/runs?x=%2F&y"));
        assert_eq!(parts("/w/lab"), some("lab", "/"));
        assert_eq!(parts("/w/lab?x"), some("lab", "/?x"));
        assert_eq!(parts("/w/lab//api"), some("lab", "//api"));
        assert_eq!(parts("/w/"), some("", "/"));
        assert_eq!(parts("/w/%2e%2e/api"), some("%2e%2e", "/api"));
        for other in ["/", "/w", "/api/v1/w/lab", "/ww/lab"] {
            assert_eq!(parts(other), None);
        }
    }
}
