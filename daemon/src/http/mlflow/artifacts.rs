//! Artifacts of runs, and the artifact proxy that clients upload to and download from.
//!
//! A file is written through to the blob store as it arrives and read from it as it is sent; at no
//! time is it in memory. It is acknowledged when its bytes and the operation that names them are
//! durable.

use std::io;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::TryStreamExt;
use runmesh_core::action::Action;
use runmesh_core::ids::{DocumentId, ExperimentId};
use runmesh_core::rows::{ArtifactRow, LoggedModel};
use runmesh_core::store::{ArtifactEntry, Snapshot};
use serde::Serialize;
use serde_json::json;
use tokio::io::AsyncRead;
use tokio_util::io::StreamReader;

use super::artifact_path::{self, MODELS_FOLDER, Place};
use super::error::{ApiError, ErrorCode};
use super::message::{Message, missing};
use super::render::{self, FileJson, Page};
use super::runs::Locations;
use super::{act, download, read, runs, traces};
use crate::app::App;

const PROXY: &str = "mlflow-artifacts:";

/// The rest of a request's path, decoded once.
type Rest = Result<Path<String>, axum::extract::rejection::PathRejection>;

fn parse_rest(rest: Rest) -> Result<String, ApiError> {
    let Path(rest) = rest.map_err(|_| ApiError::invalid("Invalid path"))?;
    artifact_path::parse(&rest)
}

/// Answers that a path is a folder where a file was asked for, or the other way round.
fn wrong_kind(text: String) -> Response {
    (StatusCode::BAD_REQUEST, Json(json!({ "detail": text }))).into_response()
}

pub(super) async fn upload(
    State(app): State<Arc<App>>,
    rest: Rest,
    body: Body,
) -> Result<Response, ApiError> {
    let ends_in_slash = rest.as_ref().is_ok_and(|Path(rest)| rest.ends_with('/'));
    let path = parse_rest(rest)?;
    let (owner, path) = match Place::of(&path) {
        Place::Owned { owner, path } if !path.is_empty() && !ends_in_slash => (owner, path),
        // A file of the name of an experiment's or a run's folder, or of nothing.
        _ => {
            let text = "Artifact path must include a filename (cannot end with '/').";
            return Ok(wrong_kind(text.to_owned()));
        }
    };
    let stream = body.into_data_stream().map_err(io::Error::other);
    put(&app, owner, path, StreamReader::new(stream)).await?;
    Ok(StatusCode::OK.into_response())
}

/// Puts a file under a path. Its bytes and what names them are durable when this returns.
pub(super) async fn put(
    app: &App,
    owner: DocumentId,
    path: String,
    bytes: impl AsyncRead + Send + Unpin,
) -> Result<(), ApiError> {
    let imported = app.blobs.import(bytes).await?;
    app.grant(vec![imported.hash]).await?;
    let (blob, size) = (imported.hash, imported.size);
    act(app, Action::PutArtifact { owner, path, blob, size }).await?;
    Ok(())
}

pub(super) async fn download(
    State(app): State<Arc<App>>,
    rest: Rest,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let path = parse_rest(rest)?;
    send(&app, path, &headers).await
}

/// Sends the file at a path of the proxy.
pub(super) async fn send(
    app: &Arc<App>,
    path: String,
    headers: &HeaderMap,
) -> Result<Response, ApiError> {
    let place = Place::of(&path);
    let found = read(app, move |snapshot| at(snapshot, place)).await?;
    match found {
        Found::File(row) => Ok(download::send(app, &row, headers).await?),
        Found::Folder => {
            Ok(wrong_kind(format!("Artifact path refers to a directory, not a file: '{path}'")))
        }
        Found::Nothing => Err(ApiError::absent(format!("No such artifact: '{path}'"))),
    }
}

/// Sends a file that clients keep with a trace.
pub(super) async fn of_trace(
    app: &Arc<App>,
    experiment: ExperimentId,
    trace: &str,
    file: &str,
) -> Result<Response, ApiError> {
    let path = artifact_path::parse(&format!("{}{file}", traces::folder(experiment, trace)))?;
    send(app, path, &HeaderMap::new()).await
}

