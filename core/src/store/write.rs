//! Writing what clients ask for: planned, applied, made durable in one group.

use redb::Durability;

use super::batch::Batch;
use super::plan::{self, Answer, Plan};
use super::{Store, StoreError, meta};
use crate::action::{Action, Outcome, Refusal};
use crate::clock::{Clock, UnixMillis};
use crate::edit::{Edit, TimedEdit};
use crate::rows::KeyValue;

impl Store {
    /// Carries out actions as one group: in order, each all or nothing, and durable together.
    ///
    /// An error means that none of them is known to be durable.
    pub fn write(
        &mut self,
        now: UnixMillis,
        actions: Vec<Action>,
    ) -> Result<Vec<Result<Outcome, Refusal>>, StoreError> {
        let mut group = Group::new(self, now);
        let mut answers = Vec::with_capacity(actions.len());
        let mut txn = self.database.begin_write()?;
        txn.set_durability(Durability::None)?;
        let mut batch = Batch::open(&txn)?;
        for action in actions {
            let planned = plan::plan(&mut batch, group.tick(), action)?;
            answers.push(match planned {
                Ok(Plan { edits, answer }) => {
                    group.apply(&mut batch, edits)?;
                    Ok(outcome(&mut batch, answer)?)
                }
                Err(refusal) => Err(refusal),
            });
        }
        batch.flush()?;
        self.commit(txn, group)?;
        Ok(answers)
    }

    /// Writes edits that need no check as one group.
    pub(super) fn append(&mut self, now: UnixMillis, edits: Vec<Edit>) -> Result<(), StoreError> {
        let mut group = Group::new(self, now);
        let mut txn = self.database.begin_write()?;
        txn.set_durability(Durability::None)?;
        let mut batch = Batch::open(&txn)?;
        for edit in edits {
            group.tick();
            group.apply(&mut batch, vec![edit])?;
        }
        batch.flush()?;
        self.commit(txn, group)
    }

    /// Makes a group durable in the log, then visible in the database.
    fn commit(&mut self, txn: redb::WriteTransaction, group: Group) -> Result<(), StoreError> {
        if group.edits.is_empty() {
            return Ok(txn.abort()?);
        }
        let mut progress = self.progress;
        progress.clock = group.clock;
        progress.applied = group.next;
        meta::write_progress(&txn, &progress)?;
        self.log.append(&group.edits)?;
        txn.commit()?;
        self.progress = progress;
        self.pending.extend(group.edits);
        Ok(())
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
    next: u64,
    edits: Vec<TimedEdit>,
}

impl Group {
    fn new(store: &Store, now: UnixMillis) -> Self {
        let (clock, next) = (store.progress.clock, store.progress.applied);
        Self { now, clock, next, edits: Vec::new() }
    }

    fn tick(&mut self) -> Clock {
        self.clock = self.clock.tick(self.now);
        self.clock
    }

    fn apply(&mut self, batch: &mut Batch<'_>, edits: Vec<Edit>) -> Result<(), StoreError> {
        for edit in edits {
            let timed = TimedEdit { clock: self.clock, edit };
            batch.apply(self.next, &timed)?;
            self.next += 1;
            self.edits.push(timed);
        }
        Ok(())
    }
}

fn outcome(batch: &mut Batch<'_>, answer: Answer) -> Result<Outcome, StoreError> {
    let gone = "what was just written is there";
    Ok(match answer {
        Answer::Done => Outcome::Done,
        Answer::Experiment(id) => Outcome::Experiment(batch.experiment(id)?.expect(gone).clone()),
        Answer::Run(id) => Outcome::Run(Box::new(batch.run(&id)?.expect(gone).clone())),
    })
}
