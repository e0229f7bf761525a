//! A comparison as a page: one file that needs nothing else, to be mailed or kept.

use super::{Comparison, MetricRow};
use crate::text::{number, span};

const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem}\
table{border-collapse:collapse;width:100%}\
th,td{border-bottom:1px solid #8884;padding:.3rem .7rem;text-align:left;vertical-align:top;\
overflow-wrap:anywhere}\
thead th{border-bottom:2px solid #8888}\
tbody th{font-weight:normal;opacity:.75}\
h2{font-size:1rem;margin:2rem 0 .3rem}\
.number{text-align:right;font-variant-numeric:tabular-nums}\
.best{background:#2a84;font-weight:bold}\
.worst{background:#c334}\
.same td{opacity:.6}";

/// The page.
pub(super) fn page(comparison: &Comparison) -> String {
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
         content=\"width=device-width\">\n<title>{} runs compared</title>\n<style>{STYLE}</style>\n\
         <h1>{} runs compared</h1>\n",
        comparison.runs.len(),
        comparison.runs.len()
    );
    let runs = comparison.runs.iter();
    let took = |ms: &Option<i64>| match ms {
        Some(ms) => span(u64::try_from(*ms).unwrap_or_default()),
        None => "–".to_owned(),
    };
    page.push_str(&table(comparison, "Runs", |rows| {
        rows.push(texts("name", runs.clone().map(|run| run.name.clone()), false));
        rows.push(texts("experiment", runs.clone().map(|run| run.experiment.name.clone()), false));
        let status = runs.clone().map(|run| run.status.as_str().to_lowercase());
        rows.push(texts("status", status, false));
        rows.push(texts("duration", comparison.durations_ms.iter().map(took), false));
    }));
    page.push_str(&table(comparison, "Metrics", |rows| {
        rows.extend(comparison.metrics.iter().map(metric));
    }));
    page.push_str(&table(comparison, "Params", |rows| {
        rows.extend(comparison.params.iter().map(|row| {
            let values = row.values.iter().map(|value| value.clone().unwrap_or("–".to_owned()));
            texts(&row.key, values, !row.differs)
        }));
    }));
    page
}

fn table(comparison: &Comparison, title: &str, fill: impl FnOnce(&mut Vec<String>)) -> String {
    let mut rows = Vec::new();
    fill(&mut rows);
    if rows.is_empty() {
        return String::new();
    }
    let ids = comparison.runs.iter().map(|run| format!("<th>{}</th>", run.id.short()));
    let ids: String = ids.collect();
    let rows = rows.concat();
    format!(
        "<h2>{title}</h2>\n<table>\n<thead><tr><th></th>{ids}</tr></thead>\n<tbody>\n{rows}</tbody>\n\
         </table>\n"
    )
}

fn texts(name: &str, values: impl Iterator<Item = String>, same: bool) -> String {
    let cells: String = values.map(|value| format!("<td>{}</td>", escaped(&value))).collect();
    let class = if same { " class=\"same\"" } else { "" };
    format!("<tr{class}><th>{}</th>{cells}</tr>\n", escaped(name))
}

fn metric(row: &MetricRow) -> String {
    let cells = row.values.iter().enumerate().map(|(at, value)| {
        let class = match () {
            () if row.best.contains(&at) => "number best",
            () if row.worst.contains(&at) => "number worst",
            () => "number",
        };
        let (shown, whole) = match value {
            Some(value) => (number(value.0), value.0.to_string()),
            None => ("–".to_owned(), String::new()),
        };
        format!("<td title=\"{whole}\" class=\"{class}\">{shown}</td>")
    });
    let cells: String = cells.collect();
    let class = if row.differs { "" } else { " class=\"same\"" };
    format!("<tr{class}><th>{}</th>{cells}</tr>\n", escaped(&row.title()))
}

/// Text that no browser takes for anything else.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}
