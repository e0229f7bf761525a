//! Searching runs against its definition: read every row, filter, sort, slice.

use std::cmp::Ordering;

use proptest::prelude::*;
use redb::backends::InMemoryBackend;
use redb::{Database, ReadableDatabase};

use super::*;
use crate::ids::{ExperimentId, RunId};
use crate::index::{RunIndex, run_changes};
use crate::rows::{
    DatasetInput, KeyValue, Lifecycle, Metric, MetricContext, Point, RunRow, RunStatus,
};
use crate::store::{Snapshot, StoreError};

const CONTEXT_TAG: &str = "used.for";

/// The database must outlive its snapshots.
fn holding(rows: &[RunRow]) -> Result<(Database, Snapshot), StoreError> {
    let db = Database::builder().create_with_backend(InMemoryBackend::new())?;
    put(&db, rows, (3, usize::MAX))?;
    let snapshot = Snapshot::new(db.begin_read()?);
    Ok((db, snapshot))
}

/// Puts rows, in columns if so many in a block are loose and all of it takes no more than so much.
fn put(db: &Database, rows: &[RunRow], (fold_at, bytes): (u32, usize)) -> Result<(), StoreError> {
    let txn = db.begin_write()?;
    crate::store::tables::create_all(&txn)?;
    {
        let mut index = RunIndex::open(&txn)?.folding_at(fold_at, bytes);
        let mut numbers = Vec::new();
        for row in rows {
            let number = index.assign(&row.id)?;
            let old = index.row(number)?;
            index.put(number, old.as_ref(), row)?;
            numbers.push(number);
        }
        index.flush()?;
        run_changes::note(&txn, numbers.into_iter())?;
    }
    Ok(txn.commit()?)
}

/// Takes a run's row out.
fn forget(db: &Database, run: &RunId, (fold_at, bytes): (u32, usize)) -> Result<(), StoreError> {
    let txn = db.begin_write()?;
    {
        let mut index = RunIndex::open(&txn)?.folding_at(fold_at, bytes);
        let number = index.number_of(run)?.expect("a run that was put has a number");
        index.forget(number)?;
        index.flush()?;
        run_changes::note(&txn, std::iter::once(number))?;
    }
    Ok(txn.commit()?)
}

/// What a search is defined to answer, written without a thought of the index.
fn reference(rows: &[RunRow], query: &RunQuery) -> RunPage {
    let mut found: Vec<&RunRow> = rows
        .iter()
        .filter(|row| query.experiments.contains(&row.experiment))
        .filter(|row| match query.view {
            ViewType::ActiveOnly => row.lifecycle == Lifecycle::Active,
            ViewType::DeletedOnly => row.lifecycle == Lifecycle::Deleted,
            ViewType::All => true,
        })
        .filter(|row| query.clauses.iter().all(|clause| holds(row, clause, query)))
        .collect();
    found.sort_by(|a, b| compare(a, b, query));
    let rest = found.iter().skip(query.offset);
    RunPage {
        runs: rest.clone().take(query.limit).map(|row| (*row).clone()).collect(),
        end: PageEnd { more: rest.count() > query.limit, place: None },
    }
}

enum Held {
    Number(Option<f64>),
    Text(Option<String>),
}

