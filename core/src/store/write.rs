//! Writing what clients ask for, in rounds.
//!
//! A round is one transaction on the database in which any number of groups are written. A group
//! is planned against the rows as they are then and made durable in the log: that is all a client
//! waits for. The rows are changed in memory, those that an answer shows before it, all others once
//! the group is durable; they reach the tables, and so the readers, by the end of the round.
//!
//! Invariants: a group is durable when [`Round::write`] returns; a round that fails leaves the
//! groups before the failure in the log, from where the rows are made again.

use std::sync::Arc;

use redb::Durability;

use super::batch::Batch;
use super::meta::Progress;
use super::plan::{self, Answer, Plan};
use super::{Store, StoreError, meta};
use crate::act::Role;
use crate::action::{Action, Outcome, Refusal};
use crate::clock::{Clock, UnixMillis};
use crate::edit::{Edit, TimedEdit};
use crate::edit_log::EditLog;
use crate::rows::KeyValue;

/// A group that takes this many bytes is written before more is added to it. With the largest action
/// on top it stays below what the log takes for a group.
const GROUP_BYTES: usize = 8 << 20;

/// What happens at the end of a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoundEnd {
    /// Readers see what was written.
    Publish,
    /// That, and all edits are sealed, durably, at this time.
    Seal(UnixMillis),
}

/// Groups of actions that become visible together.
pub struct Round<'s, 'txn> {
    batch: Batch<'txn>,
    log: &'s mut EditLog,
    pending: &'s mut Vec<TimedEdit>,
    progress: Progress,
    /// How many of the last edits are durable, but not in the rows yet.
    behind: usize,
    /// Why clients of this device may not write, if they may not.
    closed: Option<Refusal>,
}

impl<'txn> Round<'_, 'txn> {
    /// Carries out actions as one group, or a few if they are large: in order, each all or nothing,
    /// and durable when this returns.
    ///
    /// An error means that none of them is known to be durable, and ends the round.
    pub fn write(
        &mut self,
        now: UnixMillis,
        actions: Vec<Action>,
    ) -> Result<Vec<Result<Outcome, Refusal>>, StoreError> {
        self.catch_up()?;
        let mut group = Group::new(&self.progress, now);
        let mut answers = Vec::with_capacity(actions.len());
        for action in actions {
            group.catch_up(&mut self.batch)?;
            if let Some(refusal) = &self.closed {
                answers.push(Err(refusal.clone()));
                continue;
            }
            let planned = plan::plan(&mut self.batch, group.tick(), action)?;
            answers.push(match planned {
                Ok((Plan { edits, answer: Answer::Done }, bytes)) => {
                    group.take(edits, bytes);
                    Ok(Outcome::Done)
                }
                Ok((Plan { edits, answer }, bytes)) => {
                    group.take(edits, bytes);
                    group.catch_up(&mut self.batch)?;
                    Ok(outcome(&mut self.batch, answer)?)
                }
                Err(refusal) => Err(refusal),
            });
            if group.bytes >= GROUP_BYTES {
                self.keep(group)?;
                self.catch_up()?;
                group = Group::new(&self.progress, now);
            }
        }
        self.keep(group)?;
        Ok(answers)
    }

    /// Writes edits that need no check as one group.
    fn append(&mut self, now: UnixMillis, edits: Vec<Edit>) -> Result<(), StoreError> {
        let mut group = Group::new(&self.progress, now);
        for edit in edits {
            group.tick();
            let bytes = edit.stored_bytes();
            group.take(vec![edit], bytes);
            group.catch_up(&mut self.batch)?;
            if group.bytes >= GROUP_BYTES {
                self.keep(group)?;
                group = Group::new(&self.progress, now);
            }
        }
        self.keep(group)
    }

    fn keep(&mut self, group: Group) -> Result<(), StoreError> {
        if group.edits.is_empty() {
            return Ok(());
        }
        self.log.append(&group.edits)?;
        self.progress.clock = group.clock;
        self.progress.applied = group.first + group.edits.len() as u64;
        self.behind = group.edits.len() - group.applied;
        self.pending.extend(group.edits);
        Ok(())
    }

    /// Takes the last edits of [`Round::write`] into the rows. They are durable already, so who asked for
    /// them is better answered first. Whatever else is done in the round does this before.
    pub fn catch_up(&mut self) -> Result<(), StoreError> {
        let edits = &self.pending[self.pending.len() - self.behind..];
        let numbers = self.progress.applied - self.behind as u64..;
        for (number, timed) in numbers.zip(edits) {
            self.batch.apply(number, timed)?;
        }
        self.behind = 0;
        Ok(())
    }

    /// Does a little of what the end of the round has to do, while nobody asks for anything: some 0.1 ms.
    /// Returns whether there was something to do.
    pub fn work_ahead(&mut self) -> Result<bool, StoreError> {
        self.catch_up()?;
        self.batch.flush_one()
    }

    /// How many bytes the edits take that are not sealed yet.
    pub fn unsealed_bytes(&self) -> u64 {
        if self.pending.is_empty() { 0 } else { self.log.bytes() }
    }

    fn done(mut self) -> Result<(Batch<'txn>, Progress), StoreError> {
        self.catch_up()?;
        Ok((self.batch, self.progress))
    }
}

