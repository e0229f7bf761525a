//! A run itself: its fields, params, tags, datasets, points, and the models that it names.

use std::collections::HashSet;

use runmesh_core::action::{Action, LogBatch, NewRun, RunChange};
use runmesh_core::ids::{DocumentId, RunId};
use runmesh_core::rows::{Metric, MetricContext, ModelInput, ModelOutput, Point, RunRow};
use runmesh_core::store::Snapshot;

use super::{CopyError, Copying, Thing, models, pairs};

/// Points that are logged at once.
const POINTS_AT_ONCE: usize = 4096;

impl Copying<'_> {
    pub(super) async fn create_run(&self, row: &RunRow, copy: RunId) -> Result<(), CopyError> {
        let tags = self.first_tags(pairs(&row.tags), Thing::Run(row.id))?;
        let new = NewRun {
            id: copy,
            experiment: self.experiment(row.experiment).await?,
            name: row.name.clone(),
            user: row.user.clone(),
            start_ms: row.start_ms,
            tags,
            description: Some(row.description.clone()).filter(|text| !text.is_empty()),
        };
        self.to.workspace.act(Action::CreateRun(new)).await?;
        Ok(())
    }

    /// Logs params, tags, datasets and how the run stands, as far as the copy lacks it.
    pub(super) async fn log(
        &self,
        row: &RunRow,
        copy: RunId,
        held: Option<&RunRow>,
    ) -> Result<(), CopyError> {
        // A copy that is new was created with its tags.
        let is_there = |key: &str| held.is_none_or(|held| held.tag(key).is_some());
        let tags = self.tags(pairs(&row.tags), is_there);
        let mut params = row.params.clone();
        params.retain(|param| held.is_none_or(|held| held.param(&param.key).is_none()));
        let change = RunChange {
            name: None,
            status: Some(row.status)
                .filter(|status| held.is_none_or(|held| held.status != *status)),
            end_ms: row.end_ms.filter(|end| held.is_none_or(|held| held.end_ms != Some(*end))),
            description: None,
        };
        if !params.is_empty() || !tags.is_empty() || change != RunChange::default() {
            let batch = LogBatch { run: copy, metrics: Vec::new(), params, tags, change };
            self.to.workspace.act(Action::Log(batch)).await?;
        }
        if held.is_none_or(|held| held.datasets != row.datasets) && !row.datasets.is_empty() {
            let (datasets, models) = (row.datasets.clone(), Vec::new());
            let inputs = Action::LogInputs { id: copy, datasets, models };
            self.to.workspace.act(inputs).await?;
        }
        Ok(())
    }

    /// Names the models that the run read, of those that have copies there: they may be other
    /// runs', which are copied by now if they are copied at all.
    pub(super) async fn log_models_read(&self, row: &RunRow) -> Result<(), CopyError> {
        if row.model_inputs.is_empty() {
            return Ok(());
        }
        let copy = self.names.run(&row.id);
        let there = self.to.workspace.fresh().await?;
        let held = there.run(&copy)?.map(|held| held.model_inputs).unwrap_or_default();
        let mut read = Vec::new();
        for input in &row.model_inputs {
            let input = ModelInput { model_id: self.names.model_id(&input.model_id) };
            if !held.contains(&input) && models::is_there(&there, &input.model_id)? {
                read.push(input);
            }
        }
        if !read.is_empty() {
            let (datasets, models) = (Vec::new(), read);
            let inputs = Action::LogInputs { id: copy, datasets, models };
            self.to.workspace.act(inputs).await?;
        }
        Ok(())
    }

    /// Names the models that the run produced, of those that were `made` there.
    pub(super) async fn log_models_made(
        &self,
        row: &RunRow,
        copy: RunId,
        held: Option<&RunRow>,
        made: &[DocumentId],
    ) -> Result<(), CopyError> {
        let is_made = |output: &&ModelOutput| {
            let model = DocumentId::from_logged_model(&output.model_id);
            model.is_some_and(|model| made.contains(&model))
        };
        let produced = row.model_outputs.iter().filter(is_made);
        let produced = produced.map(|output| ModelOutput {
            model_id: self.names.model_id(&output.model_id),
            step: output.step,
        });
        let mut models: Vec<_> = produced.collect();
        models.retain(|output| held.is_none_or(|held| !held.model_outputs.contains(output)));
        if !models.is_empty() {
            self.to.workspace.act(Action::LogOutputs { id: copy, models }).await?;
        }
        Ok(())
    }

    /// Logs the points that the copy lacks. What was measured of a model was measured of its copy,
    /// also where that comes later or never: a point that named the original first would be there
    /// twice in the end.
    pub(super) async fn log_points(
        &self,
        row: &RunRow,
        copy: RunId,
        there: &Snapshot,
    ) -> Result<(), CopyError> {
        for series in &row.metrics {
            let points = self.source.series(&row.id, &series.key, &series.context)?;
            let model_id = self.names.model_id(&series.context.model_id);
            let context = MetricContext { model_id, ..series.context.clone() };
            let held = there.series(&copy, &series.key, &context)?;
            let new = lacking(points, &held);
            for chunk in new.chunks(POINTS_AT_ONCE) {
                let metric = |point: &Point| {
                    let (key, context) = (series.key.clone(), context.clone());
                    Metric { key, context, point: *point }
                };
                let metrics = chunk.iter().map(metric).collect();
                let (params, tags, change) = (Vec::new(), Vec::new(), RunChange::default());
                let batch = LogBatch { run: copy, metrics, params, tags, change };
                self.to.workspace.act(Action::Log(batch)).await?;
            }
        }
        Ok(())
    }
}

/// The points that are not held.
fn lacking(points: Vec<Point>, held: &[Point]) -> Vec<Point> {
    let bits = |point: &Point| (point.step, point.timestamp_ms, point.value.to_bits());
    let held: HashSet<_> = held.iter().map(bits).collect();
    points.into_iter().filter(|point| !held.contains(&bits(point))).collect()
}
