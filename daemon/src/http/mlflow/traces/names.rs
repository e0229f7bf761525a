//! Names that MLflow's clients give to attributes of spans and to facts and tags of traces.

/// The id of the trace, on every span. A server sets it itself.
pub(super) const REQUEST_ID: &str = "mlflow.traceRequestId";
/// What went into a step, and what came out.
pub(super) const INPUTS: &str = "mlflow.spanInputs";
pub(super) const OUTPUTS: &str = "mlflow.spanOutputs";
/// What kind of step it is.
pub(super) const SPAN_TYPE: &str = "mlflow.spanType";
/// What a step and those below it took: tokens, and money.
pub(super) const USAGE: &str = "mlflow.chat.tokenUsage";
pub(super) const COST: &str = "mlflow.llm.cost";
pub(super) const MODEL: &str = "mlflow.llm.model";
pub(super) const MODEL_PROVIDER: &str = "mlflow.llm.provider";
/// The tools that a model was offered, and the form of its messages.
pub(super) const TOOLS: &str = "mlflow.chat.tools";
pub(super) const MESSAGE_FORMAT: &str = "mlflow.message.format";
/// The conversation and the user that a trace belongs to, as OpenTelemetry names them.
pub(super) const SESSION_ATTRIBUTES: [&str; 2] = ["session.id", "gen_ai.conversation.id"];
pub(super) const USER_ATTRIBUTE: &str = "user.id";
/// On the first span: tags of the trace.
pub(super) const TAG_PREFIX: &str = "mlflow.traceTag.";

/// Tags of a trace.
pub(super) const TRACE_NAME: &str = "mlflow.traceName";
pub(super) const SPANS_LOCATION: &str = "mlflow.trace.spansLocation";
pub(super) const ARTIFACT_LOCATION: &str = "mlflow.artifactLocation";
/// Tags that only a server sets. Clients may delete the last.
pub(super) const SERVER_TAGS: [&str; 3] =
    [SPANS_LOCATION, "mlflow.trace.archiveLocation", ARCHIVAL_FAILURE];
pub(super) const ARCHIVAL_FAILURE: &str = "mlflow.trace.archivalFailure";

/// Facts about a trace.
pub(super) const SOURCE_RUN: &str = "mlflow.sourceRun";
pub(super) const SESSION: &str = "mlflow.trace.session";
pub(super) const USER: &str = "mlflow.trace.user";
pub(super) const TOKEN_USAGE: &str = "mlflow.trace.tokenUsage";
pub(super) const TRACE_COST: &str = "mlflow.trace.cost";
pub(super) const SIZE_STATS: &str = "mlflow.trace.sizeStats";
/// Says that a client told all about the trace.
pub(super) const FINALIZED: &str = "mlflow.trace.infoFinalized";

/// Groups of figures, and the figures that are always there if any of the group is.
pub(super) const TOKENS: &str = "tokens";
pub(super) const MONEY: &str = "money";
pub(super) const TOKEN_FIGURES: [&str; 3] = ["input_tokens", "output_tokens", "total_tokens"];
pub(super) const CACHE_FIGURES: [&str; 3] = [
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "cache_creation_input_tokens_above_1hr",
];
pub(super) const MONEY_FIGURES: [&str; 3] = ["input_cost", "output_cost", "total_cost"];
