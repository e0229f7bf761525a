//! How much two filters of traces have to do with each other: normalised pointwise mutual information,
//! from -1 (never together) over 0 (by chance) to 1 (always together).

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use runmesh_core::ids::ExperimentId;
use runmesh_core::search::{PageStart, TraceQuery, parse_trace_filter};
use serde::Serialize;

use super::search::WORDS;
use crate::app::App;
use crate::http::mlflow::error::ApiError;
use crate::http::mlflow::message::{Message, missing};
use crate::http::mlflow::render::{self, Double};
use crate::http::mlflow::{experiments, read};

/// Added to every count in the smoothed figure: Jeffreys' prior.
const PRIOR: f64 = 0.5;

#[derive(Serialize)]
struct Correlation {
    npmi: Double,
    npmi_smoothed: Double,
    filter1_count: u64,
    filter2_count: u64,
    joint_count: u64,
    total_count: u64,
}

pub(super) async fn calculate(
    State(app): State<Arc<App>>,
    message: Message,
) -> Result<Response, ApiError> {
    let fields = message.fields();
    let experiments = fields.texts("experiment_ids")?;
    if experiments.is_empty() {
        return Err(missing("experiment_ids"));
    }
    let experiments: Vec<ExperimentId> =
        experiments.into_iter().map(experiments::parse_id).collect::<Result<_, _>>()?;
    let first = fields.required_text("filter_string1")?;
    let second = fields.required_text("filter_string2")?;
    let base = fields.text("base_filter")?.unwrap_or_default();
    let query = |filters: &[&str]| -> Result<TraceQuery, ApiError> {
        let mut clauses = parse_trace_filter(base)?;
        for filter in filters {
            clauses.extend(parse_trace_filter(filter)?);
        }
        let experiments = experiments.clone();
        Ok(TraceQuery {
            experiments,
            clauses,
            order: Vec::new(),
            start: PageStart::default(),
            limit: 0,
            words: WORDS,
        })
    };
    let queries = [query(&[])?, query(&[first])?, query(&[second])?, query(&[first, second])?];
    read(&app, move |snapshot| {
        let mut counts = [0; 4];
        for (count, query) in counts.iter_mut().zip(&queries) {
            *count = query.count(snapshot)?;
        }
        Ok(render::json(&correlation(counts)))
    })
    .await
}

fn correlation(counts: [u64; 4]) -> Correlation {
    let [total_count, filter1_count, filter2_count, joint_count] = counts;
    let undefined = filter1_count == 0 || filter2_count == 0;
    let npmi = match joint_count {
        _ if undefined => f64::NAN,
        0 => -1.0,
        _ => npmi(counts, 0.0),
    };
    let smoothed = if undefined { f64::NAN } else { self::npmi(counts, PRIOR) };
    Correlation {
        npmi: Double(npmi),
        npmi_smoothed: Double(smoothed),
        filter1_count,
        filter2_count,
        joint_count,
        total_count,
    }
}

fn npmi([total, first, second, joint]: [u64; 4], prior: f64) -> f64 {
    if first == joint && second == joint && total == joint {
        return 1.0;
    }
    let total = total as f64 + 4.0 * prior;
    let (first, second) = (first as f64 + 2.0 * prior, second as f64 + 2.0 * prior);
    let joint = joint as f64 + prior;
    let information = (joint * total / (first * second)).ln();
    (information / -(joint / total).ln()).clamp(-1.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_that_always_never_or_by_chance_go_together() {
        let of = |counts| {
            let Correlation { npmi, npmi_smoothed, .. } = correlation(counts);
            (npmi.0, npmi_smoothed.0)
        };
        assert_eq!(of([10, 5, 5, 5]).0, 1.0);
        assert_eq!(of([10, 5, 5, 0]).0, -1.0);
        assert!(of([100, 20, 10, 2]).0.abs() < 1e-12);
        assert_eq!(of([7, 7, 7, 7]), (1.0, 1.0));
        assert!(of([10, 0, 5, 0]).0.is_nan());
        // As MLflow has it.
        let (_, smoothed) = of([100, 20, 15, 10]);
        assert!((smoothed - 0.509_868_999_183).abs() < 1e-9, "{smoothed}");
    }
}
