//! Columns of runs that searches keep in memory, read when first needed.
//!
//! Invariants: what [`columns`](Snapshot) of a snapshot answer is what its rows say, for
//! each column holds the number of the change that it shows (`index::run_changes`) and is brought up to
//! the snapshot's; a snapshot that is a little older than a column gets a copy in which what changed since is
//! as the snapshot has it. What is kept takes no more than [`MAX_BYTES`], or is one column.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::run_column::RunColumn;
use super::run_counts::RunCounts;
use super::run_rows::RunRows;
use super::run_texts::KnownTexts;
use super::run_view::{RunView, Value};
use super::runs::RunQuery;
use super::schema::{Field, RunAttribute};
use crate::ids::ExperimentId;
use crate::index::column_block::{Block, Held};
use crate::index::{Column, StoredColumns, run_changes};
use crate::store::{Snapshot, StoreError};

/// What all columns that are kept may take, in bytes: eight of numbers for a million runs.
const MAX_BYTES: usize = 64 << 20;
/// How many rows any walk may read that are not wanted, before it goes on from columns.
const WALK_ROWS: usize = 128;
/// If a column has more texts, none are ranked: a run whose text is new would have all of them ranked anew.
const MAX_RANKED: usize = 1 << 17;
/// What a column takes that holds nothing, or more.
const SLOT_BYTES: usize = 1_024;
/// How many times back a column knows what it was brought up to date with.
const STEPS_BACK: usize = 16;
/// Of how many runs it knows that each time, at most.
const STEP_RUNS: usize = 4_096;

/// What a column is of.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum ColumnField {
    /// A field that clauses name.
    Field(Field<RunAttribute>),
    /// Whether it is deleted.
    Lifecycle,
}

type Name = (ExperimentId, ColumnField);

/// Columns in memory.
pub struct RunColumns {
    slots: Mutex<HashMap<Name, Arc<Slot>>>,
    uses: AtomicU64,
    counts: RunCounts,
    walk_rows: usize,
    max_ranked: usize,
}

#[derive(Default)]
struct Slot {
    held: Mutex<Option<Shown>>,
    last_use: AtomicU64,
    bytes: AtomicUsize,
}

/// A column and the change up to which it is right.
struct Shown {
    column: Arc<RunColumn>,
    change: u64,
    /// Up to which change it was right before, and the runs that were set then; the last at the end.
    steps: VecDeque<(u64, BTreeSet<u32>)>,
}

/// Reads columns of one experiment as a snapshot shows them.
pub(super) struct ColumnReader<'a> {
    snapshot: &'a Snapshot,
    columns: &'a RunColumns,
    experiment: ExperimentId,
    change: u64,
}

impl Default for RunColumns {
    fn default() -> Self {
        Self {
            slots: Mutex::default(),
            uses: AtomicU64::default(),
            counts: RunCounts::default(),
            walk_rows: WALK_ROWS,
            max_ranked: MAX_RANKED,
        }
    }
}

impl RunColumns {
    /// Columns that every search asks for, and that rank so many texts at most.
    #[cfg(test)]
    pub(super) fn eager(max_ranked: usize) -> Self {
        Self { walk_rows: 0, max_ranked, ..Self::default() }
    }

    /// How many rows a walk to so many runs may read before it goes on from columns.
    pub(super) const fn walk_rows(&self, wanted: usize) -> usize {
        match self.walk_rows {
            0 => 0,
            more => wanted.saturating_add(more),
        }
    }

    /// How many runs each experiment has.
    pub(super) const fn counts(&self) -> &RunCounts {
        &self.counts
    }

    fn slot(&self, name: &Name) -> Arc<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = Arc::clone(slots.entry(name.clone()).or_default());
        slot.last_use.store(self.uses.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        slot
    }

