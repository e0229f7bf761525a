//! Plans actions: checks what a client asks for and says which edits do it.
//!
//! Invariants: planning changes nothing; what is refused has no edits; what is planned is applied
//! in the same transaction, so that nothing comes between.

mod evaluation;
mod logged_models;
mod models;
mod traces;

use std::collections::HashSet;

use super::StoreError;
use super::batch::Batch;
use crate::action::{
    Action, ExperimentChange, LogBatch, NewRun, ParamChange, RecordCounts, Refusal, RunChange,
};
use crate::clock::Clock;
use crate::document::{Container, DocumentEdit, Scalar};
use crate::edit::{Edit, MAX_EDIT_BYTES};
use crate::ids::{BlobHash, DocumentId, DocumentKind, ExperimentId, RunId};
use crate::index::fields::{self, info};
use crate::rows::{
    DatasetInput, ExperimentRow, KeyValue, Lifecycle, ModelInput, ModelOutput, RunRow, lookup,
};

/// What an action that was carried out answers with, once its edits are applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Done,
    Experiment(ExperimentId),
    Run(RunId),
    Document(DocumentId),
    Records(RecordCounts),
    Trace(DocumentId),
    Count(u64),
}

/// The edits that carry out an action.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) edits: Vec<Edit>,
    pub(super) answer: Answer,
}

/// Refused by the domain, or stopped by a failure.
pub(super) type Planned<T = Plan> = Result<Result<T, Refusal>, StoreError>;

/// A plan that answers with nothing.
fn done(edits: Vec<Edit>) -> Planned {
    Ok(Ok(Plan { edits, answer: Answer::Done }))
}

/// The edits that carry out an action, and how many bytes they take in their stored form.
pub(super) fn plan(batch: &mut Batch<'_>, clock: Clock, action: Action) -> Planned<(Plan, usize)> {
    let planned = match action {
        Action::CreateExperiment { name, artifact_location, tags, description } => {
            create_experiment(batch, clock, &name, artifact_location, &tags, description)
        }
        Action::UpdateExperiment { id, change } => update_experiment(batch, clock, id, change),
        Action::CreateRun(new) => create_run(batch, &new),
        Action::UpdateRun { id, change } => update_run(batch, id, &change),
        Action::SetRunDeleted { id, deleted } => set_run_deleted(batch, clock, id, deleted),
        Action::Log(log) => plan_log(batch, log),
        Action::DeleteRunTag { id, key } => delete_run_tag(batch, id, key),
        Action::LogInputs { id, datasets, models } => log_inputs(batch, id, &datasets, &models),
        Action::LogOutputs { id, models } => log_outputs(batch, id, &models),
        Action::CreateLoggedModel(new) => logged_models::create(batch, clock, &new),
        Action::UpdateLoggedModel { document, change } => {
            logged_models::update(batch, clock, document, &change)
        }
        Action::CreateDataset(new) => evaluation::create_dataset(clock, &new),
        Action::UpdateDataset { document, change } => {
            evaluation::update_dataset(batch, clock, document, change)
        }
        Action::ChangeScorer(action) => evaluation::change_scorer(batch, clock, action),
        Action::PutArtifact { owner, path, blob, size } => {
            put_artifact(batch, owner, path, blob, size)
        }
        Action::LogSpans(parts) => traces::log_spans(batch, parts),
        Action::LogTrace(part) => traces::log_trace(batch, clock, *part),
        Action::ChangeTrace { trace, change } => traces::change_trace(batch, trace, change),
        Action::DeleteTraces(wanted) => traces::delete_traces(batch, &wanted),
        Action::RemoveArtifacts { owner, path } => remove_artifacts(batch, owner, &path),
        Action::Model { action, author } => {
            models::plan(batch.documents()?, clock, *action, *author)
        }
        Action::Settle { document, container, key, value } => {
            settle(batch, clock, document, container, &key, value)
        }
        Action::SetSetting { key, value } => set_setting(batch, key, value.as_deref()),
    }?;
    Ok(planned.and_then(check_size))
}

