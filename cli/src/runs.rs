//! Lists: `runmesh experiments` and `runmesh runs`.

use std::collections::{BTreeMap, BTreeSet};

use comfy_table::Cell;
use runmesh_core::api::{Experiment, FoundRuns, Run, RunSearch};
use runmesh_core::rows::{Lifecycle, RunStatus};

use crate::args;
use crate::client::Client;
use crate::error::CliError;
use crate::screen::{Screen, Tone, cell, note, right, toned};
use crate::text::{ago, now_ms, number};

/// How many columns of metrics and of params are shown unasked.
const UNASKED_COLUMNS: usize = 3;

/// Lists experiments.
pub(crate) fn experiments(client: &Client, all: bool, screen: &mut Screen) -> Result<(), CliError> {
    let mut experiments: Vec<Experiment> = client.get("experiments", &[])?;
    experiments.retain(|experiment| all || experiment.lifecycle == Lifecycle::Active);
    if screen.is_json() {
        return screen.json(&experiments);
    }
    let now = now_ms();
    let rows = experiments.iter().map(|experiment| {
        let name = cell(&experiment.name);
        let name = match experiment.lifecycle {
            Lifecycle::Active => name,
            Lifecycle::Deleted => toned(name, Tone::Quiet),
        };
        vec![
            name,
            cell(&experiment.id),
            right(experiment.runs),
            Cell::new(ago(experiment.created_ms, now)),
        ]
    });
    screen.table(&["experiment", "id", "runs", "created"], rows)
}

/// Lists runs.
pub(crate) fn runs(
    client: &Client,
    asked: args::Runs,
    screen: &mut Screen,
) -> Result<(), CliError> {
    let search = RunSearch {
        experiments: asked.experiment,
        filter: asked.filter,
        order_by: asked.order_by,
        limit: asked.limit,
        deleted: asked.deleted,
    };
    let found: FoundRuns = client.post("runs/search", &search)?;
    if screen.is_json() {
        return screen.json(&found);
    }
    if found.runs.is_empty() {
        note("no run matches");
        return Ok(());
    }
    let columns = if asked.column.is_empty() { telling(&found.runs) } else { asked.column };
    run_table(&found.runs, &columns, screen)?;
    if found.more {
        note(&format!("there are more; --limit {} shows them", search.limit.saturating_mul(10)));
    }
    Ok(())
}

/// Shows runs as a table with these further columns.
fn run_table(runs: &[Run], columns: &[String], screen: &mut Screen) -> Result<(), CliError> {
    let now = now_ms();
    let one_experiment = runs.iter().all(|run| run.experiment.id == runs[0].experiment.id);
    let mut head = vec!["run", "name"];
    if !one_experiment {
        head.push("experiment");
    }
    head.extend(["status", "started"]);
    let short = |column: &'_ String| {
        column.rsplit_once("s.").map_or(column.clone(), |(_, key)| key.to_owned())
    };
    let names: Vec<String> = columns.iter().map(short).collect();
    head.extend(names.iter().map(String::as_str));
    let rows = runs.iter().map(|run| {
        let mut row = vec![Cell::new(run.id.short()), cell(&run.name)];
        if !one_experiment {
            row.push(cell(&run.experiment.name));
        }
        row.push(status_cell(run.status));
        row.push(Cell::new(ago(run.start_ms, now)));
        row.extend(columns.iter().map(|column| value_cell(run, column)));
        row
    });
    screen.table(&head, rows)
}

/// A run's status in its colour.
pub(crate) fn status_cell(status: RunStatus) -> Cell {
    toned(Cell::new(status.as_str().to_lowercase()), status_tone(status))
}

/// The colour of a run's status.
pub(crate) const fn status_tone(status: RunStatus) -> Tone {
    match status {
        RunStatus::Finished => Tone::Good,
        RunStatus::Failed | RunStatus::Killed => Tone::Bad,
        RunStatus::Running | RunStatus::Scheduled => Tone::Doubtful,
    }
}

/// A value of a run by its name in the search language.
fn value_cell(run: &Run, column: &str) -> Cell {
    let (kind, key) = column.split_once('.').unwrap_or(("", column));
    let text = match kind {
        "metrics" | "metric" => {
            return match run.metrics.get(key) {
                Some(value) => right(number(value.0)),
                None => right("–"),
            };
        }
        "params" | "param" => run.params.get(key),
        "tags" | "tag" => run.tags.get(key),
        _ => None,
    };
    text.map_or_else(|| Cell::new("–"), |text| cell(text))
}

/// The columns that tell these runs apart: metrics that most of them have, and params that are
/// not the same in all.
fn telling(runs: &[Run]) -> Vec<String> {
    let mut metrics: BTreeMap<&str, usize> = BTreeMap::new();
    let mut params: BTreeMap<&str, BTreeSet<Option<&str>>> = BTreeMap::new();
    for run in runs {
        for key in run.metrics.keys() {
            *metrics.entry(key).or_default() += 1;
        }
        for key in run.params.keys() {
            params.entry(key).or_default();
        }
    }
    for (key, values) in &mut params {
        values.extend(runs.iter().map(|run| run.params.get(*key).map(String::as_str)));
    }
    let mut metrics: Vec<_> = metrics.into_iter().collect();
    metrics.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let params = params.into_iter().filter(|(_, values)| values.len() > 1);
    let params = params.map(|(key, _)| format!("params.{key}"));
    let metrics = metrics.into_iter().map(|(key, _)| format!("metrics.{key}"));
    params.take(UNASKED_COLUMNS).chain(metrics.take(UNASKED_COLUMNS)).collect()
}

#[cfg(test)]
mod tests {
    use runmesh_core::api::{Named, Value};
    use runmesh_core::ids::RunId;

    use super::*;

    fn run(params: &[(&str, &str)], metrics: &[&str]) -> Run {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        Run {
            id: RunId::new([1; 16]),
            experiment: Named { id: "0".to_owned(), name: "Default".to_owned() },
            name: String::new(),
            user: String::new(),
            status: RunStatus::Finished,
            lifecycle: Lifecycle::Active,
            start_ms: 0,
            end_ms: None,
            description: String::new(),
            params: params.iter().map(owned).collect(),
            tags: BTreeMap::new(),
            metrics: metrics.iter().map(|key| ((*key).to_owned(), Value(0.5))).collect(),
            conflicted_params: Vec::new(),
        }
    }

    #[test]
    fn the_columns_shown_are_those_that_tell_runs_apart() {
        let runs = [
            run(&[("lr", "0.1"), ("model", "cnn")], &["loss", "acc"]),
            run(&[("lr", "0.2"), ("model", "cnn")], &["loss"]),
            run(&[("lr", "0.2"), ("model", "cnn"), ("seed", "7")], &["loss"]),
        ];
        let columns = telling(&runs);
        assert_eq!(columns, ["params.lr", "params.seed", "metrics.loss", "metrics.acc"]);
    }
}
