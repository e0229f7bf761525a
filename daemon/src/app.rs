//! One workspace of a running daemon, and all that its requests need.

use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use runmesh_core::ids::BlobHash;
use runmesh_core::rows::ArtifactRow;

use crate::blobs::{BlobError, Blobs, Fetcher, NotFetched, Surroundings, Wanted, off_the_runtime};
use crate::config::Config;
use crate::device::Device;
use crate::figures::Figures;
use crate::home::{Home, HomeError};
use crate::http::Lags;
use crate::mesh::{EndpointError, MembershipNow, Mesh};
use crate::workspace::{OpenError, Workspace};
use crate::writer::WriteError;

/// One workspace of a running daemon. It is also the device that it is on, which its requests need
/// as often: `app.home`, `app.blobs`, `app.config`.
pub struct App {
    /// The workspace.
    pub workspace: Workspace,
    /// Fetches blobs that are not here.
    pub fetcher: Fetcher,
    /// What takes long to count.
    pub figures: Figures,
    /// Since when entries of peers are missing.
    pub lags: Lags,
    device: Arc<Device>,
    members: MembershipNow,
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

impl Deref for App {
    type Target = Device;

    fn deref(&self) -> &Device {
        &self.device
    }
}

impl App {
    /// Opens a home and the workspace of it that clients get if they name none. Must be called on a
    /// tokio runtime.
    pub fn open(home: Home, config: Config) -> Result<Self, AppError> {
        let device = Arc::new(Device::open(home, config)?);
        let workspace = Workspace::open(&device.home, &device.config.name)?;
        Ok(Self::of(device, workspace))
    }

    /// An app of a workspace that is open.
    pub fn of(device: Arc<Device>, workspace: Workspace) -> Self {
        let members = MembershipNow::default();
        let surroundings = surroundings(&device, &workspace, &members);
        Self {
            fetcher: Fetcher::new(device.blobs.clone(), device.config.blobs, surroundings),
            figures: Figures::default(),
            lags: Lags::default(),
            workspace,
            device,
            members,
            mesh: OnceLock::new(),
        }
    }

    /// Starts the sessions with other members.
    pub async fn start_mesh(&self) -> Result<(), EndpointError> {
        let switchboard = self.device.start_switchboard().await?;
        let (workspace, fetcher) = (self.workspace.clone(), self.fetcher.clone());
        let (name, members) = (&self.config.name, self.members.clone());
        let mesh = Mesh::start(&self.home, switchboard, name, workspace, members, fetcher).await;
        self.mesh.get_or_init(|| mesh);
        Ok(())
    }

    /// Opens the bytes of an artifact, fetching them from a peer if they are not here.
    pub async fn open_blob(&self, row: &ArtifactRow) -> Result<tokio::fs::File, NotFetched> {
        let broken = |error| NotFetched::Store(Arc::new(error));
        if let Some(file) = self.blobs.open(&row.blob).await.map_err(broken)? {
            return Ok(file);
        }
        let wanted = Wanted { hash: row.blob, size: row.size, uploaded_by: None };
        self.fetch_now(wanted).await?;
        let file = self.blobs.open(&row.blob).await.map_err(broken)?;
        file.ok_or(NotFetched::GivenUp { hash: row.blob })
    }

    /// Fetches a blob for somebody who waits for it, whatever the policy says. When this returns, the blob
    /// is here, durable and granted.
    pub async fn fetch_now(&self, wanted: Wanted) -> Result<(), NotFetched> {
        if let Some(mesh) = self.mesh() {
            mesh.blobs_in_reach().await;
        }
        self.fetcher.fetch_now(wanted).await
    }

    /// Notes durably that blobs that are here may be served in the workspace, and tells peers so.
    pub async fn grant(&self, blobs: Vec<BlobHash>) -> Result<(), WriteError> {
        grant(&self.workspace, &self.blobs, blobs).await
    }

    /// The device.
    pub const fn device(&self) -> &Arc<Device> {
        &self.device
    }

    /// The sessions with other members; none in an app that was only opened.
    pub fn mesh(&self) -> Option<&Mesh> {
        self.mesh.get()
    }

    /// Ends the workspace's sessions, seals what is left and closes the store.
    pub async fn stop(&self) {
        if let Some(mesh) = self.mesh() {
            mesh.stop().await;
        }
        self.workspace.stop().await;
    }
}

/// Grants blobs, and has the ledger say that they are held. If the ledger fails, the next start mends
/// that.
async fn grant(
    workspace: &Workspace,
    blobs: &Blobs,
    granted: Vec<BlobHash>,
) -> Result<(), WriteError> {
    let (id, blobs) = (workspace.id(), blobs.clone());
    workspace.grant(granted.clone()).await?;
    off_the_runtime(move || {
        if let Err(error) = blobs.ledger().gained(&id, &granted) {
            tracing::warn!(error = &error as &dyn std::error::Error, "the ledger of blobs failed");
        }
    })
    .await;
    Ok(())
}

fn surroundings(
    device: &Arc<Device>,
    workspace: &Workspace,
    members: &MembershipNow,
) -> Surroundings {
    let (of_id, of_grant, names) = (workspace.clone(), workspace.clone(), members.clone());
    let (device, members) = (Arc::clone(device), members.clone());
    let blobs = device.blobs.clone();
    Surroundings {
        workspace: Box::new(move || of_id.id()),
        peers: Box::new(move || {
            let members = members.now();
            let mut peers = device.switchboard().map(|board| board.peers()).unwrap_or_default();
            // Devices of other workspaces shall not hear that there is this one.
            peers.retain(|(device, _)| members.role(device).is_some());
            peers
        }),
        grant: Box::new(move |blob| {
            let (workspace, blobs) = (of_grant.clone(), blobs.clone());
            Box::pin(async move { grant(&workspace, &blobs, vec![blob]).await })
        }),
        name_of: Box::new(move |device| {
            let members = names.now();
            match members.member(device).map(|member| member.name.as_str()) {
                Some(name) if !name.is_empty() => name.to_owned(),
                _ => format!("device {}", device.short()),
            }
        }),
    }
}
