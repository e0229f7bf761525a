//! Histories of metrics: one series whole or by pages, or many at once for charts.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::Response;
use runmesh_core::rows::Point;
use runmesh_core::store::Snapshot;

use super::error::ApiError;
use super::message::{Fields, Message, missing};
use super::render::{self, MetricJson, Page};
use super::{page, read};
use crate::app::App;

/// How many runs one request may chart.
const MAX_RUNS: usize = 100;
/// How many points a chart of whole histories gets.
const MAX_BULK_POINTS: usize = 25_000;
/// How many points of each run a sampled chart gets.
const MAX_SAMPLED_POINTS: usize = 2500;

/// A run's history of a metric; what is not there has none, as in MLflow.
fn history(snapshot: &Snapshot, run_id: &str, key: &str) -> Result<Vec<Point>, ApiError> {
    let Ok(run) = run_id.parse() else { return Ok(Vec::new()) };
    Ok(snapshot.history(&run, key)?)
}

pub(super) async fn get(
    State(app): State<Arc<App>>,
    message: Message,
) -> Result<Response, ApiError> {
    let fields = message.fields();
    let run_id = fields.run_id()?.to_owned();
    let key = fields.required_text("metric_key")?.to_owned();
    let offset = page::offset(fields.text("page_token")?)?;
    let limit = match fields.integer("max_results")? {
        None => usize::MAX,
        Some(limit) => usize::try_from(limit).ok().filter(|limit| *limit > 0).ok_or_else(|| {
            ApiError::invalid(format!(
                "Invalid value {limit} for parameter 'max_results' supplied. It must be a positive \
                 integer."
            ))
        })?,
    };
    read(&app, move |snapshot| {
        let points = history(snapshot, &run_id, &key)?;
        let points = points.get(offset..).unwrap_or_default();
        let next = (points.len() > limit).then(|| page::token(offset + limit));
        let points = &points[..points.len().min(limit)];
        let items: Vec<_> = points.iter().map(|point| MetricJson::new(&key, point)).collect();
        Ok(render::json(&Page { name: "metrics", items: &items, next }))
    })
    .await
}

/// Whole histories of one metric of many runs: what MLflow's own page asks for.
pub(super) async fn get_bulk(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let message = Message::from_query(&query.unwrap_or_default());
    let fields = message.fields();
    let refuse = |what: String| ApiError::invalid(format!("GetMetricHistoryBulk request {what}"));
    let mut run_ids = owned(fields.texts("run_id")?);
    if run_ids.is_empty() {
        return Err(refuse("must specify at least one run_id.".to_owned()));
    }
    if run_ids.len() > MAX_RUNS {
        let count = run_ids.len();
        let what =
            format!("cannot specify more than {MAX_RUNS} run_ids. Received {count} run_ids.");
        return Err(refuse(what));
    }
    let key = fields.text("metric_key")?;
    let key = key.ok_or_else(|| refuse("must specify a metric_key.".to_owned()))?.to_owned();
    let limit = fields.integer("max_results")?.unwrap_or(i64::MAX).max(0);
    let limit = usize::try_from(limit).unwrap_or(MAX_BULK_POINTS).min(MAX_BULK_POINTS);
    run_ids.sort_unstable();
    run_ids.dedup();
    read(&app, move |snapshot| {
        let mut charts = Vec::new();
        let mut left = limit;
        for run_id in &run_ids {
            let mut points = history(snapshot, run_id, &key)?;
            points.truncate(left);
            left -= points.len();
            charts.push((run_id.as_str(), points));
        }
        Ok(render_charts(&key, &charts))
    })
    .await
}

