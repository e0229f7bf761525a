//! Sending an artifact's bytes: whole, or a range of them; always as an attachment.

use std::io::{self, SeekFrom};
use std::ops::Range;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use runmesh_core::rows::ArtifactRow;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;

use super::error::{ApiError, ErrorCode};
use crate::app::App;
use crate::blobs::{BlobError, NotFetched};

/// How much is read from the disk at a time.
const CHUNK_BYTES: usize = 256 << 10;

/// Why bytes could not be sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotSent {
    #[error(transparent)]
    Fetch(#[from] NotFetched),
    #[error("the artifact's file cannot be read")]
    Read(#[source] io::Error),
}

impl From<NotSent> for ApiError {
    fn from(error: NotSent) -> Self {
        match error {
            NotSent::Fetch(error) => error.into(),
            NotSent::Read(error) => Self::new(ErrorCode::InternalError, error.to_string()),
        }
    }
}

/// Sends the artifact, or what of it the headers ask for.
pub(crate) async fn send(
    app: &App,
    row: &ArtifactRow,
    headers: &HeaderMap,
) -> Result<Response, NotSent> {
    let etag = format!("\"{}\"", row.blob);
    let mut response = if is_known(headers, &etag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let range = if may_be_partial(headers, &etag) { headers.get(header::RANGE) } else { None };
        match range.map_or(Requested::Whole, |range| requested(range, row.size)) {
            Requested::Nothing => {
                let total = format!("bytes */{}", row.size);
                let status = StatusCode::RANGE_NOT_SATISFIABLE;
                return Ok((status, [(header::CONTENT_RANGE, total)]).into_response());
            }
            Requested::Whole => body(app, row, 0..row.size).await?,
            Requested::Part(range) => {
                let part = format!("bytes {}-{}/{}", range.start, range.end - 1, row.size);
                let body = body(app, row, range).await?;
                (StatusCode::PARTIAL_CONTENT, [(header::CONTENT_RANGE, part)], body).into_response()
            }
        }
    };
    let name = row.path.rsplit('/').next().unwrap_or_default();
    // Never shown in place: an uploaded page must not run scripts on this origin.
    let fixed: [(HeaderName, &str); 5] = [
        (header::CONTENT_TYPE, content_type(name)),
        (header::CONTENT_DISPOSITION, &attachment(name)),
        (header::ACCEPT_RANGES, "bytes"),
        (header::ETAG, &etag),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    for (name, value) in fixed {
        let value = HeaderValue::from_str(value).expect("the values are printable ASCII");
        response.headers_mut().insert(name, value);
    }
    Ok(response)
}

async fn body(app: &App, row: &ArtifactRow, range: Range<u64>) -> Result<Response, NotSent> {
    let length = range.end - range.start;
    let mut file = app.open_blob(row).await?;
    if range.start > 0 {
        file.seek(SeekFrom::Start(range.start)).await.map_err(NotSent::Read)?;
    }
    let stream = ReaderStream::with_capacity(file.take(length), CHUNK_BYTES);
    let length = [(header::CONTENT_LENGTH, HeaderValue::from(length))];
    Ok((length, Body::from_stream(stream)).into_response())
}

/// Whether the client has these very bytes already.
fn is_known(headers: &HeaderMap, etag: &str) -> bool {
    let Some(tags) = headers.get(header::IF_NONE_MATCH) else { return false };
    let tags = tags.to_str().unwrap_or_default().split(',');
    tags.map(str::trim).any(|tag| tag == "*" || tag.trim_start_matches("W/") == etag)
}

/// Whether a range may be answered: not if the client has the start of another file.
fn may_be_partial(headers: &HeaderMap, etag: &str) -> bool {
    headers.get(header::IF_RANGE).is_none_or(|tag| tag == etag)
}

#[derive(Debug, PartialEq, Eq)]
enum Requested {
    Whole,
    Part(Range<u64>),
    Nothing,
}

/// What a Range header asks for. Several ranges at once, and what makes no sense, get the whole.
fn requested(range: &HeaderValue, size: u64) -> Requested {
    let range = range.to_str().ok().and_then(|range| range.trim().strip_prefix("bytes="));
    let Some((first, last)) = range.and_then(|range| range.split_once('-')) else {
        return Requested::Whole;
    };
    let (first, last) = (first.trim(), last.trim());
    let part = match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) if first > last => return Requested::Whole,
        (Ok(first), Ok(last)) => first..last.saturating_add(1).min(size),
        (Ok(first), Err(_)) if last.is_empty() => first..size,
        (Err(_), Ok(tail)) if first.is_empty() => size.saturating_sub(tail)..size,
        _ => return Requested::Whole,
    };
    if part.start < part.end { Requested::Part(part) } else { Requested::Nothing }
}

