//! Page tokens: base64 of `{"offset": N}`, as MLflow's, with the sort key that the page starts after
//! where there is one: `{"offset": N, "after": HEX}`.

use data_encoding::{BASE64, HEXLOWER};
use runmesh_core::search::PageStart;
use serde_json::Value;

use super::error::ApiError;
use super::python;

/// A sort key that is longer than this stays out of the token, which travels in a URL.
const MAX_KEY_BYTES: usize = 2048;

/// The token of the page that starts at `offset`.
pub(crate) fn token(offset: usize) -> String {
    BASE64.encode(format!("{{\"offset\": {offset}}}").as_bytes())
}

/// The token of the page that starts at `offset`, after a row with this sort key.
pub(crate) fn token_after(offset: usize, key: &[u8]) -> String {
    if key.len() > MAX_KEY_BYTES {
        return token(offset);
    }
    let key = HEXLOWER.encode(key);
    BASE64.encode(format!("{{\"offset\": {offset}, \"after\": \"{key}\"}}").as_bytes())
}

/// Where the page of a token starts; without one, at the start.
pub(crate) fn offset(token: Option<&str>) -> Result<usize, ApiError> {
    Ok(read(token)?.0)
}

/// Where the page of a token starts: how many rows were on pages before it, and after what.
pub(crate) fn start(token: Option<&str>) -> Result<(usize, PageStart), ApiError> {
    let (offset, after) = read(token)?;
    Ok((offset, after.map_or(PageStart::Offset(offset), PageStart::After)))
}

fn read(token: Option<&str>) -> Result<(usize, Option<Vec<u8>>), ApiError> {
    let Some(token) = token.filter(|token| !token.is_empty()) else { return Ok((0, None)) };
    let bytes = BASE64.decode(token.as_bytes());
    let bytes = bytes.map_err(|_| refuse("could not base64-decode"))?;
    let value: Value = serde_json::from_slice(&bytes).map_err(|_| {
        let text = python::repr(&String::from_utf8_lossy(&bytes));
        refuse(&format!("decoded value=b{text}"))
    })?;
    let offset = match value.get("offset") {
        Some(Value::String(text)) => text.parse().ok(),
        Some(offset) => offset.as_u64(),
        None => None,
    };
    let offset = offset.and_then(|offset| usize::try_from(offset).ok()).filter(|at| *at > 0);
    let refused = || refuse(&format!("parsed value={}", python::json(&value)));
    let after = match value.get("after").map(|key| key.as_str().map(str::as_bytes)) {
        None => None,
        Some(hex) => {
            let key = hex.and_then(|hex| HEXLOWER.decode(hex).ok());
            Some(key.ok_or_else(refused)?)
        }
    };
    Ok((offset.ok_or_else(refused)?, after))
}

fn refuse(reason: &str) -> ApiError {
    ApiError::invalid(format!("Invalid page token, {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_those_of_mlflow() {
        assert_eq!(token(2), "eyJvZmZzZXQiOiAyfQ==");
        assert_eq!(offset(Some("eyJvZmZzZXQiOiAyfQ==")), Ok(2));
        assert_eq!(offset(None), Ok(0));
        let token = token_after(2, b"key");
        assert_eq!(offset(Some(&token)), Ok(2));
        assert_eq!(start(Some(&token)), Ok((2, PageStart::After(b"key".to_vec()))));
        assert_eq!(start(Some("eyJvZmZzZXQiOiAyfQ==")), Ok((2, PageStart::Offset(2))));
        assert_eq!(token_after(2, &[7; 4096]), "eyJvZmZzZXQiOiAyfQ==");
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
}
