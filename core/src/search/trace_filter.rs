//! Filters and order_by of traces. Their language is that of runs, but each name has rules of its own.

use super::condition::{Condition, Relation};
use super::filter::{RawClause, RawValue, raw_clauses};
use super::lexer::{Kind, tokens};
use super::pattern::Pattern;
use super::schema::{quoted_list, unquoted};
use super::{AssessmentKind, SearchError};

/// What every trace has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TraceAttribute {
    /// Its id.
    Id,
    /// Its experiment. Only order_by names it.
    Experiment,
    /// Its start, in milliseconds since 1970.
    Start,
    /// How long it took, in milliseconds.
    Duration,
    /// Its end, in milliseconds since 1970.
    End,
    /// How far it has come.
    Status,
    /// What the client calls the request.
    ClientRequestId,
}

/// Something of a span.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SpanField {
    /// What it is called.
    Name,
    /// What kind of step it is.
    Kind,
    /// How it ended.
    Status,
    /// All of it, as text.
    Content,
    /// One of its attributes.
    Attribute(String),
}

/// Something of a trace that a clause or an order names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TraceField {
    /// What every trace has.
    Attribute(TraceAttribute),
    /// Its name, which is a tag.
    Name,
    /// A run that it belongs to.
    Run,
    /// A version of a prompt that it is linked to.
    Prompt,
    /// A tag.
    Tag(String),
    /// A fact.
    Metadata(String),
    /// Something of one of its spans; all such clauses are about the same span.
    Span(SpanField),
    /// The value of an assessment of this kind and name.
    Assessment(AssessmentKind, String),
    /// An issue that it is assigned to.
    Issue,
}

/// What a clause asks of a value.
#[derive(Debug, Clone)]
pub enum TraceCondition {
    /// What runs are asked, too.
    Plain(Condition),
    /// A text in which this is found.
    Matches(regex_lite::Regex),
}

impl TraceCondition {
    /// Whether a text, if there is one, is what is asked for.
    pub(super) fn holds_for_text(&self, value: Option<&str>) -> bool {
        match self {
            Self::Plain(condition) => condition.holds_for_text(value),
            Self::Matches(regex) => value.is_some_and(|text| regex.is_match(text)),
        }
    }

    pub(super) fn holds_for_number(&self, value: Option<f64>) -> bool {
        match self {
            Self::Plain(condition) => condition.holds_for_number(value),
            Self::Matches(_) => false,
        }
    }
}

/// One comparison of a filter. A trace is found if all of them hold.
#[derive(Debug, Clone)]
pub struct TraceClause {
    /// What is compared.
    pub field: TraceField,
    /// With what.
    pub condition: TraceCondition,
}

/// One thing that traces are sorted by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceOrder {
    /// What.
    pub field: TraceField,
    /// From low to high. What has no value comes last either way.
    pub ascending: bool,
}

const VALID_ENTITIES: &str = "Valid values are ['attribute', 'attributes', 'expectation', \
                              'feedback', 'issue', 'metadata', 'request_metadata', 'span', 'tag', \
                              'tags', 'trace']";
const ORDERED: [&str; 9] = [
    "end_time",
    "execution_time",
    "experiment_id",
    "name",
    "request_id",
    "run_id",
    "status",
    "timestamp",
    "timestamp_ms",
];
const FILTERED: [&str; 11] = [
    "client_request_id",
    "end_time",
    "execution_time",
    "name",
    "prompt",
    "request_id",
    "run_id",
    "status",
    "text",
    "timestamp",
    "timestamp_ms",
];

fn attribute(key: &str) -> Option<TraceField> {
    use TraceAttribute::*;
    Some(match key {
        "request_id" | "trace_id" => TraceField::Attribute(Id),
        "experiment_id" => TraceField::Attribute(Experiment),
        "timestamp" | "timestamp_ms" => TraceField::Attribute(Start),
        "execution_time" | "execution_time_ms" => TraceField::Attribute(Duration),
        "end_time" | "end_time_ms" => TraceField::Attribute(End),
        "status" => TraceField::Attribute(Status),
        "client_request_id" => TraceField::Attribute(ClientRequestId),
        "name" => TraceField::Name,
        "run_id" => TraceField::Run,
        "prompt" => TraceField::Prompt,
        "text" => TraceField::Span(SpanField::Content),
        _ => return None,
    })
}

fn unknown(key: &str, valid: &[&str]) -> SearchError {
    let valid = quoted_list(valid.iter().copied());
    SearchError::UnknownAttribute { key: key.to_owned(), valid }
}

