//! Copying runs into another workspace of this device.
//!
//! Invariants: the copy of a run has an id that follows from the run and both workspaces, so that
//! copying again adds what is new and nothing twice; it says where it came from from its first
//! moment on; its files are here and may be served there before it names them. Models that a run
//! logged stay where they are: a copy does not speak of what its workspace does not hold.

use std::collections::HashSet;
use std::sync::Arc;

use runmesh_core::action::{Action, LogBatch, NewRun, Outcome, Refusal, RunChange};
use runmesh_core::ids::{BlobHash, DocumentId, ExperimentId, RunId, WorkspaceId};
use runmesh_core::rows::{ArtifactRow, ExperimentRow, KeyValue, Lifecycle, Metric, Point, RunRow};
use runmesh_core::store::{Snapshot, StoreError};
use serde::Serialize;

use crate::app::App;
use crate::blobs::{Lease, NotFetched, Wanted, off_the_runtime};
use crate::workspace::device_of;
use crate::{WriteError, now};

/// The tag that says where a run was copied from.
pub const ORIGIN_TAG: &str = "runmesh.copied_from";
/// Points that are logged at once.
const POINTS_AT_ONCE: usize = 4096;
/// What ids of copies are made of, first.
const DOMAIN: &str = "runmesh/copy/1";

/// Why a run was not copied, or not all of it: copying again goes on.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// There is no such run, or it is deleted.
    #[error("run {0} is not there, or deleted")]
    NoRun(RunId),
    /// Where the copy belongs is deleted.
    #[error("experiment {0:?} is deleted in the other workspace; restore it first")]
    ExperimentDeleted(String),
    /// The copy was deleted.
    #[error("the copy of run {0} was deleted in the other workspace; restore it first")]
    CopyDeleted(RunId),
    /// A file of it is not here and cannot be had now.
    #[error("file {path:?} of run {run} is not on this device")]
    Artifact {
        /// The run.
        run: RunId,
        /// The file.
        path: String,
        /// Why it cannot be had.
        source: Box<NotFetched>,
    },
    /// A store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The other workspace cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// A run that was copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copied {
    /// The run.
    pub run: RunId,
    /// Its copy.
    pub copy: RunId,
    /// Whether it was not there before.
    pub new: bool,
}

/// Where a run was copied from: what [`ORIGIN_TAG`] holds, as JSON.
#[derive(Serialize)]
struct Origin<'a> {
    workspace: WorkspaceId,
    workspace_name: &'a str,
    run: RunId,
    device: runmesh_core::ids::DeviceId,
    at_ms: u64,
}

/// The id of the copy of a run.
fn id_of_copy(from: &WorkspaceId, run: &RunId, to: &WorkspaceId) -> RunId {
    let parts: [&[u8]; 3] = [from.as_bytes(), run.as_bytes(), to.as_bytes()];
    let hash = blake3::derive_key(DOMAIN, &parts.concat());
    let (id, _) = hash.split_first_chunk().expect("a hash is longer than an id");
    RunId::new(*id)
}

/// Copies runs of one workspace into another, one after the other.
pub async fn copy_runs(from: &App, to: &App, runs: &[RunId]) -> Result<Vec<Copied>, CopyError> {
    let work = Copying {
        from,
        to,
        source: Arc::new(from.workspace.fresh().await?),
        ids: (from.workspace.id(), to.workspace.id()),
        runs: runs.iter().copied().collect(),
    };
    let mut copied = Vec::with_capacity(runs.len());
    for run in runs {
        copied.push(work.copy(*run).await?);
    }
    Ok(copied)
}

struct Copying<'a> {
    from: &'a App,
    to: &'a App,
    source: Arc<Snapshot>,
    ids: (WorkspaceId, WorkspaceId),
    /// All that are copied now.
    runs: HashSet<RunId>,
}

