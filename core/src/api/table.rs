//! What tables and charts of runs ask, and how runs are changed many at once.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Value;
use crate::ids::RunId;
use crate::rows::{Lifecycle, MetricContext, RunStatus};

/// `GET columns`: what the runs of an experiment have, deleted runs too; each list is sorted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Columns {
    /// Keys of metrics.
    pub metrics: Vec<String>,
    /// Keys of params.
    pub params: Vec<String>,
    /// Keys of tags.
    pub tags: Vec<String>,
}

/// `POST runs/table`: a part of a long table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TableQuery {
    /// Experiments to search, by name or id; none means all that are not deleted.
    #[serde(default)]
    pub experiments: Vec<String>,
    /// What to find, in MLflow's search language; empty finds all. `attributes.device` is the device that
    /// created a run, by its name or the start of its id.
    #[serde(default)]
    pub filter: String,
    /// In which order, in MLflow's search language; it also knows `attributes.duration` and
    /// `attributes.device`.
    #[serde(default)]
    pub order_by: Vec<String>,
    /// Whether deleted runs are searched instead of those in use.
    #[serde(default)]
    pub deleted: bool,
    /// Which values to return of each run: `metrics.KEY`, `params.KEY` or `tags.KEY`, or
    /// `attributes.device`. If this is left out, the answer has some: the device if there are others in the
    /// workspace, and the first metrics and params.
    #[serde(default)]
    pub columns: Option<Vec<String>>,
    /// How many rows come before the first wanted.
    #[serde(default)]
    pub offset: usize,
    /// How many rows to return at most.
    pub limit: usize,
    /// The `set` of an earlier answer to the same search. Its rows stay where they were, whatever
    /// was logged since; a set that is no longer kept is made anew.
    #[serde(default)]
    pub set: Option<u64>,
}

/// The answer to `POST runs/table`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TablePage {
    /// Names the order that these rows are a part of.
    pub set: u64,
    /// How many runs the search finds.
    pub total: u64,
    /// What the values of each row are of, in their order.
    pub columns: Vec<String>,
    /// The rows wanted.
    pub rows: Vec<TableRow>,
}

/// A run as a row of a table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TableRow {
    /// Which.
    pub id: RunId,
    /// The id of the experiment it belongs to.
    pub experiment: String,
    /// Its name.
    pub name: String,
    /// Who ran it, as the client says.
    pub user: String,
    /// How far it has come.
    pub status: RunStatus,
    /// In use or deleted.
    pub lifecycle: Lifecycle,
    /// When it started.
    pub start_ms: i64,
    /// When it ended.
    pub end_ms: Option<i64>,
    /// Whether a param was set to two values on devices that were apart.
    pub conflicted: bool,
    /// The values, in the order of the columns.
    pub values: Vec<Option<Cell>>,
}

/// What a table shows of a run in a column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Cell {
    /// The latest value of a metric.
    Number(Value),
    /// A param or a tag.
    Text(String),
}

#[cfg(feature = "openapi")]
impl utoipa::PartialSchema for Cell {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        use utoipa::openapi::schema::{AnyOfBuilder, ObjectBuilder, Type};
        // A text may be one of the words for numbers, so both may hold at once.
        let text = ObjectBuilder::new().schema_type(Type::String);
        let about = "A metric's latest value, or a param or a tag.";
        AnyOfBuilder::new().item(Value::schema()).item(text).description(Some(about)).into()
    }
}

#[cfg(feature = "openapi")]
impl utoipa::ToSchema for Cell {}

/// `POST runs/update`: changes runs, each for itself, in the order given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RunsUpdate {
    /// Which runs.
    pub runs: Vec<RunId>,
    /// Their new name.
    #[serde(default)]
    pub name: Option<String>,
    /// Their new note; empty clears it.
    #[serde(default)]
    pub description: Option<String>,
    /// Tags to set.
    #[serde(default)]
    pub set_tags: BTreeMap<String, String>,
    /// Tags to delete; a run that has no such tag stays as it is.
    #[serde(default)]
    pub delete_tags: Vec<String>,
    /// Whether they shall be deleted (true) or restored (false).
    #[serde(default)]
    pub deleted: Option<bool>,
}

