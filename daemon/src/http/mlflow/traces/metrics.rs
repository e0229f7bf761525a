//! Figures about many traces at once, as the charts of MLflow's page and its scripts ask for them: how
//! many traces, spans or assessments, how long they took, what they cost, by name or by time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use runmesh_core::ids::ExperimentId;
use runmesh_core::search::{Condition, PageStart, Relation, TraceClause, TraceCondition};
use runmesh_core::search::{TraceAttribute, TraceField, TraceQuery};
use serde::Serialize;

use super::measure::{Measured, Measurer, View};
use super::metric_filter::MetricFilter;
use super::search::WORDS;
use super::time::timestamp;
use crate::app::App;
use crate::http::mlflow::error::ApiError;
use crate::http::mlflow::message::{Fields, Message, missing};
use crate::http::mlflow::render::{self, Double};
use crate::http::mlflow::{experiments, python, read};

/// The most points of an answer, unless asked for another number.
const DEFAULT_RESULTS: i64 = 1000;
/// What the time of a point is called among its dimensions.
const TIME_BUCKET: &str = "time_bucket";
const VIEWS: [(&str, View); 3] =
    [("TRACES", View::Traces), ("SPANS", View::Spans), ("ASSESSMENTS", View::Assessments)];

/// How many values become one.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Aggregation {
    Count,
    Sum,
    Average,
    /// The value below which so many of a hundred are.
    Percentile(f64),
    Least,
    Greatest,
}

/// The words for them, in the order of their numbers.
const AGGREGATIONS: [(&str, Aggregation); 6] = [
    ("COUNT", Aggregation::Count),
    ("SUM", Aggregation::Sum),
    ("AVG", Aggregation::Average),
    ("PERCENTILE", Aggregation::Percentile(0.0)),
    ("MIN", Aggregation::Least),
    ("MAX", Aggregation::Greatest),
];

const COUNTED: &[&str] = &["COUNT"];
const SPREAD: &[&str] = &["AVG", "MAX", "MIN", "PERCENTILE"];
const SUMMED: &[&str] = &["AVG", "MAX", "MIN", "PERCENTILE", "SUM"];
const BY_NAME: &[&str] = &["trace_name"];
const BY_MODEL: &[&str] = &["span_model_name", "span_model_provider"];

