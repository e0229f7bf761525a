//! Searching experiments. There are few of them, so all are read, filtered and sorted.

use super::documents::{FieldValue, RowPage, RowQuery, Searched, search_rows};
use super::runs::ViewType;
use super::{ExperimentAttribute, Field, Order};
use crate::rows::{ExperimentRow, lookup};
use crate::store::{Snapshot, StoreError};

/// Which experiments to find, in which order, and which of them to return.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ExperimentQuery {
    /// Whether deleted experiments are searched.
    pub view: ViewType,
    /// Which, with [`EXPERIMENTS`](super::EXPERIMENTS). The latest come first if there is no order,
    /// then the lower ids; of what is a tie otherwise the higher ids come first.
    pub rows: RowQuery<ExperimentAttribute>,
}

/// Finds experiments.
pub fn search_experiments(
    snapshot: &Snapshot,
    query: &ExperimentQuery,
) -> Result<RowPage<ExperimentRow>, StoreError> {
    let shown = snapshot.experiments()?.into_iter().filter(|row| query.view.shows(row.lifecycle));
    search_rows(shown.map(Ok), &query.rows)
}

impl Searched for ExperimentRow {
    type Attribute = ExperimentAttribute;

    fn value(&self, field: &Field<ExperimentAttribute>) -> FieldValue<'_> {
        match field {
            Field::Tag(key) => FieldValue::text(lookup(&self.tags, key)),
            // 53 bits: none is too large.
            Field::Attribute(ExperimentAttribute::Id) => FieldValue::Decimal(self.id.0 as i64),
            Field::Attribute(ExperimentAttribute::Name) => FieldValue::text(Some(&self.name)),
            Field::Attribute(ExperimentAttribute::CreationTime) => {
                FieldValue::Integer(Some(self.created_ms))
            }
            Field::Attribute(ExperimentAttribute::LastUpdateTime) => {
                FieldValue::Integer(Some(self.updated_ms))
            }
            Field::Attribute(ExperimentAttribute::Description) => {
                FieldValue::text((!self.description.is_empty()).then_some(&self.description))
            }
            // The schema of experiments has none of these.
            Field::Metric(_) | Field::Param(_) | Field::Dataset(_) => FieldValue::Text(None),
        }
    }

    fn tie(&self, order: &[Order<ExperimentAttribute>]) -> Vec<(FieldValue<'_>, bool)> {
        let id = FieldValue::Decimal(self.id.0 as i64);
        match order.is_empty() {
            true => vec![(FieldValue::Integer(Some(self.created_ms)), false), (id, true)],
            false => vec![(id, false)],
        }
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
    use crate::search::{EXPERIMENTS, PageStart, parse_filter, parse_order};
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
            Ok(page.rows.iter().map(|row| row.id.0).collect())
        };
        let query = |filter: &str, order: &[&str]| ExperimentQuery {
            view: ViewType::ActiveOnly,
            rows: RowQuery {
                clauses: parse_filter(&EXPERIMENTS, filter).expect("a filter"),
                order: parse_order(&EXPERIMENTS, order).expect("an order"),
                limit: 10,
                ..RowQuery::default()
            },
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

        let mut second = query("", &[]);
        (second.rows.start, second.rows.limit) = (PageStart::Offset(1), 1);
        let page = search_experiments(&snapshot, &second)?;
        assert_eq!((page.rows[0].id.0, page.next.is_some()), (12, true));
        let deleted = ExperimentQuery { view: ViewType::DeletedOnly, ..query("", &[]) };
        assert_eq!(ids(&deleted)?, [9]);

        let mut noted = query("tags.note = 'cats'", &[]);
        noted.rows.map_fields(|field| match field {
            Field::Tag(key) if key == "note" => Field::Attribute(ExperimentAttribute::Description),
            other => other,
        });
        assert_eq!(ids(&noted)?, [12]);
        Ok(())
    }
}
