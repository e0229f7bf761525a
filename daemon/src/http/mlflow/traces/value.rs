//! Values of attributes as JSON: as Python's `json.dumps` writes them, which is how MLflow keeps
//! attributes, and as protobuf's JSON of OpenTelemetry's `AnyValue`.

use data_encoding::BASE64;
use runmesh_core::trace::{Attribute, MAX_DEPTH, Value};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};

use crate::http::mlflow::render::Double;

/// As `json.dumps(value, ensure_ascii=False)`.
pub(super) fn python_json(value: &Value) -> String {
    let mut out = String::new();
    push(&mut out, value);
    out
}

/// As [`python_json`], of a map.
pub(super) fn push_map(out: &mut String, attributes: &[Attribute]) {
    out.push('{');
    for (at, attribute) in attributes.iter().enumerate() {
        if at > 0 {
            out.push_str(", ");
        }
        push_text(out, &attribute.key);
        out.push_str(": ");
        push(out, &attribute.value);
    }
    out.push('}');
}

fn push(out: &mut String, value: &Value) {
    match value {
        Value::Nothing => out.push_str("null"),
        Value::Boolean(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Integer(value) => out.push_str(&value.to_string()),
        Value::Number(value) => push_number(out, *value),
        Value::Text(text) => push_text(out, text),
        Value::Bytes(bytes) => push_text(out, &BASE64.encode(bytes)),
        Value::List(values) => {
            out.push('[');
            for (at, value) in values.iter().enumerate() {
                if at > 0 {
                    out.push_str(", ");
                }
                push(out, value);
            }
            out.push(']');
        }
        Value::Map(attributes) => push_map(out, attributes),
    }
}

/// Python's JSON knows NaN and infinities, and writes whole numbers with a fraction.
pub(super) fn push_number(out: &mut String, value: f64) {
    match value {
        value if value.is_nan() => out.push_str("NaN"),
        value if value.is_infinite() => {
            out.push_str(if value > 0.0 { "Infinity" } else { "-Infinity" });
        }
        value => out.push_str(&format!("{value:?}")),
    }
}

/// A text in quotes.
pub(super) fn push_text(out: &mut String, text: &str) {
    out.push_str(&serde_json::to_string(text).expect("a text is JSON"));
}

/// A value that came as JSON.
pub(super) fn from_json(value: &serde_json::Value) -> Value {
    match value {
        serde_json::Value::Null => Value::Nothing,
        serde_json::Value::Bool(value) => Value::Boolean(*value),
        serde_json::Value::Number(number) => match number.as_i64() {
            Some(integer) => Value::Integer(integer),
            None => Value::Number(number.as_f64().unwrap_or(f64::NAN)),
        },
        serde_json::Value::String(text) => Value::Text(text.clone()),
        serde_json::Value::Array(values) => Value::List(values.iter().map(from_json).collect()),
        serde_json::Value::Object(map) => {
            let attribute = |(key, value): (&String, _)| Attribute::new(key, from_json(value));
            Value::Map(map.iter().map(attribute).collect())
        }
    }
}

/// What a text holds that is a map or a list in JSON, unless it is nested more deeply than a value may
/// be.
pub(super) fn unpacked(text: &str) -> Option<Value> {
    packed(&serde_json::from_str(text).ok()?)
}

fn packed(json: &serde_json::Value) -> Option<Value> {
    let value = from_json(json);
    let is_packed = matches!(value, Value::Map(_) | Value::List(_));
    (is_packed && is_within(&value, MAX_DEPTH)).then_some(value)
}

/// Whether a value has no more lists and maps within one another than `depth`.
pub(super) fn is_within(value: &Value, depth: usize) -> bool {
    match value {
        Value::List(_) | Value::Map(_) if depth == 0 => false,
        Value::List(values) => values.iter().all(|value| is_within(value, depth - 1)),
        Value::Map(attributes) => attributes.iter().all(|one| is_within(&one.value, depth - 1)),
        _ => true,
    }
}

/// A value as it was meant: many instrumentations write maps and lists, some even texts, as JSON into a
/// text.
pub(super) fn decoded(value: &Value) -> Value {
    match value.as_text().and_then(|text| serde_json::from_str(text).ok()) {
        Some(serde_json::Value::String(inner)) => Value::Text(inner),
        Some(json) => packed(&json).unwrap_or_else(|| value.clone()),
        None => value.clone(),
    }
}

/// Whether a value says nothing: MLflow takes nothing, zero and what is empty for that.
pub(super) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Nothing => true,
        Value::Boolean(value) => !value,
        Value::Integer(value) => *value == 0,
        Value::Number(value) => *value == 0.0,
        Value::Text(text) => matches!(text.as_str(), "" | "\"\"" | "[]" | "{}"),
        Value::Bytes(bytes) => bytes.is_empty(),
        Value::List(values) => values.is_empty(),
        Value::Map(attributes) => attributes.is_empty(),
    }
}

