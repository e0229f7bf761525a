//! Sync: what two devices say to each other until both hold the same entries.
//!
//! A [`Session`] is told what happened and says what to do. The daemon drives it over a stream of
//! iroh, the simulator over a network that loses, repeats and reorders. `docs/protocol.md`
//! describes the conversation and its bytes.

mod admission;
mod batch;
mod forks;
mod message;
mod port;
mod receiving;
mod sending;
mod session;
#[cfg(test)]
mod tests;

pub use admission::turned_away;
pub use batch::{Batch, verify, verify_line};
pub use message::{
    ALPN, Farewell, FirstEntry, Frame, MAX_CONTACT_ADDRESSES, MAX_CONTACTS, MAX_ENTRIES,
    MAX_FIRST_ENTRY_BYTES, MAX_FRAME_BYTES, MAX_TEXT_BYTES, Message, Obstacle, Scope, VERSION,
    frame_bytes,
};
pub use port::{Ended, Held, Input, Output, Peering, Status, SyncError, UNAWAITED};
pub use sending::WINDOW_BYTES;
pub use session::{BATCH_BYTES, Session};
