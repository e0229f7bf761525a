//! From OpenTelemetry's spans to parts of traces.
//!
//! What MLflow's server works out of a batch of spans is worked out here, span by span: what a part
//! says does not depend on what else was in the request.

use std::collections::BTreeMap;

use data_encoding::HEXLOWER;
use runmesh_core::ids::DocumentId;
use runmesh_core::rows::KeyValue;
use runmesh_core::trace::{
    Attribute, Figure, MAX_SPAN_BYTES, Span, SpanEvent, SpanLink, SpanStatus, TracePart, Value,
};

use super::names::{
    CACHE_FIGURES, COST, INPUTS, MONEY, MONEY_FIGURES, OUTPUTS, REQUEST_ID, SESSION,
    SESSION_ATTRIBUTES, SPAN_TYPE, TAG_PREFIX, TOKEN_FIGURES, TOKENS, USAGE, USER, USER_ATTRIBUTE,
};
use super::otlp_proto as proto;
use super::value::python_json;
use super::{preview, translate};
use crate::http::mlflow::limits;

/// The longest fact about a trace that is shown, in characters.
const MAX_METADATA_CHARS: usize = 250;
/// MLflow's own limit of tags' values.
const MAX_TAG_VALUE_CHARS: usize = 8000;
/// Attributes of a program that say nothing about the trace, or that only a server may set.
const NO_TAGS: [&str; 2] = ["telemetry.sdk.", "mlflow."];
/// Programs whose name goes to the first span, as MLflow's server has it.
const KNOWN_PROGRAMS: [&str; 5] =
    ["claude-code", "codex_cli_rs", "codex_vscode", "gemini-cli", "qwen-code"];

/// Why a request's spans are not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum SpanError {
    /// An id is missing or has another length, or values are nested too deeply.
    #[error("Cannot convert OpenTelemetry span to MLflow span")]
    Malformed,
    /// A span is larger than one can be stored.
    #[error("A span takes {0} bytes; at most {MAX_SPAN_BYTES} can be stored")]
    TooLarge(usize),
}

/// What a request says of traces, by trace.
pub(super) struct Read {
    /// A part for each trace.
    pub(super) parts: Vec<TracePart>,
    /// The traces whose first span is in the request.
    pub(super) completed: Vec<String>,
}

/// Reads the spans of a request that are meant for an experiment.
pub(super) fn read(
    request: proto::ExportRequest,
    experiment: DocumentId,
) -> Result<Read, SpanError> {
    let mut parts: BTreeMap<String, TracePart> = BTreeMap::new();
    let mut completed = Vec::new();
    for resource_spans in request.resource_spans {
        let resource =
            attributes(resource_spans.resource.map(|r| r.attributes).unwrap_or_default())?;
        for span in resource_spans.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            let trace_id: [u8; 16] = id(&span.trace_id)?;
            let trace = trace_name(&trace_id);
            let mut span = read_span(span, &trace)?;
            if span.is_root() {
                name_program(&mut span, &resource);
                completed.push(trace.clone());
            }
            translate::complete(&mut span);
            let part = parts
                .entry(trace)
                .or_insert_with_key(|trace| TracePart::new(trace.clone(), experiment));
            say_of_trace(part, &span, &resource);
            span.kind = text_of(span.attribute(SPAN_TYPE)).unwrap_or_default();
            span.figures = figures(&span);
            let encoded = span.encode();
            match encoded.as_bytes().len() {
                length if length > MAX_SPAN_BYTES => return Err(SpanError::TooLarge(length)),
                _ => part.spans.push(encoded),
            }
        }
    }
    let mut parts: Vec<TracePart> = parts.into_values().collect();
    parts.iter_mut().for_each(TracePart::sort);
    Ok(Read { parts, completed })
}

/// What MLflow's clients call a trace of OpenTelemetry.
pub(super) fn trace_name(id: &[u8; 16]) -> String {
    format!("tr-{}", HEXLOWER.encode(id))
}

