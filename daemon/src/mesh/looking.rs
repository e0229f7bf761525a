//! Somebody looks at this device: peers are asked to seal what they have, again and again, so that
//! what is logged there shows here within a second and not after the five that they would take.
//!
//! Invariants: nobody is asked when nobody looks; where nothing changes, peers are asked less and
//! less often. An answer is waited for by nobody.

use std::sync::Arc;
use std::time::Duration;

use runmesh_core::sync::UNAWAITED;
use tokio::sync::watch;

use super::{Inner, Mesh, locked};

/// How often peers are asked while something comes of it, and how seldom at least.
const OFTEN: Duration = Duration::from_millis(500);
const SELDOM: Duration = Duration::from_secs(4);

/// How many look.
#[derive(Debug, Default)]
pub(super) struct Lookers(watch::Sender<usize>);

/// Somebody who looks, until this is dropped.
pub struct Looking {
    inner: Arc<Inner>,
}

impl Drop for Looking {
    fn drop(&mut self) {
        self.inner.lookers.0.send_modify(|count| *count -= 1);
    }
}

impl Mesh {
    /// Has peers tell what they have at once, as long as the answer is held.
    #[must_use]
    pub fn look(&self) -> Looking {
        let inner = Arc::clone(&self.inner);
        inner.lookers.0.send_modify(|count| *count += 1);
        Looking { inner }
    }
}

impl Inner {
    /// Asks peers to seal for as long as somebody looks.
    pub(super) async fn ask_while_looked_at(self: Arc<Self>) {
        let mut lookers = self.lookers.0.subscribe();
        let mut wait = OFTEN;
        loop {
            let nobody_looks = *lookers.borrow_and_update() == 0;
            if nobody_looks {
                wait = OFTEN;
                // Never an error: this holds the other end, too.
                let _ = lookers.changed().await;
                continue;
            }
            let before = *self.workspace.changed().borrow();
            for link in locked(&self.links).values() {
                link.watch(UNAWAITED);
            }
            tokio::time::sleep(wait).await;
            let came = *self.workspace.changed().borrow() != before;
            wait = if came { OFTEN } else { (wait * 2).min(SELDOM) };
        }
    }
}
