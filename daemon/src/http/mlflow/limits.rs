//! What MLflow lets clients name things, and how long texts may be (mlflow/utils/validation.py).
//!
//! Values that are too long are cut where MLflow cuts them, and refused where it refuses them.
//! Lengths are counted in characters, as Python counts them.

use serde_json::Value;

use super::error::ApiError;
use super::message::{invalid_value, missing};
use super::python;

pub(crate) const MAX_METRICS_PER_BATCH: usize = 1000;
pub(crate) const MAX_PARAMS_PER_BATCH: usize = 100;
pub(crate) const MAX_TAGS_PER_BATCH: usize = 100;
pub(crate) const MAX_ENTITIES_PER_BATCH: usize = 1000;
pub(crate) const MAX_KEY_CHARS: usize = 250;
pub(crate) const MAX_PARAM_VALUE_CHARS: usize = 6000;
pub(crate) const MAX_TAG_VALUE_CHARS: usize = 8000;
pub(crate) const MAX_EXPERIMENT_NAME_CHARS: usize = 500;
pub(crate) const MAX_EXPERIMENT_TAG_VALUE_CHARS: usize = 20_000;
pub(crate) const MAX_ARTIFACT_LOCATION_CHARS: usize = 2048;
pub(crate) const MAX_DATASET_NAME_CHARS: usize = 500;
pub(crate) const MAX_DATASET_DIGEST_CHARS: usize = 36;
pub(crate) const MAX_DATASET_SCHEMA_CHARS: usize = 1_048_575;
pub(crate) const MAX_DATASET_SOURCE_CHARS: usize = 65_535;
pub(crate) const MAX_DATASET_PROFILE_CHARS: usize = 16_777_215;
pub(crate) const MAX_INPUT_TAG_KEY_CHARS: usize = 255;
pub(crate) const MAX_INPUT_TAG_VALUE_CHARS: usize = 500;
/// MLflow's own columns of logged models hold this many; its API does not say so.
pub(crate) const MAX_LOGGED_MODEL_NAME_CHARS: usize = 500;
pub(crate) const MAX_MODEL_TYPE_CHARS: usize = 500;
pub(crate) const MAX_SOURCE_RUN_CHARS: usize = 256;
pub(crate) const MAX_LOGGED_MODEL_KEY_CHARS: usize = 255;
pub(crate) const MAX_SCORER_NAME_CHARS: usize = 256;
/// What MySQL's TEXT holds, in which MLflow keeps these.
pub(crate) const MAX_LOGGED_MODEL_VALUE_CHARS: usize = 65_535;
/// MLflow's own columns hold this many; its API does not say so.
pub(crate) const MAX_USER_CHARS: usize = 256;

/// Whether `text` has more characters than `limit`, counting only where it must.
fn is_longer(text: &str, limit: usize) -> bool {
    text.len() > limit && text.chars().nth(limit).is_some()
}

/// Refuses a text that is too long.
pub(crate) fn check_length(what: &str, limit: usize, text: &str) -> Result<(), ApiError> {
    if is_longer(text, limit) {
        let message = format!("'{what}' exceeds the maximum length of {limit} characters");
        return Err(ApiError::invalid(message));
    }
    Ok(())
}

/// The text, or its head if it is too long.
pub(crate) fn cut(limit: usize, text: &str) -> &str {
    if text.len() <= limit {
        return text;
    }
    let end = text.char_indices().nth(limit).map_or(text.len(), |(at, _)| at);
    &text[..end]
}

/// Refuses a key that has characters other than letters, digits and `_ - . : /` or space, or that
/// is not its own normal form as a path. `what` names the key in the error.
pub(crate) fn check_key(what: impl FnOnce() -> String, key: &str) -> Result<(), ApiError> {
    if key.bytes().all(is_plain_key_byte) && is_normal_path(key) {
        return Ok(());
    }
    check_odd_key(&what(), key)
}

const fn is_plain_key_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b':' | b'/' | b' ')
}

fn check_odd_key(what: &str, key: &str) -> Result<(), ApiError> {
    let quoted = Value::from(key);
    let is_key_char = |char: char| char.is_alphanumeric() || "_-.:/ ".contains(char);
    if !key.chars().all(is_key_char) {
        let reason = "Names may only contain alphanumerics, underscores (_), dashes (-), periods \
                      (.), spaces ( ), colon(:) and slashes (/).";
        return Err(invalid_value(what, &quoted, reason));
    }
    if !is_normal_path(key) {
        let normal = python::repr(&python::normpath(key));
        let reason = format!(
            "Names may be treated as files in certain cases, and must not resolve to other names \
             when treated as such. This name would resolve to {normal}"
        );
        return Err(invalid_value(what, &quoted, &reason));
    }
    Ok(())
}