/// The most that the edits of one action take: they are durable together, in one group of the log.
const MAX_ACTION_BYTES: usize = 40 << 20;

fn check_size(plan: Plan) -> Result<(Plan, usize), Refusal> {
    let what = "what was asked for";
    let mut total = 0;
    for edit in &plan.edits {
        let bytes = edit.stored_bytes();
        if bytes > MAX_EDIT_BYTES {
            return Err(Refusal::TooLarge { what, bytes, limit: MAX_EDIT_BYTES });
        }
        total += bytes;
    }
    match total {
        total if total > MAX_ACTION_BYTES => {
            Err(Refusal::TooLarge { what, bytes: total, limit: MAX_ACTION_BYTES })
        }
        total => Ok((plan, total)),
    }
}

fn create_experiment(
    batch: &mut Batch<'_>,
    clock: Clock,
    name: &str,
    artifact_location: Option<String>,
    tags: &[KeyValue],
    description: Option<String>,
) -> Planned {
    if let Some(refusal) = name_taken(batch, name)? {
        return Ok(Err(refusal));
    }
    let mut generation = 0;
    let (document, id) = loop {
        let document = DocumentId::experiment(name, generation);
        let id = document.as_experiment().expect("the document of an experiment");
        if batch.experiment(id)?.is_none() {
            break (document, id);
        }
        // An earlier one of the name was renamed and keeps its document.
        generation += 1;
    };
    let mut edit = DocumentEdit { puts: Vec::new(), description };
    edit.set(Container::Info, info::NAME, name);
    edit.set(Container::Info, info::LIFECYCLE, Lifecycle::Active.as_str());
    edit.set(Container::Info, info::CREATED, clock.0 as i64);
    edit.set(Container::Info, info::UPDATED_MS, clock.millis() as i64);
    if let Some(location) = artifact_location {
        edit.set(Container::Info, info::ARTIFACT_LOCATION, location.as_str());
    }
    set_pairs(&mut edit, Container::Tags, tags);
    let edits = vec![Edit::Document { document, edit }];
    Ok(Ok(Plan { edits, answer: Answer::Experiment(id) }))
}

fn name_taken(batch: &mut Batch<'_>, name: &str) -> Result<Option<Refusal>, StoreError> {
    let Some(holder) = batch.experiment_by_name(name)? else { return Ok(None) };
    let row = batch.experiment(holder)?;
    let deleted = row.is_some_and(|row| row.lifecycle == Lifecycle::Deleted);
    Ok(Some(Refusal::ExperimentNameTaken { name: name.to_owned(), deleted }))
}

