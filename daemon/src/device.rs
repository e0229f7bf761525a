//! What all workspaces of a device share: the home, the blobs, the one endpoint.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use runmesh_core::clock::UnixMillis;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::app::AppError;
use crate::blobs::Blobs;
use crate::bundle::WatchState;
use crate::config::Config;
use crate::home::Home;
use crate::http::mlflow::webhooks::Webhooks;
use crate::mesh::{EndpointError, Switchboard};
use crate::workspaces::{WeakWorkspaces, Workspaces};

/// What all workspaces of a device share.
pub struct Device {
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
    /// What came of the watched folder.
    pub watch: WatchState,
    /// Whom this device tells of what is done by way of it, in whatever workspace.
    pub(crate) webhooks: Webhooks,
    switchboard: tokio::sync::OnceCell<Switchboard>,
    workspaces: OnceLock<WeakWorkspaces>,
}

impl Device {
    /// Opens what is in a home, but for its workspaces. Must be called on a tokio runtime.
    pub fn open(home: Home, config: Config) -> Result<Self, AppError> {
        Ok(Self {
            webhooks: Webhooks::open(&home, config.webhooks)?,
            blobs: Blobs::in_folder(home.blobs_dir())?,
            home,
            config,
            started: crate::now(),
            started_at: Instant::now(),
            http_address: OnceLock::new(),
            stop: Notify::new(),
            stopping: CancellationToken::new(),
            watch: WatchState::default(),
            switchboard: tokio::sync::OnceCell::new(),
            workspaces: OnceLock::new(),
        })
    }

    /// Has the device be reached by others, from the first call on.
    pub async fn start_switchboard(&self) -> Result<&Switchboard, EndpointError> {
        let start = || Switchboard::start(&self.home, &self.config, self.blobs.clone());
        self.switchboard.get_or_try_init(start).await
    }

    /// Has no call come in any more; sessions go on.
    pub async fn hang_up(&self) {
        if let Some(switchboard) = self.switchboard() {
            switchboard.stop().await;
        }
    }

    /// Closes what workspaces share, once they are stopped.
    pub async fn close(&self) {
        if let Some(switchboard) = self.switchboard() {
            switchboard.close().await;
        }
        self.webhooks.stop().await;
    }

    /// The workspaces that are open; none while a single one is.
    pub fn workspaces(&self) -> Option<Arc<Workspaces>> {
        self.workspaces.get()?.upgrade()
    }

    pub(crate) fn set_workspaces(&self, workspaces: &Arc<Workspaces>) {
        self.workspaces.get_or_init(|| Arc::downgrade(workspaces));
    }

    /// Where other devices reach this one; none on one that was only opened.
    pub fn switchboard(&self) -> Option<&Switchboard> {
        self.switchboard.get()
    }
}
