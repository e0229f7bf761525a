//! Taking bytes in: from a stream of unknown length to a blob that survives a power cut.
//!
//! Invariants: memory does not grow with the blob; the import is acknowledged only when the blob
//! is durable; a failed or dropped import leaves nothing; the same bytes are stored once.

use std::io::Write;
use std::mem;

use bytes::BytesMut;
use runmesh_core::ids::BlobHash;
use tempfile::NamedTempFile;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::leases::Lease;
use super::store::Staged;
use super::tree::TreeHasher;
use super::{BlobError, Blobs, off_the_runtime};

/// How much is read before it is written. Two such buffers are in use at a time.
const BUFFER_BYTES: usize = 256 << 10;

/// What an import came to. While this is held, the blob is not collected: who imports it writes
/// the operation that names it meanwhile.
#[derive(Debug)]
pub struct Imported {
    /// The blob's name.
    pub hash: BlobHash,
    /// Its length in bytes.
    pub size: u64,
    _lease: Lease,
}

impl Blobs {
    /// Stores everything that `reader` gives. When this returns, the blob is durable.
    pub async fn import(
        &self,
        mut reader: impl AsyncRead + Unpin + Send,
    ) -> Result<Imported, BlobError> {
        let blobs = self.clone();
        let mut import = off_the_runtime(move || Import::begin(blobs)).await?;
        let mut buffer = BytesMut::with_capacity(BUFFER_BYTES);
        let mut more = fill(&mut reader, &mut buffer, 0).await?;
        let mut spare = BytesMut::new();
        while more {
            // One buffer is hashed and written while the next one fills.
            spare.reserve(BUFFER_BYTES);
            let before = import.hasher.size() + buffer.len() as u64;
            let absorbing = off_the_runtime(move || {
                import.absorb(&buffer)?;
                buffer.clear();
                Ok::<_, BlobError>((import, buffer))
            });
            let filling = fill(&mut reader, &mut spare, before);
            // Both are waited for, also if one fails: on return nothing may be left.
            let (absorbed, filled) = tokio::join!(absorbing, filling);
            (import, buffer, spare) = absorbed.map(|(import, empty)| (import, spare, empty))?;
            more = filled?;
        }
        off_the_runtime(move || {
            import.absorb(&buffer)?;
            import.finish()
        })
        .await
    }
}

