//! Bundles over HTTP: one is written as it is downloaded, and read as it is uploaded.

use std::io::{self, Read, Write};
use std::sync::Arc;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use data_encoding::BASE64;
use futures_util::TryStreamExt;
use runmesh_core::api::{BundleBlobs, BundleReport, ExportRequest};
use runmesh_core::codec::Reader;
use runmesh_core::vector::VersionVector;
use tokio::sync::mpsc;
use tokio_util::io::{StreamReader, SyncIoBridge};

use super::error::Error;
use super::{manage, read};
use crate::app::App;
use crate::bundle::{self, Asked, ImportError, Plan};
use crate::causes::with_causes;
use crate::config::BlobPolicy;

/// How much is written at a time.
const PIECE_BYTES: usize = 64 << 10;
/// Pieces on their way to who downloads.
const PIECES: usize = 4;

pub(super) async fn export(State(app): State<Arc<App>>, body: Bytes) -> Result<Response, Error> {
    let request: ExportRequest = read(&body)?;
    let asked = asked(&app, &request)?;
    let blobs = match request.blobs {
        BundleBlobs::All => BlobPolicy::All,
        BundleBlobs::None => BlobPolicy::None,
        BundleBlobs::Small => match app.config.blobs {
            small @ BlobPolicy::Small { .. } => small,
            _ => BlobPolicy::default(),
        },
    };
    // All that was acknowledged goes out.
    app.workspace.seal().await?;
    let snapshot = app.workspace.fresh().await?;
    let plan = Plan::of(&app, snapshot, &asked, blobs, request.encrypt)?;
    Ok(download("runmesh.bundle", move |out| plan.write(out)))
}

/// An answer that is written as it is downloaded. If writing fails it breaks off, so that nobody
/// takes it for whole.
pub(super) fn download<E: std::error::Error>(
    name: &str,
    write: impl FnOnce(io::BufWriter<Pieces>) -> Result<(), E> + Send + 'static,
) -> Response {
    let (pieces, mut written) = mpsc::channel::<io::Result<Bytes>>(PIECES);
    let what = name.to_owned();
    tokio::task::spawn_blocking(move || {
        let failed = pieces.clone();
        let out = io::BufWriter::with_capacity(PIECE_BYTES, Pieces(pieces));
        if let Err(error) = write(out) {
            tracing::warn!("{what} was not written whole: {}", with_causes(&error));
            let _ = failed.blocking_send(Err(io::Error::other(with_causes(&error))));
        }
    });
    let stream = futures_util::stream::poll_fn(move |context| written.poll_recv(context));
    let headers = [
        (CONTENT_TYPE, "application/octet-stream".to_owned()),
        (CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
    ];
    (headers, Body::from_stream(stream)).into_response()
}

fn asked(app: &App, request: &ExportRequest) -> Result<Asked, Error> {
    let ExportRequest { all, device, since_ms, since, .. } = request;
    match (all, device, since_ms, since) {
        (true, None, None, None) => Ok(Asked::All),
        (false, None, None, None) => Ok(Asked::WhatMembersLack),
        (false, Some(device), None, None) => {
            Ok(Asked::For(manage::mesh(app)?.device_called(device)?))
        }
        (false, None, Some(ms), None) => Ok(Asked::SinceTime(*ms)),
        (false, None, None, Some(vector)) => {
            let bytes = BASE64.decode(vector.as_bytes());
            let bytes = bytes.map_err(|error| Error::Invalid(error.to_string()))?;
            let vector = VersionVector::read(&mut Reader::new(&bytes));
            Ok(Asked::Since(vector.map_err(|error| Error::Invalid(error.to_string()))?))
        }
        _ => Err(Error::Invalid("a bundle has one start".to_owned())),
    }
}

/// Hands what is written to who downloads.
pub(super) struct Pieces(mpsc::Sender<io::Result<Bytes>>);

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let piece = Bytes::copy_from_slice(bytes);
        let sent = self.0.blocking_send(Ok(piece));
        sent.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(super) async fn import(
    State(app): State<Arc<App>>,
    body: Body,
) -> Result<Json<BundleReport>, Error> {
    read_bundle(app, body, |app, input| bundle::import(app, input)).await
}

pub(super) async fn inspect(
    State(app): State<Arc<App>>,
    body: Body,
) -> Result<Json<BundleReport>, Error> {
    read_bundle(app, body, |app, input| bundle::inspect(app, input)).await
}

async fn read_bundle(
    app: Arc<App>,
    body: Body,
    work: impl FnOnce(&Arc<App>, &mut (dyn Read + Send)) -> Result<BundleReport, ImportError>
    + Send
    + 'static,
) -> Result<Json<BundleReport>, Error> {
    let stream = body.into_data_stream().map_err(io::Error::other);
    let mut input = SyncIoBridge::new(StreamReader::new(stream));
    let read = tokio::task::spawn_blocking(move || {
        let report = work(&app, &mut input);
        // Who uploads hears the answer when all was read.
        let _ = io::copy(&mut input, &mut io::sink());
        report
    });
    Ok(Json(read.await.map_err(Error::Died)??))
}
