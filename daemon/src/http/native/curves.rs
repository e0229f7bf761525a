//! Curves: histories of metrics, thinned to what a chart can show.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use runmesh_core::api::{Curve, CurveAxis, CurveQuery, Value};
use runmesh_core::rows::{Metric, RunRow};
use runmesh_core::series::{Axis, thin};
use runmesh_core::store::Snapshot;

use super::error::Error;
use super::{query, read};
use crate::app::App;

/// The most runs that one chart shows.
const MAX_RUNS: usize = 1_000;
/// The most metrics that one request charts.
const MAX_KEYS: usize = 200;
/// The most points that are returned of one series.
const MAX_POINTS: usize = 20_000;

pub(super) async fn curves(
    State(app): State<Arc<App>>,
    body: Bytes,
) -> Result<Json<Vec<Curve>>, Error> {
    let asked: CurveQuery = read(&body)?;
    for (what, given, limit) in
        [("runs", asked.runs.len(), MAX_RUNS), ("metrics", asked.keys.len(), MAX_KEYS)]
    {
        if given > limit {
            return Err(Error::TooMany { what, given, limit });
        }
    }
    query(&app, move |_, snapshot| {
        let mut curves = Vec::new();
        for id in &asked.runs {
            let Some(row) = snapshot.run(id)? else { continue };
            for metric in row.metrics.iter().filter(|metric| asked.keys.contains(&metric.key)) {
                curves.push(curve(snapshot, &asked, &row, metric)?);
            }
        }
        Ok(Json(curves))
    })
    .await
}

fn curve(
    snapshot: &Snapshot,
    asked: &CurveQuery,
    run: &RunRow,
    metric: &Metric,
) -> Result<Curve, Error> {
    let (axis, zero) = match asked.axis {
        CurveAxis::Step => (Axis::Step, 0),
        CurveAxis::Time => (Axis::Time, 0),
        CurveAxis::Relative => (Axis::Time, run.start_ms),
    };
    let bound = |bound: Option<i64>| bound.map(|bound| bound.saturating_add(zero));
    let range = bound(asked.from).unwrap_or(i64::MIN)..=bound(asked.to).unwrap_or(i64::MAX);
    let points = snapshot.series(&run.id, &metric.key, &metric.context)?;
    let total = points.len() as u64;
    let points = thin(points, axis, &range, asked.points.min(MAX_POINTS));
    Ok(Curve {
        run: run.id,
        key: metric.key.clone(),
        context: metric.context.clone(),
        total,
        steps: points.iter().map(|point| point.step).collect(),
        times_ms: points.iter().map(|point| point.timestamp_ms).collect(),
        values: points.iter().map(|point| Value(point.value)).collect(),
    })
}
