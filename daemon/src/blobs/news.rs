//! What a device tells of the blobs that it holds: the bytes, and saying and hearing them.
//!
//! Invariants: one message is bounded and is taken in as a whole; only members of a workspace hear
//! what is held for it; a peer that says nonsense is heard no more on that stream.

use std::io;
use std::time::Duration;

use iroh::endpoint::{Connection, RecvStream, SendStream};
use runmesh_core::codec::{DecodeError, Reader};
use runmesh_core::ids::{BlobHash, DeviceId, WorkspaceId};
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use super::protocol::{Answer, Request};
use super::{BlobError, Blobs, off_the_runtime};

/// The most blobs that one message tells of.
pub(super) const MAX_ITEMS: usize = 4096;
/// How long changes gather before they are told.
const GATHER: Duration = Duration::from_millis(200);
/// How often it is looked whether the peer may still hear, when nothing changes.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// How long to wait before a peer is asked again that did not tell.
const ASK_AGAIN: Duration = Duration::from_secs(5);
/// How long a peer may take to answer, and to send the rest of a message.
const PATIENCE: Duration = Duration::from_secs(60);

/// How far a device's news were heard.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Position {
    /// Names the ledger that the number is of.
    pub(super) epoch: [u8; 16],
    /// The last change that was heard.
    pub(super) number: u64,
}

/// What changed in what a device holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct News {
    /// Where the hearer is when it has heard this.
    pub(super) position: Position,
    /// Whether what it heard before counts no more.
    pub(super) starts_over: bool,
    /// Blobs, and whether they are held.
    pub(super) items: Vec<(BlobHash, bool)>,
}

impl News {
    const HEAD: usize = 16 + 8 + 1 + 4;
    const ITEM: usize = 33;

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(Self::HEAD + self.items.len() * Self::ITEM);
        bytes.extend_from_slice(&self.position.epoch);
        bytes.extend_from_slice(&self.position.number.to_le_bytes());
        bytes.push(u8::from(self.starts_over));
        let count = u32::try_from(self.items.len()).expect("a ledger tells no more at once");
        bytes.extend_from_slice(&count.to_le_bytes());
        for (blob, held) in &self.items {
            bytes.extend_from_slice(blob.as_bytes());
            bytes.push(u8::from(*held));
        }
        bytes
    }

    /// How many bytes follow a head.
    fn len_after(head: &[u8]) -> Result<usize, DecodeError> {
        let count = count(&mut Reader::new(&head[Self::HEAD - 4..]))?;
        Ok(count * Self::ITEM)
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let epoch = reader.array("epoch")?;
        let number = reader.u64("number")?;
        let starts_over = flag(&mut reader, "whether it starts over")?;
        let count = count(&mut reader)?;
        let mut items = Vec::with_capacity(count);
        for _ in 0..count {
            let blob = BlobHash::new(reader.array("blob hash")?);
            items.push((blob, flag(&mut reader, "whether it is held")?));
        }
        reader.finish("news")?;
        Ok(Self { position: Position { epoch, number }, starts_over, items })
    }
}

fn count(reader: &mut Reader<'_>) -> Result<usize, DecodeError> {
    let count = reader.u32("count of blobs")? as usize;
    if count > MAX_ITEMS {
        return Err(DecodeError::Invalid { what: "count of blobs" });
    }
    Ok(count)
}

fn flag(reader: &mut Reader<'_>, what: &'static str) -> Result<bool, DecodeError> {
    match reader.u8(what)? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(DecodeError::Invalid { what }),
    }
}

/// Tells a peer what is held here, and what changes, for as long as `may_hear` says.
pub(super) async fn tell(
    blobs: &Blobs,
    workspace: WorkspaceId,
    mut heard: Position,
    send: &mut SendStream,
    may_hear: impl Fn() -> bool,
) -> Result<(), io::Error> {
    let mut changed = blobs.ledger().changed();
    while may_hear() {
        changed.mark_unchanged();
        let ledger = blobs.clone();
        let news = off_the_runtime(move || ledger.ledger().news(&workspace, heard)).await;
        match news.map_err(io::Error::other)? {
            Some(news) => {
                heard = news.position;
                timeout(PATIENCE, send.write_all(&news.encode())).await??;
            }
            None => {
                tokio::select! {
                    _ = changed.changed() => tokio::time::sleep(GATHER).await,
                    _ = send.stopped() => return Ok(()),
                    () = tokio::time::sleep(LOOK_AGAIN) => {}
                }
            }
        }
    }
    Ok(())
}

