//! Columns of runs in the store: what searches look at instead of rows.
//!
//! A column holds what the runs of one experiment have in one field, in blocks by run number. Run
//! numbers are given in order of arrival, so whatever runs are written, few blocks change; ordered keys,
//! one for each value, would lie all over the table.
//!
//! A run whose row was put is *loose* at first: its block may say of it what was. Once many runs of
//! a block are, the block is folded: all of its columns are made anew from the rows. Who reads a column
//! reads the rows of loose runs too.
//!
//! Invariant: of a run that is not loose, the columns of its block say exactly what its row does, and
//! only under its experiment.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use redb::{ReadableTable, Table, WriteTransaction};

use super::column_block::{BLOCK, BlockWriter, Held};
use crate::ids::ExperimentId;
use crate::rows::{RunHead, cut_short, damaged_run};
use crate::store::StoreError;
use crate::store::tables::{COLUMNS, ColumnPlace, LOOSE};

/// So many loose runs are too many for the last block, and for one that all of its runs have come to.
/// Each is a row to read for who reads a column first, but folding takes as long as reading all rows of
/// a block, and many times their memory: those of a few hundred params take a tenth of the limit.
const FOLD_AT: Limits = Limits { last: 1_024, full: 64, bytes: 64 << 20 };
pub(super) const SPAN: u32 = BLOCK as u32;
const LOOSE_BYTES: usize = BLOCK / 8;

/// What a column is of. The numbers are part of the table's format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub(crate) enum Column {
    /// The run's start.
    Start = 0,
    /// The latest value of a metric, in whatever context.
    Metric = 1,
    /// The value of a param.
    Param = 2,
    /// The value of a tag.
    Tag = 3,
    /// The run's name.
    Name = 4,
    /// Who ran it.
    User = 5,
    /// Its status.
    Status = 6,
    /// Its end.
    End = 7,
    /// From start to end.
    Duration = 8,
    /// The note that people edit.
    Description = 9,
    /// Whether it is in use.
    Lifecycle = 10,
}

impl Column {
    /// Whether its values are texts; others are numbers.
    pub(crate) const fn is_of_texts(self) -> bool {
        !matches!(self, Self::Start | Self::Metric | Self::End | Self::Duration)
    }
}

/// Columns, for the one who writes.
pub(super) struct Columns<'txn> {
    blocks: Table<'txn, ColumnPlace, &'static [u8]>,
    /// A block to its loose runs: see [`Loose`].
    loose: Table<'txn, u32, &'static [u8]>,
    /// Runs whose rows were put, and that are not noted as loose yet.
    put: BTreeSet<u32>,
    /// Blocks that say something of runs whose rows were taken out.
    gone: BTreeSet<u32>,
    fold_at: Limits,
}

/// When to fold a block.
struct Limits {
    /// How many loose runs are too many for the last block.
    last: u32,
    /// And for all others.
    full: u32,
    /// What the rows of a block may take.
    bytes: usize,
}

impl<'txn> Columns<'txn> {
    pub(super) fn open(txn: &'txn WriteTransaction) -> Result<Self, StoreError> {
        let (blocks, loose) = (txn.open_table(COLUMNS)?, txn.open_table(LOOSE)?);
        Ok(Self { blocks, loose, put: BTreeSet::new(), gone: BTreeSet::new(), fold_at: FOLD_AT })
    }

    /// Folds blocks that have so many loose runs and whose rows take no more than this.
    #[cfg(test)]
    pub(super) const fn fold_at(&mut self, loose: u32, bytes: usize) {
        self.fold_at = Limits { last: loose, full: loose, bytes };
    }

    /// Notes that a run's row was put.
    pub(super) fn note(&mut self, run: u32) {
        self.put.insert(run);
    }

    /// Notes that a run's row was taken out.
    pub(super) fn forget(&mut self, run: u32) {
        self.gone.insert(run / SPAN);
    }

