//! OTLP as JSON: protobuf's JSON, but for ids, which are hexadecimal.

use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};
use serde_json::Value as Json;

use super::otlp_proto::{
    AnyValue, ArrayValue, Event, ExportRequest, KeyValue, KeyValueList, Link, Resource,
    ResourceSpans, ScopeSpans, Span, Status, Value,
};

/// Values are nested no deeper than JSON's reader lets them be.
pub(super) fn read(bytes: &[u8]) -> Option<ExportRequest> {
    let json: Json = serde_json::from_slice(bytes).ok()?;
    json.is_object().then_some(())?;
    Some(ExportRequest { resource_spans: all(&json, "resourceSpans", resource_spans)? })
}

/// A field by its name in JSON, or by its name in protobuf.
fn field<'a>(json: &'a Json, name: &str) -> Option<&'a Json> {
    let snake = name.chars().fold(String::new(), |mut out, char| {
        if char.is_ascii_uppercase() {
            out.push('_');
        }
        out.push(char.to_ascii_lowercase());
        out
    });
    json.get(name).or_else(|| json.get(&snake)).filter(|value| !value.is_null())
}

fn all<T>(json: &Json, name: &str, read: fn(&Json) -> Option<T>) -> Option<Vec<T>> {
    match field(json, name) {
        None => Some(Vec::new()),
        Some(list) => list.as_array()?.iter().map(read).collect(),
    }
}

fn text(json: &Json, name: &str) -> Option<String> {
    field(json, name).map_or(Some(String::new()), |value| value.as_str().map(str::to_owned))
}

fn id(json: &Json, name: &str) -> Option<Vec<u8>> {
    HEXLOWER_PERMISSIVE.decode(text(json, name)?.as_bytes()).ok()
}

/// An integer of 64 bits, which JSON has as a text.
fn integer<T: std::str::FromStr + TryFrom<u64> + TryFrom<i64>>(value: &Json) -> Option<T> {
    match value {
        Json::String(text) => text.parse().ok(),
        Json::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(value), _) => T::try_from(value).ok(),
            (None, Some(value)) => T::try_from(value).ok(),
            (None, None) => None,
        },
        _ => None,
    }
}

fn time(json: &Json, name: &str) -> Option<u64> {
    field(json, name).map_or(Some(0), integer)
}

fn resource_spans(json: &Json) -> Option<ResourceSpans> {
    let resource = match field(json, "resource") {
        None => None,
        Some(resource) => Some(Resource { attributes: all(resource, "attributes", attribute)? }),
    };
    Some(ResourceSpans { resource, scope_spans: all(json, "scopeSpans", scope_spans)? })
}

fn scope_spans(json: &Json) -> Option<ScopeSpans> {
    Some(ScopeSpans { spans: all(json, "spans", span)? })
}

fn span(json: &Json) -> Option<Span> {
    let status = match field(json, "status") {
        None => None,
        Some(status) => Some(Status { message: text(status, "message")?, code: code(status)? }),
    };
    Some(Span {
        trace_id: id(json, "traceId")?,
        span_id: id(json, "spanId")?,
        parent_span_id: id(json, "parentSpanId")?,
        name: text(json, "name")?,
        start_time_unix_nano: time(json, "startTimeUnixNano")?,
        end_time_unix_nano: time(json, "endTimeUnixNano")?,
        attributes: all(json, "attributes", attribute)?,
        events: all(json, "events", event)?,
        links: all(json, "links", link)?,
        status,
    })
}

fn code(status: &Json) -> Option<i32> {
    match field(status, "code") {
        None => Some(0),
        Some(Json::String(word)) => match word.as_str() {
            "STATUS_CODE_UNSET" => Some(0),
            "STATUS_CODE_OK" => Some(1),
            "STATUS_CODE_ERROR" => Some(2),
            _ => None,
        },
        Some(number) => number.as_i64().and_then(|code| i32::try_from(code).ok()),
    }
}

fn event(json: &Json) -> Option<Event> {
    Some(Event {
        time_unix_nano: time(json, "timeUnixNano")?,
        name: text(json, "name")?,
        attributes: all(json, "attributes", attribute)?,
    })
}

fn link(json: &Json) -> Option<Link> {
    Some(Link {
        trace_id: id(json, "traceId")?,
        span_id: id(json, "spanId")?,
        attributes: all(json, "attributes", attribute)?,
    })
}

fn attribute(json: &Json) -> Option<KeyValue> {
    let value = match field(json, "value") {
        None => None,
        Some(value) => Some(any(value)?),
    };
    Some(KeyValue { key: text(json, "key")?, value })
}

fn any(json: &Json) -> Option<AnyValue> {
    let held = |name| field(json, name);
    let value = if let Some(value) = held("stringValue") {
        Value::Text(value.as_str()?.to_owned())
    } else if let Some(value) = held("boolValue") {
        Value::Boolean(value.as_bool()?)
    } else if let Some(value) = held("intValue") {
        Value::Integer(integer(value)?)
    } else if let Some(value) = held("doubleValue") {
        Value::Number(match value {
            Json::String(text) => crate::http::mlflow::message::number_from_text(text)?,
            number => number.as_f64()?,
        })
    } else if let Some(list) = held("arrayValue") {
        Value::List(ArrayValue { values: all(list, "values", any)? })
    } else if let Some(map) = held("kvlistValue") {
        Value::Map(KeyValueList { values: all(map, "values", attribute)? })
    } else if let Some(bytes) = held("bytesValue") {
        Value::Bytes(BASE64.decode(bytes.as_str()?.as_bytes()).ok()?)
    } else {
        return Some(AnyValue { value: None });
    };
    Some(AnyValue { value: Some(value) })
}
