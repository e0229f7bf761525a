//! Experiments and runs.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::{Extension, Json};
use runmesh_core::api::{
    Experiment, FoundRuns, MAX_TREND, MetricSummary, Named, Run, RunDetails, RunSearch, Value,
};
use runmesh_core::ids::{DocumentId, ExperimentId, RunId};
use runmesh_core::rows::{DatasetInput, ExperimentRow, KeyValue, Lifecycle, Metric, Point, RunRow};
use runmesh_core::search::{
    ALL_OF_RUNS, RunQuery, ViewType, count_runs, parse_filter, parse_order, search_runs,
};
use runmesh_core::store::Snapshot;

use super::artifacts::entries;
use super::error::Error;
use super::{devices, query, read};
use crate::app::App;

/// The most runs that one search returns.
const MAX_RUNS: usize = 50_000;
/// How many runs of one start are looked up to say that it is ambiguous.
const MAX_ALIKE: usize = 10;

pub(super) async fn experiments(
    State(app): State<Arc<App>>,
) -> Result<Json<Vec<Experiment>>, Error> {
    query(&app, |_, snapshot| {
        let counts = count_runs(snapshot)?;
        let mut rows = snapshot.experiments()?;
        rows.sort_by(|a, b| a.name.cmp(&b.name));
        let count = |row: &ExperimentRow| counts.get(&row.id).copied().unwrap_or(0);
        Ok(Json(rows.into_iter().map(|row| experiment(count(&row), row)).collect()))
    })
    .await
}

pub(super) fn experiment(runs: u64, row: ExperimentRow) -> Experiment {
    Experiment {
        id: row.id.to_string(),
        name: row.name,
        lifecycle: row.lifecycle,
        runs,
        created_ms: row.created_ms,
        updated_ms: row.updated_ms,
        description: row.description,
        tags: map(row.tags),
    }
}

fn map(pairs: Vec<KeyValue>) -> BTreeMap<String, String> {
    pairs.into_iter().map(|pair| (pair.key, pair.value)).collect()
}

pub(super) async fn search(
    State(app): State<Arc<App>>,
    Extension(known): Extension<Arc<devices::Known>>,
    body: Bytes,
) -> Result<Json<FoundRuns>, Error> {
    let search: RunSearch = read(&body)?;
    let mut wanted_runs = parse(&search.filter, &search.order_by, search.deleted)?;
    query(&app, move |app, snapshot| {
        let rows = snapshot.experiments()?;
        wanted_runs.experiments = wanted(&rows, &search.experiments)?;
        devices::tell(app, snapshot, &known, &mut wanted_runs, None)?;
        wanted_runs.limit = search.limit.min(MAX_RUNS);
        let page = search_runs(snapshot, &wanted_runs)?;
        let runs = page.runs.into_iter().map(|row| run(&rows, row)).collect();
        Ok(Json(FoundRuns { runs, more: page.end.more }))
    })
    .await
}

/// Reads what runs to find, and in which order.
pub(super) fn parse(filter: &str, order_by: &[String], deleted: bool) -> Result<RunQuery, Error> {
    let clauses = match filter.trim() {
        "" => Vec::new(),
        filter => parse_filter(&ALL_OF_RUNS, filter)?,
    };
    Ok(RunQuery {
        view: if deleted { ViewType::DeletedOnly } else { ViewType::ActiveOnly },
        clauses,
        order: parse_order(&ALL_OF_RUNS, order_by)?,
        ..RunQuery::default()
    })
}

/// The experiments that a search names, by name or id; without a name, all that are in use.
pub(super) fn wanted(rows: &[ExperimentRow], names: &[String]) -> Result<Vec<ExperimentId>, Error> {
    if names.is_empty() {
        let active = rows.iter().filter(|row| row.lifecycle == Lifecycle::Active);
        return Ok(active.map(|row| row.id).collect());
    }
    let find = |name: &String| {
        let by_name = rows.iter().find(|row| row.name == *name);
        let found = by_name.or_else(|| rows.iter().find(|row| row.id.to_string() == *name));
        found.map(|row| row.id).ok_or_else(|| Error::NoSuchExperiment(name.clone()))
    };
    names.iter().map(find).collect()
}