enum Found {
    File(ArtifactRow),
    Folder,
    Nothing,
}

fn at(snapshot: &Snapshot, place: Place) -> Result<Found, ApiError> {
    if let Place::Owned { owner, path } = &place
        && let Some(row) = snapshot.artifact(*owner, path)?
    {
        return Ok(Found::File(row));
    }
    // The root of all is always there.
    let is_root = matches!(&place, Place::Above { folder } if folder.is_empty());
    let is_folder = is_root || !entries(snapshot, place)?.is_empty();
    Ok(if is_folder { Found::Folder } else { Found::Nothing })
}

/// What is directly in a place, each with its whole path below its owner's root.
fn entries(snapshot: &Snapshot, place: Place) -> Result<Vec<ArtifactEntry>, ApiError> {
    Ok(match place {
        Place::Owned { owner, path } => snapshot.artifacts_in(owner, &path)?,
        Place::Owner { owner } => {
            let any = !snapshot.artifacts_in(owner, "")?.is_empty();
            let artifacts = ArtifactEntry::Folder("artifacts".to_owned());
            any.then_some(artifacts).into_iter().collect()
        }
        Place::Above { folder } => above(snapshot, &folder)?,
    })
}

/// What a folder above those of runs and models holds. Nothing but a person looking around asks for
/// this, so it has no index.
fn above(snapshot: &Snapshot, folder: &str) -> Result<Vec<ArtifactEntry>, ApiError> {
    let mut entries = snapshot.artifacts_in(DocumentId::WORKSPACE, folder)?;
    let head = if folder.is_empty() { String::new() } else { format!("{folder}/") };
    let mut owners: Vec<_> =
        snapshot.all_artifacts()?.into_iter().map(|(owner, _)| owner).collect();
    owners.dedup();
    for owner in owners {
        let Some(root) = folder_of(snapshot, owner)? else { continue };
        let Some(below) = root.strip_prefix(&head) else { continue };
        let name = below.split('/').next().unwrap_or_default();
        entries.push(ArtifactEntry::Folder(format!("{head}{name}")));
    }
    entries.sort_by_cached_key(|entry| match entry {
        ArtifactEntry::Folder(path) => path.clone(),
        ArtifactEntry::File(row) => row.path.clone(),
    });
    entries.dedup();
    Ok(entries)
}

/// The folder of a run or a model in the proxy.
fn folder_of(snapshot: &Snapshot, owner: DocumentId) -> Result<Option<String>, ApiError> {
    if let Some(run) = owner.as_run() {
        let row = snapshot.run(&run)?;
        return Ok(row.map(|row| format!("{}/{run}", row.experiment)));
    }
    let Some(id) = owner.as_logged_model() else { return Ok(None) };
    let row = snapshot.document(&owner)?;
    let experiment = row.as_ref().and_then(LoggedModel::of).and_then(|model| model.experiment());
    Ok(experiment.map(|experiment| format!("{experiment}/{MODELS_FOLDER}/{id}")))
}

pub(super) async fn list(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let message = Message::from_query(&query.unwrap_or_default());
    let path = artifact_path::parse(message.fields().text("path")?.unwrap_or_default())?;
    let place = Place::of(&path);
    let entries = read(&app, move |snapshot| entries(snapshot, place)).await?;
    let files: Vec<FileJson> = entries.into_iter().map(|entry| named(entry, "")).collect();
    Ok(render::json(&Page { name: "files", items: &files, next: None }))
}

/// An element of a folder by its name alone, behind `head`.
fn named(mut entry: ArtifactEntry, head: &str) -> FileJson {
    let (ArtifactEntry::Folder(path) | ArtifactEntry::File(ArtifactRow { path, .. })) = &mut entry;
    let name = path.rsplit('/').next().unwrap_or_default();
    *path = if head.is_empty() { name.to_owned() } else { format!("{head}/{name}") };
    entry.into()
}

pub(super) async fn delete(State(app): State<Arc<App>>, rest: Rest) -> Result<Response, ApiError> {
    let path = parse_rest(rest)?;
    let (owner, path) = match Place::of(&path) {
        Place::Owned { owner, path } => (owner, path),
        Place::Owner { owner } => (owner, String::new()),
        Place::Above { .. } => {
            let message = format!(
                "'{path}' holds the artifacts of all runs of an experiment; delete those of each run"
            );
            return Err(ApiError::invalid(message));
        }
    };
    act(&app, Action::RemoveArtifacts { owner, path }).await?;
    Ok(render::done())
}

