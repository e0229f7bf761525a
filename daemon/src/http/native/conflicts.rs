//! What devices decided differently while they were apart, and settling it.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use runmesh_core::action::Action;
use runmesh_core::api::{ConflictInfo, ConflictValue, Conflicts, Named, ResolveConflict};
use runmesh_core::conflicts::{self, Conflict, Take};
use runmesh_core::ids::DeviceId;
use runmesh_core::membership::Membership;
use runmesh_core::store::{Snapshot, StoreError};

use super::error::Error;
use super::{models, query, read};
use crate::app::App;

/// The most conflicts that one answer tells.
const MAX_CONFLICTS: usize = 1_000;
/// The most conflicts among which one is looked for.
const MAX_SEARCHED: usize = 100_000;
/// The least of an id that names a document.
const MIN_ID_CHARS: usize = 4;

pub(super) async fn list(State(app): State<Arc<App>>) -> Result<Json<Conflicts>, Error> {
    // What was edited settles conflicts when it is sealed.
    if query(&app, |_, snapshot| any(snapshot)).await? {
        app.workspace.seal().await?;
    }
    query(&app, |_, snapshot| {
        let (found, more) = conflicts::list(snapshot, MAX_CONFLICTS)?;
        let members = snapshot.membership()?;
        let told = found.iter().map(|conflict| told(snapshot, &members, conflict));
        Ok(Json(Conflicts { conflicts: told.collect::<Result<_, _>>()?, more }))
    })
    .await
}

fn any(snapshot: &Snapshot) -> Result<bool, Error> {
    Ok(snapshot.contested_documents()?.next().transpose()?.is_some())
}

/// What a device is called, whether it is a member or was one.
pub(super) fn named(members: &Membership, device: DeviceId) -> Named<DeviceId> {
    Named { id: device, name: members.name_of(&device).to_owned() }
}

fn told(
    snapshot: &Snapshot,
    members: &Membership,
    conflict: &Conflict,
) -> Result<ConflictInfo, StoreError> {
    let mut values = Vec::with_capacity(conflict.choices.len());
    for (label, choice) in conflict.choices.iter().enumerate() {
        values.push(ConflictValue {
            label: ('A'..='Z').nth(label),
            value: match &choice.value {
                runmesh_core::document::Scalar::Text(text) => text.clone(),
                runmesh_core::document::Scalar::Integer(integer) => integer.to_string(),
            },
            said: conflicts::said(snapshot, choice)?,
            served: label == 0,
            device: choice.device.map(|device| named(members, device)),
            at_ms: choice.at.millis(),
        });
    }
    let document = conflict.document;
    let run = document.as_run().map(|run| run.to_string());
    let experiment = || document.as_experiment().map(|id| id.to_string());
    Ok(ConflictInfo {
        id: conflict.id(),
        kind: document.kind().map_or("document", |kind| kind.as_str()).to_owned(),
        document: run.or_else(experiment).unwrap_or_else(|| document.reference()),
        name: conflicts::name_of(snapshot, &document)?,
        key: conflict.key(),
        values,
    })
}

pub(super) async fn resolve(
    State(app): State<Arc<App>>,
    body: Bytes,
) -> Result<Json<ConflictInfo>, Error> {
    let asked: ResolveConflict = read(&body)?;
    let author = models::author(&app, asked.who.clone(), asked.note.clone())?;
    let planned = query(&app, move |_, snapshot| {
        let (conflict, info) = find(snapshot, &asked)?;
        let letter = info.values.iter().position(|value| {
            !asked.verbatim && value.label.is_some_and(|label| asked.take == label.to_string())
        });
        let take = letter.map_or(Take::Text(asked.take), Take::Choice);
        let actions: Vec<Action> = conflict.settle(snapshot, take, &author)?;
        Ok((actions, info))
    });
    let (actions, info) = planned.await?;
    for action in actions {
        app.workspace.act(action).await?;
    }
    // A decision is for everyone: peers get it now.
    app.workspace.seal().await?;
    Ok(Json(info))
}

/// The one conflict of an id, or of a document and a key.
fn find(snapshot: &Snapshot, asked: &ResolveConflict) -> Result<(Conflict, ConflictInfo), Error> {
    let members = snapshot.membership()?;
    let (all, _) = conflicts::list(snapshot, MAX_SEARCHED)?;
    let mut found = None;
    for conflict in all {
        let by_id = asked.key.is_none() && conflict.id() == asked.what;
        if !by_id && asked.key.as_ref().is_none_or(|key| !is_key(&conflict, key)) {
            continue;
        }
        let info = told(snapshot, &members, &conflict)?;
        let long = asked.what.len() >= MIN_ID_CHARS;
        let is_named = info.name == asked.what || long && info.document.starts_with(&asked.what);
        if !by_id && !is_named {
            continue;
        }
        if found.replace((conflict, info)).is_some() {
            return Err(Error::ConflictAmbiguous(asked.what.clone()));
        }
    }
    found.ok_or_else(|| Error::NoSuchConflict(asked.what.clone()))
}

/// Whether a person means this key: `params.lr`, or `lr` alone.
fn is_key(conflict: &Conflict, key: &str) -> bool {
    let whole = conflict.key();
    let bare = whole.split_once(['.', ' ']).map(|(_, bare)| bare);
    whole == key || bare == Some(key)
}
