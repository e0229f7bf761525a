//! A request's protobuf message, read from JSON or from a query as MLflow's server reads it.
//!
//! Lenient where clients rely on it: a field may be spelt in snake or camel case, an integer may
//! come as text, unknown fields are ignored, a body that is no JSON object counts as empty, and a
//! body may be JSON in a JSON string (old clients). Strict where a mistake would be lost: a value
//! of the wrong type is an error, as is one field in both spellings.

use axum::body::{Bytes, HttpBody, to_bytes};
use axum::extract::FromRequest;
use axum::http::{HeaderMap, Method, header};
use serde_json::{Map, Value};

use super::error::{ApiError, ErrorCode};
use super::python;

/// The largest JSON body that is read. MLflow's largest batch, all of it at its limits, takes 3 MiB.
pub(crate) const MAX_BODY_BYTES: usize = 32 << 20;

/// A whole JSON body, not parsed yet.
pub(crate) struct JsonBody(pub(crate) Bytes);

impl<S: Send + Sync> FromRequest<S> for JsonBody {
    type Rejection = ApiError;

    async fn from_request(request: axum::extract::Request, _: &S) -> Result<Self, Self::Rejection> {
        let (parts, body) = request.into_parts();
        check_content_type(&parts.method, &parts.headers)?;
        let refuse = |reason: &str| {
            let message = format!("The request body could not be read: {reason}.");
            let limit = format!("A request can have at most {MAX_BODY_BYTES} bytes.");
            ApiError::new(ErrorCode::BodyTooLarge, format!("{message} {limit}"))
        };
        // Nothing is kept of a body that says that it is too large.
        if body.size_hint().lower() > MAX_BODY_BYTES as u64 {
            return Err(refuse("it is too large"));
        }
        // axum wraps the limit's error; whatever else it is, the sender went away.
        let bytes = to_bytes(body, MAX_BODY_BYTES).await;
        Ok(Self(bytes.map_err(|error| refuse(&error.to_string()))?))
    }
}

fn check_content_type(method: &Method, headers: &HeaderMap) -> Result<(), ApiError> {
    if ![Method::POST, Method::PUT, Method::PATCH].contains(method) {
        return Ok(());
    }
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = content_type.and_then(|value| value.split(';').next()).unwrap_or_default();
    if essence.trim().eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let message = "Bad Request. Content-Type must be one of ['application/json'].";
    Err(ApiError::invalid(message))
}

/// The fields of a request.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Message {
    fields: Map<String, Value>,
    /// Whether it came as a query, where every value is a list of texts.
    of_query: bool,
}

impl<S: Send + Sync> FromRequest<S> for Message {
    type Rejection = ApiError;

    async fn from_request(
        request: axum::extract::Request,
        state: &S,
    ) -> Result<Self, Self::Rejection> {
        match request.uri().query() {
            Some(query) if request.method() == Method::GET && !query.is_empty() => {
                Ok(Self::from_query(query))
            }
            _ => Ok(Self::from_json(&JsonBody::from_request(request, state).await?.0)),
        }
    }
}

impl Message {
    /// Reads a body.
    pub(crate) fn from_json(body: &[u8]) -> Self {
        let value = match serde_json::from_slice(body) {
            Ok(Value::String(inner)) => serde_json::from_str(&inner).ok(),
            other => other.ok(),
        };
        let fields = match value {
            Some(Value::Object(fields)) => fields,
            _ => Map::new(),
        };
        Self { fields, of_query: false }
    }

    /// Reads a query.
    pub(crate) fn from_query(query: &str) -> Self {
        let mut fields = Map::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let values = fields.entry(name).or_insert_with(|| Value::Array(Vec::new()));
            if let Value::Array(values) = values {
                values.push(Value::String(value.into_owned()));
            }
        }
        Self { fields, of_query: true }
    }

    /// Its fields.
    pub(crate) const fn fields(&self) -> Fields<'_> {
        Fields { map: &self.fields, of_query: self.of_query }
    }
}

/// The fields of a message, or of a message within it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields<'a> {
    map: &'a Map<String, Value>,
    of_query: bool,
}

