//! The trail: what was done, operation by operation, newest first, in pages.
//!
//! Journals are merged by the clocks of their entries. Within an entry operations are told last
//! first, so that a page may end anywhere. What one page reads is bounded by [`READ_BYTES`], even
//! if nothing of it is about what is asked for: such a page is short, and has a cursor.

use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use super::cursor::{self, BadCursor, Left, ListId};
use super::words::{Said, Words};
use crate::act::{ActId, act_id};
use crate::clock::Clock;
use crate::entry::{EntryError, UnverifiedEntry};
use crate::ids::{DeviceId, DocumentId, EntryHash, JournalId, WorkspaceId};
use crate::membership::Void;
use crate::operation::{Operation, OperationKind};
use crate::store::placed::{List, Placed};
use crate::store::{Snapshot, StoreError};
use crate::vector::Tip;

/// The most lines of a page.
pub const MAX_LINES: usize = 1_000;
/// How many bytes of entries, as they are stored, one page reads.
const READ_BYTES: usize = 16 << 20;

/// What is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct About {
    /// Only what was done to one of these documents; none for all.
    pub documents: Option<BTreeSet<DocumentId>>,
    /// Only what this device did.
    pub device: Option<DeviceId>,
}

/// Whether what an operation did counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It does.
    Counts,
    /// It is an act that the rules of membership make void.
    Void(Void),
    /// Its entry is one that does not count of its device's journal.
    SetAside,
    /// Its entry is not what it should be.
    Broken(EntryError),
    /// The entry that follows, or the journal's end, names another entry in its place.
    Replaced,
}

/// One operation: what was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The journal, and so the device.
    pub journal: JournalId,
    /// The entry's number.
    pub entry: u64,
    /// The hash of the entry.
    pub hash: EntryHash,
    /// The operation's place in it, from 0.
    pub place: u32,
    /// When the entry was sealed, by its device's clock.
    pub clock: Clock,
    /// What it was done to; none if that was redacted.
    pub document: Option<DocumentId>,
    /// What that is called now; empty for the workspace.
    pub name: String,
    /// What was done.
    pub said: Said,
    /// Whether it counts.
    pub standing: Standing,
}

/// Some lines, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The lines.
    pub lines: Vec<Line>,
    /// Where the next page goes on; none if there is nothing left.
    pub cursor: Option<String>,
}

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// The cursor is none of this store.
    #[error(transparent)]
    Cursor(#[from] BadCursor),
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Reads a page of at most `limit` lines, at most [`MAX_LINES`].
pub fn page(
    snapshot: &Snapshot,
    workspace: WorkspaceId,
    about: &About,
    limit: usize,
    cursor: Option<&str>,
) -> Result<Page, PageError> {
    let lists = lists(snapshot, cursor)?;
    let membership = snapshot.membership()?;
    let void = membership.void().map(|(act, _, why)| (*act, *why)).collect();
    let words = Words::new(snapshot, &membership);
    let mut trail = Trail { snapshot, workspace, about, void, words, lists, read: 0 };
    let lines = trail.lines(limit.clamp(1, MAX_LINES))?;
    Ok(Page { lines, cursor: trail.cursor() })
}

/// A list, and how much of it is left.
struct Told {
    list: List,
    left: u64,
    operations: Option<u32>,
}

fn lists(snapshot: &Snapshot, cursor: Option<&str>) -> Result<Vec<Told>, PageError> {
    let all = snapshot.lists()?.into_iter();
    let Some(cursor) = cursor else {
        return Ok(all.map(|list| Told { left: list.until, list, operations: None }).collect());
    };
    let left: BTreeMap<ListId, Left> =
        cursor::decode(cursor)?.into_iter().map(|left| (left.list, left)).collect();
    let mut told = Vec::new();
    for list in all {
        let id = ListId { journal: list.number, aside: list.aside };
        let Some(Left { entries, operations, .. }) = left.get(&id).copied() else { continue };
        // What was set aside since is told where it is now.
        let entries = entries.min(list.until);
        if entries > list.first {
            told.push(Told { list, left: entries, operations });
        }
    }
    Ok(told)
}

struct Trail<'s> {
    snapshot: &'s Snapshot,
    workspace: WorkspaceId,
    about: &'s About,
    void: BTreeMap<ActId, Void>,
    words: Words<'s>,
    lists: Vec<Told>,
    read: usize,
}

