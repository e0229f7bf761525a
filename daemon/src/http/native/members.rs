//! Who is a member, who was, and who may become one.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use data_encoding::HEXLOWER;
use runmesh_core::api::{
    FormerMember, MemberInfo, Members, Named, OpenTicket, RecoveryTicket, RefusedJoin,
    RemoveRequest, RenameRequest, RevokeRequest, RoleRequest,
};
use runmesh_core::ids::DeviceId;
use runmesh_core::membership::{Member, Membership, Void};

use super::error::Error;
use super::manage::mesh;
use super::{query, read};
use crate::app::App;
use crate::now;
use crate::workspace::device_of;

pub(super) async fn list(State(app): State<Arc<App>>) -> Result<Json<Members>, Error> {
    query(&app, |app, snapshot| {
        let membership = snapshot.membership()?;
        Ok(Json(members(&membership, &device_of(&app.home), app.workspace.id(), now().0)))
    })
    .await
}

fn members(
    membership: &Membership,
    own: &DeviceId,
    workspace: runmesh_core::ids::WorkspaceId,
    now_ms: u64,
) -> Members {
    let name = |device: &DeviceId| {
        let present = membership.member(device).map(|member| member.name.clone());
        let former = || membership.former().find(|(id, _)| *id == device);
        let name = present.or_else(|| former().map(|(_, former)| former.name.clone()));
        Named { id: *device, name: name.unwrap_or_default() }
    };
    // Admins by seniority, then the others as they came.
    let mut present: Vec<(&DeviceId, &Member)> = membership.members().collect();
    present.sort_by_key(|(device, held)| (held.rank.is_none(), held.rank, held.since, **device));
    let member = |(device, member): (&DeviceId, &Member)| MemberInfo {
        device: name(device),
        role: member.role,
        since_ms: member.since.millis(),
        founder: membership.founder() == Some(*device),
        here: device == own,
    };
    let former = membership.former().map(|(device, former)| FormerMember {
        device: name(device),
        by: name(&former.by),
        at_ms: former.at.millis(),
    });
    let open = membership.invitations().filter(|(_, open)| {
        let ended = open.expires_ms != 0 && now_ms >= open.expires_ms;
        open.closed.is_none() && !ended && open.used < open.uses
    });
    let ticket = |(key, open): (&[u8; 32], &runmesh_core::membership::Invitation)| OpenTicket {
        key: HEXLOWER.encode(key),
        by: name(&open.by),
        role: open.role,
        expires_ms: (open.expires_ms != 0).then_some(open.expires_ms),
        uses_left: open.uses - open.used,
        name: open.name.clone(),
        recovery: open.recovery,
    };
    let refused = membership.void().filter_map(|(_, device, why)| match why {
        Void::Join(why) if membership.role(device).is_none() => {
            Some(RefusedJoin { device: name(device), reason: why.to_string() })
        }
        _ => None,
    });
    Members {
        workspace: Named { id: workspace, name: membership.name().to_owned() },
        members: present.into_iter().map(member).collect(),
        former: former.collect(),
        tickets: open.map(ticket).collect(),
        refused: refused.collect(),
    }
}

pub(super) async fn remove(
    State(app): State<Arc<App>>,
    body: Bytes,
) -> Result<Json<Named<DeviceId>>, Error> {
    let RemoveRequest { device } = read(&body)?;
    let mesh = mesh(&app)?;
    let device = mesh.device_called(&device)?;
    mesh.remove(device).await?;
    named(&app, device).await
}

pub(super) async fn role(
    State(app): State<Arc<App>>,
    body: Bytes,
) -> Result<Json<Named<DeviceId>>, Error> {
    let RoleRequest { device, role } = read(&body)?;
    let mesh = mesh(&app)?;
    let device = mesh.device_called(&device)?;
    mesh.set_role(device, role).await?;
    named(&app, device).await
}

pub(super) async fn rename(
    State(app): State<Arc<App>>,
    body: Bytes,
) -> Result<Json<Named<DeviceId>>, Error> {
    let RenameRequest { device, name } = read(&body)?;
    let mesh = mesh(&app)?;
    let device = mesh.device_called(&device)?;
    mesh.rename(device, name).await?;
    named(&app, device).await
}

async fn named(app: &Arc<App>, device: DeviceId) -> Result<Json<Named<DeviceId>>, Error> {
    query(app, move |_, snapshot| {
        let membership = snapshot.membership()?;
        let present = membership.member(&device).map(|member| member.name.clone());
        let former = membership.former().find(|(id, _)| **id == device);
        let name = present.or_else(|| former.map(|(_, former)| former.name.clone()));
        Ok(Json(Named { id: device, name: name.unwrap_or_default() }))
    })
    .await
}

pub(super) async fn revoke(State(app): State<Arc<App>>, body: Bytes) -> Result<Json<()>, Error> {
    let RevokeRequest { ticket } = read(&body)?;
    mesh(&app)?.revoke(ticket.trim()).await?;
    Ok(Json(()))
}

/// The recovery ticket that is still kept here, with what is known now of where members are.
pub(super) async fn recovery(State(app): State<Arc<App>>) -> Result<Json<RecoveryTicket>, Error> {
    let kept = app.home.recovery_ticket(&app.workspace.id())?;
    let known = |text: String| match (app.mesh(), text.parse()) {
        (Some(mesh), Ok(ticket)) => mesh.with_contacts(ticket).to_string(),
        _ => text,
    };
    let ticket = kept.map(known);
    Ok(Json(RecoveryTicket { ticket }))
}

pub(super) async fn forget_recovery(
    State(app): State<Arc<App>>,
) -> Result<Json<RecoveryTicket>, Error> {
    app.home.forget_recovery_ticket(&app.workspace.id())?;
    Ok(Json(RecoveryTicket { ticket: None }))
}
