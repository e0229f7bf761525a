//! Traces as MLflow's clients read them: the third form of their info, the second, and spans.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use data_encoding::BASE64;
use runmesh_core::ids::ExperimentId;
use runmesh_core::rows::{ExperimentRow, KeyValue, TraceRow};
use runmesh_core::store::{Snapshot, StoreError};
use runmesh_core::trace::{Attribute, Figure, Span, SpanEvent, SpanLink, SpanStatus};
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::names::{
    ARTIFACT_LOCATION, MONEY, MONEY_FIGURES, SPANS_LOCATION, TOKEN_USAGE, TOKENS, TRACE_COST,
};
use super::time::{duration, timestamp};
use super::value::{AttributesJson, push_map, push_number, push_text, python_json};
use crate::http::mlflow::limits;
use crate::http::mlflow::render::default_location;

/// MLflow shows no more of a fact, in characters.
const MAX_METADATA_CHARS: usize = 250;
/// MLflow shows no more of a tag, in characters.
const MAX_TAG_CHARS: usize = 4096;

/// Where experiments keep their artifacts, for the traces of an answer.
#[derive(Default)]
pub(super) struct Locations(BTreeMap<ExperimentId, String>);

impl Locations {
    /// Notes where a trace's experiment keeps its artifacts.
    pub(super) fn add(&mut self, snapshot: &Snapshot, row: &TraceRow) -> Result<(), StoreError> {
        if let Entry::Vacant(place) = self.0.entry(row.experiment) {
            let experiment = snapshot.experiment(row.experiment)?;
            place.insert(location(row.experiment, experiment.as_ref()));
        }
        Ok(())
    }

    fn of(&self, row: &TraceRow) -> String {
        let root = self.0.get(&row.experiment).cloned();
        let root = root.unwrap_or_else(|| default_location(row.experiment));
        let (path, query) = root.split_at(root.find('?').unwrap_or(root.len()));
        format!("{}/traces/{}/artifacts{query}", path.strip_suffix('/').unwrap_or(path), row.id)
    }
}

fn location(id: ExperimentId, row: Option<&ExperimentRow>) -> String {
    let given = row.and_then(|row| row.artifact_location.clone());
    given.unwrap_or_else(|| default_location(id))
}

/// Tags as clients see them: with those that a server sets.
fn tags(row: &TraceRow, locations: &Locations) -> BTreeMap<String, String> {
    let mut tags = shown(&row.tags, MAX_TAG_CHARS);
    tags.insert(ARTIFACT_LOCATION.to_owned(), locations.of(row));
    if row.spans > 0 {
        tags.insert(SPANS_LOCATION.to_owned(), "TRACKING_STORE".to_owned());
    }
    tags
}

/// Facts as clients see them: with what the spans count.
fn metadata(row: &TraceRow) -> BTreeMap<String, String> {
    let mut metadata = shown(&row.metadata, MAX_METADATA_CHARS);
    let groups = [(TOKEN_USAGE, TOKENS), (TRACE_COST, MONEY)];
    for (key, group) in groups {
        if !metadata.contains_key(key)
            && let Some(json) = figures_json(&row.figures, group)
        {
            metadata.insert(key.to_owned(), json);
        }
    }
    metadata
}

fn shown(pairs: &[KeyValue], limit: usize) -> BTreeMap<String, String> {
    let pairs = pairs.iter();
    pairs.map(|pair| (pair.key.clone(), limits::cut(limit, &pair.value).to_owned())).collect()
}

/// Figures of a group as Python writes a dict of them.
fn figures_json(figures: &[Figure], group: &str) -> Option<String> {
    let mut of_group: Vec<_> = figures.iter().filter(|figure| figure.group == group).collect();
    if of_group.is_empty() {
        return None;
    }
    let order = |figure: &&Figure| MONEY_FIGURES.iter().position(|name| *name == figure.name);
    of_group.sort_by_key(order);
    let mut json = String::from("{");
    for (at, figure) in of_group.into_iter().enumerate() {
        json.push_str(if at > 0 { ", " } else { "" });
        push_text(&mut json, &figure.name);
        json.push_str(": ");
        match group {
            TOKENS => json.push_str(&format!("{:.0}", figure.value)),
            _ => push_number(&mut json, figure.value),
        }
    }
    json.push('}');
    Some(json)
}