/// Fills the buffer; returns whether there may be more to read.
async fn fill(
    reader: &mut (impl AsyncRead + Unpin),
    buffer: &mut BytesMut,
    before: u64,
) -> Result<bool, BlobError> {
    while buffer.len() < BUFFER_BYTES {
        let read = (&mut *reader).take((BUFFER_BYTES - buffer.len()) as u64).read_buf(buffer).await;
        let bytes = before + buffer.len() as u64;
        if read.map_err(|source| BlobError::UploadBroken { bytes, source })? == 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A blob of which some has arrived. Its files disappear with it unless it is finished.
struct Import {
    blobs: Blobs,
    hasher: TreeHasher,
    data: NamedTempFile,
    /// Created with the first node: most blobs have none.
    outboard: Option<NamedTempFile>,
    /// The tree's nodes that are not written yet.
    nodes: Vec<u8>,
}

impl Import {
    fn begin(blobs: Blobs) -> Result<Self, BlobError> {
        let data = blobs.tmp_file()?;
        Ok(Self { blobs, hasher: TreeHasher::new(), data, outboard: None, nodes: Vec::new() })
    }

    fn absorb(&mut self, bytes: &[u8]) -> Result<(), BlobError> {
        append(&mut self.data, bytes)?;
        self.hasher.update(bytes, &mut self.nodes);
        self.write_nodes()
    }

    fn finish(mut self) -> Result<Imported, BlobError> {
        let size = self.hasher.size();
        let hash = mem::take(&mut self.hasher).finish(&mut self.nodes);
        self.write_nodes()?;
        let outboard = self.outboard.as_ref().map(Staged::from);
        let _lease = self.blobs.lease(hash);
        self.blobs.publish(&hash, size, Staged::from(&self.data), outboard)?;
        Ok(Imported { hash, size, _lease })
    }

    fn write_nodes(&mut self) -> Result<(), BlobError> {
        if self.nodes.is_empty() {
            return Ok(());
        }
        let outboard = match &mut self.outboard {
            Some(file) => file,
            none => none.insert(self.blobs.tmp_file()?),
        };
        append(outboard, &self.nodes)?;
        self.nodes.clear();
        Ok(())
    }
}

fn append(file: &mut NamedTempFile, bytes: &[u8]) -> Result<(), BlobError> {
    file.as_file_mut()
        .write_all(bytes)
        .map_err(|source| BlobError::io("write", file.path(), source))
}

impl<'a> From<&'a NamedTempFile> for Staged<'a> {
    fn from(file: &'a NamedTempFile) -> Self {
        Self { file: file.as_file(), path: file.path() }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use tokio::io::ReadBuf;

    use super::*;
    use crate::blobs::testing::{noise, store};

    fn files_in(folder: &std::path::Path) -> usize {
        fs::read_dir(folder).expect("a folder").count()
    }

    #[tokio::test]
    async fn what_goes_in_comes_out() {
        let (_home, blobs) = store();
        let buffer = BUFFER_BYTES;
        for size in [0, 1, 16 << 10, (16 << 10) + 1, buffer - 1, buffer, buffer + 1, 5 << 20] {
            let bytes = noise(size);
            let imported = blobs.import(&bytes[..]).await.expect("imports");
            assert_eq!(imported.size, size as u64);
            assert_eq!(imported.hash.as_bytes(), blake3::hash(&bytes).as_bytes());
            let mut file = blobs.open(&imported.hash).await.expect("opens").expect("is here");
            let mut read = Vec::new();
            file.read_to_end(&mut read).await.expect("reads");
            assert!(read == bytes, "{size} bytes came out otherwise");
        }
        assert_eq!(files_in(&blobs.tmp_folder()), 0);
        assert!(blobs.open(&BlobHash::new([7; 32])).await.expect("opens").is_none());
    }

    #[tokio::test]
    async fn the_same_bytes_are_stored_once_even_at_once() {
        let (_home, blobs) = store();
        let bytes = noise(100_000);
        let (first, second) = tokio::join!(blobs.import(&bytes[..]), blobs.import(&bytes[..]));
        let first = first.expect("imports");
        assert_eq!(first.hash, second.expect("imports").hash);
        assert_eq!(first.hash, blobs.import(&bytes[..]).await.expect("imports").hash);
        let usage = blobs.usage().expect("counts");
        assert_eq!((usage.blobs, usage.bytes), (1, 100_000));
        assert_eq!(files_in(&blobs.tmp_folder()), 0);

        assert!(blobs.remove(&first.hash).expect("removes"));
        assert!(!blobs.remove(&first.hash).expect("removes nothing"));
        assert_eq!(blobs.usage().expect("counts").blobs, 0);
    }

    #[tokio::test]
    async fn a_damaged_blob_is_mended_by_the_next_import() {
        let (_home, blobs) = store();
        let bytes = noise(100_000);
        let hash = blobs.import(&bytes[..]).await.expect("imports").hash;
        for damaged in [blobs.path(&hash), blobs.outboard_path(&hash)] {
            fs::write(&damaged, b"short").expect("writes");
            blobs.import(&bytes[..]).await.expect("imports");
            assert_ne!(fs::read(&damaged).expect("reads"), b"short");
        }
    }

    /// Gives some bytes, then an error.
    struct Broken(&'static [u8]);

    impl AsyncRead for Broken {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            if self.0.is_empty() {
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
            let (now, later) = self.0.split_at(buffer.remaining().min(self.0.len()));
            buffer.put_slice(now);
            self.0 = later;
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn a_broken_upload_leaves_nothing() {
        let (_home, blobs) = store();
        let bytes: &'static [u8] = vec![3; BUFFER_BYTES * 2 + 9].leak();
        let error = blobs.import(Broken(bytes)).await.expect_err("breaks");
        let expected = bytes.len() as u64;
        assert!(matches!(error, BlobError::UploadBroken { bytes, .. } if bytes == expected));
        assert_eq!(files_in(&blobs.tmp_folder()), 0);
        assert_eq!(blobs.usage().expect("counts").blobs, 0);
    }

    #[test]
    fn what_a_crash_left_in_tmp_is_gone_after_the_next_start() {
        let (home, blobs) = store();
        fs::write(blobs.tmp_folder().join("leftover"), b"half").expect("writes");
        let kept = blobs.partial_folder().join("half-fetched");
        fs::write(&kept, b"half").expect("writes");
        drop(blobs);
        let again = Blobs::in_folder(home.path()).expect("opens");
        assert_eq!(files_in(&again.tmp_folder()), 0);
        assert!(kept.exists());
    }
}
