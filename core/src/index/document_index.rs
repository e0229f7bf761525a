//! Writing the rows of documents that are neither runs nor experiments, and the keys that find them.
//!
//! Invariants: the keys in `lookups` are exactly those that the rows ask for, those of rows that are
//! changed but not flushed included; a row is decoded and encoded at most once in a batch.

use std::collections::BTreeMap;

use redb::{ReadableTable, Table, WriteTransaction};

use super::lookup::{self, LookupKey};
use crate::document::{DocumentEdit, DocumentState};
use crate::ids::{DocumentId, DocumentKind};
use crate::registry::Version;
use crate::rows::DocumentRow;
use crate::store::StoreError;
use crate::store::snapshot::{decode, encode};
use crate::store::tables::{DOCUMENT_ROWS, LOOKUPS, SERVED_VERSIONS};

/// The tables of documents and the rows that one transaction reads and writes.
pub struct DocumentIndex<'txn> {
    table: Table<'txn, &'static [u8; 17], &'static [u8]>,
    lookups: Table<'txn, &'static [u8], ()>,
    served: Table<'txn, (&'static [u8; 17], i64), &'static [u8; 17]>,
    rows: BTreeMap<DocumentId, Held>,
}

struct Held {
    row: DocumentRow,
    changed: bool,
}

impl<'txn> DocumentIndex<'txn> {
    /// Opens the tables.
    pub fn open(txn: &'txn WriteTransaction) -> Result<Self, StoreError> {
        let (table, lookups) = (txn.open_table(DOCUMENT_ROWS)?, txn.open_table(LOOKUPS)?);
        let served = txn.open_table(SERVED_VERSIONS)?;
        Ok(Self { table, lookups, served, rows: BTreeMap::new() })
    }

    /// A document's row as it is now.
    pub fn row(&mut self, document: &DocumentId) -> Result<Option<&DocumentRow>, StoreError> {
        if !self.rows.contains_key(document) {
            let Some(bytes) = self.table.get(&document.to_bytes())? else { return Ok(None) };
            let row = decode("index-documents", bytes.value())?;
            self.rows.insert(*document, Held { row, changed: false });
        }
        Ok(self.rows.get(document).map(|held| &held.row))
    }

    /// Does to a row what an edit does to its document, which it may create.
    pub fn edit(&mut self, document: DocumentId, edit: &DocumentEdit) -> Result<(), StoreError> {
        let mut row = self.row(&document)?.cloned().unwrap_or(DocumentRow::unknown(document));
        row.edit(edit);
        self.put(row.clone())?;
        match document.kind() {
            Some(DocumentKind::ModelVersion) => self.note_served(&Version { row }),
            _ => Ok(()),
        }
    }

    /// Makes a document's row anew of what it says.
    pub fn replace(
        &mut self,
        document: DocumentId,
        state: &DocumentState,
    ) -> Result<(), StoreError> {
        self.put(DocumentRow::of(document, state))
    }

    fn put(&mut self, row: DocumentRow) -> Result<(), StoreError> {
        let old = self.row(&row.document)?.map(lookup::keys_of).unwrap_or_default();
        let new = lookup::keys_of(&row);
        for key in old.iter().filter(|key| !new.contains(key)) {
            self.lookups.remove(key.as_bytes())?;
        }
        for key in new.iter().filter(|key| !old.contains(key)) {
            self.lookups.insert(key.as_bytes(), ())?;
        }
        self.rows.insert(row.document, Held { row, changed: true });
        Ok(())
    }

    /// The documents whose keys have this head, in order.
    pub fn find(&self, head: &LookupKey) -> Result<Vec<DocumentId>, StoreError> {
        let range = self.lookups.range::<&[u8]>(head.as_bytes()..head.end().as_slice())?;
        let found = range.map(|item| Ok(lookup::document_of(item?.0.value())));
        found.filter_map(Result::transpose).collect()
    }

    /// The last document whose key has this head.
    pub fn find_last(&self, head: &LookupKey) -> Result<Option<DocumentId>, StoreError> {
        let mut range = self.lookups.range::<&[u8]>(head.as_bytes()..head.end().as_slice())?;
        let last = range.next_back().transpose()?;
        Ok(last.and_then(|(key, _)| lookup::document_of(key.value())))
    }

    /// The version that this device served last under a number of a model.
    pub fn served_version(
        &self,
        model: &DocumentId,
        number: i64,
    ) -> Result<Option<DocumentId>, StoreError> {
        let served = self.served.get((&model.to_bytes(), number))?;
        Ok(served.map(|id| DocumentId::from_bytes(id.value())))
    }

    /// Who asked for the edit is told the version's number, and so it is served from then on.
    fn note_served(&mut self, version: &Version) -> Result<(), StoreError> {
        let Some(model) = version.model() else { return Ok(()) };
        let (model, number) = (model.to_bytes(), version.number());
        if self.served.get((&model, number))?.is_none() {
            self.served.insert((&model, number), &version.id().to_bytes())?;
        }
        Ok(())
    }

    /// All documents of a kind, in order of their ids.
    pub fn of_kind(&self, kind: DocumentKind) -> Result<Vec<DocumentId>, StoreError> {
        let [low, high] = DocumentId::all_of(kind);
        let mut found: Vec<DocumentId> = self.rows.range(low..=high).map(|(id, _)| *id).collect();
        for item in self.table.range::<&[u8; 17]>(&low.to_bytes()..=&high.to_bytes())? {
            found.push(DocumentId::from_bytes(item?.0.value()));
        }
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    /// Takes out a document's row, as if it had never been put.
    pub fn forget(&mut self, document: &DocumentId) -> Result<(), StoreError> {
        let keys = self.row(document)?.map(lookup::keys_of).unwrap_or_default();
        for key in keys {
            self.lookups.remove(key.as_bytes())?;
        }
        self.rows.remove(document);
        self.table.remove(&document.to_bytes())?;
        Ok(())
    }

    /// Writes all changed rows and closes the tables.
    pub fn flush(mut self) -> Result<(), StoreError> {
        for (document, held) in self.rows.iter().filter(|(_, held)| held.changed) {
            self.table.insert(&document.to_bytes(), encode(&held.row).as_slice())?;
        }
        Ok(())
    }
}
