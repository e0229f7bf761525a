//! What a trace is: what comes of the set of its parts and of the document about it.
//!
//! Invariants: taking in a part twice is as once, and the order in which parts are taken in does not
//! matter. So whatever is kept of a part is a set with a rule which of its members counts: the
//! greatest. What the spans come to is worked out anew from all of them when one is added.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use super::{
    EncodedSpan, Figure, MAX_INFOS, Span, SpanId, SpanStatus, TraceInfo, TracePart, TraceStatus,
};
use crate::document::{Container, Scalar};
use crate::ids::{DocumentId, ExperimentId, RunId};
use crate::rows::{DocumentRow, KeyValue, TraceRow};

/// All that is known of a trace, but for its spans.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TraceState {
    /// Its id, which the client chose.
    pub trace: String,
    /// Whether it is deleted, for good.
    pub deleted: bool,
    /// The lowest of the experiments that it was logged to.
    experiment: Option<DocumentId>,
    /// What was said of it as a whole and for which experiment, in order of weight.
    infos: Vec<(TraceInfo, DocumentId)>,
    request_preview: Option<String>,
    response_preview: Option<String>,
    metadata: Vec<KeyValue>,
    tags: Vec<KeyValue>,
    spans: SpansSeen,
    later: Later,
}

/// What the spans of a trace come to.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct SpansSeen {
    count: u32,
    start_ms: i64,
    end_ms: Option<i64>,
    /// How the first step ended that is part of no other.
    status: TraceStatus,
    figures: Vec<Figure>,
}

/// What was said of a trace after it was written: its document. None takes away what came before.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Later {
    tags: Vec<(String, Option<String>)>,
    assessments: Vec<(String, Option<String>)>,
    runs: Vec<RunId>,
    prompts: Vec<String>,
}

/// Keys of the map `links` of a trace's document.
const RUN_LINK: &str = "run/";
const PROMPT_LINK: &str = "prompt/";

/// The key under which a trace's document names a run.
pub(crate) fn run_link(run: &RunId) -> String {
    format!("{RUN_LINK}{run}")
}

/// The key under which a trace's document names a version of a prompt.
pub(crate) fn prompt_link(prompt: &str) -> String {
    format!("{PROMPT_LINK}{prompt}")
}

impl TraceState {
    /// A trace of which nothing is known but its id.
    pub(crate) fn unknown(trace: String) -> Self {
        Self {
            trace,
            deleted: false,
            experiment: None,
            infos: Vec::new(),
            request_preview: None,
            response_preview: None,
            metadata: Vec::new(),
            tags: Vec::new(),
            spans: SpansSeen::default(),
            later: Later::default(),
        }
    }

    /// The document that names it.
    pub fn document(&self) -> DocumentId {
        DocumentId::trace(&self.trace)
    }

    /// Takes in all of a part but its spans.
    pub(crate) fn take(&mut self, part: &TracePart) {
        if self.deleted {
            return;
        }
        if part.deleted {
            *self = Self { deleted: true, ..Self::unknown(std::mem::take(&mut self.trace)) };
            return;
        }
        let experiment = part.experiment;
        self.experiment = Some(self.experiment.map_or(experiment, |held| held.min(experiment)));
        for info in &part.infos {
            let weight = (info.weight(), experiment);
            let place = self.infos.partition_point(|(held, of)| (held.weight(), *of) < weight);
            if self.infos.get(place).is_none_or(|(held, of)| (held.weight(), *of) != weight) {
                self.infos.insert(place, (info.clone(), experiment));
            }
        }
        let surplus = self.infos.len().saturating_sub(MAX_INFOS);
        self.infos.drain(..surplus);
        self.request_preview = self.request_preview.take().max(part.request_preview.clone());
        self.response_preview = self.response_preview.take().max(part.response_preview.clone());
        take_greatest(&mut self.metadata, &part.metadata);
        take_greatest(&mut self.tags, &part.tags);
    }

    /// Notes what all of the spans come to.
    pub(crate) fn see_spans(&mut self, spans: &[Span]) {
        let ms = |ns: u64| (ns / 1_000_000) as i64;
        let first = spans.iter().filter(|span| span.is_root()).min_by_key(|s| (s.start_ns, s.id));
        let status = first.filter(|span| span.end_ns > 0).map(|span| match span.status {
            SpanStatus::Error => TraceStatus::Error,
            SpanStatus::Unset | SpanStatus::Ok => TraceStatus::Ok,
        });
        self.spans = SpansSeen {
            count: spans.len() as u32,
            start_ms: spans.iter().map(|span| ms(span.start_ns)).min().unwrap_or_default(),
            end_ms: spans.iter().map(|span| ms(span.end_ns)).max().filter(|end| *end > 0),
            status: status.unwrap_or_default(),
            figures: figures(spans),
        };
    }

    /// Notes what the document about the trace says.
    pub(crate) fn overlay(&mut self, row: &DocumentRow) {
        let map = |container: Container| {
            let pairs = row.map(container).iter();
            pairs.map(|(key, value)| (key.clone(), value.as_text().map(str::to_owned))).collect()
        };
        let links = || row.map(Container::LINKS).iter().filter(|(_, value)| **value != TAKEN);
        let runs = links().filter_map(|(key, _)| key.strip_prefix(RUN_LINK)?.parse().ok());
        let prompts = links().filter_map(|(key, _)| key.strip_prefix(PROMPT_LINK));
        self.later = Later {
            tags: map(Container::Tags),
            assessments: map(Container::ASSESSMENTS),
            runs: runs.collect(),
            prompts: prompts.map(str::to_owned).collect(),
        };
    }

