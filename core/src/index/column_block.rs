//! What runs of one experiment have in one field, for [`BLOCK`] run numbers: bytes of the store.
//!
//! All little-endian:
//!
//! ```text
//! form u8 | how many runs u16 | their places in the block, u16 each | values
//! ```
//!
//! The form's bits say whether values are texts ([`TEXTS`]), whether the runs are the first of the
//! block, in which case their places are left out ([`FIRST`]), and whether codes take two bytes
//! ([`WIDE`]). A number is eight bytes that sort as it does. Texts are `how many u16`, then each as `length
//! u8, bytes`, the length's highest bit set if that is all of it, then for each run the code of
//! its text, from 0 on.
//!
//! Invariants: places ascend; of a text no more is kept than `value_key::text` does.

use std::collections::HashMap;

use super::value_key;
use crate::store::StoreError;

/// How many run numbers a block spans.
pub(crate) const BLOCK: usize = 4_096;
/// The number of a run that has none.
pub(crate) const NO_NUMBER: u64 = u64::MAX;
/// Stands for NaN. All other numbers are below it.
pub(crate) const NAN: u64 = u64::MAX - 1;

const TEXTS: u8 = 1;
const FIRST: u8 = 2;
const WIDE: u8 = 4;
/// In the length of a text: it is whole.
const WHOLE: u8 = 0x80;

/// What a run has in a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Held<'a> {
    /// No value.
    Nothing,
    /// A number, as one that sorts as it does.
    Number(u64),
    /// As much of a text as is kept, and whether that is all.
    Text(&'a [u8], bool),
}

impl Held<'_> {
    /// A number that is no integer.
    pub(crate) fn number(value: f64) -> Self {
        match u64::from_be_bytes(value_key::number(value)) {
            // Integers that high do not sort apart.
            u64::MAX => Self::Number(NAN),
            value => Self::Number(value),
        }
    }

    /// An integer.
    pub(crate) fn integer(value: i64) -> Self {
        Self::Number(u64::from_be_bytes(value_key::integer(value)).min(NAN - 1))
    }
}

impl<'a> Held<'a> {
    /// A whole text.
    pub(crate) fn text(value: &'a str) -> Self {
        let head = value_key::text(value);
        Self::Text(head, head.len() == value.len() && head.len() < value_key::TEXT_BYTES)
    }
}

/// A block in the making.
pub(super) struct BlockWriter<'a> {
    runs: Vec<u16>,
    values: Written<'a>,
}

enum Written<'a> {
    Numbers(Vec<u64>),
    Texts { texts: Vec<Text<'a>>, known: HashMap<Text<'a>, u16>, codes: Vec<u16> },
}

/// As much of a text as is kept, and whether that is all.
type Text<'a> = (&'a [u8], bool);

impl<'a> BlockWriter<'a> {
    pub(super) const fn of_numbers() -> Self {
        Self { runs: Vec::new(), values: Written::Numbers(Vec::new()) }
    }

    pub(super) fn of_texts() -> Self {
        let (texts, codes) = (Vec::new(), Vec::new());
        Self { runs: Vec::new(), values: Written::Texts { texts, known: HashMap::new(), codes } }
    }

    /// Takes in what a run has; it comes after those that came before.
    pub(super) fn push(&mut self, run: u16, held: Held<'a>) {
        match (&mut self.values, held) {
            (Written::Numbers(numbers), Held::Number(number)) => numbers.push(number),
            (Written::Texts { texts, known, codes }, Held::Text(head, whole)) => {
                let code = *known.entry((head, whole)).or_insert_with(|| {
                    texts.push((head, whole));
                    texts.len() as u16 - 1
                });
                codes.push(code);
            }
            _ => return,
        }
        self.runs.push(run);
    }

    /// Writes the block's bytes.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.clear();
        let are_first = self.runs.last().is_none_or(|last| usize::from(*last) < self.runs.len());
        let form = match &self.values {
            Written::Numbers(_) => 0,
            Written::Texts { texts, .. } if texts.len() > 1 << 8 => TEXTS | WIDE,
            Written::Texts { .. } => TEXTS,
        };
        out.push(if are_first { form | FIRST } else { form });
        out.extend((self.runs.len() as u16).to_le_bytes());
        if !are_first {
            out.extend(self.runs.iter().flat_map(|run| run.to_le_bytes()));
        }
        match &self.values {
            Written::Numbers(numbers) => {
                out.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
            }
            Written::Texts { texts, codes, .. } => {
                out.extend((texts.len() as u16).to_le_bytes());
                for (head, whole) in texts {
                    out.push(head.len() as u8 | if *whole { WHOLE } else { 0 });
                    out.extend_from_slice(head);
                }
                match form & WIDE {
                    0 => out.extend(codes.iter().map(|code| *code as u8)),
                    _ => out.extend(codes.iter().flat_map(|code| code.to_le_bytes())),
                }
            }
        }
    }
}

/// A block as it was read.
pub(crate) struct Block<'a> {
    /// The runs' places in the block.
    pub(crate) runs: Vec<usize>,
    /// What each of them has.
    pub(crate) values: Values<'a>,
}