fn update_experiment(
    batch: &mut Batch<'_>,
    clock: Clock,
    id: ExperimentId,
    change: ExperimentChange,
) -> Planned {
    let Some(row) = batch.experiment(id)?.cloned() else {
        return Ok(Err(Refusal::NoSuchExperiment(id)));
    };
    let wanted = match change {
        ExperimentChange::Restore => Lifecycle::Deleted,
        _ => Lifecycle::Active,
    };
    if row.lifecycle != wanted {
        return Ok(Err(Refusal::WrongExperimentState { id, is: row.lifecycle }));
    }
    if let ExperimentChange::Rename(name) = &change
        && *name != row.name
        && let Some(refusal) = name_taken(batch, name)?
    {
        return Ok(Err(refusal));
    }
    let edit = match experiment_edit(&row, clock, &change) {
        Ok(edit) => edit,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let mut edits = vec![Edit::Document { document: row.document, edit }];
    if matches!(change, ExperimentChange::Delete | ExperimentChange::Restore) {
        // MLflow's rule: the runs go with their experiment and all come back with it.
        let deleted = change == ExperimentChange::Delete;
        for run in batch.runs_of(id)? {
            let stays = batch.run(&run)?.is_none_or(|row| is_deleted(row) == deleted);
            edits.extend((!stays).then(|| lifecycle_edit(run, clock, deleted)));
        }
    }
    Ok(Ok(Plan { edits, answer: Answer::Experiment(id) }))
}

fn experiment_edit(
    row: &ExperimentRow,
    clock: Clock,
    change: &ExperimentChange,
) -> Result<DocumentEdit, Refusal> {
    let mut edit = DocumentEdit::default();
    match change {
        ExperimentChange::Rename(name) => edit.set(Container::Info, info::NAME, name.as_str()),
        ExperimentChange::Delete => {
            edit.set(Container::Info, info::LIFECYCLE, Lifecycle::Deleted.as_str());
        }
        ExperimentChange::Restore => {
            edit.set(Container::Info, info::LIFECYCLE, Lifecycle::Active.as_str());
        }
        ExperimentChange::SetTag(tag) => {
            edit.set(Container::Tags, &tag.key, tag.value.as_str());
            return Ok(edit);
        }
        ExperimentChange::DeleteTag(key) => {
            if lookup(&row.tags, key).is_none() {
                let (document, key) = (row.document, key.clone());
                return Err(Refusal::NoSuchTag { document, key });
            }
            edit.delete(Container::Tags, key);
            return Ok(edit);
        }
        ExperimentChange::Describe(text) => {
            edit.description = Some(text.clone());
            return Ok(edit);
        }
    }
    edit.set(Container::Info, info::UPDATED_MS, clock.millis() as i64);
    Ok(edit)
}

fn active_experiment<'a>(batch: &'a mut Batch<'_>, id: ExperimentId) -> Planned<&'a ExperimentRow> {
    let Some(experiment) = batch.experiment(id)? else {
        return Ok(Err(Refusal::NoSuchExperiment(id)));
    };
    if experiment.lifecycle != Lifecycle::Active {
        return Ok(Err(Refusal::WrongExperimentState { id, is: experiment.lifecycle }));
    }
    Ok(Ok(experiment))
}

fn create_run(batch: &mut Batch<'_>, new: &NewRun) -> Planned {
    let experiment = match active_experiment(batch, new.experiment)? {
        Ok(experiment) => experiment,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let reference = experiment.document.reference();
    let mut edit = DocumentEdit { puts: Vec::new(), description: new.description.clone() };
    edit.set(Container::Info, info::EXPERIMENT, reference.as_str());
    edit.set(Container::Info, info::NAME, new.name.as_str());
    edit.set(Container::Info, info::USER, new.user.as_str());
    edit.set(Container::Info, info::STATUS, crate::rows::RunStatus::Running.as_str());
    edit.set(Container::Info, info::START_MS, new.start_ms);
    set_pairs(&mut edit, Container::Tags, &new.tags);
    let edits = vec![Edit::Document { document: DocumentId::run(new.id), edit }];
    Ok(Ok(Plan { edits, answer: Answer::Run(new.id) }))
}

fn set_pairs(edit: &mut DocumentEdit, container: Container, pairs: &[KeyValue]) {
    for pair in pairs {
        edit.set(container, &pair.key, pair.value.as_str());
    }
}

fn is_deleted(row: &RunRow) -> bool {
    row.lifecycle == Lifecycle::Deleted
}

fn known_run<'a>(batch: &'a mut Batch<'_>, id: RunId) -> Planned<&'a RunRow> {
    let known = batch.run(&id)?.filter(|row| row.experiment != ExperimentId::NONE);
    Ok(known.ok_or(Refusal::NoSuchRun(id)))
}

fn active_run<'a>(batch: &'a mut Batch<'_>, id: RunId) -> Planned<&'a RunRow> {
    let row = known_run(batch, id)?;
    Ok(row.and_then(|row| if is_deleted(row) { Err(Refusal::RunDeleted(id)) } else { Ok(row) }))
}

fn change_run(edit: &mut DocumentEdit, change: &RunChange) {
    if let Some(name) = &change.name {
        edit.set(Container::Info, info::NAME, name.as_str());
    }
    if let Some(status) = change.status {
        edit.set(Container::Info, info::STATUS, status.as_str());
    }
    if let Some(end_ms) = change.end_ms {
        edit.set(Container::Info, info::END_MS, end_ms);
    }
    edit.description.clone_from(&change.description);
}

fn run_edit(id: RunId, edit: DocumentEdit) -> Option<Edit> {
    let changes = !edit.puts.is_empty() || edit.description.is_some();
    changes.then(|| Edit::Document { document: DocumentId::run(id), edit })
}

fn update_run(batch: &mut Batch<'_>, id: RunId, change: &RunChange) -> Planned {
    if let Err(refusal) = active_run(batch, id)? {
        return Ok(Err(refusal));
    }
    let mut edit = DocumentEdit::default();
    change_run(&mut edit, change);
    Ok(Ok(Plan { edits: run_edit(id, edit).into_iter().collect(), answer: Answer::Run(id) }))
}

fn set_run_deleted(batch: &mut Batch<'_>, clock: Clock, id: RunId, deleted: bool) -> Planned {
    match known_run(batch, id)? {
        Err(refusal) => Ok(Err(refusal)),
        Ok(row) if is_deleted(row) == deleted => done(Vec::new()),
        Ok(_) => done(vec![lifecycle_edit(id, clock, deleted)]),
    }
}

fn lifecycle_edit(run: RunId, clock: Clock, deleted: bool) -> Edit {
    let mut edit = DocumentEdit::default();
    let lifecycle = if deleted { Lifecycle::Deleted } else { Lifecycle::Active };
    edit.set(Container::Info, info::LIFECYCLE, lifecycle.as_str());
    if deleted {
        edit.set(Container::Info, info::DELETED_MS, clock.millis() as i64);
    } else {
        edit.delete(Container::Info, info::DELETED_MS);
    }
    Edit::Document { document: DocumentId::run(run), edit }
}

fn plan_log(batch: &mut Batch<'_>, log: LogBatch) -> Planned {
    let run = log.run;
    let row = match active_run(batch, run)? {
        Ok(row) => row,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let mut edit = DocumentEdit::default();
    let mut changes = Vec::new();
    for param in &log.params {
        match row.param(&param.key) {
            None => edit.set(Container::Params, &param.key, param.value.as_str()),
            Some(held) if *held == param.value => {}
            Some(held) => changes.push(ParamChange {
                key: param.key.clone(),
                old: held.to_owned(),
                new: param.value.clone(),
            }),
        }
    }
    if !changes.is_empty() {
        return Ok(Err(Refusal::ParamsChanged { run, changes }));
    }
    set_pairs(&mut edit, Container::Tags, &log.tags);
    change_run(&mut edit, &log.change);
    let points = (!log.metrics.is_empty()).then_some(Edit::Points { run, metrics: log.metrics });
    done(run_edit(run, edit).into_iter().chain(points).collect())
}

fn delete_run_tag(batch: &mut Batch<'_>, id: RunId, key: String) -> Planned {
    let row = match active_run(batch, id)? {
        Ok(row) => row,
        Err(refusal) => return Ok(Err(refusal)),
    };
    if row.tag(&key).is_none() {
        return Ok(Err(Refusal::NoSuchTag { document: DocumentId::run(id), key }));
    }
    let mut edit = DocumentEdit::default();
    edit.delete(Container::Tags, &key);
    done(run_edit(id, edit).into_iter().collect())
}

fn log_inputs(
    batch: &mut Batch<'_>,
    id: RunId,
    datasets: &[DatasetInput],
    models: &[ModelInput],
) -> Planned {
    let row = match active_run(batch, id)? {
        Ok(row) => row,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let mut edit = DocumentEdit::default();
    let mut held: HashSet<_> = row.datasets.iter().map(identity).collect();
    for dataset in datasets {
        let position = held.len();
        // Of two that are one, the first counts.
        if held.insert(identity(dataset)) {
            fields::put_dataset(&mut edit, position, dataset);
        }
    }
    for model in models {
        fields::put_model_input(&mut edit, model);
    }
    done(run_edit(id, edit).into_iter().collect())
}

/// What makes two datasets one.
fn identity(dataset: &DatasetInput) -> (&str, &str) {
    (&dataset.name, &dataset.digest)
}

fn log_outputs(batch: &mut Batch<'_>, id: RunId, models: &[ModelOutput]) -> Planned {
    if let Err(refusal) = active_run(batch, id)? {
        return Ok(Err(refusal));
    }
    let mut edit = DocumentEdit::default();
    for model in models {
        fields::put_model_output(&mut edit, model);
    }
    done(run_edit(id, edit).into_iter().collect())
}

/// The workspace needs no check: it is always there.
fn owner_exists(batch: &mut Batch<'_>, owner: DocumentId) -> Planned<()> {
    match owner.kind() {
        Some(DocumentKind::Workspace) => Ok(Ok(())),
        Some(DocumentKind::Run) => {
            let run = owner.as_run().expect("the kind is a run's");
            Ok(known_run(batch, run)?.map(|_| ()))
        }
        _ => {
            let row = batch.documents()?.row(&owner)?;
            Ok(row.map(|_| ()).ok_or(Refusal::NoSuchDocument(owner)))
        }
    }
}

fn put_artifact(
    batch: &mut Batch<'_>,
    owner: DocumentId,
    path: String,
    blob: BlobHash,
    size: u64,
) -> Planned {
    if let Err(refusal) = owner_exists(batch, owner)? {
        return Ok(Err(refusal));
    }
    if batch.stands_below(owner, &path)? {
        let taken = format!("{path}/");
        return Ok(Err(Refusal::PathTaken { path, taken }));
    }
    for (at, _) in path.match_indices('/') {
        if batch.stands_at(owner, &path[..at])? {
            let taken = path[..at].to_owned();
            return Ok(Err(Refusal::PathTaken { path, taken }));
        }
    }
    done(vec![Edit::Artifact { owner, path, content: Some((blob, size)) }])
}

fn remove_artifacts(batch: &mut Batch<'_>, owner: DocumentId, path: &str) -> Planned {
    let removal = |path| Edit::Artifact { owner, path, content: None };
    done(batch.artifact_paths(owner, path)?.into_iter().map(removal).collect())
}

fn settle(
    batch: &mut Batch<'_>,
    clock: Clock,
    document: DocumentId,
    container: Container,
    key: &str,
    value: Scalar,
) -> Planned {
    if let Some(run) = document.as_run() {
        if let Err(refusal) = known_run(batch, run)? {
            return Ok(Err(refusal));
        }
        if (container, key) == (Container::Info, info::LIFECYCLE) {
            let deleted = value.as_text() == Some(Lifecycle::Deleted.as_str());
            return done(vec![lifecycle_edit(run, clock, deleted)]);
        }
    } else if let Some(id) = document.as_experiment() {
        if batch.experiment(id)?.is_none() {
            return Ok(Err(Refusal::NoSuchExperiment(id)));
        }
    } else if batch.documents()?.row(&document)?.is_none() {
        return Ok(Err(Refusal::NoSuchDocument(document)));
    }
    let mut edit = DocumentEdit::default();
    edit.set(container, key, value);
    done(vec![Edit::Document { document, edit }])
}

fn set_setting(batch: &mut Batch<'_>, key: String, value: Option<&str>) -> Planned {
    let document = DocumentId::WORKSPACE;
    let mut edit = DocumentEdit::default();
    match value {
        Some(value) => edit.set(Container::Tags, &key, value),
        None => {
            let row = batch.documents()?.row(&document)?;
            if row.and_then(|row| row.text(Container::Tags, &key)).is_none() {
                return Ok(Err(Refusal::NoSuchTag { document, key }));
            }
            edit.delete(Container::Tags, &key);
        }
    }
    let edits = vec![Edit::Document { document, edit }];
    Ok(Ok(Plan { edits, answer: Answer::Document(document) }))
}
