//! Groups: the runs of a search taken together by what they have in a column.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use runmesh_core::api::{Cell, Group, GroupQuery, Groups, Spread, Value};
use runmesh_core::rows::RunRow;
use runmesh_core::search::{find_runs, read_runs};

use super::error::Error;
use super::table::{cell, column};
use super::{query, read, runs};
use crate::app::App;

/// The most groups that are returned: those of most runs.
const MAX_GROUPS: usize = 1_000;
/// How many rows are in memory at a time.
const AT_ONCE: usize = 1_000;
/// The most metrics that one request asks for.
const MAX_METRICS: usize = 100;

/// The numbers of one metric, added up by Welford's method: it loses nothing to cancellation.
#[derive(Default)]
struct Sum {
    count: u64,
    mean: f64,
    squares: f64,
    min: Option<f64>,
    max: Option<f64>,
}

impl Sum {
    fn add(&mut self, value: f64) {
        if !value.is_finite() {
            return;
        }
        self.count += 1;
        let off = value - self.mean;
        self.mean += off / self.count as f64;
        self.squares += off * (value - self.mean);
        self.min = Some(self.min.map_or(value, |min| min.min(value)));
        self.max = Some(self.max.map_or(value, |max| max.max(value)));
    }

    fn spread(&self) -> Option<Spread> {
        let (min, max) = (self.min?, self.max?);
        // One value has no deviation that could be known.
        let deviation = (self.count > 1).then(|| (self.squares / (self.count - 1) as f64).sqrt());
        Some(Spread {
            count: self.count,
            mean: Value(self.mean),
            deviation: deviation.map(Value),
            min: Value(min),
            max: Value(max),
        })
    }
}

struct Member {
    value: Option<Cell>,
    runs: u64,
    latest_ms: i64,
    sums: Vec<Sum>,
}

impl Member {
    fn add(&mut self, run: &RunRow, metrics: &[String]) {
        self.runs += 1;
        self.latest_ms = self.latest_ms.max(run.start_ms);
        for (sum, key) in self.sums.iter_mut().zip(metrics) {
            if let Some(point) = run.metric(key) {
                sum.add(point.value);
            }
        }
    }
}

pub(super) async fn groups(
    State(app): State<Arc<App>>,
    body: Bytes,
) -> Result<Json<Groups>, Error> {
    let asked: GroupQuery = read(&body)?;
    if asked.metrics.len() > MAX_METRICS {
        let given = asked.metrics.len();
        return Err(Error::TooMany { what: "metrics", given, limit: MAX_METRICS });
    }
    let (kind, key) = column(&asked.by)?;
    let mut search = runs::parse(&asked.filter, &[], asked.deleted)?;
    query(&app, move |_, snapshot| {
        search.experiments = runs::wanted(&snapshot.experiments()?, &asked.experiments)?;
        let mut members: HashMap<String, Member> = HashMap::new();
        let found = find_runs(snapshot, &search)?;
        for part in found.chunks(AT_ONCE) {
            for run in &read_runs(snapshot, part)? {
                let value = cell(run, kind, &key);
                // A text and a number never stand in one column, so what they look like tells them
                // apart.
                let name = value.as_ref().map(|value| format!("{value:?}")).unwrap_or_default();
                let sums = || asked.metrics.iter().map(|_| Sum::default()).collect();
                let new = || Member { value, runs: 0, latest_ms: i64::MIN, sums: sums() };
                members.entry(name).or_insert_with(new).add(run, &asked.metrics);
            }
        }
        Ok(Json(largest(members)))
    })
    .await
}

fn largest(members: HashMap<String, Member>) -> Groups {
    let total = members.len() as u64;
    let mut members: Vec<_> = members.into_iter().collect();
    members.sort_by(|(a_name, a), (b_name, b)| b.runs.cmp(&a.runs).then(a_name.cmp(b_name)));
    members.truncate(MAX_GROUPS);
    let group = |(_, member): (String, Member)| Group {
        value: member.value,
        runs: member.runs,
        latest_ms: member.latest_ms,
        metrics: member.sums.iter().map(Sum::spread).collect(),
    };
    Groups { total, groups: members.into_iter().map(group).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(values: &[f64]) -> Sum {
        let mut sum = Sum::default();
        values.iter().for_each(|value| sum.add(*value));
        sum
    }

    #[test]
    fn a_spread_is_of_the_numbers_alone() {
        let spread = sum(&[1.0, f64::NAN, 3.0, f64::INFINITY]).spread().expect("two numbers");
        assert_eq!((spread.count, spread.mean.0), (2, 2.0));
        assert_eq!((spread.min.0, spread.max.0), (1.0, 3.0));
        assert!((spread.deviation.expect("of two").0 - 2f64.sqrt()).abs() < 1e-12);
        assert!(sum(&[f64::NAN]).spread().is_none());
        assert!(sum(&[7.0]).spread().expect("one").deviation.is_none());
    }

    #[test]
    fn a_small_spread_far_from_zero_is_not_lost() {
        let spread = sum(&[1e9 + 1.0, 1e9 + 2.0, 1e9 + 3.0]).spread().expect("three");
        assert!((spread.deviation.expect("of three").0 - 1.0).abs() < 1e-6);
    }
}