/// The type by the name's ending; what is text to people is text to a browser. Without a charset, as
/// MLflow says it: there are clients that compare the type.
fn content_type(name: &str) -> &'static str {
    const TEXTS: [&str; 27] = [
        "txt",
        "log",
        "err",
        "cfg",
        "conf",
        "cnf",
        "cf",
        "ini",
        "properties",
        "prop",
        "hocon",
        "toml",
        "yaml",
        "yml",
        "xml",
        "json",
        "js",
        "py",
        "py3",
        "csv",
        "tsv",
        "md",
        "rst",
        "ipynb",
        "MLmodel",
        "MLproject",
        "mlproject",
    ];
    let ending = name.rsplit('.').next().unwrap_or_default();
    if TEXTS.contains(&ending) {
        return "text/plain";
    }
    mime_guess::from_path(name).first_raw().unwrap_or("application/octet-stream")
}

/// A Content-Disposition by RFC 6266: any name, in ASCII.
fn attachment(name: &str) -> String {
    const ATTR_CHARS: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'!')
        .remove(b'#')
        .remove(b'$')
        .remove(b'&')
        .remove(b'+')
        .remove(b'-')
        .remove(b'.')
        .remove(b'^')
        .remove(b'_')
        .remove(b'`')
        .remove(b'|')
        .remove(b'~');
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~".contains(&byte);
    if !name.is_empty() && name.bytes().all(is_token) {
        return format!("attachment; filename={name}");
    }
    let encoded = utf8_percent_encode(name, ATTR_CHARS);
    let plain: String = name.chars().filter(|char| matches!(char, ' '..='~')).collect();
    let plain = plain.replace('\\', "\\\\").replace('"', "\\\"");
    let plain = if plain.is_empty() { "download" } else { plain.as_str() };
    format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}")
}

impl From<NotFetched> for ApiError {
    fn from(error: NotFetched) -> Self {
        match error {
            NotFetched::Store(error) => Self::from_blob_error(&error),
            NotFetched::Grant(error) => error.into(),
            // Clients would ask again for minutes if this said that it may come; it may in days.
            NotFetched::Nobody { .. } | NotFetched::GivenUp { .. } => {
                Self::with_causes(ErrorCode::ResourceDoesNotExist, &error)
            }
        }
    }
}

impl From<BlobError> for ApiError {
    fn from(error: BlobError) -> Self {
        Self::from_blob_error(&error)
    }
}

impl ApiError {
    fn from_blob_error(error: &BlobError) -> Self {
        let code = match error {
            BlobError::DiskFull { .. } => ErrorCode::StorageFull,
            BlobError::UploadBroken { .. } => ErrorCode::InvalidParameterValue,
            BlobError::TooLarge { .. } => ErrorCode::BodyTooLarge,
            BlobError::Busy { .. } => ErrorCode::TemporarilyUnavailable,
            BlobError::Io { .. } | BlobError::Ledger(_) => ErrorCode::InternalError,
        };
        Self::with_causes(code, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_http_has_them() {
        let range = |text: &str| requested(&HeaderValue::from_str(text).expect("ASCII"), 10);
        assert_eq!(range("bytes=1-2"), Requested::Part(1..3));
        assert_eq!(range("bytes=7-"), Requested::Part(7..10));
        assert_eq!(range("bytes=-3"), Requested::Part(7..10));
        assert_eq!(range("bytes=-99"), Requested::Part(0..10));
        assert_eq!(range("bytes=5-99999999999999999999"), Requested::Whole);
        assert_eq!(range("bytes=5-18446744073709551615"), Requested::Part(5..10));
        for nothing in ["bytes=10-", "bytes=10-12", "bytes=-0"] {
            assert_eq!(range(nothing), Requested::Nothing, "{nothing}");
        }
        for whole in ["bytes=", "bytes=-", "bytes=a-b", "items=1-2", "bytes=3-1", "bytes=0-1,4-5"] {
            assert_eq!(range(whole), Requested::Whole, "{whole}");
        }
    }

    #[test]
    fn a_file_is_named_whatever_its_letters() {
        assert_eq!(attachment("a.txt"), "attachment; filename=a.txt");
        assert_eq!(attachment("a \"b\".txt"), {
            "attachment; filename=\"a \\\"b\\\".txt\"; filename*=UTF-8''a%20%22b%22.txt"
        });
        assert_eq!(attachment("a\r\n"), "attachment; filename=\"a\"; filename*=UTF-8''a%0D%0A");
        assert_eq!(attachment("日本"), {
            "attachment; filename=\"download\"; filename*=UTF-8''%E6%97%A5%E6%9C%AC"
        });
    }

    #[test]
    fn what_people_read_is_plain_text() {
        for name in ["a.json", "MLmodel", "MLproject", "mlproject"] {
            assert_eq!(content_type(name), "text/plain", "{name}");
        }
        assert_eq!(content_type("plot.png"), "image/png");
        assert_eq!(content_type("page.html"), "text/html");
        assert_eq!(content_type("weights.unknown"), "application/octet-stream");
    }
}
