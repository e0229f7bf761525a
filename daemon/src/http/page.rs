//! The web page: the files of `daemon/web`, which are part of the binary.
//!
//! Invariants: nothing of a workspace is in these files, so they are open to whoever may connect,
//! and what the page shows it asks the native API for; no file may run, load or send anything that
//! this daemon does not serve, which the Content-Security-Policy has the browser enforce.
//!
//! Debug builds read the files from the disk at each request, so that a change shows at once.

mod imports;

use std::fmt::Write as _;
use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::extract::{Path, Request};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, REFERRER_POLICY,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use data_encoding::BASE64;
use rust_embed::{EmbeddedFile, RustEmbed};
use sha2::{Digest, Sha256};

use self::imports::{ImportMap, needed, text_of};
use super::mlflow;
use crate::app::App;

#[derive(RustEmbed)]
#[folder = "web"]
#[include = "*.html"]
#[include = "*.svg"]
#[include = "app/**/*.js"]
#[include = "style/*.css"]
#[include = "vendor/*.js"]
#[include = "vendor/hyparquet/*.js"]
#[include = "vendor/*.css"]
struct Files;

/// Where the files are, below the root. The page itself is the root.
const FILES: &str = "/ui/{*path}";
/// The document in which a file that is itself a page is shown.
const FRAME: &str = "frame.html";
/// The line of the page where the modules are named, so that the browser asks for all at once and
/// not for each after the one that needs it.
const MODULES: &str = "<!-- modules -->";
/// What the page starts with: what asks ahead for the first view, and the page itself.
const START: [&str; 2] = ["/ui/app/ahead.js", "/ui/app/main.js"];

/// What a page of ours may do. The import map is the one script that stands in the page, so it is
/// allowed by its hash; `require-trusted-types-for` makes the browser refuse to read any text as
/// HTML, whoever asks.
const POLICY: &str = "default-src 'none'; script-src 'self' {import map}; style-src 'self'; \
                      img-src 'self' blob: data:; connect-src 'self'; frame-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
                      require-trusted-types-for 'script'; trusted-types 'none'";

/// What the frame may do: run what a user's page brings along, in an origin of its own, without
/// reaching anything.
const FRAME_POLICY: &str = "sandbox allow-scripts; default-src 'none'; \
                            script-src 'unsafe-inline' 'unsafe-eval' blob: data:; \
                            style-src 'unsafe-inline' data:; img-src blob: data:; \
                            font-src data:; media-src blob: data:; worker-src blob:; \
                            form-action 'none'; frame-ancestors 'self'";

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/", get(page)).route(FILES, get(file)).layer(from_fn(no_referrer))
}

/// A link from a note must not tell the other side which run it was on.
async fn no_referrer(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    response.headers_mut().insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

async fn page() -> Response {
    static PAGE: LazyLock<Option<String>> = LazyLock::new(with_modules);
    let html = if cfg!(debug_assertions) { with_modules() } else { PAGE.clone() };
    let Some(html) = html else { return mlflow::not_found().await };
    let policy = POLICY.replace("{import map}", &hashes_of_scripts(&html));
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CACHE_CONTROL, "no-cache"),
        (CONTENT_SECURITY_POLICY, &policy),
    ];
    (headers, html).into_response()
}

/// The page, with the names of the modules that it starts with.
fn with_modules() -> Option<String> {
    let html = text("index.html")?;
    let preloads = preloads(&html);
    Some(html.replace(MODULES, &preloads))
}

/// Tells the browser of every module that the page starts with.
fn preloads(html: &str) -> String {
    let Some(map) = ImportMap::of(html) else { return String::new() };
    let read = |address: &str| text(address.strip_prefix("/ui/")?);
    needed(&map, &START, read).iter().fold(String::new(), |mut lines, address| {
        // Writing to a text cannot fail.
        let _ = writeln!(lines, "<link rel=\"modulepreload\" href=\"{address}\">");
        lines
    })
}

/// The text of a file.
fn text(path: &str) -> Option<String> {
    String::from_utf8(Files::get(path)?.data.into_owned()).ok()
}

