//! Searching experiments. There are few of them, so all are read, filtered and sorted.

use std::borrow::Cow;

use super::runs::ViewType;
use super::sort_key::{self, Sorted};
use super::{Clause, ExperimentAttribute, Field, Order};
use crate::rows::{ExperimentRow, lookup};
use crate::store::{Snapshot, StoreError};

/// Which experiments to find, in which order, and which of them to return.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ExperimentQuery {
    /// Whether deleted experiments are searched.
    pub view: ViewType,
    /// What must hold: see [`parse_filter`](super::parse_filter) with
    /// [`EXPERIMENTS`](super::EXPERIMENTS).
    pub clauses: Vec<Clause<ExperimentAttribute>>,
    /// What to sort by. The latest come first if this is empty, then the lower ids; of what is a
    /// tie otherwise the higher ids come first.
    pub order: Vec<Order<ExperimentAttribute>>,
    /// How many to leave out.
    pub offset: usize,
    /// How many to return.
    pub limit: usize,
}

impl ExperimentQuery {
    /// Changes what the clauses and the order name: client protocols have tags that are
    /// attributes here.
    pub fn map_fields(
        &mut self,
        map: impl Fn(Field<ExperimentAttribute>) -> Field<ExperimentAttribute>,
    ) {
        let clauses = self.clauses.iter_mut().map(|clause| &mut clause.field);
        let order = self.order.iter_mut().map(|order| &mut order.field);
        for field in clauses.chain(order) {
            *field = map(field.clone());
        }
    }
}

/// Some of the experiments that a query finds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ExperimentPage {
    /// The experiments, in order.
    pub experiments: Vec<ExperimentRow>,
    /// Whether there are more after them.
    pub more: bool,
}

/// Finds experiments.
pub fn search_experiments(
    snapshot: &Snapshot,
    query: &ExperimentQuery,
) -> Result<ExperimentPage, StoreError> {
    let mut found = snapshot.experiments()?;
    found.retain(|row| query.view.shows(row.lifecycle) && is_found_by(row, query));
    found.sort_by_cached_key(|row| sort_key(row, query));
    found.drain(..query.offset.min(found.len()));
    let more = found.len() > query.limit;
    found.truncate(query.limit);
    Ok(ExperimentPage { experiments: found, more })
}

fn is_found_by(row: &ExperimentRow, query: &ExperimentQuery) -> bool {
    query.clauses.iter().all(|clause| match value(row, &clause.field) {
        Value::Integer(number) => clause.condition.holds_for_number(Some(number as f64)),
        Value::Text(text) => clause.condition.holds_for_text(text.as_deref()),
    })
}

fn sort_key(row: &ExperimentRow, query: &ExperimentQuery) -> Vec<u8> {
    let mut key = Vec::new();
    for order in &query.order {
        match (&order.field, value(row, &order.field)) {
            (Field::Attribute(ExperimentAttribute::Id), _) => {
                push_id(&mut key, row, order.ascending)
            }
            (_, Value::Integer(number)) => {
                sort_key::push(&mut key, Sorted::Integer(Some(number)), order.ascending);
            }
            (_, Value::Text(text)) => {
                sort_key::push(&mut key, Sorted::Text(text.as_deref()), order.ascending);
            }
        }
    }
    let default = query.order.is_empty();
    if default {
        sort_key::push(&mut key, Sorted::Integer(Some(row.created_ms)), false);
    }
    push_id(&mut key, row, default);
    key
}

/// Ids sort as numbers, though clients write them as text.
fn push_id(key: &mut Vec<u8>, row: &ExperimentRow, ascending: bool) {
    let id = if ascending { row.id.0 } else { !row.id.0 };
    key.extend_from_slice(&id.to_be_bytes());
}

enum Value<'a> {
    Integer(i64),
    Text(Option<Cow<'a, str>>),
}

fn value<'a>(row: &'a ExperimentRow, field: &Field<ExperimentAttribute>) -> Value<'a> {
    let text = |text: Option<&'a str>| Value::Text(text.map(Cow::Borrowed));
    match field {
        Field::Tag(key) => text(lookup(&row.tags, key)),
        Field::Attribute(ExperimentAttribute::Id) => Value::Text(Some(row.id.to_string().into())),
        Field::Attribute(ExperimentAttribute::Name) => text(Some(&row.name)),
        Field::Attribute(ExperimentAttribute::CreationTime) => Value::Integer(row.created_ms),
        Field::Attribute(ExperimentAttribute::LastUpdateTime) => Value::Integer(row.updated_ms),
        Field::Attribute(ExperimentAttribute::Description) => {
            text((!row.description.is_empty()).then_some(&row.description))
        }
        // The schema of experiments has none of these.
        Field::Metric(_) | Field::Param(_) | Field::Dataset(_) => Value::Text(None),
    }
}

