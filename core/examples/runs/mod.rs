//! A store on disk and the runs that the examples put into it: 20 params, 5 tags, 5 metrics each.

use std::fs::{self, OpenOptions};
use std::path::Path;

use ed25519_dalek::SigningKey;
use redb::backends::FileBackend;
use runmesh_core::act::ActKind;
use runmesh_core::action::{Action, LogBatch, NewRun, RunChange};
use runmesh_core::clock::UnixMillis;
use runmesh_core::ids::{DeviceId, ExperimentId, Incarnation, RunId, WorkspaceId};
use runmesh_core::rows::{KeyValue, Metric, MetricContext, Point, RunStatus};
use runmesh_core::store::{Birth, Files, Start, Store};

pub(crate) type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

pub(crate) const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

fn backend(folder: &Path, name: &str) -> Outcome<FileBackend> {
    fs::create_dir_all(folder)?;
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(true);
    Ok(FileBackend::new(options.open(folder.join(name))?)?)
}

pub(crate) fn device(key: &SigningKey) -> DeviceId {
    DeviceId::new(key.verifying_key().to_bytes())
}

pub(crate) fn store(
    folder: &Path,
    key: &SigningKey,
    workspace: WorkspaceId,
    act: ActKind,
) -> Outcome<Store> {
    let files = Files {
        database: backend(folder, "store.redb")?,
        edit_log: backend(folder, "edits.log")?,
        cache_bytes: 16 << 20,
    };
    let start = Start { key: key.clone(), nonce: [1; 16], salts: [2; 32], threads: 2 };
    let birth = Birth { workspace, incarnation: Incarnation::new([3; 16]), act };
    Ok(Store::create(files, start, birth, NOW)?)
}

pub(crate) fn actions(number: u64) -> [Action; 3] {
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
