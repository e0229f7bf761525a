//! A run's row, read in place.
//!
//! A search looks at many more rows than it returns, and making a row's eighty texts costs more
//! than all the looking. So it reads the head of a row where it lies, and of what runs differ in no
//! more than the query asks about.

use std::borrow::Cow;

use serde::Deserialize;

use super::run_find::RunNumber;
use super::runs::RunQuery;
use super::schema::{DatasetField, Field, RunAttribute};
use super::sort_key::{self, Sorted};
use crate::rows::{RowCursor, RunHead, cut_short, damaged_run};
use crate::store::StoreError;

/// A run's row, borrowed from its bytes. The fields are those of [`RunRow`](crate::rows::RunRow),
/// in its order: the head, params, tags, metrics, datasets.
pub(super) struct RunView<'a> {
    number: RunNumber,
    pub(super) head: RunHead<'a>,
    body: RowCursor<'a>,
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
    /// Reads the head of the row of a number.
    pub(super) fn read(number: RunNumber, bytes: &'a [u8]) -> Result<Self, StoreError> {
        let (head, body) = RunHead::read(bytes)?;
        Ok(Self { number, head, body })
    }

    /// Whether the view and all clauses of a query hold.
    pub(super) fn is_found_by(&self, query: &RunQuery) -> Result<bool, StoreError> {
        if !query.view.shows(self.head.lifecycle) {
            return Ok(false);
        }
        for clause in &query.clauses {
            let holds = match &clause.field {
                Field::Dataset(field) => self
                    .datasets()?
                    .iter()
                    .any(|dataset| clause.condition.holds_for_text(dataset.value(*field, query))),
                field => match self.value(field, query)? {
                    Value::Number(value) => clause.condition.holds_for_number(value),
                    Value::Integer(value) => {
                        clause.condition.holds_for_number(value.map(|value| value as f64))
                    }
                    Value::Text(value) => clause.condition.holds_for_text(value.as_deref()),
                },
            };
            if !holds {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The bytes that sort this run among others.
    pub(super) fn sort_key(&self, query: &RunQuery) -> Result<Vec<u8>, StoreError> {
        let mut key = Vec::with_capacity(64);
        for order in &query.order {
            let value = self.value(&order.field, query)?;
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
        Ok(key)
    }

    pub(super) fn value(
        &self,
        field: &Field<RunAttribute>,
        query: &RunQuery,
    ) -> Result<Value<'a>, StoreError> {
        let text = |bytes: Option<&'a [u8]>| {
            let text = bytes.map(std::str::from_utf8).transpose();
            text.map(Value::text).map_err(|_| damaged_run(postcard::Error::DeserializeBadUtf8))
        };
        let mut body = self.body;
        match field {
            Field::Param(key) => text(body.pair(Some(key)).ok_or_else(cut_short)?),
            Field::Tag(key) => {
                body.pair(None).ok_or_else(cut_short)?;
                text(body.pair(Some(key)).ok_or_else(cut_short)?)
            }
            Field::Metric(key) => {
                body.pair(None).and_then(|_| body.pair(None)).ok_or_else(cut_short)?;
                let point = body.metric(Some(key)).ok_or_else(cut_short)?;
                Ok(Value::Number(point.map(|point| point.value)))
            }
            Field::Attribute(attribute) => Ok(self.attribute(*attribute, query)),
            // A run reads many datasets, so there is no one value.
            Field::Dataset(_) => Ok(Value::Text(None)),
        }
    }

    fn attribute(&self, attribute: RunAttribute, query: &RunQuery) -> Value<'a> {
        let head = &self.head;
        match attribute {
            RunAttribute::Id => Value::Text(Some(head.id.to_string().into())),
            RunAttribute::Name => Value::text(Some(head.name)),
            RunAttribute::User => Value::text(Some(head.user)),
            RunAttribute::Status => Value::text(Some(head.status.as_str())),
            RunAttribute::StartTime => Value::Integer(Some(head.start_ms)),
            RunAttribute::EndTime => Value::Integer(head.end_ms),
            RunAttribute::Duration => Value::Integer(head.duration_ms()),
            RunAttribute::ArtifactUri => {
                let root = query.artifact_roots.get(&head.experiment);
                Value::Text(root.map(|root| format!("{root}/{}/artifacts", head.id).into()))
            }
            RunAttribute::Device => {
                Value::Text(query.devices.of(self.number).map(|name| name.to_string().into()))
            }
            RunAttribute::Description => Value::text(head.description()),
        }
    }

    fn datasets(&self) -> Result<Vec<Dataset<'a>>, StoreError> {
        let mut body = self.body;
        let pairs = body.pair(None).and_then(|_| body.pair(None));
        pairs.and_then(|_| body.metric(None)).ok_or_else(cut_short)?;
        Ok(postcard::take_from_bytes(body.0).map_err(damaged_run)?.0)
    }
}

/// What a run has in a field.
pub(super) enum Value<'a> {
    Number(Option<f64>),
    Integer(Option<i64>),
    Text(Option<Cow<'a, str>>),
}

impl<'a> Value<'a> {
    pub(super) fn text(text: Option<&'a str>) -> Self {
        Self::Text(text.map(Cow::Borrowed))
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