impl Copying<'_> {
    fn id_of(&self, run: &RunId) -> RunId {
        id_of_copy(&self.ids.0, run, &self.ids.1)
    }

    async fn copy(&self, run: RunId) -> Result<Copied, CopyError> {
        let row = self.source.run(&run)?.filter(|row| row.lifecycle == Lifecycle::Active);
        let row = row.ok_or(CopyError::NoRun(run))?;
        let copy = self.id_of(&run);
        let there = self.to.workspace.fresh().await?;
        let held = there.run(&copy)?;
        match &held {
            None => self.create(&row, copy).await?,
            Some(held) if held.lifecycle == Lifecycle::Deleted => {
                return Err(CopyError::CopyDeleted(run));
            }
            Some(_) => {}
        }
        self.copy_files(&row, copy, &there).await?;
        self.log(&row, copy, held.as_ref()).await?;
        self.log_points(&row, copy, &there).await?;
        Ok(Copied { run, copy, new: held.is_none() })
    }

    async fn create(&self, row: &RunRow, copy: RunId) -> Result<(), CopyError> {
        let experiment = self.experiment(row.experiment).await?;
        let mut tags = self.tags(row);
        tags.push(KeyValue { key: ORIGIN_TAG.to_owned(), value: self.origin(row.id)? });
        let new = NewRun {
            id: copy,
            experiment,
            name: row.name.clone(),
            user: row.user.clone(),
            start_ms: row.start_ms,
            tags,
            description: Some(row.description.clone()).filter(|text| !text.is_empty()),
        };
        self.to.workspace.act(Action::CreateRun(new)).await?;
        Ok(())
    }

    fn origin(&self, run: RunId) -> Result<String, CopyError> {
        let membership = self.source.membership()?;
        let origin = Origin {
            workspace: self.ids.0,
            workspace_name: membership.name(),
            run,
            device: device_of(&self.from.home),
            at_ms: now().0,
        };
        Ok(serde_json::to_string(&origin).expect("ids, a text and a number are JSON"))
    }

    /// The tags of a copy. One that names another run that is copied names its copy.
    fn tags(&self, row: &RunRow) -> Vec<KeyValue> {
        let tag = |tag: &KeyValue| {
            let named = tag.value.parse::<RunId>().ok().filter(|run| self.runs.contains(run));
            let value = named.map_or_else(|| tag.value.clone(), |run| self.id_of(&run).to_string());
            KeyValue { key: tag.key.clone(), value }
        };
        row.tags.iter().map(tag).collect()
    }

    /// The experiment of the same name, made if there is none.
    async fn experiment(&self, id: ExperimentId) -> Result<ExperimentId, CopyError> {
        let Some(row) = self.source.experiment(id)? else { return Ok(ExperimentId::DEFAULT) };
        if let Some(held) = self.experiment_called(&row.name).await? {
            return match held.lifecycle {
                Lifecycle::Active => Ok(held.id),
                Lifecycle::Deleted => Err(CopyError::ExperimentDeleted(row.name)),
            };
        }
        let description = Some(row.description.clone()).filter(|text| !text.is_empty());
        let (name, tags) = (row.name.clone(), row.tags);
        let create = Action::CreateExperiment { name, artifact_location: None, tags, description };
        match self.to.workspace.act(create).await {
            Ok(Outcome::Experiment(made)) => Ok(made.id),
            // It came from another device meanwhile.
            Err(WriteError::Refused(Refusal::ExperimentNameTaken { deleted: false, .. })) => {
                let held = self.experiment_called(&row.name).await?;
                held.map(|held| held.id).ok_or(CopyError::ExperimentDeleted(row.name))
            }
            Err(error) => Err(error.into()),
            Ok(_) => unreachable!("creating an experiment answers with it"),
        }
    }

    async fn experiment_called(&self, name: &str) -> Result<Option<ExperimentRow>, CopyError> {
        Ok(self.to.workspace.fresh().await?.experiment_by_name(name)?)
    }

    /// Copies files, which must be here: nobody else of the other workspace could have them.
    async fn copy_files(
        &self,
        row: &RunRow,
        copy: RunId,
        there: &Snapshot,
    ) -> Result<(), CopyError> {
        let owner = DocumentId::run(copy);
        for file in self.source.artifacts_below(DocumentId::run(row.id), "")? {
            let held = there.artifact(owner, &file.path)?;
            if held.is_some_and(|held| held.blob == file.blob) {
                continue;
            }
            let _lease = self.lease(file.blob).await;
            let (run, path) = (row.id, file.path.clone());
            self.bring(&file).await.map_err(|source| CopyError::Artifact {
                run,
                path,
                source: Box::new(source),
            })?;
            self.to.grant(vec![file.blob]).await?;
            let (path, blob, size) = (file.path, file.blob, file.size);
            self.to.workspace.act(Action::PutArtifact { owner, path, blob, size }).await?;
        }
        Ok(())
    }

    /// Keeps a blob from being collected until it is granted.
    async fn lease(&self, blob: BlobHash) -> Lease {
        let blobs = self.to.blobs.clone();
        off_the_runtime(move || blobs.lease(blob)).await
    }

    /// Sees to it that a file is here, and that it came through the workspace that names it: who
    /// only knows a hash must not have it handed on.
    async fn bring(&self, file: &ArtifactRow) -> Result<(), NotFetched> {
        let (hash, size) = (file.blob, file.size);
        if !self.source.is_granted(&hash).unwrap_or(false) {
            self.from.fetch_now(Wanted { hash, size, uploaded_by: None }).await?;
        }
        self.from.open_blob(file).await?;
        Ok(())
    }

    /// Logs params, tags, datasets and how the run stands, as far as the copy lacks it.
    async fn log(&self, row: &RunRow, copy: RunId, held: Option<&RunRow>) -> Result<(), CopyError> {
        // What people have changed of the copy stays as they want it.
        let mut tags = self.tags(row);
        tags.retain(|tag| held.is_some_and(|held| held.tag(&tag.key).is_none()));
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

    async fn log_points(
        &self,
        row: &RunRow,
        copy: RunId,
        there: &Snapshot,
    ) -> Result<(), CopyError> {
        for series in &row.metrics {
            let points = self.source.series(&row.id, &series.key, &series.context)?;
            let held = there.series(&copy, &series.key, &series.context)?;
            let new = lacking(points, &held);
            for chunk in new.chunks(POINTS_AT_ONCE) {
                let metric = |point: &Point| Metric { point: *point, ..series.clone() };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_a_copy_follows_from_where_it_is_from_and_goes_to() {
        let (ann, lab) = (WorkspaceId::new([1; 32]), WorkspaceId::new([2; 32]));
        let run = RunId::new([3; 16]);
        let copy = id_of_copy(&ann, &run, &lab);
        assert_eq!(copy, id_of_copy(&ann, &run, &lab));
        let others = [
            id_of_copy(&lab, &run, &ann),
            id_of_copy(&ann, &RunId::new([4; 16]), &lab),
            id_of_copy(&ann, &run, &ann),
            run,
        ];
        assert!(!others.contains(&copy));
    }
}
