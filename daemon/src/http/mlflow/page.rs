//! Page tokens: base64 of `{"offset": N}`, as MLflow's, and where a page starts after a row, that row's
//! sort key and a digest of the search: `{"offset": N, "after": HEX, "of": HEX}`. A sort key means
//! nothing to another search, so a token of one is refused.

use data_encoding::{BASE64, HEXLOWER};
use runmesh_core::search::PageStart;
use serde_json::Value;

use super::error::ApiError;
use super::message::Fields;
use super::python;

/// A sort key that is longer than this stays out of the token, which travels in a URL.
const MAX_KEY_BYTES: usize = 2048;
/// Enough to tell the searches of one client from each other.
const DIGEST_BYTES: usize = 8;
/// What of a search may change from page to page.
const MAY_CHANGE: [&str; 4] = ["page_token", "pageToken", "max_results", "maxResults"];

/// The token of the page that starts at `offset`.
pub(crate) fn token(offset: usize) -> String {
    BASE64.encode(format!("{{\"offset\": {offset}}}").as_bytes())
}

/// Where the page of a token starts; without one, at the start.
pub(crate) fn offset(token: Option<&str>) -> Result<usize, ApiError> {
    Ok(Token::read(token)?.offset)
}

/// The page that a search asks for.
pub(crate) struct Asked {
    /// Where it starts.
    pub(crate) start: PageStart,
    /// How many rows were on the pages before.
    pub(crate) offset: usize,
    digest: String,
}

impl Asked {
    /// Reads it from a request to search `what`.
    pub(crate) fn read(what: &str, fields: Fields<'_>) -> Result<Self, ApiError> {
        let digest = digest(what, fields);
        let Token { offset, after } = Token::read(fields.text("page_token")?)?;
        let start = match after {
            None => PageStart::Offset(offset),
            Some((key, of)) if of == digest => PageStart::After(key),
            Some(_) => return Err(refuse("it is of another search")),
        };
        Ok(Self { start, offset, digest })
    }

    /// The token of the page after this one, which had so many rows and ended in one with this key.
    pub(crate) fn next(&self, rows: usize, key: &[u8]) -> String {
        let offset = self.offset + rows;
        if key.len() > MAX_KEY_BYTES {
            return token(offset);
        }
        let (key, of) = (HEXLOWER.encode(key), &self.digest);
        let json = format!("{{\"offset\": {offset}, \"after\": \"{key}\", \"of\": \"{of}\"}}");
        BASE64.encode(json.as_bytes())
    }
}

/// Tells searches apart.
fn digest(what: &str, fields: Fields<'_>) -> String {
    let text = format!("{what} {}", fields.without(&MAY_CHANGE));
    HEXLOWER.encode(&blake3::hash(text.as_bytes()).as_bytes()[..DIGEST_BYTES])
}

struct Token {
    offset: usize,
    /// The sort key that the page starts after, and the digest of the search that it is of.
    after: Option<(Vec<u8>, String)>,
}

impl Token {
    fn read(token: Option<&str>) -> Result<Self, ApiError> {
        let Some(token) = token.filter(|token| !token.is_empty()) else {
            return Ok(Self { offset: 0, after: None });
        };
        let bytes = BASE64.decode(token.as_bytes());
        let bytes = bytes.map_err(|_| refuse("could not base64-decode"))?;
        let value: Value = serde_json::from_slice(&bytes).map_err(|_| {
            let text = python::repr(&String::from_utf8_lossy(&bytes));
            refuse(&format!("decoded value=b{text}"))
        })?;
        let refused = || refuse(&format!("parsed value={}", python::json(&value)));
        let offset = match value.get("offset") {
            Some(Value::String(text)) => text.parse().ok(),
            Some(offset) => offset.as_u64(),
            None => None,
        };
        let offset = offset.and_then(|offset| usize::try_from(offset).ok()).filter(|at| *at > 0);
        let offset = offset.ok_or_else(refused)?;
        let Some(after) = value.get("after") else { return Ok(Self { offset, after: None }) };
        let key = after.as_str().and_then(|hex| HEXLOWER.decode(hex.as_bytes()).ok());
        let of = value.get("of").and_then(Value::as_str).unwrap_or_default();
        Ok(Self { offset, after: Some((key.ok_or_else(refused)?, of.to_owned())) })
    }
}

fn refuse(reason: &str) -> ApiError {
    ApiError::invalid(format!("Invalid page token, {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::mlflow::message::Message;

    #[test]
    fn tokens_are_those_of_mlflow() {
        assert_eq!(token(2), "eyJvZmZzZXQiOiAyfQ==");
        assert_eq!(offset(Some("eyJvZmZzZXQiOiAyfQ==")), Ok(2));
        assert_eq!(offset(None), Ok(0));
        for (wrong, reason) in [
            ("zzz", "Invalid page token, could not base64-decode"),
            ("e30=", "Invalid page token, parsed value={}"),
            ("eHg=", "Invalid page token, decoded value=b'xx'"),
            ("eyJvZmZzZXQiOjIsImFmdGVyIjo3fQ==", {
                r#"Invalid page token, parsed value={"after":7,"offset":2}"#
            }),
        ] {
            assert_eq!(offset(Some(wrong)).expect_err(wrong).message, reason);
        }
    }

    #[test]
    fn a_place_is_of_one_search() {
        let asked = |what, query: &str| Asked::read(what, Message::from_query(query).fields());
        let first = asked("runs", "filter=a").expect("no token");
        let token = first.next(2, b"key");
        let page = |what, query: &str| asked(what, &format!("{query}&page_token={token}"));
        let second = page("runs", "max_results=7&filter=a").expect("the same search");
        assert_eq!((second.offset, second.start), (2, PageStart::After(b"key".to_vec())));
        for (what, query) in [("runs", "filter=b"), ("runs", ""), ("experiments", "filter=a")] {
            let refused = page(what, query).err().expect("another search");
            assert_eq!(refused.message, "Invalid page token, it is of another search");
        }
        // A place that would be too long for a URL is an offset, as MLflow's all are.
        assert_eq!(first.next(2, &[7; 4096]), "eyJvZmZzZXQiOiAyfQ==");
        let offset = asked("runs", "filter=b&page_token=eyJvZmZzZXQiOiAyfQ==").expect("an offset");
        assert_eq!(offset.start, PageStart::Offset(2));
    }
}
