//! Keys of the `trace-keys` table: (experiment, what, text, start, trace), in the order people ask for.
//!
//! Layout, all big-endian so that bytes sort as values do:
//!
//! ```text
//! experiment u64 | what u8 | key number u32 | text, 0 | start i64 | trace number u32
//! ```
//!
//! So the traces that have one text come in order of time. Invariant: a text is in a key whole or not
//! at all, so whoever finds a key need not look at the row for it; see [`is_indexed`].

use super::value_key;
use crate::ids::ExperimentId;

/// The longest text in a key, in bytes. What people look for by equality is short.
const MAX_TEXT_BYTES: usize = 64;

/// What a key finds traces by. The numbers are part of the table's format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum TraceColumn {
    /// Their start alone; key number 0 and no text.
    Start = 0,
    /// The value of a tag.
    Tag = 1,
    /// The value of a fact.
    Metadata = 2,
    /// Their status; key number 0.
    Status = 3,
    /// A run they were linked to; key number 0.
    Run = 4,
    /// A version of a prompt they were linked to; key number 0.
    Prompt = 5,
}

/// Whether keys hold a text.
pub fn is_indexed(text: &str) -> bool {
    text.len() <= MAX_TEXT_BYTES && !text.contains('\0')
}

/// What the keys of all traces with one text share.
pub fn head(experiment: ExperimentId, column: TraceColumn, key_number: u32, text: &str) -> Vec<u8> {
    debug_assert!(is_indexed(text), "the text of a key");
    let mut key = Vec::with_capacity(13 + text.len() + 13);
    key.extend_from_slice(&experiment.0.to_be_bytes());
    key.push(column as u8);
    key.extend_from_slice(&key_number.to_be_bytes());
    key.extend_from_slice(text.as_bytes());
    key.push(0);
    key
}

/// Completes a head to where the keys of a start begin.
pub fn at_start(mut head: Vec<u8>, start_ms: i64) -> Vec<u8> {
    head.extend_from_slice(&value_key::integer(start_ms));
    head
}

/// Completes a head to the key of a trace.
pub fn key(head: Vec<u8>, start_ms: i64, number: u32) -> Vec<u8> {
    let mut key = at_start(head, start_ms);
    key.extend_from_slice(&number.to_be_bytes());
    key
}

/// The start and the number at the end of a key.
pub fn start_and_number(key: &[u8]) -> Option<(i64, u32)> {
    let tail: &[u8; 12] = key.last_chunk()?;
    let (start, number) = tail.split_first_chunk::<8>()?;
    let start = (u64::from_be_bytes(*start) ^ (1 << 63)) as i64;
    Some((start, u32::from_be_bytes(number.try_into().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_of_one_text_sort_by_their_start() {
        let of = |text: &str, start, number| {
            key(head(ExperimentId(7), TraceColumn::Tag, 3, text), start, number)
        };
        let ascending =
            [of("a", -5, 9), of("a", -4, 1), of("a", 7, 1), of("a", 7, 2), of("aa", -9, 0)];
        assert!(ascending.is_sorted());
        assert_eq!(start_and_number(&ascending[0]), Some((-5, 9)));
        assert!(is_indexed("") && !is_indexed("a\0") && !is_indexed(&"a".repeat(65)));
    }
}
