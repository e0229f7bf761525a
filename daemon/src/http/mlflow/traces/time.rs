//! Times as protobuf's JSON has them: texts.

use jiff::Timestamp;
use serde_json::Value;

use crate::http::mlflow::error::ApiError;
use crate::http::mlflow::message::{Fields, wrong_type};

/// The years 1 to 9999, which protobuf's times have, less a day at the end for jiff.
const FIRST_MS: i64 = -62_135_596_800_000;
const LAST_MS: i64 = 253_402_128_000_000;

/// A time in milliseconds since 1970, as `2026-11-25T20:12:26.544Z`. One that no calendar has
/// becomes the nearest that it has.
pub(super) fn timestamp(ms: i64) -> String {
    let time = Timestamp::from_millisecond(ms.clamp(FIRST_MS, LAST_MS));
    time.expect("within the calendar").to_string()
}

/// A duration in milliseconds, as `0.319s`.
pub(super) fn duration(ms: i64) -> String {
    let (sign, ms) = (if ms < 0 { "-" } else { "" }, ms.unsigned_abs());
    match ms % 1000 {
        0 => format!("{sign}{}s", ms / 1000),
        rest => format!("{sign}{}.{rest:03}s", ms / 1000),
    }
}

/// A field that is a time, in milliseconds since 1970.
pub(super) fn timestamp_field(fields: Fields<'_>, name: &str) -> Result<Option<i64>, ApiError> {
    let Some(text) = fields.text(name)? else { return Ok(None) };
    let parsed: Result<Timestamp, _> = text.parse();
    parsed.map(|time| Some(time.as_millisecond())).map_err(|_| wrong_type(name, &Value::from(text)))
}

/// A field that is a duration, in milliseconds.
pub(super) fn duration_field(fields: Fields<'_>, name: &str) -> Result<Option<i64>, ApiError> {
    let Some(text) = fields.text(name)? else { return Ok(None) };
    let seconds = text.strip_suffix('s').and_then(|seconds| seconds.parse::<f64>().ok());
    let ms = seconds.map(|seconds| (seconds * 1000.0).round()).filter(|ms| ms.abs() < 9e15);
    ms.map(|ms| Some(ms as i64)).ok_or_else(|| wrong_type(name, &Value::from(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_as_protobuf_writes_them() {
        assert_eq!(timestamp(1_795_637_546_544), "2026-11-25T20:12:26.544Z");
        assert_eq!(timestamp(0), "1970-01-01T00:00:00Z");
        assert!(timestamp(i64::MAX).starts_with("9999-"));
        assert_eq!(duration(319), "0.319s");
        assert_eq!(duration(-61_000), "-61s");
    }
}