fn held(row: &RunRow, field: &Field<RunAttribute>, query: &RunQuery) -> Held {
    let text = |text: &str| Held::Text(Some(text.to_owned()));
    match field {
        Field::Metric(key) => Held::Number(row.metric(key).map(|point| point.value)),
        Field::Param(key) => Held::Text(row.param(key).map(str::to_owned)),
        Field::Tag(key) => Held::Text(row.tag(key).map(str::to_owned)),
        Field::Attribute(attribute) => match attribute {
            RunAttribute::Id => text(&row.id.to_string()),
            RunAttribute::Name => text(&row.name),
            RunAttribute::User => text(&row.user),
            RunAttribute::Status => text(row.status.as_str()),
            RunAttribute::StartTime => Held::Number(Some(row.start_ms as f64)),
            RunAttribute::EndTime => Held::Number(row.end_ms.map(|ms| ms as f64)),
            RunAttribute::Duration => Held::Number(row.end_ms.map(|ms| (ms - row.start_ms) as f64)),
            RunAttribute::ArtifactUri => {
                let root = query.artifact_roots.get(&row.experiment);
                Held::Text(root.map(|root| format!("{root}/{}/artifacts", row.id)))
            }
            RunAttribute::Device => {
                let told = *query.devices != RunDevices::default();
                Held::Text(device_of(&row.id).filter(|_| told).map(str::to_owned))
            }
            RunAttribute::Description if row.description.is_empty() => Held::Text(None),
            RunAttribute::Description => text(&row.description),
        },
        Field::Dataset(_) => Held::Text(None),
    }
}

fn holds(row: &RunRow, clause: &Clause<RunAttribute>, query: &RunQuery) -> bool {
    if let Field::Dataset(field) = &clause.field {
        return row.datasets.iter().any(|dataset| {
            let value = match field {
                DatasetField::Name => Some(dataset.name.as_str()),
                DatasetField::Digest => Some(dataset.digest.as_str()),
                DatasetField::Context => crate::rows::lookup(&dataset.tags, CONTEXT_TAG),
            };
            clause.condition.holds_for_text(value)
        });
    }
    match held(row, &clause.field, query) {
        Held::Number(value) => clause.condition.holds_for_number(value),
        Held::Text(value) => clause.condition.holds_for_text(value.as_deref()),
    }
}

fn compare(a: &RunRow, b: &RunRow, query: &RunQuery) -> Ordering {
    let directed = |order: Ordering, ascending| if ascending { order } else { order.reverse() };
    for Order { field, ascending } in &query.order {
        let order = match (held(a, field, query), held(b, field, query)) {
            (Held::Number(Some(a)), Held::Number(Some(b))) if !a.is_nan() && !b.is_nan() => {
                directed(a.partial_cmp(&b).expect("neither is NaN"), *ascending)
            }
            (Held::Text(Some(a)), Held::Text(Some(b))) => directed(a.cmp(&b), *ascending),
            (Held::Number(a), Held::Number(b)) => {
                let class = |value: Option<f64>| value.map_or(2, |value| i32::from(value.is_nan()));
                class(a).cmp(&class(b))
            }
            (Held::Text(a), Held::Text(b)) => a.is_none().cmp(&b.is_none()),
            _ => unreachable!("a field is always of one kind"),
        };
        if order.is_ne() {
            return order;
        }
    }
    b.start_ms.cmp(&a.start_ms).then(a.id.cmp(&b.id))
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[abA]{0,2}",
        1 => "x{31}[ab]{0,3}",
        1 => "é{15,17}[ab]{0,2}",
        1 => "a\0[ab]{0,1}",
    ]
}

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => (-2i32..3).prop_map(f64::from),
        1 => Just(f64::NAN),
        1 => Just(-0.0),
        1 => prop_oneof![Just(f64::INFINITY), Just(f64::NEG_INFINITY)],
    ]
}

fn pairs() -> impl Strategy<Value = Vec<KeyValue>> {
    prop::collection::btree_map("[ab]", text(), 0..3)
        .prop_map(|map| map.into_iter().map(|(key, value)| KeyValue { key, value }).collect())
}

fn metrics() -> impl Strategy<Value = Vec<Metric>> {
    let series = ("[ab]", prop_oneof![2 => Just(""), 1 => Just("m-1")]);
    prop::collection::btree_map(series, (0i64..3, number()), 0..4).prop_map(|map| {
        map.into_iter()
            .map(|((key, model), (step, value))| Metric {
                key,
                context: MetricContext { model_id: model.into(), ..MetricContext::default() },
                point: Point { step, timestamp_ms: 0, value },
            })
            .collect()
    })
}

