//! Fetches a part of one blob from one peer.
//!
//! Invariants: every group is verified against the blob's hash before it is handed on; a peer that
//! sends wrong bytes is named. Which part that is, and where it ends, [`Gathering`] says.

use std::io::{self, Read};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bao_tree::io::sync::DecodeResponseIter;
use bao_tree::io::{BaoContentItem, DecodeError};
use bao_tree::{ChunkNum, ChunkRanges};
use bytes::{Buf, Bytes, BytesMut};
use iroh::endpoint::{Connection, ReadError, RecvStream, VarInt};
use runmesh_core::ids::{BlobHash, DeviceId};
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::gather::Gathering;
use super::protocol::{Answer, BlobRequest, RESET_DAMAGED, Request};
use super::serve::device_at;
use super::tree::tree_of;
use super::{BlobError, off_the_runtime};

/// How long a provider may take to answer; it may be busy with others.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// How much is verified at once, how long it may take to arrive, and how much waits to be verified.
const BATCH_BYTES: usize = 64 << 10;
const BATCH_TIMEOUT: Duration = Duration::from_secs(60);
const BATCHES_WAITING: usize = 4;

/// A blob did not come from this peer. Another may have it.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The peer does not have it, or not for us.
    #[error("{} does not have blob {hash}", peer.short())]
    NotHere {
        /// Who was asked.
        peer: DeviceId,
        /// For what.
        hash: BlobHash,
    },
    /// The connection or the peer failed on the way. The next attempt goes on from here.
    #[error("blob {hash} from {} broke off after {verified_bytes} bytes", peer.short())]
    Interrupted {
        /// Who was asked.
        peer: DeviceId,
        /// For what.
        hash: BlobHash,
        /// How much is here and verified.
        verified_bytes: u64,
        /// Why.
        source: io::Error,
    },
    /// The peer sent bytes that are not the blob's. None of them were kept.
    #[error("{} sent wrong bytes for blob {hash}, at or after byte {at}", peer.short())]
    WrongBytes {
        /// Who sent them.
        peer: DeviceId,
        /// For which blob.
        hash: BlobHash,
        /// The first that it might be.
        at: u64,
    },
    /// The entry that named the blob gave another size than the peer that has it.
    #[error("blob {hash} at {} has {actual} bytes, not {expected}", peer.short())]
    WrongSize {
        /// Who was asked.
        peer: DeviceId,
        /// For what.
        hash: BlobHash,
        /// What the entry said.
        expected: u64,
        /// What the peer says.
        actual: u64,
    },
    /// The peer's answer is not one of the protocol.
    #[error("{} does not speak the blob protocol", peer.short())]
    BadAnswer {
        /// Who was asked.
        peer: DeviceId,
        /// What is wrong.
        source: runmesh_core::codec::DecodeError,
    },
    /// The peer's copy is damaged, and it said so.
    #[error("blob {hash} is damaged on {}", peer.short())]
    DamagedThere {
        /// Whose.
        peer: DeviceId,
        /// Which.
        hash: BlobHash,
    },
    /// This device's disk failed.
    #[error(transparent)]
    Store(#[from] BlobError),
}

impl FetchError {
    /// Puts it into the log: loudly if it is more than that a peer is away or has no such blob.
    pub(super) fn log(&self) {
        let cause = self as &dyn std::error::Error;
        match self {
            Self::NotHere { .. } | Self::Interrupted { .. } => {
                tracing::debug!(error = cause, "blob not fetched");
            }
            _ => tracing::warn!(error = cause, "blob not fetched"),
        }
    }
}

/// A blob that an entry of a workspace names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// The blob.
    pub hash: BlobHash,
    /// Its size, as the entry says.
    pub size: u64,
    /// The device whose entry it is, if that is known.
    pub uploaded_by: Option<DeviceId>,
}

/// A part of a blob being asked of one peer.
#[derive(Clone)]
pub(super) struct Attempt {
    gathering: Arc<Gathering>,
    /// The peer's number among the sources.
    source: usize,
    peer: DeviceId,
    /// Where the part starts.
    start: u64,
}

impl Attempt {
    pub(super) fn new(
        gathering: Arc<Gathering>,
        source: usize,
        connection: &Connection,
        start: u64,
    ) -> Self {
        Self { gathering, source, peer: device_at(connection), start }
    }

