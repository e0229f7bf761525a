//! What the runs of one experiment have in one field, in memory, by run number.
//!
//! A number takes eight bytes, a text four: the code of a place in a list of texts. Runs stand in
//! blocks of [`BLOCK`], and a block in which no run has a value takes nothing. A copy shares its
//! blocks, and only those are copied that change in it.
//!
//! Invariants: texts are kept as blocks of the index keep them (`index::column_block`), so a column is
//! the same whether it was read from blocks or from rows; two codes may stand for one text.

use std::sync::Arc;

use super::run_texts::{KnownTexts, NO_TEXT, Texts};
use crate::index::column_block::{BLOCK, Block as StoredBlock, Held, NO_NUMBER, Values};

/// What runs have in one field.
#[derive(Debug, Clone)]
pub(super) enum RunColumn {
    /// Numbers, as eight bytes that sort as they do.
    Numbers(Blocks<u64>),
    /// Codes of texts.
    Texts(Blocks<u32>, Arc<Texts>),
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

impl RunColumn {
    /// A column of numbers in which no run has one.
    pub(super) const fn of_numbers() -> Self {
        Self::Numbers(Blocks::new(NO_NUMBER))
    }

    /// A column of texts in which no run has one.
    pub(super) fn of_texts() -> Self {
        Self::Texts(Blocks::new(NO_TEXT), Arc::default())
    }

    /// A column of texts, and the code of the text that each run has: its place among them, from 1.
    pub(super) fn of_few_texts(texts: &[Arc<str>], runs: impl Iterator<Item = (u32, u32)>) -> Self {
        let (mut blocks, mut all) = (Blocks::new(NO_TEXT), Texts::default());
        for text in texts {
            if let Held::Text(head, whole) = Held::text(text) {
                all.push(head, whole);
            }
        }
        all.close();
        runs.for_each(|(number, code)| blocks.set(number, code));
        Self::Texts(blocks, Arc::new(all))
    }

    /// Sets what a run has.
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
                let known = if same(last) { Some(last) } else { texts.known(head, whole) };
                let code = known.unwrap_or_else(|| Arc::make_mut(texts).push(head, whole));
                blocks.set(number, code);
            }
            (Self::Texts(blocks, _), _) => blocks.set(number, NO_TEXT),
        }
    }

    /// Sets what the runs of a block of the store have.
    pub(super) fn set_block(&mut self, at: usize, block: &StoredBlock<'_>, known: &mut KnownTexts) {
        let runs = block.runs.iter().map(|run| (at * BLOCK + run) as u32);
        match (self, &block.values) {
            (Self::Numbers(blocks), Values::Numbers(numbers)) => {
                for (number, bytes) in runs.zip(*numbers) {
                    blocks.set(number, u64::from_le_bytes(*bytes));
                }
            }
            (Self::Texts(blocks, all), Values::Texts { texts, codes }) => {
                let all = Arc::make_mut(all);
                let mut code_of = |(head, whole): &(&[u8], bool)| known.code(all, head, *whole);
                let texts: Vec<u32> = texts.iter().map(&mut code_of).collect();
                for (number, code) in runs.zip(codes) {
                    blocks.set(number, texts[*code]);
                }
            }
            _ => {}
        }
    }

    /// Says that the column was read, and is only changed from here on.
    pub(super) fn close(&mut self) {
        if let Self::Texts(_, texts) = self {
            Arc::make_mut(texts).close();
        }
    }

    /// Whether so many texts were added since the column was read that reading it anew is better.
    pub(super) fn is_worn(&self) -> bool {
        match self {
            Self::Texts(_, texts) => texts.are_worn(),
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
            Self::Texts(blocks, texts) => blocks.bytes() + texts.bytes(),
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