/// What is known of a trace, in the third form.
#[derive(Serialize)]
pub(super) struct InfoJson<'a> {
    trace_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_request_id: Option<&'a str>,
    trace_location: LocationJson,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_preview: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_preview: Option<&'a str>,
    request_time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    execution_duration: Option<String>,
    state: &'static str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    trace_metadata: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    assessments: Vec<Value>,
    tags: BTreeMap<String, String>,
}

#[derive(Serialize)]
struct LocationJson {
    r#type: &'static str,
    mlflow_experiment: ExperimentJson,
}

#[derive(Serialize)]
struct ExperimentJson {
    experiment_id: String,
}

impl<'a> InfoJson<'a> {
    pub(super) fn new(row: &'a TraceRow, locations: &Locations) -> Self {
        let experiment_id = row.experiment.to_string();
        Self {
            trace_id: &row.id,
            client_request_id: row.client_request_id.as_deref(),
            trace_location: LocationJson {
                r#type: "MLFLOW_EXPERIMENT",
                mlflow_experiment: ExperimentJson { experiment_id },
            },
            request_preview: row.request_preview.as_deref(),
            response_preview: row.response_preview.as_deref(),
            request_time: timestamp(row.start_ms),
            execution_duration: row.duration_ms.map(duration),
            state: row.status.as_str(),
            trace_metadata: metadata(row),
            assessments: assessments(row),
            tags: tags(row, locations),
        }
    }
}

/// The assessments of a trace, the oldest first.
fn assessments(row: &TraceRow) -> Vec<Value> {
    let parsed = row.assessments.iter().map(|held| serde_json::from_str(&held.value));
    let mut all: Vec<Value> = parsed.filter_map(Result::ok).collect();
    let created = |assessment: &Value| assessment["create_time"].as_str().map(str::to_owned);
    all.sort_by_cached_key(created);
    all
}

/// What is known of a trace, in the second form.
#[derive(Serialize)]
pub(super) struct InfoV2Json<'a> {
    request_id: &'a str,
    experiment_id: String,
    timestamp_ms: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    execution_time_ms: Option<i64>,
    status: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    request_metadata: Vec<PairJson>,
    tags: Vec<PairJson>,
}

#[derive(Serialize)]
struct PairJson {
    key: String,
    value: String,
}

impl<'a> InfoV2Json<'a> {
    pub(super) fn new(row: &'a TraceRow, locations: &Locations) -> Self {
        let pairs = |map: BTreeMap<String, String>| {
            map.into_iter().map(|(key, value)| PairJson { key, value }).collect()
        };
        let status = match row.status.as_str() {
            "STATE_UNSPECIFIED" => "TRACE_STATUS_UNSPECIFIED",
            word => word,
        };
        Self {
            request_id: &row.id,
            experiment_id: row.experiment.to_string(),
            timestamp_ms: row.start_ms,
            execution_time_ms: row.duration_ms,
            status,
            request_metadata: pairs(metadata(row)),
            tags: pairs(tags(row, locations)),
        }
    }
}

/// A trace with its spans.
#[derive(Serialize)]
pub(super) struct TraceJson<'a> {
    pub(super) trace_info: InfoJson<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) spans: Vec<SpanJson<'a>>,
}

/// A span as protobuf's JSON has it.
pub(super) struct SpanJson<'a> {
    pub(super) trace: [u8; 16],
    pub(super) span: &'a Span,
}

impl Serialize for SpanJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        let span = self.span;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("trace_id", &BASE64.encode(&self.trace))?;
        map.serialize_entry("span_id", &BASE64.encode(&span.id))?;
        if !span.is_root() {
            map.serialize_entry("parent_span_id", &BASE64.encode(&span.parent))?;
        }
        map.serialize_entry("name", &span.name)?;
        map.serialize_entry("start_time_unix_nano", &span.start_ns)?;
        if span.end_ns > 0 {
            map.serialize_entry("end_time_unix_nano", &span.end_ns)?;
        }
        if !span.attributes.is_empty() {
            map.serialize_entry("attributes", &AttributesJson(&span.attributes))?;
        }
        if !span.events.is_empty() {
            let events: Vec<_> = span.events.iter().map(EventJson::from).collect();
            map.serialize_entry("events", &events)?;
        }
        if !span.links.is_empty() {
            let links: Vec<_> = span.links.iter().map(LinkJson::from).collect();
            map.serialize_entry("links", &links)?;
        }
        map.serialize_entry("status", &StatusJson::from(span))?;
        map.end()
    }
}