fn read_span(span: proto::Span, trace: &str) -> Result<Span, SpanError> {
    let (status, status_message) = match span.status {
        Some(proto::Status { code: 1, message }) => (SpanStatus::Ok, message),
        Some(proto::Status { code: 2, message }) => (SpanStatus::Error, message),
        Some(proto::Status { message, .. }) => (SpanStatus::Unset, message),
        None => (SpanStatus::Unset, String::new()),
    };
    let mut attributes = attributes(span.attributes)?;
    // Whoever sent it, a span is of the trace that its id says.
    set(&mut attributes, REQUEST_ID, Value::Text(trace.to_owned()));
    let event = |event: proto::Event| {
        let attributes = self::attributes(event.attributes)?;
        Ok(SpanEvent { name: event.name, time_ns: event.time_unix_nano, attributes })
    };
    let link = |link: proto::Link| {
        let attributes = self::attributes(link.attributes)?;
        Ok(SpanLink { trace: id(&link.trace_id)?, span: id(&link.span_id)?, attributes })
    };
    Ok(Span {
        id: id(&span.span_id)?,
        parent: if span.parent_span_id.is_empty() { [0; 8] } else { id(&span.parent_span_id)? },
        name: span.name,
        kind: String::new(),
        start_ns: span.start_time_unix_nano,
        end_ns: span.end_time_unix_nano,
        status,
        status_message,
        figures: Vec::new(),
        attributes,
        events: span.events.into_iter().map(event).collect::<Result<_, _>>()?,
        links: span.links.into_iter().map(link).collect::<Result<_, _>>()?,
    })
}

/// An id of as many bytes as it has, or fewer.
fn id<const N: usize>(bytes: &[u8]) -> Result<[u8; N], SpanError> {
    if bytes.is_empty() || bytes.len() > N {
        return Err(SpanError::Malformed);
    }
    let mut id = [0; N];
    id[N - bytes.len()..].copy_from_slice(bytes);
    Ok(id)
}

/// Each key once, where it came first, with the value that came last.
fn attributes(pairs: Vec<proto::KeyValue>) -> Result<Vec<Attribute>, SpanError> {
    let mut all: Vec<Attribute> = Vec::with_capacity(pairs.len());
    for pair in pairs {
        let value = value(pair.value, runmesh_core::trace::MAX_DEPTH)?;
        set(&mut all, &pair.key, value);
    }
    Ok(all)
}

/// Sets an attribute where it stands, or at the end.
pub(super) fn set(attributes: &mut Vec<Attribute>, key: &str, value: Value) {
    match attributes.iter_mut().find(|attribute| attribute.key == key) {
        Some(held) => held.value = value,
        None => attributes.push(Attribute::new(key, value)),
    }
}

fn value(any: Option<proto::AnyValue>, depth: usize) -> Result<Value, SpanError> {
    let Some(any) = any.and_then(|any| any.value) else { return Ok(Value::Nothing) };
    Ok(match any {
        proto::Value::Text(text) => Value::Text(text),
        proto::Value::Boolean(value) => Value::Boolean(value),
        proto::Value::Integer(value) => Value::Integer(value),
        proto::Value::Number(value) => Value::Number(value),
        proto::Value::Bytes(bytes) => Value::Bytes(bytes),
        _ if depth == 0 => return Err(SpanError::Malformed),
        proto::Value::List(list) => {
            let values = list.values.into_iter().map(|any| value(Some(any), depth - 1));
            Value::List(values.collect::<Result<_, _>>()?)
        }
        proto::Value::Map(map) => {
            let mut all = Vec::with_capacity(map.values.len());
            for pair in map.values {
                all.push(Attribute::new(pair.key, value(pair.value, depth - 1)?));
            }
            Value::Map(all)
        }
    })
}

