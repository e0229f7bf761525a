//! Which runs each commit changed, so that what is kept in memory of runs can be brought up to date.
//!
//! A commit that changes rows of runs gets the next number, and the runs' numbers are kept under it,
//! little-endian. No numbers at all stand for any run: the index was made anew. A snapshot holds the
//! number of the last change that it shows, so whoever kept something of one snapshot knows what
//! differs in another, and no reader has to agree with the writer on anything.
//!
//! Invariants: a number is never used twice, also when the index is made anew; only the last
//! [`KEPT`] changes are there.

use std::collections::BTreeSet;

use redb::{ReadTransaction, ReadableTable, WriteTransaction};

use crate::store::StoreError;
use crate::store::tables::{RUN_CHANGES, open_if_there};

/// How many changes are kept: what is older is read anew.
const KEPT: u64 = 4_096;

/// Notes that the rows of these runs were put. None of them is no change.
pub(crate) fn note(
    txn: &WriteTransaction,
    runs: impl Iterator<Item = u32>,
) -> Result<(), StoreError> {
    let bytes: Vec<u8> = runs.flat_map(u32::to_le_bytes).collect();
    if bytes.is_empty() { Ok(()) } else { push(txn, &bytes) }
}

/// Notes that the row of any run may be another.
pub(crate) fn note_all(txn: &WriteTransaction) -> Result<(), StoreError> {
    push(txn, &[])
}

fn push(txn: &WriteTransaction, bytes: &[u8]) -> Result<(), StoreError> {
    let mut table = txn.open_table(RUN_CHANGES)?;
    let last = table.last()?.map_or(0, |(number, _)| number.value());
    table.insert(last + 1, bytes)?;
    if let Some(old) = (last + 1).checked_sub(KEPT) {
        table.remove(old)?;
    }
    Ok(())
}

/// The number of the last change that a snapshot shows; none before the first.
pub(crate) fn last(txn: &ReadTransaction) -> Result<Option<u64>, StoreError> {
    let Some(table) = open_if_there(txn, RUN_CHANGES)? else { return Ok(None) };
    Ok(table.last()?.map(|(number, _)| number.value()))
}

/// The runs that changes after one and up to another put; none if that may be any.
pub(crate) fn between(
    txn: &ReadTransaction,
    after: u64,
    until: u64,
) -> Result<Option<BTreeSet<u32>>, StoreError> {
    let mut runs = BTreeSet::new();
    let mut expected = after + 1;
    for item in txn.open_table(RUN_CHANGES)?.range(expected..=until)? {
        let (number, bytes) = item?;
        if number.value() != expected || bytes.value().is_empty() {
            return Ok(None);
        }
        let (numbers, _) = bytes.value().as_chunks();
        runs.extend(numbers.iter().map(|number| u32::from_le_bytes(*number)));
        expected += 1;
    }
    Ok((expected == until + 1).then_some(runs))
}

#[cfg(test)]
mod tests {
    use redb::backends::InMemoryBackend;
    use redb::{Database, ReadableDatabase};

    use super::*;

    #[test]
    fn what_changed_between_two_snapshots_is_known_as_long_as_it_is_kept() -> Result<(), StoreError>
    {
        let db = Database::builder().create_with_backend(InMemoryBackend::new())?;
        assert_eq!(last(&db.begin_read()?)?, None);
        let write = |work: &dyn Fn(&WriteTransaction) -> Result<(), StoreError>| {
            let txn = db.begin_write()?;
            work(&txn)?;
            txn.commit().map_err(StoreError::from)
        };
        write(&|txn| note(txn, [7, 300].into_iter()))?;
        write(&|txn| note(txn, std::iter::empty()))?;
        write(&|txn| note(txn, [7, 9].into_iter()))?;
        let read = db.begin_read()?;
        assert_eq!(last(&read)?, Some(2));
        assert_eq!(between(&read, 0, 2)?, Some([7, 9, 300].into()));
        assert_eq!(between(&read, 1, 2)?, Some([7, 9].into()));
        assert_eq!(between(&read, 2, 2)?, Some(BTreeSet::new()));
        write(&note_all)?;
        assert_eq!(between(&db.begin_read()?, 2, 3)?, None);
        write(&|txn| (0..=KEPT).try_for_each(|_| note(txn, std::iter::once(1))))?;
        let read = db.begin_read()?;
        let end = last(&read)?.expect("there are changes");
        assert_eq!(between(&read, end - KEPT, end)?, Some([1].into()));
        assert_eq!(between(&read, end - KEPT - 1, end)?, None);
        Ok(())
    }
}