    /// Forgets the columns that were not used for longest, but one.
    fn trim(&self, but: &Arc<Slot>) {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = |slots: &HashMap<Name, Arc<Slot>>| -> usize {
            slots.values().map(|slot| slot.bytes.load(Ordering::Relaxed)).sum()
        };
        while bytes(&slots) > MAX_BYTES {
            let others = slots.iter().filter(|(_, slot)| !Arc::ptr_eq(slot, but));
            let oldest = others.min_by_key(|(_, slot)| slot.last_use.load(Ordering::Relaxed));
            let Some(name) = oldest.map(|(name, _)| name.clone()) else { return };
            slots.remove(&name);
        }
    }
}

impl Shown {
    /// The runs that may have changed after an earlier change; none if that is not known any more.
    fn changed_after(&self, change: u64) -> Option<BTreeSet<u32>> {
        if change == self.change {
            return Some(BTreeSet::new());
        }
        let first = self.steps.iter().rposition(|(before, _)| *before <= change)?;
        Some(self.steps.range(first..).flat_map(|(_, runs)| runs).copied().collect())
    }
}

impl<'a> ColumnReader<'a> {
    /// Reads columns for a snapshot; none if it has none.
    pub(super) fn open(
        snapshot: &'a Snapshot,
        experiment: ExperimentId,
    ) -> Result<Option<Self>, StoreError> {
        let Some(columns) = snapshot.columns() else { return Ok(None) };
        let Some(change) = run_changes::last(snapshot.txn())? else { return Ok(None) };
        Ok(Some(Self { snapshot, columns, experiment, change }))
    }

    /// How many texts a column may have whose texts are ranked.
    pub(super) const fn max_ranked(&self) -> usize {
        self.columns.max_ranked
    }

    /// A column as the snapshot shows it; none if there is none for such a field, or if one is
    /// there that shows much more.
    pub(super) fn column(&self, field: &ColumnField) -> Result<Option<Arc<RunColumn>>, StoreError> {
        let Some((column, key)) = column_of(field) else { return Ok(None) };
        let slot = self.columns.slot(&(self.experiment, field.clone()));
        let found = {
            // Whoever wants the same column waits for it; nobody else does.
            let mut held = slot.held.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(shown) = &*held
                && shown.change >= self.change
            {
                let changed = shown.changed_after(self.change);
                let column = Arc::clone(&shown.column);
                drop(held);
                return changed.map(|runs| self.step_back(field, column, runs)).transpose();
            }
            let shown = self.bring(field, (column, key), held.take())?;
            slot.bytes.store(SLOT_BYTES + shown.column.bytes(), Ordering::Relaxed);
            Arc::clone(&held.insert(shown).column)
        };
        self.columns.trim(&slot);
        Ok(Some(found))
    }

    /// The column of starts, which every run of the experiment has.
    pub(super) fn starts(&self) -> Result<Option<Arc<RunColumn>>, StoreError> {
        self.column(&ColumnField::Field(Field::Attribute(RunAttribute::StartTime)))
    }

    /// The column of a field of a query. That of devices is made of what the query was told.
    pub(super) fn column_for(
        &self,
        query: &RunQuery,
        field: &Field<RunAttribute>,
    ) -> Result<Option<Arc<RunColumn>>, StoreError> {
        if *field != Field::Attribute(RunAttribute::Device) {
            return self.column(&ColumnField::Field(field.clone()));
        }
        Ok(self.starts()?.and_then(|starts| match &*starts {
            RunColumn::Numbers(starts) => Some(Arc::new(query.devices.column(starts))),
            RunColumn::Texts(..) => None,
        }))
    }

    /// What a column was before these runs changed.
    fn step_back(
        &self,
        field: &ColumnField,
        column: Arc<RunColumn>,
        changed: BTreeSet<u32>,
    ) -> Result<Arc<RunColumn>, StoreError> {
        if changed.is_empty() {
            return Ok(column);
        }
        let mut column = Arc::unwrap_or_clone(column);
        self.set_runs(&mut column, field, changed)?;
        Ok(Arc::new(column))
    }