/// What runs have, in their order.
pub(crate) enum Values<'a> {
    /// Numbers.
    Numbers(&'a [[u8; 8]]),
    /// Codes of texts.
    Texts { texts: Vec<(&'a [u8], bool)>, codes: Vec<usize> },
}

impl<'a> Block<'a> {
    /// Reads the bytes of a block.
    pub(crate) fn read(bytes: &'a [u8]) -> Result<Self, StoreError> {
        Self::parse(bytes).ok_or(StoreError::NotOurs(
            "a column of the index is damaged; `runmesh doctor --rebuild` makes it anew",
        ))
    }

    fn parse(mut bytes: &'a [u8]) -> Option<Self> {
        let form = take::<1>(&mut bytes)?[0];
        let count = take_u16(&mut bytes)?;
        let runs: Vec<usize> = match form & FIRST {
            0 => take_u16s(&mut bytes, count)?.collect(),
            _ => (0..count).collect(),
        };
        let ascend = runs.is_sorted_by(|a, b| a < b);
        if !ascend || runs.last().is_some_and(|last| *last >= BLOCK) {
            return None;
        }
        if form & TEXTS == 0 {
            let (numbers, rest) = bytes.as_chunks::<8>();
            let is_all = rest.is_empty() && numbers.len() == count;
            return is_all.then_some(Self { runs, values: Values::Numbers(numbers) });
        }
        let mut texts = Vec::new();
        for _ in 0..take_u16(&mut bytes)? {
            let length = take::<1>(&mut bytes)?[0];
            let head = bytes.split_off(..usize::from(length & !WHOLE))?;
            texts.push((head, length & WHOLE != 0));
        }
        let codes: Vec<usize> = match form & WIDE {
            0 => bytes.split_off(..count)?.iter().map(|code| usize::from(*code)).collect(),
            _ => take_u16s(&mut bytes, count)?.collect(),
        };
        let are_known = codes.iter().all(|code| *code < texts.len());
        (bytes.is_empty() && are_known)
            .then_some(Self { runs, values: Values::Texts { texts, codes } })
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*head)
}

fn take_u16(bytes: &mut &[u8]) -> Option<usize> {
    take(bytes).map(|bytes| usize::from(u16::from_le_bytes(bytes)))
}

fn take_u16s<'a>(
    bytes: &mut &'a [u8],
    count: usize,
) -> Option<impl Iterator<Item = usize> + use<'a>> {
    let (all, _) = bytes.split_off(..2 * count)?.as_chunks::<2>();
    Some(all.iter().map(|bytes| usize::from(u16::from_le_bytes(*bytes))))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn written<'a, T>(
        mut writer: BlockWriter<'a>,
        values: &'a BTreeMap<u16, T>,
        held: impl Fn(&'a T) -> Held<'a>,
    ) -> Vec<u8> {
        let mut bytes = vec![1, 2, 3];
        for (run, value) in values {
            writer.push(*run, held(value));
        }
        writer.write(&mut bytes);
        bytes
    }

    fn runs() -> impl Strategy<Value = u16> {
        prop_oneof![0u16..6, 0u16..BLOCK as u16]
    }

    proptest! {
        #[test]
        fn numbers_are_read_as_they_were_written(
            numbers in prop::collection::btree_map(runs(), any::<f64>(), 0..40),
        ) {
            let bytes = written(BlockWriter::of_numbers(), &numbers, |value| Held::number(*value));
            let block = Block::read(&bytes).expect("a block");
            let Values::Numbers(read) = block.values else { panic!("they are numbers") };
            let read = read.iter().map(|bytes| Held::Number(u64::from_le_bytes(*bytes)));
            let expected = numbers.iter().map(|(run, value)| (usize::from(*run), Held::number(*value)));
            prop_assert!(block.runs.into_iter().zip(read).eq(expected));
        }

        #[test]
        fn texts_are_read_as_they_were_written(
            texts in prop::collection::btree_map(runs(), ".{0,40}", 0..400),
        ) {
            let bytes = written(BlockWriter::of_texts(), &texts, |value| Held::text(value));
            let block = Block::read(&bytes).expect("a block");
            let Values::Texts { texts: known, codes } = block.values else { panic!("texts") };
            let read = codes.iter().map(|code| Held::Text(known[*code].0, known[*code].1));
            let expected = texts.iter().map(|(run, value)| (usize::from(*run), Held::text(value)));
            prop_assert!(block.runs.into_iter().zip(read).eq(expected));
        }

        #[test]
        fn what_was_cut_short_is_refused_and_no_bytes_are_too_strange(
            texts in prop::collection::btree_map(runs(), "[ab]{0,2}", 1..10),
            bytes: Vec<u8>,
        ) {
            let _ = Block::read(&bytes);
            let bytes = written(BlockWriter::of_texts(), &texts, |value| Held::text(value));
            for length in 0..bytes.len() {
                prop_assert!(Block::read(&bytes[..length]).is_err());
            }
        }
    }
}
