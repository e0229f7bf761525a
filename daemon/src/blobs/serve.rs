//! Serves blobs to members.
//!
//! Invariants: nothing is read from a connection before the gate has admitted its device, and the
//! gate is asked again for each request; only whole blobs by their hash, from a group to their end;
//! what is held is told to members of the workspace only; a blob is never in memory as a whole; what is sent has been
//! verified against the hash, so damage on this disk is found here and not at the peer; a slow
//! peer holds a place for a limited time.

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use bao_tree::io::EncodeError;
use bao_tree::io::outboard::{EmptyOutboard, PostOrderOutboard};
use bao_tree::io::sync::encode_ranges_validated;
use bao_tree::{ChunkNum, ChunkRanges};
use bytes::{Bytes, BytesMut};
use iroh::endpoint::{Connection, ReadToEndError, RecvStream, SendStream, VarInt, WriteError};
use runmesh_core::ids::{BlobHash, DeviceId, WorkspaceId};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::protocol::{
    Answer, BlobRequest, CLOSE_NOT_A_MEMBER, RESET_BAD_REQUEST, RESET_DAMAGED, RESET_TOO_SLOW,
    Request,
};
use super::store::open_if_there;
use super::tree::{last_group, tree_of};
use super::{BlobError, Blobs, news, off_the_runtime};

/// How many blobs are sent at once, to all peers together and to one.
const MAX_SENDING: usize = 32;
const MAX_SENDING_TO_ONE: usize = 8;
/// How many requests of one connection are answered at once, those included that hear what is held.
const MAX_STREAMS: usize = 64;
/// A request is one packet.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// How much is handed to the network at once, how long that may take, and how much is read ahead.
const BATCH_BYTES: usize = 64 << 10;
const BATCH_TIMEOUT: Duration = Duration::from_secs(60);
const BATCHES_AHEAD: usize = 4;

/// Whether a device is a member of any workspace here.
pub type Admits = Box<dyn Fn(&DeviceId) -> bool + Send + Sync>;
/// Whether a device is a member of a workspace here.
pub type Members = Box<dyn Fn(&DeviceId, &WorkspaceId) -> bool + Send + Sync>;
/// Whether a device may have a blob of a workspace.
pub type Grants = Box<dyn Fn(&DeviceId, &WorkspaceId, &BlobHash) -> bool + Send + Sync>;

/// Decides who gets what.
pub struct Gate {
    /// Asked right after the handshake and for each blob; may not block.
    pub admits: Admits,
    /// Asked before a device hears what is held for a workspace; may not block.
    pub members: Members,
    /// Says yes if the device is a member of that workspace, and the blob was uploaded in it or
    /// fetched through it. May read from disk.
    pub grants: Grants,
}

/// Serves the blobs of one store. Cheap to clone.
#[derive(Clone)]
pub struct Provider {
    blobs: Blobs,
    gate: Arc<Gate>,
    places: Arc<Semaphore>,
    /// How long a peer may take to take a batch.
    patience: Duration,
}