/// Looks up what a filter or an order calls a field.
fn named(name: &str, valid: &[&str]) -> Result<TraceField, SearchError> {
    let bare = |key: &str| attribute(key).ok_or_else(|| unknown(key, valid));
    let Some((entity, key)) = name.split_once('.') else {
        return bare(unquoted(unquoted(name, "'\""), "`"));
    };
    let key = unquoted(unquoted(key, "'\""), "`");
    Ok(match unquoted(entity, "`") {
        "attribute" | "attributes" | "trace" => bare(key)?,
        "tag" | "tags" => TraceField::Tag(key.to_owned()),
        "request_metadata" | "metadata" => TraceField::Metadata(key.to_owned()),
        "span" => TraceField::Span(span_field(key)?),
        "feedback" => TraceField::Assessment(AssessmentKind::Feedback, key.to_owned()),
        "expectation" => TraceField::Assessment(AssessmentKind::Expectation, key.to_owned()),
        "issue" if key == "id" => TraceField::Issue,
        "issue" => {
            return Err(SearchError::UnknownAttribute {
                key: key.to_owned(),
                valid: "'id'".to_owned(),
            });
        }
        other => {
            let found = other.to_owned();
            return Err(SearchError::UnknownEntity { found, valid: VALID_ENTITIES });
        }
    })
}

fn span_field(key: &str) -> Result<SpanField, SearchError> {
    let unknown = || SearchError::UnknownSpanKey(key.to_owned());
    Ok(match key {
        "name" => SpanField::Name,
        "type" => SpanField::Kind,
        "status" => SpanField::Status,
        "content" => SpanField::Content,
        _ => {
            let attribute = key.strip_prefix("attributes.").filter(|rest| !rest.is_empty());
            SpanField::Attribute(unquoted(attribute.ok_or_else(unknown)?, "`").to_owned())
        }
    })
}

/// Reads a filter of traces. An empty one finds everything.
pub fn parse_trace_filter(text: &str) -> Result<Vec<TraceClause>, SearchError> {
    raw_clauses(text)?.into_iter().map(clause).collect()
}

const TEXTS: &str = "'=', '!=', 'LIKE', 'ILIKE', 'RLIKE', 'IS NULL', 'IS NOT NULL'";
const LISTED: &str = "'=', '!=', 'IN', 'NOT IN', 'LIKE', 'ILIKE', 'RLIKE'";
const NUMBERS: &str = "'=', '!=', '>', '>=', '<', '<='";

fn clause(raw: RawClause) -> Result<TraceClause, SearchError> {
    let field = named(&raw.name, &FILTERED)?;
    let condition = match &field {
        TraceField::Attribute(
            TraceAttribute::Start | TraceAttribute::Duration | TraceAttribute::End,
        ) => number(&raw)?,
        TraceField::Attribute(TraceAttribute::Experiment) => {
            return Err(unknown("experiment_id", &FILTERED));
        }
        TraceField::Tag(_) | TraceField::Metadata(_) | TraceField::Name | TraceField::Run
            if is_null(&raw).is_some() =>
        {
            TraceCondition::Plain(is_null(&raw).unwrap_or(Condition::IsNull))
        }
        TraceField::Tag(_) => text(raw, TEXTS, "tag (e.g. 'my-value')")?,
        TraceField::Metadata(_) => text(raw, TEXTS, "request_metadata (e.g. 'my-value')")?,
        TraceField::Attribute(_) | TraceField::Name | TraceField::Run => {
            text(raw, LISTED, "attributes")?
        }
        TraceField::Span(SpanField::Content) => {
            if !matches!(raw.comparator.as_str(), "LIKE" | "ILIKE") {
                return Err(invalid(&raw.comparator, "'LIKE', 'ILIKE'"));
            }
            text(raw, "'LIKE', 'ILIKE'", "span (e.g. 'my-value')")?
        }
        TraceField::Span(_) => text(raw, LISTED, "span (e.g. 'my-value')")?,
        TraceField::Prompt => {
            let condition = equal(raw, "attributes")?;
            if let TraceCondition::Plain(Condition::Equal(prompt)) = &condition
                && prompt.matches('/').count() != 1
            {
                return Err(SearchError::InvalidPrompt(prompt.clone()));
            }
            condition
        }
        TraceField::Issue => equal(raw, "issue (e.g. 'my-value')")?,
        TraceField::Assessment(..) => assessment(raw)?,
    };
    Ok(TraceClause { field, condition })
}

fn invalid(found: &str, valid: &'static str) -> SearchError {
    SearchError::InvalidComparator { found: found.to_owned(), valid }
}

fn is_null(raw: &RawClause) -> Option<Condition> {
    match raw.comparator.as_str() {
        "IS NULL" => Some(Condition::IsNull),
        "IS NOT NULL" => Some(Condition::IsNotNull),
        _ => None,
    }
}

fn relation(comparator: &str) -> Option<Relation> {
    Some(match comparator {
        "=" => Relation::Equal,
        "!=" => Relation::NotEqual,
        "<" => Relation::Less,
        "<=" => Relation::LessOrEqual,
        ">" => Relation::Greater,
        ">=" => Relation::GreaterOrEqual,
        _ => return None,
    })
}

fn number(raw: &RawClause) -> Result<TraceCondition, SearchError> {
    let relation = relation(&raw.comparator).ok_or_else(|| invalid(&raw.comparator, NUMBERS))?;
    match &raw.value {
        RawValue::Number(value) => Ok(TraceCondition::Plain(Condition::Number(relation, *value))),
        other => {
            Err(SearchError::AttributeNeedsNumber { key: raw.name.clone(), found: written(other) })
        }
    }
}