/// The hash of the text of the import map, as a policy names it.
fn hashes_of_scripts(html: &str) -> String {
    let hash = |text: &str| BASE64.encode(&Sha256::digest(text.as_bytes()));
    text_of(html).map_or_else(|| "'none'".to_owned(), |text| format!("'sha256-{}'", hash(text)))
}

async fn file(Path(path): Path<String>, headers: HeaderMap) -> Response {
    match Files::get(&path) {
        Some(file) if path != "index.html" => answer(&path, file, &headers),
        _ => mlflow::not_found().await,
    }
}

fn answer(path: &str, file: EmbeddedFile, asked: &HeaderMap) -> Response {
    let tag = format!("\"{}\"", data_encoding::HEXLOWER.encode(&file.metadata.sha256_hash()));
    // Asked again at each load, which on loopback costs nothing, and never old after an upgrade.
    let cached = [(CACHE_CONTROL, "no-cache"), (ETAG, &tag)];
    if asked.get(IF_NONE_MATCH).is_some_and(|held| held.as_bytes() == tag.as_bytes()) {
        return (StatusCode::NOT_MODIFIED, cached).into_response();
    }
    let policy = if path == FRAME { FRAME_POLICY } else { "default-src 'none'" };
    let headers: [(HeaderName, &str); 2] =
        [(CONTENT_TYPE, content_type(path)), (CONTENT_SECURITY_POLICY, policy)];
    (cached, headers, file.data.into_owned()).into_response()
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map(|(_, ending)| ending) {
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("html") => "text/html; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[derive(serde::Deserialize)]
    struct Vendored {
        file: String,
        licence: String,
        sha256: String,
    }

    /// What others wrote is what they published, and nothing else is among it.
    #[test]
    fn every_vendored_file_is_the_one_that_was_looked_at() {
        let list = concat!(env!("CARGO_MANIFEST_DIR"), "/web/vendor/vendor.json");
        let list = std::fs::read_to_string(list).expect("the list of vendored files");
        let list: Vec<Vendored> = serde_json::from_str(&list).expect("a list");
        let mut listed = BTreeSet::new();
        for vendored in list {
            let path = format!("vendor/{}", vendored.file);
            let file = Files::get(&path).unwrap_or_else(|| panic!("{path} is missing"));
            let hash = data_encoding::HEXLOWER.encode(&Sha256::digest(&file.data));
            assert_eq!(hash, vendored.sha256, "{path} was changed");
            assert!(!vendored.licence.is_empty(), "{path} has no licence");
            listed.insert(path);
        }
        let there: BTreeSet<String> = Files::iter()
            .map(|path| path.into_owned())
            .filter(|path| path.starts_with("vendor/"))
            .collect();
        assert_eq!(there, listed);
    }

    #[test]
    fn the_page_names_the_modules_it_starts_with_and_allows_one_script() {
        let html = text("index.html").expect("the page");
        assert!(html.contains(MODULES), "the modules are named at `{MODULES}`");
        let (in_page, all) = (START.map(|one| html.matches(one).count()), html.matches("<script"));
        assert_eq!((in_page, all.count()), ([1, 1], 3), "the import map, and what it starts with");
        assert!(hashes_of_scripts(&html).starts_with("'sha256-"));
        let preloads = preloads(&html);
        let first = preloads.find("/app/columns.js").expect("what the first rows are asked with");
        assert!(preloads.find("/vendor/preact.js").is_some_and(|at| first < at), "{preloads}");
        for seldom in ["hyparquet", "uplot", "marked", "pages/run.js"] {
            assert!(!preloads.contains(seldom), "the first view does without {seldom}");
        }
    }

    /// The whole page, as a browser loads it once, in bytes: under 2 MB by issue 5.
    #[test]
    fn the_page_stays_light() {
        let files = Files::iter().filter_map(|path| Files::get(&path));
        let bytes: usize = files.map(|file| file.data.len()).sum();
        assert!(bytes < 1_000_000, "{bytes} bytes");
    }
}
