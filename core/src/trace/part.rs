//! A part of a trace: what one operation says of it.

use serde::{Deserialize, Serialize};

use super::state::take_greatest;
use super::{
    EncodedSpan, MAX_SPAN_BYTES, MAX_TEXT_BYTES, MAX_TRACE_ID_BYTES, TraceInfo, is_trace_id,
    put_pairs, read_pairs,
};
use crate::codec::{DecodeError, Reader, put_bytes, put_varint};
use crate::ids::{DocumentId, DocumentKind};
use crate::rows::KeyValue;

/// The most infos of one part. A trace has one or two.
pub const MAX_INFOS: usize = 64;
/// The most spans of one part.
pub const MAX_SPANS: usize = 1 << 16;

const DELETED: u8 = 1;
const REQUEST_PREVIEW: u8 = 2;
const RESPONSE_PREVIEW: u8 = 4;

/// What one operation says of a trace. Two parts say together what either says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TracePart {
    /// The trace's id, which the client chose.
    pub trace: String,
    /// The document of the experiment that the trace was logged to.
    pub experiment: DocumentId,
    /// Whether the trace is deleted, for good.
    pub deleted: bool,
    /// What is said of the whole trace, in order of weight.
    pub infos: Vec<TraceInfo>,
    /// What went in, cut short, as its first span has it; what an info says counts more.
    pub request_preview: Option<String>,
    /// What came out, likewise.
    pub response_preview: Option<String>,
    /// Metadata that came with the spans, sorted by key; what an info says counts more.
    pub metadata: Vec<KeyValue>,
    /// Tags that came with the spans, sorted by key; what an info says counts more.
    pub tags: Vec<KeyValue>,
    /// Spans, in order of their ids, each once.
    pub spans: Vec<EncodedSpan>,
}

impl TracePart {
    /// A part that says nothing yet.
    pub const fn new(trace: String, experiment: DocumentId) -> Self {
        Self {
            trace,
            experiment,
            deleted: false,
            infos: Vec::new(),
            request_preview: None,
            response_preview: None,
            metadata: Vec::new(),
            tags: Vec::new(),
            spans: Vec::new(),
        }
    }

    /// The document that names the trace.
    pub fn document(&self) -> DocumentId {
        DocumentId::trace(&self.trace)
    }

    /// About how many bytes it takes.
    pub fn bytes(&self) -> usize {
        let pair = |pair: &KeyValue| pair.key.len() + pair.value.len() + 4;
        let pairs = |pairs: &[KeyValue]| pairs.iter().map(pair).sum::<usize>();
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let info = |info: &TraceInfo| {
            let texts = [&info.client_request_id, &info.request_preview, &info.response_preview];
            let maps = [&info.metadata, &info.tags, &info.assessments];
            let texts = texts.into_iter().map(text).sum::<usize>();
            40 + texts + maps.into_iter().map(|map| pairs(map)).sum::<usize>()
        };
        self.trace.len()
            + 32
            + text(&self.request_preview)
            + text(&self.response_preview)
            + pairs(&self.metadata)
            + pairs(&self.tags)
            + self.infos.iter().map(info).sum::<usize>()
            + self.spans.iter().map(|span| span.as_bytes().len() + 4).sum::<usize>()
    }

    /// Says what another part of the same trace and experiment says, too.
    pub fn merge(&mut self, other: Self) {
        self.deleted |= other.deleted;
        self.infos.extend(other.infos);
        self.request_preview = self.request_preview.take().max(other.request_preview);
        self.response_preview = self.response_preview.take().max(other.response_preview);
        take_greatest(&mut self.metadata, &other.metadata);
        take_greatest(&mut self.tags, &other.tags);
        self.spans.extend(other.spans);
        self.sort();
    }

    /// Divides it into parts of about so many bytes at the most, if its spans allow it.
    pub fn split(mut self, bytes: usize) -> Vec<Self> {
        let spans = std::mem::take(&mut self.spans);
        let rest = Self::new(self.trace.clone(), self.experiment);
        let mut parts = vec![self];
        let mut held = parts[0].bytes();
        for span in spans {
            let length = span.as_bytes().len() + 4;
            let is_full = |part: &Self| {
                part.spans.len() == MAX_SPANS || (held + length > bytes && !part.spans.is_empty())
            };
            if parts.last().is_some_and(is_full) {
                parts.push(rest.clone());
                held = 0;
            }
            held += length;
            if let Some(part) = parts.last_mut() {
                part.spans.push(span);
            }
        }
        parts
    }

