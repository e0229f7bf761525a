//! What other instrumentations say in words of their own, said in MLflow's.
//!
//! OpenTelemetry's conventions for generative AI, OpenInference, Traceloop and Langfuse are understood:
//! the kind of a step, the model, the tokens it took, what went in and what came out.

use runmesh_core::trace::{Attribute, Span, Value};

use super::names::{INPUTS, MODEL, MODEL_PROVIDER, OUTPUTS, SPAN_TYPE, TOKEN_FIGURES, USAGE};
use super::spans::{set, text_of};
use super::value::unpacked;

const LANGFUSE_KIND: &str = "langfuse.observation.type";
const KIND_NAMES: [&str; 4] =
    ["openinference.span.kind", "gen_ai.operation.name", "traceloop.span.kind", LANGFUSE_KIND];
const MODEL_NAMES: [&str; 4] =
    ["gen_ai.response.model", "gen_ai.request.model", "llm.model_name", "embedding.model_name"];
const PROVIDER_NAMES: [&str; 3] = ["gen_ai.provider.name", "gen_ai.system", "llm.provider"];
const INPUT_NAMES: [&str; 4] = [
    "gen_ai.input.messages",
    "input.value",
    "traceloop.entity.input",
    "langfuse.observation.input",
];
const OUTPUT_NAMES: [&str; 4] = [
    "gen_ai.output.messages",
    "output.value",
    "traceloop.entity.output",
    "langfuse.observation.output",
];
/// Names of the tokens read, written and of both, by instrumentation.
const TOKEN_NAMES: [[&str; 3]; 3] = [
    ["gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens", "gen_ai.usage.total_tokens"],
    ["llm.token_count.prompt", "llm.token_count.completion", "llm.token_count.total"],
    ["gen_ai.usage.prompt_tokens", "gen_ai.usage.completion_tokens", "llm.usage.total_tokens"],
];

/// Adds what a span says only in words that are not MLflow's.
pub(super) fn complete(span: &mut Span) {
    let kind = text_of(span.attribute(SPAN_TYPE));
    if kind.is_none_or(|kind| kind == "UNKNOWN")
        && let Some(kind) = first(span, &KIND_NAMES).and_then(|value| kind_of(&value))
    {
        set(&mut span.attributes, SPAN_TYPE, Value::Text(kind.to_owned()));
    }
    let is_langfuse = span.attribute(LANGFUSE_KIND).is_some();
    for (name, others) in [
        (INPUTS, &INPUT_NAMES[..]),
        (OUTPUTS, &OUTPUT_NAMES),
        (MODEL, &MODEL_NAMES),
        (MODEL_PROVIDER, &PROVIDER_NAMES),
    ] {
        if span.attribute(name).is_none()
            && let Some(value) = first(span, others)
        {
            // Langfuse's SDK writes what goes in and out as JSON.
            let packed = value.as_text().filter(|_| is_langfuse).and_then(unpacked);
            set(&mut span.attributes, name, packed.unwrap_or(value));
        }
    }
    if span.attribute(USAGE).is_none()
        && let Some(usage) = TOKEN_NAMES.iter().find_map(|names| usage(span, names))
    {
        set(&mut span.attributes, USAGE, Value::Map(usage));
    }
}

fn first(span: &Span, names: &[&str]) -> Option<Value> {
    names.iter().find_map(|name| span.attribute(name)).cloned()
}

fn usage(span: &Span, names: &[&str; 3]) -> Option<Vec<Attribute>> {
    let count = |name: &&str| match span.attribute(name)? {
        Value::Integer(count) => Some(*count),
        Value::Text(text) => text.parse().ok(),
        _ => None,
    };
    let [read, written, all] = [count(&names[0]), count(&names[1]), count(&names[2])];
    let all = all.or_else(|| read?.checked_add(written?));
    let counts = TOKEN_FIGURES.into_iter().zip([read, written, all]);
    let usage =
        counts.filter_map(|(name, count)| Some(Attribute::new(name, Value::Integer(count?))));
    Some(usage.collect()).filter(|usage: &Vec<_>| !usage.is_empty())
}

fn kind_of(value: &Value) -> Option<&'static str> {
    Some(match value.as_text()?.to_ascii_lowercase().as_str() {
        "chat" | "create_agent_message" => "CHAT_MODEL",
        "llm" | "text_completion" | "generate_content" | "generate_text" | "generation" => "LLM",
        "embedding" | "embeddings" => "EMBEDDING",
        "tool" | "execute_tool" => "TOOL",
        "agent" | "invoke_agent" | "create_agent" => "AGENT",
        "chain" => "CHAIN",
        "retriever" => "RETRIEVER",
        "reranker" => "RERANKER",
        "guardrail" => "GUARDRAIL",
        "evaluator" => "EVALUATOR",
        "workflow" => "WORKFLOW",
        "task" => "TASK",
        "span" => "UNKNOWN",
        _ => return None,
    })
}
