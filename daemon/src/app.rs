//! What everything in a running daemon shares.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock, PoisonError};
use std::time::Instant;

use runmesh_core::clock::UnixMillis;
use runmesh_core::rows::ArtifactRow;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::blobs::{BlobError, Blobs, Fetcher, NotFetched, Surroundings, Wanted};
use crate::bundle::WatchState;
use crate::config::Config;
use crate::home::{Home, HomeError};
use crate::http::mlflow::webhooks::Webhooks;
use crate::mesh::{BlobConnections, EndpointError, Mesh};
use crate::workspace::{OpenError, Workspace};

/// What everything in a running daemon shares.
pub struct App {
    /// The device's workspace.
    pub workspace: Workspace,
    /// The blobs of all workspaces.
    pub blobs: Blobs,
    /// The home.
    pub home: Home,
    /// How the daemon behaves.
    pub config: Config,
    /// When the daemon started.
    pub started: UnixMillis,
    /// The same, for telling how long ago that was.
    pub started_at: Instant,
    /// Where HTTP listens, once it does.
    pub http_address: OnceLock<SocketAddr>,
    /// Told when the daemon shall stop.
    pub stop: Notify,
    /// Cancelled when HTTP stops, so that answers that would go on for ever end.
    pub stopping: CancellationToken,
    /// Whom this device tells of what is done by way of it.
    pub(crate) webhooks: Webhooks,
    /// What came of the watched folder.
    pub watch: WatchState,
    /// Fetches blobs that are not here.
    pub fetcher: Fetcher,
    blob_connections: BlobConnections,
    mesh: OnceLock<Mesh>,
}

/// Why a home's contents cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The workspace cannot be opened.
    #[error(transparent)]
    Workspace(#[from] OpenError),
    /// The blobs cannot be opened.
    #[error(transparent)]
    Blobs(#[from] BlobError),
    /// The home's own files cannot be read.
    #[error(transparent)]
    Home(#[from] HomeError),
}

impl App {
    /// Opens what is in a home. Must be called on a tokio runtime.
    pub fn open(home: Home, config: Config) -> Result<Self, AppError> {
        let workspace = Workspace::open(&home, &config.name)?;
        let blobs = Blobs::in_folder(home.blobs_dir())?;
        let blob_connections = BlobConnections::default();
        let surroundings = surroundings(&workspace, &blob_connections);
        Ok(Self {
            fetcher: Fetcher::new(blobs.clone(), config.blobs, surroundings),
            blob_connections,
            mesh: OnceLock::new(),
            watch: WatchState::default(),
            webhooks: Webhooks::open(&home, config.webhooks)?,
            workspace,
            blobs,
            home,
            config,
            started: crate::now(),
            started_at: Instant::now(),
            http_address: OnceLock::new(),
            stop: Notify::new(),
            stopping: CancellationToken::new(),
        })
    }

    /// Starts the sessions with other members.
    pub async fn start_mesh(&self) -> Result<(), EndpointError> {
        let mesh = Mesh::start(
            &self.home,
            self.config.peer_port,
            &self.config.name,
            self.workspace.clone(),
            self.blobs.clone(),
            self.fetcher.clone(),
            BlobConnections::clone(&self.blob_connections),
        );
        self.mesh.get_or_init({
            let mesh = mesh.await?;
            || mesh
        });
        Ok(())
    }

    /// Opens the bytes of an artifact, fetching them from a peer if they are not here.
    pub async fn open_blob(&self, row: &ArtifactRow) -> Result<tokio::fs::File, NotFetched> {
        let broken = |error| NotFetched::Store(Arc::new(error));
        if let Some(file) = self.blobs.open(&row.blob).await.map_err(broken)? {
            return Ok(file);
        }
        let wanted = Wanted { hash: row.blob, size: row.size, uploaded_by: None };
        self.fetcher.fetch_now(wanted).await?;
        let file = self.blobs.open(&row.blob).await.map_err(broken)?;
        file.ok_or(NotFetched::GivenUp { hash: row.blob })
    }

    /// The sessions with other members; none in an app that was only opened.
    pub fn mesh(&self) -> Option<&Mesh> {
        self.mesh.get()
    }
}

fn surroundings(workspace: &Workspace, connections: &BlobConnections) -> Surroundings {
    let (of_id, of_grant) = (workspace.clone(), workspace.clone());
    let connections = BlobConnections::clone(connections);
    Surroundings {
        workspace: Box::new(move || of_id.id()),
        peers: Box::new(move || {
            let held = connections.lock().unwrap_or_else(PoisonError::into_inner);
            held.iter().map(|(device, connection)| (*device, connection.clone())).collect()
        }),
        grant: Box::new(move |blob| {
            let workspace = of_grant.clone();
            Box::pin(async move { workspace.grant(vec![blob]).await })
        }),
    }
}