    /// Makes the columns tell of the rows that were put, and nothing of those that were taken out.
    pub(super) fn flush(
        &mut self,
        rows: &impl ReadableTable<u32, &'static [u8]>,
        mut key_number: impl FnMut(&str) -> Result<u32, StoreError>,
    ) -> Result<(), StoreError> {
        for block in std::mem::take(&mut self.gone) {
            self.put.retain(|run| run / SPAN != block);
            self.make_anew(block, rows, &mut key_number)?;
        }
        let last_block = rows.last()?.map_or(0, |(run, _)| run.value() / SPAN);
        let put: Vec<u32> = std::mem::take(&mut self.put).into_iter().collect();
        for runs in put.chunk_by(|a, b| a / SPAN == b / SPAN) {
            let block = runs[0] / SPAN;
            let mut loose = match self.loose.get(block)? {
                Some(bytes) => Loose::read(bytes.value())?,
                None => Loose::none(),
            };
            runs.iter().for_each(|run| loose.add(run % SPAN));
            let too_many = match block == last_block {
                true => self.fold_at.last,
                false => self.fold_at.full,
            };
            if loose.count() >= too_many && loose.count() / too_many > loose.too_large_at / too_many
            {
                if self.fold(block, rows, &mut key_number)? {
                    self.loose.remove(block)?;
                    continue;
                }
                loose.too_large_at = loose.count();
            }
            self.loose.insert(block, loose.bytes().as_slice())?;
        }
        Ok(())
    }

    /// Makes all columns of a block anew, so that they say only what its rows do.
    fn make_anew(
        &mut self,
        block: u32,
        rows: &impl ReadableTable<u32, &'static [u8]>,
        key_number: &mut impl FnMut(&str) -> Result<u32, StoreError>,
    ) -> Result<(), StoreError> {
        self.loose.remove(block)?;
        if self.fold(block, rows, key_number)? {
            return Ok(());
        }
        self.blocks.retain_in(all_columns(block), |_, _| false)?;
        let mut loose = Loose::none();
        let first = block * SPAN;
        for item in rows.range(first..=first + (SPAN - 1))? {
            loose.add(item?.0.value() - first);
        }
        loose.too_large_at = loose.count();
        self.loose.insert(block, loose.bytes().as_slice())?;
        Ok(())
    }

    /// Makes all columns of a block anew, unless its rows are so large that their values would take too
    /// much memory.
    fn fold(
        &mut self,
        block: u32,
        rows: &impl ReadableTable<u32, &'static [u8]>,
        key_number: &mut impl FnMut(&str) -> Result<u32, StoreError>,
    ) -> Result<bool, StoreError> {
        let first = block * SPAN;
        let mut held = Vec::with_capacity(BLOCK);
        let mut length = 0;
        for item in rows.range(first..=first + (SPAN - 1))? {
            let (number, bytes) = item?;
            length += bytes.value().len();
            if length > self.fold_at.bytes {
                return Ok(false);
            }
            held.push(((number.value() - first) as u16, bytes));
        }
        let mut folded = Folded::default();
        for (run, bytes) in &held {
            folded.add(*run, bytes.value(), key_number)?;
        }
        self.blocks.retain_in(all_columns(block), |_, _| false)?;
        let mut bytes = Vec::new();
        // In the order of their places, which is how they lie in the table.
        let columns: BTreeMap<_, _> = folded.0.into_iter().collect();
        for ((experiment, column, key), writer) in columns {
            writer.write(&mut bytes);
            self.blocks.insert((block, experiment.0, column as u8, key), bytes.as_slice())?;
        }
        Ok(true)
    }
}

/// The places of all columns of a block.
fn all_columns(block: u32) -> std::ops::RangeInclusive<(u32, u64, u8, u32)> {
    (block, 0, 0, 0)..=(block, u64::MAX, u8::MAX, u32::MAX)
}

/// The columns of a block in the making.
#[derive(Default)]
struct Folded<'a>(HashMap<(ExperimentId, Column, u32), BlockWriter<'a>>);

