//! HTTP: who may ask, and which protocol answers.

mod drain;
mod guard;
mod metrics;
pub(crate) mod mlflow;
mod native;
mod page;
mod places;

use std::future::Future;
use std::io;
use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::serve::ListenerExt;
use runmesh_core::action::Action;
use tokio::net::TcpListener;

pub use self::metrics::Lags;
use crate::app::App;
use crate::workspaces::Workspaces;

/// All that is served over HTTP of one workspace.
pub fn router(app: Arc<App>) -> Router {
    let check_token = from_fn_with_state(Arc::clone(app.device()), guard::check_token);
    let check_origin = from_fn_with_state(Arc::clone(app.device()), guard::check_origin);
    Router::new()
        .merge(mlflow::routes().merge(metrics::routes()).layer(check_token))
        .merge(native::routes(&app))
        .merge(page::routes())
        .method_not_allowed_fallback(mlflow::method_not_allowed)
        .fallback(mlflow::no_route)
        .layer(check_origin)
        .layer(from_fn(drain::to_the_end))
        .with_state(app)
}

/// What an MLflow client asks for that creates, logs to or ends a run, if it is well-formed. For
/// benchmarks, which want to know what this step of a request costs.
pub fn parse(path: &str, body: &[u8]) -> Option<Action> {
    mlflow::parse(path, body)
}

/// Serves until `stop` is done, then lets the requests under way end.
pub async fn serve(
    listener: TcpListener,
    workspaces: Arc<Workspaces>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    // An answer is one small packet: waiting for more to send with it would only cost time.
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!("cannot send small packets at once: {error}");
        }
    });
    axum::serve(listener, places::router(workspaces)).with_graceful_shutdown(stop).await
}