impl Trail<'_> {
    fn lines(&mut self, limit: usize) -> Result<Vec<Line>, StoreError> {
        let mut lines = Vec::new();
        if let Some(device) = self.about.device {
            self.lists.retain(|told| told.list.journal.device == device);
        }
        let mut heads = BinaryHeap::new();
        for at in 0..self.lists.len() {
            heads.extend(self.head(at)?);
        }
        while lines.len() < limit && self.read < READ_BYTES {
            let Some((_, _, at)) = heads.pop() else { break };
            self.tell(at, limit, &mut lines)?;
            heads.extend(self.head(at)?);
        }
        Ok(lines)
    }

    /// The last entry that is left of a list, by when it was sealed.
    fn head(&self, at: usize) -> Result<Option<(Clock, JournalId, usize)>, StoreError> {
        let Told { list, left, .. } = &self.lists[at];
        if *left <= list.first {
            return Ok(None);
        }
        let clock = self.snapshot.clock_at(list, left - 1)?.unwrap_or_default();
        Ok(Some((clock, list.journal, at)))
    }

    /// Tells what is left of the last entry of a list, as far as there is room for it.
    fn tell(&mut self, at: usize, limit: usize, lines: &mut Vec<Line>) -> Result<(), StoreError> {
        let Told { list, left, operations } = &self.lists[at];
        let (list, number, operations_left) = (*list, left - 1, *operations);
        let done = (number, None);
        let next = 'entry: {
            // One that is gone is for the check of the whole store to find.
            let Some(placed) = self.snapshot.placed(&list, number)? else { break 'entry done };
            self.read += placed.stored.len();
            let decoded = UnverifiedEntry::decode(list.journal, number, &placed.stored);
            let Ok(entry) = decoded else { break 'entry done };
            let operations = entry.operations();
            let count = operations_left.unwrap_or(u32::MAX).min(operations.len() as u32);
            let clock = entry.clock();
            let mut sealed = None;
            let mut left = count;
            for place in (0..count).rev() {
                if lines.len() >= limit {
                    break 'entry (number + 1, Some(left));
                }
                left = place;
                let operation = &operations[place as usize];
                if !self.is_wanted(operation) {
                    continue;
                }
                let (hash, standing) = match &sealed {
                    Some(sealed) => Clone::clone(sealed),
                    None => sealed.insert(self.check(&list, &placed, entry.clone())?).clone(),
                };
                let standing = self.standing(standing, &list.journal, operation);
                let document = operation.document().copied();
                let name = match &document {
                    Some(document) if *document != DocumentId::WORKSPACE => {
                        self.words.name(document)?
                    }
                    _ => String::new(),
                };
                let (journal, said) = (list.journal, self.words.of(operation)?);
                let entry = number;
                lines.push(Line {
                    journal,
                    entry,
                    hash,
                    place,
                    clock,
                    document,
                    name,
                    said,
                    standing,
                });
            }
            done
        };
        (self.lists[at].left, self.lists[at].operations) = next;
        Ok(())
    }

    fn is_wanted(&self, operation: &Operation) -> bool {
        let Some(wanted) = &self.about.documents else { return true };
        operation.document().is_some_and(|document| wanted.contains(document))
    }

    /// Verifies an entry and that what follows names it.
    fn check(
        &self,
        list: &List,
        placed: &Placed,
        entry: UnverifiedEntry,
    ) -> Result<(EntryHash, Standing), StoreError> {
        let number = entry.number();
        let tail = Tip { count: number, hash: placed.previous };
        let entry = match entry.verify(self.workspace, &tail) {
            Ok(entry) => entry,
            Err(error) => return Ok((EntryHash::new([0; 32]), Standing::Broken(error))),
        };
        let named = if number + 1 == list.until {
            list.hash
        } else {
            self.snapshot.placed(list, number + 1)?.map(|next| next.previous)
        };
        let standing = match named {
            Some(named) if named != entry.hash() => Standing::Replaced,
            _ if list.aside => Standing::SetAside,
            _ => Standing::Counts,
        };
        Ok((entry.hash(), standing))
    }

    fn standing(&self, of_entry: Standing, journal: &JournalId, operation: &Operation) -> Standing {
        let is_act = matches!(operation, Operation::Whole { kind, .. }
            if *kind == OperationKind::Act as u8);
        if of_entry != Standing::Counts || !is_act {
            return of_entry;
        }
        match self.void.get(&act_id(journal, &operation.hash())) {
            Some(why) => Standing::Void(*why),
            None => Standing::Counts,
        }
    }

    fn cursor(&self) -> Option<String> {
        let left = self.lists.iter().filter(|told| told.left > told.list.first);
        let left: Vec<Left> = left
            .map(|told| Left {
                list: ListId { journal: told.list.number, aside: told.list.aside },
                entries: told.left,
                operations: told.operations,
            })
            .collect();
        (!left.is_empty()).then(|| cursor::encode(&left))
    }
}
