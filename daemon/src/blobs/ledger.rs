//! The ledger: which blobs this device holds, who else holds which, what is pinned, what is promised.
//!
//! Invariants: what this device holds is numbered as it changes, and a number is told to nobody
//! before it is on the disk; so a peer that names the last number it heard hears all that changed
//! since, and nothing twice. What peers said is kept, so that a device that is away can be named.
//! A pin and a promise are on the disk before anybody is told of them. All is per workspace: no
//! workspace hears what another holds.

use std::collections::HashSet;
use std::path::Path;

use redb::{
    Database, Durability, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction,
};
use runmesh_core::ids::{BlobHash, DeviceId, WorkspaceId};
use tokio::sync::watch;

use super::BlobError;
use super::news::{MAX_ITEMS, News, Position};

/// A blob, a workspace or a device.
type Id = &'static [u8; 32];
type Epoch = &'static [u8; 16];

/// Small facts: the epoch.
const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta-1");
/// (blob, workspace) of what is held here, to the number of the news that says so.
pub(super) const OWN: TableDefinition<(Id, Id), u64> = TableDefinition::new("own-1");
/// (workspace, number) to the blob that came, or went.
const NEWS: TableDefinition<(Id, u64), (Id, bool)> = TableDefinition::new("news-1");
/// (workspace, blob, device) of what others said that they hold.
const HOLDERS: TableDefinition<(Id, Id, Id), ()> = TableDefinition::new("holders-1");
/// (workspace, device) to how far its news were heard.
const HEARD: TableDefinition<(Id, Id), (Epoch, u64)> = TableDefinition::new("heard-1");
/// (workspace, what is pinned) to when it was; see `pins`.
pub(super) const PINS: TableDefinition<(Id, &[u8]), u64> = TableDefinition::new("pins-1");
/// (blob, workspace, device) to until when this device keeps it for that one, in ms since 1970.
pub(super) const PROMISES: TableDefinition<(Id, Id, Id), u64> = TableDefinition::new("promises-1");

/// How much of the ledger is kept in memory.
const CACHE_BYTES: usize = 4 << 20;
const EPOCH: &str = "epoch";
const LOWEST: &[u8; 32] = &[0; 32];
const HIGHEST: &[u8; 32] = &[0xff; 32];

/// What is noted about blobs, on disk.
#[derive(Debug)]
pub struct Ledger {
    pub(super) database: Database,
    /// Names this ledger: numbers of another mean nothing.
    epoch: [u8; 16],
    changed: watch::Sender<u64>,
}

impl Ledger {
    pub(super) fn open(path: &Path) -> Result<Self, BlobError> {
        let mut builder = redb::Builder::new();
        builder.set_cache_size(CACHE_BYTES);
        let database = builder.create(path)?;
        let txn = begin(&database, Durability::Immediate)?;
        let epoch = {
            txn.open_table(OWN)?;
            txn.open_table(NEWS)?;
            txn.open_table(HOLDERS)?;
            txn.open_table(HEARD)?;
            txn.open_table(PINS)?;
            txn.open_table(PROMISES)?;
            let mut meta = txn.open_table(META)?;
            let held = meta.get(EPOCH)?.and_then(|held| <[u8; 16]>::try_from(held.value()).ok());
            let epoch = held.unwrap_or_else(rand::random);
            meta.insert(EPOCH, &epoch[..])?;
            epoch
        };
        txn.commit()?;
        Ok(Self { database, epoch, changed: watch::Sender::new(0) })
    }

    pub(super) fn begin(&self, durability: Durability) -> Result<WriteTransaction, BlobError> {
        begin(&self.database, durability)
    }

    /// Changes when this device holds more or less.
    pub(super) fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Notes that blobs are held here for a workspace. A crash may forget it: [`Ledger::compare`]
    /// finds it again.
    pub fn gained(&self, workspace: &WorkspaceId, blobs: &[BlobHash]) -> Result<(), BlobError> {
        self.change(workspace, blobs, true, Durability::None)
    }

