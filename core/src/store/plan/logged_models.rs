//! Plans what is asked of logged models.

use super::{Answer, Plan, Planned, set_pairs};
use crate::action::{LoggedModelChange, NewLoggedModel, ParamChange, Refusal};
use crate::clock::Clock;
use crate::document::{Container, DocumentEdit};
use crate::edit::Edit;
use crate::ids::DocumentId;
use crate::index::fields::info;
use crate::rows::{DocumentRow, KeyValue, Lifecycle, LoggedModel, ModelStatus};
use crate::store::batch::Batch;

pub(super) fn create(batch: &mut Batch<'_>, clock: Clock, new: &NewLoggedModel) -> Planned {
    let experiment = match super::active_experiment(batch, new.experiment)? {
        Ok(experiment) => experiment.document,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let mut edit = DocumentEdit::default();
    let texts = [
        (info::EXPERIMENT, experiment.reference().as_str()),
        (info::NAME, &new.name),
        (info::MODEL_TYPE, &new.model_type),
        (info::SOURCE_RUN, &new.source_run),
        (info::STATUS, ModelStatus::Pending.as_str()),
    ]
    .map(|(key, text)| (key, text.to_owned()));
    for (key, text) in texts.iter().filter(|(_, text)| !text.is_empty()) {
        edit.set(Container::Info, key, text.as_str());
    }
    edit.set(Container::Info, info::CREATED, clock.0 as i64);
    edit.set(Container::Info, info::UPDATED_MS, clock.millis() as i64);
    if let Err(refusal) = log_params(&mut edit, new.document, None, &new.params) {
        return Ok(Err(refusal));
    }
    set_pairs(&mut edit, Container::Tags, &new.tags);
    Ok(Ok(plan(new.document, edit)))
}

pub(super) fn update(
    batch: &mut Batch<'_>,
    clock: Clock,
    document: DocumentId,
    change: &LoggedModelChange,
) -> Planned {
    let row = batch.documents()?.row(&document)?;
    let Some(row) = row.filter(|row| LoggedModel::of(row).is_some()) else {
        return Ok(Err(Refusal::NoSuchDocument(document)));
    };
    let mut edit = DocumentEdit::default();
    match change {
        LoggedModelChange::SetStatus(status) => {
            edit.set(Container::Info, info::STATUS, status.as_str());
            edit.set(Container::Info, info::UPDATED_MS, clock.millis() as i64);
        }
        LoggedModelChange::LogParams(params) => {
            if let Err(refusal) = log_params(&mut edit, document, Some(row), params) {
                return Ok(Err(refusal));
            }
        }
        LoggedModelChange::SetTags(tags) => set_pairs(&mut edit, Container::Tags, tags),
        LoggedModelChange::DeleteTag(key) => {
            if row.text(Container::Tags, key).is_none() {
                return Ok(Err(Refusal::NoSuchTag { document, key: key.clone() }));
            }
            edit.delete(Container::Tags, key);
        }
        LoggedModelChange::Delete => {
            edit.set(Container::Info, info::LIFECYCLE, Lifecycle::Deleted.as_str());
            edit.set(Container::Info, info::UPDATED_MS, clock.millis() as i64);
        }
    }
    Ok(Ok(plan(document, edit)))
}

/// Params are written once: the same value again is no error, for a client may not have heard
/// the first answer.
fn log_params(
    edit: &mut DocumentEdit,
    document: DocumentId,
    row: Option<&DocumentRow>,
    params: &[KeyValue],
) -> Result<(), Refusal> {
    let mut changes = Vec::new();
    for (at, param) in params.iter().enumerate() {
        let before = params[..at].iter().find(|before| before.key == param.key);
        let held = row.and_then(|row| row.text(Container::Params, &param.key));
        match held.or(before.map(|before| before.value.as_str())) {
            None => edit.set(Container::Params, &param.key, param.value.as_str()),
            Some(old) if old == param.value => {}
            Some(old) => changes.push(ParamChange {
                key: param.key.clone(),
                old: old.to_owned(),
                new: param.value.clone(),
            }),
        }
    }
    if changes.is_empty() { Ok(()) } else { Err(Refusal::ModelParamsChanged { document, changes }) }
}

/// The document as it is afterwards, whether or not that is a change.
fn plan(document: DocumentId, edit: DocumentEdit) -> Plan {
    let changes = !edit.puts.is_empty();
    let edits = changes.then_some(Edit::Document { document, edit }).into_iter().collect();
    Plan { edits, answer: Answer::Document(document) }
}
