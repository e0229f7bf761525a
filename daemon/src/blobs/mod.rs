//! Blobs: the bytes of artifacts, stored durably, sent to and fetched from peers verified.
//!
//! Why this is our own store and not iroh-blobs: `docs/decisions/0002-blob-store.md`.

#[cfg(test)]
mod crash;
mod error;
mod fetch;
mod fetcher;
mod gather;
mod import;
mod leases;
mod ledger;
mod news;
mod partial;
mod parts;
mod pins;
mod promises;
mod protocol;
mod queue;
mod serve;
mod store;
#[cfg(test)]
mod testing;
mod tree;

pub use error::BlobError;
pub use fetch::{FetchError, Wanted};
pub use fetcher::{Fetcher, Grant, NotFetched, QueueFull, Surroundings};
pub use import::Imported;
pub use leases::{Collection, Lease};
pub use ledger::Ledger;
pub use pins::{Pin, Pins};
pub use promises::ask_to_keep;
pub use protocol::{ALPN, CLOSE_NOT_A_MEMBER, MAX_BLOB_BYTES};
pub use queue::{Progress, UnderWay};
pub use serve::{Admits, Gate, Grants, Members, Provider};
pub use store::{Blobs, Usage};
pub use tree::GROUP_BYTES;

/// Runs what blocks on the disk away from the threads that drive the network.
pub(crate) async fn off_the_runtime<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is shutting down: nobody will poll this again.
            Err(_) => std::future::pending().await,
        },
    }
}
