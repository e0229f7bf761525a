//! Other lines of this device's own journal, as peers and bundles show them: a home that was
//! restored by hand, or that ran twice, wrote other entries under the same numbers.
//!
//! Invariant: what this device signed is carried over, wherever it comes from, and nothing else.

use runmesh_core::entry::Entry;
use runmesh_core::store::CarriedOver;
use runmesh_core::sync::{self, Batch};
use runmesh_core::vector::Tip;

use crate::WriteError;
use crate::workspace::Workspace;

/// What came of another line.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Reclaimed {
    /// How far the line is now known; none if nothing of it is genuine.
    pub(crate) tip: Option<Tip>,
    /// What was carried over into the journal that this device writes now.
    pub(crate) carried: CarriedOver,
}

/// Carries over what a batch holds of this device's own journal and is not here.
pub(crate) async fn reclaim(workspace: &Workspace, batch: Batch) -> Result<Reclaimed, WriteError> {
    let (journal, id) = (batch.journal, workspace.id());
    let verify = move || {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        sync::verify_line(id, batch, threads)
    };
    let good = tokio::task::spawn_blocking(verify).await.expect("checking entries does not panic");
    let Some(tip) = good.last().map(Entry::tip) else { return Ok(Reclaimed::default()) };
    let carried = workspace.take_line(good).await?;
    if carried.entries > 0 {
        let entries = carried.entries;
        tracing::warn!(
            "the journal of this device had forked: {entries} entries were carried over"
        );
    }
    if carried.frozen {
        tracing::error!("there are too many lines of {journal}; no more are carried over");
    }
    Ok(Reclaimed { tip: Some(tip), carried })
}
