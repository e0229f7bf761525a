//! What only who has the home's token may ask: who else is a member, when devices have met, and
//! what becomes of this one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Query, State};
use futures_util::StreamExt;
use futures_util::stream;
use runmesh_core::api::{
    Diagnosis, DoctorScope, Invitation, InviteRequest, JoinRequest, Joined, Joining, Named, Peer,
    SyncReport, SyncRequest,
};
use runmesh_core::store::Snapshot;
use runmesh_core::ticket::Ticket;
use tokio::time::timeout_at;

use super::error::Error;
use super::status::{peers as all_peers, traffic};
use super::workspaces::{place_of, workspaces};
use super::{query, read};
use crate::app::App;
use crate::blobs::{NotFetched, Wanted};
use crate::mesh::{Mesh, NewTicket};
use crate::{doctor, now};

/// Blobs that a sync waits for at once.
const BLOBS_AT_ONCE: usize = 16;

/// How long a connection for blobs may take after a session is open.
const PEER_SETTLES: Duration = Duration::from_millis(50);

pub(super) fn mesh(app: &App) -> Result<&Mesh, Error> {
    app.mesh().ok_or(Error::NoMesh)
}

pub(super) async fn invite(
    State(app): State<Arc<App>>,
    body: Bytes,
) -> Result<Json<Invitation>, Error> {
    let InviteRequest { role, valid_for_ms, uses, name } = read(&body)?;
    let expires_ms = valid_for_ms.map(|ms| now().0.saturating_add(ms));
    // On the wire, zero is never.
    let new = NewTicket { role, expires_ms: expires_ms.unwrap_or(0), uses, name };
    let ticket = mesh(&app)?.invite(new).await?;
    Ok(Json(Invitation { ticket: ticket.to_string(), role, expires_ms, uses }))
}

pub(super) async fn join(State(app): State<Arc<App>>, body: Bytes) -> Result<Json<Joined>, Error> {
    let JoinRequest { ticket, leave_behind, unmet, name, through } = read(&body)?;
    let mut ticket: Ticket = ticket.trim().parse()?;
    for text in &through {
        ticket.others.push(text.parse()?);
    }
    let beside = name.is_some() || leave_behind;
    let (place, joined) = if beside {
        let workspaces = workspaces(&app)?;
        let name = name.map(|name| name.parse()).transpose()?;
        let (space, joined) = workspaces.join(&ticket, name, unmet).await?;
        if leave_behind {
            workspaces.choose(space.name.as_str()).await?;
        }
        (space.name.to_string(), joined)
    } else {
        let mesh = mesh(&app)?;
        let joined = match unmet {
            false => mesh.join(&app.home, &ticket, false).await?,
            true => mesh.join_unmet(&app.home, &ticket, false).await?,
        };
        (place_of(&app).unwrap_or_default(), joined)
    };
    Ok(Json(Joined {
        workspace: Named { id: joined.workspace, name: joined.name },
        through: Named { id: joined.through, name: joined.through_name },
        role: joined.role,
        runs_taken: joined.runs_taken,
        place,
    }))
}

/// How far joining is, of whoever is at it on this device.
pub(super) async fn joining(State(app): State<Arc<App>>) -> Result<Json<Vec<Joining>>, Error> {
    // The store is not asked: it may be what is being taken along.
    Ok(Json(mesh(&app)?.joining()))
}

pub(super) async fn peers(State(app): State<Arc<App>>) -> Json<Vec<Peer>> {
    Json(all_peers(&app))
}

/// Waits until this device and every connected peer hold the same entries, and this device the
/// blobs that its policy wants.
pub(super) async fn sync(
    State(app): State<Arc<App>>,
    body: Bytes,
) -> Result<Json<SyncReport>, Error> {
    let SyncRequest { timeout_ms } = read(&body)?;
    let started = Instant::now();
    let at_most = Duration::from_millis(timeout_ms);
    let before = traffic(&app);
    let mesh = mesh(&app)?;
    if mesh.peers().is_empty() {
        return Err(Error::Alone);
    }
    let synced = mesh.sync_wait(at_most).await?;
    if synced.timed_out {
        let connected = mesh.peers().iter().filter(|peer| peer.connected).count();
        return Err(match connected {
            0 => Error::NobodyConnected,
            _ => Error::NotSynced { connected, agreeing: synced.peers.len() },
        });
    }
    let deadline = started + at_most;
    let (blobs_fetched, blobs_missing) = fetch_wanted(&app, deadline).await?;
    let name = |(id, name)| Named { id, name };
    Ok(Json(SyncReport {
        peers: synced.peers.into_iter().map(name).collect(),
        moved: traffic(&app).since(&before),
        blobs_fetched,
        blobs_missing,
        took_ms: doctor::millis(started.elapsed()),
    }))
}

