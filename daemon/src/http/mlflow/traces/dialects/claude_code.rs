//! Claude Code's spans: what went in and came out depends on the step, and is redacted unless the
//! user asked for it to be told.

use runmesh_core::trace::{Attribute, Span, Value};

use super::{Counts, count, kind as kind_of, told, word};

const PREFIX: &str = "claude_code.";
const INTERACTION: &str = "interaction";
const REQUEST: &str = "llm_request";
const TOOL: &str = "tool";
const KINDS: [(&str, &str); 3] = [(INTERACTION, "AGENT"), (REQUEST, "LLM"), (TOOL, "TOOL")];
const REDACTED: &str = "<REDACTED>";
/// What a step with a tool says of what it does, if it does not say what went in.
const DETAILS: [&str; 4] = ["full_command", "file_path", "skill_name", "subagent_type"];

/// Which step a span is. Some versions write it without its prefix.
fn step(span: &Span) -> Option<&'static str> {
    let word = word(span, "span.type")?;
    let word = word.strip_prefix(PREFIX).unwrap_or(&word);
    KINDS.iter().map(|(step, _)| *step).find(|step| *step == word)
}

pub(super) fn kind(span: &Span) -> Option<&'static str> {
    kind_of(step(span)?, &KINDS)
}

pub(super) fn inputs(span: &Span) -> Option<Value> {
    match step(span)? {
        INTERACTION => content(span, "user_prompt").or_else(|| content(span, "new_context")),
        REQUEST => content(span, "new_context"),
        _ => content(span, "tool_input").or_else(|| {
            let detail = |key: &&str| Some(Attribute::new(*key, content(span, key)?));
            let details: Vec<Attribute> = DETAILS.iter().filter_map(detail).collect();
            (!details.is_empty()).then_some(Value::Map(details))
        }),
    }
}

pub(super) fn outputs(span: &Span) -> Option<Value> {
    match step(span)? {
        REQUEST => content(span, "response.model_output"),
        TOOL => content(span, "new_context"),
        _ => None,
    }
}

/// What a tool gave back, which an event tells.
pub(super) fn output_of_tool(span: &Span) -> Option<Value> {
    if step(span)? != TOOL {
        return None;
    }
    let outputs = span.events.iter().filter(|event| event.name == "tool.output");
    let mut said = outputs.flat_map(|event| {
        ["output", "content", "diff"].iter().filter_map(|key| shown(&event.attributes, key))
    });
    said.next()
}

/// Claude Code counts what came from a cache apart from what was read.
pub(super) fn tokens(span: &Span) -> Counts {
    if step(span) != Some(REQUEST) {
        return Counts::default();
    }
    let [cached, kept] =
        ["cache_read_tokens", "cache_creation_tokens"].map(|name| count(span, name));
    let read = count(span, "input_tokens").and_then(|read| {
        read.checked_add(cached.unwrap_or_default())?.checked_add(kept.unwrap_or_default())
    });
    [read, count(span, "output_tokens"), None, cached, kept]
}

fn content(span: &Span, key: &str) -> Option<Value> {
    shown(&span.attributes, key)
}

/// What an attribute says, unless the user did not want it told.
fn shown(attributes: &[Attribute], key: &str) -> Option<Value> {
    told(attributes, key).filter(|value| value.as_text() != Some(REDACTED))
}
