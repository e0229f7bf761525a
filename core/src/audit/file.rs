//! An audit that was exported: a file that proves by itself what was done in a workspace.
//!
//! It is a bundle that starts at the first entry and carries no blobs, so this reads any such
//! bundle. Invariant: what is found good needs nothing but the file: every entry is signed by its
//! device and names the one before it, the workspace's id proves its founder, and who else could
//! write follows from the acts in the file. What the file cannot prove is that its writer left no
//! entries out at the journals' ends; its start says up to where they go, and is signed.

use std::collections::BTreeMap;
use std::io::Read;

use super::verify::{Flaw, Wrong};
use crate::act::Act;
use crate::bundle::{BundleError, BundleReader, BundleStart, Part};
use crate::clock::Clock;
use crate::entry::{Entry, UnverifiedEntry, verify_chain};
use crate::ids::{DeviceId, JournalId};
use crate::membership::{Membership, PlacedAct};
use crate::operation::{Operation, OperationKind};
use crate::sync::Message;
use crate::vector::Tip;

/// What a file holds of one journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldJournal {
    /// The journal.
    pub journal: JournalId,
    /// What its device is or was called.
    pub name: String,
    /// Entries that are genuine.
    pub entries: u64,
    /// Operations in them.
    pub operations: u64,
    /// Operations of those that were redacted.
    pub redacted: u64,
    /// When the first entry was sealed, by the device's clock.
    pub first: Clock,
    /// When the last was.
    pub last: Clock,
}

/// What came of verifying a file.
#[derive(Debug, Clone)]
pub struct FileReport {
    /// What it says of itself, signed by the device that wrote it.
    pub start: BundleStart,
    /// What the workspace is called.
    pub workspace_name: String,
    /// Who founded it, if the file proves it.
    pub founder: Option<DeviceId>,
    /// What it holds of each journal.
    pub journals: Vec<HeldJournal>,
    /// How many acts in it do not count.
    pub void_acts: u64,
    /// The first entry that is wrong in each journal that is not as it should be.
    pub wrong: Vec<Wrong>,
    /// Where the file breaks off or was changed, if it does or was.
    pub broken: Option<String>,
    /// How many of its bytes were read and are as they were written.
    pub bytes: u64,
}

impl FileReport {
    /// Whether all is as it should be.
    pub fn is_sound(&self) -> bool {
        self.broken.is_none() && self.wrong.is_empty() && self.founder.is_some()
    }
}

/// Verifies a file. Memory grows with the number of journals and acts, not with the entries.
pub fn verify_file(input: impl Read, threads: usize) -> Result<FileReport, BundleError> {
    let mut reader = BundleReader::new(input)?;
    let offset = reader.offset();
    let Some(Part::Start(start)) = reader.next()? else {
        return Err(BundleError::OutOfPlace { offset });
    };
    let mut file = File { start, threads, journals: BTreeMap::new(), acts: Vec::new() };
    let broken = loop {
        match reader.next() {
            Ok(Some(Part::Entries(message))) => file.take(message),
            Ok(Some(_)) => {}
            Ok(None) => break None,
            Err(error) => break Some(error),
        }
    };
    let mut report = file.report();
    report.bytes = reader.offset();
    report.broken = broken.map(|error| match std::error::Error::source(&error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    });
    Ok(report)
}

/// What is known of one journal.
struct Known {
    tip: Tip,
    operations: u64,
    redacted: u64,
    first: Clock,
    last: Clock,
    /// The number of the first entry that holds more than acts.
    data: Option<u64>,
    wrong: Option<Wrong>,
}

struct File {
    start: BundleStart,
    threads: usize,
    journals: BTreeMap<JournalId, Known>,
    acts: Vec<PlacedAct>,
}

impl File {
    fn take(&mut self, message: Message) {
        let Message::Entries { journal, first, entries, .. } = message else { return };
        let known = self.journals.entry(journal).or_insert_with(|| Known {
            tip: Tip::START,
            operations: 0,
            redacted: 0,
            first: Clock::default(),
            last: Clock::default(),
            data: None,
            wrong: None,
        });
        if known.wrong.is_some() {
            return;
        }
        let (mut unverified, mut flaw) = (Vec::new(), None);
        for (number, stored) in (first..).zip(&entries) {
            match UnverifiedEntry::decode(journal, number, stored) {
                Ok(entry) => unverified.push(entry),
                Err(error) => {
                    flaw = Some(error);
                    break;
                }
            }
        }
        let (good, bad) = verify_chain(self.start.workspace, known.tip, unverified, self.threads);
        for entry in &good {
            known.hold(entry);
            self.acts.extend(acts_of(entry));
        }
        if let Some(why) = bad.or(flaw) {
            let entry = known.tip.count;
            known.wrong = Some(Wrong { journal, entry, why: why.into() });
        }
    }