    /// Parts that say all of this, but for what the document says.
    pub(crate) fn to_parts(&self, spans: Vec<EncodedSpan>) -> Vec<TracePart> {
        let mut parts: Vec<TracePart> = Vec::new();
        let fallback = || TracePart::new(self.trace.clone(), DocumentId::experiment("", 0));
        if self.deleted {
            return vec![TracePart { deleted: true, ..fallback() }];
        }
        if let Some(experiment) = self.experiment {
            parts.push(TracePart::new(self.trace.clone(), experiment));
        }
        for (info, experiment) in &self.infos {
            let mut part = TracePart::new(self.trace.clone(), *experiment);
            part.infos.push(info.clone());
            parts.push(part);
        }
        if let Some(first) = parts.first_mut() {
            first.request_preview.clone_from(&self.request_preview);
            first.response_preview.clone_from(&self.response_preview);
            first.metadata.clone_from(&self.metadata);
            first.tags.clone_from(&self.tags);
            first.spans = spans;
        }
        parts
    }

    /// Whether an info says what is known already.
    pub(crate) fn knows(&self, info: &TraceInfo, experiment: DocumentId) -> bool {
        self.infos.iter().any(|(held, of)| *of == experiment && held.says_the_same_as(info))
    }

    /// The trace as readers see it.
    pub(crate) fn into_row(self) -> TraceRow {
        let number = |experiment: DocumentId| experiment.as_experiment();
        let mut row = TraceRow {
            experiment: self.experiment.and_then(number).unwrap_or(ExperimentId::NONE),
            status: self.spans.status,
            start_ms: self.spans.start_ms,
            duration_ms: self.spans.end_ms.map(|end| end - self.spans.start_ms),
            client_request_id: None,
            request_preview: self.request_preview,
            response_preview: self.response_preview,
            metadata: self.metadata,
            tags: self.tags,
            assessments: Vec::new(),
            runs: self.later.runs,
            prompts: self.later.prompts,
            spans: self.spans.count,
            figures: self.spans.figures,
            id: self.trace,
        };
        if row.status == TraceStatus::Unknown {
            row.status = TraceStatus::InProgress;
        }
        for (info, experiment) in self.infos {
            row.experiment = number(experiment).unwrap_or(ExperimentId::NONE);
            row.start_ms = info.start_ms;
            row.duration_ms = info.duration_ms;
            // Who said that the trace goes on may not have seen how its first step ended.
            if info.status.has_ended() || !self.spans.status.has_ended() {
                row.status = info.status;
            }
            row.client_request_id = info.client_request_id.or(row.client_request_id);
            row.request_preview = info.request_preview.or(row.request_preview);
            row.response_preview = info.response_preview.or(row.response_preview);
            put_all(&mut row.metadata, info.metadata);
            put_all(&mut row.tags, info.tags);
            put_all(&mut row.assessments, info.assessments);
        }
        put_later(&mut row.tags, self.later.tags);
        put_later(&mut row.assessments, self.later.assessments);
        row
    }
}

/// What stands in a trace's document where something was taken away that came with the trace.
pub(crate) const TAKEN: Scalar = Scalar::Integer(0);

/// Of two values of a key the greater counts: any rule would do that does not ask for the order.
pub(super) fn take_greatest(held: &mut Vec<KeyValue>, more: &[KeyValue]) {
    for pair in more {
        match held.binary_search_by(|have| have.key.cmp(&pair.key)) {
            Ok(at) if held[at].value < pair.value => held[at].value.clone_from(&pair.value),
            Ok(_) => {}
            Err(at) => held.insert(at, pair.clone()),
        }
    }
}

fn put_all(held: &mut Vec<KeyValue>, more: Vec<KeyValue>) {
    if held.is_empty() {
        *held = more;
        return;
    }
    for pair in more {
        put(held, pair.key, Some(pair.value));
    }
}

fn put_later(held: &mut Vec<KeyValue>, later: Vec<(String, Option<String>)>) {
    for (key, value) in later {
        put(held, key, value);
    }
}

fn put(held: &mut Vec<KeyValue>, key: String, value: Option<String>) {
    match (held.binary_search_by(|have| have.key.cmp(&key)), value) {
        (Ok(at), Some(value)) => held[at].value = value,
        (Ok(at), None) => drop(held.remove(at)),
        (Err(at), Some(value)) => held.insert(at, KeyValue { key, value }),
        (Err(_), None) => {}
    }
}

/// The sums of what the steps count. A step counts for all steps below it, so of two steps of
/// which one is below the other only the upper one is counted, group by group.
fn figures(spans: &[Span]) -> Vec<Figure> {
    let by_id: HashMap<SpanId, &Span> = spans.iter().map(|span| (span.id, span)).collect();
    let counts = |span: &Span, group: &str| span.figures.iter().any(|f| f.group == group);
    let counted_above = |span: &Span, group: &str| {
        let mut at = span;
        // No way up is longer than there are spans, unless it goes in a circle.
        for _ in 0..spans.len() {
            let Some(parent) = by_id.get(&at.parent) else { return false };
            if counts(parent, group) {
                return true;
            }
            at = parent;
        }
        true
    };
    let mut sums: BTreeMap<(&str, &str), f64> = BTreeMap::new();
    for span in spans.iter().filter(|span| !span.figures.is_empty()) {
        for same in span.figures.chunk_by(|a, b| a.group == b.group) {
            if counted_above(span, &same[0].group) {
                continue;
            }
            for figure in same {
                *sums.entry((&figure.group, &figure.name)).or_default() += figure.value;
            }
        }
    }
    let figure = |((group, name), value): ((&str, &str), f64)| Figure {
        group: group.to_owned(),
        name: name.to_owned(),
        value,
    };
    sums.into_iter().map(figure).collect()
}
