//! Columns of runs that searches keep in memory, read when first needed.
//!
//! Invariants: what [`columns`](Snapshot) of a snapshot answer is what its rows and keys say, for
//! each column holds the number of the change that it shows (`index::run_changes`) and is brought up to
//! the snapshot's; a snapshot that is older than a column gets none. All columns together take no
//! more than [`MAX_BYTES`], or one column.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::run_column::{Held, RunColumn};
use super::run_counts::RunCounts;
use super::run_rows::RunRows;
use super::run_view::{RunView, Value};
use super::run_walk::ROW_KEYS;
use super::runs::RunQuery;
use super::schema::{Field, RunAttribute};
use crate::ids::ExperimentId;
use crate::index::run_changes;
use crate::index::value_key::{self, Column, Told};
use crate::store::{Snapshot, StoreError};

/// What all columns may take, in bytes: eight of numbers for a million runs.
const MAX_BYTES: usize = 64 << 20;
/// How many columns a search needs, mostly.
const FEW: usize = 4;
/// What any walk may cost, in keys, before it goes on from columns.
const WALK_KEYS: u64 = 2_048;
/// What a column takes that holds nothing, or more.
const SLOT_BYTES: usize = 1_024;
/// How many texts of one column are looked for while it is read from rows.
const MAX_SEEN: usize = 1 << 16;

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
#[derive(Default)]
pub struct RunColumns {
    slots: Mutex<HashMap<Name, Arc<Slot>>>,
    uses: AtomicU64,
    counts: RunCounts,
    /// Whether no walk is short enough to do without.
    eager: bool,
}

#[derive(Default)]
struct Slot {
    held: Mutex<Option<Shown>>,
    last_use: AtomicU64,
    bytes: AtomicUsize,
}

/// A column and the change up to which it is right.
#[derive(Clone)]
struct Shown {
    column: Arc<RunColumn>,
    change: u64,
}

/// Reads columns of one experiment as a snapshot shows them.
pub(super) struct ColumnReader<'a> {
    snapshot: &'a Snapshot,
    columns: &'a RunColumns,
    experiment: ExperimentId,
    change: u64,
}

impl RunColumns {
    /// Columns that every search asks for.
    #[cfg(test)]
    pub(super) fn eager() -> Self {
        Self { eager: true, ..Self::default() }
    }

