//! Spans: the steps of a trace.

use serde::{Deserialize, Serialize, Serializer};

use super::value::{put_attributes, read_attributes};
use super::{Attribute, MAX_TEXT_BYTES};
use crate::codec::{DecodeError, Reader, put_bytes, put_varint};

/// The longest span, in bytes as it is stored. Whatever holds one is a single edit.
pub const MAX_SPAN_BYTES: usize = crate::edit::MAX_EDIT_BYTES - (64 << 10);
/// The most figures of a span.
const MAX_FIGURES: usize = 256;

/// Where a span's end stands in its stored form.
const END_AT: usize = 24;

/// The id of a span within its trace.
pub type SpanId = [u8; 8];

/// How a step ended. The numbers are OpenTelemetry's and part of the signed format.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum SpanStatus {
    /// Nobody said.
    #[default]
    Unset = 0,
    /// Well.
    Ok = 1,
    /// It failed.
    Error = 2,
}

/// A number that a step counts for itself and all steps below it, such as tokens read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// Figures of one group are counted at the same steps.
    pub group: String,
    /// What is counted.
    pub name: String,
    /// How much.
    pub value: f64,
}

/// Something that happened during a step.
#[derive(Debug, Clone, PartialEq)]
pub struct SpanEvent {
    /// What.
    pub name: String,
    /// When, in nanoseconds since 1970.
    pub time_ns: u64,
    /// More about it.
    pub attributes: Vec<Attribute>,
}

/// Another step that has to do with this one.
#[derive(Debug, Clone, PartialEq)]
pub struct SpanLink {
    /// The other step's trace.
    pub trace: [u8; 16],
    /// The other step.
    pub span: SpanId,
    /// How they have to do with each other.
    pub attributes: Vec<Attribute>,
}

/// A step of a trace.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Span {
    /// Its id.
    pub id: SpanId,
    /// The step that it is a part of; zeros for none.
    pub parent: SpanId,
    /// What it is called.
    pub name: String,
    /// What kind of step it is, as the client says; may be empty.
    pub kind: String,
    /// Its start, in nanoseconds since 1970.
    pub start_ns: u64,
    /// Its end, in nanoseconds since 1970; zero while it goes on.
    pub end_ns: u64,
    /// How it ended.
    pub status: SpanStatus,
    /// More about that.
    pub status_message: String,
    /// What it counts.
    pub figures: Vec<Figure>,
    /// More about it, in the order it came.
    pub attributes: Vec<Attribute>,
    /// What happened during it.
    pub events: Vec<SpanEvent>,
    /// What else it has to do with.
    pub links: Vec<SpanLink>,
}

/// A span as it is stored: what holds spans without reading them holds this.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct EncodedSpan(Vec<u8>);

/// As bytes at once: a vector would go byte by byte, to the same form.
impl Serialize for EncodedSpan {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl EncodedSpan {
    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Its id.
    pub fn id(&self) -> SpanId {
        *self.0.first_chunk().expect("a span starts with its id")
    }

    /// Whether this one counts, of two with one id, or the other is the same.
    pub fn counts_over(&self, other: &Self) -> bool {
        Self::counts(&self.0, &other.0)
    }

    /// Whether the first counts, of two spans of one id, or both are the same: one that has ended,
    /// then the one that ended later, then any, but the same everywhere.
    pub(crate) fn counts(one: &[u8], other: &[u8]) -> bool {
        let end_ns = |bytes: &[u8]| {
            let end = bytes.get(END_AT..END_AT + 8).and_then(|end| end.try_into().ok());
            end.map_or(0, u64::from_le_bytes)
        };
        (end_ns(one), one) >= (end_ns(other), other)
    }

    /// Reads it.
    pub fn decode(&self) -> Result<Span, DecodeError> {
        Span::decode(&self.0)
    }

    /// Takes bytes that were checked when they were stored.
    pub(crate) fn held(bytes: &[u8]) -> Option<Self> {
        (bytes.len() >= END_AT + 8).then(|| Self(bytes.to_vec()))
    }

    /// Takes bytes that are a span.
    pub(super) fn checked(bytes: &[u8]) -> Result<Self, DecodeError> {
        Span::decode(bytes)?;
        Ok(Self(bytes.to_vec()))
    }
}

impl Span {
    /// Whether it is part of no other step.
    pub fn is_root(&self) -> bool {
        self.parent == SpanId::default()
    }

