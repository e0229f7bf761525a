//! Searching evaluation datasets. There are few of them, so all of an experiment are read.

use std::collections::BTreeSet;

use super::condition::Condition;
use super::documents::{FieldValue, RowPage, RowQuery, Searched, search_rows};
use super::schema::{AttributeKind, FieldKind, Schema, Wording, both, filters};
use super::{Field, Order};
use crate::ids::{DocumentId, DocumentKind, ExperimentId};
use crate::index::{Lookup, LookupKey, by_experiment};
use crate::rows::{DatasetSummary, EvaluationDataset};
use crate::store::{Snapshot, StoreError};

/// What every evaluation dataset has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DatasetAttribute {
    /// Its name.
    Name,
    /// Who created it.
    CreatedBy,
    /// Who changed its records last.
    UpdatedBy,
    /// Creation, in milliseconds since 1970.
    CreationTime,
    /// Last change, in milliseconds since 1970.
    LastUpdateTime,
}

/// What evaluation datasets can be searched by.
pub const EVALUATION_DATASETS: Schema<DatasetAttribute> = Schema {
    entities: &[("tags", FieldKind::Tag)],
    valid_entities: "Valid entity types are ('tags',)",
    attributes: &[
        both("name", DatasetAttribute::Name, AttributeKind::ListedText),
        both("created_time", DatasetAttribute::CreationTime, AttributeKind::Integer),
        both("last_update_time", DatasetAttribute::LastUpdateTime, AttributeKind::Integer),
        filters("created_by", DatasetAttribute::CreatedBy, AttributeKind::Text),
        filters("last_updated_by", DatasetAttribute::UpdatedBy, AttributeKind::Text),
    ],
    orders_by: &[FieldKind::Attribute],
    lenient: false,
    nullable: (&[], "nothing"),
    wording: Wording::OF_REGISTRY,
};

/// Finds the evaluation datasets of any of some experiments, or of whatever experiment if none is
/// given. Deleted ones are never found.
pub fn search_datasets(
    snapshot: &Snapshot,
    experiments: &[ExperimentId],
    query: &RowQuery<DatasetAttribute>,
) -> Result<RowPage<DatasetSummary>, StoreError> {
    let summary = |document: DocumentId| {
        let row = snapshot.document(&document)?;
        Ok(row.as_ref().and_then(EvaluationDataset::of).map(|dataset| dataset.summary()))
    };
    let mut documents = BTreeSet::new();
    if !experiments.is_empty() {
        for experiment in experiments {
            let head = by_experiment(Lookup::DatasetsOfExperiment, *experiment);
            for document in snapshot.find(&head)? {
                documents.insert(document?);
            }
        }
    } else if let Some(name) = name_in(query) {
        for document in snapshot.find(&LookupKey::new(Lookup::DatasetName).text(name))? {
            documents.insert(document?);
        }
    } else {
        for row in snapshot.documents_of(DocumentKind::EvaluationDataset)? {
            documents.insert(row?.document);
        }
    }
    let rows = documents.into_iter().map(summary);
    search_rows(rows.filter_map(Result::transpose), query)
}

/// The name that all must have, if a clause says so.
fn name_in(query: &RowQuery<DatasetAttribute>) -> Option<&str> {
    query.clauses.iter().find_map(|clause| match (&clause.field, &clause.condition) {
        (Field::Attribute(DatasetAttribute::Name), Condition::Equal(name)) => Some(name.as_str()),
        _ => None,
    })
}

impl Searched for DatasetSummary {
    type Attribute = DatasetAttribute;

    fn value(&self, field: &Field<DatasetAttribute>) -> FieldValue<'_> {
        match field {
            Field::Tag(key) => FieldValue::text(self.tags.get(key).map(String::as_str)),
            Field::Attribute(DatasetAttribute::Name) => FieldValue::text(Some(&self.name)),
            Field::Attribute(DatasetAttribute::CreatedBy) => {
                FieldValue::text(self.created_by.as_deref())
            }
            Field::Attribute(DatasetAttribute::UpdatedBy) => {
                FieldValue::text(self.updated_by.as_deref())
            }
            Field::Attribute(DatasetAttribute::CreationTime) => {
                FieldValue::Integer(Some(self.created_ms))
            }
            Field::Attribute(DatasetAttribute::LastUpdateTime) => {
                FieldValue::Integer(Some(self.updated_ms))
            }
            // The schema has none of these.
            Field::Metric(_) | Field::Param(_) | Field::Dataset(_) => FieldValue::Text(None),
        }
    }

    fn tie(&self, order: &[Order<DatasetAttribute>]) -> Vec<(FieldValue<'_>, bool)> {
        let id = FieldValue::Text(Some(self.document.reference().into()));
        match order.is_empty() {
            true => vec![(FieldValue::Integer(Some(self.created_ms)), false), (id, false)],
            false => vec![(id, false)],
        }
    }
}
