//! Frames of a session on its stream: those to send, and those that come.
//!
//! Invariants: memory is taken as bytes come, not as they are announced; no frame is longer than the
//! session allows at the time.

use std::sync::atomic::{AtomicUsize, Ordering};

use iroh::endpoint::{RecvStream, SendStream};
use runmesh_core::codec::DecodeError;
use runmesh_core::sync::{Frame, Input, Message, SyncError, frame_bytes};
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;

use super::{Event, Link, LinkError, lost};

impl Link {
    /// Sends frames until there are no more to come.
    pub(super) async fn write_all(
        &self,
        mut send: SendStream,
        mut frames: mpsc::UnboundedReceiver<Frame>,
    ) -> Result<(), LinkError> {
        while let Some(Frame(bytes)) = frames.recv().await {
            self.moved.bytes_out.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            if send.write_all(&bytes).await.is_err() {
                return Err(lost(self.connection.closed().await));
            }
        }
        // Fails only if the connection is gone, and with it who would read this.
        let _ = send.finish();
        let _ = send.stopped().await;
        Ok(())
    }

    /// Reads messages until the connection ends.
    pub(super) async fn read_all(
        &self,
        mut receive: RecvStream,
        limit: &AtomicUsize,
        events: &mpsc::Sender<Event>,
    ) {
        loop {
            let mut head = [0; 4];
            if receive.read_exact(&mut head).await.is_err() {
                break;
            }
            let message = match frame_bytes(head, limit.load(Ordering::Relaxed)) {
                Ok(length) => {
                    // Memory is taken as bytes come, not as they are announced.
                    let mut bytes = Vec::with_capacity(length.min(64 << 10));
                    let read = (&mut receive).take(length as u64).read_to_end(&mut bytes).await;
                    if read.ok() != Some(length) {
                        break;
                    }
                    self.moved.bytes_in.fetch_add(length as u64 + 4, Ordering::Relaxed);
                    Message::decode(&bytes)
                }
                Err(error) => Err(error),
            };
            let event = match message {
                Ok(message) => Event::Input(Input::Received(message)),
                Err(error) => Event::Failed(SyncError::from(DecodeError::clone(&error)).into()),
            };
            if events.send(event).await.is_err() {
                return;
            }
        }
        let error = self.connection.closed().await;
        let _ = events.send(Event::Failed(lost(error))).await;
    }
}
