//! Reads a request to its end even if it was refused before.
//!
//! Clients send a whole request before they look at the answer, and then send the next one over the
//! same connection. One that is closed on them half way shows them a broken pipe instead of the
//! reason, and fails the request after it.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;
use http_body_util::BodyExt;

/// How long the rest of a refused request is read at most; after that its connection is closed.
const PATIENCE: Duration = Duration::from_secs(30);

/// A body of which somebody else may read the rest.
#[derive(Clone)]
struct Shared(Arc<Mutex<Body>>);

impl Shared {
    fn with<T>(&self, read: impl FnOnce(&mut Body) -> T) -> T {
        read(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl HttpBody for Shared {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, axum::Error>>> {
        self.with(|body| Pin::new(body).poll_frame(context))
    }

    fn is_end_stream(&self) -> bool {
        self.with(|body| body.is_end_stream())
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.with(|body| body.size_hint())
    }
}

/// Answers a request only once all of it was read.
pub(super) async fn to_the_end(request: Request, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    // Who waits for leave to send the body is spared sending it by the answer itself.
    let waits_for_leave = request.headers().contains_key(header::EXPECT);
    let (parts, body) = request.into_parts();
    let length = body.size_hint().lower();
    let mut rest = Shared(Arc::new(Mutex::new(body)));
    let mut response = next.run(Request::from_parts(parts, Body::new(rest.clone()))).await;
    let untouched = rest.size_hint().lower() == length;
    if rest.is_end_stream() || (waits_for_leave && untouched) {
        return response;
    }
    let drained =
        tokio::time::timeout(PATIENCE, async { while let Some(Ok(_)) = rest.frame().await {} });
    if drained.await.is_err() {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    response
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;

    use axum::Router;
    use axum::http::StatusCode;
    use axum::middleware::from_fn;
    use axum::routing::put;

    use super::*;

    /// Sends a request over a connection and returns the head of the answer.
    fn ask(stream: &mut TcpStream, request: &[u8]) -> String {
        stream.write_all(request).unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"full") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("the connection stays open");
            answer.push(byte[0]);
        }
        String::from_utf8(answer).unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_connection_outlives_a_request_that_was_refused_before_it_was_read() {
        let refuse = || async { (StatusCode::INSUFFICIENT_STORAGE, "full") };
        let app = Router::new().route("/", put(refuse)).layer(from_fn(to_the_end));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await });
        // More than any buffer on the way takes.
        let body = vec![7; 16 << 20];
        let client = move || {
            let mut stream = TcpStream::connect(address).unwrap();
            for _ in 0..3 {
                let head =
                    format!("PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len());
                let answer = ask(&mut stream, &[head.as_bytes(), &body].concat());
                assert!(answer.starts_with("HTTP/1.1 507"), "{answer}");
                assert!(!answer.contains("connection: close"), "{answer}");
            }
        };
        tokio::task::spawn_blocking(client).await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn who_waits_for_leave_to_send_is_answered_at_once() {
        let refuse = || async { (StatusCode::INSUFFICIENT_STORAGE, "full") };
        let app = Router::new().route("/", put(refuse)).layer(from_fn(to_the_end));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await });
        let client = move || {
            let mut stream = TcpStream::connect(address).unwrap();
            let head =
                "PUT / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n";
            let answer = ask(&mut stream, head.as_bytes());
            assert!(answer.starts_with("HTTP/1.1 507"), "{answer}");
        };
        tokio::task::spawn_blocking(client).await.unwrap();
    }
}
