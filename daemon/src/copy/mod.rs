//! Copying runs into another workspace of this device, with the models and traces that are theirs.
//!
//! Invariants: the copy of a thing has an id that follows from the thing and both workspaces, so
//! that copying again adds what is new and nothing twice; it says where it came from from its first
//! moment on; its files are here and may be served there before it names them; it names no model
//! as a run's that its workspace does not hold. Versions in the registry stay where they are: what
//! is registered in a workspace is for its members to say.

mod experiments;
mod files;
mod models;
mod names;
mod runs;
mod traces;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use runmesh_core::ids::{DeviceId, DocumentId, RunId, WorkspaceId};
use runmesh_core::rows::{DocumentRow, KeyValue, Lifecycle, LoggedModel, RunRow};
use runmesh_core::store::{Snapshot, StoreError};
use serde::Serialize;

use self::experiments::Experiments;
use self::names::Names;
use crate::app::App;
use crate::blobs::{BlobError, NotFetched};
use crate::http::mlflow::traces as of_traces;
use crate::workspace::device_of;
use crate::{WriteError, now};

/// The tag that says where a run, a model or a trace was copied from.
pub const ORIGIN_TAG: &str = "runmesh.copied_from";

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
    #[error("file {path:?} of {of} is not on this device")]
    Artifact {
        /// The run, model or trace.
        of: String,
        /// The file.
        path: String,
        /// Why it cannot be had.
        source: Box<NotFetched>,
    },
    /// A file that names what is copied cannot be read, or its copy not be stored.
    #[error("file {path:?} of {of} cannot be copied")]
    File {
        /// The run, model or trace.
        of: String,
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// A file cannot be stored.
    #[error(transparent)]
    Blob(#[from] BlobError),
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
    /// How many of its models have copies there now.
    pub models: u64,
    /// How many of its traces have copies there now.
    pub traces: u64,
}

/// Copies runs of one workspace into another, one after the other. If one of them is not there,
/// none is copied.
pub async fn copy_runs(from: &App, to: &App, runs: &[RunId]) -> Result<Vec<Copied>, CopyError> {
    let source = Arc::new(from.workspace.fresh().await?);
    let ids = (from.workspace.id(), to.workspace.id());
    let mut names = Names::new(ids.0, ids.1);
    let belongings = runs.iter().map(|run| Belongings::of(&source, *run));
    let belongings = belongings.collect::<Result<Vec<_>, _>>()?;
    belongings.iter().for_each(|one| one.name_in(&mut names));
    let there = to.workspace.fresh().await?;
    for text in belongings.iter().flat_map(|one| &one.named) {
        names.learn(text, &there)?;
    }
    let work = Copying { from, to, source, ids, names, experiments: Experiments::default() };
    let mut copied = Vec::with_capacity(belongings.len());
    for one in &belongings {
        copied.push(work.copy(one).await?);
    }
    for one in &belongings {
        work.log_models_read(&one.run).await?;
    }
    Ok(copied)
}

/// A run and what goes with it.
struct Belongings {
    run: RunRow,
    models: Vec<DocumentRow>,
    traces: Vec<String>,
    /// What tags and facts name, which may have been copied before.
    named: BTreeSet<String>,
}

impl Belongings {
    fn of(source: &Snapshot, run: RunId) -> Result<Self, CopyError> {
        let row = source.run(&run)?.filter(|row| row.lifecycle == Lifecycle::Active);
        let row = row.ok_or(CopyError::NoRun(run))?;
        let models = models::of_run(source, &row)?;
        let (mut traces, mut named) = (Vec::new(), BTreeSet::new());
        let mut note = |text: &str| named.extend(names::is_id(text).then(|| text.to_owned()));
        row.tags.iter().for_each(|tag| note(&tag.value));
        for model in models.iter().filter_map(LoggedModel::of) {
            model.tags().for_each(|(_, value)| note(value));
        }
        of_traces::each_of_run(source, &run, |trace| {
            traces.push(trace.id.clone());
            trace.tags.iter().chain(&trace.metadata).for_each(|pair| note(&pair.value));
        })?;
        Ok(Self { run: row, models, traces, named })
    }

    fn name_in(&self, names: &mut Names) {
        names.add_run(&self.run.id);
        self.models.iter().for_each(|model| names.add_model(&model.document));
        self.traces.iter().for_each(|trace| names.add_trace(trace));
    }
}

/// What copies runs: from where to where, and what the copies are called.
struct Copying<'a> {
    from: &'a App,
    to: &'a App,
    source: Arc<Snapshot>,
    ids: (WorkspaceId, WorkspaceId),
    names: Names,
    experiments: Experiments,
}

