//! Tables of runs: long ones, of which a part is seen, and the columns they can have.
//!
//! A table is sorted once, when its first rows are asked for. The order is kept as a set of runs
//! under a number, and scrolling asks for rows of that set: each costs what its rows cost, and
//! rows do not move under the reader's eyes while runs are logged.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::{Extension, Json};
use runmesh_core::api::{Cell, Columns, TablePage, TableQuery, TableRow, Value};
use runmesh_core::ids::{ExperimentId, WorkspaceId};
use runmesh_core::rows::RunRow;
use runmesh_core::search::{Field, RunAttribute, RunDevices, RunNumber, find_runs, read_runs};
use runmesh_core::store::{RunKeys, Snapshot};

use super::devices::{self, Devices, Known};
use super::error::Error;
use super::{query, read, runs, status};
use crate::app::App;

/// The most rows that one answer has.
const MAX_ROWS: usize = 5_000;
/// The most columns that a table can ask for.
const MAX_COLUMNS: usize = 500;
/// How many metrics, and how many params, are shown unasked.
const UNASKED_COLUMNS: usize = 5;
/// The column of the device that created a run.
const DEVICE: &str = "attributes.device";
/// How many orders are kept. One of 100,000 runs takes 400 KB.
const MAX_SETS: usize = 16;

/// Orders of runs that tables show parts of, the latest used at the end.
#[derive(Default)]
pub(super) struct Sets(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    last: u64,
    sets: VecDeque<Set>,
}

#[derive(Clone)]
struct Set {
    number: u64,
    workspace: WorkspaceId,
    runs: Arc<[RunNumber]>,
}

impl Sets {
    fn with<T>(&self, work: impl FnOnce(&mut Kept) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn find(&self, number: u64, workspace: WorkspaceId) -> Option<Set> {
        self.with(|kept| {
            let is_it = |set: &Set| set.number == number && set.workspace == workspace;
            let set = kept.sets.remove(kept.sets.iter().position(is_it)?)?;
            kept.sets.push_back(set.clone());
            Some(set)
        })
    }

    fn keep(&self, workspace: WorkspaceId, runs: Vec<RunNumber>) -> Set {
        self.with(|kept| {
            kept.last += 1;
            let set = Set { number: kept.last, workspace, runs: runs.into() };
            kept.sets.push_back(set.clone());
            while kept.sets.len() > MAX_SETS {
                kept.sets.pop_front();
            }
            set
        })
    }
}

/// A part of a table.
pub(super) async fn table(
    State(app): State<Arc<App>>,
    Extension(sets): Extension<Arc<Sets>>,
    Extension(known): Extension<Arc<Known>>,
    body: Bytes,
) -> Result<Json<TablePage>, Error> {
    let asked: TableQuery = read(&body)?;
    let given = asked.columns.as_ref().map_or(0, Vec::len);
    if given > MAX_COLUMNS {
        return Err(Error::TooMany { what: "columns", given, limit: MAX_COLUMNS });
    }
    let mut search = runs::parse(&asked.filter, &asked.order_by, asked.deleted)?;
    query(&app, move |app, snapshot| {
        search.experiments = runs::wanted(&snapshot.experiments()?, &asked.experiments)?;
        let columns = match asked.columns {
            Some(columns) => columns,
            None => {
                let shared = !status::peers(app).is_empty();
                unasked(&keys_of(snapshot, &search.experiments)?, shared)
            }
        };
        let shown: Vec<_> =
            columns.iter().map(|name| Shown::named(name)).collect::<Result<_, _>>()?;
        let workspace = app.workspace.id();
        let set = match asked.set.and_then(|number| sets.find(number, workspace)) {
            Some(set) => set,
            None => {
                devices::tell(app, snapshot, &known, &mut search, None)?;
                sets.keep(workspace, find_runs(snapshot, &search)?)
            }
        };
        let from = asked.offset.min(set.runs.len());
        let until = from + asked.limit.min(MAX_ROWS).min(set.runs.len() - from);
        let runs = read_runs(snapshot, &set.runs[from..until])?;
        let rows = rows(app, snapshot, &known, &runs, &shown)?;
        Ok(Json(TablePage { set: set.number, total: set.runs.len() as u64, columns, rows }))
    })
    .await
}

/// The columns of a table of which none were asked for.
fn unasked(keys: &RunKeys, shared: bool) -> Vec<String> {
    let first = |kind: &'static str, keys: &BTreeSet<String>| -> Vec<String> {
        let keys = keys.iter().filter(|key| !key.starts_with("system/"));
        keys.take(UNASKED_COLUMNS).map(|key| format!("{kind}.{key}")).collect()
    };
    let device = shared.then(|| DEVICE.to_owned());
    let (metrics, params) = (first("metrics", &keys.metrics), first("params", &keys.params));
    device.into_iter().chain(metrics).chain(params).collect()
}

/// Reads the name of a column: what runs have under a key.
pub(super) fn column(name: &str) -> Result<Field<RunAttribute>, Error> {
    let unknown = || Error::NotAColumn(name.to_owned());
    let (kind, key) = name.split_once('.').ok_or_else(unknown)?;
    match kind {
        "metrics" => Ok(Field::Metric(key.to_owned())),
        "params" => Ok(Field::Param(key.to_owned())),
        "tags" => Ok(Field::Tag(key.to_owned())),
        _ => Err(unknown()),
    }
}

