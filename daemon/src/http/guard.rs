//! Who may ask: the checks that come before any protocol.
//!
//! A daemon on loopback is reachable by every web page its user opens. What keeps those out:
//! a page cannot choose its own Host, so a name that is not ours is a page that was rebound to our
//! address; and it cannot hide its Origin, so nothing is written for one that is not ours.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::mlflow;
use crate::device::Device;

/// Monitors ask these by whatever name they like; they tell nothing.
const OPEN_PATHS: [&str; 2] = ["/health", "/version"];

/// Lets a request through if it comes to a name of ours and, if it writes, from a page of ours.
pub(super) async fn check_origin(
    State(device): State<Arc<Device>>,
    request: Request,
    next: Next,
) -> Response {
    let refusal = if OPEN_PATHS.contains(&request.uri().path()) {
        None
    } else {
        refusal(request.method(), request.headers(), &device.config.allowed_hosts)
    };
    let mut response = match refusal {
        Some(text) => (StatusCode::FORBIDDEN, text).into_response(),
        None if request.method() == Method::OPTIONS => StatusCode::NO_CONTENT.into_response(),
        None => next.run(request).await,
    };
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("SAMEORIGIN"));
    response
}

fn refusal(method: &Method, headers: &HeaderMap, allowed: &[String]) -> Option<&'static str> {
    let text = |name| headers.get(name).map(|value: &HeaderValue| value.to_str().unwrap_or("?"));
    let host = text(header::HOST).unwrap_or_default();
    if !is_ours(host, allowed) {
        return Some("Invalid Host header - possible DNS rebinding attack detected");
    }
    let reads = [Method::GET, Method::HEAD, Method::OPTIONS].contains(method);
    let origin = text(header::ORIGIN).filter(|_| !reads)?;
    let page = origin.parse::<Uri>().ok();
    let page = page.as_ref().and_then(Uri::authority);
    let is_our_page = page.is_some_and(|page| page == host || is_loopback(page.host()));
    (!is_our_page).then_some("Cross-origin request blocked")
}

/// Whether an authority names us. An address is not a name, so nobody can have rebound it.
fn is_ours(authority: &str, allowed: &[String]) -> bool {
    let Ok(authority) = authority.parse::<axum::http::uri::Authority>() else { return false };
    let host = authority.host();
    address(host).is_some()
        || host.eq_ignore_ascii_case("localhost")
        || allowed.iter().any(|name| host.eq_ignore_ascii_case(name))
}

fn address(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || address(host).is_some_and(|ip| ip.is_loopback())
}

/// Lets a client of an ML protocol through if it has the token, where one is needed: as a bearer,
/// or as the password of any user.
pub(super) async fn check_token(
    State(device): State<Arc<Device>>,
    request: Request,
    next: Next,
) -> Response {
    let open = OPEN_PATHS.contains(&request.uri().path());
    let demanded = device.config.clients_need_token();
    if open || !demanded || has_token(request.headers(), device.home.token()) {
        return next.run(request).await;
    }
    let message = "This server needs its token: set MLFLOW_TRACKING_TOKEN to what `runmesh token` \
                   prints.";
    let error = mlflow::Error::new(mlflow::ErrorCode::Unauthenticated, message);
    let challenge = HeaderValue::from_static("Basic realm=\"runmesh\"");
    ([(header::WWW_AUTHENTICATE, challenge)], error).into_response()
}

/// Whether the headers carry the token.
pub(crate) fn has_token(headers: &HeaderMap, token: &str) -> bool {
    let Some(header) = headers.get(header::AUTHORIZATION) else { return false };
    let Some((scheme, credentials)) = header.to_str().ok().and_then(|text| text.split_once(' '))
    else {
        return false;
    };
    let credentials = credentials.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return is_same(credentials.as_bytes(), token);
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return false;
    }
    let decoded = data_encoding::BASE64.decode(credentials.as_bytes()).unwrap_or_default();
    let colon = decoded.iter().position(|byte| *byte == b':');
    colon.is_some_and(|colon| is_same(&decoded[colon + 1..], token))
}

/// Compares without telling by its time how much was right.
fn is_same(given: &[u8], token: &str) -> bool {
    blake3::hash(given) == blake3::hash(token.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(header::HeaderName, &str)]) -> HeaderMap {
        let value = |text: &str| HeaderValue::from_str(text).expect("ASCII");
        pairs.iter().map(|(name, text)| (name.clone(), value(text))).collect()
    }

    #[test]
    fn names_that_are_not_ours_are_refused() {
        let allowed = ["lab.local".to_owned()];
        for host in ["localhost:4747", "127.0.0.1", "[::1]:4747", "LAB.local:80", "192.168.1.5:1"] {
            assert!(is_ours(host, &allowed), "{host}");
        }
        for host in ["", "evil.com", "localhost.evil.com", "127.0.0.1.evil.com", "x@y z", "?"] {
            assert!(!is_ours(host, &allowed), "{host}");
        }
    }

    #[test]
    fn a_foreign_page_may_not_write() {
        let ask = |method: Method, origin: &str| {
            let headers = headers(&[(header::HOST, "lab.local:80"), (header::ORIGIN, origin)]);
            refusal(&method, &headers, &["lab.local".to_owned()])
        };
        for origin in ["http://evil.com", "null", "file://", "http://lab.local.evil.com:80"] {
            assert_eq!(ask(Method::POST, origin), Some("Cross-origin request blocked"), "{origin}");
            assert_eq!(ask(Method::GET, origin), None, "{origin}");
        }
        for origin in ["http://lab.local:80", "http://localhost:3000", "http://127.0.0.1"] {
            assert_eq!(ask(Method::POST, origin), None, "{origin}");
        }
    }

    #[test]
    fn the_token_is_a_bearer_or_a_password() {
        let basic = |pair: &str| format!("Basic {}", data_encoding::BASE64.encode(pair.as_bytes()));
        for right in ["Bearer secret".to_owned(), "bearer  secret".to_owned(), basic("me:secret")] {
            assert!(has_token(&headers(&[(header::AUTHORIZATION, &right)]), "secret"), "{right}");
        }
        let wrong = ["Bearer secre", "Bearer", "secret", "Basic secret", "Digest secret"];
        let wrong = wrong.map(str::to_owned).into_iter().chain([basic("secret"), basic("secret:")]);
        for wrong in wrong {
            assert!(!has_token(&headers(&[(header::AUTHORIZATION, &wrong)]), "secret"), "{wrong}");
        }
        assert!(!has_token(&HeaderMap::new(), "secret"));
    }
}