#[derive(Serialize)]
struct EventJson<'a> {
    time_unix_nano: u64,
    name: &'a str,
    attributes: AttributesJson<'a>,
}

impl<'a> From<&'a SpanEvent> for EventJson<'a> {
    fn from(event: &'a SpanEvent) -> Self {
        let attributes = AttributesJson(&event.attributes);
        Self { time_unix_nano: event.time_ns, name: &event.name, attributes }
    }
}

#[derive(Serialize)]
struct LinkJson<'a> {
    trace_id: String,
    span_id: String,
    attributes: AttributesJson<'a>,
}

impl<'a> From<&'a SpanLink> for LinkJson<'a> {
    fn from(link: &'a SpanLink) -> Self {
        let attributes = AttributesJson(&link.attributes);
        let (trace_id, span_id) = (BASE64.encode(&link.trace), BASE64.encode(&link.span));
        Self { trace_id, span_id, attributes }
    }
}

#[derive(Serialize)]
struct StatusJson<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    message: &'a str,
    code: &'static str,
}

impl<'a> From<&'a Span> for StatusJson<'a> {
    fn from(span: &'a Span) -> Self {
        Self { message: &span.status_message, code: status_code(span.status) }
    }
}

const fn status_code(status: SpanStatus) -> &'static str {
    match status {
        SpanStatus::Unset => "STATUS_CODE_UNSET",
        SpanStatus::Ok => "STATUS_CODE_OK",
        SpanStatus::Error => "STATUS_CODE_ERROR",
    }
}

/// Spans as MLflow keeps them in a file: attributes are JSON in texts.
pub(super) fn trace_file(trace: &[u8; 16], spans: &[Span]) -> String {
    let mut out = String::from("{\"spans\":[");
    for (at, span) in spans.iter().enumerate() {
        out.push_str(if at > 0 { "," } else { "" });
        push_span(&mut out, trace, span);
    }
    out.push_str("]}");
    out
}

fn push_span(out: &mut String, trace: &[u8; 16], span: &Span) {
    let mut field = |name: &str, json: &str| {
        out.push_str(if name == "trace_id" { "{\"" } else { ", \"" });
        out.push_str(name);
        out.push_str("\": ");
        out.push_str(json);
    };
    let text = |text: &str| {
        let mut out = String::new();
        push_text(&mut out, text);
        out
    };
    let map = |attributes: &[Attribute]| {
        let mut out = String::new();
        push_map(&mut out, attributes);
        out
    };
    let list = |items: Vec<String>| format!("[{}]", items.join(", "));
    field("trace_id", &text(&BASE64.encode(trace)));
    field("span_id", &text(&BASE64.encode(&span.id)));
    let parent = BASE64.encode(&span.parent);
    field("parent_span_id", &if span.is_root() { "null".to_owned() } else { text(&parent) });
    field("name", &text(&span.name));
    field("start_time_unix_nano", &span.start_ns.to_string());
    let end = if span.end_ns > 0 { span.end_ns.to_string() } else { "null".to_owned() };
    field("end_time_unix_nano", &end);
    let event = |event: &SpanEvent| {
        let (name, attributes) = (text(&event.name), map(&event.attributes));
        let time = event.time_ns;
        format!(r#"{{"name": {name}, "time_unix_nano": {time}, "attributes": {attributes}}}"#)
    };
    field("events", &list(span.events.iter().map(event).collect()));
    let (code, message) = (status_code(span.status), text(&span.status_message));
    field("status", &format!(r#"{{"code": "{code}", "message": {message}}}"#));
    let attributes = span.attributes.iter().map(|attribute| {
        format!("{}: {}", text(&attribute.key), text(&python_json(&attribute.value)))
    });
    field("attributes", &format!("{{{}}}", attributes.collect::<Vec<_>>().join(", ")));
    let link = |link: &SpanLink| {
        let trace = super::spans::trace_name(&link.trace);
        let span = data_encoding::HEXLOWER.encode(&link.span);
        let attributes = map(&link.attributes);
        format!(r#"{{"trace_id": "{trace}", "span_id": "{span}", "attributes": {attributes}}}"#)
    };
    field("links", &list(span.links.iter().map(link).collect()));
    out.push('}');
}
