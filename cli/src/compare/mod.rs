//! `runmesh compare`: runs side by side, what differs first, best and worst marked.

mod html;

use std::collections::BTreeSet;
use std::fs;

use comfy_table::Cell;
use runmesh_core::api::{Run, RunDetails, Value};
use serde::Serialize;

use crate::args;
use crate::client::Client;
use crate::error::CliError;
use crate::screen::{Screen, Tone, cell, note, right, toned};
use crate::show::url_part;
use crate::text::{clean, number, span};

/// Which way a metric is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Direction {
    Max,
    Min,
}

impl Direction {
    /// What the name of a metric suggests, where it does.
    fn of_name(key: &str) -> Option<Self> {
        const LOWER: [&str; 13] = [
            "loss",
            "error",
            "err",
            "mse",
            "rmse",
            "mae",
            "mape",
            "perplexity",
            "time",
            "latency",
            "seconds",
            "ms",
            "duration",
        ];
        const HIGHER: [&str; 10] =
            ["acc", "accuracy", "auc", "f1", "precision", "recall", "score", "r2", "map", "iou"];
        let key = key.to_ascii_lowercase();
        let mut words = key.split(|c: char| !c.is_ascii_alphanumeric());
        words.find_map(|word| match word {
            word if LOWER.contains(&word) => Some(Self::Min),
            word if HIGHER.contains(&word) => Some(Self::Max),
            _ => None,
        })
    }
}

/// A metric and which way it is better: `auc:max`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Judged {
    key: String,
    direction: Direction,
}

impl std::str::FromStr for Judged {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (key, word) = text.rsplit_once(':').unwrap_or((text, ""));
        let direction = match word {
            "max" => Direction::Max,
            "min" => Direction::Min,
            _ => return Err("write NAME:max or NAME:min".to_owned()),
        };
        Ok(Self { key: key.to_owned(), direction })
    }
}

/// Runs side by side.
#[derive(Debug, Serialize)]
struct Comparison {
    runs: Vec<Run>,
    /// How long each ran, in milliseconds, if it has ended.
    durations_ms: Vec<Option<i64>>,
    params: Vec<Row>,
    metrics: Vec<MetricRow>,
}

/// A param in each of the runs.
#[derive(Debug, Serialize)]
struct Row {
    key: String,
    differs: bool,
    values: Vec<Option<String>>,
}

/// The latest value of a metric in each of the runs.
#[derive(Debug, Serialize)]
struct MetricRow {
    key: String,
    differs: bool,
    direction: Option<Direction>,
    values: Vec<Option<Value>>,
    /// The places of the runs that are best at it, if it says which way is better.
    best: Vec<usize>,
    worst: Vec<usize>,
}

/// Compares runs.
pub(crate) fn compare(
    client: &Client,
    asked: &args::Compare,
    screen: &mut Screen,
) -> Result<(), CliError> {
    let mut runs = Vec::new();
    for run in &asked.runs {
        let details: RunDetails = client.get(&format!("runs/{}", url_part(run)), &[])?;
        runs.push(details.run);
    }
    let comparison = Comparison::of(runs, &asked.metric);
    if let Some(path) = &asked.html {
        let page = html::page(&comparison);
        fs::write(path, page).map_err(|source| CliError::File {
            doing: "write",
            path: path.clone(),
            source,
        })?;
        note(&format!("written to {}", path.display()));
    }
    if screen.is_json() {
        return screen.json(&comparison);
    }
    if asked.html.is_some() {
        return Ok(());
    }
    show(&comparison, screen)
}

impl Comparison {
    fn of(runs: Vec<Run>, judged: &[Judged]) -> Self {
        let duration = |run: &Run| run.end_ms.map(|end| end.saturating_sub(run.start_ms).max(0));
        let durations_ms = runs.iter().map(duration).collect();
        let keys: BTreeSet<&String> = runs.iter().flat_map(|run| run.params.keys()).collect();
        let param = |key: &String| {
            let values: Vec<_> = runs.iter().map(|run| run.params.get(key).cloned()).collect();
            let differs = values.iter().any(|value| *value != values[0]);
            Row { key: key.clone(), differs, values }
        };
        let mut params: Vec<Row> = keys.into_iter().map(param).collect();
        params.sort_by_key(|row| !row.differs);
        let keys: BTreeSet<&String> = runs.iter().flat_map(|run| run.metrics.keys()).collect();
        let metric = |key: &String| {
            let told = judged.iter().find(|judged| judged.key == *key);
            let direction = told.map(|told| told.direction).or_else(|| Direction::of_name(key));
            let values = runs.iter().map(|run| run.metrics.get(key).copied()).collect();
            MetricRow::of(key, direction, values)
        };
        let mut metrics: Vec<MetricRow> = keys.into_iter().map(metric).collect();
        // What was asked about comes first, in the order asked.
        let place = |key: &str| judged.iter().position(|judged| judged.key == key);
        metrics.sort_by_key(|row| (place(&row.key).unwrap_or(usize::MAX), !row.differs));
        Self { runs, durations_ms, params, metrics }
    }
}

