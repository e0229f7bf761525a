//! Which datasets the runs of an experiment read, and what for.
//!
//! Nothing but a page's list of choices asks for this, so it has no index: all runs are read until
//! there is enough.

use std::collections::BTreeSet;

use crate::ids::ExperimentId;
use crate::rows::lookup;
use crate::store::{Snapshot, StoreError};

/// That some run of an experiment read a dataset for something.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DatasetUse {
    /// The experiment.
    pub experiment: ExperimentId,
    /// The dataset's name.
    pub name: String,
    /// The dataset's digest.
    pub digest: String,
    /// What for, if the run says so.
    pub context: Option<String>,
}

/// The uses of datasets by runs of some experiments, whatever the runs' state: at most `limit`. What
/// a dataset was read for is in the tag `context_tag` of its use.
pub fn dataset_uses(
    snapshot: &Snapshot,
    experiments: &[ExperimentId],
    context_tag: &str,
    limit: usize,
) -> Result<BTreeSet<DatasetUse>, StoreError> {
    let mut uses = BTreeSet::new();
    for experiment in experiments {
        for run in snapshot.starts(*experiment, None, None)? {
            let (_, number) = run?;
            let Some(row) = snapshot.run_by_number(number)? else { continue };
            for dataset in row.datasets {
                if uses.len() >= limit {
                    return Ok(uses);
                }
                uses.insert(DatasetUse {
                    experiment: *experiment,
                    context: lookup(&dataset.tags, context_tag).map(str::to_owned),
                    name: dataset.name,
                    digest: dataset.digest,
                });
            }
        }
    }
    Ok(uses)
}