fn written(value: &RawValue) -> String {
    match value {
        RawValue::Nothing => String::new(),
        RawValue::Number(number) => number.to_string(),
        RawValue::Text(text) => format!("'{text}'"),
        RawValue::List(texts) => format!("({})", quoted_list(texts.iter().map(String::as_str))),
        RawValue::Other(source) => source.clone(),
    }
}

fn text(
    raw: RawClause,
    valid: &'static str,
    what: &'static str,
) -> Result<TraceCondition, SearchError> {
    let condition = match (raw.comparator.as_str(), raw.value) {
        ("IN", RawValue::List(texts)) if valid == LISTED => Condition::In(texts),
        ("NOT IN", RawValue::List(texts)) if valid == LISTED => Condition::NotIn(texts),
        ("=", RawValue::Text(text)) => Condition::Equal(text),
        ("!=", RawValue::Text(text)) => Condition::NotEqual(text),
        ("LIKE", RawValue::Text(text)) => Condition::Like(Pattern::like(&text)),
        ("ILIKE", RawValue::Text(text)) => Condition::Like(Pattern::ilike(&text)),
        ("RLIKE", RawValue::Text(pattern)) => return matches(pattern),
        ("=" | "!=" | "LIKE" | "ILIKE" | "RLIKE", other) => {
            return Err(SearchError::NeedsText { what, found: written(&other) });
        }
        (comparator, _) => return Err(invalid(comparator, valid)),
    };
    Ok(TraceCondition::Plain(condition))
}

/// The largest pattern, compiled, in bytes: what takes more is no search for a text.
const MAX_PATTERN_BYTES: usize = 1 << 20;

fn matches(pattern: String) -> Result<TraceCondition, SearchError> {
    let built = regex_lite::RegexBuilder::new(&pattern).size_limit(MAX_PATTERN_BYTES).build();
    built.map(TraceCondition::Matches).map_err(|error| {
        let reason = error.to_string();
        SearchError::InvalidPattern { pattern, reason }
    })
}

fn equal(raw: RawClause, what: &'static str) -> Result<TraceCondition, SearchError> {
    match (raw.comparator.as_str(), raw.value) {
        ("=", RawValue::Text(text)) => Ok(TraceCondition::Plain(Condition::Equal(text))),
        ("=", other) => Err(SearchError::NeedsText { what, found: written(&other) }),
        (comparator, _) => Err(invalid(comparator, "'='")),
    }
}

fn assessment(raw: RawClause) -> Result<TraceCondition, SearchError> {
    const VALID: &str = "'=', '!=', '>', '>=', '<', '<=', 'LIKE', 'ILIKE', 'RLIKE', 'IS NULL', \
                         'IS NOT NULL'";
    if let Some(null) = is_null(&raw) {
        return Ok(TraceCondition::Plain(null));
    }
    match raw.comparator.as_str() {
        ">" | ">=" | "<" | "<=" => number(&raw),
        _ => text(raw, VALID, "assessments (e.g. 'my-value')"),
    }
}

/// Reads what traces are to be sorted by: first by the first, and so on.
pub fn parse_trace_order(clauses: &[impl AsRef<str>]) -> Result<Vec<TraceOrder>, SearchError> {
    let mut order: Vec<TraceOrder> = Vec::with_capacity(clauses.len());
    for clause in clauses {
        let one = order_of(clause.as_ref())?;
        if order.iter().any(|earlier| earlier.field == one.field) {
            let all = quoted_list(clauses.iter().map(AsRef::as_ref));
            return Err(SearchError::RepeatedOrder(all));
        }
        order.push(one);
    }
    Ok(order)
}

fn order_of(clause: &str) -> Result<TraceOrder, SearchError> {
    let words = tokens(clause);
    let direction = |word: &str| match () {
        () if word.eq_ignore_ascii_case("asc") => Some(true),
        () if word.eq_ignore_ascii_case("desc") => Some(false),
        () => None,
    };
    let (name, ascending) = match words.as_slice() {
        [name] if direction(name.of(clause)).is_none() => (name, true),
        [name, word] if word.kind == Kind::Identifier => {
            let ascending = direction(word.of(clause));
            (name, ascending.ok_or_else(|| SearchError::InvalidDirection(clause.to_owned()))?)
        }
        _ => return Err(SearchError::InvalidOrder(clause.to_owned())),
    };
    if name.kind != Kind::Identifier {
        return Err(SearchError::InvalidOrder(clause.to_owned()));
    }
    let source = name.of(clause);
    let name = match unquoted(source, "`\"") {
        whole if whole.contains(['`', '"']) => source,
        whole => whole,
    };
    let field = named(name, &ORDERED)?;
    match field {
        TraceField::Attribute(TraceAttribute::ClientRequestId) | TraceField::Prompt => {
            Err(unknown(name, &ORDERED))
        }
        TraceField::Span(_) => Err(SearchError::Unorderable("span")),
        TraceField::Assessment(..) => Err(SearchError::Unorderable("assessment")),
        TraceField::Issue => Err(SearchError::Unorderable("issue")),
        field => Ok(TraceOrder { field, ascending }),
    }
}
