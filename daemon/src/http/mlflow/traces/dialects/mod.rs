//! The words in which other instrumentations say of a span what MLflow says in its own.
//!
//! A dialect is a row of names; what it puts together out of several is in a file of its own. The
//! order is that of MLflow's server (3.17, `mlflow/tracing/otel/translation`): the first that says
//! something counts, and several speak OpenTelemetry's words beside their own.

mod claude_code;
mod events;
mod gemini_cli;
mod livekit;
mod vercel_ai;

use runmesh_core::trace::{Attribute, Span, Value};

use super::value::{decoded, is_empty};

/// How one instrumentation speaks.
pub(super) struct Dialect {
    /// What kind of step a span is, in MLflow's words.
    pub(super) kind: Kind,
    /// What went in.
    pub(super) inputs: Said,
    /// What came out.
    pub(super) outputs: Said,
    /// The tools that a model was offered.
    pub(super) tools: Said,
    /// The model.
    pub(super) model: Said,
    /// Who runs the model.
    pub(super) provider: Said,
    /// The tokens that a step took.
    pub(super) tokens: Tokens,
    /// What MLflow calls the form of its messages.
    pub(super) format: Option<Format>,
}

/// A form that messages have.
pub(super) struct Format {
    /// What MLflow calls it.
    pub(super) name: &'static str,
    /// Whether a span's messages have it.
    pub(super) is_of: fn(&Span) -> bool,
}

/// Where something is said.
pub(super) enum Said {
    /// In the first of these attributes that is there and not empty. A `#` stands for a number.
    In(&'static [&'static str]),
    /// In several places.
    By(fn(&Span) -> Option<Value>),
}

/// Where the kind of a step is said.
pub(super) enum Kind {
    /// By words in attributes, the first of which MLflow has a kind for.
    In(&'static [&'static str], &'static [(&'static str, &'static str)]),
    /// In several places.
    By(fn(&Span) -> Option<&'static str>),
}

/// Tokens read, written and both, and those of what is read that came from a cache and went there.
pub(super) type Counts = [Option<i64>; 5];

/// Where tokens are counted, each in the first of some attributes.
pub(super) enum Tokens {
    In([&'static [&'static str]; 5]),
    By(fn(&Span) -> Counts),
}

const SILENT: Dialect = Dialect {
    kind: Kind::In(&[], &[]),
    inputs: Said::In(&[]),
    outputs: Said::In(&[]),
    tools: Said::In(&[]),
    model: Said::In(&[]),
    provider: Said::In(&[]),
    tokens: Tokens::In([&[]; 5]),
    format: None,
};

const OPERATION: &str = "gen_ai.operation.name";
const OPERATIONS: [(&str, &str); 8] = [
    ("chat", "CHAT_MODEL"),
    ("create_agent", "AGENT"),
    ("embeddings", "EMBEDDING"),
    ("execute_tool", "TOOL"),
    ("generate_content", "LLM"),
    ("invoke_agent", "AGENT"),
    ("text_completion", "LLM"),
    ("response", "LLM"),
];

/// <https://github.com/Arize-ai/openinference>
const OPEN_INFERENCE: Dialect = Dialect {
    kind: Kind::In(
        &["openinference.span.kind"],
        &[
            ("TOOL", "TOOL"),
            ("CHAIN", "CHAIN"),
            ("LLM", "LLM"),
            ("RETRIEVER", "RETRIEVER"),
            ("EMBEDDING", "EMBEDDING"),
            ("AGENT", "AGENT"),
            ("RERANKER", "RERANKER"),
            ("UNKNOWN", "UNKNOWN"),
            ("GUARDRAIL", "GUARDRAIL"),
            ("EVALUATOR", "EVALUATOR"),
        ],
    ),
    inputs: Said::In(&["input.value"]),
    outputs: Said::In(&["output.value"]),
    model: Said::In(&[
        "llm.response.model_name",
        "llm.model_name",
        "llm.request.model_name",
        "embedding.model_name",
    ]),
    provider: Said::In(&["llm.provider"]),
    tokens: Tokens::In([
        &["llm.token_count.prompt"],
        &["llm.token_count.completion"],
        &["llm.token_count.total"],
        &["llm.token_count.prompt_details.cache_read"],
        &["llm.token_count.prompt_details.cache_write"],
    ]),
    ..SILENT
};