fn datasets() -> impl Strategy<Value = Vec<DatasetInput>> {
    let dataset = (text(), prop::option::of(text())).prop_map(|(name, used_for)| DatasetInput {
        digest: format!("d{}", name.len()),
        name,
        source_type: "local".into(),
        source: "{}".into(),
        schema: None,
        profile: Some("{}".into()),
        tags: used_for.into_iter().map(|value| KeyValue::new(CONTEXT_TAG, value)).collect(),
    });
    prop::collection::vec(dataset, 0..2)
}

fn rows() -> impl Strategy<Value = Vec<RunRow>> {
    let status = prop::sample::select(&RunStatus::ALL[..]);
    let words = (text(), text(), text(), status);
    let times = (0i64..4, prop::option::of(0i64..4), any::<bool>(), 0u64..3);
    let row = (words, times, pairs(), pairs(), metrics(), datasets());
    prop::collection::vec((any::<[u8; 2]>(), row), 0..40).prop_map(|rows| {
        rows.into_iter()
            .enumerate()
            .map(|(n, (random, (words, times, params, tags, metrics, datasets)))| {
                let (name, user, description, status) = words;
                let (start_ms, end_ms, deleted, experiment) = times;
                let mut id = [n as u8; 16];
                id[..2].copy_from_slice(&random);
                RunRow {
                    id: RunId::new(id),
                    experiment: ExperimentId(experiment),
                    name,
                    user,
                    status,
                    lifecycle: if deleted { Lifecycle::Deleted } else { Lifecycle::Active },
                    start_ms,
                    end_ms,
                    deleted_ms: deleted.then_some(1),
                    description,
                    params,
                    tags,
                    metrics,
                    datasets,
                    model_inputs: Vec::new(),
                    model_outputs: Vec::new(),
                    conflicted_params: vec!["a".into()],
                }
            })
            .collect()
    })
}

fn relation() -> impl Strategy<Value = Relation> {
    prop::sample::select(
        &[
            Relation::Equal,
            Relation::NotEqual,
            Relation::Less,
            Relation::LessOrEqual,
            Relation::Greater,
            Relation::GreaterOrEqual,
        ][..],
    )
}

fn number_condition() -> impl Strategy<Value = Condition> {
    let value = prop_oneof![3 => number(), 1 => -2.0..3.0];
    (relation(), value).prop_map(|(relation, value)| Condition::Number(relation, value))
}

fn text_condition() -> impl Strategy<Value = Condition> {
    prop_oneof![
        3 => text().prop_map(Condition::Equal),
        1 => text().prop_map(Condition::NotEqual),
        2 => (text(), "[%_a]{0,2}")
            .prop_map(|(start, end)| Condition::Like(Pattern::like(&(start + &end)))),
        1 => "[%_abA]{0,3}".prop_map(|pattern| Condition::Like(Pattern::ilike(&pattern))),
        1 => prop::collection::vec(text(), 1..3).prop_map(Condition::In),
        1 => prop::collection::vec(text(), 1..3).prop_map(Condition::NotIn),
        1 => Just(Condition::IsNull),
        1 => Just(Condition::IsNotNull),
    ]
}

fn number_field() -> impl Strategy<Value = Field<RunAttribute>> {
    prop_oneof![
        // No run has a metric `c`.
        3 => "[abc]".prop_map(Field::Metric),
        1 => Just(Field::Attribute(RunAttribute::StartTime)),
        1 => Just(Field::Attribute(RunAttribute::EndTime)),
        1 => Just(Field::Attribute(RunAttribute::Duration)),
    ]
}

