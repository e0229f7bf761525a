//! What MLflow lets models, aliases and their tags be called (mlflow/utils/validation.py).

use runmesh_core::registry::check_semver;
use serde_json::Value;

use super::super::error::ApiError;
use super::super::limits::{self, MAX_KEY_CHARS};
use super::super::message::{Fields, invalid_value, missing};
use super::super::python;
use super::SEMVER_TAG;

const MAX_TAG_VALUE_CHARS: usize = 100_000;
/// The tag of a version that holds a prompt's text.
const PROMPT_TEXT_TAG: &str = "mlflow.prompt.text";
const MAX_ALIAS_CHARS: usize = 255;
/// MLflow's own columns hold this many; its API does not say so.
const MAX_NAME_CHARS: usize = 256;
const MAX_SOURCE_CHARS: usize = 4096;
const MAX_DESCRIPTION_CHARS: usize = 100_000;

/// Refuses a name that no model may have.
pub(super) fn model_name(name: &str) -> Result<(), ApiError> {
    if name.trim().is_empty() {
        return Err(missing("name"));
    }
    if name.contains(['/', ':']) {
        let message = format!("Invalid model name '{name}'. Names cannot contain '/' or ':'.");
        return Err(ApiError::invalid(message));
    }
    let normal = python::normpath(name);
    if normal != name || normal == "." || normal.starts_with("..") {
        let reason = format!(
            "Names may be treated as files in certain cases, and must not resolve to other names \
             when treated as such. This name would resolve to {}",
            python::repr(&normal)
        );
        return Err(invalid_value("name", &Value::from(name), &reason));
    }
    Ok(())
}

/// Refuses a name that no new model may have.
pub(crate) fn new_model_name(name: &str) -> Result<(), ApiError> {
    model_name(name)?;
    limits::check_length("name", MAX_NAME_CHARS, name)
}

/// Refuses where a version comes from, if it is too long.
pub(super) fn source(source: &str) -> Result<(), ApiError> {
    limits::check_length("source", MAX_SOURCE_CHARS, source)
}

/// The note of a model or a version.
pub(super) fn description(fields: Fields<'_>) -> Result<Option<String>, ApiError> {
    let Some(text) = fields.text("description")? else { return Ok(None) };
    limits::check_length("description", MAX_DESCRIPTION_CHARS, text)?;
    Ok(Some(text.to_owned()))
}

/// Refuses a tag of a model or a version.
pub(super) fn tag(key: &str, value: &str) -> Result<(), ApiError> {
    limits::check_key(|| "key".to_owned(), key)?;
    limits::check_length("key", MAX_KEY_CHARS, key)?;
    // A prompt's text is its user's own words: the error names it.
    let checked = limits::check_length("value", MAX_TAG_VALUE_CHARS, value);
    checked.map_err(|error| match key {
        PROMPT_TEXT_TAG => ApiError::invalid(format!(
            "Prompt text exceeds max length of {MAX_TAG_VALUE_CHARS} characters."
        )),
        _ => error,
    })
}

/// Refuses the key of a tag.
pub(super) fn tag_key(key: &str) -> Result<(), ApiError> {
    limits::check_key(|| "key".to_owned(), key)
}

/// Refuses what no alias is called.
pub(super) fn alias(alias: &str) -> Result<(), ApiError> {
    if alias.is_empty() {
        return Err(ApiError::invalid("Registered model alias name cannot be empty."));
    }
    if !alias.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-')) {
        return Err(ApiError::invalid(format!(
            "Invalid alias name: '{alias}'. Names may only contain alphanumerics, underscores (_), \
             and dashes (-)."
        )));
    }
    limits::check_length("Registered model alias name", MAX_ALIAS_CHARS, alias)
}

/// Refuses what a new alias may not be called, because it means something else.
pub(crate) fn new_alias(name: &str) -> Result<(), ApiError> {
    alias(name)?;
    if name.eq_ignore_ascii_case("latest") {
        let message = "'latest' alias name (case insensitive) is reserved.";
        return Err(ApiError::invalid(message));
    }
    let number = name.strip_prefix(['v', 'V']);
    if number.is_some_and(|rest| !rest.is_empty() && rest.chars().all(char::is_numeric)) {
        return Err(ApiError::invalid(format!("Version alias name '{name}' is reserved.")));
    }
    Ok(())
}

/// Reads a semantic version that came as a tag.
pub(super) fn semver(text: &str) -> Result<semver::Version, ApiError> {
    check_semver(text).map_err(|reason| {
        ApiError::invalid(format!(
            "Tag '{SEMVER_TAG}' must be MAJOR.MINOR.PATCH[-pre], got '{text}': {reason}"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_that_is_too_long_is_named() {
        let long = "a".repeat(MAX_TAG_VALUE_CHARS + 1);
        let refused = |key| tag(key, &long).expect_err(key).message;
        assert_eq!(
            refused(PROMPT_TEXT_TAG),
            "Prompt text exceeds max length of 100000 characters."
        );
        assert_eq!(refused("note"), "'value' exceeds the maximum length of 100000 characters");
        assert_eq!(tag(PROMPT_TEXT_TAG, &long[1..]), Ok(()));
    }
}