/// <https://geminicli.com/docs/cli/telemetry>
const GEMINI_CLI: Dialect = Dialect {
    kind: Kind::By(gemini_cli::kind),
    inputs: Said::By(gemini_cli::inputs),
    outputs: Said::By(gemini_cli::outputs),
    format: Some(Format { name: "gemini", is_of: gemini_cli::speaks }),
    ..SILENT
};

/// <https://code.claude.com/docs/en/monitoring-usage>
const CLAUDE_CODE: Dialect = Dialect {
    kind: Kind::By(claude_code::kind),
    inputs: Said::By(claude_code::inputs),
    outputs: Said::By(claude_code::outputs),
    tokens: Tokens::By(claude_code::tokens),
    ..SILENT
};

/// <https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/>
const GEN_AI: Dialect = Dialect {
    kind: Kind::In(&[OPERATION], &OPERATIONS),
    inputs: Said::In(&["gen_ai.input.messages", "gen_ai.tool.call.arguments"]),
    outputs: Said::In(&["gen_ai.output.messages", "gen_ai.tool.call.result"]),
    tools: Said::In(&["gen_ai.tool.definitions"]),
    model: Said::In(&["gen_ai.response.model", "gen_ai.request.model"]),
    provider: Said::In(&["gen_ai.provider.name"]),
    tokens: Tokens::In([
        &["gen_ai.usage.input_tokens"],
        &["gen_ai.usage.output_tokens"],
        &[],
        &["gen_ai.usage.cache_read.input_tokens"],
        &["gen_ai.usage.cache_write.input_tokens", "gen_ai.usage.cache_creation.input_tokens"],
    ]),
    ..SILENT
};

/// <https://github.com/traceloop/openllmetry>
const TRACELOOP: Dialect = Dialect {
    kind: Kind::In(
        &["traceloop.span.kind"],
        &[
            ("workflow", "WORKFLOW"),
            ("task", "TASK"),
            ("agent", "AGENT"),
            ("tool", "TOOL"),
            ("unknown", "UNKNOWN"),
        ],
    ),
    inputs: Said::In(&[
        "traceloop.entity.input",
        "gen_ai.prompt.#.content",
        "gen_ai.completion.#.tool_calls.#.arguments",
    ]),
    outputs: Said::In(&["traceloop.entity.output", "gen_ai.completion.#.content"]),
    provider: Said::In(&["gen_ai.system"]),
    tokens: Tokens::In([
        &["gen_ai.usage.prompt_tokens"],
        &["gen_ai.usage.completion_tokens"],
        &["llm.usage.total_tokens"],
        &[],
        &[],
    ]),
    ..SILENT
};

/// <https://github.com/google/adk-python>
const GOOGLE_ADK: Dialect = Dialect {
    inputs: Said::In(&["gcp.vertex.agent.llm_request", "gcp.vertex.agent.tool_call_args"]),
    outputs: Said::In(&["gcp.vertex.agent.llm_response", "gcp.vertex.agent.tool_response"]),
    ..SILENT
};