fn text_field() -> impl Strategy<Value = Field<RunAttribute>> {
    let attributes = &[
        RunAttribute::Id,
        RunAttribute::Name,
        RunAttribute::User,
        RunAttribute::Status,
        RunAttribute::ArtifactUri,
        RunAttribute::Device,
        RunAttribute::Description,
    ][..];
    prop_oneof![
        2 => "[abc]".prop_map(Field::Param),
        2 => "[abc]".prop_map(Field::Tag),
        1 => prop::sample::select(attributes).prop_map(Field::Attribute),
    ]
}

fn clause() -> impl Strategy<Value = Clause<RunAttribute>> {
    let dataset = prop::sample::select(
        &[DatasetField::Name, DatasetField::Digest, DatasetField::Context][..],
    );
    prop_oneof![
        3 => (number_field(), number_condition()),
        3 => (text_field(), text_condition()),
        1 => (dataset.prop_map(Field::Dataset), text_condition()),
    ]
    .prop_map(|(field, condition)| Clause { field, condition })
}

fn query() -> impl Strategy<Value = RunQuery> {
    let order = (prop_oneof![number_field(), text_field()], any::<bool>())
        .prop_map(|(field, ascending)| Order { field, ascending });
    (
        prop::collection::vec((0u64..4).prop_map(ExperimentId), 0..4),
        prop::sample::select(&[ViewType::ActiveOnly, ViewType::DeletedOnly, ViewType::All][..]),
        prop::collection::vec(clause(), 0..3),
        prop::collection::vec(order, 0..3),
        prop_oneof![2 => Just(0), 1 => 0usize..20],
        prop_oneof![2 => 0usize..4, 1 => Just(100), 1 => Just(usize::MAX)],
    )
        .prop_map(|(experiments, view, clauses, order, offset, limit)| RunQuery {
            experiments,
            view,
            clauses,
            order,
            offset,
            limit,
            after: None,
            artifact_roots: [(ExperimentId(1), "files:/1".to_owned())].into(),
            devices: Default::default(),
            dataset_context_tag: CONTEXT_TAG.into(),
        })
}

const DEVICE: Field<RunAttribute> = Field::Attribute(RunAttribute::Device);

/// What the device of a run is called: some have one name, one a long one, and some are not told.
fn device_of(run: &RunId) -> Option<&'static str> {
    const LONG: &str = "the machine under the desk of whoever came last";
    [None, Some("b"), Some("a"), Some("b"), Some(LONG)][usize::from(run.as_bytes()[1]) % 5]
}

/// A query that was told the devices of runs, as far as they are in the index.
fn told(query: RunQuery, snapshot: &Snapshot, rows: &[RunRow]) -> RunQuery {
    let mut devices = RunDevices::default();
    for row in rows {
        let number = snapshot.run_number(&row.id).expect("memory does not fail");
        if let Some((number, device)) = number.zip(device_of(&row.id)) {
            devices.tell(number, device.into());
        }
    }
    RunQuery { devices: std::sync::Arc::new(devices), ..query }
}

fn found_ids(snapshot: &Snapshot, query: &RunQuery) -> Vec<RunId> {
    let numbers = find_runs(snapshot, query).expect("the index reads");
    let runs = read_runs(snapshot, &numbers).expect("rows read");
    runs.iter().map(|(_, row)| row.id).collect()
}

/// What grouping is defined to answer: groups by what their text shows, and what each metric is there.
type Members = (u64, i64, Vec<Vec<f64>>);
fn reference_groups(
    rows: &[RunRow],
    query: &RunQuery,
    by: &Field<RunAttribute>,
    metrics: &[String],
) -> std::collections::BTreeMap<String, Members> {
    let query = RunQuery { offset: 0, limit: usize::MAX, ..query.clone() };
    let mut groups = std::collections::BTreeMap::<String, Members>::new();
    for row in &reference(rows, &query).runs {
        let value = match held(row, by, &query) {
            Held::Number(Some(value)) if matches!(by, Field::Metric(_)) => {
                Grouped::Number(value + 0.0)
            }
            Held::Text(Some(text)) => Grouped::Text(text),
            _ => Grouped::Nothing,
        };
        let none = || (0, i64::MIN, vec![Vec::new(); metrics.len()]);
        let group = groups.entry(format!("{value:?}")).or_insert_with(none);
        group.0 += 1;
        group.1 = group.1.max(row.start_ms);
        for (values, key) in group.2.iter_mut().zip(metrics) {
            values.extend(row.metric(key).map(|point| point.value).filter(|v| v.is_finite()));
        }
    }
    groups
}