    /// Notes, durably, that blobs are held here no more.
    pub fn lost(&self, workspace: &WorkspaceId, blobs: &[BlobHash]) -> Result<(), BlobError> {
        self.change(workspace, blobs, false, Durability::Immediate)
    }

    fn change(
        &self,
        workspace: &WorkspaceId,
        blobs: &[BlobHash],
        held: bool,
        durability: Durability,
    ) -> Result<(), BlobError> {
        let txn = self.begin(durability)?;
        let mut changed = false;
        {
            let (mut own, mut news) = (txn.open_table(OWN)?, txn.open_table(NEWS)?);
            let mut number = last_number(&news, workspace)?;
            for blob in blobs {
                let key = (blob.as_bytes(), workspace.as_bytes());
                let before = own.get(key)?.map(|number| number.value());
                if before.is_some() == held {
                    continue;
                }
                number += 1;
                match before {
                    // What was said of it before is of no use to anyone any more.
                    Some(before) => {
                        own.remove(key)?;
                        news.remove((workspace.as_bytes(), before))?;
                    }
                    None => drop(own.insert(key, number)?),
                }
                news.insert((workspace.as_bytes(), number), (blob.as_bytes(), held))?;
                changed = true;
            }
        }
        if !changed {
            return Ok(txn.abort()?);
        }
        txn.commit()?;
        self.changed.send_modify(|count| *count += 1);
        Ok(())
    }

    /// Makes what is noted for a workspace equal to what is held: after a start, and before blobs
    /// are collected.
    pub fn compare(
        &self,
        workspace: &WorkspaceId,
        held: &HashSet<BlobHash>,
    ) -> Result<(), BlobError> {
        let mut lost = Vec::new();
        let mut noted = HashSet::new();
        let own = self.database.begin_read()?.open_table(OWN)?;
        for item in own.iter()? {
            let (key, _) = item?;
            let (blob, of) = key.value();
            if of == workspace.as_bytes() {
                let blob = BlobHash::new(*blob);
                if held.contains(&blob) {
                    noted.insert(blob);
                } else {
                    lost.push(blob);
                }
            }
        }
        let gained: Vec<_> = held.difference(&noted).copied().collect();
        self.change(workspace, &gained, true, Durability::None)?;
        self.lost(workspace, &lost)
    }

    /// Whether this device holds a blob for a workspace.
    pub fn holds(&self, workspace: &WorkspaceId, blob: &BlobHash) -> Result<bool, BlobError> {
        let own = self.database.begin_read()?.open_table(OWN)?;
        Ok(own.get((blob.as_bytes(), workspace.as_bytes()))?.is_some())
    }

    /// What to tell a peer that has heard so much of what this device holds for a workspace; none
    /// if there is nothing new.
    pub(super) fn news(
        &self,
        workspace: &WorkspaceId,
        heard: Position,
    ) -> Result<Option<News>, BlobError> {
        // What was noted in passing reaches the disk before anyone hears its number.
        self.begin(Durability::Immediate)?.commit()?;
        let table = self.database.begin_read()?.open_table(NEWS)?;
        let last = last_number(&table, workspace)?;
        let starts_over = heard.epoch != self.epoch || heard.number > last;
        let from = if starts_over { 0 } else { heard.number };
        let mut items = Vec::new();
        let mut number = from;
        for item in table.range((workspace.as_bytes(), from + 1)..=(workspace.as_bytes(), last))? {
            let (key, value) = item?;
            let (blob, held) = value.value();
            number = key.value().1;
            items.push((BlobHash::new(*blob), held));
            if items.len() == MAX_ITEMS {
                break;
            }
        }
        if items.is_empty() && !starts_over {
            return Ok(None);
        }
        Ok(Some(News { position: Position { epoch: self.epoch, number }, starts_over, items }))
    }

