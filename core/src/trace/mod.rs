//! Traces: what a program did, step by step, written once.
//!
//! A trace arrives in parts: its spans as they end, its info when it starts or ends, in any order
//! and maybe on several devices. A [`TracePart`] is what one operation says; what a trace is comes of
//! the *set* of its parts ([`TraceState`]), whatever order they came in and however often. What is said
//! of a trace later, its tags and assessments, is a document of its own.
//!
//! Invariants: reading never panics, allocates no more than the input holds and recurses no deeper
//! than [`MAX_DEPTH`]; every part and span has exactly one encoding. `docs/data.md` describes it.

mod info;
mod part;
mod span;
mod state;
mod value;

pub use self::info::{TraceInfo, TraceStatus};
pub use self::part::{MAX_INFOS, MAX_SPANS, TracePart};
pub use self::span::{
    EncodedSpan, Figure, MAX_SPAN_BYTES, Span, SpanEvent, SpanId, SpanLink, SpanStatus,
};
pub use self::state::TraceState;
pub(crate) use self::state::{TAKEN, prompt_link, run_link};
pub use self::value::{Attribute, MAX_DEPTH, Value};

use crate::codec::{DecodeError, Reader, put_bytes, put_varint};
use crate::rows::KeyValue;

/// The longest id of a trace, in bytes. Clients choose ids: those of OpenTelemetry have 35.
pub const MAX_TRACE_ID_BYTES: usize = 250;
/// The longest text in a trace, in bytes: whatever holds it is shorter still.
const MAX_TEXT_BYTES: usize = crate::operation::MAX_CONTENT_BYTES;

/// Whether a text can be the id of a trace.
pub fn is_trace_id(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_TRACE_ID_BYTES && !text.contains('\0')
}

fn put_pairs(out: &mut Vec<u8>, pairs: &[KeyValue]) {
    put_varint(out, pairs.len() as u64);
    for pair in pairs {
        put_bytes(out, pair.key.as_bytes());
        put_bytes(out, pair.value.as_bytes());
    }
}

/// Reads pairs, which stand in order of their keys.
fn read_pairs(reader: &mut Reader<'_>, what: &'static str) -> Result<Vec<KeyValue>, DecodeError> {
    let count = reader.length(MAX_TEXT_BYTES, what)?;
    let mut pairs: Vec<KeyValue> = Vec::new();
    for _ in 0..count {
        let key = reader.text(MAX_TEXT_BYTES, what)?;
        if pairs.last().is_some_and(|last| last.key.as_str() >= key) {
            return Err(DecodeError::Invalid { what });
        }
        let value = reader.text(MAX_TEXT_BYTES, what)?;
        pairs.push(KeyValue::new(key, value));
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests;