    /// Has the peer send until the part is here or it has another end.
    pub(super) async fn run(&self, connection: &Connection) -> Result<(), FetchError> {
        let stream = self.ask(connection).await?;
        let (batches, arrived) = mpsc::channel(BATCHES_WAITING);
        let arrived = Arrived { batches: arrived, batch: Bytes::new() };
        let attempt = self.clone();
        let receiving = off_the_runtime(move || attempt.receive(arrived));
        let mut receiving = pin!(receiving);
        // At the part's end, and on wrong bytes, the receiving end stops before the stream does.
        tokio::select! {
            received = &mut receiving => return received,
            () = pass_on(stream, batches) => {}
        }
        receiving.await
    }

    /// Sends the request and reads the head of the answer; the blob's encoding follows it.
    async fn ask(&self, connection: &Connection) -> Result<RecvStream, FetchError> {
        let Gathering { wanted, workspace, .. } = &*self.gathering;
        let (workspace, hash, start) = (*workspace, wanted.hash, self.start);
        let request = Request::Blob(BlobRequest { workspace, hash, start });
        let asking = async {
            let (mut send, mut receive) = connection.open_bi().await?;
            send.write_all(&request.encode()).await?;
            // Fails only if the peer has stopped listening, which reading then tells.
            let _ = send.finish();
            let mut head = vec![receive.read_u8().await?];
            let length = head.len() + Answer::len_after(head[0]);
            head.resize(length, 0);
            AsyncReadExt::read_exact(&mut receive, &mut head[1..]).await?;
            Ok((head, receive))
        };
        let asked = timeout(ANSWER_TIMEOUT, asking).await;
        let (head, receive) = asked
            .unwrap_or_else(|late| Err(late.into()))
            .map_err(|source| self.broke_off(source))?;
        let (peer, expected) = (self.peer, wanted.size);
        match Answer::decode(&head).map_err(|source| FetchError::BadAnswer { peer, source })? {
            Answer::NotHere => Err(FetchError::NotHere { peer, hash }),
            Answer::Found { size: actual } if actual != expected => {
                Err(FetchError::WrongSize { peer, hash, expected, actual })
            }
            Answer::Found { .. } => Ok(receive),
        }
    }

    /// Verifies what arrives and hands it on.
    fn receive(&self, arrived: Arrived) -> Result<(), FetchError> {
        let Wanted { hash, size, .. } = self.gathering.wanted;
        let root = blake3::Hash::from_bytes(*hash.as_bytes());
        let rest = ChunkRanges::from(ChunkNum::full_chunks(self.start)..);
        let mut at = self.start;
        for item in DecodeResponseIter::new(root, tree_of(size), arrived, &rest) {
            let item = item.map_err(|error| self.not_decoded(error, at))?;
            if !self.gathering.take_in(self.source, &item)? {
                break;
            }
            if let BaoContentItem::Leaf(leaf) = item {
                at = leaf.offset + leaf.data.len() as u64;
            }
        }
        Ok(())
    }

    /// What became of it: another peer has its part, because it brought nothing for long.
    pub(super) fn passed(&self) -> FetchError {
        self.broke_off(io::ErrorKind::TimedOut.into())
    }

    fn not_decoded(&self, error: DecodeError, at: u64) -> FetchError {
        match error {
            DecodeError::ParentHashMismatch(_) | DecodeError::LeafHashMismatch(_) => {
                FetchError::WrongBytes { peer: self.peer, hash: self.gathering.wanted.hash, at }
            }
            error => self.broke_off(error.into()),
        }
    }

    fn broke_off(&self, source: io::Error) -> FetchError {
        let (peer, hash) = (self.peer, self.gathering.wanted.hash);
        let inner = source.get_ref().and_then(|inner| inner.downcast_ref());
        if let Some(ReadError::Reset(code)) = inner
            && *code == VarInt::from_u32(RESET_DAMAGED)
        {
            return FetchError::DamagedThere { peer, hash };
        }
        let verified_bytes = self.gathering.verified_bytes();
        FetchError::Interrupted { peer, hash, verified_bytes, source }
    }
}

