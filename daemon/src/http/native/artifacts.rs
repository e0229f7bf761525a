//! The files of runs.

use std::io;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::header::{CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use futures_util::TryStreamExt;
use runmesh_core::action::Action;
use runmesh_core::api::{Artifact, ArtifactFile};
use runmesh_core::ids::DocumentId;
use runmesh_core::rows::ArtifactRow;
use runmesh_core::store::{ArtifactEntry, Snapshot};
use serde::Deserialize;
use tokio_util::io::StreamReader;

use super::error::Error;
use super::{query, runs};
use crate::app::App;
use crate::http::mlflow::{artifact_path, download};

#[derive(Deserialize)]
pub(super) struct Place {
    #[serde(default)]
    pub(super) path: String,
    #[serde(default)]
    pub(super) recursive: bool,
}

/// Reads a path by the rules that all artifacts have, whichever way they came.
pub(super) fn parse(path: &str) -> Result<String, Error> {
    artifact_path::parse(path).map_err(|_| Error::BadPath(path.to_owned()))
}

pub(super) async fn list(
    State(app): State<Arc<App>>,
    Path(run): Path<String>,
    Query(place): Query<Place>,
) -> Result<Json<Vec<Artifact>>, Error> {
    let path = parse(&place.path)?;
    query(&app, move |app, snapshot| {
        let run = runs::find(snapshot, &run)?.id;
        let found = entries(app, snapshot, DocumentId::run(run), &path, place.recursive)?;
        if found.is_empty() && !path.is_empty() {
            return Err(Error::NoSuchArtifact { run: run.to_string(), path });
        }
        Ok(Json(found))
    })
    .await
}

/// What is at a path: a file, or what a folder holds, if wanted with all below it.
pub(super) fn entries(
    app: &App,
    snapshot: &Snapshot,
    owner: DocumentId,
    path: &str,
    recursive: bool,
) -> Result<Vec<Artifact>, Error> {
    let found = match snapshot.artifact(owner, path)? {
        Some(file) => vec![ArtifactEntry::File(file)],
        None if recursive => {
            let head = if path.is_empty() { String::new() } else { format!("{path}/") };
            let rows = snapshot.artifacts_below(owner, &head)?;
            rows.into_iter().map(ArtifactEntry::File).collect()
        }
        None => snapshot.artifacts_in(owner, path)?,
    };
    let artifact = |entry| match entry {
        ArtifactEntry::Folder(path) => Ok(Artifact { path, file: None }),
        ArtifactEntry::File(row) => file(app, row),
    };
    found.into_iter().map(artifact).collect()
}

fn file(app: &App, row: ArtifactRow) -> Result<Artifact, Error> {
    let here = app.blobs.has(&row.blob)?;
    let file = ArtifactFile { blob: row.blob, size: row.size, here };
    Ok(Artifact { path: row.path, file: Some(file) })
}

pub(super) async fn get(
    State(app): State<Arc<App>>,
    Path(run): Path<String>,
    Query(place): Query<Place>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let path = parse(&place.path)?;
    let row = query(&app, move |_, snapshot| {
        let run = runs::find(snapshot, &run)?.id;
        let row = snapshot.artifact(DocumentId::run(run), &path)?;
        row.ok_or_else(|| Error::NoSuchArtifact { run: run.to_string(), path })
    })
    .await?;
    send(&app, &row, &headers).await
}

/// Sends a file, or the part of it that the headers ask for, as bytes that a browser runs in no way.
pub(super) async fn send(
    app: &App,
    row: &ArtifactRow,
    headers: &HeaderMap,
) -> Result<Response, Error> {
    let mut response = download::send(app, row, headers).await?;
    let fixed = [(CONTENT_TYPE, "application/octet-stream"), (X_CONTENT_TYPE_OPTIONS, "nosniff")];
    for (name, value) in fixed {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    Ok(response)
}

pub(super) async fn put(
    State(app): State<Arc<App>>,
    Path(run): Path<String>,
    Query(place): Query<Place>,
    body: Body,
) -> Result<Json<Artifact>, Error> {
    let path = parse(&place.path)?;
    if path.is_empty() {
        return Err(Error::BadPath(place.path));
    }
    let run = query(&app, move |_, snapshot| Ok(runs::find(snapshot, &run)?.id)).await?;
    let stream = body.into_data_stream().map_err(io::Error::other);
    let imported = app.blobs.import(StreamReader::new(stream)).await?;
    // The grant comes first: an operation must never name a blob that this device does not serve.
    app.grant(vec![imported.hash]).await?;
    let (owner, blob, size) = (DocumentId::run(run), imported.hash, imported.size);
    app.workspace.act(Action::PutArtifact { owner, path: path.clone(), blob, size }).await?;
    Ok(Json(Artifact { path, file: Some(ArtifactFile { blob, size, here: true }) }))
}
