//! Reading documents that are neither runs nor experiments, and finding them by keys.

use redb::ReadableTable;

use super::super::StoreError;
use super::super::tables::{DOCUMENT_ROWS, LOOKUPS, SERVED_VERSIONS};
use super::{Snapshot, decode};
use crate::ids::{DocumentId, DocumentKind, ExperimentId};
use crate::index::{Lookup, LookupKey, by_experiment, document_of, time_of};
use crate::rows::DocumentRow;

impl Snapshot {
    /// A document that is neither a run nor an experiment.
    pub fn document(&self, id: &DocumentId) -> Result<Option<DocumentRow>, StoreError> {
        let bytes = self.txn.open_table(DOCUMENT_ROWS)?.get(&id.to_bytes())?;
        bytes.map(|bytes| decode("index-documents", bytes.value())).transpose()
    }

    /// All documents that are neither runs nor experiments, by kind and id.
    pub fn documents(
        &self,
    ) -> Result<impl Iterator<Item = Result<DocumentRow, StoreError>> + use<>, StoreError> {
        let rows = self.txn.open_table(DOCUMENT_ROWS)?.range::<&[u8; 17]>(..)?;
        Ok(rows.map(|item| decode("index-documents", item?.1.value())))
    }

    /// All documents of a kind that has rows of this form, by id.
    pub fn documents_of(
        &self,
        kind: DocumentKind,
    ) -> Result<impl Iterator<Item = Result<DocumentRow, StoreError>> + use<>, StoreError> {
        let [low, high] = DocumentId::all_of(kind).map(DocumentId::to_bytes);
        let rows = self.txn.open_table(DOCUMENT_ROWS)?.range::<&[u8; 17]>(&low..=&high)?;
        Ok(rows.map(|item| decode("index-documents", item?.1.value())))
    }

    /// The documents whose keys have this head, in order or backwards.
    pub fn find(
        &self,
        head: &LookupKey,
    ) -> Result<impl DoubleEndedIterator<Item = Result<DocumentId, StoreError>> + use<>, StoreError>
    {
        let end = head.end();
        let keys = self.txn.open_table(LOOKUPS)?;
        let keys = keys.range::<&[u8]>(head.as_bytes()..end.as_slice())?;
        let damaged = || StoreError::NotOurs("a key of the index is damaged; rebuild the index");
        Ok(keys.map(move |item| document_of(item?.0.value()).ok_or_else(damaged)))
    }

    /// All keys that find documents.
    #[cfg(test)]
    pub(in crate::store) fn lookup_keys(&self) -> Result<Vec<Vec<u8>>, StoreError> {
        let keys = self.txn.open_table(LOOKUPS)?;
        keys.range::<&[u8]>(..)?.map(|item| Ok(item?.0.value().to_vec())).collect()
    }

    /// The documents whose keys have this head and end in a time, with the time, in order.
    pub(crate) fn find_timed(
        &self,
        head: &LookupKey,
    ) -> Result<impl Iterator<Item = Result<(i64, DocumentId), StoreError>> + use<>, StoreError>
    {
        let end = head.end();
        let keys = self.txn.open_table(LOOKUPS)?;
        let keys = keys.range::<&[u8]>(head.as_bytes()..end.as_slice())?;
        let damaged = || StoreError::NotOurs("a key of the index is damaged; rebuild the index");
        Ok(keys.map(move |item| {
            let key = item?.0;
            time_of(key.value()).zip(document_of(key.value())).ok_or_else(damaged)
        }))
    }

    /// The scorers of an experiment, by name.
    pub fn scorers_of(&self, experiment: ExperimentId) -> Result<Vec<DocumentRow>, StoreError> {
        let mut rows = Vec::new();
        for document in self.find(&by_experiment(Lookup::ScorersOfExperiment, experiment))? {
            rows.extend(self.document(&document?)?);
        }
        Ok(rows)
    }

    /// The version that this device served last under a number of a model.
    pub fn served_version(
        &self,
        model: &DocumentId,
        number: i64,
    ) -> Result<Option<DocumentId>, StoreError> {
        let served = self.txn.open_table(SERVED_VERSIONS)?.get((&model.to_bytes(), number))?;
        Ok(served.map(|id| DocumentId::from_bytes(id.value())))
    }

    /// All versions that this device served, by model and number.
    pub(crate) fn served_versions(&self) -> Result<Vec<(DocumentId, i64, DocumentId)>, StoreError> {
        let mut all = Vec::new();
        for item in self.txn.open_table(SERVED_VERSIONS)?.iter()? {
            let (place, version) = item?;
            let (model, number) = place.value();
            let version = DocumentId::from_bytes(version.value());
            all.push((DocumentId::from_bytes(model), number, version));
        }
        Ok(all)
    }
}
