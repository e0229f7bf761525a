//! Promises: a device keeps a copy for a time because another drops its own.
//!
//! Invariants: a promise is on the disk before it is given, and is given only for a blob that is
//! here and not about to go; so of two devices that want to drop one blob at one time, neither
//! relies on the other.

use iroh::endpoint::Connection;
use redb::{Durability, ReadableDatabase};
use runmesh_core::ids::{BlobHash, DeviceId, WorkspaceId};
use tokio::io::AsyncReadExt;

use super::ledger::{Ledger, OWN, PROMISES};
use super::protocol::{MAX_KEEP, Request};
use super::{BlobError, Blobs, news};

impl Blobs {
    /// Promises a device to keep blobs; says of each whether it is promised.
    pub(super) fn promise(
        &self,
        workspace: &WorkspaceId,
        to: &DeviceId,
        blobs: &[BlobHash],
        until_ms: u64,
    ) -> Result<Vec<bool>, BlobError> {
        // Held until the promises are on the disk: a collection that begins then finds them.
        let leases = self.leases().lock();
        let ledger = self.ledger();
        let txn = ledger.begin(Durability::Immediate)?;
        let mut kept = Vec::with_capacity(blobs.len());
        {
            let (own, mut promises) = (txn.open_table(OWN)?, txn.open_table(PROMISES)?);
            for blob in blobs {
                let held = redb::ReadableTable::get(&own, (blob.as_bytes(), workspace.as_bytes()))?;
                let keeps = held.is_some() && !leases.leaving.contains(blob) && self.has(blob)?;
                if keeps {
                    let key = (blob.as_bytes(), workspace.as_bytes(), to.as_bytes());
                    promises.insert(key, until_ms)?;
                }
                kept.push(keeps);
            }
        }
        txn.commit()?;
        drop(leases);
        Ok(kept)
    }
}

impl Ledger {
    /// To whom this device has promised to keep a blob, in any workspace, and until when.
    pub fn promised(
        &self,
        blob: &BlobHash,
        now_ms: u64,
    ) -> Result<Option<(DeviceId, u64)>, BlobError> {
        let table = self.database.begin_read()?.open_table(PROMISES)?;
        let (first, last) = (&[0; 32], &[0xff; 32]);
        let mut longest: Option<(DeviceId, u64)> = None;
        for item in table.range((blob.as_bytes(), first, first)..=(blob.as_bytes(), last, last))? {
            let (key, until) = item?;
            let until = until.value();
            if until > now_ms && longest.is_none_or(|(_, longest)| until > longest) {
                longest = Some((DeviceId::new(*key.value().2), until));
            }
        }
        Ok(longest)
    }

    /// Forgets promises whose time is over.
    pub fn forget_old_promises(&self, now_ms: u64) -> Result<(), BlobError> {
        let txn = self.begin(Durability::Immediate)?;
        txn.open_table(PROMISES)?.retain(|_, until| until > now_ms)?;
        Ok(txn.commit()?)
    }
}

/// Asks a peer to keep blobs, at most [`MAX_KEEP_MS`]; returns those that it promises to keep.
pub async fn ask_to_keep(
    connection: &Connection,
    workspace: WorkspaceId,
    blobs: &[BlobHash],
    for_ms: u64,
) -> std::io::Result<Vec<BlobHash>> {
    let mut promised = Vec::new();
    for blobs in blobs.chunks(MAX_KEEP) {
        let request = Request::Keep { workspace, for_ms, blobs: blobs.to_vec() };
        let Some(mut receive) = news::ask(connection, &request).await? else { break };
        let mut kept = vec![0; blobs.len()];
        AsyncReadExt::read_exact(&mut receive, &mut kept).await?;
        promised
            .extend(blobs.iter().zip(kept).filter(|(_, kept)| *kept == 1).map(|(blob, _)| *blob));
    }
    Ok(promised)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blobs::Provider;
    use crate::blobs::testing::{Link, WORKSPACE, granting, noise, store};

    const DAY_MS: u64 = 24 * 3_600_000;

    #[tokio::test]
    async fn only_what_is_here_and_stays_is_promised() -> Result<(), BlobError> {
        let (_home, blobs) = store();
        let here = blobs.import(&noise(100)[..]).await?.hash;
        let going = blobs.import(&noise(200)[..]).await?.hash;
        let ungranted = blobs.import(&noise(300)[..]).await?.hash;
        blobs.ledger().gained(&WORKSPACE, &[here, going])?;
        let collection = blobs.collection().expect("none runs");
        collection.announce([going]);
        let link = Link::serving(Provider::new(blobs.clone(), granting([]))).await;
        let asked = [here, going, ungranted, BlobHash::new([9; 32])];
        let kept = ask_to_keep(&link.asker, WORKSPACE, &asked, DAY_MS).await.expect("answers");
        assert_eq!(kept, [here]);
        let now = crate::now().0;
        let (to, until) = blobs.ledger().promised(&here, now)?.expect("it was promised");
        assert_eq!(to, crate::blobs::serve::device_at(&link.provider));
        assert!(until > now && until <= now + DAY_MS);
        assert_eq!(blobs.ledger().promised(&here, until)?, None, "its time is over");
        blobs.ledger().forget_old_promises(until)?;
        assert_eq!(blobs.ledger().promised(&here, now)?, None);
        // A workspace that the asker is no member of is answered as one that is not here.
        let elsewhere = WorkspaceId::new([8; 32]);
        let kept = ask_to_keep(&link.asker, elsewhere, &asked, DAY_MS).await.expect("answers");
        assert_eq!(kept, []);
        Ok(())
    }
}