/// `POST experiments`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NewExperiment {
    /// Its name, which no other may have.
    pub name: String,
}

/// `POST experiments/ID`: changes an experiment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ExperimentUpdate {
    /// Its new name.
    #[serde(default)]
    pub name: Option<String>,
    /// Its new note; empty clears it.
    #[serde(default)]
    pub description: Option<String>,
    /// Tags to set.
    #[serde(default)]
    pub set_tags: BTreeMap<String, String>,
    /// Tags to delete.
    #[serde(default)]
    pub delete_tags: Vec<String>,
    /// Whether it shall be deleted with its runs (true) or restored with them (false).
    #[serde(default)]
    pub deleted: Option<bool>,
}

/// `POST curves`: histories, thinned to what a chart can show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CurveQuery {
    /// Of which runs; one that is not here has none.
    pub runs: Vec<RunId>,
    /// Of which metrics.
    pub keys: Vec<String>,
    /// What the chart has along its bottom.
    #[serde(default)]
    pub axis: CurveAxis,
    /// The least step, time or time since the start that is wanted; times in milliseconds.
    #[serde(default)]
    pub from: Option<i64>,
    /// The greatest that is wanted.
    #[serde(default)]
    pub to: Option<i64>,
    /// About how many points of each series to return at most.
    pub points: usize,
}

/// What a chart of curves has along its bottom.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum CurveAxis {
    /// The step.
    #[default]
    Step,
    /// The time.
    Time,
    /// The time since the run's start.
    Relative,
}

/// An element of the answer to `POST curves`: a series as a chart shows it. The three lists have
/// one element for each point.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Curve {
    /// Of which run.
    pub run: RunId,
    /// Of which metric.
    pub key: String,
    /// What else the metric belongs to.
    pub context: MetricContext,
    /// How many points the whole series has.
    pub total: u64,
    /// Steps.
    pub steps: Vec<i64>,
    /// Times, in milliseconds since 1970.
    pub times_ms: Vec<i64>,
    /// Values.
    pub values: Vec<Value>,
}

/// `POST runs/groups`: runs taken together by what they have in a column.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GroupQuery {
    /// Experiments to search, by name or id; none means all that are not deleted.
    #[serde(default)]
    pub experiments: Vec<String>,
    /// What to find, in MLflow's search language; empty finds all.
    #[serde(default)]
    pub filter: String,
    /// Whether deleted runs are searched instead of those in use.
    #[serde(default)]
    pub deleted: bool,
    /// The column: `params.KEY`, `tags.KEY`, `metrics.KEY`, or `attributes.` and `status`, `user_id`,
    /// `device` or `run_name`.
    pub by: String,
    /// Of which metrics to return the spread.
    #[serde(default)]
    pub metrics: Vec<String>,
}

/// The answer to `POST runs/groups`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Groups {
    /// How many groups there are.
    pub total: u64,
    /// The largest of them, the largest first.
    pub groups: Vec<Group>,
}

/// Runs that have the same in a column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Group {
    /// What they have there; none for those that have nothing.
    pub value: Option<Cell>,
    /// How many they are.
    pub runs: u64,
    /// When the latest of them started.
    pub latest_ms: i64,
    /// The spread of each metric asked for, in the order asked; none where no run has a number.
    pub metrics: Vec<Option<Spread>>,
}

/// How a metric is spread over runs. What is not finite does not count.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Spread {
    /// How many runs have a number.
    pub count: u64,
    /// Their mean.
    pub mean: Value,
    /// Their standard deviation, as of a sample; none of a single one.
    pub deviation: Option<Value>,
    /// The least.
    pub min: Value,
    /// The greatest.
    pub max: Value,
}

/// An element of the answer to `GET views`: a view of the page that everyone in the workspace sees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SavedView {
    /// Its name.
    pub name: String,
    /// Its address within the page: what stands in the address bar from `#` on.
    pub address: String,
}

/// `POST views`: saves a view under a name, or forgets it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ViewUpdate {
    /// The name.
    pub name: String,
    /// The address; none forgets the view.
    #[serde(default)]
    pub address: Option<String>,
}
