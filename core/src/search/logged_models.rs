//! Searching logged models.
//!
//! The keys that find the models of an experiment say when each was created, so in the order of
//! creation only the rows of the page are read, and those before it that a clause refuses. Another
//! order reads all. Metrics are looked up for the models that the other clauses let through.

use std::borrow::Cow;

use super::condition::Condition;
use super::schema::{AttributeKind, FieldKind, Schema, Wording, both};
use super::sort_key::{self, Sorted};
use super::{Clause, Field, PageStart};
use crate::ids::{DocumentId, DocumentKind, ExperimentId};
use crate::index::{Lookup, LookupKey, by_experiment};
use crate::rows::{DocumentRow, Lifecycle, LoggedModel};
use crate::store::{ModelPoint, Snapshot, StoreError};

/// What every logged model has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LoggedModelAttribute {
    /// What clients know it by.
    Id,
    /// Its name.
    Name,
    /// What kind of model it is, as the client says.
    Type,
    /// How far it has come, in upper case.
    Status,
    /// The run that produced it.
    SourceRun,
    /// The number that clients know its experiment by.
    Experiment,
    /// Creation, in milliseconds since 1970.
    CreationTime,
    /// Last change of its status or deletion, in milliseconds since 1970.
    LastUpdateTime,
}

/// What logged models can be searched by. What they are sorted by is not written as text.
pub const LOGGED_MODELS: Schema<LoggedModelAttribute> = Schema {
    entities: &[
        ("attributes", FieldKind::Attribute),
        ("metrics", FieldKind::Metric),
        ("params", FieldKind::Param),
        ("tags", FieldKind::Tag),
    ],
    valid_entities: "Expected one of ['attributes', 'metrics', 'params', 'tags'].",
    attributes: &[
        both("name", LoggedModelAttribute::Name, AttributeKind::ListedText),
        both("model_id", LoggedModelAttribute::Id, AttributeKind::ListedText),
        both("model_type", LoggedModelAttribute::Type, AttributeKind::ListedText),
        both("status", LoggedModelAttribute::Status, AttributeKind::ListedText),
        both("source_run_id", LoggedModelAttribute::SourceRun, AttributeKind::ListedText),
        both("experiment_id", LoggedModelAttribute::Experiment, AttributeKind::ListedText),
        both("creation_timestamp", LoggedModelAttribute::CreationTime, AttributeKind::Number),
        both("creation_timestamp_ms", LoggedModelAttribute::CreationTime, AttributeKind::Number),
        both("creation_time", LoggedModelAttribute::CreationTime, AttributeKind::Number),
        both("last_updated_timestamp", LoggedModelAttribute::LastUpdateTime, AttributeKind::Number),
        both(
            "last_updated_timestamp_ms",
            LoggedModelAttribute::LastUpdateTime,
            AttributeKind::Number,
        ),
    ],
    orders_by: &[FieldKind::Metric, FieldKind::Attribute],
    lenient: true,
    nullable: (&[FieldKind::Param, FieldKind::Tag], "tags and params"),
    wording: Wording::OF_TRACKING,
};

/// Of a metric with more points than this, the last of each series are compared.
const MAX_POINTS: usize = 100_000;

/// A dataset that a model was measured on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DatasetFilter {
    /// Its name; none is any.
    pub name: Option<String>,
    /// Its digest; none is any.
    pub digest: Option<String>,
}

/// One thing that logged models are sorted by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedModelOrder {
    /// What: an attribute or a metric.
    pub field: Field<LoggedModelAttribute>,
    /// From low to high. What has no value comes last either way.
    pub ascending: bool,
    /// Of a metric: its latest value on this dataset counts.
    pub dataset: DatasetFilter,
}

/// Which logged models to find, in which order, and which of them to return. Deleted ones are
/// never found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LoggedModelQuery {
    /// The experiments to search.
    pub experiments: Vec<ExperimentId>,
    /// What must hold: see [`parse_filter`](super::parse_filter) with
    /// [`LOGGED_MODELS`](super::LOGGED_MODELS). A metric holds if any of its points does.
    pub clauses: Vec<Clause<LoggedModelAttribute>>,
    /// Metrics count only if they were measured on one of these; without a clause about a metric,
    /// a model must have any metric measured so. Empty is no condition.
    pub datasets: Vec<DatasetFilter>,
    /// What to sort by; then the latest come first, then the lower ids.
    pub order: Vec<LoggedModelOrder>,
    /// Where to start.
    pub start: PageStart,
    /// How many to return.
    pub limit: usize,
}

