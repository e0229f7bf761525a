//! Groups: the runs of a search taken together by what they have in a field, and how metrics are
//! spread over each group.
//!
//! A row costs a microsecond or two, so if columns in memory hold what is asked for, rows are read of
//! those runs alone of whose text a column has a part.
//!
//! Invariant: the answer is that of reading every row, but for the last digits of means and deviations,
//! which depend on the order in which numbers are added.

use std::collections::HashMap;
use std::sync::Arc;

use super::run_choice::RunChoice;
use super::run_column::RunColumn;
use super::run_columns::{ColumnField, ColumnReader};
use super::run_find::find_runs;
use super::run_rows::RunRows;
use super::run_texts::NO_TEXT;
use super::run_view::{RunView, Value};
use super::runs::RunQuery;
use super::schema::{Field, RunAttribute};
use super::spread::{MetricSpread, Sum};
use crate::ids::ExperimentId;
use crate::index::column_block::{NAN, NO_NUMBER};
use crate::index::value_key;
use crate::store::{Snapshot, StoreError};

/// What the runs of a group have in the field that makes it.
#[derive(Debug, Clone, PartialEq)]
pub enum Grouped {
    /// Nothing.
    Nothing,
    /// This number. Zeros are one whatever their sign, and so is all that is not a number.
    Number(f64),
    /// This text.
    Text(String),
}

/// Runs that have the same in a field.
#[derive(Debug, Clone, PartialEq)]
pub struct RunGroup {
    /// What they have there.
    pub value: Grouped,
    /// How many they are.
    pub runs: u64,
    /// When the latest of them started, in milliseconds since 1970.
    pub latest_ms: i64,
    /// The spread of each metric asked for, in the order asked; none where no run has a number.
    pub spreads: Vec<Option<MetricSpread>>,
}

/// Takes the runs of a query together, whatever its order, offset and limit. The largest group comes
/// first. Numbers of attributes and what is told of datasets make no groups.
pub fn group_runs(
    snapshot: &Snapshot,
    query: &RunQuery,
    by: &Field<RunAttribute>,
    metrics: &[String],
) -> Result<Vec<RunGroup>, StoreError> {
    let metrics: Vec<_> = metrics.iter().map(|key| Field::Metric(key.clone())).collect();
    let mut groups = Groups { metrics: metrics.len(), places: HashMap::new(), all: Vec::new() };
    for experiment in query.distinct_experiments() {
        let query = RunQuery { experiments: vec![experiment], order: Vec::new(), ..query.clone() };
        match Asked::open(snapshot, &query, experiment, by, &metrics)? {
            Some(asked) => asked.add_to(&mut groups, snapshot, &query, by)?,
            None => add_rows(&mut groups, snapshot, &query, by, &metrics)?,
        }
    }
    Ok(groups.largest_first())
}

/// What makes two runs be of one group. A number is as the index has it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Key {
    Nothing,
    Number([u8; 8]),
    Text(String),
}

impl Key {
    fn of(value: &Value<'_>) -> Self {
        match value {
            Value::Number(Some(value)) => Self::Number(value_key::number(*value)),
            Value::Text(Some(text)) => Self::Text(text.to_string()),
            Value::Integer(_) | Value::Number(None) | Value::Text(None) => Self::Nothing,
        }
    }

    /// The same of what stands in a column of numbers.
    const fn in_column(by: &Field<RunAttribute>, value: u64) -> Self {
        match (by, value) {
            (Field::Metric(_), NAN) => Self::Number(value_key::NAN),
            (Field::Metric(_), value) if value != NO_NUMBER => Self::Number(value.to_be_bytes()),
            _ => Self::Nothing,
        }
    }
}

/// Groups in the making.
struct Groups {
    metrics: usize,
    places: HashMap<Key, usize>,
    all: Vec<Members>,
}

struct Members {
    runs: u64,
    latest_ms: i64,
    sums: Vec<Sum>,
}

impl Groups {
    fn place(&mut self, key: Key) -> usize {
        let next = self.all.len();
        let place = *self.places.entry(key).or_insert(next);
        if place == next {
            let sums = vec![Sum::default(); self.metrics];
            self.all.push(Members { runs: 0, latest_ms: i64::MIN, sums });
        }
        place
    }

    fn largest_first(self) -> Vec<RunGroup> {
        let mut places: Vec<_> = self.places.into_iter().collect();
        let runs = |place: usize| self.all[place].runs;
        places.sort_unstable_by(|(a, at), (b, bt)| runs(*bt).cmp(&runs(*at)).then(a.cmp(b)));
        let group = |(key, place): (Key, usize)| {
            let Members { runs, latest_ms, sums } = &self.all[place];
            let value = match key {
                Key::Nothing => Grouped::Nothing,
                Key::Number(bytes) => Grouped::Number(value_key::from_number(bytes)),
                Key::Text(text) => Grouped::Text(text),
            };
            let spreads = sums.iter().map(Sum::spread).collect();
            RunGroup { value, runs: *runs, latest_ms: *latest_ms, spreads }
        };
        places.into_iter().map(group).collect()
    }
}

