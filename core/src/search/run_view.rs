//! A run's row, read in place.
//!
//! A search looks at many more rows than it returns, and making a row's eighty texts costs more
//! than all the looking. So it reads them where they lie, and the second part, which holds what
//! runs differ in, only if the query asks about it.

use std::borrow::Cow;

use serde::Deserialize;

use super::runs::RunQuery;
use super::schema::{DatasetField, Field, RunAttribute};
use super::sort_key::{self, Sorted};
use crate::ids::{ExperimentId, RunId};
use crate::rows::{Lifecycle, Point, RunStatus};
use crate::store::StoreError;

/// A run's row, borrowed from its bytes. The fields are those of [`RunRow`](crate::rows::RunRow),
/// in its order.
pub(super) struct RunView<'a> {
    pub(super) head: Head<'a>,
    body: Body<'a>,
}

#[derive(Deserialize)]
pub(super) struct Head<'a> {
    pub(super) id: RunId,
    pub(super) experiment: ExperimentId,
    name: &'a str,
    user: &'a str,
    status: RunStatus,
    pub(super) lifecycle: Lifecycle,
    start_ms: i64,
    end_ms: Option<i64>,
    _deleted_ms: Option<i64>,
    description: &'a str,
}

#[derive(Default, Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    params: Vec<(&'a str, &'a str)>,
    tags: Vec<(&'a str, &'a str)>,
    metrics: Vec<(&'a str, (&'a str, &'a str, &'a str), Point)>,
    datasets: Vec<Dataset<'a>>,
}

#[derive(Deserialize)]
struct Dataset<'a> {
    name: &'a str,
    digest: &'a str,
    _source_type: &'a str,
    _source: &'a str,
    _schema: Option<&'a str>,
    _profile: Option<&'a str>,
    #[serde(borrow)]
    tags: Vec<(&'a str, &'a str)>,
}

impl<'a> RunView<'a> {
    /// Reads a row's bytes, all of them only if `whole`.
    pub(super) fn read(bytes: &'a [u8], whole: bool) -> Result<Self, StoreError> {
        let damaged = |source| StoreError::DamagedRow { table: "index-runs", source };
        let (head, rest) = postcard::take_from_bytes(bytes).map_err(damaged)?;
        let body = match whole {
            true => postcard::take_from_bytes(rest).map_err(damaged)?.0,
            false => Body::default(),
        };
        Ok(Self { head, body })
    }

    /// Whether the view and all clauses of a query hold.
    pub(super) fn is_found_by(&self, query: &RunQuery) -> bool {
        query.view.shows(self.head.lifecycle)
            && query.clauses.iter().all(|clause| match &clause.field {
                Field::Dataset(field) => {
                    self.body.datasets.iter().any(|dataset| {
                        clause.condition.holds_for_text(dataset.value(*field, query))
                    })
                }
                field => match self.value(field, query) {
                    Value::Number(value) => clause.condition.holds_for_number(value),
                    Value::Integer(value) => {
                        clause.condition.holds_for_number(value.map(|value| value as f64))
                    }
                    Value::Text(value) => clause.condition.holds_for_text(value.as_deref()),
                },
            })
    }

    /// The bytes that sort this run among others.
    pub(super) fn sort_key(&self, query: &RunQuery) -> Vec<u8> {
        let mut key = Vec::with_capacity(64);
        for order in &query.order {
            let value = self.value(&order.field, query);
            let sorted = match &value {
                Value::Number(value) => Sorted::Number(*value),
                Value::Integer(value) => Sorted::Integer(*value),
                Value::Text(value) => Sorted::Text(value.as_deref()),
            };
            sort_key::push(&mut key, sorted, order.ascending);
        }
        // The latest first, unless the order says otherwise.
        sort_key::push(&mut key, Sorted::Integer(Some(self.head.start_ms)), false);
        key.extend_from_slice(self.head.id.as_bytes());
        key
    }

    fn value(&self, field: &Field<RunAttribute>, query: &RunQuery) -> Value<'a> {
        match field {
            Field::Metric(key) => Value::Number(self.body.metric(key)),
            Field::Param(key) => Value::text(lookup(&self.body.params, key)),
            Field::Tag(key) => Value::text(lookup(&self.body.tags, key)),
            Field::Attribute(attribute) => self.head.attribute(*attribute, query),
            // A run reads many datasets, so there is no one value.
            Field::Dataset(_) => Value::Text(None),
        }
    }
}

enum Value<'a> {
    Number(Option<f64>),
    Integer(Option<i64>),
    Text(Option<Cow<'a, str>>),
}

impl<'a> Value<'a> {
    fn text(text: Option<&'a str>) -> Self {
        Self::Text(text.map(Cow::Borrowed))
    }
}

impl<'a> Head<'a> {
    fn attribute(&self, attribute: RunAttribute, query: &RunQuery) -> Value<'a> {
        match attribute {
            RunAttribute::Id => Value::Text(Some(self.id.to_string().into())),
            RunAttribute::Name => Value::text(Some(self.name)),
            RunAttribute::User => Value::text(Some(self.user)),
            RunAttribute::Status => Value::text(Some(self.status.as_str())),
            RunAttribute::StartTime => Value::Integer(Some(self.start_ms)),
            RunAttribute::EndTime => Value::Integer(self.end_ms),
            RunAttribute::ArtifactUri => {
                let root = query.artifact_roots.get(&self.experiment);
                Value::Text(root.map(|root| format!("{root}/{}/artifacts", self.id).into()))
            }
            RunAttribute::Description => {
                Value::text((!self.description.is_empty()).then_some(self.description))
            }
        }
    }
}

impl Body<'_> {
    /// The value of the latest point of a metric, as
    /// [`RunRow::metric`](crate::rows::RunRow::metric) has it.
    fn metric(&self, key: &str) -> Option<f64> {
        let start = self.metrics.partition_point(|(found, ..)| *found < key);
        let same = self.metrics[start..].iter().take_while(|(found, ..)| *found == key);
        same.map(|(.., point)| point).max_by(|a, b| a.latest_order(b)).map(|point| point.value)
    }
}

impl<'a> Dataset<'a> {
    fn value(&self, field: DatasetField, query: &RunQuery) -> Option<&'a str> {
        match field {
            DatasetField::Name => Some(self.name),
            DatasetField::Digest => Some(self.digest),
            DatasetField::Context => lookup(&self.tags, &query.dataset_context_tag),
        }
    }
}

/// The value of `key` in pairs sorted by key.
fn lookup<'a>(pairs: &[(&'a str, &'a str)], key: &str) -> Option<&'a str> {
    let at = pairs.binary_search_by(|(found, _)| (*found).cmp(key)).ok()?;
    Some(pairs[at].1)
}
