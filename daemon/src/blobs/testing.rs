//! What the tests of blobs share.

use std::collections::HashSet;

use bao_tree::io::outboard::PostOrderMemOutboard;
use bao_tree::io::sync::encode_ranges;
use bao_tree::{ChunkNum, ChunkRanges};
use iroh::endpoint::{Connection, presets};
use iroh::{Endpoint, RelayMode};
use runmesh_core::ids::{BlobHash, WorkspaceId};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::protocol::{Answer, Request};
use super::tree::GROUP;
use super::{ALPN, Blobs, Gate, Provider};

/// The workspace of all these tests.
pub(super) const WORKSPACE: WorkspaceId = WorkspaceId::new([7; 32]);

/// An empty store in a folder that disappears with the first of the two.
pub(super) fn store() -> (TempDir, Blobs) {
    let home = TempDir::new().expect("a folder for the test");
    let blobs = Blobs::in_folder(home.path()).expect("an empty folder opens");
    (home, blobs)
}

impl Blobs {
    /// How many files there are of blobs that came in part.
    pub(crate) fn partials(&self) -> usize {
        std::fs::read_dir(self.partial_folder()).expect("a folder").count()
    }

    /// Changes a byte of a blob on the disk.
    pub(crate) fn damage(&self, hash: &BlobHash, at: usize) {
        let mut bytes = std::fs::read(self.path(hash)).expect("is here");
        bytes[at] ^= 1;
        std::fs::write(self.path(hash), bytes).expect("writes");
    }
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

/// What the other end of [`Link::bare`] does when it is asked for a blob: it sends the tree of the
/// right bytes over those it has, from where it is asked to, and `limit` bytes of that at most; then
/// the stream stays open and silent, as does any on which it is asked for something else.
pub(super) async fn sends(line: Connection, right: Vec<u8>, has: Vec<u8>, limit: usize) {
    let mut others = Vec::new();
    let (asked, mut send) = loop {
        let (send, mut receive) = line.accept_bi().await.expect("is asked");
        let asked = receive.read_to_end(Request::MAX_LEN).await.expect("reads");
        match Request::decode(&asked).expect("a request") {
            Request::Blob(asked) => break (asked, send),
            _ => others.push(send),
        }
    };
    let tree = PostOrderMemOutboard::create(&right, GROUP);
    let mut encoded = Answer::Found { size: right.len() as u64 }.encode();
    let ranges = ChunkRanges::from(ChunkNum::full_chunks(asked.start)..);
    encode_ranges(&has[..], &tree, &ranges, &mut encoded).expect("encodes");
    encoded.truncate(limit);
    // Fails if the asker has heard enough.
    let _ = send.write_all(&encoded).await;
    line.closed().await;
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
