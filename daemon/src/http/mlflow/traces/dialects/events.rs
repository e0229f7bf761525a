//! What went in and came out as events of a span tell it.

use runmesh_core::trace::{Attribute, Span, SpanEvent, Value};

use super::told;

/// Spring AI's prompt.
pub(super) fn prompt(span: &Span) -> Option<Value> {
    of_event(span, "gen_ai.content.prompt", "gen_ai.prompt")
}

/// Spring AI's answer.
pub(super) fn completion(span: &Span) -> Option<Value> {
    of_event(span, "gen_ai.content.completion", "gen_ai.completion")
}

fn of_event(span: &Span, name: &str, key: &str) -> Option<Value> {
    let events = span.events.iter().filter(|event| event.name == name);
    events.filter_map(|event| told(&event.attributes, key)).next()
}

/// The messages that a model was given, as OpenTelemetry's conventions have them in events.
pub(super) fn messages(span: &Span) -> Option<Value> {
    let message = |event: &SpanEvent| {
        let role = match event.name.as_str() {
            "gen_ai.system.message" => "system",
            "gen_ai.user.message" => "user",
            "gen_ai.assistant.message" => "assistant",
            _ => return None,
        };
        Some(self::message(Value::Text(role.to_owned()), told(&event.attributes, "content")?))
    };
    together(span.events.iter().filter_map(message).collect())
}

/// The messages that a model answered.
pub(super) fn choices(span: &Span) -> Option<Value> {
    let choices = span.events.iter().filter(|event| event.name == "gen_ai.choice");
    let message = |event: &SpanEvent| {
        let role =
            told(&event.attributes, "role").unwrap_or_else(|| Value::Text("assistant".to_owned()));
        Some(self::message(role, told(&event.attributes, "content")?))
    };
    together(choices.filter_map(message).collect())
}

fn message(role: Value, content: Value) -> Value {
    Value::Map(vec![Attribute::new("role", role), Attribute::new("content", content)])
}

fn together(messages: Vec<Value>) -> Option<Value> {
    (!messages.is_empty()).then_some(Value::List(messages))
}