fn same_spread(values: &[f64], spread: Option<&MetricSpread>) -> bool {
    let Some(spread) = spread else { return values.is_empty() };
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let near = |a: f64, b: f64| (a - b).abs() < 1e-9;
    let deviation = (values.len() > 1).then(|| (squares / (count - 1.0)).sqrt());
    spread.count == values.len() as u64
        && near(spread.mean, mean)
        && spread.min == values.iter().copied().fold(f64::INFINITY, f64::min)
        && spread.max == values.iter().copied().fold(f64::NEG_INFINITY, f64::max)
        && spread.deviation.is_some() == deviation.is_some()
        && near(spread.deviation.unwrap_or(0.0), deviation.unwrap_or(0.0))
}

/// Whether grouping answers what it is defined to.
fn groups_as_defined(
    snapshot: &Snapshot,
    rows: &[RunRow],
    query: &RunQuery,
    by: &Field<RunAttribute>,
) -> bool {
    let metrics = ["a", "b", "c"].map(str::to_owned);
    let groups = group_runs(snapshot, query, by, &metrics).expect("memory does not fail");
    let expected = reference_groups(rows, query, by, &metrics);
    groups.is_sorted_by(|a, b| a.runs >= b.runs)
        && groups.len() == expected.len()
        && groups.iter().all(|group| {
            expected.get(&format!("{:?}", group.value)).is_some_and(|(runs, latest, values)| {
                let spreads = values.iter().zip(&group.spreads);
                (group.runs, group.latest_ms) == (*runs, *latest)
                    && spreads.clone().count() == metrics.len()
                    && spreads.clone().all(|(values, spread)| same_spread(values, spread.as_ref()))
            })
        })
}

fn group_field() -> impl Strategy<Value = Field<RunAttribute>> {
    prop_oneof![1 => number_field(), 2 => text_field()]
}

/// By their text: NaN is not equal to itself.
fn shown(page: &RunPage) -> String {
    format!("{:?} {}", page.runs, page.end.more)
}

/// What counting is defined to answer.
fn counts(rows: &[RunRow]) -> std::collections::BTreeMap<ExperimentId, u64> {
    let mut counts = std::collections::BTreeMap::new();
    for row in rows.iter().filter(|row| row.lifecycle == Lifecycle::Active) {
        *counts.entry(row.experiment).or_default() += 1;
    }
    counts
}

