//! Filters of figures about traces: `trace.status`, `trace.tag.k`, `trace.metadata.k`, `span.name`,
//! `span.status`, `span.type`, `assessment.name` and `assessment.type`, each with `= 'text'`.

use runmesh_core::search::{
    AssessmentKind, Condition, TraceAttribute, TraceClause, TraceCondition, TraceField,
};
use runmesh_core::trace::Span;

use super::measure::View;
use super::names::{SOURCE_RUN, TRACE_NAME};
use super::search::WORDS;
use crate::http::mlflow::error::ApiError;
use crate::http::mlflow::python;

/// What is compared, by what it is of, and whether it needs a key.
const NAMES: [(&str, &[(&str, bool)]); 3] = [
    ("trace", &[("status", false), ("tag", true), ("metadata", true)]),
    ("span", &[("name", false), ("status", false), ("type", false)]),
    ("assessment", &[("name", false), ("type", false)]),
];

/// One comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum MetricFilter {
    TraceStatus(String),
    Tag(String, String),
    Metadata(String, String),
    SpanName(String),
    SpanStatus(String),
    SpanKind(String),
    AssessmentName(String),
    AssessmentKind(String),
}

impl MetricFilter {
    /// Reads a filter of what a view shows.
    pub(super) fn read(text: &str, view: View) -> Result<Self, ApiError> {
        let (name, value) = comparison(text)?;
        let mut parts = name.splitn(3, '.');
        let (Some(of), Some(entity)) = (parts.next(), parts.next()) else {
            return Err(ApiError::invalid(format!(
                "Invalid identifier {}. Columns should be specified as 'trace.<key>', \
                 'span.<key>', 'assessment.<key>'.",
                python::repr(&name)
            )));
        };
        let key = parts.next().map(unquoted);
        check(of, entity, key)?;
        let key = key.unwrap_or_default().to_owned();
        match (of, view) {
            ("span", View::Traces | View::Assessments) => {
                let message = "Filtering by span is only supported for SPANS view type, got";
                return Err(ApiError::invalid(format!("{message} {}", view.word())));
            }
            ("assessment", View::Traces | View::Spans) => {
                let message =
                    "Filtering by assessment is only supported for ASSESSMENTS view type, got";
                return Err(ApiError::invalid(format!("{message} {}", view.word())));
            }
            _ => {}
        }
        Ok(match (of, entity) {
            ("trace", "status") => Self::TraceStatus(value),
            ("trace", "tag") => Self::Tag(key, value),
            ("trace", _) => Self::Metadata(key, value),
            ("span", "name") => Self::SpanName(value),
            ("span", "status") => Self::SpanStatus(value),
            ("span", _) => Self::SpanKind(value),
            (_, "name") => Self::AssessmentName(value),
            _ => Self::AssessmentKind(value),
        })
    }

    /// As a clause of a search for traces, if it is about them.
    pub(super) fn of_trace(&self) -> Option<TraceClause> {
        let (field, value) = match self {
            Self::TraceStatus(value) => (TraceField::Attribute(TraceAttribute::Status), value),
            Self::Tag(key, value) if key == TRACE_NAME => (TraceField::Name, value),
            Self::Tag(key, value) => (TraceField::Tag(key.clone()), value),
            Self::Metadata(key, value) if key == SOURCE_RUN => (TraceField::Run, value),
            Self::Metadata(key, value) => (TraceField::Metadata(key.clone()), value),
            _ => return None,
        };
        let condition = TraceCondition::Plain(Condition::Equal(value.clone()));
        Some(TraceClause { field, condition })
    }

    /// Whether a span is what it asks for.
    pub(super) fn lets_through_span(&self, span: &Span) -> bool {
        match self {
            Self::SpanName(name) => span.name == *name,
            Self::SpanStatus(status) => (WORDS.span_status)(span) == status,
            Self::SpanKind(kind) => span.kind == *kind,
            _ => true,
        }
    }

    /// Whether an assessment of this kind and name is what it asks for.
    pub(super) fn lets_through_assessment(&self, kind: AssessmentKind, name: &str) -> bool {
        match self {
            Self::AssessmentName(asked) => asked == name,
            Self::AssessmentKind(asked) => match kind {
                AssessmentKind::Feedback => asked == "feedback",
                AssessmentKind::Expectation => asked == "expectation",
                AssessmentKind::Issue => asked == "issue",
            },
            _ => true,
        }
    }
}

