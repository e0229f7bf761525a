//! Who did what, when and on which device, told from the journals.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use runmesh_core::api::{AuditFlaw, AuditLine, AuditPage, AuditQuery, AuditReport};
use runmesh_core::audit::{self, About, Line, PageError, Standing};
use runmesh_core::ids::{DeviceId, DocumentId};
use runmesh_core::membership::Membership;
use runmesh_core::registry::Registry;
use runmesh_core::store::Snapshot;

use super::conflicts::named;
use super::error::Error;
use super::{models, query, read, runs};
use crate::app::App;
use crate::causes::with_causes;

/// Lines of a page where none are asked for.
const LINES: usize = 100;
/// The least of an id that names a device.
pub(super) const MIN_ID_CHARS: usize = 4;

pub(super) async fn page(
    State(app): State<Arc<App>>,
    body: Bytes,
) -> Result<Json<AuditPage>, Error> {
    let asked: AuditQuery = read(&body)?;
    // What clients wrote in the last minute is in no journal yet. How much that is, the writer says a
    // little late, so it is not asked.
    if asked.cursor.is_none() {
        app.workspace.seal().await?;
    }
    query(&app, move |app, snapshot| {
        let members = snapshot.membership()?;
        let about = about(snapshot, &members, &asked)?;
        let (limit, cursor) = (asked.limit.unwrap_or(LINES), asked.cursor.as_deref());
        let page = audit::page(snapshot, app.workspace.id(), &about, limit, cursor);
        let page = page.map_err(|error| match error {
            PageError::Cursor(error) => Error::from(error),
            PageError::Store(error) => error.into(),
        })?;
        let lines = page.lines.into_iter().map(|line| told(&members, line)).collect();
        Ok(Json(AuditPage { lines, cursor: page.cursor }))
    })
    .await
}

pub(super) async fn verify(State(app): State<Arc<App>>) -> Result<Json<AuditReport>, Error> {
    app.workspace.seal().await?;
    query(&app, |app, snapshot| {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let verified = audit::verify(snapshot, app.workspace.id(), threads)?;
        Ok(Json(AuditReport {
            journals: verified.journals,
            entries: verified.entries,
            bytes: verified.bytes,
            redacted: verified.redacted,
            set_aside: verified.set_aside,
            wrong: verified.wrong.iter().map(AuditFlaw::from).collect(),
        }))
    })
    .await
}

fn about(snapshot: &Snapshot, members: &Membership, asked: &AuditQuery) -> Result<About, Error> {
    let documents = match (&asked.run, &asked.model) {
        (Some(_), Some(_)) => {
            return Err(Error::Invalid("either a run or a model is asked for".to_owned()));
        }
        (Some(start), None) => {
            Some(BTreeSet::from([DocumentId::run(runs::find(snapshot, start)?.id)]))
        }
        (None, Some(name)) => {
            let model = models::find(snapshot, name)?.id();
            let versions = Registry::new(snapshot).versions(&model)?;
            let versions = versions.iter().map(|version| version.id());
            Some(versions.chain([model]).collect())
        }
        (None, None) => None,
    };
    let device = asked.device.as_deref().map(|text| device(snapshot, members, text));
    Ok(About { documents, device: device.transpose()? })
}

/// The one device, member or not, that is called so or whose id starts so.
fn device(snapshot: &Snapshot, members: &Membership, text: &str) -> Result<DeviceId, Error> {
    let mut all: BTreeSet<DeviceId> = members.members().map(|(device, _)| *device).collect();
    all.extend(members.former().map(|(device, _)| *device));
    all.extend(snapshot.vector()?.iter().map(|(journal, _)| journal.device));
    let is_named = |device: &&DeviceId| {
        let by_id = text.len() >= MIN_ID_CHARS && device.to_string().starts_with(text);
        by_id || named(members, **device).name == text
    };
    let mut found = all.iter().filter(is_named);
    match (found.next(), found.next()) {
        (Some(device), None) => Ok(*device),
        _ => Err(Error::NoSuchDevice(text.to_owned())),
    }
}

fn told(members: &Membership, line: Line) -> AuditLine {
    let (void, broken) = match &line.standing {
        Standing::Counts => (None, None),
        Standing::Void(why) => (Some(why.to_string()), None),
        Standing::SetAside => {
            (Some("it came after what counts of its device's journal".to_owned()), None)
        }
        Standing::Broken(error) => (None, Some(with_causes(error))),
        Standing::Replaced => {
            (None, Some("the journal goes on from another entry than this one".to_owned()))
        }
    };
    let document = line.document;
    let run = document.and_then(|document| document.as_run()).map(|run| run.to_string());
    let experiment = || document?.as_experiment().map(|id| id.to_string());
    let reference = || document.map(|document| document.reference());
    AuditLine {
        at_ms: line.clock.millis(),
        device: named(members, line.journal.device),
        incarnation: line.journal.incarnation.to_string(),
        entry: line.entry,
        hash: line.hash.to_string(),
        place: line.place,
        kind: document
            .and_then(|document| document.kind())
            .map_or_else(String::new, |kind| kind.as_str().to_owned()),
        document: run.or_else(experiment).or_else(reference).unwrap_or_default(),
        name: line.name,
        said: line.said.parts,
        more: line.said.more,
        void,
        broken,
    }
}