#[cfg(test)]
mod tests {
    use redb::backends::InMemoryBackend;
    use redb::{Database, ReadableDatabase};

    use super::*;
    use crate::clock::Clock;
    use crate::ids::{DocumentId, ExperimentId};
    use crate::rows::{KeyValue, Lifecycle};
    use crate::search::{EXPERIMENTS, parse_filter, parse_order};
    use crate::store::tables::{EXPERIMENT_NAMES, EXPERIMENTS as ROWS};

    fn experiment(id: u64, name: &str, created_ms: i64) -> ExperimentRow {
        ExperimentRow {
            id: ExperimentId(id),
            document: DocumentId::experiment(name, 0),
            name: name.into(),
            lifecycle: Lifecycle::Active,
            artifact_location: None,
            created: Clock::default(),
            created_ms,
            updated_ms: created_ms + 1,
            description: String::new(),
            tags: Vec::new(),
        }
    }

    /// The database must outlive its snapshots.
    fn holding(rows: &[ExperimentRow]) -> Result<(Database, Snapshot), StoreError> {
        let db = Database::builder().create_with_backend(InMemoryBackend::new())?;
        let txn = db.begin_write()?;
        {
            let mut table = txn.open_table(ROWS)?;
            for row in rows {
                let bytes = postcard::to_allocvec(row).expect("a row is plain data");
                table.insert(row.id.0, bytes.as_slice())?;
            }
            txn.open_table(EXPERIMENT_NAMES)?;
        }
        txn.commit()?;
        let snapshot = Snapshot::new(db.begin_read()?);
        Ok((db, snapshot))
    }

    #[test]
    fn experiments_are_filtered_sorted_and_paged() -> Result<(), StoreError> {
        let mut vision = experiment(12, "vision", 5);
        vision.tags = vec![KeyValue::new("team", "blue")];
        vision.description = "cats".into();
        let mut gone = experiment(9, "gone", 5);
        gone.lifecycle = Lifecycle::Deleted;
        let default = experiment(0, "Default", 7);
        let (_db, snapshot) = holding(&[vision, gone, default, experiment(100, "Audio", 5)])?;

        let ids = |query: &ExperimentQuery| -> Result<Vec<u64>, StoreError> {
            let page = search_experiments(&snapshot, query)?;
            Ok(page.experiments.iter().map(|row| row.id.0).collect())
        };
        let query = |filter: &str, order: &[&str]| ExperimentQuery {
            clauses: parse_filter(&EXPERIMENTS, filter).expect("a filter"),
            order: parse_order(&EXPERIMENTS, order).expect("an order"),
            limit: 10,
            ..ExperimentQuery::default()
        };
        for (filter, order, expected) in [
            ("", &[][..], &[0, 12, 100][..]),
            ("", &["creation_time"], &[100, 12, 0]),
            ("", &["name"], &[100, 0, 12]),
            ("", &["experiment_id DESC"], &[100, 12, 0]),
            ("experiment_id IN ('0', '012')", &[], &[0, 12]),
            ("experiment_id != '12'", &[], &[0, 100]),
            ("name LIKE 'a%'", &[], &[]),
            ("name ILIKE 'a%'", &[], &[100]),
            ("tags.team = 'blue'", &[], &[12]),
            ("tags.team != 'red'", &[], &[12]),
            ("tags.team IS NULL", &[], &[0, 100]),
            ("creation_time <= 5 AND last_update_time = 6", &[], &[12, 100]),
        ] {
            assert_eq!(ids(&query(filter, order))?, expected, "{filter} {order:?}");
        }

        let second = ExperimentQuery { offset: 1, limit: 1, ..query("", &[]) };
        let page = search_experiments(&snapshot, &second)?;
        assert_eq!((page.experiments[0].id.0, page.more), (12, true));
        let all = ExperimentQuery { view: ViewType::All, offset: 99, ..query("", &[]) };
        assert_eq!(search_experiments(&snapshot, &all)?, ExperimentPage::default());
        let deleted = ExperimentQuery { view: ViewType::DeletedOnly, ..query("", &[]) };
        assert_eq!(ids(&deleted)?, [9]);

        let mut noted = query("tags.note = 'cats'", &[]);
        noted.map_fields(|field| match field {
            Field::Tag(key) if key == "note" => Field::Attribute(ExperimentAttribute::Description),
            other => other,
        });
        assert_eq!(ids(&noted)?, [12]);
        Ok(())
    }
}
