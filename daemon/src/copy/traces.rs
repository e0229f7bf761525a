//! Traces of a run: their spans, facts, tags, assessments and files.
//!
//! Invariants: a trace that is deleted in the other workspace is for good, and not copied again;
//! what people have said of the copy there stays, unless the same was said anew of the original
//! since. Links to prompts stay behind, as the registry does.

use futures_util::{StreamExt, TryStreamExt, stream};
use runmesh_core::action::{Action, Refusal, TraceChange};
use runmesh_core::ids::{DocumentId, RunId};
use runmesh_core::rows::{KeyValue, TraceRow, lookup};
use runmesh_core::store::Snapshot;
use runmesh_core::trace::{EncodedSpan, Span, TraceInfo, TracePart};

use super::files::Folder;
use super::{CopyError, Copying, Thing, pairs};
use crate::WriteError;
use crate::http::mlflow::traces as of_traces;

/// Traces that are copied at once: each waits for the disk, and many wait together.
const AT_ONCE: usize = 16;
/// About how many bytes of spans are logged at once: far less than one action may take.
const PART_BYTES: usize = 8 << 20;

impl Copying<'_> {
    /// Copies traces. Returns how many have copies there now.
    pub(super) async fn copy_traces(
        &self,
        traces: &[String],
        there: &Snapshot,
    ) -> Result<u64, CopyError> {
        let copies = stream::iter(traces.to_vec()).map(|trace| self.copy_trace(trace, there));
        let copies = copies.buffer_unordered(AT_ONCE);
        copies.try_fold(0, async |count, copied| Ok(count + u64::from(copied))).await
    }

    /// Copies a trace. Returns whether its copy is there.
    async fn copy_trace(&self, trace: String, there: &Snapshot) -> Result<bool, CopyError> {
        let Some(row) = self.source.trace(&trace)? else { return Ok(false) };
        let copy = self.names.trace(&trace);
        let held = there.trace(&copy)?;
        let experiment = self.experiment_document(row.experiment).await?;
        let written = match &held {
            None => self.create_trace(&row, &copy, experiment).await,
            Some(held) => self.add_to_trace(&row, held, experiment, there).await,
        };
        match written {
            Err(CopyError::Write(WriteError::Refused(
                Refusal::TraceDeleted(_) | Refusal::NoSuchTrace(_),
            ))) => return Ok(false),
            written => written?,
        }
        let linked = held.as_ref().map(|held| held.runs.as_slice()).unwrap_or_default();
        for run in self.linked_runs(&row).filter(|run| !linked.contains(run)) {
            self.say_of_trace(&copy, TraceChange::LinkRun(run)).await?;
        }
        self.copy_files(&self.folder_of_trace(&row, &copy, experiment), there).await?;
        Ok(true)
    }

    async fn create_trace(
        &self,
        row: &TraceRow,
        copy: &str,
        experiment: DocumentId,
    ) -> Result<(), CopyError> {
        let mut info = self.info_of(row);
        info.tags = self.first_tags(pairs(&row.tags), Thing::Trace(&row.id))?;
        let assessment = |said: &KeyValue| KeyValue::new(&said.key, self.assessment(&said.value));
        info.assessments = row.assessments.iter().map(assessment).collect();
        self.log_part(copy, experiment, Some(info), self.spans_of(&row.id)?).await
    }

    /// Adds to a copy what has come to be known of its original since.
    async fn add_to_trace(
        &self,
        row: &TraceRow,
        held: &TraceRow,
        experiment: DocumentId,
        there: &Snapshot,
    ) -> Result<(), CopyError> {
        let mut spans = self.spans_of(&row.id)?;
        let have = there.spans(&held.id)?;
        let have: Vec<EncodedSpan> = have.iter().map(Span::encode).collect();
        spans.retain(|new| !have.iter().any(|old| old.id() == new.id() && old.counts_over(new)));
        let info = Some(self.info_of(row)).filter(|info| *info != plain_info(held));
        if info.is_some() || !spans.is_empty() {
            self.log_part(&held.id, experiment, info, spans).await?;
        }
        for tag in self.tags(pairs(&row.tags), |key| held.tag(key).is_some()) {
            self.say_of_trace(&held.id, TraceChange::SetTag(tag)).await?;
        }
        let said = row.assessments.iter().filter_map(|said| {
            let new = self.assessment(&said.value);
            let old = lookup(&held.assessments, &said.key);
            let counts = old.is_none_or(|old| of_traces::assessed_since(&new, old));
            counts.then(|| (said.key.clone(), Some(new)))
        });
        let said: Vec<_> = said.collect();
        if !said.is_empty() {
            self.say_of_trace(&held.id, TraceChange::Assess(said)).await?;
        }
        Ok(())
    }

    /// Logs what is said of a whole trace and its spans, many of them in several parts.
    async fn log_part(
        &self,
        copy: &str,
        experiment: DocumentId,
        info: Option<TraceInfo>,
        spans: Vec<EncodedSpan>,
    ) -> Result<(), CopyError> {
        let mut whole = TracePart::new(copy.to_owned(), experiment);
        whole.infos.extend(info);
        whole.spans = spans;
        for part in whole.split(PART_BYTES) {
            let log = match part.infos.is_empty() {
                true => Action::LogSpans(vec![part]),
                false => Action::LogTrace(Box::new(part)),
            };
            self.to.workspace.act(log).await?;
        }
        Ok(())
    }

    async fn say_of_trace(&self, copy: &str, change: TraceChange) -> Result<(), CopyError> {
        let trace = copy.to_owned();
        self.to.workspace.act(Action::ChangeTrace { trace, change }).await?;
        Ok(())
    }

    /// What the copy's info says, but for tags and assessments.
    fn info_of(&self, row: &TraceRow) -> TraceInfo {
        let mut info = plain_info(row);
        for fact in &mut info.metadata {
            fact.value = self.names.named(&fact.value);
        }
        info
    }

    /// An assessment, which is JSON that names its trace.
    fn assessment(&self, json: &str) -> String {
        self.names.in_json(json).unwrap_or_else(|| json.to_owned())
    }

    fn spans_of(&self, trace: &str) -> Result<Vec<EncodedSpan>, CopyError> {
        let mut spans = self.source.spans(trace)?;
        spans.iter_mut().for_each(|span| self.names.in_span(span));
        Ok(spans.iter().map(Span::encode).collect())
    }

    /// The copies of the runs that a trace was linked to.
    fn linked_runs(&self, row: &TraceRow) -> impl Iterator<Item = RunId> {
        row.runs.iter().filter_map(|run| self.names.copied_run(&run.to_string()))
    }

    /// The files that clients keep with a trace are the workspace's own.
    fn folder_of_trace<'t>(
        &self,
        row: &'t TraceRow,
        copy: &str,
        experiment: DocumentId,
    ) -> Folder<'t> {
        let experiment = experiment.as_experiment().expect("it is an experiment's");
        let from = of_traces::folder(row.experiment, &row.id);
        let to = of_traces::folder(experiment, copy);
        Folder {
            of: Thing::Trace(&row.id),
            owners: (DocumentId::WORKSPACE, DocumentId::WORKSPACE),
            heads: (from.clone(), to.clone()),
            addresses: (from, to),
        }
    }
}

/// What a row says of a whole trace, but for its tags and assessments.
fn plain_info(row: &TraceRow) -> TraceInfo {
    TraceInfo {
        status: row.status,
        start_ms: row.start_ms,
        duration_ms: row.duration_ms,
        client_request_id: row.client_request_id.clone(),
        request_preview: row.request_preview.clone(),
        response_preview: row.response_preview.clone(),
        metadata: row.metadata.clone(),
        ..TraceInfo::default()
    }
}