/// Whether the key is relative, equals its normal form and starts with no two dots.
fn is_normal_path(key: &str) -> bool {
    !key.starts_with("..") && key.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

/// Checks a metric as MLflow does, in its order.
pub(crate) fn check_metric(
    path: &dyn Fn(&str) -> String,
    key: &str,
    value: f64,
    timestamp_ms: i64,
) -> Result<(), ApiError> {
    check_key(|| path("name"), key)?;
    if timestamp_ms < 0 {
        let reason = format!(
            "metric '{key}' (value={value:?}). Timestamp must be a nonnegative long (64-bit \
             integer) "
        );
        return Err(invalid_value(&path("timestamp"), &Value::from(timestamp_ms), &reason));
    }
    check_length("Metric name", MAX_KEY_CHARS, key)
}

/// Checks a param's key; the answer is its value, cut to what is kept.
pub(crate) fn checked_param<'a>(
    path: &dyn Fn(&str) -> String,
    key: &str,
    value: &'a str,
) -> Result<&'a str, ApiError> {
    check_key(|| path("key"), key)?;
    check_length("Param key", MAX_KEY_CHARS, key)?;
    Ok(cut(MAX_PARAM_VALUE_CHARS, value))
}

/// Checks a run's tag's key; the answer is its value, cut to what is kept.
pub(crate) fn checked_tag<'a>(
    path: &dyn Fn(&str) -> String,
    key: &str,
    value: &'a str,
) -> Result<&'a str, ApiError> {
    check_key(|| path("key"), key)?;
    check_length(&path("key"), MAX_KEY_CHARS, key)?;
    Ok(cut(MAX_TAG_VALUE_CHARS, value))
}

/// Checks an experiment's tag. Here a long value is refused.
pub(crate) fn check_experiment_tag(key: &str, value: &str) -> Result<(), ApiError> {
    check_key(|| "key".to_owned(), key)?;
    check_length("key", MAX_KEY_CHARS, key)?;
    check_length("value", MAX_EXPERIMENT_TAG_VALUE_CHARS, value)
}

/// Checks an experiment's name.
pub(crate) fn check_experiment_name(name: &str) -> Result<(), ApiError> {
    if name.trim().is_empty() {
        return Err(ApiError::invalid(format!("Invalid experiment name: '{name}'")));
    }
    check_length("name", MAX_EXPERIMENT_NAME_CHARS, name)
}

/// Checks where clients shall put an experiment's artifacts.
pub(crate) fn check_artifact_location(location: &str) -> Result<(), ApiError> {
    let has_params = location.rsplit('/').next().is_some_and(|last| last.contains(';'));
    if location.contains('#') || (location.contains("://") && has_params) {
        let message = "'artifact_location' URL can't include fragments or params.";
        return Err(ApiError::invalid(message));
    }
    if location.split_once('?').is_some_and(|(_, query)| query.contains("..")) {
        return Err(ApiError::invalid("Invalid query string"));
    }
    if location.starts_with("runs:") {
        let message = format!("Artifact location cannot be a runs:/ URI. Given: '{location}'");
        return Err(ApiError::invalid(message));
    }
    if is_longer(location, MAX_ARTIFACT_LOCATION_CHARS) {
        return Err(ApiError::invalid(format!(
            "Invalid artifact path length. The length of the artifact path cannot be greater than \
             {MAX_ARTIFACT_LOCATION_CHARS} characters."
        )));
    }
    Ok(())
}

/// Refuses more elements in one request than MLflow takes.
pub(crate) fn check_batch(what: &str, limit: usize, count: usize) -> Result<(), ApiError> {
    if count > limit {
        return Err(ApiError::invalid(format!(
            "A batch logging request can contain at most {limit} {what}. Got {count} {what}. \
             Please split up {what} across multiple requests and try again."
        )));
    }
    Ok(())
}

/// Refuses a batch that is too large, and params given twice.
pub(crate) fn check_batch_sizes(
    metrics: usize,
    params: usize,
    tags: usize,
) -> Result<(), ApiError> {
    check_batch("metrics", MAX_METRICS_PER_BATCH, metrics)?;
    check_batch("params", MAX_PARAMS_PER_BATCH, params)?;
    check_batch("tags", MAX_TAGS_PER_BATCH, tags)?;
    check_batch("metrics, params, and tags", MAX_ENTITIES_PER_BATCH, metrics + params + tags)
}

