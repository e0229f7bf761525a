//! Prints what a run costs in the index: time per new run and per metric, bytes in the file.
//!
//! `cargo run --release -p runmesh-core --example index_cost [RUNS]`

#![allow(clippy::print_stdout)]

use std::time::{Duration, Instant};

use redb::Database;
use runmesh_core::ids::{ExperimentId, RunId};
use runmesh_core::index::RunIndex;
use runmesh_core::rows::{KeyValue, Lifecycle, Metric, MetricContext, Point, RunRow, RunStatus};

const RUNS_PER_COMMIT: u64 = 100;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runs: u64 = std::env::args().nth(1).map_or(Ok(10_000), |count| count.parse())?;
    let path = std::env::temp_dir().join(format!("runmesh-index-cost-{}.redb", std::process::id()));
    let db = Database::create(&path)?;

    let (mut put, mut commit) = (Duration::ZERO, Duration::ZERO);
    for first in (0..runs).step_by(RUNS_PER_COMMIT as usize) {
        let txn = db.begin_write()?;
        let started = Instant::now();
        {
            let mut index = RunIndex::open(&txn)?;
            for n in first..runs.min(first + RUNS_PER_COMMIT) {
                let row = run(n);
                let number = index.assign(&row.id)?;
                index.put(number, None, &row)?;
            }
            index.flush()?;
        }
        put += started.elapsed();
        let started = Instant::now();
        txn.commit()?;
        commit += started.elapsed();
    }
    report("new run", runs, put, commit);
    let bytes = std::fs::metadata(&path)?.len();

    let (mut put, mut commit) = (Duration::ZERO, Duration::ZERO);
    for first in (0..runs).step_by(RUNS_PER_COMMIT as usize) {
        let txn = db.begin_write()?;
        let started = Instant::now();
        {
            let mut index = RunIndex::open(&txn)?;
            for n in first..runs.min(first + RUNS_PER_COMMIT) {
                let number = index.number_of(&run_id(n))?.expect("it was assigned");
                let old = index.row(number)?.expect("it was put");
                let mut new = old.clone();
                new.metrics[2].point.step += 1;
                new.metrics[2].point.value *= 0.9;
                index.put(number, Some(&old), &new)?;
            }
            index.flush()?;
        }
        put += started.elapsed();
        let started = Instant::now();
        txn.commit()?;
        commit += started.elapsed();
    }
    report("metric of an existing run", runs, put, commit);

    let row_bytes = postcard::to_allocvec(&run(1))?.len();
    println!("a row: {row_bytes} bytes; the file: {} bytes per run of {runs}", bytes / runs);
    drop(db);
    let mut db = Database::create(&path)?;
    db.compact()?;
    drop(db);
    println!("compacted: {} bytes per run", std::fs::metadata(&path)?.len() / runs);
    std::fs::remove_file(&path)?;
    Ok(())
}

fn report(what: &str, count: u64, put: Duration, commit: Duration) {
    let each = |spent: Duration| spent.as_secs_f64() * 1e6 / count as f64;
    println!(
        "{what}: {:.1} us to put, {:.1} us of a commit shared by {RUNS_PER_COMMIT}",
        each(put),
        each(commit)
    );
}

/// A number that looks random and is the same every time (splitmix64).
fn scrambled(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn run_id(n: u64) -> RunId {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&scrambled(n).to_be_bytes());
    RunId::new(id)
}

/// A run with 20 params, 5 tags and 5 metrics.
fn run(n: u64) -> RunRow {
    let random = |of: u64| scrambled(n * 64 + of);
    let param = |p: u64| KeyValue::new(format!("param_{p:02}"), (random(p) % 1_000).to_string());
    let tag = |t: u64| KeyValue::new(format!("tag_{t}"), format!("value {}", random(30 + t) % 50));
    let metric = |m: u64| Metric {
        key: format!("metric_{m}"),
        context: MetricContext::default(),
        point: Point {
            step: 100,
            timestamp_ms: 1_700_000_000_000 + n as i64,
            value: (random(40 + m) >> 11) as f64 / (1u64 << 53) as f64,
        },
    };
    RunRow {
        id: run_id(n),
        experiment: ExperimentId(0),
        name: format!("able-fox-{n}"),
        user: "ann".into(),
        status: RunStatus::Finished,
        lifecycle: Lifecycle::Active,
        start_ms: 1_700_000_000_000 + n as i64,
        end_ms: Some(1_700_000_060_000 + n as i64),
        deleted_ms: None,
        description: String::new(),
        params: (0..20).map(param).collect(),
        tags: (0..5).map(tag).collect(),
        metrics: (0..5).map(metric).collect(),
        datasets: Vec::new(),
        model_inputs: Vec::new(),
        model_outputs: Vec::new(),
        conflicted_params: Vec::new(),
    }
}