impl Copying<'_> {
    async fn copy(&self, belongings: &Belongings) -> Result<Copied, CopyError> {
        let Belongings { run, models, traces, .. } = belongings;
        let copy = self.names.run(&run.id);
        let there = self.to.workspace.fresh().await?;
        let held = there.run(&copy)?;
        match &held {
            None => self.create_run(run, copy).await?,
            Some(held) if held.lifecycle == Lifecycle::Deleted => {
                return Err(CopyError::CopyDeleted(run.id));
            }
            Some(_) => {}
        }
        let (new, mut made) = (held.is_none(), Vec::new());
        for model in models {
            if self.copy_model(model, &there).await? {
                made.push(model.document);
            }
        }
        self.copy_files(&self.folder_of_run(run, copy).await?, &there).await?;
        self.log(run, copy, held.as_ref()).await?;
        self.log_models_made(run, copy, held.as_ref(), &made).await?;
        self.log_points(run, copy, &there).await?;
        let traces = self.copy_traces(traces, &there).await?;
        Ok(Copied { run: run.id, copy, new, models: made.len() as u64, traces })
    }

    /// The tag that says where a copy came from.
    fn origin(&self, of: Thing<'_>) -> Result<KeyValue, CopyError> {
        let membership = self.source.membership()?;
        let origin = Origin {
            workspace: self.ids.0,
            workspace_name: membership.name(),
            of,
            device: device_of(&self.from.home),
            at_ms: now().0,
        };
        let json = serde_json::to_string(&origin).expect("ids, a text and a number are JSON");
        Ok(KeyValue::new(ORIGIN_TAG, json))
    }

    /// The tags that a copy starts with, sorted. Of a copy's copy the last origin is told.
    fn first_tags<'t>(
        &self,
        tags: impl Iterator<Item = (&'t str, &'t str)>,
        of: Thing<'_>,
    ) -> Result<Vec<KeyValue>, CopyError> {
        let mut tags = self.tags(tags, |key| key == ORIGIN_TAG);
        tags.push(self.origin(of)?);
        tags.sort_unstable();
        Ok(tags)
    }

    /// Tags of a copy, which name copies where they named what is copied, without those that are
    /// there: what people have changed of the copy stays as they want it.
    fn tags<'t>(
        &self,
        tags: impl Iterator<Item = (&'t str, &'t str)>,
        is_there: impl Fn(&str) -> bool,
    ) -> Vec<KeyValue> {
        let lacking = tags.filter(|(key, _)| !is_there(key));
        let named = |value| self.names.in_json(value).unwrap_or_else(|| self.names.named(value));
        lacking.map(|(key, value)| KeyValue::new(key, named(value))).collect()
    }
}

/// Pairs as keys and values.
fn pairs(pairs: &[KeyValue]) -> impl Iterator<Item = (&str, &str)> {
    pairs.iter().map(|pair| (pair.key.as_str(), pair.value.as_str()))
}

/// Something that is copied.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "lowercase")]
enum Thing<'a> {
    Run(RunId),
    Model(&'a str),
    Trace(&'a str),
}

impl fmt::Display for Thing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run(run) => write!(f, "run {run}"),
            Self::Model(model) => write!(f, "model {model}"),
            Self::Trace(trace) => write!(f, "trace {trace}"),
        }
    }
}

/// Where a thing was copied from: what [`ORIGIN_TAG`] holds, as JSON.
#[derive(Serialize)]
struct Origin<'a> {
    workspace: WorkspaceId,
    workspace_name: &'a str,
    #[serde(flatten)]
    of: Thing<'a>,
    device: DeviceId,
    at_ms: u64,
}

/// The document of a logged model as clients name it.
fn model_id(document: &DocumentId) -> String {
    document.as_logged_model().expect("it is a logged model's")
}
