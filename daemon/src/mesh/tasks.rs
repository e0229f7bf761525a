//! Tasks that end together.
//!
//! Invariant: a task of [`Tasks::spawn`] ends when it is told to stop, wherever it waits; one that
//! has last words is tracked only, and stopping waits for it, but not long.

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::GRACE;

/// Tasks, and what ends them.
#[derive(Default)]
pub(super) struct Tasks {
    stop: CancellationToken,
    tracker: TaskTracker,
}

impl Tasks {
    /// Runs a task that is cut when all are to stop.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tracker.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = task => {}
            }
        });
    }

    /// Runs a task that sees to its end by itself once [`Tasks::stopping`] says so.
    pub(super) fn spawn_uncut(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tracker.spawn(task);
    }

    /// Ends when all are to stop.
    pub(super) async fn stopping(&self) {
        self.stop.cancelled().await;
    }

    /// Has all stop, and waits a little until they have. Returns whether they did.
    pub(super) async fn stop(&self) -> bool {
        self.stop.cancel();
        self.tracker.close();
        timeout(GRACE, self.tracker.wait()).await.is_ok()
    }
}
