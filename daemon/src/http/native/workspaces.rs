//! The workspaces of this device: which there are, and changes of that.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use runmesh_core::api::{
    CopiedRun, Copies, CopyRequest, CreateWorkspace, LeaveReport, LeaveWorkspace, Named,
    RenameWorkspace, UseWorkspace, WorkspaceInfo,
};

use super::error::Error;
use super::{query, read, runs};
use crate::app::App;
use crate::copy::{Copied, copy_runs};
use crate::workspace::device_of;
use crate::workspaces::{Space, Workspaces, WorkspacesError};

pub(super) fn workspaces(app: &App) -> Result<Arc<Workspaces>, Error> {
    app.workspaces().ok_or(Error::NoWorkspaces)
}

/// What the workspace of a request is called in addresses.
pub(super) fn place_of(app: &App) -> Option<String> {
    let space = app.workspaces()?.with_id(app.workspace.id())?;
    Some(space.name.to_string())
}

pub(super) async fn list(State(app): State<Arc<App>>) -> Result<Json<Vec<WorkspaceInfo>>, Error> {
    let workspaces = workspaces(&app)?;
    let listing = tokio::task::spawn_blocking(move || -> Result<Vec<_>, Error> {
        workspaces.all().iter().map(|space| info(&workspaces, space)).collect()
    });
    Ok(Json(listing.await.map_err(Error::Died)??))
}

pub(super) fn info(workspaces: &Workspaces, space: &Space) -> Result<WorkspaceInfo, Error> {
    let app = &space.app;
    let snapshot = app.workspace.snapshot()?;
    let (counts, membership) = (snapshot.counts()?, snapshot.membership()?);
    let connected =
        app.mesh().map(|mesh| mesh.peers().iter().filter(|peer| peer.connected).count());
    Ok(WorkspaceInfo {
        name: space.name.to_string(),
        workspace: Named { id: app.workspace.id(), name: membership.name().to_owned() },
        current: workspaces.current().name == space.name,
        role: membership.role(&device_of(&app.home)),
        members: membership.members().count() as u64,
        connected: connected.unwrap_or_default() as u64,
        experiments: counts.experiments,
        runs: counts.runs,
    })
}

pub(super) async fn create(
    State(app): State<Arc<App>>,
    body: Bytes,
) -> Result<Json<WorkspaceInfo>, Error> {
    let CreateWorkspace { name } = read(&body)?;
    let workspaces = workspaces(&app)?;
    let space = workspaces.create(name.parse()?).await?;
    Ok(Json(info(&workspaces, &space)?))
}

pub(super) async fn choose(
    State(app): State<Arc<App>>,
    body: Bytes,
) -> Result<Json<WorkspaceInfo>, Error> {
    let UseWorkspace { name } = read(&body)?;
    let workspaces = workspaces(&app)?;
    let space = workspaces.choose(&name).await?;
    Ok(Json(info(&workspaces, &space)?))
}

pub(super) async fn rename(
    State(app): State<Arc<App>>,
    body: Bytes,
) -> Result<Json<WorkspaceInfo>, Error> {
    let RenameWorkspace { name, new_name } = read(&body)?;
    let workspaces = workspaces(&app)?;
    let space = workspaces.rename(&name, new_name.parse()?).await?;
    Ok(Json(info(&workspaces, &space)?))
}

pub(super) async fn leave(
    State(app): State<Arc<App>>,
    body: Bytes,
) -> Result<Json<LeaveReport>, Error> {
    let LeaveWorkspace { name, confirmed } = read(&body)?;
    let workspaces = workspaces(&app)?;
    // Once begun it goes on, whoever asked for it hears of it or not.
    let leaving = tokio::spawn(async move { workspaces.leave(&name, confirmed).await });
    let (space, stake, left) = leaving.await.map_err(Error::Died)??;
    Ok(Json(LeaveReport {
        name: space.name.to_string(),
        workspace: space.app.workspace.id(),
        runs: stake.runs,
        other_members: stake.others,
        heard_of_others: stake.heard_of,
        entries_only_here: stake.entries_only_here,
        blobs: stake.blobs,
        blob_bytes: stake.blob_bytes,
        blobs_only_here: stake.blobs_only_here,
        left,
    }))
}

/// The most runs that one request copies.
const MAX_COPIES: usize = 1_000;

pub(super) async fn copy(State(app): State<Arc<App>>, body: Bytes) -> Result<Json<Copies>, Error> {
    let CopyRequest { runs: starts, to } = read(&body)?;
    if starts.len() > MAX_COPIES {
        return Err(Error::TooMany { what: "runs", given: starts.len(), limit: MAX_COPIES });
    }
    let target = workspaces(&app)?.named(&to).map_err(WorkspacesError::from)?;
    if target.app.workspace.id() == app.workspace.id() {
        return Err(Error::CopyToItself);
    }
    let found = query(&app, move |_, snapshot| {
        let find = |start: &String| Ok(runs::find(snapshot, start)?.id);
        starts.iter().map(find).collect::<Result<Vec<_>, Error>>()
    });
    let found = found.await?;
    let copied = copy_runs(&app, &target.app, &found).await?;
    let copy =
        |Copied { run, copy, new, models, traces }| CopiedRun { run, copy, new, models, traces };
    Ok(Json(Copies { to, copies: copied.into_iter().map(copy).collect() }))
}