/// <https://ai-sdk.dev/docs/ai-sdk-core/telemetry>
const VERCEL_AI: Dialect = Dialect {
    kind: Kind::In(
        &[vercel_ai::OPERATION],
        &[
            ("ai.generateText", "LLM"),
            ("ai.generateText.doGenerate", "LLM"),
            ("ai.toolCall", "TOOL"),
            ("ai.streamText", "LLM"),
            ("ai.streamText.doStream", "LLM"),
            ("ai.generateObject", "LLM"),
            ("ai.generateObject.doGenerate", "LLM"),
            ("ai.streamObject", "LLM"),
            ("ai.streamObject.doStream", "LLM"),
            ("ai.embed", "EMBEDDING"),
            ("ai.embed.doEmbed", "EMBEDDING"),
            ("ai.embedMany", "EMBEDDING"),
        ],
    ),
    inputs: Said::By(vercel_ai::inputs),
    outputs: Said::By(vercel_ai::outputs),
    format: Some(Format { name: "vercel_ai", is_of: vercel_ai::is_chat }),
    ..SILENT
};

/// <https://voltagent.dev/docs/observability/overview>
const VOLTAGENT: Dialect = Dialect {
    // A step below an agent has the agent's entity, and a type of its own.
    kind: Kind::In(
        &["span.type", "entity.type"],
        &[("agent", "AGENT"), ("llm", "LLM"), ("tool", "TOOL"), ("memory", "MEMORY")],
    ),
    inputs: Said::In(&["agent.messages", "llm.messages", "input"]),
    outputs: Said::In(&["output"]),
    tokens: Tokens::In([
        &["usage.prompt_tokens", "llm.usage.prompt_tokens"],
        &["usage.completion_tokens", "llm.usage.completion_tokens"],
        &["usage.total_tokens", "llm.usage.total_tokens"],
        &[],
        &[],
    ]),
    format: Some(Format {
        name: "voltagent",
        is_of: |span| {
            let mut marks = ["voltagent.operation_id", "voltagent.conversation_id"].into_iter();
            marks.any(|mark| span.attribute(mark).is_some())
        },
    }),
    ..SILENT
};

/// <https://docs.livekit.io/agents/observability/>
const LIVEKIT: Dialect = Dialect {
    kind: Kind::By(livekit::kind),
    inputs: Said::In(&["lk.user_input", "lk.user_transcript", "lk.chat_ctx", "lk.input_text"]),
    outputs: Said::In(&["lk.response.text", "lk.response.function_calls"]),
    format: Some(Format { name: "livekit", is_of: livekit::speaks }),
    ..SILENT
};

/// <https://docs.lmnr.ai>
const LAMINAR: Dialect = Dialect {
    kind: Kind::In(
        &[LAMINAR_KIND],
        &[
            ("LLM", "LLM"),
            ("TOOL", "TOOL"),
            ("DEFAULT", "CHAIN"),
            ("PIPELINE", "CHAIN"),
            ("EXECUTOR", "AGENT"),
            ("EVALUATOR", "EVALUATOR"),
            ("HUMAN_EVALUATOR", "EVALUATOR"),
            ("EVALUATION", "EVALUATOR"),
            ("CACHED", "LLM"),
        ],
    ),
    inputs: Said::In(&["lmnr.span.input"]),
    outputs: Said::In(&["lmnr.span.output"]),
    format: Some(Format { name: "openai", is_of: |span| span.attribute(LAMINAR_KIND).is_some() }),
    ..SILENT
};
const LAMINAR_KIND: &str = "lmnr.span.type";

/// <https://langfuse.com/integrations/native/opentelemetry>
const LANGFUSE: Dialect = Dialect {
    kind: Kind::In(
        &["langfuse.observation.type"],
        &[
            ("generation", "LLM"),
            ("embedding", "EMBEDDING"),
            ("tool", "TOOL"),
            ("retriever", "RETRIEVER"),
            ("agent", "AGENT"),
            ("chain", "CHAIN"),
            ("evaluator", "EVALUATOR"),
            ("guardrail", "GUARDRAIL"),
            ("span", "UNKNOWN"),
        ],
    ),
    inputs: Said::In(&["langfuse.observation.input"]),
    outputs: Said::In(&["langfuse.observation.output"]),
    ..SILENT
};

