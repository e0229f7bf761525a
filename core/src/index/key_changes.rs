//! Changes of ordered keys, gathered and made in the order of the keys.
//!
//! The keys of one run lie far apart in the table, those of many runs close together: made run by
//! run, every change would touch a page of its own.
//!
//! Invariant: of one key, changes are made in the order in which they were gathered.

use redb::Table;

use crate::store::StoreError;

/// When so many bytes of keys have gathered, they are made: memory stays bounded, however many runs
/// a transaction writes.
const MAX_BYTES: usize = 16 << 20;

/// What becomes of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Come,
    Go,
}

impl Change {
    /// Makes it at once.
    pub(super) fn make(
        self,
        table: &mut Table<'_, &'static [u8], ()>,
        key: &[u8],
    ) -> Result<(), StoreError> {
        match self {
            Self::Come => drop(table.insert(key, ())?),
            Self::Go => {
                let found = table.remove(key)?.is_some();
                debug_assert!(found, "the old row of a run is not the one that was put");
            }
        }
        Ok(())
    }
}

/// Changes that are not made yet.
#[derive(Debug, Default)]
pub(super) struct KeyChanges {
    /// All keys, one after the other.
    bytes: Vec<u8>,
    /// Where each key begins and ends, in the order in which they were gathered.
    changes: Vec<(u32, u32, Change)>,
}

impl KeyChanges {
    /// Takes a change in.
    pub(super) fn push(&mut self, key: &[u8], change: Change) {
        let place = |length: usize| u32::try_from(length).expect("they are made long before");
        let start = place(self.bytes.len());
        self.bytes.extend_from_slice(key);
        self.changes.push((start, place(self.bytes.len()), change));
    }

    /// Whether they shall be made before more are taken in.
    pub(super) const fn is_full(&self) -> bool {
        self.bytes.len() >= MAX_BYTES
    }

    /// Makes all of them.
    pub(super) fn make(
        &mut self,
        table: &mut Table<'_, &'static [u8], ()>,
    ) -> Result<(), StoreError> {
        let Self { bytes, changes } = self;
        let key = |start: u32, end: u32| &bytes[start as usize..end as usize];
        // A stable sort keeps the changes of one key in order.
        changes.sort_by(|a, b| key(a.0, a.1).cmp(key(b.0, b.1)));
        for (start, end, change) in changes.drain(..) {
            change.make(table, key(start, end))?;
        }
        bytes.clear();
        Ok(())
    }
}