fn run(experiments: &[ExperimentRow], row: RunRow) -> Run {
    let experiment = experiments.iter().find(|experiment| experiment.id == row.experiment);
    let mut metrics = BTreeMap::new();
    for key in row.metrics.iter().map(|metric| &metric.key) {
        if let Some(point) = row.metric(key) {
            metrics.insert(key.clone(), Value(point.value));
        }
    }
    Run {
        id: row.id,
        experiment: Named {
            id: row.experiment.to_string(),
            name: experiment.map(|experiment| experiment.name.clone()).unwrap_or_default(),
        },
        name: row.name,
        user: row.user,
        status: row.status,
        lifecycle: row.lifecycle,
        start_ms: row.start_ms,
        end_ms: row.end_ms,
        description: row.description,
        params: map(row.params),
        tags: map(row.tags),
        metrics,
        conflicted_params: row.conflicted_params,
    }
}

pub(super) async fn show(
    State(app): State<Arc<App>>,
    Path(start): Path<String>,
) -> Result<Json<RunDetails>, Error> {
    query(&app, move |app, snapshot| {
        let mut row = find(snapshot, &start)?;
        let series = std::mem::take(&mut row.metrics);
        let summaries: Result<_, Error> =
            series.iter().map(|metric| summary(snapshot, &row.id, metric)).collect();
        row.metrics = series;
        let inputs = std::mem::take(&mut row.datasets);
        let outputs = std::mem::take(&mut row.model_outputs);
        let dataset = |input: &DatasetInput| KeyValue::new(&input.name, &input.digest);
        let datasets = inputs.iter().map(dataset).collect();
        let artifacts = entries(app, snapshot, DocumentId::run(row.id), "", false)?;
        let experiments: Vec<_> = snapshot.experiment(row.experiment)?.into_iter().collect();
        let run = run(&experiments, row);
        let series = summaries?;
        Ok(Json(RunDetails { run, series, datasets, inputs, outputs, artifacts }))
    })
    .await
}

/// The one run whose id starts so.
pub(super) fn find(snapshot: &Snapshot, start: &str) -> Result<RunRow, Error> {
    let not_a_run = || Error::NotARun(start.to_owned());
    let hex = start.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !hex || start.is_empty() || start.len() > 2 * RunId::LEN {
        return Err(not_a_run());
    }
    let ids = snapshot.runs_starting_with(start, MAX_ALIKE)?;
    let mut rows = ids.iter().filter_map(|id| snapshot.run(id).transpose());
    let first = rows.next().ok_or_else(|| Error::NoSuchRun(start.to_owned()))??;
    match rows.next() {
        None => Ok(first),
        Some(_) => Err(Error::Ambiguous { start: start.to_owned(), count: ids.len() }),
    }
}

/// A series, drawn small.
fn summary(snapshot: &Snapshot, run: &RunId, metric: &Metric) -> Result<MetricSummary, Error> {
    let points = snapshot.series(run, &metric.key, &metric.context)?;
    let finite = || points.iter().map(|point| point.value).filter(|value| value.is_finite());
    Ok(MetricSummary {
        key: metric.key.clone(),
        context: metric.context.clone(),
        step: metric.point.step,
        timestamp_ms: metric.point.timestamp_ms,
        value: Value(metric.point.value),
        points: points.len() as u64,
        min: finite().reduce(f64::min).map(Value),
        max: finite().reduce(f64::max).map(Value),
        trend: trend(&points),
    })
}

/// Values at even distances, the first and the last among them.
fn trend(points: &[Point]) -> Vec<Value> {
    let count = points.len().min(MAX_TREND);
    let at = |index: usize| index * (points.len() - 1) / (count - 1).max(1);
    (0..count).map(|index| Value(points[at(index)].value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trend_keeps_the_ends_of_a_history() {
        let point = |step: i64| Point { step, timestamp_ms: 0, value: step as f64 };
        let values = |count: i64| {
            let points: Vec<_> = (0..count).map(point).collect();
            trend(&points).into_iter().map(|value| value.0).collect::<Vec<_>>()
        };
        assert!(values(0).is_empty());
        assert_eq!(values(1), [0.0]);
        assert_eq!(values(2), [0.0, 1.0]);
        assert_eq!(values(60).len(), 60);
        let long = values(100_000);
        assert_eq!((long.len(), long[0], long[59]), (MAX_TREND, 0.0, 99_999.0));
        assert!(long.windows(2).all(|pair| pair[0] < pair[1]));
    }
}
