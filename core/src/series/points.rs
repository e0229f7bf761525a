//! The content of a points operation: points of any number of series of one run.
//!
//! ```text
//! count varint | for each series: key text | context u8 | 0 to 3 texts | columns
//! ```
//!
//! Bits 0 to 2 of `context` say which of model id, dataset name and dataset digest follow; one
//! that is empty does not. Series stand in order of key and context.

use super::columns::{MAX_POINTS, put_columns, read_columns};
use crate::codec::{DecodeError, Reader, put_bytes, put_varint};
use crate::rows::{MetricContext, Point};

/// The longest key of a series, in bytes: 250 characters of any script.
pub const MAX_KEY_BYTES: usize = 250 * 4;
/// The longest part of a series' context, in bytes: 512 characters of any script.
pub const MAX_CONTEXT_BYTES: usize = 512 * 4;
/// The most series in one operation.
pub const MAX_SERIES_PER_OPERATION: usize = 1 << 16;

/// Points of one series.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesPoints {
    /// The metric's name.
    pub key: String,
    /// What else the points belong to.
    pub context: MetricContext,
    /// The points.
    pub points: Vec<Point>,
}

/// Encodes the content of an operation. The caller keeps to the limits of this module and to
/// [`MAX_POINTS`] in all.
pub fn encode_points(series: &[SeriesPoints]) -> Vec<u8> {
    debug_assert!(series.len() <= MAX_SERIES_PER_OPERATION);
    debug_assert!(series.iter().map(|series| series.points.len()).sum::<usize>() <= MAX_POINTS);
    let mut in_order: Vec<&SeriesPoints> = series.iter().collect();
    in_order.sort_by_key(|series| place(series));
    let mut out = Vec::new();
    put_varint(&mut out, series.len() as u64);
    for series in in_order {
        put_bytes(&mut out, series.key.as_bytes());
        put_context(&mut out, &series.context);
        put_columns(&mut out, &series.points);
    }
    out
}

/// Decodes the content of an operation.
pub fn decode_points(content: &[u8]) -> Result<Vec<SeriesPoints>, DecodeError> {
    let mut reader = Reader::new(content);
    let count = reader.length(MAX_SERIES_PER_OPERATION, "series")?;
    // Each takes at least four bytes.
    let mut all = Vec::with_capacity(count.min(content.len() / 4));
    let mut points_left = MAX_POINTS;
    for _ in 0..count {
        let key = reader.text(MAX_KEY_BYTES, "metric key")?.to_owned();
        let context = read_context(&mut reader)?;
        let points = read_columns(&mut reader, points_left)?;
        points_left -= points.len();
        all.push(SeriesPoints { key, context, points });
    }
    reader.finish("points")?;
    if !all.is_sorted_by_key(place) {
        return Err(DecodeError::Invalid { what: "order of series" });
    }
    Ok(all)
}

fn place(series: &SeriesPoints) -> (&str, &MetricContext) {
    (&series.key, &series.context)
}

fn put_context(out: &mut Vec<u8>, context: &MetricContext) {
    let texts = [&context.model_id, &context.dataset_name, &context.dataset_digest];
    let present = texts.iter().enumerate().filter(|(_, text)| !text.is_empty());
    out.push(present.clone().fold(0, |bits, (at, _)| bits | 1u8 << at));
    for (_, text) in present {
        put_bytes(out, text.as_bytes());
    }
}

fn read_context(reader: &mut Reader<'_>) -> Result<MetricContext, DecodeError> {
    const INVALID: DecodeError = DecodeError::Invalid { what: "metric context" };
    let bits = reader.u8("metric context")?;
    if bits >= 1 << 3 {
        return Err(INVALID);
    }
    let mut text = |at: u8| {
        if bits & (1u8 << at) == 0 {
            return Ok(String::new());
        }
        match reader.text(MAX_CONTEXT_BYTES, "metric context")? {
            "" => Err(INVALID),
            text => Ok(text.to_owned()),
        }
    };
    Ok(MetricContext { model_id: text(0)?, dataset_name: text(1)?, dataset_digest: text(2)? })
}
