//! The daemon: starts everything in order and stops it in order.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use runmesh_core::api::DaemonFile;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::app::AppError;
use crate::bundle::Watch;
use crate::collect::follow_purges;
use crate::config::Config;
use crate::device::Device;
use crate::home::{Home, HomeError};
use crate::http;
use crate::mesh::EndpointError;
use crate::open_files;
use crate::workspace::device_of;
use crate::workspaces::Workspaces;

/// Why a daemon could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The home failed.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// What is in the home cannot be opened.
    #[error(transparent)]
    App(#[from] AppError),
    /// Another program listens where HTTP should.
    #[error(
        "{address} is in use by another program; choose another address with \
         `--http 127.0.0.1:PORT`, or 127.0.0.1:0 for any free port"
    )]
    PortInUse {
        /// The address.
        address: SocketAddr,
    },
    /// HTTP cannot listen.
    #[error("cannot listen on {address}; choose another address with `--http HOST:PORT`")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Peers cannot be reached.
    #[error(transparent)]
    Mesh(#[from] EndpointError),
    /// HTTP failed.
    #[error("HTTP failed")]
    Serve(#[source] io::Error),
}

/// A running daemon.
pub struct Daemon {
    workspaces: Arc<Workspaces>,
    address: SocketAddr,
    stop_http: oneshot::Sender<()>,
    http: JoinHandle<io::Result<()>>,
    watch: Option<Watch>,
    purges: JoinHandle<()>,
}

impl Daemon {
    /// Starts the daemon of a home. When this returns, it answers.
    pub async fn start(home: Home, config: Config) -> Result<Self, DaemonError> {
        open_files::raise_limit();
        // First, because a wrong address is what a person gets wrong most.
        let listener = listen(config.http).await?;
        let address = listener.local_addr().map_err(DaemonError::Serve)?;
        let device = Arc::new(Device::open(home, config)?);
        let workspaces = Workspaces::open(Arc::clone(&device))?;
        workspaces.start_meshes().await?;
        device.http_address.get_or_init(|| address);
        device.home.announce(&DaemonFile {
            pid: std::process::id(),
            http: address.to_string(),
            device: device_of(&device.home),
        })?;
        let (stop_http, stopped) = oneshot::channel();
        let until = async { drop(stopped.await) };
        let http = tokio::spawn(http::serve(listener, Arc::clone(&workspaces), until));
        let watch = Watch::start(&workspaces);
        let purges = tokio::spawn(follow_purges(Arc::clone(&workspaces)));
        Ok(Self { workspaces, address, stop_http, http, watch, purges })
    }

    /// The workspaces.
    pub const fn workspaces(&self) -> &Arc<Workspaces> {
        &self.workspaces
    }

    /// Where HTTP listens.
    pub const fn http_address(&self) -> SocketAddr {
        self.address
    }

    /// Runs until `told` ends or somebody asks over HTTP, then stops.
    pub async fn run_until(self, told: impl Future<Output = ()>) -> Result<(), DaemonError> {
        tokio::select! {
            () = told => {}
            () = self.workspaces.device().stop.notified() => {}
        }
        self.stop().await
    }

    /// Stops everything, in order.
    pub async fn stop(self) -> Result<(), DaemonError> {
        let device = self.workspaces.device();
        device.home.withdraw()?;
        device.stopping.cancel();
        // It may have stopped by itself already.
        let _ = self.stop_http.send(());
        let served = self.http.await.map_err(io::Error::other);
        if let Some(watch) = self.watch {
            watch.stop().await;
        }
        // It ends when it has freed what it is at.
        let _ = self.purges.await;
        device.hang_up().await;
        self.workspaces.stop().await;
        device.close().await;
        served.and_then(|served| served).map_err(DaemonError::Serve)
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, DaemonError> {
    TcpListener::bind(address).await.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => DaemonError::PortInUse { address },
        _ => DaemonError::Listen { address, source },
    })
}
