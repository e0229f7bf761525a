//! Vercel's AI SDK: a step that talks to a model has each part of what went in and came out in an
//! attribute of its own; any other has all in one.

use runmesh_core::trace::{Attribute, Span, Value};

use super::{first, word};
use crate::http::mlflow::traces::value::decoded;

pub(super) const OPERATION: &str = "ai.operationId";

/// Whether a step talks to a model.
pub(super) fn is_chat(span: &Span) -> bool {
    let operation = word(span, OPERATION);
    matches!(operation.as_deref(), Some("ai.generateText.doGenerate" | "ai.streamText.doStream"))
}

pub(super) fn inputs(span: &Span) -> Option<Value> {
    if !is_chat(span) {
        return first(span, &["ai.prompt", "ai.toolCall.args", "ai.value", "ai.values"]);
    }
    let mut parts = parts(span, "ai.prompt.");
    for part in parts.iter_mut().filter(|part| part.key == "tools") {
        if let Value::List(tools) = &mut part.value {
            tools.iter_mut().for_each(|tool| *tool = decoded(tool));
        }
    }
    together(parts)
}

pub(super) fn outputs(span: &Span) -> Option<Value> {
    if is_chat(span) {
        return together(parts(span, "ai.response."));
    }
    let names = [
        "ai.response.text",
        "ai.toolCall.result",
        "ai.response.object",
        "ai.embedding",
        "ai.embeddings",
    ];
    first(span, &names)
}

fn parts(span: &Span, prefix: &str) -> Vec<Attribute> {
    let part = |attribute: &Attribute| {
        let key = attribute.key.strip_prefix(prefix)?;
        Some(Attribute::new(key, decoded(&attribute.value)))
    };
    span.attributes.iter().filter_map(part).collect()
}

fn together(parts: Vec<Attribute>) -> Option<Value> {
    (!parts.is_empty()).then_some(Value::Map(parts))
}
