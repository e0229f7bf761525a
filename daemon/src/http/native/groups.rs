//! Groups: the runs of a search taken together by what they have in a column.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::{Extension, Json};
use runmesh_core::api::{Cell, Group, GroupQuery, Groups, Spread, Value};
use runmesh_core::search::{
    ALL_OF_RUNS, Field, Grouped, MetricSpread, RunAttribute, RunGroup, group_runs,
};

use super::error::Error;
use super::table::column;
use super::{devices, query, read, runs};
use crate::app::App;

/// The most groups that are returned: those of most runs.
const MAX_GROUPS: usize = 1_000;
/// The most metrics that one request asks for.
const MAX_METRICS: usize = 100;

pub(super) async fn groups(
    State(app): State<Arc<App>>,
    Extension(known): Extension<Arc<devices::Known>>,
    body: Bytes,
) -> Result<Json<Groups>, Error> {
    let asked: GroupQuery = read(&body)?;
    if asked.metrics.len() > MAX_METRICS {
        let given = asked.metrics.len();
        return Err(Error::TooMany { what: "metrics", given, limit: MAX_METRICS });
    }
    let by = field(&asked.by)?;
    let mut search = runs::parse(&asked.filter, &[], asked.deleted)?;
    query(&app, move |app, snapshot| {
        search.experiments = runs::wanted(&snapshot.experiments()?, &asked.experiments)?;
        devices::tell(app, snapshot, &known, &mut search, Some(&by))?;
        let found = group_runs(snapshot, &search, &by, &asked.metrics)?;
        let total = found.len() as u64;
        Ok(Json(Groups { total, groups: found.into_iter().take(MAX_GROUPS).map(group).collect() }))
    })
    .await
}

/// What runs are grouped by.
fn field(name: &str) -> Result<Field<RunAttribute>, Error> {
    let attribute = name.strip_prefix("attributes.");
    match attribute.and_then(|name| ALL_OF_RUNS.attribute_to_order_by(name)) {
        Some(
            attribute @ (RunAttribute::User
            | RunAttribute::Status
            | RunAttribute::Device
            | RunAttribute::Name),
        ) => Ok(Field::Attribute(attribute)),
        Some(_) => Err(Error::NotAColumn(name.to_owned())),
        None => column(name),
    }
}

fn group(group: RunGroup) -> Group {
    Group {
        value: match group.value {
            Grouped::Nothing => None,
            Grouped::Number(value) => Some(Cell::Number(Value(value))),
            Grouped::Text(text) => Some(Cell::Text(text)),
        },
        runs: group.runs,
        latest_ms: group.latest_ms,
        metrics: group.spreads.into_iter().map(|spread| spread.map(shown)).collect(),
    }
}

fn shown(spread: MetricSpread) -> Spread {
    Spread {
        count: spread.count,
        mean: Value(spread.mean),
        deviation: spread.deviation.map(Value),
        min: Value(spread.min),
        max: Value(spread.max),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_grouped_by_what_can_be_the_same_in_many() {
        assert_eq!(field("params.a.b").ok(), Some(Field::Param("a.b".to_owned())));
        assert_eq!(field("metrics.f1").ok(), Some(Field::Metric("f1".to_owned())));
        let by_device = Field::Attribute(RunAttribute::Device);
        assert_eq!(field("attributes.device").ok(), Some(by_device));
        let by_status = Field::Attribute(RunAttribute::Status);
        assert_eq!(field("attributes.status").ok(), Some(by_status));
        for wrong in ["attributes.start_time", "attributes.run_id", "attributes.x", "loss", ""] {
            assert!(matches!(field(wrong), Err(Error::NotAColumn(_))), "{wrong:?}");
        }
    }
}
