//! Logged models: what a run produced as one.
//!
//! Invariant: the copy of a model is said to be ready only when its files are there.

use std::collections::BTreeSet;

use runmesh_core::action::{Action, LoggedModelChange, NewLoggedModel};
use runmesh_core::ids::{DocumentId, ExperimentId, RunId};
use runmesh_core::index::{Lookup, LookupKey};
use runmesh_core::rows::{DocumentRow, KeyValue, Lifecycle, LoggedModel, ModelStatus, RunRow};
use runmesh_core::store::{Snapshot, StoreError};

use super::files::Folder;
use super::{CopyError, Copying, Thing, model_id};

/// The models that a run produced and that are not deleted, in the order of their creation.
pub(super) fn of_run(source: &Snapshot, run: &RunRow) -> Result<Vec<DocumentRow>, StoreError> {
    let outputs = run.model_outputs.iter();
    let outputs = outputs.filter_map(|output| DocumentId::from_logged_model(&output.model_id));
    let mut documents: BTreeSet<_> = outputs.collect();
    let of_run = LookupKey::new(Lookup::ModelsOfRun).text(&run.id.to_string());
    for document in source.find(&of_run)? {
        documents.insert(document?);
    }
    let mut models = Vec::with_capacity(documents.len());
    for document in documents {
        let row = source.document(&document)?;
        models
            .extend(row.filter(|row| LoggedModel::of(row).is_some_and(|model| is_active(&model))));
    }
    models.sort_by_key(|row| LoggedModel::of(row).map(|model| model.created_ms()));
    Ok(models)
}

/// Whether a workspace holds a logged model that is not deleted.
pub(super) fn is_there(there: &Snapshot, model_id: &str) -> Result<bool, StoreError> {
    let Some(document) = DocumentId::from_logged_model(model_id) else { return Ok(false) };
    let row = there.document(&document)?;
    Ok(row.as_ref().and_then(LoggedModel::of).is_some_and(|model| is_active(&model)))
}

fn is_active(model: &LoggedModel<'_>) -> bool {
    model.lifecycle() == Lifecycle::Active
}

impl Copying<'_> {
    /// Copies a logged model. Returns whether its copy is there: one that was deleted stays so.
    pub(super) async fn copy_model(
        &self,
        row: &DocumentRow,
        there: &Snapshot,
    ) -> Result<bool, CopyError> {
        let model = LoggedModel::of(row).expect("rows of logged models are copied");
        let copy = self.names.model(&row.document);
        let held = there.document(&copy)?;
        let held = held.as_ref().and_then(LoggedModel::of);
        if held.as_ref().is_some_and(|held| !is_active(held)) {
            return Ok(false);
        }
        let from = model.experiment().unwrap_or(ExperimentId::NONE);
        let experiment = self.experiment(from).await?;
        match &held {
            None => self.create_model(&model, copy, experiment).await?,
            Some(held) => self.add_to_model(&model, held).await?,
        }
        let (id, copy_id) = (model.id(), model_id(&copy));
        let folder = Folder {
            of: Thing::Model(&id),
            owners: (row.document, copy),
            heads: (String::new(), String::new()),
            addresses: (format!("{from}/models/{id}/"), format!("{experiment}/models/{copy_id}/")),
        };
        self.copy_files(&folder, there).await?;
        let stands = held.map_or(ModelStatus::Pending, |held| held.status());
        if model.status() != stands && model.status() != ModelStatus::Unspecified {
            self.change(copy, LoggedModelChange::SetStatus(model.status())).await?;
        }
        Ok(true)
    }

    async fn create_model(
        &self,
        model: &LoggedModel<'_>,
        copy: DocumentId,
        experiment: ExperimentId,
    ) -> Result<(), CopyError> {
        let tags = self.first_tags(model.tags(), Thing::Model(&model.id()))?;
        let param = |(key, value): (&str, &str)| KeyValue::new(key, value);
        let source_run = self.source_run(model);
        let new = NewLoggedModel {
            document: copy,
            experiment,
            name: model.name().to_owned(),
            model_type: model.model_type().to_owned(),
            source_run,
            params: model.params().map(param).collect(),
            tags,
        };
        self.to.workspace.act(Action::CreateLoggedModel(new)).await?;
        Ok(())
    }

    /// The run that produced the copy: none if that is not copied, for the other workspace does
    /// not hold it.
    fn source_run(&self, model: &LoggedModel<'_>) -> String {
        let run = self.names.copied_run(model.source_run());
        run.as_ref().map(RunId::to_string).unwrap_or_default()
    }

    /// Adds the params and tags that the copy lacks.
    async fn add_to_model(
        &self,
        model: &LoggedModel<'_>,
        held: &LoggedModel<'_>,
    ) -> Result<(), CopyError> {
        let params = model.params().filter(|(key, _)| held.param(key).is_none());
        let params: Vec<_> = params.map(|(key, value)| KeyValue::new(key, value)).collect();
        if !params.is_empty() {
            self.change(held.document(), LoggedModelChange::LogParams(params)).await?;
        }
        let tags = self.tags(model.tags(), |key| held.tag(key).is_some());
        if !tags.is_empty() {
            self.change(held.document(), LoggedModelChange::SetTags(tags)).await?;
        }
        Ok(())
    }

    async fn change(&self, model: DocumentId, change: LoggedModelChange) -> Result<(), CopyError> {
        let update = Action::UpdateLoggedModel { document: model, change };
        self.to.workspace.act(update).await?;
        Ok(())
    }
}
