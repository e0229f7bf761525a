//! Adopting: taking along what a device logged before it joined a workspace.
//!
//! Everything is appended anew under the same ids: runs keep their ids, experiments theirs by
//! their names, points and artifacts what they are. Only who edited what before is left behind.

use super::{Snapshot, Store, StoreError};
use crate::clock::UnixMillis;
use crate::document::{Container, DocumentEdit};
use crate::edit::Edit;
use crate::ids::{DocumentId, ExperimentId};
use crate::index::fields::{self, info};
use crate::rows::{ExperimentRow, KeyValue, Lifecycle, Metric, RunRow};

/// Points of one edit.
const POINTS_PER_EDIT: usize = 4096;
/// About how many bytes of spans one edit takes.
const SPANS_PER_EDIT_BYTES: usize = 256 << 10;
/// Edits of one group.
const EDITS_PER_GROUP: usize = 256;

impl Store {
    /// Appends everything that another store shows. Doing it twice adds nothing. Returns how many
    /// runs it took along.
    pub fn adopt(&mut self, now: UnixMillis, old: &Snapshot) -> Result<u64, StoreError> {
        let mut group = Vec::new();
        let experiments = old.experiments()?;
        for row in &experiments {
            group.push(experiment_edit(row));
        }
        let mut taken = 0;
        for row in old.runs()? {
            let row = row?;
            let experiment = experiments.iter().find(|held| held.id == row.experiment);
            group.push(run_edit(&row, experiment.map(|held| held.document)));
            for metric in &row.metrics {
                let points = old.series(&row.id, &metric.key, &metric.context)?;
                for chunk in points.chunks(POINTS_PER_EDIT) {
                    let point = |point| Metric { point, ..metric.clone() };
                    let metrics = chunk.iter().copied().map(point).collect();
                    group.push(Edit::Points { run: row.id, metrics });
                }
            }
            taken += 1;
            self.adopt_group(now, &mut group, EDITS_PER_GROUP)?;
        }
        for state in old.traces()? {
            let state = state?;
            let parts = state.to_parts(old.encoded_spans(&state.trace)?);
            let parts = parts.into_iter().flat_map(|part| part.split(SPANS_PER_EDIT_BYTES));
            group.extend(parts.map(Edit::Trace));
            self.adopt_group(now, &mut group, EDITS_PER_GROUP)?;
        }
        for row in old.documents()? {
            let row = row?;
            group.push(Edit::Document { document: row.document, edit: row.to_edit() });
            self.adopt_group(now, &mut group, EDITS_PER_GROUP)?;
        }
        let mut not_here = Vec::new();
        for (owner, row) in old.all_artifacts()? {
            if !old.is_granted(&row.blob)? {
                not_here.push(row.blob);
            }
            let content = Some((row.blob, row.size));
            group.push(Edit::Artifact { owner, path: row.path, content });
            self.adopt_group(now, &mut group, EDITS_PER_GROUP)?;
        }
        self.adopt_group(now, &mut group, 1)?;
        self.seal(now)?;
        // What did not come through the old workspace does not come through this one by its hash.
        self.ungrant(&not_here)?;
        // What was served under a number of a model before is what its users mean by it.
        self.note_served(&old.served_versions()?)?;
        Ok(taken)
    }

    fn adopt_group(
        &mut self,
        now: UnixMillis,
        group: &mut Vec<Edit>,
        at_least: usize,
    ) -> Result<(), StoreError> {
        if group.len() < at_least {
            return Ok(());
        }
        self.append(now, std::mem::take(group))?;
        if self.unsealed_bytes() >= super::SEAL_BYTES {
            self.seal(now)?;
        }
        Ok(())
    }
}

fn experiment_edit(row: &ExperimentRow) -> Edit {
    let mut edit = DocumentEdit::default();
    edit.set(Container::Info, info::NAME, row.name.as_str());
    edit.set(Container::Info, info::LIFECYCLE, row.lifecycle.as_str());
    edit.set(Container::Info, info::CREATED, row.created.0 as i64);
    edit.set(Container::Info, info::UPDATED_MS, row.updated_ms);
    if let Some(location) = &row.artifact_location {
        edit.set(Container::Info, info::ARTIFACT_LOCATION, location.as_str());
    }
    set_all(&mut edit, Container::Tags, &row.tags);
    describe(&mut edit, &row.description);
    Edit::Document { document: row.document, edit }
}

fn run_edit(row: &RunRow, experiment: Option<DocumentId>) -> Edit {
    debug_assert_ne!(row.experiment, ExperimentId::NONE);
    let mut edit = DocumentEdit::default();
    if let Some(experiment) = experiment {
        let reference = experiment.reference();
        edit.set(Container::Info, info::EXPERIMENT, reference.as_str());
    }
    edit.set(Container::Info, info::NAME, row.name.as_str());
    edit.set(Container::Info, info::USER, row.user.as_str());
    edit.set(Container::Info, info::STATUS, row.status.as_str());
    edit.set(Container::Info, info::START_MS, row.start_ms);
    if let Some(end_ms) = row.end_ms {
        edit.set(Container::Info, info::END_MS, end_ms);
    }
    if row.lifecycle == Lifecycle::Deleted {
        edit.set(Container::Info, info::LIFECYCLE, row.lifecycle.as_str());
        edit.set(Container::Info, info::DELETED_MS, row.deleted_ms.unwrap_or_default());
    }
    set_all(&mut edit, Container::Params, &row.params);
    set_all(&mut edit, Container::Tags, &row.tags);
    for (position, dataset) in row.datasets.iter().enumerate() {
        fields::put_dataset(&mut edit, position, dataset);
    }
    for model in &row.model_inputs {
        fields::put_model_input(&mut edit, model);
    }
    for model in &row.model_outputs {
        fields::put_model_output(&mut edit, model);
    }
    describe(&mut edit, &row.description);
    Edit::Document { document: DocumentId::run(row.id), edit }
}

fn set_all(edit: &mut DocumentEdit, container: Container, pairs: &[KeyValue]) {
    for pair in pairs {
        edit.set(container, &pair.key, pair.value.as_str());
    }
}

fn describe(edit: &mut DocumentEdit, description: &str) {
    edit.description = (!description.is_empty()).then(|| description.to_owned());
}
