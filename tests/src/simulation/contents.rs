//! Everything that a device shows, in a form that can be compared between devices.

use runmesh_core::rows::RunRow;
use runmesh_core::store::{Snapshot, StoreError};

/// What a device shows. As text, for NaN is not equal to itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Contents {
    vector: String,
    experiments: String,
    runs: Vec<String>,
    histories: Vec<String>,
    documents: String,
    artifacts: String,
    traces: Vec<String>,
    members: String,
    /// Changes that wait for others.
    pub(super) waiting: u64,
}

impl Contents {
    /// The same, whatever journals it came in.
    pub(super) fn whatever_journals(mut self) -> Self {
        self.vector.clear();
        self
    }

    pub(super) fn of(snapshot: &Snapshot) -> Result<Self, StoreError> {
        let mut rows = snapshot.runs()?.collect::<Result<Vec<RunRow>, _>>()?;
        // Devices number runs as they come.
        rows.sort_by_key(|row| row.id);
        let mut histories = Vec::new();
        for row in &rows {
            for metric in &row.metrics {
                let history = snapshot.series(&row.id, &metric.key, &metric.context)?;
                histories.push(format!("{} {}: {history:?}", row.id, metric.key));
            }
        }
        Ok(Self {
            vector: format!("{:?}", snapshot.vector()?),
            experiments: format!("{:?}", snapshot.experiments()?),
            runs: rows.iter().map(|row| format!("{row:?}")).collect(),
            histories,
            documents: format!("{:?}", snapshot.documents()?.collect::<Result<Vec<_>, _>>()?),
            traces: traces(snapshot)?,
            artifacts: format!("{:?}", snapshot.all_artifacts()?),
            members: format!("{:?}", snapshot.membership()?),
            waiting: snapshot.counts()?.waiting_changes,
        })
    }
}

/// Devices number traces, too, as they come.
fn traces(snapshot: &Snapshot) -> Result<Vec<String>, StoreError> {
    let mut traces = Vec::new();
    for state in snapshot.traces()? {
        let state = state?;
        traces.push(format!("{state:?}: {:?}", snapshot.spans(&state.trace)?));
    }
    traces.sort_unstable();
    Ok(traces)
}