/// What a column shows.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Shown {
    Value(Field<RunAttribute>),
    /// The device that created the run, which only journals know.
    Device,
}

impl Shown {
    fn named(name: &str) -> Result<Self, Error> {
        if name == DEVICE {
            return Ok(Self::Device);
        }
        column(name).map(Self::Value)
    }
}

fn rows(
    app: &App,
    snapshot: &Snapshot,
    known: &Known,
    runs: &[(RunNumber, RunRow)],
    columns: &[Shown],
) -> Result<Vec<TableRow>, Error> {
    let devices = match columns.contains(&Shown::Device) {
        true => {
            let numbers: Vec<_> = runs.iter().map(|(number, _)| *number).collect();
            Devices::open(app, snapshot, known)?.of(&numbers)?
        }
        false => RunDevices::default(),
    };
    let rows =
        runs.iter().map(|(number, run)| row(run, columns, devices.of(*number).map(|name| &**name)));
    Ok(rows.collect())
}

fn row(run: &RunRow, columns: &[Shown], device: Option<&str>) -> TableRow {
    let cell = |column: &Shown| match column {
        Shown::Value(field) => cell(run, field),
        Shown::Device => device.map(|device| Cell::Text(device.to_owned())),
    };
    TableRow {
        id: run.id,
        experiment: run.experiment.to_string(),
        name: run.name.clone(),
        user: run.user.clone(),
        status: run.status,
        lifecycle: run.lifecycle,
        start_ms: run.start_ms,
        end_ms: run.end_ms,
        conflicted: !run.conflicted_params.is_empty(),
        values: columns.iter().map(cell).collect(),
    }
}

/// What a run has in a column.
fn cell(run: &RunRow, field: &Field<RunAttribute>) -> Option<Cell> {
    let text = |text: &str| Cell::Text(text.to_owned());
    match field {
        Field::Metric(key) => run.metric(key).map(|point| Cell::Number(Value(point.value))),
        Field::Param(key) => run.param(key).map(text),
        Field::Tag(key) => run.tag(key).map(text),
        Field::Attribute(_) | Field::Dataset(_) => None,
    }
}

/// The columns of some experiments, or of all.
pub(super) async fn columns(
    State(app): State<Arc<App>>,
    RawQuery(asked): RawQuery,
) -> Result<Json<Columns>, Error> {
    let asked = asked.unwrap_or_default();
    let names = form_urlencoded::parse(asked.as_bytes()).filter(|(name, _)| name == "experiment");
    let names: Vec<String> = names.map(|(_, value)| value.into_owned()).collect();
    query(&app, move |_, snapshot| columns_of(snapshot, &names).map(Json)).await
}

fn columns_of(snapshot: &Snapshot, experiments: &[String]) -> Result<Columns, Error> {
    let all = keys_of(snapshot, &runs::wanted(&snapshot.experiments()?, experiments)?)?;
    let list = |keys: BTreeSet<String>| keys.into_iter().collect();
    Ok(Columns { metrics: list(all.metrics), params: list(all.params), tags: list(all.tags) })
}

fn keys_of(snapshot: &Snapshot, experiments: &[ExperimentId]) -> Result<RunKeys, Error> {
    let mut all = RunKeys::default();
    for experiment in experiments {
        let RunKeys { metrics, params, tags } = snapshot.run_keys(*experiment)?;
        all.metrics.extend(metrics);
        all.params.extend(params);
        all.tags.extend(tags);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_orders_that_nobody_scrolls_are_dropped_first() {
        let sets = Sets::default();
        let (here, elsewhere) = (WorkspaceId::new([1; 32]), WorkspaceId::new([2; 32]));
        let first = sets.keep(here, vec![1]);
        for _ in 0..MAX_SETS - 1 {
            sets.keep(here, Vec::new());
        }
        assert_eq!(sets.find(first.number, here).map(|set| set.runs.len()), Some(1));
        assert!(sets.find(first.number, elsewhere).is_none());
        sets.keep(here, Vec::new());
        assert!(sets.find(first.number, here).is_some(), "it was used last");
        assert!(sets.find(first.number + 1, here).is_none());
    }

    #[test]
    fn a_table_without_columns_gets_the_first_metrics_and_params() {
        let keys = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let keys = RunKeys {
            metrics: keys(&["loss", "system/cpu"]),
            params: keys(&["a", "b", "c", "d", "e", "f"]),
            tags: keys(&["team"]),
        };
        let alone = ["metrics.loss", "params.a", "params.b", "params.c", "params.d", "params.e"];
        assert_eq!(unasked(&keys, false), alone);
        assert_eq!(unasked(&keys, true)[..2], [DEVICE, "metrics.loss"]);
    }

    #[test]
    fn a_column_is_a_kind_and_a_key() {
        assert_eq!(Shown::named("attributes.device").ok(), Some(Shown::Device));
        assert_eq!(column("params.a.b").ok(), Some(Field::Param("a.b".to_owned())));
        for wrong in ["params", "loss", "metric.x", "attributes.status", ""] {
            assert!(matches!(column(wrong), Err(Error::NotAColumn(_))), "{wrong:?}");
        }
    }
}
