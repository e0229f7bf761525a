//! A backup of this home, written as it is downloaded.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;

use super::bundles::download;
use super::error::Error;
use crate::app::App;
use crate::backup::Backup;

pub(super) async fn backup(State(app): State<Arc<App>>) -> Result<Response, Error> {
    let backup = Backup::begin(&app).await?;
    Ok(download("runmesh-backup.tar", move |out| backup.write(out)))
}
