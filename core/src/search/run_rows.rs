//! Rows of runs by number, for those who read many.

use redb::{AccessGuard, Range, ReadOnlyTable};

use super::run_view::RunView;
use crate::store::{Snapshot, StoreError};

type RowBytes = &'static [u8];

/// The table of runs' rows.
pub(super) struct RunRows {
    table: ReadOnlyTable<u32, RowBytes>,
}

impl RunRows {
    pub(super) fn open(snapshot: &Snapshot) -> Result<Self, StoreError> {
        Ok(Self { table: snapshot.run_rows()? })
    }

    /// Reads rows by their numbers; none where there is no row.
    pub(super) fn each_of(
        &self,
        numbers: impl IntoIterator<Item = u32>,
        mut read: impl FnMut(u32, Option<&RunView<'_>>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut reader = self.reader();
        for number in numbers {
            let bytes = reader.read(number)?;
            let view =
                bytes.as_ref().map(|bytes| RunView::read(number, bytes.value())).transpose()?;
            read(number, view.as_ref())?;
        }
        Ok(())
    }

    pub(super) const fn reader(&self) -> RowReader<'_> {
        RowReader { table: &self.table, last: 0, near: None }
    }
}

/// Reads rows one after the other. Numbers follow one another in the order in which runs came, so
/// the next row that a search looks at is often a neighbour of the last: going there takes a
/// fraction of the time of finding it from the root.
pub(super) struct RowReader<'a> {
    table: &'a ReadOnlyTable<u32, RowBytes>,
    last: u32,
    near: Option<Near>,
}

/// What comes after the last row in one direction.
struct Near {
    range: Range<'static, u32, RowBytes>,
    upwards: bool,
}

impl RowReader<'_> {
    /// The bytes of a row, if there is one of this number.
    pub(super) fn read(
        &mut self,
        number: u32,
    ) -> Result<Option<AccessGuard<'static, RowBytes>>, StoreError> {
        let last = std::mem::replace(&mut self.last, number);
        let upwards = last.checked_add(1) == Some(number);
        let downwards = last.checked_sub(1) == Some(number);
        if !upwards && !downwards {
            self.near = None;
            return Ok(self.table.get(number)?);
        }
        let mut near = match self.near.take() {
            Some(near) if near.upwards == upwards => near,
            _ if upwards => Near { range: self.table.range(number..)?, upwards },
            _ => Near { range: self.table.range(..=number)?, upwards },
        };
        let item = if upwards { near.range.next() } else { near.range.next_back() };
        let Some((found, bytes)) = item.transpose()? else { return Ok(None) };
        if found.value() != number {
            return Ok(None);
        }
        self.near = Some(near);
        Ok(Some(bytes))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use redb::backends::InMemoryBackend;
    use redb::{Database, ReadableDatabase, TableDefinition};

    use super::*;

    const ROWS: TableDefinition<u32, RowBytes> = TableDefinition::new("rows");

    proptest! {
        #[test]
        fn the_row_read_is_the_one_asked_for(
            held in prop::collection::btree_set(0u32..40, 0..40),
            asked in prop::collection::vec((0u32..40, -1i32..2, 0usize..5), 0..12),
        ) {
            let db = Database::builder()
                .create_with_backend(InMemoryBackend::new())
                .expect("memory does not fail");
            let txn = db.begin_write().expect("memory does not fail");
            {
                let mut table = txn.open_table(ROWS).expect("memory does not fail");
                for number in &held {
                    table.insert(number, &[*number as u8][..]).expect("memory does not fail");
                }
            }
            txn.commit().expect("memory does not fail");
            let read = db.begin_read().expect("memory does not fail");
            let rows = RunRows { table: read.open_table(ROWS).expect("it was made") };
            let mut reader = rows.reader();
            // Some numbers, and from each a few steps one way.
            for (start, step, steps) in asked {
                for at in 0..=steps as i32 {
                    let Some(number) = start.checked_add_signed(at * step) else { break };
                    let bytes = reader.read(number).expect("memory does not fail");
                    let found = bytes.map(|bytes| u32::from(bytes.value()[0]));
                    prop_assert_eq!(found, held.contains(&number).then_some(number));
                }
            }
        }
    }
}