/// Passes on what a stream brings, in batches, until it ends or nobody listens any more.
async fn pass_on(mut stream: RecvStream, batches: mpsc::Sender<io::Result<Bytes>>) {
    loop {
        let mut batch = BytesMut::with_capacity(BATCH_BYTES);
        let filled = timeout(BATCH_TIMEOUT, fill(&mut stream, &mut batch)).await;
        // What came before a fault is as good as the rest.
        if !batch.is_empty() && batches.send(Ok(batch.freeze())).await.is_err() {
            return;
        }
        match filled.unwrap_or_else(|late| Err(late.into())) {
            Ok(true) => {}
            Ok(false) => return,
            Err(fault) => {
                // Nobody listens: then nobody needs to know.
                let _ = batches.send(Err(fault)).await;
                return;
            }
        }
    }
}

/// Fills the batch; returns whether there may be more.
async fn fill(stream: &mut RecvStream, batch: &mut BytesMut) -> io::Result<bool> {
    while batch.len() < BATCH_BYTES {
        if stream.read_buf(batch).await? == 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What has arrived, to be read by a thread that may block.
struct Arrived {
    batches: mpsc::Receiver<io::Result<Bytes>>,
    batch: Bytes,
}

impl Read for Arrived {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.batch.is_empty() {
            match self.batches.blocking_recv() {
                Some(batch) => self.batch = batch?,
                None => return Ok(0),
            }
        }
        let length = buffer.len().min(self.batch.len());
        self.batch.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use bao_tree::io::outboard::PostOrderMemOutboard;
    use bao_tree::io::sync::encode_ranges;

    use super::super::partial::Partial;
    use super::*;
    use crate::blobs::testing::{Link, WORKSPACE, granting, noise, store};
    use crate::blobs::tree::{GROUP, GROUP_BYTES};
    use crate::blobs::{Blobs, Provider};

    const MIB: usize = 1 << 20;

    fn wanted(bytes: &[u8]) -> Wanted {
        Wanted {
            hash: BlobHash::new(*blake3::hash(bytes).as_bytes()),
            size: bytes.len() as u64,
            uploaded_by: None,
        }
    }

    /// A provider that has these bytes and grants them.
    async fn provider_of(bytes: &[u8]) -> (tempfile::TempDir, Blobs, Provider) {
        let (home, blobs) = store();
        let hash = blobs.import(bytes).await.expect("imports").hash;
        (home, blobs.clone(), Provider::new(blobs, granting([hash])))
    }

    async fn fetch(blobs: &Blobs, link: &Link, wanted: &Wanted) -> Result<(), FetchError> {
        let source = std::slice::from_ref(&link.asker);
        blobs.fetch(source, &WORKSPACE, wanted, |_| {}).await.map(drop)
    }

    fn assert_whole(blobs: &Blobs, bytes: &[u8]) {
        let hash = wanted(bytes).hash;
        assert!(fs::read(blobs.path(&hash)).expect("is here") == bytes);
        let outboard = PostOrderMemOutboard::create(bytes, GROUP).data;
        assert!(fs::read(blobs.outboard_path(&hash)).unwrap_or_default() == outboard);
        assert_eq!(fs::read_dir(blobs.partial_folder()).expect("lists").count(), 0);
    }

    /// What the peer at the asker's end of a connection has received, headers and all.
    fn bytes_received(link: &Link) -> u64 {
        link.asker.stats().udp_rx.bytes
    }

    #[tokio::test]
    async fn blobs_of_all_sizes_arrive_whole_and_can_be_passed_on() {
        let group = GROUP_BYTES as usize;
        for size in [0, 1, group - 1, group, group + 1, 2 * group, 37 * group + 1, 5 * MIB] {
            let bytes = noise(size);
            let (_a, _, provider) = provider_of(&bytes).await;
            let (_b, second) = store();
            let link = Link::serving(provider).await;
            fetch(&second, &link, &wanted(&bytes)).await.expect("fetches");
            assert_whole(&second, &bytes);

            let (_c, third) = store();
            let onward = Provider::new(second, granting([wanted(&bytes).hash]));
            let link = Link::serving(onward).await;
            fetch(&third, &link, &wanted(&bytes)).await.expect("fetches");
            assert_whole(&third, &bytes);
        }
    }

    #[tokio::test]
    async fn a_cut_fetch_goes_on_where_it_was() {
        let bytes = noise(8 * MIB);
        let (_a, _, provider) = provider_of(&bytes).await;
        let (_b, blobs) = store();
        let link = Link::serving(provider.clone()).await;
        let line = link.provider.clone();
        let cut = move |verified| {
            if verified > 3 * MIB as u64 {
                line.close(VarInt::from_u32(0), b"cut");
            }
        };
        let source = std::slice::from_ref(&link.asker);
        let error = blobs.fetch(source, &WORKSPACE, &wanted(&bytes), cut).await;
        let Err(FetchError::Interrupted { verified_bytes, .. }) = error else {
            panic!("{error:?}");
        };
        assert!(verified_bytes > 3 * MIB as u64 && verified_bytes < bytes.len() as u64);

        let link = Link::serving(provider).await;
        fetch(&blobs, &link, &wanted(&bytes)).await.expect("goes on");
        assert_whole(&blobs, &bytes);
        let rest = bytes.len() as u64 - verified_bytes;
        let received = bytes_received(&link);
        assert!(received < rest + rest / 10 + 64_000, "{received} bytes for a rest of {rest}");
    }

    #[tokio::test]
    async fn what_was_left_is_verified_again_before_it_counts() {
        let bytes = noise(4 * MIB);
        let (_a, _, provider) = provider_of(&bytes).await;
        let (_b, blobs) = store();
        let hash = wanted(&bytes).hash;
        let path = blobs.partial_folder().join(hash.to_string());
        let nodes = PostOrderMemOutboard::create(&bytes, GROUP).data;
        let half = 2 * MIB;
        // As a power cut may leave it: nodes and length are right, some of the data is not there.
        let mut left = bytes[..half].to_vec();
        left[MIB..].fill(0);
        fs::write(&path, left).expect("writes");
        fs::write(path.with_extension("obao"), &nodes).expect("writes");
        let partial = Partial::open(blobs.clone(), hash, bytes.len() as u64).expect("opens");
        assert_eq!(partial.verified_bytes(), MIB as u64);
        let again = Partial::open(blobs.clone(), hash, bytes.len() as u64);
        assert!(matches!(again, Err(BlobError::Busy { .. })));
        drop(partial);

        let link = Link::serving(provider).await;
        fetch(&blobs, &link, &wanted(&bytes)).await.expect("fetches the rest");
        assert_whole(&blobs, &bytes);
        assert!(bytes_received(&link) < 3 * MIB as u64 + 400_000);
    }

    #[tokio::test]
    async fn a_finished_blob_without_a_name_needs_no_peer() {
        let bytes = noise(MIB);
        let (_b, blobs) = store();
        let path = blobs.partial_folder().join(wanted(&bytes).hash.to_string());
        fs::write(&path, &bytes).expect("writes");
        let nodes = PostOrderMemOutboard::create(&bytes, GROUP).data;
        fs::write(path.with_extension("obao"), nodes).expect("writes");
        let link = Link::bare().await;
        fetch(&blobs, &link, &wanted(&bytes)).await.expect("is all here");
        assert_whole(&blobs, &bytes);
    }

    #[tokio::test]
    async fn damage_on_the_providers_disk_is_found_there() {
        let bytes = noise(4 * MIB);
        let (_a, there, provider) = provider_of(&bytes).await;
        let mut damaged = bytes.clone();
        damaged[3 * MIB] ^= 1;
        fs::write(there.path(&wanted(&bytes).hash), damaged).expect("writes");
        let (_b, blobs) = store();
        let link = Link::serving(provider).await;
        let error = fetch(&blobs, &link, &wanted(&bytes)).await.expect_err("is damaged");
        assert!(matches!(error, FetchError::DamagedThere { .. }), "{error:?}");
        assert!(!blobs.has(&wanted(&bytes).hash).expect("looks"));
    }

    #[tokio::test]
    async fn wrong_bytes_are_found_at_once_and_the_peer_is_named() {
        let bytes = noise(4 * MIB);
        let (_b, blobs) = store();
        let liar = Link::bare().await;
        let line = liar.provider.clone();
        let mut wrong = bytes.clone();
        wrong[2 * MIB + 5] ^= 1;
        let lying = tokio::spawn(async move {
            let (mut send, mut receive) = line.accept_bi().await.expect("is asked");
            receive.read_to_end(Request::MAX_LEN).await.expect("reads");
            // The tree of the right bytes, and wrong bytes under it; then the stream stays open.
            let right = PostOrderMemOutboard::create(noise(4 * MIB), GROUP);
            let mut encoded = Answer::Found { size: right.tree.size() }.encode();
            encode_ranges(&wrong[..], &right, &ChunkRanges::all(), &mut encoded).expect("encodes");
            encoded.truncate(3 * MIB);
            let _ = send.write_all(&encoded).await;
            line.closed().await
        });
        let error = fetch(&blobs, &liar, &wanted(&bytes)).await.expect_err("is wrong");
        let device = device_at(&liar.asker);
        assert!(error.to_string().contains(&device.short()), "{error}");
        let FetchError::WrongBytes { peer, at, .. } = error else { panic!("{error:?}") };
        assert_eq!((peer, at), (device, 2 * MIB as u64));
        liar.asker.close(VarInt::from_u32(0), b"enough");
        lying.await.expect("ends");

        let (_a, _, provider) = provider_of(&bytes).await;
        let link = Link::serving(provider).await;
        fetch(&blobs, &link, &wanted(&bytes)).await.expect("an honest peer has the rest");
        assert_whole(&blobs, &bytes);
        assert!(bytes_received(&link) < 2 * MIB as u64 + 400_000);
    }

    #[tokio::test]
    async fn a_size_that_is_not_the_blobs_is_refused() {
        let bytes = noise(100_000);
        let (_a, _, provider) = provider_of(&bytes).await;
        let (_b, blobs) = store();
        let link = Link::serving(provider).await;
        let claimed = Wanted { size: 100_001, ..wanted(&bytes) };
        let error = fetch(&blobs, &link, &claimed).await.expect_err("lies");
        assert!(matches!(error, FetchError::WrongSize { actual: 100_000, .. }), "{error:?}");
        let claimed = Wanted { size: u64::MAX, ..wanted(&bytes) };
        let error = fetch(&blobs, &link, &claimed).await.expect_err("lies");
        assert!(matches!(error, FetchError::Store(BlobError::TooLarge { .. })), "{error:?}");
        // No disk has this much.
        let claimed = Wanted { size: 1 << 44, ..wanted(&bytes) };
        let error = fetch(&blobs, &link, &claimed).await.expect_err("lies");
        assert!(matches!(error, FetchError::Store(BlobError::DiskFull { .. })), "{error:?}");
        let empty = Wanted { size: 0, ..wanted(&bytes) };
        assert!(fetch(&blobs, &link, &empty).await.is_err());
        assert_eq!(fs::read_dir(blobs.partial_folder()).expect("lists").count(), 0);
    }

    #[tokio::test]
    async fn nothing_is_empty_only_under_the_hash_of_nothing() {
        let (_b, blobs) = store();
        let liar = Link::bare().await;
        let line = liar.provider.clone();
        let lying = tokio::spawn(async move {
            let (mut send, _receive) = line.accept_bi().await.expect("is asked");
            send.write_all(&Answer::Found { size: 0 }.encode()).await.expect("sends");
            send.finish().expect("is open");
            line.closed().await
        });
        let claimed = Wanted { size: 0, ..wanted(b"something") };
        let error = fetch(&blobs, &liar, &claimed).await.expect_err("lies");
        assert!(matches!(error, FetchError::WrongBytes { .. }), "{error:?}");
        liar.asker.close(VarInt::from_u32(0), b"enough");
        lying.await.expect("ends");
    }

    #[tokio::test]
    async fn a_blob_of_another_workspace_is_not_sent_again_but_must_be_proven() {
        let bytes = noise(4 * MIB);
        let (_a, _, provider) = provider_of(&bytes).await;
        let (_b, blobs) = store();
        blobs.import(&bytes[..]).await.expect("imports");
        let link = Link::serving(provider).await;
        fetch(&blobs, &link, &wanted(&bytes)).await.expect("the peer proves it");
        assert!(bytes_received(&link) < 100_000);

        let (_c, _, without) = provider_of(b"something else").await;
        let link = Link::serving(without).await;
        let error = fetch(&blobs, &link, &wanted(&bytes)).await.expect_err("has no proof");
        assert!(matches!(error, FetchError::NotHere { .. }), "{error:?}");
    }
}
