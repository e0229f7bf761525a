//! Finding what devices set to different values while they were apart.

use redb::ReadableTable;

use super::StoreError;
use super::snapshot::Snapshot;
use super::tables::{CONTESTED, DOCUMENTS, EXPERIMENT_NAMES};
use crate::document::{self, Contested};
use crate::ids::{DocumentId, ExperimentId};
use crate::index::fields::is_bookkeeping;

impl Snapshot {
    /// Documents that are sealed and in which something stands that was set to different values.
    pub fn contested_documents(
        &self,
    ) -> Result<impl Iterator<Item = Result<DocumentId, StoreError>> + use<>, StoreError> {
        let table = self.txn().open_table(CONTESTED)?.range::<&[u8; 17]>(..)?;
        Ok(table.map(|item| Ok(DocumentId::from_bytes(item?.0.value()))))
    }

    /// What of a document was set to different values, but for what notes when something was done.
    pub fn contested(&self, id: &DocumentId) -> Result<Vec<Contested>, StoreError> {
        let Some(kind) = id.kind() else { return Ok(Vec::new()) };
        let Some(held) = self.txn().open_table(DOCUMENTS)?.get(&id.to_bytes())? else {
            return Ok(Vec::new());
        };
        let failed = |source| StoreError::Document { document: *id, source: Box::new(source) };
        let mut all = document::contested(kind, held.value()).map_err(failed)?;
        all.retain(|key| !is_bookkeeping(key.container, &key.key));
        Ok(all)
    }

    /// Experiments that share a name, by name; the first answers to it.
    pub fn experiments_sharing_a_name(&self) -> Result<Vec<Vec<ExperimentId>>, StoreError> {
        let mut shared: Vec<Vec<ExperimentId>> = Vec::new();
        let mut last: Option<(String, ExperimentId)> = None;
        for item in self.txn().open_table(EXPERIMENT_NAMES)?.iter()? {
            let key = item?.0;
            let (name, _, id) = key.value();
            let id = ExperimentId(id);
            let before = last.replace((name.to_owned(), id));
            // One of which nothing is known yet has no name.
            let Some((held, first)) = before.filter(|(held, _)| held == name && !name.is_empty())
            else {
                continue;
            };
            debug_assert_eq!(held, name);
            match shared.last_mut() {
                Some(same) if same.last() == Some(&first) => same.push(id),
                _ => shared.push(vec![first, id]),
            }
        }
        Ok(shared)
    }
}
