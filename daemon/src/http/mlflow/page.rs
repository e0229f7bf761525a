//! Page tokens: base64 of `{"offset": N}`, as MLflow's.

use data_encoding::BASE64;
use serde_json::Value;

use super::error::ApiError;
use super::python;

/// The token of the page that starts at `offset`.
pub(crate) fn token(offset: usize) -> String {
    BASE64.encode(format!("{{\"offset\": {offset}}}").as_bytes())
}

/// Where the page of a token starts; without one, at the start.
pub(crate) fn offset(token: Option<&str>) -> Result<usize, ApiError> {
    let Some(token) = token.filter(|token| !token.is_empty()) else { return Ok(0) };
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
    offset.ok_or_else(|| refuse(&format!("parsed value={}", python::json(&value))))
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
        for (wrong, reason) in [
            ("zzz", "Invalid page token, could not base64-decode"),
            ("e30=", "Invalid page token, parsed value={}"),
            ("eHg=", "Invalid page token, decoded value=b'xx'"),
        ] {
            assert_eq!(offset(Some(wrong)).expect_err(wrong).message, reason);
        }
    }
}