impl MetricRow {
    fn of(key: &str, direction: Option<Direction>, values: Vec<Option<Value>>) -> Self {
        let bits = |value: &Option<Value>| value.map(|value| value.0.to_bits());
        let differs = values.iter().any(|value| bits(value) != bits(&values[0]));
        let numbers = values.iter().flatten().map(|value| value.0).filter(|value| !value.is_nan());
        let (low, high) = (numbers.clone().reduce(f64::min), numbers.reduce(f64::max));
        let at = |wanted: Option<f64>| -> Vec<usize> {
            let places = values.iter().enumerate();
            let same = places.filter(|(_, value)| {
                wanted.is_some_and(|wanted| value.is_some_and(|value| value.0 == wanted))
            });
            same.map(|(place, _)| place).collect()
        };
        let (best, worst) = match direction {
            // Where all are the same none is better.
            _ if low == high => (Vec::new(), Vec::new()),
            None => (Vec::new(), Vec::new()),
            Some(Direction::Max) => (at(high), at(low)),
            Some(Direction::Min) => (at(low), at(high)),
        };
        Self { key: key.to_owned(), differs, direction, values, best, worst }
    }

    /// The key, and which way it is better.
    fn title(&self) -> String {
        match self.direction {
            Some(Direction::Max) => format!("{} ↑", self.key),
            Some(Direction::Min) => format!("{} ↓", self.key),
            None => self.key.clone(),
        }
    }
}

fn show(comparison: &Comparison, screen: &mut Screen) -> Result<(), CliError> {
    let ids: Vec<String> = comparison.runs.iter().map(|run| run.id.short()).collect();
    let mut head = vec![""];
    head.extend(ids.iter().map(String::as_str));
    let mut rows = vec![row("name", comparison.runs.iter().map(|run| cell(&run.name)))];
    rows.push(row(
        "status",
        comparison.runs.iter().map(|run| crate::runs::status_cell(run.status)),
    ));
    let took = |ms: &Option<i64>| match ms {
        Some(ms) => Cell::new(span(u64::try_from(*ms).unwrap_or_default())),
        None => Cell::new("–"),
    };
    rows.push(row("duration", comparison.durations_ms.iter().map(took)));
    for metric in &comparison.metrics {
        let values = metric.values.iter().enumerate().map(|(at, value)| {
            let shown = right(value.map_or("–".to_owned(), |value| number(value.0)));
            match () {
                () if metric.best.contains(&at) => toned(shown, Tone::Good),
                () if metric.worst.contains(&at) => toned(shown, Tone::Bad),
                () => shown,
            }
        });
        rows.push(row(&metric.title(), values));
    }
    for param in &comparison.params {
        let values = param.values.iter().map(|value| {
            let shown = value.as_ref().map_or_else(|| Cell::new("–"), |value| cell(value));
            if param.differs { shown } else { toned(shown, Tone::Quiet) }
        });
        rows.push(row(&param.key, values));
    }
    screen.table(&head, rows)
}

fn row(name: &str, values: impl Iterator<Item = Cell>) -> Vec<Cell> {
    std::iter::once(Cell::new(clean(name))).chain(values).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use runmesh_core::api::Named;
    use runmesh_core::ids::RunId;
    use runmesh_core::rows::{Lifecycle, RunStatus};

    use super::*;

    fn run(id: u8, params: &[(&str, &str)], metrics: &[(&str, f64)]) -> Run {
        let text = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let number = |(key, value): &(&str, f64)| ((*key).to_owned(), Value(*value));
        Run {
            id: RunId::new([id; 16]),
            experiment: Named { id: "0".to_owned(), name: "Default".to_owned() },
            name: "<b>bold</b>".to_owned(),
            user: String::new(),
            status: RunStatus::Finished,
            lifecycle: Lifecycle::Active,
            start_ms: 1_000,
            end_ms: Some(3_000),
            description: String::new(),
            params: params.iter().map(text).collect(),
            tags: BTreeMap::new(),
            metrics: metrics.iter().map(number).collect(),
            conflicted_params: Vec::new(),
        }
    }

    fn compared(judged: &[&str]) -> Comparison {
        let runs = vec![
            run(1, &[("lr", "0.1"), ("model", "cnn")], &[("val_loss", 0.5), ("x", 1.0)]),
            run(2, &[("lr", "0.2"), ("model", "cnn")], &[("val_loss", 0.7), ("x", 3.0)]),
            run(3, &[("model", "cnn"), ("seed", "7")], &[("val_loss", f64::NAN), ("x", 3.0)]),
        ];
        let judged: Vec<Judged> = judged.iter().map(|text| text.parse().expect(text)).collect();
        Comparison::of(runs, &judged)
    }

    #[test]
    fn what_differs_comes_first_and_the_best_is_by_direction() {
        let comparison = compared(&["x:max"]);
        let params: Vec<_> = comparison.params.iter().map(|row| row.key.as_str()).collect();
        assert_eq!(params, ["lr", "seed", "model"]);
        assert_eq!(comparison.durations_ms, [Some(2_000); 3]);
        let [asked, loss] = &comparison.metrics[..] else { panic!("two metrics") };
        assert_eq!(
            (asked.key.as_str(), &asked.best[..], &asked.worst[..]),
            ("x", &[1, 2][..], &[0][..])
        );
        // The name says that less is better; what is no number is neither.
        assert_eq!((&loss.best[..], &loss.worst[..]), (&[0][..], &[1][..]));
        assert!("auc".parse::<Judged>().is_err() && "auc:up".parse::<Judged>().is_err());
        assert!(compared(&[]).metrics[1].best.is_empty(), "x says nothing");
    }

    #[test]
    fn the_page_is_whole_and_shows_text_as_text() {
        let page = html::page(&compared(&["x:max"]));
        assert!(page.contains("&lt;b&gt;bold") && !page.contains("<b>bold"));
        assert!(
            page.contains("class=\"number best\">3<") && page.contains("class=\"number worst\">1<")
        );
        for outside in ["http:", "https:", "<script", "src="] {
            assert!(!page.contains(outside), "{outside}");
        }
    }
}
