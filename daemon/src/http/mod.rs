//! HTTP: who may ask, and which protocol answers.

pub(crate) mod mlflow;

use std::future::Future;
use std::io;
use std::sync::Arc;

use axum::Router;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;

use crate::app::App;

/// All that is served over HTTP.
pub fn router(app: Arc<App>) -> Router {
    Router::new().with_state(app)
}

/// Serves until `stop` is done, then lets the requests under way end.
pub async fn serve(
    listener: TcpListener,
    app: Arc<App>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    // An answer is one small packet: waiting for more to send with it would only cost time.
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!("cannot send small packets at once: {error}");
        }
    });
    axum::serve(listener, router(app)).with_graceful_shutdown(stop).await
}
