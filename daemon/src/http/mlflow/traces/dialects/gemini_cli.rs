//! Gemini CLI's spans: OpenTelemetry's attributes with other words in them, and messages that are
//! wrapped as Gemini's SDK has them, which is how MLflow shows them as a conversation.

use runmesh_core::trace::{Attribute, Span, Value};

use super::{GEN_AI, OPERATION, kind as kind_of, word};

const KINDS: [(&str, &str); 3] =
    [("llm_call", "LLM"), ("tool_call", "TOOL"), ("agent_call", "AGENT")];

/// Whether a span is one of Gemini CLI's.
pub(super) fn speaks(span: &Span) -> bool {
    word(span, "gen_ai.agent.name").as_deref() == Some("gemini-cli")
}

pub(super) fn kind(span: &Span) -> Option<&'static str> {
    if !speaks(span) {
        return None;
    }
    kind_of(&word(span, OPERATION)?, &KINDS)
}

pub(super) fn inputs(span: &Span) -> Option<Value> {
    if !speaks(span) {
        return None;
    }
    let given = GEN_AI.inputs.of(span)?;
    let contents = match given {
        Value::List(contents) if word(span, OPERATION).as_deref() == Some("system_prompt") => {
            Value::List(contents.into_iter().map(by_the_system).collect())
        }
        Value::List(_) | Value::Text(_) => given,
        // It is wrapped already, or nothing that is known.
        other => return Some(other),
    };
    Some(map("contents", contents))
}

/// A message of the user that is the system's: Gemini CLI knows no other role.
fn by_the_system(content: Value) -> Value {
    let Value::Map(mut attributes) = content else { return content };
    for attribute in &mut attributes {
        if attribute.key == "role" && attribute.value.as_text() == Some("user") {
            attribute.value = Value::Text("system".to_owned());
        }
    }
    Value::Map(attributes)
}

/// The pieces of a streamed answer, as one.
pub(super) fn outputs(span: &Span) -> Option<Value> {
    if !speaks(span) {
        return None;
    }
    let given = GEN_AI.outputs.of(span)?;
    let Value::List(pieces) = &given else { return Some(given) };
    let parts: Vec<Value> = pieces.iter().flat_map(parts).cloned().collect();
    if parts.is_empty() {
        return Some(given);
    }
    let role = Attribute::new("role", Value::Text("model".to_owned()));
    let content = Value::Map(vec![role, Attribute::new("parts", Value::List(parts))]);
    Some(map("candidates", Value::List(vec![map("content", content)])))
}

fn parts(piece: &Value) -> &[Value] {
    let Value::Map(attributes) = piece else { return &[] };
    match attributes.iter().find(|attribute| attribute.key == "parts") {
        Some(Attribute { value: Value::List(parts), .. }) => parts,
        _ => &[],
    }
}

fn map(key: &str, value: Value) -> Value {
    Value::Map(vec![Attribute::new(key, value)])
}
