//! Purging: what is held of documents that admins had purged is redacted.
//!
//! Invariants: of a purged document no operation is kept with its content, whether its entry counts
//! or was set aside, and none that comes later is; hashes and signatures stay, so that the chain
//! verifies; everything derived is as if the redacted operations had said nothing. The blobs that
//! the document named are noted, to be freed by whoever holds their files.

use std::collections::BTreeSet;
use std::sync::Arc;

use redb::{ReadableDatabase, ReadableTable};

use super::journals::{Journals, journal_of, redact_row};
use super::tables::{PURGED, PURGED_BLOBS, SET_ASIDE, open_if_there};
use super::{Store, StoreError, durable, forget};
use crate::artifact::ArtifactContent;
use crate::clock::UnixMillis;
use crate::ids::{BlobHash, DocumentId};
use crate::operation::{Operation, OperationKind};

impl Store {
    /// Redacts what is held of documents that were purged and are not redacted yet.
    pub(super) fn purge(&mut self, now: UnixMillis) -> Result<(), StoreError> {
        if self.to_purge()?.is_empty() {
            return Ok(());
        }
        // What is not sealed yet becomes operations, which are redacted with the others.
        self.seal(now)?;
        let purged = self.to_purge()?;
        if purged.is_empty() {
            return Ok(());
        }
        let database = Arc::clone(&self.database);
        let txn = durable(&database)?;
        let is_gone = |document: &DocumentId| purged.contains(document);
        let mut blobs = BTreeSet::new();
        let mut gone = |operation: &Operation| blobs.extend(blob_of(operation));
        Journals::open(&txn)?.redact(is_gone, &mut gone)?;
        {
            let mut aside = txn.open_table(SET_ASIDE)?;
            let mut changed = Vec::new();
            for item in aside.iter()? {
                let (place, row) = item?;
                let (key, number) = place.value();
                let new = redact_row(journal_of(key), number, row.value(), is_gone, &mut gone)?;
                changed.extend(new.map(|new| (*key, number, new)));
            }
            for (key, number, row) in &changed {
                aside.insert((key, *number), row.as_slice())?;
            }
            let (mut done, mut noted) = (txn.open_table(PURGED)?, txn.open_table(PURGED_BLOBS)?);
            for document in &purged {
                done.insert(&document.to_bytes(), ())?;
            }
            for blob in &blobs {
                noted.insert(blob.as_bytes(), ())?;
            }
        }
        forget::forget(&txn, &purged)?;
        txn.commit()?;
        self.beyond = None;
        Ok(())
    }

    fn to_purge(&self) -> Result<BTreeSet<DocumentId>, StoreError> {
        let purged = self.membership.purged();
        if purged.is_empty() {
            return Ok(BTreeSet::new());
        }
        let txn = self.database.begin_read()?;
        let Some(done) = open_if_there(&txn, PURGED)? else { return Ok(purged.clone()) };
        let mut left = BTreeSet::new();
        for document in purged {
            if done.get(&document.to_bytes())?.is_none() {
                left.insert(*document);
            }
        }
        Ok(left)
    }

    /// Notes, durably, that blobs of purged documents need not be freed any more.
    pub fn forget_purged(&mut self, blobs: &[BlobHash]) -> Result<(), StoreError> {
        let txn = durable(&self.database)?;
        {
            let mut table = txn.open_table(PURGED_BLOBS)?;
            for blob in blobs {
                table.remove(blob.as_bytes())?;
            }
        }
        Ok(txn.commit()?)
    }
}

/// The blob that an operation names.
fn blob_of(operation: &Operation) -> Option<BlobHash> {
    let Operation::Whole { kind, content, .. } = operation else { return None };
    if *kind != OperationKind::Artifact as u8 {
        return None;
    }
    // What cannot be read was never applied, and names nothing.
    ArtifactContent::decode(content).ok()?.content.map(|(blob, _)| blob)
}
