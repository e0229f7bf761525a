//! What the runs of one experiment have in one field, in memory, by run number.
//!
//! A number takes eight bytes, a text four: the code of a place in a list of texts. Runs stand in
//! blocks of [`BLOCK`], and a block in which no run has a value takes nothing. A copy shares its
//! blocks, and only those are copied that change in it.
//!
//! Invariants: texts are kept as keys of the index keep them (`index::value_key`), so a column is
//! the same whether it was read from keys or from rows; two codes may stand for one text.

use std::cmp::Ordering;
use std::sync::{Arc, OnceLock};

use crate::index::value_key;

/// How many runs stand in one block.
pub(super) const BLOCK: usize = 4_096;
/// The number of a run that has none.
pub(super) const NO_NUMBER: u64 = u64::MAX;
/// Stands for NaN. All other numbers are below it.
pub(super) const NAN: u64 = u64::MAX - 1;
/// The code of a run that has no text.
pub(super) const NO_TEXT: u32 = 0;

/// What runs have in one field.
#[derive(Debug, Clone)]
pub(super) enum RunColumn {
    /// Numbers, as eight bytes that sort as they do.
    Numbers(Blocks<u64>),
    /// Codes of texts.
    Texts(Blocks<u32>, Arc<Texts>),
}

/// What a run has in a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Held<'a> {
    Nothing,
    Number(u64),
    /// As much of a text as a key holds, and whether that is all.
    Text(&'a [u8], bool),
}

/// Values by run number.
#[derive(Debug, Clone)]
pub(super) struct Blocks<T> {
    nothing: T,
    blocks: Vec<Option<Block<T>>>,
}

#[derive(Debug, Clone)]
pub(super) struct Block<T> {
    pub(super) values: Arc<[T; BLOCK]>,
    /// No value is less or more, but for runs that have none.
    pub(super) least: T,
    pub(super) most: T,
}

/// Texts by code.
#[derive(Debug, Clone, Default)]
pub(super) struct Texts {
    bytes: Vec<u8>,
    /// Where each text ends.
    ends: Vec<u32>,
    whole: Vec<bool>,
    /// How many there were when the column was read.
    read: usize,
    ranks: OnceLock<Ranks>,
}

/// The order of texts.
#[derive(Debug, Clone)]
pub(super) struct Ranks {
    /// By code: texts that tie in the index have one rank.
    pub(super) of: Vec<u32>,
    /// By rank, a code of it.
    codes: Vec<u32>,
}

impl Held<'_> {
    /// A number that is no integer.
    pub(super) fn number(value: f64) -> Self {
        Self::of_number(value_key::number(value))
    }

    /// A number as keys hold it.
    pub(super) const fn of_number(bytes: [u8; 8]) -> Self {
        match u64::from_be_bytes(bytes) {
            // A key's place for NaN; integers that high do not sort apart.
            u64::MAX => Self::Number(NAN),
            value => Self::Number(value),
        }
    }

    /// An integer as keys hold it.
    pub(super) fn of_integer(bytes: [u8; 8]) -> Self {
        Self::Number(u64::from_be_bytes(bytes).min(NAN - 1))
    }
}

impl<'a> Held<'a> {
    /// A whole text.
    pub(super) fn text(value: &'a str) -> Self {
        let head = value_key::text(value);
        Self::Text(head, head.len() == value.len() && head.len() < value_key::TEXT_BYTES)
    }
}

impl<T: Copy + Ord> Blocks<T> {
    const fn new(nothing: T) -> Self {
        Self { nothing, blocks: Vec::new() }
    }

    pub(super) fn get(&self, number: u32) -> T {
        let at = number as usize;
        self.block(at / BLOCK).map_or(self.nothing, |block| block.values[at % BLOCK])
    }

    fn set(&mut self, number: u32, value: T) {
        let (at, within) = (number as usize / BLOCK, number as usize % BLOCK);
        let nothing = self.nothing;
        if value == nothing && self.block(at).is_none() {
            return;
        }
        if self.blocks.len() <= at {
            self.blocks.resize_with(at + 1, || None);
        }
        let block = self.blocks[at].get_or_insert_with(|| Block {
            values: Arc::new([nothing; BLOCK]),
            least: value,
            most: value,
        });
        Arc::make_mut(&mut block.values)[within] = value;
        if value != nothing {
            block.least = block.least.min(value);
            block.most = block.most.max(value);
        }
    }

    /// A block, if a run in it has a value.
    pub(super) fn block(&self, at: usize) -> Option<&Block<T>> {
        self.blocks.get(at)?.as_ref()
    }

    /// How many blocks there are.
    pub(super) const fn len(&self) -> usize {
        self.blocks.len()
    }

    fn bytes(&self) -> usize {
        let held = self.blocks.iter().flatten().count();
        held * BLOCK * size_of::<T>() + self.blocks.capacity() * size_of::<Option<Block<T>>>()
    }
}

impl Texts {
    fn push(&mut self, head: &[u8], whole: bool) -> u32 {
        self.ranks = OnceLock::new();
        self.bytes.extend_from_slice(head);
        self.ends.push(u32::try_from(self.bytes.len()).expect("32 bytes for each of few runs"));
        self.whole.push(whole);
        self.ends.len() as u32
    }

    /// How many codes there are; they start at 1.
    pub(super) const fn len(&self) -> usize {
        self.ends.len()
    }