/// Parts of one file, and links to another store: neither is needed with a store on this machine.
pub(super) async fn no_multipart_upload() -> ApiError {
    let message = "Multipart upload is not supported for the current artifact repository";
    ApiError::new(ErrorCode::NotImplemented, message)
}

pub(super) async fn no_multipart_download() -> ApiError {
    let message = "Multipart download is not supported for the current artifact repository";
    ApiError::new(ErrorCode::NotImplemented, message)
}

/// Links to where artifacts are, for stores in a cloud: those here are behind this server.
pub(super) async fn no_presigned_download() -> ApiError {
    ApiError::invalid(
        "Presigned download is not supported for runs with proxied artifact storage (artifact URI \
         scheme: mlflow-artifacts). This endpoint requires a run with a direct cloud storage \
         artifact URI.",
    )
}

pub(super) async fn no_presigned_upload() -> ApiError {
    ApiError::invalid(
        "Presigned upload is not supported for proxied artifact storage (artifact URI scheme: \
         mlflow-artifacts). This endpoint requires a direct cloud storage artifact URI.",
    )
}

/// A run's artifact root, as clients are told it.
pub(super) fn root_of(snapshot: &Snapshot, run_id: &str) -> Result<String, ApiError> {
    let run = runs::find(snapshot, runs::parse_id(run_id)?)?;
    let mut locations = Locations::default();
    locations.add(snapshot, &run)?;
    Ok(render::artifact_uri(&run, locations.of(&run)))
}

/// The path in the proxy of something below an artifact root, if that is here.
pub(super) fn path_below(root_uri: &str, path: &str) -> Result<String, ApiError> {
    // mlflow-artifacts:/path, or mlflow-artifacts://host/path
    let root = root_uri.strip_prefix(PROXY).map(|rest| match rest.strip_prefix("//") {
        Some(rest) => rest.split_once('/').map_or("", |(_, path)| path),
        None => rest.trim_start_matches('/'),
    });
    let Some(root) = root else {
        let message = format!("These artifacts are at {root_uri}, not at this server.");
        return Err(ApiError::new(ErrorCode::NotImplemented, message));
    };
    artifact_path::parse(&format!("{root}/{path}"))
}

/// Lists a folder below an artifact root.
pub(super) fn list_below(
    snapshot: &Snapshot,
    root_uri: String,
    folder: &str,
) -> Result<Response, ApiError> {
    #[derive(Serialize)]
    struct Listed {
        root_uri: String,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        files: Vec<FileJson>,
    }
    let path = path_below(&root_uri, folder)?;
    let entries = entries(snapshot, Place::of(&path))?.into_iter();
    let files = entries.map(|entry| named(entry, folder)).collect();
    Ok(render::json(&Listed { root_uri, files }))
}

pub(super) async fn list_of_run(
    State(app): State<Arc<App>>,
    message: Message,
) -> Result<Response, ApiError> {
    let fields = message.fields();
    let run_id = fields.run_id()?.to_owned();
    let folder = artifact_path::parse(fields.text("path")?.unwrap_or_default())?;
    read(&app, move |snapshot| list_below(snapshot, root_of(snapshot, &run_id)?, &folder)).await
}

/// What a link to a file asks, and the path in it.
pub(super) fn asked_file(query: Option<String>) -> Result<(Message, String), ApiError> {
    let message = Message::from_query(&query.unwrap_or_default());
    let file = message.fields().text("path")?.ok_or_else(|| missing("path"))?;
    let file = artifact_path::parse(file)?;
    Ok((message, file))
}

/// Downloads a file of a run: what MLflow's own page links to.
pub(super) async fn get_of_run(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let (message, file) = asked_file(query)?;
    let run_id = message.fields().run_id()?.to_owned();
    let path = read(&app, move |snapshot| path_below(&root_of(snapshot, &run_id)?, &file));
    send(&app, path.await?, &headers).await
}