/// Histories of one metric of many runs, each thinned evenly to what a chart can show.
pub(super) async fn get_bulk_interval(
    State(app): State<Arc<App>>,
    message: Message,
) -> Result<Response, ApiError> {
    let fields = message.fields();
    let run_ids = owned(fields.texts("run_ids")?);
    if run_ids.is_empty() {
        return Err(missing("run_ids"));
    }
    if run_ids.len() > MAX_RUNS {
        return Err(ApiError::invalid(format!(
            "GetMetricHistoryBulkInterval request must specify at most {MAX_RUNS} run_ids. Received \
             {} run_ids. See the API docs for more information about request parameters.",
            run_ids.len()
        )));
    }
    let key = fields.required_text("metric_key")?.to_owned();
    let steps = steps(fields)?;
    let limit = fields.integer("max_results")?.unwrap_or(MAX_SAMPLED_POINTS as i64);
    let limit =
        usize::try_from(limit).ok().filter(|limit| (1..=MAX_SAMPLED_POINTS).contains(limit));
    let limit = limit.ok_or_else(|| {
        ApiError::invalid(format!(
            "max_results must be between 1 and {MAX_SAMPLED_POINTS}. See the API docs for more \
             information about request parameters."
        ))
    })?;
    read(&app, move |snapshot| {
        let mut charts = Vec::new();
        for run_id in &run_ids {
            let mut points = history(snapshot, run_id, &key)?;
            points.retain(|point| steps.contains(&point.step));
            points.sort_by(Point::latest_order);
            charts.push((run_id.as_str(), thinned(points, limit)));
        }
        Ok(render_charts(&key, &charts))
    })
    .await
}

fn steps(fields: Fields<'_>) -> Result<std::ops::RangeInclusive<i64>, ApiError> {
    match (fields.integer("start_step")?, fields.integer("end_step")?) {
        (None, None) => Ok(i64::MIN..=i64::MAX),
        (Some(start), Some(end)) if start > end => Err(ApiError::invalid(format!(
            "end_step must be greater than start_step. Found start_step={start} and end_step={end}."
        ))),
        (Some(start), Some(end)) => Ok(start..=end),
        _ => Err(ApiError::invalid(
            "If either start step or end step are specified, both must be specified.",
        )),
    }
}

/// At most `limit` points, evenly spread: the first of as many equal buckets, and the last point.
fn thinned(points: Vec<Point>, limit: usize) -> Vec<Point> {
    let Some(last) = points.last().copied().filter(|_| points.len() > limit) else { return points };
    let (size, larger) = (points.len() / limit, points.len() % limit);
    let first_of = |bucket: usize| bucket * size + bucket.min(larger);
    let mut kept: Vec<Point> = (0..limit).map(|bucket| points[first_of(bucket)]).collect();
    if first_of(limit - 1) != points.len() - 1 {
        kept[limit - 1] = last;
    }
    kept
}

fn render_charts(key: &str, charts: &[(&str, Vec<Point>)]) -> Response {
    let items: Vec<_> = charts
        .iter()
        .flat_map(|(run_id, points)| {
            points.iter().map(|point| MetricJson::of_run(key, point, run_id))
        })
        .collect();
    render::json(&Page { name: "metrics", items: &items, next: None })
}

fn owned(texts: Vec<&str>) -> Vec<String> {
    texts.into_iter().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thinned_history_keeps_its_ends() {
        let history = |count: i64| -> Vec<Point> {
            (0..count).map(|step| Point { step, timestamp_ms: 0, value: 0.0 }).collect()
        };
        let steps = |points: Vec<Point>| -> Vec<i64> { points.iter().map(|p| p.step).collect() };
        assert_eq!(steps(thinned(history(3), 5)), [0, 1, 2]);
        assert_eq!(steps(thinned(history(10), 3)), [0, 4, 9]);
        assert_eq!(steps(thinned(history(10), 1)), [9]);
        for (count, limit) in [(2501, 2500), (100_000, 2500), (7, 2)] {
            let kept = steps(thinned(history(count), limit));
            assert_eq!((kept.len(), kept[0], kept[limit - 1]), (limit, 0, count - 1));
            assert!(kept.is_sorted());
        }
    }
}
