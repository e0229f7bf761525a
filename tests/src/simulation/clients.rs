//! What clients of a device write, and how it is told later that all of it is still there.

use rand::RngExt;
use rand::rngs::StdRng;
use runmesh_core::action::{
    Action, ExperimentChange, LogBatch, NewRun, RunChange, TraceChange, TracesToDelete,
};
use runmesh_core::clock::UnixMillis;
use runmesh_core::ids::{BlobHash, DocumentId, ExperimentId, RunId};
use runmesh_core::rows::{KeyValue, Metric, MetricContext, Point, RunStatus};
use runmesh_core::store::{RoundEnd, Snapshot};
use runmesh_core::trace::{Span, SpanId, TraceInfo, TracePart, TraceStatus};

use super::device::{Device, Failed};

/// A write that a client was told is done, and that nothing can undo.
#[derive(Debug, Clone)]
pub(super) enum Acknowledged {
    Run(RunId),
    Point {
        run: RunId,
        key: String,
        point: Point,
    },
    /// Its key is one that nobody else sets.
    Param {
        run: RunId,
        key: String,
        value: String,
    },
    /// Its path is one that nobody else uses.
    Artifact {
        owner: DocumentId,
        path: String,
        blob: BlobHash,
    },
    /// A span of a trace that nobody deletes.
    Span {
        trace: String,
        span: SpanId,
    },
}

impl Acknowledged {
    /// The run that it is about.
    pub(super) fn run(&self) -> Option<RunId> {
        match self {
            Self::Run(run) | Self::Point { run, .. } | Self::Param { run, .. } => Some(*run),
            Self::Artifact { owner, .. } => owner.as_run(),
            Self::Span { .. } => None,
        }
    }

    /// Panics unless a device holds it.
    pub(super) fn check(&self, snapshot: &Snapshot, device: usize) {
        let held = self.is_held(snapshot);
        assert!(held, "device {device} lacks what was acknowledged: {self:?}");
    }

    /// Whether a device holds it.
    pub(super) fn is_held(&self, snapshot: &Snapshot) -> bool {
        match self {
            Self::Run(run) => snapshot.run(run).expect("reading does not fail").is_some(),
            Self::Point { run, key, point } => {
                let history = snapshot.history(run, key).expect("reading does not fail");
                history.iter().any(|held| held.history_order(point).is_eq())
            }
            Self::Param { run, key, value } => {
                let row = snapshot.run(run).expect("reading does not fail");
                row.is_some_and(|row| row.param(key) == Some(value))
            }
            Self::Artifact { owner, path, blob } => {
                let row = snapshot.artifact(*owner, path).expect("reading does not fail");
                row.is_some_and(|row| row.blob == *blob)
            }
            Self::Span { trace, span } => {
                let spans = snapshot.spans(trace).expect("reading does not fail");
                spans.iter().any(|held| held.id == *span)
            }
        }
    }
}

/// Has clients of a device write some groups at once. Returns how much of it was acknowledged.
pub(super) fn write(
    device: &mut Device,
    now: UnixMillis,
    random: &mut StdRng,
) -> Result<usize, Failed> {
    let known = known_runs(device);
    let mut meant = Vec::new();
    let mut groups = Vec::new();
    for _ in 0..random.random_range(1..4) {
        let mut group = Vec::new();
        for _ in 0..random.random_range(1..4) {
            let (action, writes) = action(device, &known, random);
            group.push(action);
            meant.push(writes);
        }
        groups.push(group);
    }
    let end = if random.random_bool(0.3) { RoundEnd::Seal(now) } else { RoundEnd::Publish };
    let mut answers = Vec::new();
    let written = device.write(now, groups, end, &mut answers);
    let done = answers.iter().zip(meant).filter(|(answer, _)| answer.is_ok());
    let done: Vec<_> = done.flat_map(|(_, writes)| writes).collect();
    let count = done.len();
    device.acknowledged.extend(done);
    written.map(|()| count)
}

/// Has the founder's device purge one of the runs that it knows; returns whether there was one.
pub(super) fn purge(
    device: &mut Device,
    now: UnixMillis,
    random: &mut StdRng,
) -> Result<bool, Failed> {
    match pick(&known_runs(device), random) {
        Some(run) => device.purge(now, run).map(|()| true),
        None => Ok(false),
    }
}

fn known_runs(device: &Device) -> Vec<RunId> {
    let runs = device.snapshot().runs().expect("reading does not fail");
    let mut runs: Vec<_> = runs.map(|row| row.expect("reading does not fail").id).collect();
    runs.sort();
    runs
}

/// Something to write, and what can be asked for once it is acknowledged.
fn action(
    device: &mut Device,
    known: &[RunId],
    random: &mut StdRng,
) -> (Action, Vec<Acknowledged>) {
    device.asked += 1;
    let own = format!("{}-{}", device.number, device.asked);
    let Some(run) = pick(known, random) else { return create_run(device, random) };
    match random.random_range(0..15) {
        0 | 1 => create_run(device, random),
        2 => (create_experiment(random), Vec::new()),
        3 => (change_experiment(random), Vec::new()),
        4 => {
            let change = RunChange {
                name: Some(format!("named {own}")),
                status: pick(&[RunStatus::Finished, RunStatus::Failed], random),
                end_ms: Some(random.random_range(0..9)),
                description: Some(format!("note {own}")),
            };
            (Action::UpdateRun { id: run, change }, Vec::new())
        }
        5 => (Action::SetRunDeleted { id: run, deleted: random.random_bool(0.3) }, Vec::new()),
        6 => (Action::DeleteRunTag { id: run, key: "shared".to_owned() }, Vec::new()),
        7 | 8 => put_artifact(run, &own, random),
        9 | 10 => log_spans(&own, random),
        11 => (say_of_trace(run, random), Vec::new()),
        _ => log(run, &own, random),
    }
}