impl<'a> Fields<'a> {
    /// A field as it came. Null counts as absent.
    fn raw(self, name: &str) -> Result<Option<&'a Value>, ApiError> {
        let snake = self.map.get(name);
        if !name.contains('_') {
            return Ok(snake.filter(|value| !value.is_null()));
        }
        let camel_name = camel_case(name);
        let camel = self.map.get(&camel_name);
        if snake.is_some() && camel.is_some() {
            return Err(ApiError::invalid(format!(
                "Request specifies both '{name}' and '{camel_name}'; provide only one of them."
            )));
        }
        Ok(snake.or(camel).filter(|value| !value.is_null()))
    }

    fn scalar(self, name: &str) -> Result<Option<&'a Value>, ApiError> {
        let value = self.raw(name)?;
        if self.of_query { Ok(value.and_then(|values| values.get(0))) } else { Ok(value) }
    }

    /// The fields but for those of these names, as JSON, always in one order.
    pub(crate) fn without(self, names: &[&str]) -> Value {
        let left = self.map.iter().filter(|(name, _)| !names.contains(&name.as_str()));
        Value::Object(left.map(|(name, value)| (name.clone(), value.clone())).collect())
    }

    /// A text.
    pub(crate) fn text(self, name: &str) -> Result<Option<&'a str>, ApiError> {
        let Some(value) = self.scalar(name)? else { return Ok(None) };
        value.as_str().map(Some).ok_or_else(|| wrong_type(name, value))
    }

    /// A text that must be there and not empty.
    pub(crate) fn required_text(self, name: &str) -> Result<&'a str, ApiError> {
        self.text(name)?.filter(|text| !text.is_empty()).ok_or_else(|| missing(name))
    }

    /// The run's id, which clients send under its new name, its old one, or both.
    pub(crate) fn run_id(self) -> Result<&'a str, ApiError> {
        match self.text("run_id")? {
            Some(id) if !id.is_empty() => Ok(id),
            _ => self.required_text("run_uuid").map_err(|_| missing("run_id")),
        }
    }

    /// Whether a field is there, whatever is in it.
    pub(crate) fn has(self, name: &str) -> Result<bool, ApiError> {
        Ok(self.raw(name)?.is_some())
    }

    /// A flag.
    pub(crate) fn flag(self, name: &str) -> Result<Option<bool>, ApiError> {
        let Some(value) = self.scalar(name)? else { return Ok(None) };
        match value {
            Value::Bool(flag) => Ok(Some(*flag)),
            Value::String(text) if text.eq_ignore_ascii_case("true") => Ok(Some(true)),
            Value::String(text) if text.eq_ignore_ascii_case("false") => Ok(Some(false)),
            _ => Err(wrong_type(name, value)),
        }
    }

    /// An integer.
    pub(crate) fn integer(self, name: &str) -> Result<Option<i64>, ApiError> {
        let Some(value) = self.scalar(name)? else { return Ok(None) };
        integer(value).map(Some).ok_or_else(|| wrong_type(name, value))
    }

    /// A number; "NaN", "Infinity" and "-Infinity" are numbers too.
    pub(crate) fn number(self, name: &str) -> Result<Option<f64>, ApiError> {
        let Some(value) = self.scalar(name)? else { return Ok(None) };
        number(value).map(Some).ok_or_else(|| wrong_type(name, value))
    }

    /// A boolean. In a query clients write it as Python does.
    pub(crate) fn boolean(self, name: &str) -> Result<Option<bool>, ApiError> {
        let Some(value) = self.scalar(name)? else { return Ok(None) };
        let boolean = match value.as_str() {
            Some(text) => text.to_ascii_lowercase().parse().ok(),
            None => value.as_bool(),
        };
        boolean.map(Some).ok_or_else(|| wrong_type(name, value))
    }

    /// A field that may be anything.
    pub(crate) fn value(self, name: &str) -> Result<Option<&'a Value>, ApiError> {
        self.raw(name)
    }

    /// A map of texts; empty if absent.
    pub(crate) fn texts_by_key(self, name: &str) -> Result<Vec<(&'a str, &'a str)>, ApiError> {
        let Some(value) = self.raw(name)? else { return Ok(Vec::new()) };
        let map = value.as_object().ok_or_else(|| wrong_type(name, value))?;
        let pair = |(key, item): (&'a String, &'a Value)| {
            item.as_str().map(|text| (key.as_str(), text)).ok_or_else(|| wrong_type(name, value))
        };
        map.iter().map(pair).collect()
    }

    /// A list of texts; empty if absent.
    pub(crate) fn texts(self, name: &str) -> Result<Vec<&'a str>, ApiError> {
        let Some(value) = self.raw(name)? else { return Ok(Vec::new()) };
        let items = value.as_array().ok_or_else(|| wrong_type(name, value))?;
        let text = |item: &'a Value| item.as_str().ok_or_else(|| wrong_type(name, value));
        items.iter().map(text).collect()
    }

    /// A list of messages; empty if absent.
    pub(crate) fn messages(self, name: &str) -> Result<Vec<Self>, ApiError> {
        let Some(value) = self.raw(name)? else { return Ok(Vec::new()) };
        let items = value.as_array().ok_or_else(|| wrong_type(name, value))?;
        let message = |item: &'a Value| {
            let map = item.as_object().ok_or_else(|| wrong_type(name, value))?;
            Ok(Self { map, of_query: false })
        };
        items.iter().map(message).collect()
    }

    /// A message within this one.
    pub(crate) fn message(self, name: &str) -> Result<Option<Self>, ApiError> {
        let Some(value) = self.raw(name)? else { return Ok(None) };
        let map = value.as_object().ok_or_else(|| wrong_type(name, value))?;
        Ok(Some(Self { map, of_query: false }))
    }

    /// A word out of `words`, or its number, counted from one. Other words are ignored, as a
    /// protobuf reader ignores what a newer sender may know.
    pub(crate) fn word<T: Copy>(
        self,
        name: &str,
        words: &[(&str, T)],
    ) -> Result<Option<T>, ApiError> {
        let Some(value) = self.scalar(name)? else { return Ok(None) };
        let by_word = |text| words.iter().find(|(word, _)| *word == text);
        let by_number = |number: i64| {
            let at = usize::try_from(number).ok()?.checked_sub(1)?;
            words.get(at)
        };
        let found = match value.as_str() {
            Some(text) => by_word(text).or_else(|| by_number(text.parse().ok()?)),
            None => by_number(integer(value).ok_or_else(|| wrong_type(name, value))?),
        };
        Ok(found.map(|(_, meaning)| *meaning))
    }
}

