//! A call: what a peer that opened a connection says first, before it is known whether it is let in.
//!
//! Invariant: a caller costs no more than its hello, and no more than [`OPEN_TIMEOUT`].

use iroh::endpoint::{Connection, RecvStream, SendStream, VarInt};
use runmesh_core::ids::WorkspaceId;
use runmesh_core::sync::{
    FirstEntry, Frame, MAX_FIRST_ENTRY_BYTES, MAX_TEXT_BYTES, Message, SyncError, frame_bytes,
};
use tokio::time::timeout;

use super::{CLOSE_DONE, LAST_WORDS, LinkError, OPEN_TIMEOUT, lost};

/// The longest hello: two ids, a version, an incarnation, a name and an entry with their lengths.
const MAX_HELLO_BYTES: usize = 128 + MAX_TEXT_BYTES + MAX_FIRST_ENTRY_BYTES;

/// A call of a peer, heard as far as its hello.
pub(in crate::mesh) struct Call {
    pub(super) connection: Connection,
    pub(super) opened: Opened,
}

/// A conversation that the peer has opened.
pub(super) struct Opened {
    pub(super) send: SendStream,
    pub(super) receive: RecvStream,
    workspace: WorkspaceId,
    pub(super) hello: Message,
}

impl Call {
    /// Waits for the hello of who opened a connection.
    pub(in crate::mesh) async fn hear(connection: Connection) -> Result<Self, LinkError> {
        let opened = timeout(OPEN_TIMEOUT, hear_hello(&connection)).await;
        let opened = opened.map_err(|_| LinkError::NotOpened)??;
        Ok(Self { connection, opened })
    }

    /// The workspace that the caller means.
    pub(in crate::mesh) const fn workspace(&self) -> WorkspaceId {
        self.opened.workspace
    }

    /// Ends the call with a last word, which depends on the first entry of the caller's journal.
    pub(in crate::mesh) async fn turn_away(
        self,
        word: impl FnOnce(Option<&FirstEntry>) -> Message,
    ) {
        let Opened { mut send, hello, .. } = self.opened;
        let first = match &hello {
            Message::Hello { first, .. } => first.as_ref(),
            _ => None,
        };
        let Frame(bytes) = word(first).frame();
        let last_words = async {
            // Fails only if the caller is gone.
            let _ = send.write_all(&bytes).await;
            let _ = send.finish();
            self.connection.closed().await
        };
        let _ = timeout(LAST_WORDS, last_words).await;
        self.connection.close(VarInt::from_u32(CLOSE_DONE), b"done");
    }
}

async fn hear_hello(connection: &Connection) -> Result<Opened, LinkError> {
    let (send, mut receive) = connection.accept_bi().await.map_err(lost)?;
    let mut head = [0; 4];
    let broken_off = |_| LinkError::NotOpened;
    receive.read_exact(&mut head).await.map_err(broken_off)?;
    let length = frame_bytes(head, MAX_HELLO_BYTES).map_err(SyncError::from)?;
    let mut bytes = vec![0; length];
    receive.read_exact(&mut bytes).await.map_err(broken_off)?;
    let hello = Message::decode(&bytes).map_err(SyncError::from)?;
    let Message::Hello { workspace, .. } = hello else { return Err(LinkError::NotOpened) };
    Ok(Opened { send, receive, workspace, hello })
}