    /// What a walk to so many runs may cost, in keys, before it goes on from columns: all that it
    /// takes if each run met is found, and a little more.
    pub(super) fn walk_keys(&self, wanted: usize) -> u64 {
        let wanted = u64::try_from(wanted).unwrap_or(u64::MAX);
        let keys = wanted.saturating_mul(2 + ROW_KEYS).saturating_add(WALK_KEYS);
        if self.eager { 0 } else { keys }
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

impl<'a> ColumnReader<'a> {
    /// Reads columns for a snapshot; none if it has none, or if they would not stay in memory.
    pub(super) fn open(
        snapshot: &'a Snapshot,
        experiment: ExperimentId,
    ) -> Result<Option<Self>, StoreError> {
        Self::open_for(snapshot, experiment, FEW)
    }

    /// Reads columns for a snapshot; none if it has none, or if so many would not stay in memory.
    pub(super) fn open_for(
        snapshot: &'a Snapshot,
        experiment: ExperimentId,
        wanted: usize,
    ) -> Result<Option<Self>, StoreError> {
        let Some(columns) = snapshot.columns() else { return Ok(None) };
        let Some(change) = run_changes::last(snapshot.txn())? else { return Ok(None) };
        let runs = usize::try_from(snapshot.counts()?.runs).unwrap_or(usize::MAX);
        // A search that needs a few must not push one out to get the next.
        let fits = runs.saturating_mul(size_of::<u64>() * wanted.max(FEW)) <= MAX_BYTES;
        Ok(fits.then_some(Self { snapshot, columns, experiment, change }))
    }

    /// A column as the snapshot shows it; none if there is none for such a field, or if one is
    /// there that shows more.
    pub(super) fn column(&self, field: &ColumnField) -> Result<Option<Arc<RunColumn>>, StoreError> {
        if !is_kept(field) {
            return Ok(None);
        }
        let slot = self.columns.slot(&(self.experiment, field.clone()));
        let column = {
            // Whoever wants the same column waits for it; nobody else does.
            let mut held = slot.held.lock().unwrap_or_else(PoisonError::into_inner);
            match held.take() {
                Some(shown) if shown.change >= self.change => {
                    let is_it = shown.change == self.change;
                    let column = Arc::clone(&shown.column);
                    *held = Some(shown);
                    return Ok(is_it.then_some(column));
                }
                older => {
                    let column = Arc::new(self.bring(field, older)?);
                    slot.bytes.store(SLOT_BYTES + column.bytes(), Ordering::Relaxed);
                    *held = Some(Shown { column: Arc::clone(&column), change: self.change });
                    column
                }
            }
        };
        self.columns.trim(&slot);
        Ok(Some(column))
    }

    /// Brings a column up to date, or reads it.
    fn bring(&self, field: &ColumnField, older: Option<Shown>) -> Result<RunColumn, StoreError> {
        let Some(Shown { column, change }) = older else { return self.read(field) };
        let changed = run_changes::between(self.snapshot.txn(), change, self.change)?;
        let Some(changed) = changed.filter(|_| !column.is_worn()) else { return self.read(field) };
        let mut column = Arc::unwrap_or_clone(column);
        RunRows::open(self.snapshot)?.each_of(changed, |number, view| {
            match view.filter(|view| view.head.experiment == self.experiment) {
                Some(view) => column.set(number, held(&value_of(view, field)?)),
                None => column.set(number, Held::Nothing),
            }
            Ok(())
        })?;
        Ok(column)
    }

    fn read(&self, field: &ColumnField) -> Result<RunColumn, StoreError> {
        let mut column = match place(field) {
            None => self.read_rows(field)?,
            Some((place, key)) => {
                let number = match key {
                    None => Some(0),
                    Some(key) => self.snapshot.key_number(key)?,
                };
                match number {
                    Some(number) => self.read_keys(place, number)?,
                    None => empty(field),
                }
            }
        };
        column.close();
        Ok(column)
    }

    fn read_keys(&self, place: Column, key_number: u32) -> Result<RunColumn, StoreError> {
        let mut column = match place {
            Column::Start | Column::Metric => RunColumn::of_numbers(),
            Column::Param | Column::Tag => RunColumn::of_texts(),
        };
        for key in self.snapshot.column(self.experiment, place, key_number, None, None)? {
            let key = key?;
            let held = match (key.told(), key.place().try_into()) {
                (Told::Integer(_), Ok(bytes)) => Held::of_integer(bytes),
                (Told::Number(_), Ok(bytes)) => Held::of_number(bytes),
                (Told::Text(text), _) => Held::Text(text.as_bytes(), true),
                _ => Held::Text(key.place(), false),
            };
            column.set(key.run_number(), held);
        }
        Ok(column)
    }

    /// Reads what only rows have.
    fn read_rows(&self, field: &ColumnField) -> Result<RunColumn, StoreError> {
        let mut column = empty(field);
        let mut seen: HashMap<Vec<u8>, u32> = HashMap::new();
        let start = self.snapshot.column(self.experiment, Column::Start, 0, None, None)?;
        let numbers = start.map(|key| Ok(key?.run_number()));
        let mut numbers = numbers.collect::<Result<Vec<u32>, StoreError>>()?;
        numbers.sort_unstable();
        let rows = RunRows::open(self.snapshot)?;
        let mut reader = rows.reader();
        for number in numbers {
            let Some(bytes) = reader.read(number)? else { continue };
            let view = RunView::read(bytes.value())?;
            let value = value_of(&view, field)?;
            let Value::Text(Some(text)) = &value else {
                column.set(number, held(&value));
                continue;
            };
            if let Some(code) = seen.get(text.as_bytes()) {
                column.set_code(number, *code);
                continue;
            }
            column.set(number, held(&value));
            if seen.len() < MAX_SEEN && text.len() < value_key::TEXT_BYTES {
                seen.insert(text.as_bytes().to_vec(), column.last_code());
            }
        }
        Ok(column)
    }
}

/// Whether there are columns of a field.
fn is_kept(field: &ColumnField) -> bool {
    let never = [RunAttribute::Id, RunAttribute::ArtifactUri];
    match field {
        ColumnField::Field(Field::Attribute(attribute)) => !never.contains(attribute),
        ColumnField::Field(Field::Dataset(_)) => false,
        ColumnField::Field(_) | ColumnField::Lifecycle => true,
    }
}

/// Where the index has a field.
fn place(field: &ColumnField) -> Option<(Column, Option<&str>)> {
    match field {
        ColumnField::Field(Field::Metric(key)) => Some((Column::Metric, Some(key))),
        ColumnField::Field(Field::Param(key)) => Some((Column::Param, Some(key))),
        ColumnField::Field(Field::Tag(key)) => Some((Column::Tag, Some(key))),
        ColumnField::Field(Field::Attribute(RunAttribute::StartTime)) => {
            Some((Column::Start, None))
        }
        _ => None,
    }
}

fn empty(field: &ColumnField) -> RunColumn {
    match field {
        ColumnField::Field(Field::Metric(_))
        | ColumnField::Field(Field::Attribute(
            RunAttribute::StartTime | RunAttribute::EndTime | RunAttribute::Duration,
        )) => RunColumn::of_numbers(),
        _ => RunColumn::of_texts(),
    }
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
        Value::Integer(Some(value)) => Held::of_integer(value_key::integer(*value)),
        Value::Text(Some(text)) => Held::text(text),
        Value::Number(None) | Value::Integer(None) | Value::Text(None) => Held::Nothing,
    }
}
