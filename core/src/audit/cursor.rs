//! Where the next page of an audit goes on: how much of each journal is left to tell.
//!
//! Invariant: a cursor holds for the store that made it, whatever comes in meanwhile: what arrives
//! later is not told by pages that follow, and nothing is told twice. It is no secret, and any text
//! in its place is read or refused.

use data_encoding::BASE64URL_NOPAD;

use crate::codec::{DecodeError, Reader, put_varint};
use crate::vector::MAX_JOURNALS;

/// A text that is no cursor of this store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is not where a page of this audit ended")]
pub struct BadCursor;

/// Names a list of entries in the store: a journal's local number, or what is set aside of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ListId {
    pub(super) journal: u32,
    pub(super) aside: bool,
}

/// How much of a list is left to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Left {
    pub(super) list: ListId,
    /// Entries from this number on are told.
    pub(super) entries: u64,
    /// Of the last entry that is left, how many operations are; none for all.
    pub(super) operations: Option<u32>,
}

pub(super) fn encode(left: &[Left]) -> String {
    let mut out = Vec::new();
    put_varint(&mut out, left.len() as u64);
    for Left { list, entries, operations } in left {
        put_varint(&mut out, u64::from(list.journal) << 1 | u64::from(list.aside));
        put_varint(&mut out, *entries);
        put_varint(&mut out, operations.map_or(0, |left| u64::from(left) + 1));
    }
    BASE64URL_NOPAD.encode(&out)
}

pub(super) fn decode(text: &str) -> Result<Vec<Left>, BadCursor> {
    let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| BadCursor)?;
    read(&bytes).map_err(|_| BadCursor)
}

fn read(bytes: &[u8]) -> Result<Vec<Left>, DecodeError> {
    let invalid = |_| DecodeError::Invalid { what: "cursor" };
    let mut reader = Reader::new(bytes);
    let mut left = Vec::new();
    for _ in 0..reader.length(2 * MAX_JOURNALS, "journals")? {
        let list = reader.varint("journal")?;
        let (journal, aside) = (u32::try_from(list >> 1).map_err(invalid)?, list & 1 == 1);
        let entries = reader.varint("entries")?;
        let operations = match reader.varint("operations")? {
            0 => None,
            more => Some(u32::try_from(more - 1).map_err(invalid)?),
        };
        left.push(Left { list: ListId { journal, aside }, entries, operations });
    }
    reader.finish("cursor")?;
    Ok(left)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn cursors_survive_their_text(all in prop::collection::vec((any::<u32>(), any::<bool>(), any::<u64>(), prop::option::of(0..u32::MAX)), 0..9)) {
            let left: Vec<Left> = all.into_iter().map(|(journal, aside, entries, operations)| {
                Left { list: ListId { journal, aside }, entries, operations }
            }).collect();
            prop_assert_eq!(decode(&encode(&left)), Ok(left));
        }

        #[test]
        fn any_text_is_a_cursor_or_refused(text in "[A-Za-z0-9_-]{0,40}|.*") {
            let _ = decode(&text);
        }
    }
}
