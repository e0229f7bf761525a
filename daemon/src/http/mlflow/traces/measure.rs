//! What traces, spans and assessments measure, one value after another, for figures about many of them.

use runmesh_core::rows::TraceRow;
use runmesh_core::search::AssessmentKind;
use runmesh_core::trace::Span;
use serde_json::Value;

use super::metric_filter::MetricFilter;
use super::names::{MODEL, MODEL_PROVIDER, MONEY, SESSION, TOKEN_USAGE, TOKENS, TRACE_NAME};
use super::search::WORDS;
use super::spans::text_of;

const NANOSECONDS_PER_MS: u64 = 1_000_000;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum View {
    Traces,
    Spans,
    Assessments,
}

impl View {
    /// MLflow's word for it.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Traces => "TRACES",
            Self::Spans => "SPANS",
            Self::Assessments => "ASSESSMENTS",
        }
    }
}

/// One value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Measured {
    /// When, in milliseconds since 1970.
    pub(super) time_ms: i64,
    /// What it has in each dimension that was asked for.
    pub(super) dimensions: Vec<String>,
    /// The value; of what is only counted, anything.
    pub(super) value: f64,
    /// Of what is counted once however often it comes: its name.
    pub(super) counted_as: Option<String>,
}

/// Measures what a query asks for.
pub(super) struct Measurer<'a> {
    pub(super) view: View,
    pub(super) metric: &'a str,
    pub(super) dimensions: &'a [&'static str],
    pub(super) filters: &'a [MetricFilter],
}

impl Measurer<'_> {
    /// Tells all values of a trace. One that lacks a dimension is not told.
    pub(super) fn measure(&self, row: &TraceRow, spans: &[Span], mut tell: impl FnMut(Measured)) {
        match self.view {
            View::Traces => self.of_trace(row).into_iter().for_each(tell),
            View::Spans => spans.iter().filter_map(|span| self.of_span(span)).for_each(tell),
            View::Assessments => {
                for held in &row.assessments {
                    self.of_assessment(row, &held.value).into_iter().for_each(&mut tell);
                }
            }
        }
    }

    fn with(
        &self,
        time_ms: i64,
        value: f64,
        dimension: impl Fn(&str) -> Option<String>,
    ) -> Option<Measured> {
        let dimensions = self.dimensions.iter().map(|name| dimension(name));
        let dimensions = dimensions.collect::<Option<Vec<_>>>()?;
        Some(Measured { time_ms, dimensions, value, counted_as: None })
    }

    fn of_trace(&self, row: &TraceRow) -> Option<Measured> {
        let value = match self.metric {
            "trace_count" => 1.0,
            "session_count" => {
                let session = row.fact(SESSION)?.to_owned();
                let measured = self.with(row.start_ms, 1.0, |_| None)?;
                return Some(Measured { counted_as: Some(session), ..measured });
            }
            "latency" => row.duration_ms? as f64,
            tokens => tokens_of(row, tokens)?,
        };
        self.with(row.start_ms, value, |dimension| match dimension {
            "trace_name" => row.tag(TRACE_NAME).map(str::to_owned),
            _ => Some(row.status.as_str().to_owned()),
        })
    }

    fn of_span(&self, span: &Span) -> Option<Measured> {
        if !self.filters.iter().all(|filter| filter.lets_through_span(span)) {
            return None;
        }
        let value = match self.metric {
            "span_count" => 1.0,
            "latency" if span.end_ns == 0 => return None,
            "latency" => (span.end_ns.saturating_sub(span.start_ns) / NANOSECONDS_PER_MS) as f64,
            cost => {
                let is_it = |group: &str, name: &str| group == MONEY && name == cost;
                let mut figures = span.figures.iter();
                figures.find(|figure| is_it(&figure.group, &figure.name))?.value
            }
        };
        let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        self.with((span.start_ns / NANOSECONDS_PER_MS) as i64, value, |dimension| match dimension {
            "span_name" => Some(span.name.clone()),
            "span_type" => text(&span.kind),
            "span_status" => text((WORDS.span_status)(span)),
            "span_model_name" => text_of(span.attribute(MODEL)),
            _ => text_of(span.attribute(MODEL_PROVIDER)),
        })
    }

    fn of_assessment(&self, row: &TraceRow, json: &str) -> Option<Measured> {
        let held = (WORDS.assessment)(json).filter(|held| held.valid)?;
        let lets_through =
            |filter: &MetricFilter| filter.lets_through_assessment(held.kind, &held.name);
        if !self.filters.iter().all(lets_through) {
            return None;
        }
        let value = match self.metric {
            "assessment_count" => 1.0,
            _ if held.kind == AssessmentKind::Issue => return None,
            _ => number_of(&held.value)?,
        };
        self.with(row.start_ms, value, |dimension| match dimension {
            "assessment_name" => Some(held.name.clone()),
            _ => Some(held.value.clone()),
        })
    }
}

/// Tokens of a trace: as the client says, or else as its spans count.
fn tokens_of(row: &TraceRow, name: &str) -> Option<f64> {
    if let Some(said) = row.fact(TOKEN_USAGE) {
        return serde_json::from_str::<Value>(said).ok()?.get(name)?.as_f64();
    }
    let mut figures = row.figures.iter();
    figures.find(|figure| figure.group == TOKENS && figure.name == name).map(|figure| figure.value)
}

/// A value, as JSON, as a number: yes is one, no is nothing.
fn number_of(json: &str) -> Option<f64> {
    match serde_json::from_str(json).ok()? {
        Value::Bool(value) => Some(f64::from(u8::from(value))),
        Value::Number(number) => number.as_f64().filter(|number| number.is_finite()),
        Value::String(text) => match text.trim().to_lowercase().as_str() {
            "yes" => Some(1.0),
            "no" => Some(0.0),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_judges_are_numbers() {
        for (json, expected) in [
            ("true", Some(1.0)),
            ("0.25", Some(0.25)),
            (r#""Yes ""#, Some(1.0)),
            (r#""no""#, Some(0.0)),
            (r#""maybe""#, None),
            ("[1]", None),
            ("null", None),
        ] {
            assert_eq!(number_of(json), expected, "{json}");
        }
    }
}