    fn report(self) -> FileReport {
        let membership = Membership::of(self.start.workspace, &self.acts);
        let (mut journals, mut wrong) = (Vec::new(), Vec::new());
        for (journal, until) in self.start.until.iter() {
            if !self.journals.contains_key(journal) {
                let (journal, number) = (*journal, 0);
                let why = Flaw::Missing { journal, number };
                wrong.push(Wrong { journal, entry: until.count.min(number), why });
            }
        }
        for (journal, known) in self.journals {
            let ends = Self::end(&self.start, &journal, &known);
            let counts = Self::does_not_count(&membership, &journal, &known);
            // What comes first in the journal is what is told.
            let flaws = known.wrong.clone().into_iter().chain(ends).chain(counts);
            wrong.extend(flaws.min_by_key(|wrong| wrong.entry));
            journals.push(HeldJournal {
                journal,
                name: membership.name_of(&journal.device).to_owned(),
                entries: known.tip.count,
                operations: known.operations,
                redacted: known.redacted,
                first: known.first,
                last: known.last,
            });
        }
        FileReport {
            workspace_name: membership.name().to_owned(),
            founder: membership.founder(),
            void_acts: membership.void().count() as u64,
            start: self.start,
            journals,
            wrong,
            broken: None,
            bytes: 0,
        }
    }

    /// A journal that does not end where the file's start says.
    fn end(start: &BundleStart, journal: &JournalId, known: &Known) -> Option<Wrong> {
        let until = start.until.tip(journal);
        if known.wrong.is_some() || until == known.tip {
            return None;
        }
        let journal = *journal;
        let number = known.tip.count;
        if number < until.count {
            return Some(Wrong { journal, entry: number, why: Flaw::Missing { journal, number } });
        }
        let number = number.saturating_sub(1);
        Some(Wrong { journal, entry: number, why: Flaw::OtherEnd { journal, number } })
    }

    /// The first entry of a journal that its device was not allowed to write.
    fn does_not_count(
        membership: &Membership,
        journal: &JournalId,
        known: &Known,
    ) -> Option<Wrong> {
        // Where the founder is not known, nothing about members can be said.
        membership.founder()?;
        let limit = membership.limit(journal).filter(|limit| *limit < known.tip.count);
        let data = known.data.filter(|entry| !membership.may_hold_data(journal, *entry));
        let number = limit.into_iter().chain(data).min()?;
        let journal = *journal;
        Some(Wrong { journal, entry: number, why: Flaw::DoesNotCount { journal, number } })
    }
}

impl Known {
    fn hold(&mut self, entry: &Entry) {
        let clock = entry.header().clock;
        if self.tip.count == 0 {
            self.first = clock;
        }
        self.last = clock;
        self.tip = entry.tip();
        self.operations += entry.operations().len() as u64;
        let redacted = entry.operations().iter().filter(|one| one.document().is_none());
        self.redacted += redacted.count() as u64;
        let is_act = |operation: &Operation| match operation {
            Operation::Whole { kind, .. } | Operation::Redacted { kind, .. } => {
                *kind == OperationKind::Act as u8
            }
        };
        // A reader's first entries hold nothing but acts; of others any number may.
        if self.data.is_none() && !entry.operations().iter().all(is_act) {
            self.data = Some(entry.header().number);
        }
    }
}

fn acts_of(entry: &Entry) -> impl Iterator<Item = PlacedAct> {
    let header = entry.header();
    (0..).zip(entry.operations()).filter_map(move |(at, operation)| {
        let Operation::Whole { kind, content, .. } = operation else { return None };
        if *kind != OperationKind::Act as u8 {
            return None;
        }
        let act = Act::decode(content).ok()??;
        let place = (header.number, at);
        Some(PlacedAct::new(header.journal, place, header.clock, &operation.hash(), act))
    })
}
