//! Prints what searches cost the store, without HTTP and JSON.
//!
//! `cargo run --release -p runmesh-core --example search_cost [RUNS]`, in a folder on the disk that is
//! to be measured. A run has 20 params, 5 tags and 5 metrics.
#![allow(clippy::print_stdout)] // Printing is what it is for.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use ed25519_dalek::SigningKey;
use runmesh_core::act::{ActKind, workspace_id};
use runmesh_core::action::Action;
use runmesh_core::ids::ExperimentId;
use runmesh_core::search::{RUNS, RunQuery, parse_filter, parse_order, search_runs};
use runmesh_core::store::{SEAL_BYTES, StoreReader};

use self::runs::{NOW, Outcome, actions, device, store};

mod runs;

/// How often each search is done; the median counts.
const TIMES: usize = 15;

/// Title, filter and order. Values of params and tags are 0 to 96, those of metrics grow from run
/// to run.
const SEARCHES: [(&str, &str, &str); 9] = [
    ("latest 50", "", ""),
    ("top 50 by a metric, range on another", "metrics.metric_0 > 1000", "metrics.metric_1 DESC"),
    ("50 of one value: 1 of 97", "params.param_3 = '5'", ""),
    (
        "50 of one value, which the latest have not",
        "metrics.metric_0 < 700 AND tags.tag_0 = '5'",
        "",
    ),
    (
        "50 of three clauses",
        "params.param_3 LIKE '5%' AND tags.tag_0 LIKE '1%' AND metrics.metric_0 > 5",
        "",
    ),
    ("50 sorted by a param of 97 values", "", "params.param_7"),
    ("scan: LIKE '%...%' that no tag matches", "tags.tag_1 LIKE '%x%'", ""),
    ("scan: status that no run has", "attributes.status = 'FAILED'", ""),
    ("scan: a tag's value that is another", "tags.tag_2 != 'x' AND tags.tag_1 LIKE '%y%'", ""),
];

fn median(mut took: Vec<Duration>) -> Duration {
    took.sort_unstable();
    took[took.len() / 2]
}

/// The first time, which may read columns into memory, the median of all, and how many were found.
fn search(reader: &StoreReader, query: &RunQuery) -> Outcome<(Duration, Duration, usize)> {
    let mut took = Vec::with_capacity(TIMES);
    let mut found = 0;
    for _ in 0..TIMES {
        let started = Instant::now();
        found = search_runs(&reader.snapshot()?, query)?.runs.len();
        took.push(started.elapsed());
    }
    Ok((took[0], median(took), found))
}

/// Reads all runs, a thousand at a time, each page from where the last ended.
fn pages(reader: &StoreReader, query: &RunQuery) -> Outcome<(Duration, usize)> {
    let started = Instant::now();
    let (mut after, mut found) = (None, 0);
    loop {
        let query = RunQuery { after, limit: 1_000, ..query.clone() };
        let page = search_runs(&reader.snapshot()?, &query)?;
        found += page.runs.len();
        if !page.end.more {
            return Ok((started.elapsed(), found));
        }
        after = page.end.place;
    }
}

fn main() -> Outcome<()> {
    let runs: u64 = std::env::args().nth(1).map_or(Ok(100_000), |text| text.parse())?;
    let root = Path::new("target/search_cost");
    let (ann, nonce) = (SigningKey::from_bytes(&[1; 32]), [9; 16]);
    let found = ActKind::Found { nonce, name: "lab".into(), device_name: "ann".into() };
    let mut held = store(&root.join("ann"), &ann, workspace_id(&device(&ann), &nonce), found)?;
    for group in (0..runs).collect::<Vec<_>>().chunks(500) {
        let actions: Vec<Action> = group.iter().flat_map(|number| actions(*number)).collect();
        for answer in held.write(NOW, actions)? {
            answer?;
        }
        if held.unsealed_bytes() >= SEAL_BYTES {
            held.seal(NOW)?;
        }
    }
    let reader = held.reader();
    let all =
        RunQuery { experiments: vec![ExperimentId::DEFAULT], limit: 50, ..RunQuery::default() };
    for (title, filter, order) in SEARCHES {
        let order: Vec<&str> = Some(order).filter(|order| !order.is_empty()).into_iter().collect();
        let clauses = parse_filter(&RUNS, filter)?;
        let query = RunQuery { clauses, order: parse_order(&RUNS, &order)?, ..all.clone() };
        let (first, took, found) = search(&reader, &query)?;
        let rate = runs as f64 / took.as_secs_f64();
        println!(
            "{title:44} {:9.3} ms, {found} found; {rate:.0} runs/s; the first time {:.1} ms",
            took.as_secs_f64() * 1e3,
            first.as_secs_f64() * 1e3
        );
    }
    let (took, found) = pages(&reader, &all)?;
    let rate = found as f64 / took.as_secs_f64();
    println!(
        "{:44} {:9.3} ms, {found} found; {rate:.0} runs/s",
        "all by pages of 1,000",
        took.as_secs_f64() * 1e3
    );
    drop((held, reader));
    Ok(fs::remove_dir_all(root)?)
}