/// A metric, how it can be aggregated and by what grouped, each in order of the alphabet.
type Metric = (&'static str, &'static [&'static str], &'static [&'static str]);

const OF_TRACES: &[Metric] = &[
    ("trace_count", COUNTED, &["trace_name", "trace_status"]),
    ("session_count", COUNTED, &[]),
    ("latency", SPREAD, BY_NAME),
    ("input_tokens", SUMMED, BY_NAME),
    ("output_tokens", SUMMED, BY_NAME),
    ("total_tokens", SUMMED, BY_NAME),
    ("cache_read_input_tokens", SUMMED, BY_NAME),
    ("cache_creation_input_tokens", SUMMED, BY_NAME),
];
const OF_SPANS: &[Metric] = &[
    (
        "span_count",
        COUNTED,
        &["span_model_name", "span_model_provider", "span_name", "span_status", "span_type"],
    ),
    ("latency", SPREAD, &["span_name", "span_status"]),
    ("input_cost", SUMMED, BY_MODEL),
    ("output_cost", SUMMED, BY_MODEL),
    ("total_cost", SUMMED, BY_MODEL),
];
const OF_ASSESSMENTS: &[Metric] = &[
    ("assessment_count", COUNTED, &["assessment_name", "assessment_value"]),
    ("assessment_value", SPREAD, &["assessment_name"]),
];

/// What is asked for.
struct Asked {
    view: View,
    metric: &'static str,
    aggregations: Vec<Aggregation>,
    dimensions: Vec<&'static str>,
    filters: Vec<MetricFilter>,
    bucket_ms: Option<i64>,
    start_ms: Option<i64>,
    end_ms: Option<i64>,
    limit: usize,
}

impl Asked {
    fn read(fields: Fields<'_>) -> Result<Self, ApiError> {
        let view = fields.word("view_type", &VIEWS)?.ok_or_else(|| missing("view_type"))?;
        let metrics = match view {
            View::Traces => OF_TRACES,
            View::Spans => OF_SPANS,
            View::Assessments => OF_ASSESSMENTS,
        };
        let name = fields.required_text("metric_name")?;
        let metric = metrics.iter().find(|metric| metric.0 == name).ok_or_else(|| {
            let known: Vec<&str> = metrics.iter().map(|metric| metric.0).collect();
            let (known, name) = (listed(&known), python::repr(name));
            ApiError::invalid(format!("metric_name must be one of {known}, got {name}"))
        })?;
        let (metric, aggregated, grouped) = *metric;
        let aggregations = aggregations(fields, aggregated)?;
        let dimensions = dimensions(fields, grouped)?;
        let filters =
            fields.texts("filters")?.into_iter().map(|text| MetricFilter::read(text, view));
        let filters = filters.collect::<Result<_, _>>()?;
        let (start_ms, end_ms) = (fields.integer("start_time_ms")?, fields.integer("end_time_ms")?);
        let interval_s = fields.integer("time_interval_seconds")?.filter(|seconds| *seconds != 0);
        if interval_s.is_some() && (start_ms.is_none() || end_ms.is_none()) {
            return Err(ApiError::invalid(
                "start_time_ms and end_time_ms are required if time_interval_seconds is set",
            ));
        }
        let positive = |seconds: i64| match seconds.checked_mul(1000) {
            Some(ms) if ms > 0 => Ok(ms),
            _ => Err(ApiError::invalid("time_interval_seconds must be a positive number")),
        };
        let limit = fields.integer("max_results")?.unwrap_or(DEFAULT_RESULTS);
        let limit = usize::try_from(limit)
            .map_err(|_| ApiError::invalid("max_results must not be negative"))?;
        let bucket_ms = interval_s.map(positive).transpose()?;
        Ok(Self {
            view,
            metric,
            aggregations,
            dimensions,
            filters,
            bucket_ms,
            start_ms,
            end_ms,
            limit,
        })
    }

    /// The traces to look at. Costs are of the time of their spans, all else of its trace's.
    fn traces(&self, experiments: Vec<ExperimentId>) -> TraceQuery {
        let mut clauses: Vec<TraceClause> =
            self.filters.iter().filter_map(MetricFilter::of_trace).collect();
        if !self.is_by_time_of_spans() {
            let bounds =
                [(Relation::GreaterOrEqual, self.start_ms), (Relation::LessOrEqual, self.end_ms)];
            for (relation, bound) in bounds {
                clauses.extend(bound.map(|ms| TraceClause {
                    field: TraceField::Attribute(TraceAttribute::Start),
                    condition: TraceCondition::Plain(Condition::Number(relation, ms as f64)),
                }));
            }
        }
        let start = PageStart::default();
        TraceQuery { experiments, clauses, order: Vec::new(), start, limit: 0, words: WORDS }
    }

    fn is_by_time_of_spans(&self) -> bool {
        self.view == View::Spans && self.metric.ends_with("_cost")
    }

    fn is_in_time(&self, measured: &Measured) -> bool {
        let after = self.start_ms.is_none_or(|start_ms| measured.time_ms >= start_ms);
        !self.is_by_time_of_spans()
            || (after && self.end_ms.is_none_or(|end_ms| measured.time_ms <= end_ms))
    }
}

fn listed(words: &[&str]) -> String {
    let words: Vec<String> = words.iter().map(|word| python::repr(word)).collect();
    format!("[{}]", words.join(", "))
}

fn aggregations(
    fields: Fields<'_>,
    supported: &'static [&'static str],
) -> Result<Vec<Aggregation>, ApiError> {
    let mut all = Vec::new();
    let mut unsupported = BTreeSet::new();
    for given in fields.messages("aggregations")? {
        let kind = given.word("aggregation_type", &AGGREGATIONS)?;
        let kind = kind.ok_or_else(|| missing("aggregation_type"))?;
        let word =
            AGGREGATIONS.iter().find(|(_, known)| *known == kind).map_or("", |(word, _)| word);
        if !supported.contains(&word) {
            unsupported.insert(word);
        }
        let percent = given.number("percentile_value")?;
        all.push(match (kind, percent) {
            (Aggregation::Percentile(_), None) => {
                let message = "Percentile value is required for PERCENTILE aggregation";
                return Err(ApiError::invalid(message));
            }
            (Aggregation::Percentile(_), Some(percent)) if (0.0..=100.0).contains(&percent) => {
                Aggregation::Percentile(percent)
            }
            (Aggregation::Percentile(_), Some(percent)) => {
                return Err(ApiError::invalid(format!(
                    "Percentile value must be between 0 and 100, got {percent:?}"
                )));
            }
            (_, Some(_)) => {
                return Err(ApiError::invalid(format!(
                    "Percentile value is only allowed for PERCENTILE aggregation type, got {word}"
                )));
            }
            (kind, None) => kind,
        });
    }
    if all.is_empty() {
        return Err(missing("aggregations"));
    }
    if !unsupported.is_empty() {
        let unsupported = listed(&unsupported.into_iter().collect::<Vec<_>>());
        return Err(ApiError::invalid(format!(
            "Found invalid aggregation_type(s): {unsupported}. Supported aggregation types: {}",
            listed(supported)
        )));
    }
    Ok(all)
}

fn dimensions(
    fields: Fields<'_>,
    supported: &'static [&'static str],
) -> Result<Vec<&'static str>, ApiError> {
    let given = fields.texts("dimensions")?;
    let known = |name: &&str| supported.iter().find(|known| *known == name).copied();
    let unknown: BTreeSet<&str> =
        given.iter().filter(|name| known(name).is_none()).copied().collect();
    if !unknown.is_empty() {
        let unknown = listed(&unknown.into_iter().collect::<Vec<_>>());
        return Err(ApiError::invalid(format!(
            "Found invalid dimension(s): {unknown}. Supported dimensions: {}",
            listed(supported)
        )));
    }
    Ok(given.iter().filter_map(known).collect())
}

