//! Views of the page, saved under a name for everyone in the workspace.
//!
//! A view is an address, which is all that the page needs to show it again. It is kept as a setting
//! of the workspace, so it travels as every other change does.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use runmesh_core::action::{Action, Refusal};
use runmesh_core::api::{SavedView, ViewUpdate};
use runmesh_core::document::Container;
use runmesh_core::ids::DocumentId;

use super::error::Error;
use super::update::{check, check_not_empty};
use super::{query, read};
use crate::WriteError;
use crate::app::App;

/// What the keys of these settings start with.
const PREFIX: &str = "runmesh.view.";
/// The longest name, in characters.
const MAX_NAME_CHARS: usize = 100;
/// The longest address, in characters.
const MAX_ADDRESS_CHARS: usize = 8_000;

pub(super) async fn list(State(app): State<Arc<App>>) -> Result<Json<Vec<SavedView>>, Error> {
    query(&app, |_, snapshot| {
        let row = snapshot.document(&DocumentId::WORKSPACE)?;
        let texts = row.iter().flat_map(|row| row.texts(Container::Tags));
        let view = |(key, address): (&str, &str)| {
            let name = key.strip_prefix(PREFIX)?.to_owned();
            Some(SavedView { name, address: address.to_owned() })
        };
        Ok(Json(texts.filter_map(view).collect()))
    })
    .await
}

pub(super) async fn save(State(app): State<Arc<App>>, body: Bytes) -> Result<Json<()>, Error> {
    let ViewUpdate { name, address } = read(&body)?;
    check_not_empty("the name", &name, MAX_NAME_CHARS)?;
    if let Some(address) = &address {
        check("the address", address, MAX_ADDRESS_CHARS)?;
        // Whoever opens it must stay on this page.
        if !address.starts_with("#/") {
            return Err(Error::Invalid("the address of a view starts with #/".to_owned()));
        }
    }
    let set = Action::SetSetting { key: format!("{PREFIX}{name}"), value: address };
    match app.workspace.act(set).await {
        Ok(_) | Err(WriteError::Refused(Refusal::NoSuchTag { .. })) => Ok(Json(())),
        Err(error) => Err(error.into()),
    }
}
