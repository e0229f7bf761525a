//! Writing a bundle: what to put in, and putting it in.
//!
//! Entries go out journal by journal, those of devices that joined earlier first, as in a session;
//! then the blobs that they name and that this device may serve.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Arc;

use ed25519_dalek::SigningKey;
use runmesh_core::bundle::{BundleStart, BundleWriter, CHUNK_BYTES, Part, blobs_named};
use runmesh_core::entry::{EntryError, UnverifiedEntry};
use runmesh_core::ids::{BlobHash, DeviceId, JournalId};
use runmesh_core::membership::Membership;
use runmesh_core::store::{Chain, Snapshot, StoreError};
use runmesh_core::sync::{BATCH_BYTES, MAX_ENTRIES, Message};
use runmesh_core::vector::{Tip, VersionVector};

use super::acknowledged::{self, Words};
use super::sealed::{self, SealedError};
use crate::app::App;
use crate::blobs::BlobError;
use crate::config::BlobPolicy;
use crate::home::HomeError;
use crate::now;
use crate::workspace::{device_of, signing_key};

/// Where a bundle starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// At the first entry.
    All,
    /// After what every other member is known to hold.
    WhatMembersLack,
    /// After what one member is known to hold.
    For(DeviceId),
    /// After what a reader holds.
    Since(VersionVector),
    /// At what was sealed at a time or later, in milliseconds since 1970.
    SinceTime(u64),
}