/// Reads a query page by page, each from where the last one ended.
fn read_in_pages(
    snapshots: &mut impl FnMut() -> Snapshot,
    query: &RunQuery,
    limit: usize,
) -> Result<Vec<RunRow>, StoreError> {
    let (mut runs, mut after) = (Vec::new(), None);
    loop {
        let query = RunQuery { after, limit, ..query.clone() };
        let page = search_runs(&snapshots(), &query)?;
        runs.extend(page.runs);
        if !page.end.more {
            return Ok(runs);
        }
        after = page.end.place;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn the_index_answers_what_reading_every_row_does(
        rows in rows(), queries in prop::collection::vec((query(), group_field()), 40),
    ) {
        let (_db, snapshot) = holding(&rows).expect("memory does not fail");
        for (query, by) in queries {
            let query = told(query, &snapshot, &rows);
            let others = query.clauses.iter().filter(|clause| clause.field != DEVICE);
            let others = RunQuery { clauses: others.cloned().collect(), ..query.clone() };
            let others = RunQuery { offset: 0, limit: usize::MAX, ..others };
            let mut ids: Vec<_> = reference(&rows, &others).runs.iter().map(|row| row.id).collect();
            let to_tell = find_for_devices(&snapshot, &query).expect("memory does not fail");
            let to_tell = read_ids(&snapshot, &to_tell).expect("memory does not fail");
            let mut to_tell: Vec<_> = to_tell.into_iter().flatten().collect();
            ids.sort_unstable();
            to_tell.sort_unstable();
            prop_assert_eq!(to_tell, ids, "{:?}", query);
            prop_assert!(groups_as_defined(&snapshot, &rows, &query, &by), "{by:?} {query:?}");
            let page = search_runs(&snapshot, &query).expect("memory does not fail");
            prop_assert_eq!(shown(&page), shown(&reference(&rows, &query)), "{:?}", query);
            let ids = found_ids(&snapshot, &query);
            let all = RunQuery { offset: 0, limit: usize::MAX, ..query };
            let all: Vec<_> = reference(&rows, &all).runs.iter().map(|row| row.id).collect();
            prop_assert_eq!(ids, all);
        }
    }

    #[test]
    fn pages_are_parts_of_the_whole(rows in rows(), query in query(), limit in 1usize..5) {
        let (db, snapshot) = holding(&rows).expect("memory does not fail");
        let whole = RunQuery { offset: 0, limit: usize::MAX, ..query.clone() };
        let whole = search_runs(&snapshot, &whole).expect("memory does not fail");
        let mut pages = RunPage { end: PageEnd { more: true, place: None }, ..RunPage::default() };
        while pages.end.more {
            let query = RunQuery { offset: pages.runs.len(), limit, ..query.clone() };
            let page = search_runs(&snapshot, &query).expect("memory does not fail");
            pages.runs.extend(page.runs);
            pages.end = page.end;
        }
        prop_assert_eq!(shown(&pages), shown(&whole));
        let query = RunQuery { offset: 0, ..query };
        let mut snapshots = || Snapshot::new(db.begin_read().expect("memory does not fail"));
        let runs = read_in_pages(&mut snapshots, &query, limit).expect("memory does not fail");
        prop_assert_eq!(shown(&RunPage { runs, ..RunPage::default() }), shown(&whole));
    }

    #[test]
    fn columns_in_memory_answer_what_reading_every_row_does(
        rows in rows(),
        steps in prop::collection::vec(
            (
                prop::collection::vec((query(), group_field()), 4),
                0usize..12,
                prop::collection::vec(0usize..9, 0..3),
            ),
            1..8,
        ),
        limit in 1usize..5,
        fold_at in (1u32..9, prop_oneof![3 => Just(usize::MAX), 1 => 0usize..2_000]),
        max_ranked in 0usize..6,
    ) {
        let db = Database::builder()
            .create_with_backend(InMemoryBackend::new())
            .expect("memory does not fail");
        let columns = std::sync::Arc::new(RunColumns::eager(max_ranked));
        let mut snapshots = || {
            let txn = db.begin_read().expect("memory does not fail");
            Snapshot::with_columns(txn, std::sync::Arc::clone(&columns))
        };
        put(&db, &[], fold_at).expect("memory does not fail");
        let mut held = Vec::<RunRow>::new();
        let mut older: Option<(Snapshot, Vec<RunRow>)> = None;
        for (at, (queries, changes, gone)) in steps.into_iter().enumerate() {
            for place in gone {
                if place < held.len() {
                    let row = held.swap_remove(place);
                    forget(&db, &row.id, fold_at).expect("memory does not fail");
                }
            }
            for row in rows.iter().cycle().skip(at * 7).take(changes.min(rows.len())) {
                // A run that is there takes what another says.
                let row = match held.iter().position(|other| other.id == row.id) {
                    Some(found) => {
                        let row = RunRow { id: row.id, ..rows[(found + at) % rows.len()].clone() };
                        held[found] = row.clone();
                        row
                    }
                    None => {
                        held.push(row.clone());
                        row.clone()
                    }
                };
                put(&db, &[row], fold_at).expect("memory does not fail");
            }
            for (query, by) in queries {
                let query = told(query, &snapshots(), &rows);
                let page = search_runs(&snapshots(), &query).expect("memory does not fail");
                prop_assert_eq!(shown(&page), shown(&reference(&held, &query)), "{:?}", query);
                let grouped = groups_as_defined(&snapshots(), &held, &query, &by);
                prop_assert!(grouped, "{by:?} {query:?}");
                let whole = RunQuery { offset: 0, limit: usize::MAX, ..query.clone() };
                let query = RunQuery { offset: 0, ..query };
                let runs = read_in_pages(&mut snapshots, &query, limit).expect("memory");
                let page = RunPage { runs, ..RunPage::default() };
                prop_assert_eq!(shown(&page), shown(&reference(&held, &whole)), "{:?}", query);
                let ids: Vec<_> = page.runs.iter().map(|row| row.id).collect();
                prop_assert_eq!(found_ids(&snapshots(), &query), ids, "{:?}", query);
                prop_assert_eq!(count_runs(&snapshots()).expect("memory"), counts(&held));
                if let Some((snapshot, held)) = &older {
                    let page = search_runs(snapshot, &query).expect("memory does not fail");
                    prop_assert_eq!(shown(&page), shown(&reference(held, &query)));
                    prop_assert!(groups_as_defined(snapshot, held, &query, &by));
                    prop_assert_eq!(count_runs(snapshot).expect("memory"), counts(held));
                }
            }
            older = Some((snapshots(), held.clone()));
        }
    }

    #[test]
    fn what_is_there_all_the_time_is_on_one_page_however_many_come_and_go(
        rows in rows(), query in query(), limit in 1usize..5, seed: u64,
    ) {
        // Half the runs are there from page to page; the others come and go.
        let query = RunQuery { offset: 0, ..query };
        let (stay, flit): (Vec<_>, Vec<_>) =
            rows.into_iter().partition(|row| row.id.as_bytes()[15] % 2 == 0);
        let whole = RunQuery { limit: usize::MAX, ..query.clone() };
        let wanted = reference(&stay, &whole);
        let mut held = Vec::new();
        let mut state = seed;
        let mut snapshots = || {
            let mut now = stay.clone();
            now.extend(flit.iter().filter(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                state >> 63 == 1
            }).cloned());
            let (db, snapshot) = holding(&now).expect("memory does not fail");
            held.push(db);
            snapshot
        };
        let mut runs =
            read_in_pages(&mut snapshots, &query, limit).expect("memory does not fail");
        runs.retain(|run| stay.iter().any(|row| row.id == run.id));
        let page = RunPage { runs, ..RunPage::default() };
        prop_assert_eq!(shown(&page), shown(&wanted), "{:?}", query);
    }
}