/// Hears what a peer holds for a workspace until the connection ends.
pub(super) async fn hear(
    blobs: Blobs,
    workspace: WorkspaceId,
    device: DeviceId,
    connection: Connection,
    news_came: impl Fn(),
) {
    loop {
        match hear_once(&blobs, workspace, device, &connection, &news_came).await {
            Err(HearError::Store(error)) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "what a peer holds cannot be noted");
                return;
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::debug!(peer = %device.short(), error, "a peer does not tell what it holds");
            }
            Ok(()) => {}
        }
        tokio::select! {
            _ = connection.closed() => return,
            () = tokio::time::sleep(ASK_AGAIN) => {}
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum HearError {
    #[error("the connection failed")]
    Broken(#[from] io::Error),
    #[error("it says nonsense")]
    Nonsense(#[from] DecodeError),
    #[error(transparent)]
    Store(#[from] BlobError),
}

impl From<tokio::time::error::Elapsed> for HearError {
    fn from(late: tokio::time::error::Elapsed) -> Self {
        Self::Broken(late.into())
    }
}

async fn hear_once(
    blobs: &Blobs,
    workspace: WorkspaceId,
    device: DeviceId,
    connection: &Connection,
    news_came: &impl Fn(),
) -> Result<(), HearError> {
    let ledger = blobs.clone();
    let heard = off_the_runtime(move || ledger.ledger().heard(&workspace, &device)).await?;
    let request = Request::Holdings { workspace, heard };
    let Some(mut receive) = timeout(PATIENCE, ask(connection, &request)).await?? else {
        return Ok(());
    };
    loop {
        let mut bytes = vec![0; News::HEAD];
        AsyncReadExt::read_exact(&mut receive, &mut bytes[..1]).await?;
        // What has begun is to end soon.
        let rest = async {
            AsyncReadExt::read_exact(&mut receive, &mut bytes[1..]).await?;
            let length = News::len_after(&bytes)?;
            bytes.resize(News::HEAD + length, 0);
            AsyncReadExt::read_exact(&mut receive, &mut bytes[News::HEAD..]).await?;
            Ok::<_, HearError>(())
        };
        timeout(PATIENCE, rest).await??;
        let (news, ledger) = (News::decode(&bytes)?, blobs.clone());
        off_the_runtime(move || ledger.ledger().hear(&workspace, &device, &news)).await?;
        news_came();
    }
}

/// Asks a peer for something of a workspace; none if it says no.
pub(super) async fn ask(
    connection: &Connection,
    request: &Request,
) -> Result<Option<RecvStream>, io::Error> {
    let (mut send, mut receive) = connection.open_bi().await?;
    send.write_all(&request.encode()).await?;
    // Fails only if the peer has stopped listening, which reading then tells.
    let _ = send.finish();
    Ok((receive.read_u8().await? == Answer::FOUND).then_some(receive))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_those_of_the_document() {
        let news = News {
            position: Position { epoch: [5; 16], number: 0x0102 },
            starts_over: true,
            items: vec![(BlobHash::new([6; 32]), true), (BlobHash::new([7; 32]), false)],
        };
        let bytes = news.encode();
        assert_eq!(
            bytes[..News::HEAD],
            [&[5; 16][..], &[2, 1, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0]].concat()
        );
        assert_eq!(bytes[News::HEAD..], [&[6; 32][..], &[1], &[7; 32], &[0]].concat());
        assert_eq!(News::len_after(&bytes[..News::HEAD]), Ok(66));
        assert_eq!(News::decode(&bytes), Ok(news));
        for length in 0..bytes.len() {
            assert!(News::decode(&bytes[..length]).is_err());
        }
    }

    #[test]
    fn a_message_over_the_limit_is_refused_by_its_head() {
        let mut head = vec![0; News::HEAD];
        head[News::HEAD - 4..].copy_from_slice(&(MAX_ITEMS as u32 + 1).to_le_bytes());
        assert!(News::len_after(&head).is_err());
    }
}
