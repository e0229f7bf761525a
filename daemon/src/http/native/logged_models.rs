//! Logged models: what a run produced as one, and its files.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use runmesh_core::api::{Artifact, LoggedModelDetails, Named};
use runmesh_core::ids::DocumentId;
use runmesh_core::rows::{DocumentRow, LoggedModel};
use runmesh_core::store::Snapshot;

use super::artifacts::{Place, entries, parse, send};
use super::error::Error;
use super::query;
use crate::app::App;

/// The row of a logged model, deleted or not.
fn find(snapshot: &Snapshot, id: &str) -> Result<DocumentRow, Error> {
    let no_such = || Error::NoSuchLoggedModel(id.to_owned());
    let document = DocumentId::from_logged_model(id).ok_or_else(no_such)?;
    let row = snapshot.document(&document)?;
    row.filter(|row| LoggedModel::of(row).is_some()).ok_or_else(no_such)
}

pub(super) async fn show(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<Json<LoggedModelDetails>, Error> {
    query(&app, move |app, snapshot| {
        let row = find(snapshot, &id)?;
        let model = LoggedModel::of(&row).ok_or(Error::NoSuchLoggedModel(id))?;
        let experiment = match model.experiment() {
            Some(id) => snapshot.experiment(id)?,
            None => None,
        };
        let owned = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
        Ok(Json(LoggedModelDetails {
            id: model.id(),
            experiment: Named {
                id: model.experiment().map(|id| id.to_string()).unwrap_or_default(),
                name: experiment.map(|experiment| experiment.name).unwrap_or_default(),
            },
            name: model.name().to_owned(),
            model_type: model.model_type().to_owned(),
            status: model.status().as_str().to_owned(),
            lifecycle: model.lifecycle(),
            created_ms: model.created_ms(),
            run: model.source_run().to_owned(),
            params: model.params().map(owned).collect(),
            tags: model.tags().map(owned).collect(),
            artifacts: entries(app, snapshot, model.document(), "", false)?,
        }))
    })
    .await
}

pub(super) async fn list(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Query(place): Query<Place>,
) -> Result<Json<Vec<Artifact>>, Error> {
    let path = parse(&place.path)?;
    query(&app, move |app, snapshot| {
        let document = find(snapshot, &id)?.document;
        let found = entries(app, snapshot, document, &path, place.recursive)?;
        if found.is_empty() && !path.is_empty() {
            return Err(Error::NoSuchModelFile { model: id, path });
        }
        Ok(Json(found))
    })
    .await
}

pub(super) async fn get(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Query(place): Query<Place>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let path = parse(&place.path)?;
    let row = query(&app, move |_, snapshot| {
        let row = snapshot.artifact(find(snapshot, &id)?.document, &path)?;
        row.ok_or(Error::NoSuchModelFile { model: id, path })
    })
    .await?;
    send(&app, &row, &headers).await
}