/// Refuses a batch that gives a param twice, even with one value.
pub(crate) fn check_params_unique<'a>(keys: impl Iterator<Item = &'a str>) -> Result<(), ApiError> {
    let mut seen = std::collections::HashSet::new();
    let twice: Vec<String> = keys.filter(|key| !seen.insert(*key)).map(python::repr).collect();
    if twice.is_empty() {
        return Ok(());
    }
    Err(ApiError::invalid(format!(
        "Duplicate parameter keys have been submitted: [{}]. Please ensure the request contains \
         only one param value per param key.",
        twice.join(", ")
    )))
}

/// Refuses a run id of another form in the places where MLflow looks at the form.
pub(crate) fn check_run_id(id: &str) -> Result<(), ApiError> {
    let mut chars = id.chars();
    let head = chars.next().is_some_and(|char| char.is_ascii_alphanumeric());
    let tail = chars.all(|char| char.is_alphanumeric() || matches!(char, '_' | '-'));
    if head && tail && !is_longer(id, 256) {
        return Ok(());
    }
    let quoted = python::json(&Value::from(id));
    let message = format!("Invalid value {quoted} for parameter 'run_id' supplied.");
    Err(ApiError::invalid(message))
}

/// The field of a message in a list, as errors name it: `metrics[3].key`.
pub(crate) fn missing_in(list: &str, at: usize, field: &str) -> ApiError {
    missing(&format!("{list}[{at}].{field}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(field: &str) -> String {
        field.to_owned()
    }

    fn key_error(key: &str) -> String {
        check_key(|| "name".to_owned(), key).expect_err(key).message
    }

    #[test]
    fn keys_are_words_that_are_their_own_path() {
        for key in ["m", "a/b", "é", "x y:z-1.0_", "日本"] {
            check_key(|| "name".to_owned(), key).expect(key);
        }
        assert_eq!(key_error("a#b"), {
            "Invalid value \"a#b\" for parameter 'name' supplied: Names may only contain \
             alphanumerics, underscores (_), dashes (-), periods (.), spaces ( ), colon(:) and \
             slashes (/)."
        });
        for (key, normal) in [("../x", "../x"), ("a//b", "a/b"), ("/a", "/a"), ("a/", "a")] {
            let error = key_error(key);
            assert!(error.ends_with(&format!("would resolve to '{normal}'")), "{key}: {error}");
        }
        assert!(key_error("").ends_with("would resolve to '.'"));
        assert!(key_error("..x").ends_with("would resolve to '..x'"));
        assert!(key_error("a\n").contains("may only contain"));
    }

    #[test]
    fn long_texts_are_cut_or_refused_by_characters() {
        assert_eq!(cut(3, "éééé"), "ééé");
        assert_eq!(cut(4, "éééé"), "éééé");
        check_metric(&whole, &"é".repeat(250), 1.0, 0).expect("250 characters");
        let error = check_metric(&whole, &"k".repeat(251), 1.0, 0).expect_err("too long");
        assert_eq!(error.message, "'Metric name' exceeds the maximum length of 250 characters");
        assert_eq!(checked_param(&whole, "p", &"v".repeat(6001)).expect("cut").len(), 6000);
        assert_eq!(checked_tag(&whole, "t", &"v".repeat(8001)).expect("cut").len(), 8000);
        assert!(check_experiment_tag("t", &"v".repeat(20_001)).is_err());
    }

    #[test]
    fn a_metric_before_1970_is_refused() {
        let error = check_metric(&whole, "b", 1.0, -1).expect_err("negative");
        assert_eq!(error.message, {
            "Invalid value -1 for parameter 'timestamp' supplied: metric 'b' (value=1.0). Timestamp \
             must be a nonnegative long (64-bit integer) "
        });
    }

    #[test]
    fn locations_are_refused_as_recorded() {
        for (location, part) in [
            ("runs:/a/b", "cannot be a runs:/ URI"),
            ("http:///#/../../etc", "fragments or params"),
            ("s3://b/k;x=1", "fragments or params"),
            ("s3://b/k?x=../y", "Invalid query string"),
        ] {
            let error = check_artifact_location(location).expect_err(location);
            assert!(error.message.contains(part), "{location}: {error}");
        }
        for location in ["file:///etc", "mlflow-artifacts:/x/../../etc", "s3://b/k?x=1"] {
            check_artifact_location(location).expect(location);
        }
        assert!(check_artifact_location(&"x".repeat(2049)).is_err());
    }
}