    /// How much of a peer's news was heard.
    pub(super) fn heard(
        &self,
        workspace: &WorkspaceId,
        device: &DeviceId,
    ) -> Result<Position, BlobError> {
        let table = self.database.begin_read()?.open_table(HEARD)?;
        let held = table.get((workspace.as_bytes(), device.as_bytes()))?;
        Ok(held.map_or_else(Position::default, |held| {
            let (epoch, number) = held.value();
            Position { epoch: *epoch, number }
        }))
    }

    /// Takes in what a peer said that it holds.
    pub(super) fn hear(
        &self,
        workspace: &WorkspaceId,
        device: &DeviceId,
        news: &News,
    ) -> Result<(), BlobError> {
        let txn = self.begin(Durability::None)?;
        {
            let (mut holders, mut heard) = (txn.open_table(HOLDERS)?, txn.open_table(HEARD)?);
            if news.starts_over {
                let of_workspace = (workspace.as_bytes(), LOWEST, LOWEST)
                    ..=(workspace.as_bytes(), HIGHEST, HIGHEST);
                let of_others =
                    |key: (&[u8; 32], &[u8; 32], &[u8; 32]), ()| key.2 != device.as_bytes();
                holders.retain_in(of_workspace, of_others)?;
            }
            for (blob, held) in &news.items {
                let key = (workspace.as_bytes(), blob.as_bytes(), device.as_bytes());
                match held {
                    true => drop(holders.insert(key, ())?),
                    false => drop(holders.remove(key)?),
                }
            }
            let Position { epoch, number } = news.position;
            heard.insert((workspace.as_bytes(), device.as_bytes()), (&epoch, number))?;
        }
        Ok(txn.commit()?)
    }

    /// The other devices that said that they hold a blob, whether they are connected or not.
    pub fn holders(
        &self,
        workspace: &WorkspaceId,
        blob: &BlobHash,
    ) -> Result<Vec<DeviceId>, BlobError> {
        let table = self.database.begin_read()?.open_table(HOLDERS)?;
        let (workspace, blob) = (workspace.as_bytes(), blob.as_bytes());
        let range = table.range((workspace, blob, LOWEST)..=(workspace, blob, HIGHEST))?;
        range.map(|item| Ok(DeviceId::new(*item?.0.value().2))).collect()
    }

    /// The workspaces that this device holds a blob for.
    pub fn workspaces_of(&self, blob: &BlobHash) -> Result<Vec<WorkspaceId>, BlobError> {
        let own = self.database.begin_read()?.open_table(OWN)?;
        let range = own.range((blob.as_bytes(), LOWEST)..=(blob.as_bytes(), HIGHEST))?;
        range.map(|item| Ok(WorkspaceId::new(*item?.0.value().1))).collect()
    }
}

fn begin(database: &Database, durability: Durability) -> Result<WriteTransaction, BlobError> {
    let mut txn = database.begin_write()?;
    txn.set_durability(durability)?;
    Ok(txn)
}