/// Fetches the blobs that the policy wants; returns how many came, and how many no connected peer
/// has.
async fn fetch_wanted(app: &Arc<App>, deadline: Instant) -> Result<(u64, u64), Error> {
    let wanted = query(app, missing).await?;
    let fetches = stream::iter(wanted).map(|wanted| fetch(app, wanted));
    let mut fetches = std::pin::pin!(fetches.buffer_unordered(BLOBS_AT_ONCE));
    let (mut fetched, mut missing) = (0, 0);
    loop {
        match timeout_at(deadline.into(), fetches.next()).await {
            Err(_) => return Err(Error::BlobsNotSynced { fetched }),
            Ok(None) => return Ok((fetched, missing)),
            Ok(Some(came)) => *(if came? { &mut fetched } else { &mut missing }) += 1,
        }
    }
}

/// Fetches a blob; returns whether a connected peer had it.
async fn fetch(app: &App, wanted: Wanted) -> Result<bool, Error> {
    loop {
        let connected = || mesh(app).map(|mesh| mesh.peers().into_iter().filter(|p| p.connected));
        match app.fetch_now(wanted).await {
            Ok(()) => return Ok(true),
            // A peer whose session is open is not asked before it can be asked for blobs too.
            Err(NotFetched::Nobody { asked, .. }) if asked < connected()?.count() => {
                tokio::time::sleep(PEER_SETTLES).await;
            }
            Err(NotFetched::Nobody { .. }) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
    }
}

fn missing(app: &App, snapshot: &Snapshot) -> Result<Vec<Wanted>, Error> {
    let mut wanted = Vec::new();
    for (_, row) in snapshot.all_artifacts()? {
        if app.config.blobs.wants(row.size) && !snapshot.is_granted(&row.blob)? {
            wanted.push(Wanted { hash: row.blob, size: row.size, uploaded_by: None });
        }
    }
    wanted.sort_by_key(|wanted| wanted.hash);
    wanted.dedup_by_key(|wanted| wanted.hash);
    Ok(wanted)
}

/// The workspaces that the doctor is asked to look at, and what they are called.
fn asked(app: &Arc<App>, scope: DoctorScope) -> Result<Vec<(String, Arc<App>)>, Error> {
    if !scope.all {
        return Ok(vec![(place_of(app).unwrap_or_default(), Arc::clone(app))]);
    }
    let all = workspaces(app)?.all().into_iter();
    Ok(all.map(|space| (space.name.to_string(), space.app)).collect())
}

async fn examine(
    app: &Arc<App>,
    scope: DoctorScope,
    rebuild: bool,
) -> Result<Json<Diagnosis>, Error> {
    let started = Instant::now();
    let mut checks = doctor::look_at_home(&app.home);
    for (name, app) in asked(app, scope)? {
        if rebuild {
            checks.push(doctor::rebuilt(&name, app.workspace.rebuild().await));
        }
        let look = move |app: &App, snapshot: &Snapshot| {
            Ok(doctor::look_at_workspace(&name, &app.blobs, snapshot, app.workspace.id()))
        };
        checks.extend(query(&app, look).await?);
    }
    Ok(Json(Diagnosis { checks, took_ms: doctor::millis(started.elapsed()) }))
}

pub(super) async fn doctor(
    State(app): State<Arc<App>>,
    Query(scope): Query<DoctorScope>,
) -> Result<Json<Diagnosis>, Error> {
    examine(&app, scope, false).await
}

pub(super) async fn rebuild(
    State(app): State<Arc<App>>,
    Query(scope): Query<DoctorScope>,
) -> Result<Json<Diagnosis>, Error> {
    examine(&app, scope, true).await
}

pub(super) async fn shutdown(State(app): State<Arc<App>>) -> Json<()> {
    tracing::info!("told to stop over HTTP");
    app.stop.notify_one();
    Json(())
}