/// Some of the logged models that a query finds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LoggedModelPage {
    /// The models' rows, in order.
    pub models: Vec<DocumentRow>,
    /// If there are more: the sort key of the last, after which the next page starts.
    pub next: Option<Vec<u8>>,
}

/// Finds logged models.
pub fn search_logged_models(
    snapshot: &Snapshot,
    query: &LoggedModelQuery,
) -> Result<LoggedModelPage, StoreError> {
    let search = Search { snapshot, query };
    let (mut to_skip, after) = match &query.start {
        PageStart::Offset(offset) => (*offset, None),
        PageStart::After(key) => (0, Some(key)),
    };
    let mut candidates = search.candidates()?;
    if !query.order.is_empty() {
        candidates = search.found_in_order(candidates)?;
    }
    let mut page = LoggedModelPage::default();
    let mut end = None;
    for (key, document) in candidates {
        if after.is_some_and(|after| key <= *after) {
            continue;
        }
        let Some(row) = search.row_if_found(&document)? else { continue };
        if to_skip > 0 {
            to_skip -= 1;
        } else if page.models.len() < query.limit {
            page.models.push(row);
            end = Some(key);
        } else {
            page.next = end;
            break;
        }
    }
    Ok(page)
}

/// What sorts a model, and its document.
type Sortable = (Vec<u8>, DocumentId);

struct Search<'a> {
    snapshot: &'a Snapshot,
    query: &'a LoggedModelQuery,
}

