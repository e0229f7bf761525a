//! Ranges of the index that hold all runs for which a clause holds, or more.

use std::cmp::{max, min};

use super::condition::{Condition, Relation};
use super::filter::Clause;
use super::schema::{Field, RunAttribute};
use crate::ids::ExperimentId;
use crate::index::value_key::{self, Column, ReadKey};
use crate::store::{Snapshot, StoreError};

/// Keys of the index.
pub(super) type Keys = Box<dyn Iterator<Item = Result<ReadKey, StoreError>>>;

/// A part of a column: all keys between two values, both included with all that starts with them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ColumnRange {
    column: Column,
    key_number: u32,
    low: Option<Vec<u8>>,
    high: Option<Vec<u8>>,
}

/// Where the index has the runs that have a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Indexed {
    /// Nowhere: there is no such column.
    Not,
    /// Nowhere: no run has a value.
    Empty,
    /// Here.
    In(ColumnRange),
}

impl Indexed {
    /// Whether it is the column that a range is a part of.
    pub(super) fn is_column_of(&self, range: &ColumnRange) -> bool {
        matches!(self, Self::In(column) if column.is_of_same_values(range))
    }
}

impl ColumnRange {
    /// The start of every run.
    pub(super) const fn all_runs() -> Self {
        Self { column: Column::Start, key_number: 0, low: None, high: None }
    }

    /// All values of a field.
    pub(super) fn of_field(
        snapshot: &Snapshot,
        field: &Field<RunAttribute>,
    ) -> Result<Indexed, StoreError> {
        let (column, key) = match field {
            Field::Attribute(RunAttribute::StartTime) => return Ok(Indexed::In(Self::all_runs())),
            Field::Metric(key) => (Column::Metric, key),
            Field::Param(key) => (Column::Param, key),
            Field::Tag(key) => (Column::Tag, key),
            Field::Attribute(_) | Field::Dataset(_) => return Ok(Indexed::Not),
        };
        Ok(match snapshot.key_number(key)? {
            Some(key_number) => Indexed::In(Self { column, key_number, low: None, high: None }),
            None => Indexed::Empty,
        })
    }

    /// The values for which a clause may hold.
    pub(super) fn of_clause(
        snapshot: &Snapshot,
        clause: &Clause<RunAttribute>,
    ) -> Result<Indexed, StoreError> {
        if clause.condition == Condition::IsNull {
            return Ok(Indexed::Not);
        }
        Ok(match Self::of_field(snapshot, &clause.field)? {
            Indexed::In(range) => Indexed::In(range.bounded(&clause.condition)),
            nowhere => nowhere,
        })
    }

    fn bounded(self, condition: &Condition) -> Self {
        let (low, high) = match condition {
            Condition::Number(relation, value) => self.number_bounds(*relation, *value),
            Condition::Equal(text) => {
                let place = text_place(text);
                (Some(place.clone()), Some(place))
            }
            Condition::Like(pattern) => match pattern.prefix() {
                prefix if prefix.is_empty() => (None, None),
                prefix => {
                    let place = value_key::text(&prefix).to_vec();
                    (Some(place.clone()), Some(place))
                }
            },
            Condition::NotEqual(_)
            | Condition::In(_)
            | Condition::NotIn(_)
            | Condition::IsNull
            | Condition::IsNotNull => (None, None),
        };
        Self { low, high, ..self }
    }

    fn number_bounds(&self, relation: Relation, value: f64) -> (Option<Vec<u8>>, Option<Vec<u8>>) {
        // Starts are integers: the nearest ones below and above are bounds.
        let (below, above) = match self.column {
            Column::Start => {
                (value_key::integer(value.floor() as i64), value_key::integer(value.ceil() as i64))
            }
            Column::Metric | Column::Param | Column::Tag => {
                (value_key::number(value), value_key::number(value))
            }
        };
        let last_number = value_key::number(f64::INFINITY);
        match relation {
            Relation::Equal => (Some(below.to_vec()), Some(above.to_vec())),
            Relation::Less | Relation::LessOrEqual => (None, Some(above.to_vec())),
            Relation::Greater | Relation::GreaterOrEqual if self.column == Column::Metric => {
                (Some(below.to_vec()), Some(last_number.to_vec()))
            }
            Relation::Greater | Relation::GreaterOrEqual => (Some(below.to_vec()), None),
            Relation::NotEqual => (None, None),
        }
    }

    /// What is in both ranges of one column, or a little more.
    pub(super) fn intersect(self, other: Self) -> Self {
        // None is below every low bound, but must not be below a high one.
        let high = match (self.high, other.high) {
            (Some(a), Some(b)) => Some(min(a, b)),
            (a, b) => a.or(b),
        };
        Self { low: max(self.low, other.low), high, ..self }
    }

    /// The part of a metric's column before NaN; other columns have none.
    pub(super) fn numbers_only(&self) -> Self {
        let mut numbers = self.clone();
        if self.column == Column::Metric && self.high.is_none() {
            numbers.high = Some(value_key::number(f64::INFINITY).to_vec());
        }
        numbers
    }

    /// The part of a metric's column that is NaN, if it is in this range.
    pub(super) fn nan_only(&self) -> Option<Self> {
        let nan = || Some(value_key::NAN.to_vec());
        (self.column == Column::Metric && self.high.is_none()).then(|| Self {
            low: nan(),
            high: nan(),
            ..self.clone()
        })
    }

    fn is_of_same_values(&self, other: &Self) -> bool {
        (self.column, self.key_number) == (other.column, other.key_number)
    }

    pub(super) fn is_of_text(&self) -> bool {
        matches!(self.column, Column::Param | Column::Tag)
    }

    pub(super) fn is_all_runs(&self) -> bool {
        *self == Self::all_runs()
    }

    /// The keys of an experiment in this range, in order or against it.
    pub(super) fn keys(
        &self,
        snapshot: &Snapshot,
        experiment: ExperimentId,
        ascending: bool,
    ) -> Result<Keys, StoreError> {
        let (low, high) = (self.low.as_deref(), self.high.as_deref());
        let keys = snapshot.column(experiment, self.column, self.key_number, low, high)?;
        Ok(if ascending { Box::new(keys) } else { Box::new(keys.rev()) })
    }

    /// The part of the range from a value on, itself included, or a little more.
    pub(super) fn starting_at_number(self, value: [u8; 8], ascending: bool) -> Self {
        self.starting_at(value.to_vec(), ascending)
    }

    /// The part of the range from a text on, itself included, or a little more.
    pub(super) fn starting_at_text(self, text: &str, ascending: bool) -> Self {
        self.starting_at(text_place(text), ascending)
    }

    fn starting_at(self, place: Vec<u8>, ascending: bool) -> Self {
        let (low, high) = if ascending { (Some(place), None) } else { (None, Some(place)) };
        let bounds = Self { low, high, ..self.clone() };
        self.intersect(bounds)
    }
}

/// The bytes with which the keys of a text start, and no others if all of it is in them.
fn text_place(text: &str) -> Vec<u8> {
    let head = value_key::text(text);
    let whole = head.len() == text.len();
    // A longer text agrees with the head, and its key has no end mark or has one after it.
    match whole && head.len() < value_key::TEXT_BYTES {
        true => [head, &[0]].concat(),
        false => head.to_vec(),
    }
}
