//! Prints what a run costs, by stage, and what it takes on disk.
//!
//! `cargo run --release -p runmesh-core --example store_cost [RUNS]`, in a folder on the disk that
//! is to be measured. A run has 20 params, 5 tags and 5 metrics.
#![allow(clippy::print_stdout)] // Printing is what it is for.

use std::fs::{self, OpenOptions};
use std::path::Path;
use std::time::{Duration, Instant};

use ed25519_dalek::SigningKey;
use redb::backends::FileBackend;
use runmesh_core::act::{ActKind, Role, workspace_id};
use runmesh_core::action::{Action, LogBatch, NewRun, RunChange};
use runmesh_core::clock::UnixMillis;
use runmesh_core::entry::{UnverifiedEntry, verify_chain};
use runmesh_core::ids::{DeviceId, ExperimentId, Incarnation, RunId, WorkspaceId};
use runmesh_core::rows::{KeyValue, Metric, MetricContext, Point, RunStatus};
use runmesh_core::store::{Birth, Files, SEAL_BYTES, Start, Store};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

fn backend(folder: &Path, name: &str) -> Outcome<FileBackend> {
    fs::create_dir_all(folder)?;
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(true);
    Ok(FileBackend::new(options.open(folder.join(name))?)?)
}

fn device(key: &SigningKey) -> DeviceId {
    DeviceId::new(key.verifying_key().to_bytes())
}

fn store(folder: &Path, key: &SigningKey, workspace: WorkspaceId, act: ActKind) -> Outcome<Store> {
    let files = Files {
        database: backend(folder, "store.redb")?,
        edit_log: backend(folder, "edits.log")?,
        cache_bytes: 16 << 20,
    };
    let start = Start { key: key.clone(), nonce: [1; 16], salts: [2; 32], threads: 2 };
    let birth = Birth { workspace, incarnation: Incarnation::new([3; 16]), act };
    Ok(Store::create(files, start, birth, NOW)?)
}

fn actions(number: u64) -> [Action; 3] {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    id[8..].copy_from_slice(&number.to_be_bytes());
    let run = RunId::new(id);
    let pairs = |name: &str, count: u64| {
        let pair =
            |at| KeyValue::new(format!("{name}_{at}"), format!("{}", (number * 31 + at) % 97));
        (0..count).map(pair).collect::<Vec<_>>()
    };
    let metric = |at: u64| Metric {
        key: format!("metric_{at}"),
        context: MetricContext::default(),
        point: Point {
            step: 1,
            timestamp_ms: (NOW.0 + number) as i64,
            value: (number * 7919 + at) as f64 / 1e4,
        },
    };
    let new = NewRun {
        id: run,
        experiment: ExperimentId::DEFAULT,
        name: format!("bold-otter-{}", number % 1000),
        user: "ann".to_owned(),
        start_ms: (NOW.0 + number) as i64,
        tags: Vec::new(),
        description: None,
    };
    let log = LogBatch {
        run,
        metrics: (0..5).map(metric).collect(),
        params: pairs("param", 20),
        tags: pairs("tag", 5),
        change: RunChange::default(),
    };
    let end_ms = Some((NOW.0 + number + 5) as i64);
    let change = RunChange { status: Some(RunStatus::Finished), end_ms, ..RunChange::default() };
    [Action::CreateRun(new), Action::Log(log), Action::UpdateRun { id: run, change }]
}

fn micros(spent: Duration, runs: u64) -> f64 {
    spent.as_secs_f64() * 1e6 / runs as f64
}

fn main() -> Outcome<()> {
    let runs: u64 = std::env::args().nth(1).map_or(Ok(10_000), |text| text.parse())?;
    let root = Path::new("target/store_cost");
    let (ann, bob) = (SigningKey::from_bytes(&[1; 32]), SigningKey::from_bytes(&[2; 32]));
    let nonce = [9; 16];
    let workspace = workspace_id(&device(&ann), &nonce);
    let found = ActKind::Found { nonce, name: "lab".into(), device_name: "ann".into() };
    let mut ours = store(&root.join("ann"), &ann, workspace, found)?;
    let ticket = SigningKey::from_bytes(&[3; 32]);
    ours.invite(NOW, ticket.verifying_key().to_bytes(), Role::Writer, 0, 1)?;

    let (mut written, mut sealed) = (Duration::ZERO, Duration::ZERO);
    let mut seals = 0;
    for group in (0..runs).collect::<Vec<_>>().chunks(5) {
        // What 15 connections leave in the queue: five runs' worth of requests.
        let actions: Vec<Action> = group.iter().flat_map(|number| actions(*number)).collect();
        let started = Instant::now();
        for answer in ours.write(NOW, actions)? {
            answer?;
        }
        written += started.elapsed();
        if ours.unsealed_bytes() >= SEAL_BYTES {
            let started = Instant::now();
            ours.seal(NOW)?;
            sealed += started.elapsed();
            seals += 1;
        }
    }
    let started = Instant::now();
    ours.seal(NOW)?;
    sealed += started.elapsed();
    println!(
        "plan, index and commit: {:7.1} us a run, in groups of 15 actions",
        micros(written, runs)
    );
    println!("seal:                   {:7.1} us a run, {seals} seals", micros(sealed, runs));

    let join = ActKind::join(&ticket, &workspace, &device(&bob), "bob".into());
    let mut theirs = store(&root.join("bob"), &bob, workspace, join)?;
    let snapshot = ours.reader().snapshot()?;
    let (mut verifying, mut ingesting) = (Duration::ZERO, Duration::ZERO);
    let mut journal_bytes = 0;
    let lacking = snapshot.vector()?.missing_from(&theirs.reader().snapshot()?.vector()?);
    for (journal, range) in lacking {
        let mut from = range.start;
        while from < range.end {
            let stored = snapshot.entries(&journal, from, 1 << 20)?;
            journal_bytes += stored.iter().map(Vec::len).sum::<usize>();
            let started = Instant::now();
            let numbered = (from..).zip(&stored);
            let read =
                numbered.map(|(number, bytes)| UnverifiedEntry::decode(journal, number, bytes));
            let tip = theirs.reader().snapshot()?.vector()?.tip(&journal);
            let (good, fault) = verify_chain(workspace, tip, read.collect::<Result<_, _>>()?, 2);
            if let Some(fault) = fault {
                return Err(fault.into());
            }
            verifying += started.elapsed();
            let started = Instant::now();
            theirs.ingest(NOW, good)?;
            ingesting += started.elapsed();
            from += stored.len() as u64;
        }
    }
    println!("read and verify:        {:7.1} us a run", micros(verifying, runs));
    println!("ingest:                 {:7.1} us a run", micros(ingesting, runs));
    println!("journal:                {:7.1} bytes a run", journal_bytes as f64 / runs as f64);
    let started = Instant::now();
    ours.rebuild()?;
    println!("rebuild:                {:7.1} us a run", micros(started.elapsed(), runs));
    drop((ours, theirs, snapshot));
    for name in ["ann", "bob"] {
        let bytes = fs::metadata(root.join(name).join("store.redb"))?.len();
        println!("store.redb of {name}:      {:7.1} bytes a run", bytes as f64 / runs as f64);
    }
    Ok(fs::remove_dir_all(root)?)
}
