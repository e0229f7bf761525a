//! `runmesh show RUN`: all about one run.

use comfy_table::Cell;
use runmesh_core::api::{Artifact, MetricSummary, RunDetails};

use crate::client::Client;
use crate::error::CliError;
use crate::runs::status_tone;
use crate::screen::{Screen, Tone, cell, right, toned};
use crate::text::{bytes, clean, list, moment, number, span, sparkline, thousands};

/// How wide a curve is drawn: a table with one fits 80 columns.
const CURVE_WIDTH: usize = 28;

/// Shows a run.
pub(crate) fn show(client: &Client, run: &str, screen: &mut Screen) -> Result<(), CliError> {
    let details: RunDetails = client.get(&format!("runs/{}", url_part(run)), &[])?;
    if screen.is_json() {
        return screen.json(&details);
    }
    let title = if details.run.name.is_empty() { "(no name)" } else { &details.run.name };
    let title = screen.toned(&clean(title), Tone::Strong);
    screen.line(&title)?;
    let facts = facts(&details, screen);
    screen.facts(facts)?;
    if !details.run.description.is_empty() {
        heading("note", screen)?;
        for line in details.run.description.lines() {
            screen.line(&clean(line))?;
        }
    }
    pairs("params", &details.run.params, screen)?;
    metrics(&details.series, screen)?;
    pairs("tags", &details.run.tags, screen)?;
    if !details.artifacts.is_empty() {
        heading("artifacts", screen)?;
        artifact_table(&details.artifacts, screen)?;
    }
    Ok(())
}

/// A run's id as a part of a path: anything else could reach another route.
pub(crate) fn url_part(run: &str) -> String {
    let part: String = run.chars().filter(char::is_ascii_alphanumeric).collect();
    if part.is_empty() { "-".to_owned() } else { part }
}

fn facts(details: &RunDetails, screen: &Screen) -> Vec<(&'static str, String)> {
    let run = &details.run;
    let status = run.status.as_str().to_lowercase();
    let mut facts = vec![
        ("run", run.id.to_string()),
        ("experiment", format!("{} ({})", clean(&run.experiment.name), run.experiment.id)),
        ("status", screen.toned(&status, status_tone(run.status))),
        ("started", moment(run.start_ms)),
    ];
    if let Some(end_ms) = run.end_ms {
        let took = u64::try_from(end_ms.saturating_sub(run.start_ms)).unwrap_or(0);
        facts.push(("ended", format!("{}, after {}", moment(end_ms), span(took))));
    }
    if !run.user.is_empty() {
        facts.push(("user", clean(&run.user)));
    }
    if run.lifecycle == runmesh_core::rows::Lifecycle::Deleted {
        facts.push(("deleted", screen.toned("yes; it can be restored", Tone::Bad)));
    }
    if !run.conflicted_params.is_empty() {
        let keys = list(run.conflicted_params.iter().map(String::as_str));
        let text = format!("params set to two values while apart: {keys}");
        facts.push(("conflict", screen.toned(&text, Tone::Doubtful)));
    }
    if !details.datasets.is_empty() {
        let names = list(details.datasets.iter().map(|dataset| dataset.key.as_str()));
        facts.push(("datasets", names));
    }
    facts
}

fn heading(name: &str, screen: &mut Screen) -> Result<(), CliError> {
    let name = screen.toned(name, Tone::Strong);
    screen.line(&format!("\n{name}"))
}

fn pairs<'a>(
    name: &str,
    pairs: impl IntoIterator<Item = (&'a String, &'a String), IntoIter: ExactSizeIterator>,
    screen: &mut Screen,
) -> Result<(), CliError> {
    let pairs = pairs.into_iter();
    if pairs.len() == 0 {
        return Ok(());
    }
    heading(name, screen)?;
    let cells = |(key, value): (&String, &String)| (clean(key), clean(value));
    let pairs: Vec<_> = pairs.map(cells).collect();
    screen.facts(pairs.iter().map(|(key, value)| (key.as_str(), value.clone())))
}

fn metrics(series: &[MetricSummary], screen: &mut Screen) -> Result<(), CliError> {
    if series.is_empty() {
        return Ok(());
    }
    heading("metrics", screen)?;
    let rows = series.iter().map(|series| {
        let context = &series.context;
        let context = [&context.model_id, &context.dataset_name];
        let context = context.into_iter().filter(|part| !part.is_empty());
        let context: Vec<_> = context.map(|part| clean(part)).collect();
        let key = match context.as_slice() {
            [] => series.key.clone(),
            parts => format!("{} ({})", series.key, parts.join(", ")),
        };
        let limit = |value: Option<runmesh_core::api::Value>| {
            right(value.map_or("–".to_owned(), |value| number(value.0)))
        };
        vec![
            cell(&key),
            toned(right(number(series.value.0)), Tone::Strong),
            right(series.step),
            limit(series.min),
            limit(series.max),
            right(thousands(series.points)),
            Cell::new(sparkline(&series.trend, CURVE_WIDTH)),
        ]
    });
    screen.table(&["metric", "last", "step", "min", "max", "points", "course"], rows)
}

/// Shows files and folders as a table.
pub(crate) fn artifact_table(artifacts: &[Artifact], screen: &mut Screen) -> Result<(), CliError> {
    let rows = artifacts.iter().map(|artifact| match &artifact.file {
        Some(file) => vec![
            Cell::new(clean(&artifact.path)),
            right(bytes(file.size)),
            Cell::new(file.blob.short()),
            match file.here {
                true => Cell::new("here"),
                false => toned(Cell::new("on a peer"), Tone::Doubtful),
            },
        ],
        None => vec![
            Cell::new(format!("{}/", clean(&artifact.path))),
            right("–"),
            Cell::new(""),
            Cell::new(""),
        ],
    });
    screen.table(&["path", "size", "blob", ""], rows)
}
