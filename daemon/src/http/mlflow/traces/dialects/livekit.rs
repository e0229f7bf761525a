//! LiveKit's spans say what kind of step they are by which attributes they have.

use runmesh_core::trace::Span;

use super::{OPERATION, OPERATIONS, kind as kind_of, word};

/// Whether a span is one of LiveKit's.
pub(super) fn speaks(span: &Span) -> bool {
    span.attributes.iter().any(|attribute| attribute.key.starts_with("lk."))
}

pub(super) fn kind(span: &Span) -> Option<&'static str> {
    if span.attribute("gen_ai.request.model").is_some() {
        return Some("LLM");
    }
    let of_operation =
        word(span, OPERATION).and_then(|word| kind_of(&word.to_ascii_lowercase(), &OPERATIONS));
    of_operation.or_else(|| span.attributes.iter().find_map(|attribute| of_key(&attribute.key)))
}

fn of_key(key: &str) -> Option<&'static str> {
    Some(match key {
        "lk.retry_count" => "LLM",
        "lk.agent_name" | "lk.instructions" | "lk.generation_id" => "AGENT",
        "lk.input_text"
        | "lk.user_transcript"
        | "lk.transcript_confidence"
        | "lk.transcription_delay" => "UNKNOWN",
        key if key.starts_with("lk.function_tool") => "TOOL",
        key if key.starts_with("lk.tts") => "UNKNOWN",
        _ => return None,
    })
}