/// A name and the text that it shall equal.
fn comparison(text: &str) -> Result<(String, String), ApiError> {
    let one_clause =
        || ApiError::invalid(format!("Invalid filter: '{text}'. Expected one filter clause."));
    let mut quote = None;
    let ends = |char: char| {
        match (quote, char) {
            (None, '`' | '"' | '\'') => quote = Some(char),
            (Some(open), _) if open == char => quote = None,
            (None, _) => return char.is_whitespace() || "=!<>".contains(char),
            _ => {}
        }
        false
    };
    let text_left = text.trim();
    let (name, rest) = text_left.split_at(text_left.find(ends).ok_or_else(one_clause)?);
    let rest = rest.trim_start();
    let is_sign = |char: char| "=!<>".contains(char);
    let sign = match rest.find(|char: char| !is_sign(char)) {
        Some(0) => rest.split_whitespace().next().unwrap_or_default(),
        Some(end) => &rest[..end],
        None => rest,
    };
    if sign != "=" {
        return Err(ApiError::invalid(format!(
            "Invalid comparator: '{sign}', only '=' operator is supported"
        )));
    }
    let value = rest[sign.len()..].trim();
    let quote = value.chars().next().filter(|char| matches!(char, '\'' | '"'));
    let Some(quote) = quote else {
        let entity = name.split('.').nth(1).unwrap_or_default();
        return Err(ApiError::invalid(format!(
            "Expected a quoted string value for {entity} value (e.g. 'my-value'). Got value \
             {value}"
        )));
    };
    let inside = value[1..].strip_suffix(quote).filter(|inside| !inside.contains(quote));
    Ok((name.to_owned(), inside.ok_or_else(one_clause)?.to_owned()))
}

fn unquoted(key: &str) -> &str {
    let inside = |quote| key.strip_prefix(quote).and_then(|key| key.strip_suffix(quote));
    ['`', '"', '\''].into_iter().find_map(inside).unwrap_or(key)
}

fn check(of: &str, entity: &str, key: Option<&str>) -> Result<(), ApiError> {
    let Some((_, entities)) = NAMES.iter().find(|(known, _)| *known == of) else {
        return Err(ApiError::invalid(format!(
            "Invalid view type '{of}'. Valid values are dict_keys(['trace', 'span', \
             'assessment'])"
        )));
    };
    let Some((_, needs_key)) = entities.iter().find(|(known, _)| *known == entity) else {
        let known: Vec<String> = entities.iter().map(|(known, _)| python::repr(known)).collect();
        return Err(ApiError::invalid(format!(
            "Invalid entity '{entity}' specified for view type '{of}'. Valid entities are [{}]",
            known.join(", ")
        )));
    };
    match (needs_key, key) {
        (true, None) => Err(ApiError::invalid(format!(
            "Filtering by {entity} requires a key, e.g. '{of}.{entity}.<key> = <value>'"
        ))),
        (false, Some(_)) => Err(ApiError::invalid(format!(
            "Filtering by {entity} does not require a key, use '{of}.{entity}' instead"
        ))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_one_comparison_with_a_text() {
        let read = |text| MetricFilter::read(text, View::Spans);
        for (text, expected) in [
            ("trace.status = 'OK'", MetricFilter::TraceStatus("OK".to_owned())),
            ("trace.status='a b'", MetricFilter::TraceStatus("a b".to_owned())),
            (
                "trace.metadata.`mlflow.trace.session` = \"s\"",
                MetricFilter::Metadata("mlflow.trace.session".to_owned(), "s".to_owned()),
            ),
            ("trace.tag.a.b = ''", MetricFilter::Tag("a.b".to_owned(), String::new())),
            (" span.type = 'LLM' ", MetricFilter::SpanKind("LLM".to_owned())),
        ] {
            assert_eq!(read(text), Ok(expected), "{text}");
        }
        for (text, reason) in [
            ("", "Expected one filter clause"),
            ("status", "Expected one filter clause"),
            ("status = 'OK'", "Invalid identifier 'status'"),
            ("trace.status != 'OK'", "Invalid comparator: '!='"),
            ("trace.status LIKE 'OK'", "Invalid comparator: 'LIKE'"),
            ("trace.status = OK", "Expected a quoted string value for status"),
            ("trace.status = 'a' AND trace.status = 'b'", "Expected one filter clause"),
            ("trace.status.x = 'a'", "does not require a key"),
            ("trace.tag = 'a'", "requires a key"),
            ("trace.name = 'a'", "Valid entities are ['status', 'tag', 'metadata']"),
            ("run.name = 'a'", "Invalid view type 'run'"),
            ("assessment.name = 'a'", "only supported for ASSESSMENTS view type, got SPANS"),
        ] {
            let refused = read(text).expect_err(text).message;
            assert!(refused.contains(reason), "{text}: {refused}");
        }
    }
}
