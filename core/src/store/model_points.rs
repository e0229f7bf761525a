//! What runs measured of a logged model: points whose context names it.

use super::{Snapshot, StoreError};
use crate::ids::RunId;
use crate::rows::Metric;

/// A point of a logged model, and the run that logged it.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelPoint {
    /// The run.
    pub run: RunId,
    /// The point and its series.
    pub metric: Metric,
}

impl Snapshot {
    /// The points that runs logged of a model, or of one metric of it, by run, metric and dataset,
    /// each series in history order. At most `limit`: of a longer series the last are kept.
    pub fn model_points(
        &self,
        model_id: &str,
        key: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ModelPoint>, StoreError> {
        let mut points = Vec::new();
        for number in self.runs_measuring(model_id)? {
            let Some(row) = self.run_by_number(number)? else { continue };
            let of_model = row.metrics.iter().filter(|metric| {
                metric.context.model_id == model_id && key.is_none_or(|key| metric.key == key)
            });
            for metric in of_model {
                let series = self.series(&row.id, &metric.key, &metric.context)?;
                let room = limit.saturating_sub(points.len());
                let tail = &series[series.len().saturating_sub(room)..];
                points.extend(tail.iter().map(|point| ModelPoint {
                    run: row.id,
                    metric: Metric { point: *point, ..metric.clone() },
                }));
            }
        }
        Ok(points)
    }
}
