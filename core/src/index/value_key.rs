//! Keys of the `values` table: (experiment, what, value, run), in the order people ask for.
//!
//! Layout, all big-endian so that bytes sort as values do:
//!
//! ```text
//! experiment u64 | what u8 | key number u32 | value | run number u32
//! ```
//!
//! A number takes eight bytes, a text at most [`TEXT_BYTES`] and a closing zero. So texts that
//! agree in that prefix tie here, and whoever reads in order rechecks such ties on the rows.

use crate::ids::ExperimentId;

/// How much of a text is kept in a key.
pub const TEXT_BYTES: usize = 32;

/// What a key orders runs by. The numbers are part of the table's format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Column {
    /// The run's start; its key number is 0.
    Start = 0,
    /// The latest value of a metric. NaN has a place of its own, after all others.
    Metric = 1,
    /// The value of a param.
    Param = 2,
    /// The value of a tag.
    Tag = 3,
}

/// The part of a key that all values of one column share.
pub fn prefix(experiment: ExperimentId, column: Column, key_number: u32) -> [u8; 13] {
    let mut bytes = [0; 13];
    bytes[..8].copy_from_slice(&experiment.0.to_be_bytes());
    bytes[8] = column as u8;
    bytes[9..].copy_from_slice(&key_number.to_be_bytes());
    bytes
}

/// Eight bytes that sort as integers do.
pub const fn integer(value: i64) -> [u8; 8] {
    (value as u64 ^ (1 << 63)).to_be_bytes()
}

/// The integer of the eight bytes that [`integer`] made.
pub const fn from_integer(bytes: [u8; 8]) -> i64 {
    (u64::from_be_bytes(bytes) ^ (1 << 63)) as i64
}

/// The place of NaN: after all numbers, and apart from them for those who ask for numbers.
pub const NAN: [u8; 8] = [u8::MAX; 8];

/// Eight bytes that sort as numbers do, negative zero as zero and [`NAN`] last.
pub fn number(value: f64) -> [u8; 8] {
    if value.is_nan() {
        return NAN;
    }
    let bits = if value == 0.0 { 0 } else { value.to_bits() };
    let sign = 1 << 63;
    (if bits & sign == 0 { bits | sign } else { !bits }).to_be_bytes()
}

/// A text's place in the order: its head, cut at [`TEXT_BYTES`] and at the first zero byte.
pub fn text(value: &str) -> &[u8] {
    let head = &value.as_bytes()[..value.len().min(TEXT_BYTES)];
    let end = head.iter().position(|byte| *byte == 0).unwrap_or(head.len());
    &head[..end]
}

/// The whole key of a number or an integer.
pub fn number_key(prefix: &[u8; 13], value: [u8; 8], run_number: u32) -> Vec<u8> {
    [&prefix[..], &value, &run_number.to_be_bytes()].concat()
}

/// The whole key of a text.
pub fn text_key(prefix: &[u8; 13], value: &str, run_number: u32) -> Vec<u8> {
    [&prefix[..], text(value), &[0], &run_number.to_be_bytes()].concat()
}

/// The run at the end of a key.
pub fn run_number(key: &[u8]) -> Option<u32> {
    let tail = key.last_chunk::<4>()?;
    Some(u32::from_be_bytes(*tail))
}

/// The number of the key that a column is of.
pub fn key_number(key: &[u8]) -> Option<u32> {
    let bytes = key.get(9..13)?.first_chunk()?;
    Some(u32::from_be_bytes(*bytes))
}

/// The value's bytes, between the prefix and the run.
pub fn value_bytes(key: &[u8]) -> Option<&[u8]> {
    key.get(13..key.len().checked_sub(4)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_sort_as_numbers() {
        let ascending = [f64::NEG_INFINITY, -1e300, -1.5, -0.0, 1e-300, 2.0, f64::INFINITY];
        for pair in ascending.windows(2) {
            assert!(number(pair[0]) < number(pair[1]), "{pair:?}");
        }
        assert_eq!(number(-0.0), number(0.0));
        assert!(number(f64::INFINITY) < NAN && number(-f64::NAN) == NAN);
        assert!(integer(-5) < integer(-4) && integer(-1) < integer(0));
    }

    #[test]
    fn a_text_sorts_before_those_it_starts() {
        let head = prefix(ExperimentId(7), Column::Param, 1);
        assert!(text_key(&head, "ab", u32::MAX) < text_key(&head, "abc", 0));
        assert_eq!(run_number(&text_key(&head, "ab", 9)), Some(9));
        assert_eq!(value_bytes(&number_key(&head, number(1.0), 9)), Some(&number(1.0)[..]));
    }
}
