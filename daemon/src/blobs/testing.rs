//! What the tests of blobs share.

use std::collections::HashSet;

use iroh::endpoint::{Connection, presets};
use iroh::{Endpoint, RelayMode};
use runmesh_core::ids::{BlobHash, WorkspaceId};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::{ALPN, Blobs, Gate, Provider};

/// The workspace of all these tests.
pub(super) const WORKSPACE: WorkspaceId = WorkspaceId::new([7; 32]);

/// An empty store in a folder that disappears with the first of the two.
pub(super) fn store() -> (TempDir, Blobs) {
    let home = TempDir::new().expect("a folder for the test");
    let blobs = Blobs::in_folder(home.path()).expect("an empty folder opens");
    (home, blobs)
}

/// Bytes that neither repeat nor compress; the same for the same length.
pub(super) fn noise(size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    blake3::Hasher::new().update(&size.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// Admits everybody and grants these blobs in [`WORKSPACE`].
pub(super) fn granting(hashes: impl IntoIterator<Item = BlobHash>) -> Gate {
    let granted: HashSet<_> = hashes.into_iter().collect();
    Gate {
        admits: Box::new(|_| true),
        members: Box::new(|_, workspace| *workspace == WORKSPACE),
        grants: Box::new(move |_, workspace, hash| {
            *workspace == WORKSPACE && granted.contains(hash)
        }),
    }
}

/// Two endpoints on loopback with a connection of the blob protocol between them.
pub(super) struct Link {
    /// The side that fetches.
    pub(super) asker: Connection,
    /// The side that serves.
    pub(super) provider: Connection,
    /// Closed when dropped, and the connection with them.
    _endpoints: [Endpoint; 2],
    serving: Option<JoinHandle<()>>,
}

impl Link {
    /// A connection whose other end is up to the test.
    pub(super) async fn bare() -> Self {
        let endpoints = [endpoint().await, endpoint().await];
        let accepting = async {
            let incoming = endpoints[1].accept().await.expect("open");
            incoming.await.expect("connects")
        };
        let address = endpoints[1].addr();
        let connecting = endpoints[0].connect(address, ALPN);
        let (asker, provider) = tokio::join!(connecting, accepting);
        let asker = asker.expect("connects");
        Self { asker, provider, _endpoints: endpoints, serving: None }
    }

    /// A connection whose other end serves.
    pub(super) async fn serving(provider: Provider) -> Self {
        let mut link = Self::bare().await;
        let connection = link.provider.clone();
        link.serving = Some(tokio::spawn(async move { provider.serve(connection).await }));
        link
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Some(serving) = &self.serving {
            serving.abort();
        }
    }
}

async fn endpoint() -> Endpoint {
    Endpoint::builder(presets::Minimal)
        .relay_mode(RelayMode::Disabled)
        .clear_ip_transports()
        .bind_addr("127.0.0.1:0")
        .expect("an address")
        .alpns(vec![ALPN.to_vec()])
        .bind()
        .await
        .expect("binds to loopback")
}
