//! Where the files of models are, for those who register and load them otherwise than by MLflow's API.

use std::sync::Arc;

use runmesh_core::ids::DocumentId;
use runmesh_core::index::{Lookup, LookupKey};
use runmesh_core::registry::Version;
use runmesh_core::rows::{ArtifactRow, Lifecycle, LoggedModel, RunRow};
use runmesh_core::store::{Snapshot, StoreError};

use super::artifact_path::{self, Place};
use super::error::ApiError;
use super::registry;
use super::runs::Locations;
use super::{logged_models, render};
use crate::app::App;

/// What every model has among its files.
const MLMODEL: &str = "MLmodel";

/// A model's files.
pub(crate) struct ModelFiles {
    /// What MLflow's clients know them by.
    pub(crate) source: String,
    /// Where they are, if the source does not say so.
    pub(crate) storage: Option<String>,
    /// The logged model that they belong to; empty if they are a run's.
    pub(crate) logged_model: String,
    owner: DocumentId,
    folder: String,
}

impl ModelFiles {
    /// The file that says what the model is.
    pub(crate) fn mlmodel(&self, snapshot: &Snapshot) -> Result<Option<ArtifactRow>, StoreError> {
        let head = if self.folder.is_empty() { String::new() } else { format!("{}/", self.folder) };
        snapshot.artifact(self.owner, &format!("{head}{MLMODEL}"))
    }
}

/// The model that a run has at a path, or logged under that name.
pub(crate) fn of_run(
    snapshot: &Snapshot,
    run: &RunRow,
    path: &str,
) -> Result<Option<ModelFiles>, ApiError> {
    let folder = artifact_path::parse(path)?;
    let mut locations = Locations::default();
    locations.add(snapshot, run)?;
    let root = render::artifact_uri(run, locations.of(run));
    let files = ModelFiles {
        source: render::below(&root, &folder),
        storage: None,
        logged_model: String::new(),
        owner: DocumentId::run(run.id),
        folder,
    };
    if files.mlmodel(snapshot)?.is_some() {
        return Ok(Some(files));
    }
    let mut latest = None;
    for document in snapshot.find(&LookupKey::new(Lookup::ModelsOfRun).text(&run.id.to_string()))? {
        let row = snapshot.document(&document?)?;
        let Some(row) = row else { continue };
        let Some(model) = LoggedModel::of(&row) else { continue };
        if model.lifecycle() == Lifecycle::Active && model.name() == path {
            let step = run.model_outputs.iter().find(|output| output.model_id == model.id());
            let place = (step.map(|output| output.step), model.created_ms());
            if latest.as_ref().is_none_or(|(held, _)| *held < place) {
                latest = Some((place, row.clone()));
            }
        }
    }
    let Some((_, row)) = latest else { return Ok(None) };
    let id = row.document.as_logged_model().unwrap_or_default();
    Ok(Some(ModelFiles {
        source: format!("models:/{id}"),
        storage: Some(logged_models::location(snapshot, &row)?),
        logged_model: id,
        owner: row.document,
        folder: String::new(),
    }))
}

/// The files of a version, if they are at this server.
pub(crate) fn of_version(snapshot: &Snapshot, version: &Version) -> Result<ModelFiles, ApiError> {
    let path = artifact_path::parse(&registry::proxy_path(snapshot, version.storage())?)?;
    let Place::Owned { owner, path: folder } = Place::of(&path) else {
        return Err(ApiError::absent(format!("No such artifact: '{path}'")));
    };
    Ok(ModelFiles {
        source: version.source().to_owned(),
        storage: None,
        logged_model: version.logged_model().to_owned(),
        owner,
        folder,
    })
}

/// Refuses a name that MLflow's clients could not use.
pub(crate) fn check_name(name: &str) -> Result<(), ApiError> {
    registry::checks::new_model_name(name)
}

/// Refuses an alias that MLflow's clients could not use.
pub(crate) fn check_alias(alias: &str) -> Result<(), ApiError> {
    registry::checks::new_alias(alias)
}

/// Notes in a logged model as which version it was registered, as MLflow does.
pub(crate) async fn tell(
    app: &Arc<App>,
    logged_model: &str,
    name: &str,
    number: i64,
) -> Result<(), ApiError> {
    registry::tell_logged_model(app, logged_model, name, number).await
}
