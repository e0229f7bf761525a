//! What everything in a running daemon shares.

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::Instant;

use runmesh_core::clock::UnixMillis;
use tokio::sync::Notify;

use crate::blobs::{BlobError, Blobs};
use crate::config::Config;
use crate::home::Home;
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
}

impl App {
    /// Opens what is in a home. Must be called on a tokio runtime.
    pub fn open(home: Home, config: Config) -> Result<Self, AppError> {
        Ok(Self {
            workspace: Workspace::open(&home, &config.name)?,
            blobs: Blobs::in_folder(home.blobs_dir())?,
            home,
            config,
            started: crate::now(),
            started_at: Instant::now(),
            http_address: OnceLock::new(),
            stop: Notify::new(),
        })
    }
}
