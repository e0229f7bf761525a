//! Plans what clients ask of traces.

use super::{Answer, Plan, Planned, done};
use crate::action::{Refusal, TraceChange, TracesToDelete};
use crate::clock::Clock;
use crate::document::{Container, DocumentEdit};
use crate::edit::Edit;
use crate::ids::{DocumentId, ExperimentId};
use crate::rows::{Lifecycle, lookup};
use crate::store::batch::Batch;
use crate::trace::{TAKEN, TracePart, TraceState, is_trace_id, prompt_link, run_link};

/// The spans of one edit take about this many bytes at the most.
const PART_BYTES: usize = 1 << 20;

/// Parts of traces; the experiments they name must be there.
pub(super) fn log_spans(batch: &mut Batch<'_>, mut parts: Vec<TracePart>) -> Planned {
    for part in &mut parts {
        part.sort();
        if let Some(id) = part.experiment.as_experiment()
            && batch.experiment(id)?.is_none()
        {
            return Ok(Err(Refusal::NoSuchExperiment(id)));
        }
    }
    let split = parts.into_iter().flat_map(|part| part.split(PART_BYTES));
    done(split.map(Edit::Trace).collect())
}

/// What is said of a whole trace; its experiment must be active.
pub(super) fn log_trace(batch: &mut Batch<'_>, clock: Clock, mut part: TracePart) -> Planned {
    let id = part.experiment.as_experiment().unwrap_or(ExperimentId::NONE);
    let Some(row) = batch.experiment(id)? else {
        return Ok(Err(Refusal::NoSuchExperiment(id)));
    };
    if row.lifecycle == Lifecycle::Deleted {
        return Ok(Err(Refusal::WrongExperimentState { id, is: row.lifecycle }));
    }
    let document = part.document();
    for info in &mut part.infos {
        info.said = clock;
    }
    part.sort();
    if let Some(state) = batch.traces()?.state(&document)? {
        if state.deleted {
            return Ok(Err(Refusal::TraceDeleted(part.trace)));
        }
        // A client that heard no answer says it again.
        part.infos.retain(|info| !state.knows(info, part.experiment));
        if part.infos.is_empty() && part.spans.is_empty() {
            return Ok(Ok(Plan { edits: Vec::new(), answer: Answer::Trace(document) }));
        }
    }
    let edits = part.split(PART_BYTES).into_iter().map(Edit::Trace).collect();
    Ok(Ok(Plan { edits, answer: Answer::Trace(document) }))
}

/// Changes what is said of a trace in its document.
pub(super) fn change_trace(batch: &mut Batch<'_>, trace: String, change: TraceChange) -> Planned {
    let document = DocumentId::trace(&trace);
    let state = batch.traces()?.state(&document)?;
    // A link may come before the trace: clients send traces in the background.
    let may_come = matches!(change, TraceChange::LinkRun(_)) && is_trace_id(&trace);
    let (is_here, is_deleted) = (state.is_some(), state.is_some_and(|state| state.deleted));
    if is_deleted || !(is_here || may_come) {
        return Ok(Err(Refusal::NoSuchTrace(trace)));
    }
    let mut edit = DocumentEdit::default();
    match change {
        TraceChange::SetTag(tag) => edit.set(Container::Tags, &tag.key, tag.value.as_str()),
        TraceChange::DeleteTag(key) => {
            let row = batch.trace(&trace)?.cloned().map(TraceState::into_row);
            if row.is_none_or(|row| lookup(&row.tags, &key).is_none()) {
                return Ok(Err(Refusal::NoSuchTag { document, key }));
            }
            // It may have come with the trace, which stays as it is.
            edit.set(Container::Tags, &key, TAKEN);
        }
        TraceChange::Assess(assessments) => {
            for (id, json) in assessments {
                match json {
                    Some(json) => edit.set(Container::ASSESSMENTS, &id, json.as_str()),
                    None => edit.set(Container::ASSESSMENTS, &id, TAKEN),
                }
            }
        }
        TraceChange::LinkRun(run) => {
            if batch.run(&run)?.is_none() {
                return Ok(Err(Refusal::NoSuchRun(run)));
            }
            edit.set(Container::LINKS, &run_link(&run), "");
        }
        TraceChange::LinkPrompts(prompts) => {
            prompts.iter().for_each(|name| edit.set(Container::LINKS, &prompt_link(name), ""));
        }
    }
    let edits = if edit.puts.is_empty() { vec![] } else { vec![Edit::Document { document, edit }] };
    let answer = if is_here { Answer::Trace(document) } else { Answer::Done };
    Ok(Ok(Plan { edits, answer }))
}

/// Deletes traces of an experiment for good.
pub(super) fn delete_traces(batch: &mut Batch<'_>, wanted: &TracesToDelete) -> Planned {
    let until_ms = wanted.until_ms.unwrap_or(i64::MAX);
    let found = if wanted.ids.is_empty() {
        batch.traces()?.started_until(wanted.experiment, until_ms)?
    } else {
        let mut named = Vec::new();
        for id in &wanted.ids {
            let Some(state) = batch.trace(id)? else { continue };
            let row = state.clone().into_row();
            if row.experiment == wanted.experiment && row.start_ms <= until_ms {
                named.push((row.start_ms, row.id));
            }
        }
        named.sort_unstable();
        named.dedup();
        named
    };
    let experiment = batch.experiment(wanted.experiment)?.map(|row| row.document);
    let Some(experiment) = experiment else {
        return Ok(Ok(Plan { edits: Vec::new(), answer: Answer::Count(0) }));
    };
    let deleted = |(_, id)| TracePart { deleted: true, ..TracePart::new(id, experiment) };
    let limit = wanted.limit.unwrap_or(usize::MAX);
    let edits: Vec<_> = found.into_iter().take(limit).map(deleted).map(Edit::Trace).collect();
    let count = edits.len() as u64;
    Ok(Ok(Plan { edits, answer: Answer::Count(count) }))
}