    /// The value of an attribute. Of two with one key the last counts.
    pub fn attribute(&self, key: &str) -> Option<&super::Value> {
        let held = self.attributes.iter().rev().find(|attribute| attribute.key == key);
        held.map(|attribute| &attribute.value)
    }

    /// Its stored form.
    pub fn encode(&self) -> EncodedSpan {
        let mut out = Vec::with_capacity(256);
        out.extend_from_slice(&self.id);
        out.extend_from_slice(&self.parent);
        out.extend_from_slice(&self.start_ns.to_le_bytes());
        out.extend_from_slice(&self.end_ns.to_le_bytes());
        out.push(self.status as u8);
        for text in [&self.name, &self.kind, &self.status_message] {
            put_bytes(&mut out, text.as_bytes());
        }
        put_varint(&mut out, self.figures.len() as u64);
        for figure in &self.figures {
            put_bytes(&mut out, figure.group.as_bytes());
            put_bytes(&mut out, figure.name.as_bytes());
            out.extend_from_slice(&figure.value.to_bits().to_le_bytes());
        }
        put_attributes(&mut out, &self.attributes);
        put_varint(&mut out, self.events.len() as u64);
        for event in &self.events {
            put_bytes(&mut out, event.name.as_bytes());
            out.extend_from_slice(&event.time_ns.to_le_bytes());
            put_attributes(&mut out, &event.attributes);
        }
        put_varint(&mut out, self.links.len() as u64);
        for link in &self.links {
            out.extend_from_slice(&link.trace);
            out.extend_from_slice(&link.span);
            put_attributes(&mut out, &link.attributes);
        }
        EncodedSpan(out)
    }

    /// Reads the stored form.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        const WHAT: &str = "span";
        let mut reader = Reader::new(bytes);
        let reader_ref = &mut reader;
        let (id, parent) = (reader_ref.array(WHAT)?, reader_ref.array(WHAT)?);
        let (start_ns, end_ns) = (reader_ref.u64(WHAT)?, reader_ref.u64(WHAT)?);
        let status = match reader_ref.u8(WHAT)? {
            0 => SpanStatus::Unset,
            1 => SpanStatus::Ok,
            2 => SpanStatus::Error,
            _ => return Err(DecodeError::Invalid { what: WHAT }),
        };
        let mut text = || reader_ref.text(MAX_TEXT_BYTES, WHAT).map(str::to_owned);
        let (name, kind, status_message) = (text()?, text()?, text()?);
        let figures = read_all(&mut reader, MAX_FIGURES, |reader| {
            let group = reader.text(MAX_TEXT_BYTES, "figure")?.to_owned();
            let name = reader.text(MAX_TEXT_BYTES, "figure")?.to_owned();
            Ok(Figure { group, name, value: f64::from_bits(reader.u64("figure")?) })
        })?;
        let attributes = read_attributes(&mut reader)?;
        let events = read_all(&mut reader, MAX_TEXT_BYTES, |reader| {
            let name = reader.text(MAX_TEXT_BYTES, "span event")?.to_owned();
            let time_ns = reader.u64("span event")?;
            Ok(SpanEvent { name, time_ns, attributes: read_attributes(reader)? })
        })?;
        let links = read_all(&mut reader, MAX_TEXT_BYTES, |reader| {
            let (trace, span) = (reader.array("span link")?, reader.array("span link")?);
            Ok(SpanLink { trace, span, attributes: read_attributes(reader)? })
        })?;
        reader.finish(WHAT)?;
        Ok(Self {
            id,
            parent,
            name,
            kind,
            start_ns,
            end_ns,
            status,
            status_message,
            figures,
            attributes,
            events,
            links,
        })
    }
}

/// Reads a count and that many things.
fn read_all<'a, T>(
    reader: &mut Reader<'a>,
    limit: usize,
    mut read: impl FnMut(&mut Reader<'a>) -> Result<T, DecodeError>,
) -> Result<Vec<T>, DecodeError> {
    let count = reader.length(limit, "span")?;
    let mut all = Vec::new();
    for _ in 0..count {
        all.push(read(reader)?);
    }
    Ok(all)
}