/// `run_id` is `runId` to protobuf's JSON.
fn camel_case(name: &str) -> String {
    let mut parts = name.split('_');
    let mut camel = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (head, tail) = part.split_at(part.len().min(1));
        camel.push_str(&head.to_ascii_uppercase());
        camel.push_str(tail);
    }
    camel
}

fn integer(value: &Value) -> Option<i64> {
    match value {
        // The R client writes 100000 as "1e+05", at which MLflow's own server stumbles.
        Value::String(text) => text.parse().ok().or_else(|| whole(text.parse().ok()?)),
        Value::Number(number) => number.as_i64().or_else(|| whole(number.as_f64()?)),
        _ => None,
    }
}

/// Protobuf takes 1.0 and 1e3 for integers; beyond 2^53 it would be a guess.
fn whole(number: f64) -> Option<i64> {
    const LIMIT: f64 = 9_007_199_254_740_992.0;
    (number.fract() == 0.0 && number.abs() <= LIMIT).then_some(number as i64)
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::String(text) => number_from_text(text),
        Value::Number(number) => number.as_f64(),
        _ => None,
    }
}

/// A number written as text, as protobuf's JSON has it.
pub(crate) fn number_from_text(text: &str) -> Option<f64> {
    match text {
        "NaN" => Some(f64::NAN),
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        _ => text.parse().ok().filter(|number: &f64| number.is_finite()),
    }
}

const SEE_DOCS: &str = "See the API docs for more information about request parameters.";

