//! Points as columns: steps, timestamps and values, each in the shorter of two forms.
//!
//! ```text
//! count varint | forms u8 | steps | timestamps | values
//! ```
//!
//! Bit 0 of `forms` says that the steps are packed with pco, bit 1 the timestamps, bit 2 the
//! values. A packed column is a length and one wrapped pco file, chunk and page. Plain integers are
//! zigzag varints of the second difference, plain values eight bytes each: pco takes some 15 bytes
//! before the first number. Invariants: values survive bit for bit; what reading allocates is
//! bounded by [`MAX_POINTS`], whatever the bytes.

use std::panic::{AssertUnwindSafe, catch_unwind};

use pco::data_types::Number;
use pco::errors::PcoResult;
use pco::metadata::DeltaEncoding;
use pco::wrapped::{FileCompressor, FileDecompressor};
use pco::{ChunkConfig, DeltaSpec, PagingSpec};

use crate::codec::{DecodeError, Reader, put_bytes, put_varint, unzigzag, zigzag};
use crate::operation::MAX_CONTENT_BYTES;
use crate::rows::Point;

/// The most points in one operation, and in one chunk.
pub const MAX_POINTS: usize = 1 << 18;

/// Below this, pco is never shorter by enough to be worth trying.
const PACK_FROM: usize = 24;

const STEPS_PACKED: u8 = 1;
const TIMESTAMPS_PACKED: u8 = 2;
const VALUES_PACKED: u8 = 4;

const INVALID: DecodeError = DecodeError::Invalid { what: "packed column" };

/// Encodes points, at most [`MAX_POINTS`], in the order given.
pub fn encode_columns(points: &[Point]) -> Vec<u8> {
    let mut out = Vec::new();
    put_columns(&mut out, points);
    out
}

/// Decodes points.
pub fn decode_columns(bytes: &[u8]) -> Result<Vec<Point>, DecodeError> {
    let mut reader = Reader::new(bytes);
    let points = read_columns(&mut reader, MAX_POINTS)?;
    reader.finish("columns")?;
    Ok(points)
}

pub(super) fn put_columns(out: &mut Vec<u8>, points: &[Point]) {
    debug_assert!(points.len() <= MAX_POINTS);
    let steps: Vec<i64> = points.iter().map(|point| point.step).collect();
    let timestamps: Vec<i64> = points.iter().map(|point| point.timestamp_ms).collect();
    let values: Vec<f64> = points.iter().map(|point| point.value).collect();
    put_varint(out, points.len() as u64);
    let forms = out.len();
    out.push(0);
    let columns = [
        (STEPS_PACKED, shorter(plain_integers(&steps), || pack(&steps, false))),
        (TIMESTAMPS_PACKED, shorter(plain_integers(&timestamps), || pack(&timestamps, false))),
        (VALUES_PACKED, shorter(plain_values(&values), || pack(&values, true))),
    ];
    for (bit, (packed, column)) in columns {
        if packed {
            out[forms] |= bit;
        }
        out.extend(column);
    }

    /// Tells whether the packed form was chosen.
    fn shorter(plain: Vec<u8>, pack: impl FnOnce() -> Vec<u8>) -> (bool, Vec<u8>) {
        if plain.len() < PACK_FROM {
            return (false, plain);
        }
        let mut packed = Vec::new();
        put_bytes(&mut packed, &pack());
        if packed.len() < plain.len() { (true, packed) } else { (false, plain) }
    }
}

pub(super) fn read_columns(
    reader: &mut Reader<'_>,
    limit: usize,
) -> Result<Vec<Point>, DecodeError> {
    let count = reader.length(limit, "points")?;
    let forms = reader.u8("column forms")?;
    if forms > STEPS_PACKED | TIMESTAMPS_PACKED | VALUES_PACKED {
        return Err(DecodeError::Invalid { what: "column forms" });
    }
    let mut integers = |bit| match forms & bit {
        0 => read_plain_integers(reader, count),
        _ => unpack::<i64>(reader, count),
    };
    let steps = integers(STEPS_PACKED)?;
    let timestamps = integers(TIMESTAMPS_PACKED)?;
    let values = match forms & VALUES_PACKED {
        0 => read_plain_values(reader, count)?,
        _ => unpack::<f64>(reader, count)?,
    };
    let columns = steps.into_iter().zip(timestamps).zip(values);
    Ok(columns.map(|((step, timestamp_ms), value)| Point { step, timestamp_ms, value }).collect())
}