fn name_program(span: &mut Span, resource: &[Attribute]) {
    let name = resource.iter().find(|attribute| attribute.key == "service.name");
    let name = name.and_then(|attribute| attribute.value.as_text());
    if let Some(name) = name.filter(|name| KNOWN_PROGRAMS.contains(name)) {
        set(&mut span.attributes, "service.name", Value::Text(name.to_owned()));
    }
}

/// Notes what a span says of its whole trace.
fn say_of_trace(part: &mut TracePart, span: &Span, resource: &[Attribute]) {
    for attribute in resource {
        if !NO_TAGS.iter().any(|head| attribute.key.starts_with(head)) {
            let value = text_of(Some(&attribute.value)).unwrap_or_default();
            add_tag(&mut part.tags, &attribute.key, &value);
        }
    }
    let session = SESSION_ATTRIBUTES.iter().find_map(|key| text_of(span.attribute(key)));
    for (key, text) in [(SESSION, session), (USER, text_of(span.attribute(USER_ATTRIBUTE)))] {
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            let text = limits::cut(MAX_METADATA_CHARS, &text);
            part.metadata.push(KeyValue::new(key, text));
        }
    }
    if !span.is_root() {
        return;
    }
    for attribute in &span.attributes {
        if let Some(key) = attribute.key.strip_prefix(TAG_PREFIX) {
            let value = text_of(Some(&attribute.value)).unwrap_or_default();
            add_tag(&mut part.tags, key, &value);
        }
    }
    let shown = |key: &str, role| span.attribute(key).map(|value| preview::of(value, role));
    part.request_preview = shown(INPUTS, "user").or(part.request_preview.take());
    part.response_preview = shown(OUTPUTS, "assistant").or(part.response_preview.take());
}

/// Adds a tag unless MLflow would not take it: there is nobody to tell.
fn add_tag(tags: &mut Vec<KeyValue>, key: &str, value: &str) {
    let checked = limits::check_key(String::new, key);
    if checked.and_then(|()| limits::check_length("key", limits::MAX_KEY_CHARS, key)).is_ok() {
        tags.push(KeyValue::new(key, limits::cut(MAX_TAG_VALUE_CHARS, value)));
    }
}

/// A text as it is, anything else as JSON.
pub(super) fn text_of(value: Option<&Value>) -> Option<String> {
    Some(match value? {
        Value::Text(text) => text.clone(),
        other => python_json(other),
    })
}

/// What a span counts for itself and those below it.
fn figures(span: &Span) -> Vec<Figure> {
    let mut figures = Vec::new();
    let mut add = |group: &str, name: &str, value: f64| {
        let (group, name) = (group.to_owned(), name.to_owned());
        figures.push(Figure { group, name, value });
    };
    if let Some(cost) = span.attribute(COST).and_then(map_of) {
        for name in MONEY_FIGURES {
            add(MONEY, name, number(&cost, name).unwrap_or_default());
        }
    }
    if let Some(usage) = span.attribute(USAGE).and_then(map_of) {
        for name in TOKEN_FIGURES {
            add(TOKENS, name, number(&usage, name).unwrap_or_default());
        }
        for name in CACHE_FIGURES {
            if let Some(value) = number(&usage, name) {
                add(TOKENS, name, value);
            }
        }
    }
    figures
}

/// A map, which may also come as JSON in a text.
fn map_of(value: &Value) -> Option<Vec<Attribute>> {
    match value {
        Value::Map(attributes) => Some(attributes.clone()),
        Value::Text(text) => match super::value::unpacked(text)? {
            Value::Map(attributes) => Some(attributes),
            _ => None,
        },
        _ => None,
    }
}

fn number(map: &[Attribute], key: &str) -> Option<f64> {
    let value = match &map.iter().find(|attribute| attribute.key == key)?.value {
        Value::Integer(value) => *value as f64,
        Value::Number(value) => *value,
        Value::Text(text) => text.parse().ok()?,
        _ => return None,
    };
    value.is_finite().then_some(value)
}