/// The values of one group.
#[derive(Default)]
struct Group {
    values: Vec<f64>,
    /// Of what is counted once however often it comes.
    distinct: BTreeSet<String>,
}

impl Group {
    fn take(&mut self, measured: Measured) {
        match measured.counted_as {
            Some(name) => drop(self.distinct.insert(name)),
            None => self.values.push(measured.value),
        }
    }

    fn aggregated(&self, aggregation: Aggregation) -> Option<f64> {
        let values = &self.values;
        let sum = || values.iter().sum::<f64>();
        match aggregation {
            Aggregation::Count => Some((values.len() + self.distinct.len()) as f64),
            _ if values.is_empty() => None,
            Aggregation::Sum => Some(sum()),
            Aggregation::Average => Some(sum() / values.len() as f64),
            Aggregation::Least => values.iter().copied().reduce(f64::min),
            Aggregation::Greatest => values.iter().copied().reduce(f64::max),
            Aggregation::Percentile(percent) => Some(percentile(values.clone(), percent)),
        }
    }
}

/// Between the two values that are nearest to it, as `numpy.quantile` does.
fn percentile(mut values: Vec<f64>, percent: f64) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let place = percent / 100.0 * (values.len() - 1) as f64;
    let (low, high) = (values[place.floor() as usize], values[place.ceil() as usize]);
    low + (high - low) * place.fract()
}

#[derive(Serialize)]
struct PointJson<'a> {
    metric_name: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    dimensions: BTreeMap<&'a str, String>,
    values: BTreeMap<String, Double>,
}

#[derive(Serialize)]
struct Points<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    data_points: Vec<PointJson<'a>>,
}

/// Groups are sorted by their time, then by what they have in each dimension.
type Groups = BTreeMap<(Option<i64>, Vec<String>), Group>;