impl Store {
    /// Writes groups until `work` says how the round ends.
    pub fn round<T>(
        &mut self,
        work: impl FnOnce(&mut Round<'_, '_>) -> Result<(T, RoundEnd), StoreError>,
    ) -> Result<T, StoreError> {
        let done = self.try_round(work);
        if done.is_err() {
            // What the groups before the failure did is shown, if the disk still lets us; if not
            // it will be at the next start.
            let _ = self.replay();
        }
        done
    }

    fn try_round<T>(
        &mut self,
        work: impl FnOnce(&mut Round<'_, '_>) -> Result<(T, RoundEnd), StoreError>,
    ) -> Result<T, StoreError> {
        let database = Arc::clone(&self.database);
        let mut txn = database.begin_write()?;
        let closed = self.closed();
        let mut round = Round {
            closed,
            batch: Batch::open(&txn)?,
            log: &mut self.log,
            pending: &mut self.pending,
            progress: self.progress,
            behind: 0,
        };
        let (value, end) = work(&mut round)?;
        let (batch, progress) = round.done()?;
        match end {
            RoundEnd::Seal(now) if !self.pending.is_empty() => {
                let sealed = self.seal_batch(&txn, batch, progress, now)?;
                txn.commit()?;
                self.sealed(sealed, now)?;
            }
            _ if progress == self.progress => {
                drop(batch);
                txn.abort()?;
            }
            _ => {
                batch.flush()?;
                meta::write_progress(&txn, &progress)?;
                txn.set_durability(Durability::None)?;
                txn.commit()?;
                self.progress = progress;
            }
        }
        Ok(value)
    }

    /// Why clients of this device may not write, if they may not.
    fn closed(&self) -> Option<Refusal> {
        let (members, device) = (&self.membership, &self.identity.journal.device);
        // Before the founder's first entry is here, nobody knows anything.
        members.founder()?;
        match members.role(device) {
            Some(Role::Writer | Role::Admin) => None,
            Some(Role::Reader) => Some(Refusal::OnlyReads),
            None => Some(Refusal::NotAMember),
        }
    }

    /// Carries out actions as one group and shows them to readers: a round of one group.
    pub fn write(
        &mut self,
        now: UnixMillis,
        actions: Vec<Action>,
    ) -> Result<Vec<Result<Outcome, Refusal>>, StoreError> {
        self.round(|round| Ok((round.write(now, actions)?, RoundEnd::Publish)))
    }

    /// Writes edits that need no check as one group.
    pub(super) fn append(&mut self, now: UnixMillis, edits: Vec<Edit>) -> Result<(), StoreError> {
        self.round(|round| Ok((round.append(now, edits)?, RoundEnd::Publish)))
    }

    /// Every workspace has the experiment "Default", the same on every device.
    pub(super) fn create_default_experiment(&mut self, now: UnixMillis) -> Result<(), StoreError> {
        let create = Action::CreateExperiment {
            name: crate::ids::DEFAULT_EXPERIMENT.to_owned(),
            artifact_location: None,
            tags: Vec::<KeyValue>::new(),
            description: None,
        };
        // It may have arrived from a peer before: then there is nothing to do.
        self.write(now, vec![create]).map(drop)
    }
}

/// Edits that become durable together.
struct Group {
    now: UnixMillis,
    clock: Clock,
    /// The number of the first edit.
    first: u64,
    edits: Vec<TimedEdit>,
    /// How many of them are in the rows.
    applied: usize,
    bytes: usize,
}

impl Group {
    const fn new(progress: &Progress, now: UnixMillis) -> Self {
        let (clock, first) = (progress.clock, progress.applied);
        Self { now, clock, first, edits: Vec::new(), applied: 0, bytes: 0 }
    }

    fn tick(&mut self) -> Clock {
        self.clock = self.clock.tick(self.now);
        self.clock
    }

    fn take(&mut self, edits: Vec<Edit>, bytes: usize) {
        let clock = self.clock;
        self.edits.extend(edits.into_iter().map(|edit| TimedEdit { clock, edit }));
        self.bytes += bytes;
    }

    /// Takes what was planned into the rows, so that more can be planned.
    fn catch_up(&mut self, batch: &mut Batch<'_>) -> Result<(), StoreError> {
        for (at, timed) in self.edits.iter().enumerate().skip(self.applied) {
            batch.apply(self.first + at as u64, timed)?;
        }
        self.applied = self.edits.len();
        Ok(())
    }
}

fn outcome(batch: &mut Batch<'_>, answer: Answer) -> Result<Outcome, StoreError> {
    let gone = "what was just written is there";
    Ok(match answer {
        Answer::Done => Outcome::Done,
        Answer::Experiment(id) => Outcome::Experiment(batch.experiment(id)?.expect(gone).clone()),
        Answer::Run(id) => Outcome::Run(Box::new(batch.run(&id)?.expect(gone).clone())),
        Answer::Records(counts) => Outcome::Records(counts),
        Answer::Count(count) => Outcome::Count(count),
        Answer::Trace(id) => {
            let state = batch.traces()?.state(&id)?.expect(gone).clone();
            Outcome::Trace(Box::new(state.into_row()))
        }
        Answer::Document(id) => {
            Outcome::Document(Box::new(batch.documents()?.row(&id)?.expect(gone).clone()))
        }
    })
}