    /// Brings what it holds into the order of its signed form. Of one span said twice, what
    /// counts stays.
    pub fn sort(&mut self) {
        self.infos.sort_by_cached_key(TraceInfo::weight);
        self.infos.dedup();
        self.infos.drain(..self.infos.len().saturating_sub(MAX_INFOS));
        for pairs in [&mut self.metadata, &mut self.tags] {
            // Of two values the later counts, and it comes first after this.
            pairs.reverse();
            pairs.sort_by(|a, b| a.key.cmp(&b.key));
            pairs.dedup_by(|a, b| a.key == b.key);
        }
        self.spans.sort_by_key(EncodedSpan::id);
        self.spans.dedup_by(|later, held| {
            let same = later.id() == held.id();
            if same && !held.counts_over(later) {
                std::mem::swap(later, held);
            }
            same
        });
    }

    /// The signed form. What it holds must be in order: see [`Self::sort`].
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.bytes());
        put_bytes(&mut out, self.trace.as_bytes());
        out.extend_from_slice(self.experiment.id());
        let previews =
            [(REQUEST_PREVIEW, &self.request_preview), (RESPONSE_PREVIEW, &self.response_preview)];
        let mut flags = if self.deleted { DELETED } else { 0 };
        for (flag, text) in previews {
            flags |= if text.is_some() { flag } else { 0 };
        }
        out.push(flags);
        for text in previews.iter().filter_map(|(_, text)| text.as_ref()) {
            put_bytes(&mut out, text.as_bytes());
        }
        put_varint(&mut out, self.infos.len() as u64);
        self.infos.iter().for_each(|info| info.put(&mut out));
        put_pairs(&mut out, &self.metadata);
        put_pairs(&mut out, &self.tags);
        put_varint(&mut out, self.spans.len() as u64);
        self.spans.iter().for_each(|span| put_bytes(&mut out, span.as_bytes()));
        out
    }

    /// Reads the signed form.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        const WHAT: &str = "trace";
        let invalid = DecodeError::Invalid { what: WHAT };
        let mut reader = Reader::new(bytes);
        let trace = reader.text(MAX_TRACE_ID_BYTES, "trace id")?.to_owned();
        if !is_trace_id(&trace) {
            return Err(invalid);
        }
        let experiment = DocumentId::new(DocumentKind::Experiment, reader.array(WHAT)?);
        let flags = reader.u8(WHAT)?;
        if flags > DELETED | REQUEST_PREVIEW | RESPONSE_PREVIEW {
            return Err(invalid);
        }
        let mut preview = |flag: u8| match flags & flag {
            0 => Ok(None),
            _ => reader.text(MAX_TEXT_BYTES, WHAT).map(|text| Some(text.to_owned())),
        };
        let (request_preview, response_preview) =
            (preview(REQUEST_PREVIEW)?, preview(RESPONSE_PREVIEW)?);
        let mut infos: Vec<TraceInfo> = Vec::new();
        for _ in 0..reader.length(MAX_INFOS, "trace infos")? {
            let info = TraceInfo::read(&mut reader)?;
            if infos.last().is_some_and(|last| last.weight() >= info.weight()) {
                return Err(invalid);
            }
            infos.push(info);
        }
        let metadata = read_pairs(&mut reader, "trace metadata")?;
        let tags = read_pairs(&mut reader, "trace tags")?;
        let mut spans: Vec<EncodedSpan> = Vec::new();
        for _ in 0..reader.length(MAX_SPANS, "spans")? {
            let span = EncodedSpan::checked(reader.bytes(MAX_SPAN_BYTES, "span")?)?;
            if spans.last().is_some_and(|last| last.id() >= span.id()) {
                return Err(invalid);
            }
            spans.push(span);
        }
        reader.finish(WHAT)?;
        Ok(Self {
            trace,
            experiment,
            deleted: flags & DELETED != 0,
            infos,
            request_preview,
            response_preview,
            metadata,
            tags,
            spans,
        })
    }
}
