//! Which experiment of the other workspace is that of a run, a model or a trace.
//!
//! Invariant: what is looked up or made once is not asked for again: thousands of traces may be in one.

use std::collections::HashMap;

use runmesh_core::action::{Action, Outcome, Refusal};
use runmesh_core::ids::{DEFAULT_EXPERIMENT, DocumentId, ExperimentId};
use runmesh_core::rows::{ExperimentRow, Lifecycle};
use tokio::sync::Mutex;

use super::{CopyError, Copying};
use crate::WriteError;

/// The experiments that copies are in, by those of what is copied.
#[derive(Default)]
pub(super) struct Experiments(Mutex<HashMap<ExperimentId, DocumentId>>);

impl Copying<'_> {
    /// The number by which clients know the experiment of a copy.
    pub(super) async fn experiment(&self, id: ExperimentId) -> Result<ExperimentId, CopyError> {
        let document = self.experiment_document(id).await?;
        Ok(document.as_experiment().expect("it is an experiment's"))
    }

    /// The experiment of the same name, made if there is none.
    pub(super) async fn experiment_document(
        &self,
        id: ExperimentId,
    ) -> Result<DocumentId, CopyError> {
        let mut known = self.experiments.0.lock().await;
        if let Some(document) = known.get(&id) {
            return Ok(*document);
        }
        let document = match self.source.experiment(id)? {
            Some(row) => self.find_or_make(row).await?,
            None => DocumentId::experiment(DEFAULT_EXPERIMENT, 0),
        };
        known.insert(id, document);
        Ok(document)
    }

    async fn find_or_make(&self, row: ExperimentRow) -> Result<DocumentId, CopyError> {
        if let Some(held) = self.experiment_called(&row.name).await? {
            return match held.lifecycle {
                Lifecycle::Active => Ok(held.document),
                Lifecycle::Deleted => Err(CopyError::ExperimentDeleted(row.name)),
            };
        }
        let description = Some(row.description.clone()).filter(|text| !text.is_empty());
        let (name, tags) = (row.name.clone(), row.tags);
        let create = Action::CreateExperiment { name, artifact_location: None, tags, description };
        match self.to.workspace.act(create).await {
            Ok(Outcome::Experiment(made)) => Ok(made.document),
            // It came from another device meanwhile.
            Err(WriteError::Refused(Refusal::ExperimentNameTaken { deleted: false, .. })) => {
                let held = self.experiment_called(&row.name).await?;
                held.map(|held| held.document).ok_or(CopyError::ExperimentDeleted(row.name))
            }
            Err(error) => Err(error.into()),
            Ok(_) => unreachable!("creating an experiment answers with it"),
        }
    }

    async fn experiment_called(&self, name: &str) -> Result<Option<ExperimentRow>, CopyError> {
        Ok(self.to.workspace.fresh().await?.experiment_by_name(name)?)
    }
}