/// All that are understood. Spring AI speaks [`GEN_AI`] and in [`events`].
pub(super) static DIALECTS: [Dialect; 11] = [
    OPEN_INFERENCE,
    GEMINI_CLI,
    CLAUDE_CODE,
    GEN_AI,
    TRACELOOP,
    GOOGLE_ADK,
    VERCEL_AI,
    VOLTAGENT,
    LIVEKIT,
    LAMINAR,
    LANGFUSE,
];

/// What went in, as events tell it. They are asked if no attribute says it.
pub(super) static INPUT_EVENTS: [fn(&Span) -> Option<Value>; 2] =
    [events::prompt, events::messages];
/// What came out, as events tell it.
pub(super) static OUTPUT_EVENTS: [fn(&Span) -> Option<Value>; 3] =
    [events::completion, events::choices, claude_code::output_of_tool];

impl Said {
    /// What a span says.
    pub(super) fn of(&self, span: &Span) -> Option<Value> {
        match self {
            Self::In(names) => first(span, names),
            Self::By(read) => read(span),
        }
    }
}

impl Kind {
    /// The kind of a span in MLflow's words, if it says one that is known.
    pub(super) fn of(&self, span: &Span) -> Option<&'static str> {
        match self {
            Self::In(names, words) => names.iter().find_map(|name| kind(&word(span, name)?, words)),
            Self::By(read) => read(span),
        }
    }
}

impl Tokens {
    /// The tokens that a span says it took.
    pub(super) fn of(&self, span: &Span) -> Counts {
        match self {
            Self::In(names) => names.map(|names| names.iter().find_map(|name| count(span, name))),
            Self::By(read) => read(span),
        }
    }
}

fn kind(word: &str, words: &[(&str, &'static str)]) -> Option<&'static str> {
    words.iter().find(|(known, _)| *known == word).map(|(_, kind)| *kind)
}

/// The text that an attribute of a span holds.
fn word(span: &Span, name: &str) -> Option<String> {
    match decoded(span.attribute(name)?) {
        Value::Text(word) => Some(word),
        _ => None,
    }
}

/// What the attribute of a key says, if it says something.
fn told(attributes: &[Attribute], key: &str) -> Option<Value> {
    let value = &attributes.iter().find(|attribute| attribute.key == key)?.value;
    (!is_empty(value)).then(|| decoded(value))
}

/// The first of some attributes that is there and says something.
fn first(span: &Span, names: &[&str]) -> Option<Value> {
    let of_name = |name: &&str| {
        let same = |attribute: &&Attribute| is_called(&attribute.key, name);
        let mut values = span.attributes.iter().filter(same).map(|attribute| &attribute.value);
        values.find(|value| !is_empty(value)).map(decoded)
    };
    names.iter().find_map(of_name)
}

/// Whether a key is a name, in which a part that is `#` stands for a number.
fn is_called(key: &str, name: &str) -> bool {
    if !name.contains('#') {
        return key == name;
    }
    let (mut parts, mut names) = (key.split('.'), name.split('.'));
    loop {
        match (parts.next(), names.next()) {
            (None, None) => return true,
            (Some(part), Some("#")) if part.parse::<u32>().is_ok() => {}
            (Some(part), Some(name)) if part == name => {}
            _ => return false,
        }
    }
}

/// A count that an attribute has, as a number or a text.
fn count(span: &Span, name: &str) -> Option<i64> {
    match span.attribute(name)? {
        Value::Integer(count) => Some(*count),
        Value::Text(text) => text.trim_matches('"').parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::is_called;

    #[test]
    fn a_number_stands_for_any() {
        assert!(is_called("gen_ai.prompt.12.content", "gen_ai.prompt.#.content"));
        for other in ["gen_ai.prompt.x.content", "gen_ai.prompt.1", "gen_ai.prompt.1.content.2"] {
            assert!(!is_called(other, "gen_ai.prompt.#.content"), "{other}");
        }
    }
}