/// Why a stream ended without the blob. Told to the log only.
#[derive(Debug, thiserror::Error)]
enum ServeError {
    #[error("the peer's request did not come in time")]
    NoRequest,
    #[error("cannot read the peer's request")]
    Request(#[from] ReadToEndError),
    #[error("the peer sent no request")]
    BadRequest(#[from] runmesh_core::codec::DecodeError),
    #[error("the peer does not take what it asked for")]
    TooSlow,
    #[error("cannot send to the peer")]
    Send(#[from] WriteError),
    #[error("cannot tell the peer what is held")]
    Tell(#[from] io::Error),
    #[error("the blob is damaged on this disk")]
    Damaged(#[from] EncodeError),
    #[error(transparent)]
    Store(#[from] BlobError),
}

impl Provider {
    /// Serves what `gate` lets through.
    pub fn new(blobs: Blobs, gate: Gate) -> Self {
        let places = Arc::new(Semaphore::new(MAX_SENDING));
        Self { blobs, gate: Arc::new(gate), places, patience: BATCH_TIMEOUT }
    }

    /// Answers requests on a connection of the blob protocol until it closes.
    ///
    /// It does not matter which side opened the connection; that side can fetch over it meanwhile.
    pub async fn serve(&self, connection: Connection) {
        let device = device_at(&connection);
        let mut answering = JoinSet::new();
        let places = Arc::new(Semaphore::new(MAX_SENDING_TO_ONE));
        while self.still_admits(&device, &connection) {
            while answering.len() >= MAX_STREAMS {
                answering.join_next().await;
            }
            let Ok((send, receive)) = connection.accept_bi().await else { break };
            let (provider, connection) = (self.clone(), connection.clone());
            let places = Arc::clone(&places);
            answering.spawn(async move {
                if provider.still_admits(&device, &connection) {
                    provider.answer(&device, &places, send, receive).await;
                }
            });
            while answering.try_join_next().is_some() {}
        }
    }

    fn still_admits(&self, device: &DeviceId, connection: &Connection) -> bool {
        let admitted = (self.gate.admits)(device);
        if !admitted {
            connection.close(VarInt::from_u32(CLOSE_NOT_A_MEMBER), b"not a member");
        }
        admitted
    }

    async fn answer(
        &self,
        device: &DeviceId,
        places: &Semaphore,
        mut send: SendStream,
        receive: RecvStream,
    ) {
        let Err(error) = self.send_answer(device, places, &mut send, receive).await else {
            // Fails only if the stream is closed already, and then the peer has what it wants.
            let _ = send.finish();
            return;
        };
        let code = match &error {
            ServeError::Damaged(_) | ServeError::Store(_) => {
                tracing::error!(peer = %device.short(), error = &error as &dyn std::error::Error, "blob not served");
                RESET_DAMAGED
            }
            ServeError::TooSlow => RESET_TOO_SLOW,
            _ => RESET_BAD_REQUEST,
        };
        tracing::debug!(peer = %device.short(), error = &error as &dyn std::error::Error, "blob not served");
        // Fails only if the stream is closed, which is what is wanted.
        let _ = send.reset(VarInt::from_u32(code));
    }

    async fn send_answer(
        &self,
        device: &DeviceId,
        places: &Semaphore,
        send: &mut SendStream,
        mut receive: RecvStream,
    ) -> Result<(), ServeError> {
        let bytes = timeout(REQUEST_TIMEOUT, receive.read_to_end(Request::MAX_LEN))
            .await
            .map_err(|_| ServeError::NoRequest)??;
        match Request::decode(&bytes)? {
            Request::Blob(request) => {
                let closed = "the semaphores are never closed";
                let _place_of_peer = places.acquire().await.expect(closed);
                let _place = self.places.acquire().await.expect(closed);
                self.send_blob(device, request, send).await
            }
            Request::Holdings { workspace, heard } => {
                let may_hear = || (self.gate.members)(device, &workspace);
                if !may_hear() {
                    return Ok(send.write_all(&Answer::NotHere.encode()).await?);
                }
                send.write_all(&[Answer::FOUND]).await?;
                Ok(news::tell(&self.blobs, workspace, heard, send, may_hear).await?)
            }
            Request::Keep { workspace, for_ms, blobs } => {
                if !(self.gate.members)(device, &workspace) {
                    return Ok(send.write_all(&Answer::NotHere.encode()).await?);
                }
                let (store, device) = (self.blobs.clone(), *device);
                let until_ms = crate::now().0.saturating_add(for_ms);
                let promising = move || store.promise(&workspace, &device, &blobs, until_ms);
                let kept = off_the_runtime(promising).await?;
                let kept: Vec<u8> = kept.into_iter().map(u8::from).collect();
                Ok(send.write_all(&[&[Answer::FOUND][..], &kept].concat()).await?)
            }
        }
    }

    async fn send_blob(
        &self,
        device: &DeviceId,
        request: BlobRequest,
        send: &mut SendStream,
    ) -> Result<(), ServeError> {
        let Some(source) = self.look_up(*device, request).await? else {
            send.write_all(&Answer::NotHere.encode()).await?;
            return Ok(());
        };
        send.write_all(&Answer::Found { size: source.size }.encode()).await?;
        let (batches, ready) = mpsc::channel(BATCHES_AHEAD);
        let encoding = off_the_runtime(move || source.encode(request.start, batches));
        let (encoded, sent) = tokio::join!(encoding, send_all(send, ready, self.patience));
        sent?;
        encoded?;
        Ok(())
    }

    /// The blob, if it is here and the device may have it.
    async fn look_up(
        &self,
        device: DeviceId,
        request: BlobRequest,
    ) -> Result<Option<Source>, BlobError> {
        let (blobs, gate) = (self.blobs.clone(), self.gate.clone());
        off_the_runtime(move || {
            if !(gate.grants)(&device, &request.workspace, &request.hash) {
                return Ok(None);
            }
            Source::open(&blobs, &request.hash)
        })
        .await
    }
}

/// Sends batch after batch. That it drops its end of the channel ends the encoding, too.
async fn send_all(
    send: &mut SendStream,
    mut ready: mpsc::Receiver<Bytes>,
    patience: Duration,
) -> Result<(), ServeError> {
    while let Some(batch) = ready.recv().await {
        timeout(patience, send.write_chunk(batch)).await.map_err(|_| ServeError::TooSlow)??;
    }
    Ok(())
}

/// The device at the other end.
pub(super) fn device_at(connection: &Connection) -> DeviceId {
    DeviceId::new(*connection.remote_id().as_bytes())
}

/// A blob that is here, open.
struct Source {
    hash: BlobHash,
    size: u64,
    data: File,
    /// None if the blob has one group only.
    outboard: Option<File>,
}

impl Source {
    fn open(blobs: &Blobs, hash: &BlobHash) -> Result<Option<Self>, BlobError> {
        let Some(data) = open_if_there(&blobs.path(hash))? else { return Ok(None) };
        let path = blobs.path(hash);
        let size = data.metadata().map_err(|source| BlobError::io("look at", &path, source))?.len();
        let outboard = open_if_there(&blobs.outboard_path(hash))?;
        Ok(Some(Self { hash: *hash, size, data, outboard }))
    }

    /// Encodes the blob from `start` to its end, as far as the other end of the channel listens.
    fn encode(self, start: u64, batches: mpsc::Sender<Bytes>) -> Result<(), EncodeError> {
        let tree = tree_of(self.size);
        let root = blake3::Hash::from_bytes(*self.hash.as_bytes());
        let start = start.min(last_group(self.size));
        let ranges = ChunkRanges::from(ChunkNum::full_chunks(start)..);
        let mut batched = Batched { batches, filling: BytesMut::new() };
        match self.outboard {
            Some(data) => {
                let outboard = PostOrderOutboard { root, tree, data };
                encode_ranges_validated(&self.data, &outboard, &ranges, &mut batched)?;
            }
            None => {
                let outboard = EmptyOutboard { root, tree };
                encode_ranges_validated(&self.data, &outboard, &ranges, &mut batched)?;
            }
        }
        Ok(batched.flush()?)
    }
}

/// Gathers small writes and passes them on in batches.
struct Batched {
    batches: mpsc::Sender<Bytes>,
    filling: BytesMut,
}

impl Write for Batched {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.filling.extend_from_slice(bytes);
        if self.filling.len() >= BATCH_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let batch = self.filling.split().freeze();
        self.batches.blocking_send(batch).map_err(|_| io::ErrorKind::ConnectionReset.into())
    }
}

#[cfg(test)]
mod tests {
    use iroh::endpoint::ReadError;

    use super::super::tree::GROUP_BYTES;
    use super::*;
    use crate::blobs::testing::{self, Link, WORKSPACE, noise, store};

    /// Sends bytes as a request and reads the whole answer.
    async fn ask(connection: &Connection, request: &[u8]) -> Result<Vec<u8>, ReadToEndError> {
        let (mut send, mut receive) = connection.open_bi().await.expect("opens");
        send.write_all(request).await.expect("sends");
        send.finish().expect("is open");
        receive.read_to_end(1 << 20).await
    }

    fn request(hash: BlobHash) -> BlobRequest {
        BlobRequest { workspace: WORKSPACE, hash, start: 0 }
    }

    impl BlobRequest {
        fn encode(self) -> Vec<u8> {
            Request::Blob(self).encode()
        }
    }

    #[tokio::test]
    async fn a_stranger_gets_a_closed_connection_and_nothing_else() {
        let (_home, blobs) = store();
        let hash = blobs.import(&b"secret"[..]).await.expect("imports").hash;
        let gate = Gate {
            admits: Box::new(|_| false),
            members: Box::new(|_, _| unreachable!("nothing may be read")),
            grants: Box::new(|_, _, _| unreachable!("nothing may be read")),
        };
        let link = Link::serving(Provider::new(blobs, gate)).await;
        let opened = link.asker.open_bi().await;
        if let Ok((mut send, _receive)) = opened {
            // May fail already, if the close was faster.
            let _ = send.write_all(&request(hash).encode()).await;
        }
        let closed = link.asker.closed().await.to_string();
        assert!(closed.contains("not a member"), "{closed}");
        assert_eq!(link.asker.stats().frame_rx.stream, 0);
    }

    #[tokio::test]
    async fn a_member_removed_meanwhile_gets_nothing_more() {
        let (_home, blobs) = store();
        let hash = blobs.import(&b"secret"[..]).await.expect("imports").hash;
        let member = Arc::new(std::sync::atomic::AtomicBool::new(true));
        let still = member.clone();
        let gate = Gate {
            admits: Box::new(move |_| still.load(std::sync::atomic::Ordering::SeqCst)),
            members: Box::new(|_, _| true),
            grants: Box::new(|_, _, _| true),
        };
        let link = Link::serving(Provider::new(blobs, gate)).await;
        let answer = ask(&link.asker, &request(hash).encode()).await.expect("answers");
        assert!(answer.ends_with(b"secret"));
        member.store(false, std::sync::atomic::Ordering::SeqCst);
        assert!(ask(&link.asker, &request(hash).encode()).await.is_err());
        assert!(link.asker.closed().await.to_string().contains("not a member"));
    }

    #[tokio::test]
    async fn no_grant_and_no_blob_are_answered_alike() {
        let (_home, blobs) = store();
        let granted = blobs.import(&b"ours"[..]).await.expect("imports").hash;
        let secret = blobs.import(&b"of another workspace"[..]).await.expect("imports").hash;
        let gate = testing::granting([granted]);
        let link = Link::serving(Provider::new(blobs, gate)).await;
        let not_here = Answer::NotHere.encode();
        for hash in [secret, BlobHash::new([9; 32])] {
            let answer = ask(&link.asker, &request(hash).encode()).await.expect("answers");
            assert_eq!(answer, not_here);
        }
        let elsewhere = BlobRequest { workspace: WorkspaceId::new([8; 32]), ..request(granted) };
        assert_eq!(ask(&link.asker, &elsewhere.encode()).await.expect("answers"), not_here);
        let answer = ask(&link.asker, &request(granted).encode()).await.expect("answers");
        assert!(answer.ends_with(b"ours"));
    }

    #[tokio::test]
    async fn garbage_ends_its_stream_but_not_the_connection() {
        let (_home, blobs) = store();
        let hash = blobs.import(&b"ours"[..]).await.expect("imports").hash;
        let link = Link::serving(Provider::new(blobs, testing::granting([hash]))).await;
        let between_groups = BlobRequest { start: 5, ..request(hash) }.encode();
        for garbage in [&b""[..], b"GET / HTTP/1.1", &[0xff; 73], &[0; 40_000], &between_groups] {
            // A long request fails to send, a short one to be answered.
            let (mut send, mut receive) = link.asker.open_bi().await.expect("opens");
            let _ = send.write_all(garbage).await;
            let _ = send.finish();
            let error = receive.read_to_end(64).await.expect_err("no answer");
            let reset = VarInt::from_u32(RESET_BAD_REQUEST);
            assert!(matches!(error, ReadToEndError::Read(ReadError::Reset(code)) if code == reset));
        }
        assert!(
            ask(&link.asker, &request(hash).encode()).await.expect("answers").ends_with(b"ours")
        );
    }

    #[tokio::test]
    async fn a_start_beyond_the_end_gets_the_proof_of_the_last_group() {
        let (_home, blobs) = store();
        let bytes = noise(40_000);
        let hash = blobs.import(&bytes[..]).await.expect("imports").hash;
        let link = Link::serving(Provider::new(blobs, testing::granting([hash]))).await;
        for start in [32_768, 49_152, (1 << 44) - GROUP_BYTES] {
            let asked = BlobRequest { start, ..request(hash) };
            let answer = ask(&link.asker, &asked.encode()).await.expect("answers");
            assert!(answer.ends_with(&bytes[32_768..]), "from {start}");
            assert!(answer.len() < 7_232 + 9 + 64 * 3, "from {start}");
        }
    }

    #[tokio::test]
    async fn who_does_not_take_what_he_asked_for_loses_his_place() {
        let (_home, blobs) = store();
        let hash = blobs.import(&noise(32 << 20)[..]).await.expect("imports").hash;
        let mut provider = Provider::new(blobs, testing::granting([hash]));
        provider.patience = Duration::from_millis(20);
        let places = provider.places.clone();
        let link = Link::serving(provider).await;
        let (mut send, receive) = link.asker.open_bi().await.expect("opens");
        send.write_all(&request(hash).encode()).await.expect("sends");
        send.finish().expect("is open");
        let mut receive = receive;
        let reset = receive.received_reset().await.expect("the connection lives");
        assert_eq!(reset, Some(VarInt::from_u32(RESET_TOO_SLOW)));
        // All places are free again.
        let _all = places.acquire_many(MAX_SENDING as u32).await.expect("open");
    }
}