/// Why there is no bundle, or only a part of one.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An entry of the store cannot be read.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// The home cannot be read.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// A blob cannot be read.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// It cannot be encrypted.
    #[error(transparent)]
    Sealed(#[from] SealedError),
    /// Whoever reads it has gone, or the disk failed.
    #[error("the bundle cannot be written")]
    Io(#[from] io::Error),
}

/// A bundle that is about to be written.
pub struct Plan {
    app: Arc<App>,
    snapshot: Snapshot,
    membership: Membership,
    start: BundleStart,
    blobs: BlobPolicy,
    to: Option<Vec<age::x25519::Recipient>>,
    key: SigningKey,
}

impl Plan {
    /// Decides what goes into a bundle.
    pub fn of(
        app: &Arc<App>,
        snapshot: Snapshot,
        asked: &Asked,
        blobs: BlobPolicy,
        encrypt: bool,
    ) -> Result<Self, ExportError> {
        let (key, device) = (signing_key(&app.home), device_of(&app.home));
        let membership = snapshot.membership()?;
        let until = snapshot.vector()?;
        let words = app.home.acknowledged(&app.workspace.id())?;
        let from = from(asked, &snapshot, &membership, &words, &device)?;
        let mut readers: Vec<DeviceId> = match asked {
            Asked::For(reader) => vec![*reader],
            _ => membership.members().map(|(device, _)| *device).collect(),
        };
        readers.push(device);
        readers.sort_unstable();
        readers.dedup();
        let to = encrypt.then(|| readers.iter().filter_map(sealed::recipient).collect());
        let start = BundleStart {
            workspace: app.workspace.id(),
            device,
            name: app.config.name.clone(),
            made_ms: now().0,
            from,
            until,
        };
        Ok(Self { app: Arc::clone(app), snapshot, membership, start, blobs, to, key })
    }

    /// Writes it. Blocks, so it runs on a thread of its own.
    pub fn write(&self, out: impl Write) -> Result<(), ExportError> {
        match &self.to {
            None => self.write_plain(out).map(drop),
            Some(to) => {
                self.write_plain(sealed::seal(out, to)?)?.finish()?;
                Ok(())
            }
        }
    }

    fn write_plain<W: Write>(&self, out: W) -> Result<W, ExportError> {
        let mut bundle = BundleWriter::begin(out, &self.start, &self.key)?;
        let mut named = BTreeMap::new();
        for (journal, range) in self.journals() {
            let mut at = range.start;
            while at < range.end {
                let chain = self.snapshot.chain(&journal, at, BATCH_BYTES, MAX_ENTRIES)?;
                let Some(Chain { previous, entries }) = chain else { break };
                for (number, stored) in (at..).zip(&entries) {
                    let entry = UnverifiedEntry::decode(journal, number, stored)?;
                    named.extend(blobs_named(&entry));
                }
                let count = entries.len() as u64;
                bundle.put(&Part::Entries(Message::Entries {
                    journal,
                    first: at,
                    previous,
                    entries,
                }))?;
                at += count;
            }
        }
        for (hash, size) in named {
            if self.blobs.wants(size) && self.snapshot.is_granted(&hash)? {
                self.put_blob(&mut bundle, hash, size)?;
            }
        }
        Ok(bundle.finish()?)
    }

    /// The journals of which something goes out: of who joined earlier first, for a newcomer can
    /// tell who is a member only from the journals of those who let them in.
    fn journals(&self) -> Vec<(JournalId, std::ops::Range<u64>)> {
        let mut all = self.start.until.missing_from(&self.start.from);
        all.sort_by_key(|(journal, _)| {
            let since = self.membership.member(&journal.device).map(|member| member.since);
            (since.is_none(), since, *journal)
        });
        all
    }

    fn put_blob<W: Write>(
        &self,
        bundle: &mut BundleWriter<W>,
        hash: BlobHash,
        size: u64,
    ) -> Result<(), ExportError> {
        // One that is granted and of another size was never whole: what names it lies.
        let Some(mut file) = self.app.blobs.open_blocking(&hash)? else { return Ok(()) };
        if file.metadata()?.len() != size {
            return Ok(());
        }
        bundle.put(&Part::Blob { hash, size })?;
        let mut left = size;
        while left > 0 {
            let mut chunk = vec![0; CHUNK_BYTES.min(usize::try_from(left).unwrap_or(CHUNK_BYTES))];
            io::Read::read_exact(&mut file, &mut chunk)?;
            left -= chunk.len() as u64;
            bundle.put(&Part::Chunk(chunk))?;
        }
        Ok(())
    }
}

fn from(
    asked: &Asked,
    snapshot: &Snapshot,
    membership: &Membership,
    words: &Words,
    own: &DeviceId,
) -> Result<VersionVector, ExportError> {
    match asked {
        Asked::All => Ok(VersionVector::new()),
        Asked::For(device) => common(snapshot, &[acknowledged::of(words, device)]),
        Asked::Since(vector) => common(snapshot, std::slice::from_ref(vector)),
        Asked::WhatMembersLack => {
            let others = membership.members().filter(|(device, _)| *device != own);
            let held: Vec<_> = others.map(|(device, _)| acknowledged::of(words, device)).collect();
            common(snapshot, &held)
        }
        Asked::SinceTime(ms) => before(snapshot, *ms),
    }
}

/// What this device and all these hold alike. A journal that forked is begun anew.
fn common(snapshot: &Snapshot, held: &[VersionVector]) -> Result<VersionVector, ExportError> {
    let mut common = VersionVector::new();
    if held.is_empty() {
        return Ok(common);
    }
    for (journal, own) in snapshot.vector()?.iter() {
        let mut count = own.count;
        for theirs in held {
            let tip = theirs.tip(journal);
            let alike = tip.count > own.count || tip == tip_at(snapshot, journal, own, tip.count)?;
            count = if alike { count.min(tip.count) } else { 0 };
        }
        common.set(*journal, tip_at(snapshot, journal, own, count)?);
    }
    Ok(common)
}

/// What was sealed before a time, by the clocks of the entries, which only rise in a journal.
fn before(snapshot: &Snapshot, ms: u64) -> Result<VersionVector, ExportError> {
    let mut vector = VersionVector::new();
    for (journal, own) in snapshot.vector()?.iter() {
        let (mut low, mut high) = (0, own.count);
        while low < high {
            let middle = low + (high - low) / 2;
            let stored = snapshot.entries(journal, middle, 1)?.into_iter().next();
            let stored = stored.ok_or(StoreError::NotOurs("an entry of the store is missing"))?;
            let entry = UnverifiedEntry::decode(*journal, middle, &stored)?;
            if entry.clock().millis() < ms { low = middle + 1 } else { high = middle }
        }
        vector.set(*journal, tip_at(snapshot, journal, own, low)?);
    }
    Ok(vector)
}

/// The tip of a journal when it held `count` entries, of which `own` is the present one.
fn tip_at(
    snapshot: &Snapshot,
    journal: &JournalId,
    own: &Tip,
    count: u64,
) -> Result<Tip, ExportError> {
    if count >= own.count {
        return Ok(*own);
    }
    let next = snapshot.chain(journal, count, 1, 1)?;
    let hash = next.map(|chain| chain.previous);
    Ok(hash.filter(|_| count > 0).map_or(Tip::START, |hash| Tip { count, hash }))
}