impl Members {
    fn add(&mut self, start_ms: i64) {
        self.runs += 1;
        self.latest_ms = self.latest_ms.max(start_ms);
    }
}

/// The runs of one experiment, and the columns that are asked for, all as the snapshot shows them.
struct Asked {
    numbers: Vec<u32>,
    start: Arc<RunColumn>,
    by: Arc<RunColumn>,
    metrics: Vec<Arc<RunColumn>>,
}

impl Asked {
    /// None if columns cannot tell.
    fn open(
        snapshot: &Snapshot,
        query: &RunQuery,
        experiment: ExperimentId,
        by: &Field<RunAttribute>,
        metrics: &[Field<RunAttribute>],
    ) -> Result<Option<Self>, StoreError> {
        let Some(reader) = ColumnReader::open(snapshot, experiment)? else { return Ok(None) };
        let column = |field: &Field<_>| reader.column(&ColumnField::Field(field.clone()));
        let (start, by) = (reader.starts()?, reader.column_for(query, by)?);
        let (Some(start), Some(by)) = (start, by) else { return Ok(None) };
        let columns = metrics.iter().map(column).collect::<Result<Option<Vec<_>>, _>>()?;
        let Some(metrics) = columns else { return Ok(None) };
        let Some(choice) = RunChoice::open(snapshot, query, experiment, None, usize::MAX)? else {
            return Ok(None);
        };
        let chosen = choice.all(snapshot, query, experiment)?;
        Ok(chosen.map(|chosen| {
            let numbers = chosen.into_iter().map(|chosen| chosen.number).collect();
            Self { numbers, start, by, metrics }
        }))
    }

    fn add_to(
        &self,
        groups: &mut Groups,
        snapshot: &Snapshot,
        query: &RunQuery,
        by: &Field<RunAttribute>,
    ) -> Result<(), StoreError> {
        let rows = RunRows::open(snapshot)?;
        let mut reader = rows.reader();
        let texts = if let RunColumn::Texts(_, texts) = &*self.by { texts.len() + 1 } else { 0 };
        let mut places: Vec<Option<usize>> = vec![None; texts];
        for number in &self.numbers {
            let place = match &*self.by {
                RunColumn::Numbers(blocks) => groups.place(Key::in_column(by, blocks.get(*number))),
                RunColumn::Texts(blocks, texts) => match blocks.get(*number) {
                    NO_TEXT => *places[0].get_or_insert_with(|| groups.place(Key::Nothing)),
                    code => match (places[code as usize], texts.get(code)) {
                        (Some(place), _) => place,
                        (None, (text, true)) => {
                            let text = String::from_utf8_lossy(text).into_owned();
                            *places[code as usize].insert(groups.place(Key::Text(text)))
                        }
                        (None, (_, false)) => {
                            let Some(bytes) = reader.read(*number)? else { continue };
                            let view = RunView::read(*number, bytes.value())?;
                            groups.place(Key::of(&view.value(by, query)?))
                        }
                    },
                },
            };
            let members = &mut groups.all[place];
            if let RunColumn::Numbers(blocks) = &*self.start {
                members.add(value_key::from_integer(blocks.get(*number).to_be_bytes()));
            }
            for (sum, column) in members.sums.iter_mut().zip(&self.metrics) {
                if let RunColumn::Numbers(blocks) = &**column {
                    let value = blocks.get(*number);
                    if value < NAN {
                        sum.add(value_key::from_number(value.to_be_bytes()));
                    }
                }
            }
        }
        Ok(())
    }
}

/// Does it by reading every row that is found.
fn add_rows(
    groups: &mut Groups,
    snapshot: &Snapshot,
    query: &RunQuery,
    by: &Field<RunAttribute>,
    metrics: &[Field<RunAttribute>],
) -> Result<(), StoreError> {
    let mut numbers = find_runs(snapshot, query)?;
    // Neighbours are read fastest.
    numbers.sort_unstable();
    let rows = RunRows::open(snapshot)?;
    let mut reader = rows.reader();
    for number in numbers {
        let Some(bytes) = reader.read(number)? else { continue };
        let view = RunView::read(number, bytes.value())?;
        let place = groups.place(Key::of(&view.value(by, query)?));
        let members = &mut groups.all[place];
        members.add(view.head.start_ms);
        for (sum, metric) in members.sums.iter_mut().zip(metrics) {
            if let Value::Number(Some(value)) = view.value(metric, query)? {
                sum.add(value);
            }
        }
    }
    Ok(())
}