impl Search<'_> {
    /// All that may be found, the latest first and among equals the lower ids.
    fn candidates(&self) -> Result<Vec<Sortable>, StoreError> {
        let mut keys = Vec::new();
        if let Some(run) = self.source_run() {
            // A run produces few models.
            for document in self.snapshot.find(&LookupKey::new(Lookup::ModelsOfRun).text(run))? {
                let document = document?;
                let Some(row) = self.snapshot.document(&document)? else { continue };
                let model = LoggedModel::of(&row);
                keys.extend(model.map(|model| (model.created_ms(), document)));
            }
        } else {
            let mut experiments = self.query.experiments.clone();
            experiments.sort_unstable();
            experiments.dedup();
            for experiment in experiments {
                let head = by_experiment(Lookup::ModelsOfExperiment, experiment);
                for key in self.snapshot.find_timed(&head)? {
                    keys.push(key?);
                }
            }
        }
        let sortable = |(created_ms, document): (i64, DocumentId)| {
            let mut key = Vec::new();
            push_creation(&mut key, created_ms, &document);
            (key, document)
        };
        let mut candidates: Vec<Sortable> = keys.into_iter().map(sortable).collect();
        candidates.sort_unstable();
        Ok(candidates)
    }

    /// The run that all models must come from, if a clause says so.
    fn source_run(&self) -> Option<&str> {
        self.query.clauses.iter().find_map(|clause| match (&clause.field, &clause.condition) {
            (Field::Attribute(LoggedModelAttribute::SourceRun), Condition::Equal(run)) => {
                Some(run.as_str())
            }
            _ => None,
        })
    }

    /// Those that are found, in the order that the query asks for.
    fn found_in_order(&self, candidates: Vec<Sortable>) -> Result<Vec<Sortable>, StoreError> {
        let mut found = Vec::new();
        for (_, document) in candidates {
            if let Some(row) = self.row_if_found(&document)? {
                found.push((self.sort_key(&row)?, document));
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    fn row_if_found(&self, document: &DocumentId) -> Result<Option<DocumentRow>, StoreError> {
        debug_assert_eq!(document.kind(), Some(DocumentKind::LoggedModel));
        let Some(row) = self.snapshot.document(document)? else { return Ok(None) };
        let found = match LoggedModel::of(&row) {
            Some(model) => self.is_found(&model)?,
            None => false,
        };
        Ok(found.then_some(row))
    }

    fn is_found(&self, model: &LoggedModel<'_>) -> Result<bool, StoreError> {
        let of_query = |experiment| self.query.experiments.contains(&experiment);
        if model.lifecycle() == Lifecycle::Deleted || !model.experiment().is_some_and(of_query) {
            return Ok(false);
        }
        let mut asks_of_metrics = false;
        for clause in &self.query.clauses {
            let holds = match self.value(model, &clause.field) {
                Value::Metric => {
                    asks_of_metrics = true;
                    true
                }
                Value::Integer(value) => clause.condition.holds_for_number(Some(value as f64)),
                Value::Text(value) => clause.condition.holds_for_text(value.as_deref()),
            };
            if !holds {
                return Ok(false);
            }
        }
        if asks_of_metrics || !self.query.datasets.is_empty() {
            return self.metrics_hold(model, asks_of_metrics);
        }
        Ok(true)
    }

    fn metrics_hold(&self, model: &LoggedModel<'_>, asked: bool) -> Result<bool, StoreError> {
        let measured_so = |point: &ModelPoint| {
            let mut datasets = self.query.datasets.iter();
            self.query.datasets.is_empty() || datasets.any(|dataset| dataset.is_of(point))
        };
        if !asked {
            return Ok(self.points(model, None)?.iter().any(measured_so));
        }
        for clause in &self.query.clauses {
            let Field::Metric(key) = &clause.field else { continue };
            let points = self.points(model, Some(key))?;
            let holds = |point: &&ModelPoint| {
                clause.condition.holds_for_number(Some(point.metric.point.value))
            };
            if !points.iter().filter(|point| measured_so(point)).any(|point| holds(&point)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn points(
        &self,
        model: &LoggedModel<'_>,
        key: Option<&str>,
    ) -> Result<Vec<ModelPoint>, StoreError> {
        self.snapshot.model_points(&model.id(), key, MAX_POINTS)
    }

    fn value<'a>(&self, model: &LoggedModel<'a>, field: &Field<LoggedModelAttribute>) -> Value<'a> {
        let text = |text: &'a str| Value::Text(Some(Cow::Borrowed(text)));
        match field {
            Field::Metric(_) => Value::Metric,
            Field::Param(key) => Value::Text(model.param(key).map(Cow::Borrowed)),
            Field::Tag(key) => Value::Text(model.tag(key).map(Cow::Borrowed)),
            // The schema of logged models has none.
            Field::Dataset(_) => Value::Text(None),
            Field::Attribute(attribute) => match attribute {
                LoggedModelAttribute::Name => text(model.name()),
                LoggedModelAttribute::Id => Value::Text(Some(model.id().into())),
                LoggedModelAttribute::Type => text(model.model_type()),
                LoggedModelAttribute::Status => text(model.status().as_str()),
                LoggedModelAttribute::SourceRun => text(model.source_run()),
                LoggedModelAttribute::Experiment => {
                    Value::Text(model.experiment().map(|id| id.to_string().into()))
                }
                LoggedModelAttribute::CreationTime => Value::Integer(model.created_ms()),
                LoggedModelAttribute::LastUpdateTime => Value::Integer(model.updated_ms()),
            },
        }
    }

    fn sort_key(&self, row: &DocumentRow) -> Result<Vec<u8>, StoreError> {
        let model = LoggedModel::of(row).expect("only logged models are found");
        let mut key = Vec::new();
        for order in &self.query.order {
            let value = self.value(&model, &order.field);
            let sorted = match &value {
                Value::Metric => Sorted::Number(self.latest(&model, order)?),
                Value::Integer(value) => Sorted::Integer(Some(*value)),
                Value::Text(value) => Sorted::Text(value.as_deref()),
            };
            sort_key::push(&mut key, sorted, order.ascending);
        }
        push_creation(&mut key, model.created_ms(), &row.document);
        Ok(key)
    }

    /// The latest value of the metric that an order names: by timestamp, then by step, then that
    /// of the lower run.
    fn latest(
        &self,
        model: &LoggedModel<'_>,
        order: &LoggedModelOrder,
    ) -> Result<Option<f64>, StoreError> {
        let Field::Metric(key) = &order.field else { return Ok(None) };
        let points = self.points(model, Some(key))?;
        let of_dataset = points.iter().filter(|point| order.dataset.is_of(point));
        let latest = of_dataset.max_by(|a, b| {
            let time =
                |point: &ModelPoint| (point.metric.point.timestamp_ms, point.metric.point.step);
            time(a).cmp(&time(b)).then_with(|| b.run.cmp(&a.run))
        });
        Ok(latest.map(|point| point.metric.point.value))
    }
}

/// What decides between models that are equal otherwise: the latest first, then the lower ids.
fn push_creation(key: &mut Vec<u8>, created_ms: i64, document: &DocumentId) {
    sort_key::push(key, Sorted::Integer(Some(created_ms)), false);
    key.extend_from_slice(&document.to_bytes());
}

impl DatasetFilter {
    fn is_of(&self, point: &ModelPoint) -> bool {
        let is =
            |asked: &Option<String>, found: &str| asked.as_deref().is_none_or(|it| it == found);
        let context = &point.metric.context;
        is(&self.name, &context.dataset_name) && is(&self.digest, &context.dataset_digest)
    }
}

enum Value<'a> {
    /// Of points, which are looked up only if all else holds.
    Metric,
    Integer(i64),
    Text(Option<Cow<'a, str>>),
}
