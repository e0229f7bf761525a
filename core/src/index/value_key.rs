//! Keys of the `values` table: (experiment, what, value, run), in the order people ask for.
//!
//! Layout, all big-endian so that bytes sort as values do:
//!
//! ```text
//! experiment u64 | what u8 | key number u32 | value | run number u32
//! ```
//!
//! A number takes eight bytes, a text at most [`TEXT_BYTES`] and a closing zero. A text is cut at
//! that length and at its first zero byte; one with a zero byte always takes the full length, filled
//! up with zeros, so that a shorter key holds all of its text. Texts that agree in what is kept tie
//! here, and whoever reads in order rechecks such ties on the rows.

use crate::ids::ExperimentId;
use crate::store::StoreError;

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
    let mut bytes = [0; PREFIX_BYTES];
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

/// The number of the eight bytes that [`number`] made.
pub const fn from_number(bytes: [u8; 8]) -> f64 {
    let sign = 1 << 63;
    match u64::from_be_bytes(bytes) {
        u64::MAX => f64::NAN,
        bits if bits & sign != 0 => f64::from_bits(bits ^ sign),
        bits => f64::from_bits(!bits),
    }
}

/// A text's place in the order: its head, cut at [`TEXT_BYTES`] and at the first zero byte.
pub fn text(value: &str) -> &[u8] {
    let head = &value.as_bytes()[..value.len().min(TEXT_BYTES)];
    let end = head.iter().position(|byte| *byte == 0).unwrap_or(head.len());
    &head[..end]
}

/// Whether a text is cut at a zero byte.
pub fn is_cut_at_zero(value: &str) -> bool {
    text(value).len() < value.len().min(TEXT_BYTES)
}

/// Appends what stands for a text in a key: its [`text`], which may be cut at a zero byte.
pub fn push_text(key: &mut Vec<u8>, head: &[u8], is_cut_at_zero: bool) {
    let start = key.len();
    key.extend_from_slice(head);
    if is_cut_at_zero {
        key.resize(start + TEXT_BYTES, 0);
    }
    key.push(0);
}

/// The whole key of a number or an integer.
pub fn number_key(prefix: &[u8; 13], value: [u8; 8], run_number: u32) -> Vec<u8> {
    [&prefix[..], &value, &run_number.to_be_bytes()].concat()
}

/// The whole key of a text.
pub fn text_key(prefix: &[u8; 13], value: &str, run_number: u32) -> Vec<u8> {
    let mut key = prefix.to_vec();
    push_text(&mut key, text(value), is_cut_at_zero(value));
    key.extend_from_slice(&run_number.to_be_bytes());
    key
}

const PREFIX_BYTES: usize = 13;
const NUMBER_BYTES: usize = 4;
const MAX_BYTES: usize = PREFIX_BYTES + TEXT_BYTES + 1 + NUMBER_BYTES;

/// A key as it was read. It is kept in place: a search reads very many.
#[derive(Debug, Clone, Copy)]
pub struct ReadKey {
    bytes: [u8; MAX_BYTES],
    length: u8,
}

/// What a key tells of the value that its run has.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Told<'a> {
    /// An integer.
    Integer(i64),
    /// A number.
    Number(f64),
    /// A text, all of it.
    Text(&'a str),
    /// The start of a text at most.
    Part,
}

/// Reads a key of the table.
pub fn read(key: &[u8]) -> Result<ReadKey, StoreError> {
    if key.len() < PREFIX_BYTES + NUMBER_BYTES || key.len() > MAX_BYTES {
        return Err(StoreError::NotOurs(
            "a key of the index is damaged; `runmesh doctor --rebuild` makes it anew",
        ));
    }
    let mut bytes = [0; MAX_BYTES];
    bytes[..key.len()].copy_from_slice(key);
    Ok(ReadKey { bytes, length: key.len() as u8 })
}

impl ReadKey {
    /// The run's number.
    pub fn run_number(&self) -> u32 {
        let tail = self.bytes[..self.length.into()].last_chunk().expect("a key is longer");
        u32::from_be_bytes(*tail)
    }

    /// The number of the key that its column is of.
    pub fn key_number(&self) -> u32 {
        let bytes = self.bytes[9..].first_chunk().expect("a key is longer");
        u32::from_be_bytes(*bytes)
    }

    fn value(&self) -> &[u8] {
        &self.bytes[PREFIX_BYTES..usize::from(self.length) - NUMBER_BYTES]
    }

    const fn is_of_text(&self) -> bool {
        self.bytes[8] >= Column::Param as u8
    }

    /// The bytes by which runs are ordered: those of runs that tie here are the same.
    pub fn place(&self) -> &[u8] {
        let value = self.value();
        if !self.is_of_text() {
            return value;
        }
        let end = value.iter().position(|byte| *byte == 0).unwrap_or(value.len());
        &value[..end]
    }

    /// What is known of the value without reading the run's row.
    pub fn told(&self) -> Told<'_> {
        if self.is_of_text() {
            let whole = (self.value().len() <= TEXT_BYTES).then(|| self.place());
            let text = whole.and_then(|bytes| std::str::from_utf8(bytes).ok());
            return text.map_or(Told::Part, Told::Text);
        }
        let Ok(bytes) = self.value().try_into() else { return Told::Part };
        match self.bytes[8] == Column::Start as u8 {
            true => Told::Integer(from_integer(bytes)),
            false => Told::Number(from_number(bytes)),
        }
    }
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
        let key = read(&text_key(&head, "ab", 9)).expect("a key");
        assert_eq!((key.run_number(), key.place()), (9, &b"ab"[..]));
    }

    #[test]
    fn a_key_tells_its_value_or_that_it_holds_a_part() {
        let told = |key: &[u8], told: Told<'_>| {
            assert_eq!(read(key).expect("a key").told(), told);
        };
        let of = |column| prefix(ExperimentId(7), column, 1);
        for value in [f64::NEG_INFINITY, -1.5, 0.0, 1e-300, f64::MAX] {
            told(&number_key(&of(Column::Metric), number(value), 9), Told::Number(value));
        }
        for value in [i64::MIN, -1, 0, i64::MAX] {
            told(&number_key(&of(Column::Start), integer(value), 9), Told::Integer(value));
        }
        let nan = number_key(&of(Column::Metric), NAN, 9);
        let nan = read(&nan).expect("a key");
        assert!(matches!(nan.told(), Told::Number(value) if value.is_nan()));
        let long = "x".repeat(TEXT_BYTES - 1);
        for whole in ["", "é", &long] {
            told(&text_key(&of(Column::Tag), whole, 9), Told::Text(whole));
        }
        for cut in ["a\0", "\0b", &format!("{long}y"), &format!("{long}é")] {
            told(&text_key(&of(Column::Param), cut, 9), Told::Part);
        }
        assert!(read(&[1; 16]).is_err() && read(&[1; 51]).is_err());
    }
}