fn plain_integers(integers: &[i64]) -> Vec<u8> {
    let mut out = Vec::with_capacity(integers.len() * 2);
    let (mut last, mut last_difference) = (0i64, 0i64);
    for integer in integers {
        let difference = integer.wrapping_sub(last);
        put_varint(&mut out, zigzag(difference.wrapping_sub(last_difference)));
        (last, last_difference) = (*integer, difference);
    }
    out
}

fn read_plain_integers(reader: &mut Reader<'_>, count: usize) -> Result<Vec<i64>, DecodeError> {
    // Each takes at least a byte.
    let mut integers = Vec::with_capacity(count.min(reader.rest().len()));
    let (mut last, mut last_difference) = (0i64, 0i64);
    for _ in 0..count {
        last_difference = last_difference.wrapping_add(unzigzag(reader.varint("integer")?));
        last = last.wrapping_add(last_difference);
        integers.push(last);
    }
    Ok(integers)
}

fn plain_values(values: &[f64]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_bits().to_le_bytes()).collect()
}

fn read_plain_values(reader: &mut Reader<'_>, count: usize) -> Result<Vec<f64>, DecodeError> {
    let bytes = reader.take(count * size_of::<f64>(), "values")?;
    let (values, _) = bytes.as_chunks();
    Ok(values.iter().map(|bytes| f64::from_bits(u64::from_le_bytes(*bytes))).collect())
}

/// Packs a column that is not empty. `varied` leaves it to pco to find a pattern; otherwise it is
/// one of numbers that grow.
fn pack<T: Number>(numbers: &[T], varied: bool) -> Vec<u8> {
    let growing = DeltaSpec::TryConsecutive(1);
    let first = if varied { DeltaSpec::Auto } else { growing.clone() };
    let packed = try_pack(numbers, first).and_then(|packed| match packed {
        Some(packed) => Ok(Some(packed)),
        None => try_pack(numbers, growing),
    });
    let packed = packed.expect("writing to memory and a valid configuration do not fail");
    packed.expect("only automatic configuration looks back")
}

/// None if the numbers were packed in a form that [`unpack`] refuses.
fn try_pack<T: Number>(numbers: &[T], delta: DeltaSpec) -> PcoResult<Option<Vec<u8>>> {
    let one_page = PagingSpec::Exact(vec![numbers.len()]);
    let config = ChunkConfig::default().with_delta_spec(delta).with_paging_spec(one_page);
    let file = FileCompressor::default();
    let mut chunk = file.chunk_compressor(numbers, &config)?;
    if !is_bounded(&chunk.meta().delta_encoding) {
        return Ok(None);
    }
    let out = file.write_header(Vec::new())?;
    let out = chunk.write_meta(out)?;
    chunk.write_page(0, out).map(Some)
}

/// Whether unpacking allocates no more than the numbers take: looking back may claim a window of
/// 2^24 numbers in a few bytes.
const fn is_bounded(delta: &DeltaEncoding) -> bool {
    matches!(delta, DeltaEncoding::NoOp | DeltaEncoding::Consecutive { .. })
}

/// pco says that it neither panics nor overallocates on foreign bytes, and tests it by flipping
/// single bytes; we do not rely on it.
fn unpack<T: Number>(reader: &mut Reader<'_>, count: usize) -> Result<Vec<T>, DecodeError> {
    let bytes = reader.bytes(MAX_CONTENT_BYTES, "packed column")?;
    let unpacked = catch_unwind(AssertUnwindSafe(|| try_unpack(bytes, count)));
    unpacked.ok().and_then(Result::ok).flatten().ok_or(INVALID)
}

fn try_unpack<T: Number>(bytes: &[u8], count: usize) -> PcoResult<Option<Vec<T>>> {
    /// The number of pco's mode that claims a dictionary of any size, in a chunk's first bits.
    const DICTIONARY: u8 = 4;
    const MODE_BITS: u8 = 0xf;
    let (file, rest) = FileDecompressor::new(bytes)?;
    if count == 0 || rest.first().is_none_or(|first| first & MODE_BITS >= DICTIONARY) {
        return Ok(None);
    }
    let (mut chunk, rest) = file.chunk_decompressor::<T, _>(rest)?;
    if !is_bounded(&chunk.meta().delta_encoding) {
        return Ok(None);
    }
    let mut numbers = vec![T::default(); count];
    let mut page = chunk.page_decompressor(rest, count)?;
    let progress = page.read(&mut numbers)?;
    let whole = progress.finished && progress.n_processed == count && page.into_src().is_empty();
    Ok(whole.then_some(numbers))
}