fn pick<T: Copy>(from: &[T], random: &mut StdRng) -> Option<T> {
    (!from.is_empty()).then(|| from[random.random_range(0..from.len())])
}

fn create_run(device: &Device, random: &mut StdRng) -> (Action, Vec<Acknowledged>) {
    let id = RunId::new(random.random());
    let new = NewRun {
        id,
        experiment: ExperimentId::DEFAULT,
        name: format!("run of {}", device.number),
        user: String::new(),
        start_ms: random.random_range(0..1_000_000),
        tags: vec![KeyValue::new("shared", device.number.to_string())],
        description: None,
    };
    (Action::CreateRun(new), vec![Acknowledged::Run(id)])
}

/// One of few names, so that devices create the same while apart.
fn create_experiment(random: &mut StdRng) -> Action {
    let name = format!("experiment {}", random.random_range(0..3));
    let note = random.random_bool(0.5).then(|| format!("{}", random.random_range(0..9)));
    let tags = vec![KeyValue::new("team", random.random_range(0..9).to_string())];
    Action::CreateExperiment { name, artifact_location: None, tags, description: note }
}

fn change_experiment(random: &mut StdRng) -> Action {
    let name = format!("experiment {}", random.random_range(0..3));
    let id = DocumentId::experiment(&name, 0).as_experiment();
    let change = match random.random_range(0..4) {
        0 => ExperimentChange::Delete,
        1 => ExperimentChange::Restore,
        2 => ExperimentChange::Describe(random.random_range(0..9).to_string()),
        _ => ExperimentChange::SetTag(KeyValue::new("team", random.random_range(0..9).to_string())),
    };
    Action::UpdateExperiment { id: id.expect("an experiment's document"), change }
}

fn put_artifact(run: RunId, own: &str, random: &mut StdRng) -> (Action, Vec<Acknowledged>) {
    let owner = DocumentId::run(run);
    let blob = BlobHash::new(random.random());
    let shared = random.random_bool(0.3);
    let path = if shared { "shared.txt".to_owned() } else { format!("own/{own}.bin") };
    let put = Action::PutArtifact { owner, path: path.clone(), blob, size: 3 };
    let write = Acknowledged::Artifact { owner, path, blob };
    (put, (!shared).then_some(write).into_iter().collect())
}

/// Spans of one of few traces, so that devices add to the same while apart.
fn log_spans(own: &str, random: &mut StdRng) -> (Action, Vec<Acknowledged>) {
    let kept = random.random_bool(0.7);
    let trace = if kept { "tr-kept".to_owned() } else { shared_trace(random) };
    let id: SpanId = random.random();
    let span = Span {
        id,
        name: own.to_owned(),
        start_ns: random.random_range(0..9_000_000),
        end_ns: random.random_range(0..9_000_000),
        ..Span::default()
    };
    let mut part = TracePart::new(trace.clone(), DocumentId::experiment("Default", 0));
    part.metadata = vec![KeyValue::new("session", random.random_range(0..3).to_string())];
    part.spans = vec![span.encode()];
    let write = Acknowledged::Span { trace, span: id };
    (Action::LogSpans(vec![part]), kept.then_some(write).into_iter().collect())
}

fn shared_trace(random: &mut StdRng) -> String {
    format!("tr-{}", random.random_range(0..9))
}

fn say_of_trace(run: RunId, random: &mut StdRng) -> Action {
    let trace = if random.random_bool(0.5) { "tr-kept".to_owned() } else { shared_trace(random) };
    let tag = KeyValue::new("color", random.random_range(0..9).to_string());
    match random.random_range(0..5) {
        0 => Action::ChangeTrace { trace, change: TraceChange::SetTag(tag) },
        1 => Action::ChangeTrace { trace, change: TraceChange::LinkRun(run) },
        2 => Action::DeleteTraces(TracesToDelete {
            experiment: ExperimentId::DEFAULT,
            ids: vec![shared_trace(random)],
            ..TracesToDelete::default()
        }),
        _ => {
            let status = [TraceStatus::InProgress, TraceStatus::Ok][random.random_range(0..2)];
            let start_ms = random.random_range(0..9);
            let mut part = TracePart::new(trace, DocumentId::experiment("Default", 0));
            part.infos =
                vec![TraceInfo { status, start_ms, tags: vec![tag], ..TraceInfo::default() }];
            Action::LogTrace(Box::new(part))
        }
    }
}

fn log(run: RunId, own: &str, random: &mut StdRng) -> (Action, Vec<Acknowledged>) {
    let mut writes = Vec::new();
    let mut metrics = Vec::new();
    for _ in 0..random.random_range(0..6) {
        let key = ["loss", "auc"][random.random_range(0..2)].to_owned();
        let value = [f64::NAN, f64::INFINITY, random.random()][random.random_range(0..3)];
        let (step, timestamp_ms) = (random.random_range(-2..50), random.random_range(0..1000));
        let point = Point { step, timestamp_ms, value };
        writes.push(Acknowledged::Point { run, key: key.clone(), point });
        metrics.push(Metric { key, context: MetricContext::default(), point });
    }
    let value = random.random_range(0..1000).to_string();
    let param = KeyValue::new(format!("param {own}"), &value);
    writes.push(Acknowledged::Param { run, key: param.key.clone(), value });
    let mut params = vec![param];
    if random.random_bool(0.2) {
        // Set to different values while apart, it is flagged; here, it is refused.
        params.push(KeyValue::new("contended", random.random_range(0..3).to_string()));
    }
    let tags = vec![KeyValue::new("shared", own)];
    let batch = LogBatch { run, metrics, params, tags, change: RunChange::default() };
    (Action::Log(batch), writes)
}