    /// What a code stands for.
    pub(super) fn get(&self, code: u32) -> (&[u8], bool) {
        let at = code as usize - 1;
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before] as usize);
        (&self.bytes[start..self.ends[at] as usize], self.whole[at])
    }

    /// Whether none is cut.
    fn are_whole(&self) -> bool {
        self.whole.iter().all(|whole| *whole)
    }

    /// The order of all texts.
    pub(super) fn ranks(&self) -> &Ranks {
        self.ranks.get_or_init(|| {
            let place = |code: &u32| self.get(*code).0;
            let mut order: Vec<u32> = (1..=self.len() as u32).collect();
            order.sort_by(|a, b| place(a).cmp(place(b)));
            let mut ranks = Ranks { of: vec![0; self.len() + 1], codes: Vec::new() };
            for code in order {
                if ranks.codes.last().is_none_or(|last| place(last) != place(&code)) {
                    ranks.codes.push(code);
                }
                ranks.of[code as usize] = ranks.codes.len() as u32 - 1;
            }
            ranks
        })
    }

    /// How many places come before a text, by rank.
    pub(super) fn ranks_before(&self, text: &str, itself: bool) -> u32 {
        let head = value_key::text(text);
        let before = self.ranks().codes.partition_point(|code| {
            let order = self.get(*code).0.cmp(head);
            order == Ordering::Less || (itself && order == Ordering::Equal)
        });
        before as u32
    }
}

impl RunColumn {
    /// A column of numbers in which no run has one.
    pub(super) const fn of_numbers() -> Self {
        Self::Numbers(Blocks::new(NO_NUMBER))
    }

    /// A column of texts in which no run has one.
    pub(super) fn of_texts() -> Self {
        Self::Texts(Blocks::new(NO_TEXT), Arc::default())
    }

    /// Sets what a run has. Runs that follow one another had better have texts in order: then each
    /// text is kept once.
    pub(super) fn set(&mut self, number: u32, held: Held<'_>) {
        match (self, held) {
            (Self::Numbers(blocks), Held::Number(value)) => blocks.set(number, value),
            (Self::Numbers(blocks), _) => blocks.set(number, NO_NUMBER),
            (Self::Texts(blocks, texts), Held::Text(head, whole)) => {
                let same = |code: u32| code != NO_TEXT && texts.get(code) == (head, whole);
                let last = texts.len() as u32;
                if same(blocks.get(number)) {
                    return;
                }
                let code = match same(last) {
                    true => last,
                    false => Arc::make_mut(texts).push(head, whole),
                };
                blocks.set(number, code);
            }
            (Self::Texts(blocks, _), _) => blocks.set(number, NO_TEXT),
        }
    }

    /// Sets the code of a text that the column has.
    pub(super) fn set_code(&mut self, number: u32, code: u32) {
        if let Self::Texts(blocks, _) = self {
            blocks.set(number, code);
        }
    }

    /// The code that was given last.
    pub(super) fn last_code(&self) -> u32 {
        match self {
            Self::Texts(_, texts) => texts.len() as u32,
            Self::Numbers(_) => NO_TEXT,
        }
    }

    /// Says that the column was read, and is only changed from here on.
    pub(super) fn close(&mut self) {
        if let Self::Texts(_, texts) = self {
            let texts = Arc::make_mut(texts);
            texts.read = texts.len();
            texts.bytes.shrink_to_fit();
        }
    }

    /// Whether so many texts were added since the column was read that reading it anew is better.
    pub(super) fn is_worn(&self) -> bool {
        const FEW: usize = 1 << 16;
        match self {
            Self::Texts(_, texts) => texts.len() - texts.read > texts.read.max(FEW),
            Self::Numbers(_) => false,
        }
    }

    /// Whether it holds all of what runs have: of a long text it has only a part.
    pub(super) fn is_exact(&self) -> bool {
        match self {
            Self::Numbers(_) => true,
            Self::Texts(_, texts) => texts.are_whole(),
        }
    }

    /// What it takes in memory, in bytes.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Numbers(blocks) => blocks.bytes(),
            Self::Texts(blocks, texts) => {
                // Ranks are not there yet, but may come.
                let each = size_of::<u32>() * 3 + 1;
                blocks.bytes() + texts.bytes.capacity() + texts.ends.capacity() * each
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_holds_what_was_set_last() {
        let mut column = RunColumn::of_texts();
        for (number, text) in [(0, "b"), (9_000, "b"), (1, "a"), (0, "c"), (0, "c")] {
            column.set(number, Held::text(text));
        }
        let earlier = column.clone();
        column.set(1, Held::Nothing);
        column.set(20_000, Held::Nothing);
        let shown = |column: &RunColumn, number| match column {
            RunColumn::Texts(blocks, texts) => match blocks.get(number) {
                NO_TEXT => None,
                code => Some(texts.get(code).0.to_vec()),
            },
            RunColumn::Numbers(_) => None,
        };
        assert_eq!(shown(&column, 0), Some(b"c".to_vec()));
        assert_eq!(shown(&column, 9_000), Some(b"b".to_vec()));
        assert_eq!((shown(&column, 1), shown(&earlier, 1)), (None, Some(b"a".to_vec())));
        let RunColumn::Texts(blocks, texts) = &column else { panic!("it is of texts") };
        assert_eq!((blocks.len(), texts.len()), (3, 3));
        let ranks: Vec<u32> = (1..=3).map(|code| texts.ranks().of[code]).collect();
        assert_eq!(ranks, [1, 0, 2]);
        assert_eq!((texts.ranks_before("b", false), texts.ranks_before("b", true)), (1, 2));
    }
}