    /// Brings a column up to date, or reads it.
    fn bring(
        &self,
        field: &ColumnField,
        place: (Column, Option<&str>),
        older: Option<Shown>,
    ) -> Result<Shown, StoreError> {
        if let Some(Shown { column, change, mut steps }) = older
            && !column.is_worn()
            && let Some(changed) = run_changes::between(self.snapshot.txn(), change, self.change)?
        {
            let mut column = Arc::unwrap_or_clone(column);
            self.set_runs(&mut column, field, changed.clone())?;
            if changed.len() > STEP_RUNS {
                steps.clear();
            } else {
                steps.push_back((change, changed));
            }
            if steps.len() > STEPS_BACK {
                steps.pop_front();
            }
            return Ok(Shown { column: Arc::new(column), change: self.change, steps });
        }
        let column = Arc::new(self.read(field, place)?);
        Ok(Shown { column, change: self.change, steps: VecDeque::new() })
    }

    /// Reads a column: blocks of the store, and rows of runs that these may not tell of.
    fn read(
        &self,
        field: &ColumnField,
        (of, key): (Column, Option<&str>),
    ) -> Result<RunColumn, StoreError> {
        let mut column =
            if of.is_of_texts() { RunColumn::of_texts() } else { RunColumn::of_numbers() };
        let stored = StoredColumns::open(self.snapshot.txn())?;
        let number = match key {
            None => Some(0),
            Some(key) => self.snapshot.key_number(key)?,
        };
        if let Some(number) = number {
            let mut known = KnownTexts::default();
            stored.each_block(self.experiment, of, number, |at, bytes| {
                column.set_block(at, &Block::read(bytes)?, &mut known);
                Ok(())
            })?;
        }
        self.set_runs(&mut column, field, stored.loose_runs()?)?;
        column.close();
        Ok(column)
    }

    /// Sets what runs have, by their rows.
    fn set_runs(
        &self,
        column: &mut RunColumn,
        field: &ColumnField,
        runs: impl IntoIterator<Item = u32>,
    ) -> Result<(), StoreError> {
        RunRows::open(self.snapshot)?.each_of(runs, |number, view| {
            match view.filter(|view| view.head.experiment == self.experiment) {
                Some(view) => column.set(number, held(&value_of(view, field)?)),
                None => column.set(number, Held::Nothing),
            }
            Ok(())
        })
    }
}

/// The column that the store has of a field, and the key that it is of; none if there is none.
fn column_of(field: &ColumnField) -> Option<(Column, Option<&str>)> {
    let attribute = match field {
        ColumnField::Lifecycle => return Some((Column::Lifecycle, None)),
        ColumnField::Field(Field::Metric(key)) => return Some((Column::Metric, Some(key))),
        ColumnField::Field(Field::Param(key)) => return Some((Column::Param, Some(key))),
        ColumnField::Field(Field::Tag(key)) => return Some((Column::Tag, Some(key))),
        ColumnField::Field(Field::Dataset(_)) => return None,
        ColumnField::Field(Field::Attribute(attribute)) => attribute,
    };
    let column = match attribute {
        RunAttribute::Id | RunAttribute::ArtifactUri | RunAttribute::Device => return None,
        RunAttribute::Name => Column::Name,
        RunAttribute::User => Column::User,
        RunAttribute::Status => Column::Status,
        RunAttribute::StartTime => Column::Start,
        RunAttribute::EndTime => Column::End,
        RunAttribute::Duration => Column::Duration,
        RunAttribute::Description => Column::Description,
    };
    Some((column, None))
}

fn value_of<'a>(view: &RunView<'a>, field: &ColumnField) -> Result<Value<'a>, StoreError> {
    match field {
        // Fields that need the query are not kept.
        ColumnField::Field(field) => view.value(field, &RunQuery::default()),
        ColumnField::Lifecycle => Ok(Value::text(Some(view.head.lifecycle.as_str()))),
    }
}

fn held<'a>(value: &'a Value<'_>) -> Held<'a> {
    match value {
        Value::Number(Some(value)) => Held::number(*value),
        Value::Integer(Some(value)) => Held::integer(*value),
        Value::Text(Some(text)) => Held::text(text),
        Value::Number(None) | Value::Integer(None) | Value::Text(None) => Held::Nothing,
    }
}