fn last_number(
    news: &impl ReadableTable<(Id, u64), (Id, bool)>,
    workspace: &WorkspaceId,
) -> Result<u64, BlobError> {
    let of_workspace = (workspace.as_bytes(), 0)..=(workspace.as_bytes(), u64::MAX);
    let last = news.range(of_workspace)?.next_back().transpose()?;
    Ok(last.map_or(0, |(key, _)| key.value().1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANNS: WorkspaceId = WorkspaceId::new([1; 32]);
    const OTHER: WorkspaceId = WorkspaceId::new([2; 32]);
    const BOB: DeviceId = DeviceId::new([0xb0; 32]);

    fn blob(number: u8) -> BlobHash {
        BlobHash::new([number; 32])
    }

    fn ledger() -> (tempfile::TempDir, Ledger) {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let ledger = Ledger::open(&folder.path().join("ledger.redb")).expect("opens");
        (folder, ledger)
    }

    /// Has `to` hear what `from` holds, as a device named bob.
    fn tell(from: &Ledger, to: &Ledger) -> usize {
        let mut told = 0;
        while let Some(news) =
            from.news(&ANNS, to.heard(&ANNS, &BOB).expect("reads")).expect("reads")
        {
            told += news.items.len();
            to.hear(&ANNS, &BOB, &news).expect("is heard");
        }
        told
    }

    #[test]
    fn peers_hear_what_changed_since_they_last_heard() -> Result<(), BlobError> {
        let ((_a, ann), (_b, bob)) = (ledger(), ledger());
        bob.gained(&ANNS, &[blob(1), blob(2), blob(1)])?;
        bob.gained(&OTHER, &[blob(9)])?;
        assert_eq!(tell(&bob, &ann), 2);
        assert_eq!(tell(&bob, &ann), 0);
        bob.gained(&ANNS, &[blob(2), blob(3)])?;
        bob.lost(&ANNS, &[blob(1), blob(7)])?;
        assert_eq!(tell(&bob, &ann), 2);
        assert_eq!(ann.holders(&ANNS, &blob(1))?, []);
        assert_eq!(ann.holders(&ANNS, &blob(3))?, [BOB]);
        assert_eq!(ann.holders(&ANNS, &blob(9))?, [], "it is another workspace's");
        assert_eq!(bob.workspaces_of(&blob(9))?, [OTHER]);
        Ok(())
    }

    #[test]
    fn who_lost_its_ledger_is_heard_anew() -> Result<(), BlobError> {
        let ((_a, ann), (_b, bob), (_c, again)) = (ledger(), ledger(), ledger());
        bob.gained(&ANNS, &[blob(1), blob(2)])?;
        tell(&bob, &ann);
        again.compare(&ANNS, &HashSet::from([blob(2), blob(3)]))?;
        assert_eq!(tell(&again, &ann), 2);
        assert_eq!(ann.holders(&ANNS, &blob(1))?, []);
        assert_eq!(ann.holders(&ANNS, &blob(2))?, [BOB]);
        again.compare(&ANNS, &HashSet::from([blob(3)]))?;
        assert_eq!(tell(&again, &ann), 1);
        assert_eq!(ann.holders(&ANNS, &blob(2))?, []);
        Ok(())
    }

    #[test]
    fn what_was_told_is_numbered_for_good() -> Result<(), BlobError> {
        let (folder, bob) = ledger();
        let (_a, ann) = ledger();
        bob.gained(&ANNS, &[blob(1)])?;
        tell(&bob, &ann);
        drop(bob);
        let bob = Ledger::open(&folder.path().join("ledger.redb"))?;
        bob.gained(&ANNS, &[blob(2)])?;
        assert_eq!(tell(&bob, &ann), 1);
        bob.lost(&ANNS, &[blob(2)])?;
        bob.lost(&ANNS, &[blob(1)])?;
        tell(&bob, &ann);
        assert_eq!(ann.holders(&ANNS, &blob(1))?, []);
        assert_eq!(ann.holders(&ANNS, &blob(2))?, []);
        Ok(())
    }

    #[test]
    fn much_is_told_in_bounded_pieces() -> Result<(), BlobError> {
        let ((_a, ann), (_b, bob)) = (ledger(), ledger());
        let many: Vec<_> = (0..MAX_ITEMS as u64 + 5)
            .map(|number| BlobHash::new(*blake3::hash(&number.to_le_bytes()).as_bytes()))
            .collect();
        bob.gained(&ANNS, &many)?;
        let first = bob.news(&ANNS, Position::default())?.expect("there is something to tell");
        assert_eq!(first.items.len(), MAX_ITEMS);
        assert_eq!(tell(&bob, &ann), many.len());
        Ok(())
    }
}