impl<'a> Folded<'a> {
    /// Takes in what the row of a run says.
    fn add(
        &mut self,
        run: u16,
        row: &'a [u8],
        key_number: &mut impl FnMut(&str) -> Result<u32, StoreError>,
    ) -> Result<(), StoreError> {
        let (head, mut rest) = RunHead::read(row)?;
        let mut push = |column: Column, key, held| {
            if held == Held::Nothing {
                return;
            }
            let make = || match column.is_of_texts() {
                true => BlockWriter::of_texts(),
                false => BlockWriter::of_numbers(),
            };
            let writer = self.0.entry((head.experiment, column, key)).or_insert_with(make);
            writer.push(run, held);
        };
        let integer = |value: Option<i64>| value.map_or(Held::Nothing, Held::integer);
        push(Column::Start, 0, Held::integer(head.start_ms));
        push(Column::End, 0, integer(head.end_ms));
        push(Column::Duration, 0, integer(head.duration_ms()));
        push(Column::Name, 0, Held::text(head.name));
        push(Column::User, 0, Held::text(head.user));
        push(Column::Status, 0, Held::text(head.status.as_str()));
        push(Column::Lifecycle, 0, Held::text(head.lifecycle.as_str()));
        push(Column::Description, 0, head.description().map_or(Held::Nothing, Held::text));
        for column in [Column::Param, Column::Tag] {
            for _ in 0..rest.length().ok_or_else(cut_short)? {
                let (key, value) = rest.next_pair().ok_or_else(cut_short)?;
                push(column, key_number(text(key)?)?, Held::text(text(value)?));
            }
        }
        // The points of one metric follow one another: one for each context.
        let mut latest = None;
        for _ in 0..rest.length().ok_or_else(cut_short)? {
            let (key, point) = rest.next_metric().ok_or_else(cut_short)?;
            latest = match latest {
                Some((same, held)) if same == key => {
                    Some((key, std::cmp::max_by(held, point, |a, b| a.latest_order(b))))
                }
                other => {
                    if let Some((key, point)) = other {
                        push(Column::Metric, key_number(text(key)?)?, Held::number(point.value));
                    }
                    Some((key, point))
                }
            };
        }
        if let Some((key, point)) = latest {
            push(Column::Metric, key_number(text(key)?)?, Held::number(point.value));
        }
        Ok(())
    }
}

fn text(bytes: &[u8]) -> Result<&str, StoreError> {
    std::str::from_utf8(bytes).map_err(|_| damaged_run(postcard::Error::DeserializeBadUtf8))
}

/// The loose runs of a block.
pub(super) struct Loose {
    /// A bit for each.
    runs: [u8; LOOSE_BYTES],
    /// How many there were when the block was last too large to be folded; 0 if it never was.
    too_large_at: u32,
}

impl Loose {
    const fn none() -> Self {
        Self { runs: [0; LOOSE_BYTES], too_large_at: 0 }
    }

    pub(super) fn read(bytes: &[u8]) -> Result<Self, StoreError> {
        let parts = bytes.split_first_chunk::<LOOSE_BYTES>();
        let parts = parts.and_then(|(runs, rest)| Some((*runs, <[u8; 4]>::try_from(rest).ok()?)));
        let (runs, too_large_at) = parts.ok_or(StoreError::NotOurs(
            "the list of loose runs is damaged; `runmesh doctor --rebuild` makes it anew",
        ))?;
        Ok(Self { runs, too_large_at: u32::from_le_bytes(too_large_at) })
    }

    fn bytes(&self) -> Vec<u8> {
        [&self.runs[..], &self.too_large_at.to_le_bytes()].concat()
    }

    fn add(&mut self, run: u32) {
        self.runs[run as usize / 8] |= 1 << (run % 8);
    }

    fn count(&self) -> u32 {
        self.runs.iter().map(|byte| byte.count_ones()).sum()
    }

    /// Their places in the block.
    pub(super) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        (0..SPAN).filter(|run| self.runs[*run as usize / 8] & (1 << (run % 8)) != 0)
    }
}