/// A required field is absent or empty.
pub(crate) fn missing(name: &str) -> ApiError {
    ApiError::invalid(format!("Missing value for required parameter '{name}'. {SEE_DOCS}"))
}

/// A field has a value of another type, or out of its range.
pub(crate) fn wrong_type(name: &str, value: &Value) -> ApiError {
    let hint = format!(" Hint: Value was of type '{}'. {SEE_DOCS}", python::type_name(value));
    invalid_value(name, value, &hint)
}

/// A field has a value that is refused for a reason.
pub(crate) fn invalid_value(name: &str, value: &Value, reason: &str) -> ApiError {
    let value = python::json(value);
    ApiError::invalid(format!("Invalid value {value} for parameter '{name}' supplied: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(json: &str) -> Message {
        Message::from_json(json.as_bytes())
    }

    #[test]
    fn what_is_no_object_counts_as_empty() {
        for body in ["", "{", "[1]", "null", "7", "\"{\"", "\"[]\""] {
            let error = message(body).fields().required_text("name").expect_err(body);
            let text = "Missing value for required parameter 'name'. See the API docs for more \
                        information about request parameters.";
            assert_eq!(error, ApiError::invalid(text), "{body:?}");
        }
    }

    #[test]
    fn old_and_new_spellings_are_understood_but_not_both_at_once() {
        let both = message(r#"{"experimentId": "1", "experiment_id": "1"}"#);
        let error = both.fields().text("experiment_id").expect_err("ambiguous");
        assert_eq!(error.message, {
            "Request specifies both 'experiment_id' and 'experimentId'; provide only one of them."
        });
        let camel = message(r#"{"experimentId": "1"}"#);
        assert_eq!(camel.fields().text("experiment_id"), Ok(Some("1")));
        let doubly = message(r#""{\"run_uuid\": \"ab\"}""#);
        assert_eq!(doubly.fields().run_id(), Ok("ab"));
    }

    #[test]
    fn numbers_may_come_as_text_but_not_as_something_else() {
        let fields = message(
            r#"{"a": "11", "b": 2.0, "c": "NaN", "d": "-Infinity", "e": "abc", "f": true, "g": 1.5,
                "h": "1e+05", "i": "1.5"}"#,
        );
        let fields = fields.fields();
        assert_eq!(fields.integer("a"), Ok(Some(11)));
        assert_eq!(fields.integer("b"), Ok(Some(2)));
        assert_eq!(fields.integer("h"), Ok(Some(100_000)));
        assert!(fields.number("c").expect("a number").expect("there").is_nan());
        assert_eq!(fields.number("d"), Ok(Some(f64::NEG_INFINITY)));
        assert_eq!(fields.number("e").expect_err("text").message, {
            "Invalid value \"abc\" for parameter 'e' supplied:  Hint: Value was of type 'str'. See \
             the API docs for more information about request parameters."
        });
        assert!(fields.number("f").is_err());
        assert!(fields.integer("g").is_err() && fields.integer("i").is_err());
    }

    #[test]
    fn a_query_repeats_a_name_for_a_list() {
        let query = Message::from_query("run_ids=a&run_ids=b%20c&max_results=5");
        assert_eq!(query.fields().texts("run_ids"), Ok(vec!["a", "b c"]));
        assert_eq!(query.fields().integer("max_results"), Ok(Some(5)));
    }

    #[test]
    fn unknown_words_are_ignored_and_numbers_count_from_one() {
        let words = [("ACTIVE_ONLY", 'a'), ("DELETED_ONLY", 'd')];
        for (json, meaning) in [
            (r#"{"view_type": "DELETED_ONLY"}"#, Some('d')),
            (r#"{"view_type": 1}"#, Some('a')),
            (r#"{"view_type": "2"}"#, Some('d')),
            (r#"{"view_type": "NOPE"}"#, None),
            (r#"{"view_type": 0}"#, None),
            ("{}", None),
        ] {
            assert_eq!(message(json).fields().word("view_type", &words), Ok(meaning), "{json}");
        }
    }
}