/// A value as protobuf's JSON has an `AnyValue`.
pub(super) struct AnyJson<'a>(pub(super) &'a Value);

impl Serialize for AnyJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self.0 {
            Value::Nothing => {}
            Value::Boolean(value) => map.serialize_entry("bool_value", value)?,
            Value::Integer(value) => map.serialize_entry("int_value", value)?,
            Value::Number(value) => map.serialize_entry("double_value", &Double(*value))?,
            Value::Text(text) => map.serialize_entry("string_value", text)?,
            Value::Bytes(bytes) => map.serialize_entry("bytes_value", &BASE64.encode(bytes))?,
            Value::List(values) => map.serialize_entry("array_value", &ListJson(values))?,
            Value::Map(attributes) => map.serialize_entry("kvlist_value", &MapJson(attributes))?,
        }
        map.end()
    }
}

struct ListJson<'a>(&'a [Value]);

impl Serialize for ListJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct Values<'a>(&'a [Value]);
        impl Serialize for Values<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut seq = serializer.serialize_seq(Some(self.0.len()))?;
                self.0.iter().try_for_each(|value| seq.serialize_element(&AnyJson(value)))?;
                seq.end()
            }
        }
        let mut map = serializer.serialize_map(None)?;
        if !self.0.is_empty() {
            map.serialize_entry("values", &Values(self.0))?;
        }
        map.end()
    }
}

struct MapJson<'a>(&'a [Attribute]);

impl Serialize for MapJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if !self.0.is_empty() {
            map.serialize_entry("values", &AttributesJson(self.0))?;
        }
        map.end()
    }
}

/// Attributes as protobuf's JSON has them.
pub(super) struct AttributesJson<'a>(pub(super) &'a [Attribute]);

impl Serialize for AttributesJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Pair<'a> {
            key: &'a str,
            value: AnyJson<'a>,
        }
        let mut seq = serializer.serialize_seq(Some(self.0.len()))?;
        for Attribute { key, value } in self.0 {
            seq.serialize_element(&Pair { key, value: AnyJson(value) })?;
        }
        seq.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_read_as_python_writes_them() {
        let value = from_json(&serde_json::json!([1, 2.0, "é\n", null, true, {"a": []}]));
        assert_eq!(python_json(&value), r#"[1, 2.0, "é\n", null, true, {"a": []}]"#);
        assert_eq!(python_json(&Value::Number(f64::NEG_INFINITY)), "-Infinity");
    }

    #[test]
    fn values_read_as_protobuf_writes_them() {
        let value = from_json(&serde_json::json!({"a": [1, null], "b": {}}));
        let json = serde_json::to_string(&AnyJson(&value)).expect("JSON");
        let expected = concat!(
            r#"{"kvlist_value":{"values":[{"key":"a","value":{"array_value":{"values":"#,
            r#"[{"int_value":1},{}]}}},{"key":"b","value":{"kvlist_value":{}}}]}}"#
        );
        assert_eq!(json, expected);
    }
}