/// Enough runs that a walk goes on from columns.
#[test]
fn many_runs_are_found_in_order_by_every_plan() -> Result<(), StoreError> {
    let row = |n: u64| {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
        let value = match n % 7 {
            0 => f64::NAN,
            rest => (n * 37 % 1_001) as f64 / rest as f64,
        };
        let metric = Metric {
            key: "loss".into(),
            context: MetricContext::default(),
            point: Point { step: 0, timestamp_ms: 0, value },
        };
        RunRow {
            id: RunId::new(id),
            experiment: ExperimentId(n % 3),
            name: format!("run-{n}"),
            user: String::new(),
            status: RunStatus::ALL[(n % 5) as usize],
            lifecycle: if n % 10 == 3 { Lifecycle::Deleted } else { Lifecycle::Active },
            start_ms: (n / 3) as i64,
            end_ms: None,
            deleted_ms: None,
            description: String::new(),
            params: vec![KeyValue::new("depth", (n % 4).to_string())],
            tags: vec![KeyValue::new("host", format!("{}-{}", "h".repeat(31), n % 50))],
            metrics: if n.is_multiple_of(4) { Vec::new() } else { vec![metric] },
            datasets: Vec::new(),
            model_inputs: Vec::new(),
            model_outputs: Vec::new(),
            conflicted_params: Vec::new(),
        }
    };
    let rows: Vec<RunRow> = (0..6_000).map(row).collect();
    let (db, snapshot) = holding(&rows)?;
    let columns = std::sync::Arc::new(RunColumns::default());
    for filter in [
        "",
        "params.depth = '1'",
        "metrics.loss > 10 AND metrics.loss <= 90.5",
        "metrics.loss != 7 AND status = 'FINISHED'",
        "tags.host = 'hhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh-7'",
        "tags.host LIKE 'hhhh%-4_' AND params.depth IS NOT NULL",
        "start_time < 40.5 AND metrics.loss > 1",
        "metrics.loss > 3 AND metrics.loss < 2",
        "params.none = 'x'",
        "run_name LIKE '%7'",
    ] {
        for order in [
            &[][..],
            &["metrics.loss"],
            &["metrics.loss DESC", "params.depth"],
            &["tags.host", "start_time"],
            &["params.none DESC"],
            &["status", "metrics.loss DESC"],
            &["start_time"],
        ] {
            for (offset, limit) in [(0, 20), (1_970, 50), (0, 10_000)] {
                let query = RunQuery {
                    experiments: vec![ExperimentId(2), ExperimentId(0), ExperimentId(2)],
                    clauses: parse_filter(&RUNS, filter).expect("a filter"),
                    order: parse_order(&RUNS, order).expect("an order"),
                    offset,
                    limit,
                    ..RunQuery::default()
                };
                let page = search_runs(&snapshot, &query)?;
                let same = shown(&page) == shown(&reference(&rows, &query));
                assert!(same, "{filter:?} {order:?} {offset} {limit}");
                let columns = std::sync::Arc::clone(&columns);
                let snapshot = Snapshot::with_columns(db.begin_read()?, columns);
                let same = shown(&search_runs(&snapshot, &query)?) == shown(&page);
                assert!(same, "{filter:?} {order:?} {offset} {limit} from columns");
            }
            let query = RunQuery {
                experiments: vec![ExperimentId(1)],
                clauses: parse_filter(&RUNS, filter).expect("a filter"),
                order: parse_order(&RUNS, order).expect("an order"),
                ..RunQuery::default()
            };
            let mut snapshots = || Snapshot::new(db.begin_read().expect("memory does not fail"));
            let runs = read_in_pages(&mut snapshots, &query, 300)?;
            let whole = reference(&rows, &RunQuery { limit: usize::MAX, ..query });
            let page = RunPage { runs, ..RunPage::default() };
            assert!(shown(&page) == shown(&whole), "{filter:?} {order:?} in pages");
        }
    }
    Ok(())
}

#[test]
fn a_protocol_maps_its_tags_to_attributes() -> Result<(), StoreError> {
    let mut query = RunQuery {
        clauses: parse_filter(&RUNS, "tags.`their.name` = 'a'").expect("a filter"),
        order: parse_order(&RUNS, &["tags.their.note"]).expect("an order"),
        ..RunQuery::default()
    };
    query.map_fields(|field| match field {
        Field::Tag(key) if key == "their.name" => Field::Attribute(RunAttribute::Name),
        Field::Tag(key) if key == "their.note" => Field::Attribute(RunAttribute::Description),
        other => other,
    });
    assert!(query.names(&Field::Attribute(RunAttribute::Name)));
    assert!(query.names(&Field::Attribute(RunAttribute::Description)));
    assert!(!query.names(&Field::Attribute(RunAttribute::ArtifactUri)));
    Ok(())
}