pub(super) async fn query(
    State(app): State<Arc<App>>,
    message: Message,
) -> Result<Response, ApiError> {
    let fields = message.fields();
    let experiments = fields.texts("experiment_ids")?;
    if experiments.is_empty() {
        return Err(missing("experiment_ids"));
    }
    let experiments = experiments.into_iter().map(experiments::parse_id);
    let experiments = experiments.collect::<Result<Vec<_>, _>>()?;
    let asked = Asked::read(fields)?;
    read(&app, move |snapshot| {
        let measurer = Measurer {
            view: asked.view,
            metric: asked.metric,
            dimensions: &asked.dimensions,
            filters: &asked.filters,
        };
        let mut groups = Groups::new();
        if asked.dimensions.is_empty() && asked.bucket_ms.is_none() {
            // Of nothing there are none.
            groups.insert((None, Vec::new()), Group::default());
        }
        let mut rows = Vec::new();
        asked.traces(experiments).each(snapshot, |row| rows.push(row.clone()))?;
        for row in &rows {
            let spans = match asked.view {
                View::Spans => snapshot.spans(&row.id)?,
                _ => Vec::new(),
            };
            measurer.measure(row, &spans, |mut measured| {
                if !asked.is_in_time(&measured) {
                    return;
                }
                let bucket = asked.bucket_ms.map(|ms| measured.time_ms.div_euclid(ms) * ms);
                let place = (bucket, std::mem::take(&mut measured.dimensions));
                groups.entry(place).or_default().take(measured);
            });
        }
        let points = groups.into_iter().filter_map(|(place, group)| point(&asked, place, &group));
        Ok(render::json(&Points { data_points: points.take(asked.limit).collect() }))
    })
    .await
}

/// A group as clients read it; nothing if none of its aggregations has a value.
fn point<'a>(
    asked: &'a Asked,
    (bucket, texts): (Option<i64>, Vec<String>),
    group: &Group,
) -> Option<PointJson<'a>> {
    let mut dimensions: BTreeMap<&str, String> =
        asked.dimensions.iter().copied().zip(texts).collect();
    if let Some(ms) = bucket {
        let time = timestamp(ms);
        let time = time.strip_suffix('Z').unwrap_or(&time);
        dimensions.insert(TIME_BUCKET, format!("{time}+00:00"));
    }
    let mut values = BTreeMap::new();
    for aggregation in &asked.aggregations {
        let name = match aggregation {
            Aggregation::Percentile(percent) => format!("P{percent:?}"),
            other => {
                let word = AGGREGATIONS.iter().find(|(_, known)| known == other);
                word.map_or("", |(word, _)| word).to_owned()
            }
        };
        if let Some(value) = group.aggregated(*aggregation) {
            values.insert(name, Double(value));
        }
    }
    (!values.is_empty()).then_some(PointJson { metric_name: asked.metric, dimensions, values })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(query: &str) -> String {
        let message = Message::from_json(query.as_bytes());
        Asked::read(message.fields()).err().expect("a mistake").message
    }

    #[test]
    fn percentiles_are_those_of_numpy() {
        let values = vec![4.0, 1.0, 3.0, 2.0];
        for (percent, expected) in [(0.0, 1.0), (50.0, 2.5), (90.0, 3.7), (100.0, 4.0)] {
            let found = percentile(values.clone(), percent);
            assert!((found - expected).abs() < 1e-12, "P{percent}: {found}");
        }
        assert_eq!(percentile(vec![7.0], 99.0), 7.0);
    }

    #[test]
    fn mistakes_are_named_as_mlflow_names_them() {
        let of =
            |rest: &str| format!(r#"{{"view_type": "TRACES", "metric_name": "latency", {rest}}}"#);
        assert_eq!(refused(&of(r#""aggregations": [{"aggregation_type": "SUM"}]"#)), {
            "Found invalid aggregation_type(s): ['SUM']. Supported aggregation types: ['AVG', \
             'MAX', 'MIN', 'PERCENTILE']"
        });
        let average = r#""aggregations": [{"aggregation_type": "AVG"}]"#;
        assert_eq!(refused(&of(&format!(r#"{average}, "dimensions": ["x", "trace_status"]"#))), {
            "Found invalid dimension(s): ['trace_status', 'x']. Supported dimensions: \
             ['trace_name']"
        });
        assert!(
            refused(&of(&format!(r#"{average}, "time_interval_seconds": 60"#)))
                .contains("are required if time_interval_seconds is set")
        );
        let percentile = r#""aggregations": [{"aggregation_type": "PERCENTILE"}]"#;
        assert!(refused(&of(percentile)).contains("Percentile value is required"));
        assert!(
            refused(r#"{"view_type": "SPANS", "metric_name": "x"}"#)
                .starts_with("metric_name must be one of ['span_count', 'latency', 'input_cost'")
        );
    }
}
