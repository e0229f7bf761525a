//! Stories of stores: writing, sealing, meeting, crashing, rebuilding.

mod audit;
mod authors;
mod backup;
mod built_on;
mod conflicts;
mod cuts;
mod evaluation;
mod forks;
mod inputs;
mod logged_models;
mod models;
mod newer;
mod purge;

use std::collections::BTreeMap;

mod traces;

use super::*;
use crate::act::{Cuts, Role, workspace_id};
use crate::action::{
    Action, ExperimentChange, LogBatch, NewRun, NewSemver, NewVersion, Outcome, Refusal, RunChange,
};
use crate::clock::Clock;
use crate::disk::Disk;
use crate::document::{Container, DocumentEdit};
use crate::entry::{UnverifiedEntry, verify_chain};
use crate::ids::{BlobHash, DocumentId, ExperimentId, RunId};
use crate::index::{Lookup, LookupKey, run_changes};
use crate::rows::{
    DocumentRow, ExperimentRow, KeyValue, Metric, MetricContext, Point, RunRow, RunStatus,
};
use crate::vector::VersionVector;

const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

struct Device {
    store: Store,
    database: Disk,
    log: Disk,
    seed: u8,
    starts: u8,
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn device_id(seed: u8) -> DeviceId {
    DeviceId::new(key(seed).verifying_key().to_bytes())
}

fn start(seed: u8, starts: u8) -> Start {
    Start { key: key(seed), nonce: [starts; 16], salts: [starts; 32], threads: 2 }
}

fn files(database: &Disk, log: &Disk) -> Files<Disk, Disk> {
    Files { database: database.clone(), edit_log: log.clone(), cache_bytes: 1 << 20 }
}

const FOUNDER: u8 = 1;

impl Device {
    fn founder() -> Self {
        let nonce = [9; 16];
        let workspace = workspace_id(&device_id(FOUNDER), &nonce);
        let act = ActKind::Found { nonce, name: "lab".to_owned(), device_name: "ann".to_owned() };
        Self::born(FOUNDER, workspace, act)
    }

    /// A device that joins by an invitation that the founder makes for it.
    fn joiner(founder: &mut Self, seed: u8) -> Self {
        let ticket = key(seed + 100);
        let public = ticket.verifying_key().to_bytes();
        let invite = ActKind::Invite { key: public, role: Role::Writer, expires_ms: 0, uses: 1 };
        founder.store.declare(NOW, vec![invite]).unwrap();
        let workspace = founder.store.workspace();
        let act = ActKind::join(&ticket, &workspace, &device_id(seed), format!("device {seed}"));
        Self::born(seed, workspace, act)
    }

    fn born(seed: u8, workspace: WorkspaceId, act: ActKind) -> Self {
        let (database, log) = (Disk::new(), Disk::new());
        let birth = Birth { workspace, incarnation: Incarnation::new([seed; 16]), act };
        let store = Store::create(files(&database, &log), start(seed, 0), birth, NOW).unwrap();
        Self { store, database, log, seed, starts: 0 }
    }

    fn restart_after_power_loss(self) -> Result<Self, StoreError> {
        let (database, log) = (self.database.after_power_loss(), self.log.after_power_loss());
        let (seed, starts) = (self.seed, self.starts + 1);
        drop(self.store);
        let store = Store::open(files(&database, &log), start(seed, starts))?;
        Ok(Self { store, database, log, seed, starts })
    }

    fn act(&mut self, action: Action) -> Result<Outcome, Refusal> {
        self.store.write(NOW, vec![action]).unwrap().remove(0)
    }

    fn experiment(&mut self, name: &str) -> ExperimentRow {
        let create = Action::CreateExperiment {
            name: name.to_owned(),
            artifact_location: None,
            tags: vec![KeyValue::new("team", "vision")],
            description: Some("first try".to_owned()),
        };
        let Ok(Outcome::Experiment(row)) = self.act(create) else { panic!("not created") };
        row
    }

    fn run(&mut self, id: u8, experiment: ExperimentId) -> RunId {
        let id = RunId::new([id; 16]);
        let new = NewRun {
            id,
            experiment,
            name: format!("run {id}"),
            user: "ann".to_owned(),
            start_ms: 1_000,
            tags: vec![KeyValue::new("kind", "test")],
            description: None,
        };
        self.act(Action::CreateRun(new)).unwrap();
        id
    }

    fn log(&mut self, run: RunId, step: i64, params: &[(&str, &str)]) -> Result<Outcome, Refusal> {
        self.act(Action::Log(LogBatch {
            run,
            metrics: vec![metric("loss", step, 1.0 / (step + 1) as f64)],
            params: params.iter().map(|(key, value)| KeyValue::new(*key, *value)).collect(),
            tags: vec![KeyValue::new("step", step.to_string())],
            change: RunChange::default(),
        }))
    }

    fn put(&mut self, run: RunId, path: &str, blob: u8) {
        let (owner, path) = (DocumentId::run(run), path.to_owned());
        let blob = BlobHash::new([blob; 32]);
        self.act(Action::PutArtifact { owner, path, blob, size: 5 }).unwrap();
    }

    fn remove(&mut self, seed: u8) {
        let remove = ActKind::Remove { device: device_id(seed), cuts: Cuts::new() };
        self.store.declare(NOW, vec![remove]).unwrap();
    }

    /// Gives `other` what it lacks, as a session would.
    fn send(&mut self, other: &mut Self) -> Ingested {
        self.store.seal(NOW).unwrap();
        let ours = self.store.reader().snapshot().unwrap();
        let mut verified = Vec::new();
        let theirs = other.store.reader().snapshot().unwrap().vector().unwrap();
        for (journal, range) in ours.vector().unwrap().missing_from(&theirs) {
            let stored = ours.entries(&journal, range.start, usize::MAX).unwrap();
            let numbered = (range.start..).zip(stored);
            let read = numbered
                .map(|(number, bytes)| UnverifiedEntry::decode(journal, number, &bytes).unwrap());
            let tip = theirs.tip(&journal);
            let (good, fault) = verify_chain(self.store.workspace(), tip, read.collect(), 2);
            assert_eq!(fault, None);
            verified.extend(good);
        }
        other.store.ingest(NOW, verified).unwrap()
    }

    fn contents(&self) -> Contents {
        Contents::of(&self.store.reader().snapshot().unwrap())
    }

    fn rebuilt(&mut self) -> Contents {
        self.store.rebuild().unwrap();
        self.contents()
    }
}

/// Everything that a store answers with, in a form that can be compared between devices.
#[derive(Debug, PartialEq)]
struct Contents {
    vector: VersionVector,
    experiments: Vec<ExperimentRow>,
    /// As text, for NaN is not equal to itself.
    runs: BTreeMap<RunId, String>,
    histories: Vec<(RunId, String, String)>,
    documents: Vec<DocumentRow>,
    lookups: Vec<Vec<u8>>,
    artifacts: Vec<(DocumentId, crate::rows::ArtifactRow)>,
    contested: Vec<DocumentId>,
    /// What is known of each trace, as text, and how many spans are here.
    traces: BTreeMap<String, (String, usize)>,
    members: Membership,
}

impl Contents {
    fn of(snapshot: &Snapshot) -> Self {
        let runs: Vec<RunRow> = snapshot.runs().unwrap().collect::<Result<_, _>>().unwrap();
        let mut histories = Vec::new();
        for run in &runs {
            for metric in &run.metrics {
                let history = snapshot.history(&run.id, &metric.key).unwrap();
                histories.push((run.id, metric.key.clone(), format!("{history:?}")));
            }
        }
        histories.sort();
        Self {
            vector: snapshot.vector().unwrap(),
            experiments: snapshot.experiments().unwrap(),
            runs: runs.iter().map(|run| (run.id, format!("{run:?}"))).collect(),
            histories,
            documents: snapshot.documents().unwrap().collect::<Result<_, _>>().unwrap(),
            lookups: snapshot.lookup_keys().unwrap(),
            artifacts: snapshot.all_artifacts().unwrap(),
            contested: snapshot.contested_documents().unwrap().collect::<Result<_, _>>().unwrap(),
            traces: traces_of(snapshot),
            members: snapshot.membership().unwrap(),
        }
    }
}

fn traces_of(snapshot: &Snapshot) -> BTreeMap<String, (String, usize)> {
    let states = snapshot.traces().unwrap().map(Result::unwrap);
    let shown = states.map(|state| {
        let spans = snapshot.encoded_spans(&state.trace).unwrap();
        (state.trace.clone(), (format!("{state:?} {spans:?}"), spans.len()))
    });
    shown.collect()
}

fn metric(key: &str, step: i64, value: f64) -> Metric {
    let point = Point { step, timestamp_ms: 10 * step, value };
    Metric { key: key.to_owned(), context: MetricContext::default(), point }
}

fn meet(ann: &mut Device, bob: &mut Device) {
    // Twice: what the first meeting lets in may let in more.
    for _ in 0..2 {
        ann.send(bob);
        bob.send(ann);
    }
}

#[test]
fn what_was_logged_is_there_at_once_and_after_sealing() {
    let mut ann = Device::founder();
    let run = ann.run(1, ExperimentId::DEFAULT);
    for step in 0..20 {
        ann.log(run, step, &[]).unwrap();
    }
    let before = ann.contents();
    ann.store.seal(NOW).unwrap();
    let mut after = ann.contents();
    assert_ne!(before.vector, after.vector);
    after.vector = before.vector.clone();
    assert_eq!(before, after);
    let history = ann.store.reader().snapshot().unwrap().history(&run, "loss").unwrap();
    assert_eq!(history.len(), 20);
}

#[test]
fn params_are_written_once_and_a_refused_batch_writes_nothing() {
    let mut ann = Device::founder();
    let run = ann.run(1, ExperimentId::DEFAULT);
    ann.log(run, 0, &[("lr", "0.1")]).unwrap();
    ann.log(run, 1, &[("lr", "0.1")]).unwrap();
    let before = ann.contents();
    let refused = ann.log(run, 2, &[("lr", "0.2"), ("new", "1")]);
    assert!(matches!(refused, Err(Refusal::ParamsChanged { .. })));
    assert_eq!(ann.contents(), before);
}

#[test]
fn a_deleted_experiment_takes_its_runs_along_and_brings_them_back() {
    let mut ann = Device::founder();
    let experiment = ann.experiment("fraud");
    let run = ann.run(1, experiment.id);
    let change = |change| Action::UpdateExperiment { id: experiment.id, change };
    ann.act(change(ExperimentChange::Delete)).unwrap();
    assert!(matches!(ann.log(run, 0, &[]), Err(Refusal::RunDeleted(_))));
    let again = ann.act(change(ExperimentChange::Delete));
    assert!(matches!(again, Err(Refusal::WrongExperimentState { .. })));
    ann.act(change(ExperimentChange::Restore)).unwrap();
    ann.log(run, 0, &[]).unwrap();
    let contents = ann.contents();
    assert_eq!(contents, ann.rebuilt_after_seal(contents.vector.clone()));
}

impl Device {
    fn rebuilt_after_seal(&mut self, vector: VersionVector) -> Contents {
        self.store.seal(NOW).unwrap();
        let mut contents = self.rebuilt();
        contents.vector = vector;
        contents
    }
}

#[test]
fn divided_devices_agree_after_meeting_and_so_do_their_rebuilt_indexes() {
    let mut ann = Device::founder();
    let mut bob = Device::joiner(&mut ann, 2);
    let by_ann = ann.experiment("fraud");
    let by_bob = bob.experiment("fraud");
    assert_eq!(by_ann.id, by_bob.id, "one name is one experiment");
    let (first, second) = (ann.run(1, by_ann.id), bob.run(2, by_bob.id));
    ann.log(first, 1, &[("lr", "0.1")]).unwrap();
    bob.log(second, 1, &[("lr", "0.2")]).unwrap();
    bob.put(second, "model/weights.bin", 3);
    meet(&mut ann, &mut bob);
    assert_eq!(ann.contents(), bob.contents());
    // Each goes on with the other's run.
    ann.log(second, 2, &[("depth", "3")]).unwrap();
    bob.log(first, 2, &[("depth", "4")]).unwrap();
    bob.act(Action::SetRunDeleted { id: second, deleted: true }).unwrap();
    meet(&mut ann, &mut bob);
    assert_eq!(ann.contents(), bob.contents());
    let contents = ann.contents();
    assert_eq!(contents.runs.len(), 2);
    assert_eq!(contents.histories.len(), 2);
    assert_eq!(contents, ann.rebuilt());
    assert_eq!(contents, bob.rebuilt());
}

#[test]
fn a_param_set_twice_while_apart_is_served_the_same_and_flagged() {
    let mut ann = Device::founder();
    let mut bob = Device::joiner(&mut ann, 2);
    let run = ann.run(1, ExperimentId::DEFAULT);
    meet(&mut ann, &mut bob);
    ann.log(run, 1, &[("lr", "0.1")]).unwrap();
    bob.log(run, 1, &[("lr", "0.2")]).unwrap();
    meet(&mut ann, &mut bob);
    assert_eq!(ann.contents(), bob.contents());
    let row = ann.store.reader().snapshot().unwrap().run(&run).unwrap().unwrap();
    assert_eq!(row.conflicted_params, ["lr"]);
}

#[test]
fn settings_of_the_workspace_reach_every_member_and_show_when_they_conflict() {
    let mut ann = Device::founder();
    let mut bob = Device::joiner(&mut ann, 2);
    let set = |key: &str, value: Option<&str>| Action::SetSetting {
        key: key.to_owned(),
        value: value.map(str::to_owned),
    };
    ann.act(set("view/best", Some("by auc"))).unwrap();
    ann.act(set("view/old", Some("by loss"))).unwrap();
    bob.act(set("view/best", Some("by f1"))).unwrap();
    assert!(matches!(bob.act(set("view/old", None)), Err(Refusal::NoSuchTag { .. })));
    meet(&mut ann, &mut bob);
    assert_eq!(ann.contents(), bob.contents());
    let [row] = &ann.contents().documents[..] else { panic!("one document: the workspace's") };
    assert_eq!(row.conflicts, [(Container::Tags, "view/best".to_owned())]);
    assert_eq!(row.text(Container::Tags, "view/old"), Some("by loss"));
    bob.act(set("view/best", Some("by auc"))).unwrap();
    bob.act(set("view/old", None)).unwrap();
    meet(&mut ann, &mut bob);
    let [row] = &ann.contents().documents[..] else { panic!("one document: the workspace's") };
    assert_eq!((row.conflicts.len(), row.map(Container::Tags).len()), (0, 1));
    assert_eq!(ann.contents(), bob.contents());
    assert_eq!(ann.contents(), ann.rebuilt());
}

/// The tables of registered models and their versions are written like those of any document.
#[test]
fn documents_are_found_by_what_they_say_now() {
    let mut ann = Device::founder();
    let mut bob = Device::joiner(&mut ann, 2);
    let model = DocumentId::registered_model("fraud", 0);
    let name = |name: &str| {
        let mut edit = DocumentEdit::default();
        edit.set(Container::Info, "name", name);
        edit.set(Container::Info, "created", 5);
        edit.description = Some(format!("called {name}"));
        vec![Edit::Document { document: model, edit }]
    };
    let find = |device: &Device, name: &str| -> Vec<DocumentId> {
        let head = LookupKey::new(Lookup::ModelName).text(name);
        let snapshot = device.store.reader().snapshot().unwrap();
        snapshot.find(&head).unwrap().collect::<Result<_, _>>().unwrap()
    };
    ann.store.append(NOW, name("fraud")).unwrap();
    bob.store.append(NOW, name("fraud")).unwrap();
    meet(&mut ann, &mut bob);
    assert_eq!(find(&bob, "fraud"), [model]);
    bob.store.append(NOW, name("fraud-2")).unwrap();
    assert_eq!(find(&bob, "fraud-2"), [model]);
    meet(&mut ann, &mut bob);
    assert_eq!((find(&ann, "fraud"), find(&ann, "fraud-2")), (vec![], vec![model]));
    assert_eq!(ann.contents(), bob.contents());
    assert_eq!(ann.contents(), ann.rebuilt());
}

#[test]
fn a_store_whose_derived_state_is_of_an_older_version_is_rebuilt_when_opened() {
    let mut ann = Device::founder();
    let run = ann.run(1, ExperimentId::DEFAULT);
    ann.log(run, 0, &[("lr", "0.1")]).unwrap();
    ann.store.seal(NOW).unwrap();
    ann.log(run, 1, &[("depth", "3")]).unwrap();
    let contents = ann.contents();
    let txn = durable(&ann.store.database).unwrap();
    tables::drop_derived(&txn).unwrap();
    txn.open_table(tables::META).unwrap().remove("derived").unwrap();
    txn.commit().unwrap();
    let ann = ann.restart_after_power_loss().unwrap();
    assert_eq!(ann.contents(), contents);
}

#[test]
fn a_stranger_is_not_listened_to() {
    let mut ann = Device::founder();
    let workspace = ann.store.workspace();
    let forged = ActKind::join(&key(77), &workspace, &device_id(3), "eve".to_owned());
    let mut eve = Device::born(3, workspace, forged);
    eve.experiment("hers");
    ann.store.seal(NOW).unwrap();
    let before = ann.contents();
    let ingested = eve.send(&mut ann);
    assert_eq!(ingested.entries, 0);
    assert!(matches!(ingested.faults[..], [(_, Fault::NotAMember(_))]));
    assert_eq!(ann.contents(), before);
}

/// Ann, and Bob and Carl who joined; all hold the same.
fn three() -> [Device; 3] {
    let mut ann = Device::founder();
    let (mut bob, mut carl) = (Device::joiner(&mut ann, 2), Device::joiner(&mut ann, 3));
    meet(&mut ann, &mut bob);
    meet(&mut ann, &mut carl);
    meet(&mut ann, &mut bob);
    [ann, bob, carl]
}

fn has(device: &Device, run: RunId) -> bool {
    device.store.reader().snapshot().unwrap().run(&run).unwrap().is_some()
}

#[test]
fn what_came_of_a_removed_device_before_it_was_known_is_set_aside() {
    let [mut ann, mut bob, mut carl] = three();
    let before = bob.run(1, ExperimentId::DEFAULT);
    bob.send(&mut ann);
    let after = bob.run(2, ExperimentId::DEFAULT);
    // Carl hears of it before he hears of the removal.
    bob.send(&mut carl);
    assert!(has(&carl, after));
    ann.remove(2);
    ann.send(&mut carl);
    assert!(has(&carl, before) && !has(&carl, after));
    carl.send(&mut ann);
    assert_eq!(ann.contents(), carl.contents());
    assert_eq!(carl.contents(), carl.rebuilt());
    // Whoever offers it, it is not taken.
    let refused = bob.send(&mut ann);
    assert!(matches!(refused.faults[..], [(_, Fault::Removed(_))]), "{:?}", refused.faults);
    let carl = carl.restart_after_power_loss().unwrap();
    assert_eq!(ann.contents(), carl.contents());
    // Bob hears of it too: what he has he keeps, and he writes no more.
    ann.send(&mut bob);
    assert!(has(&bob, after));
    let more = Action::SetRunDeleted { id: after, deleted: true };
    assert_eq!(bob.act(more), Err(Refusal::NotAMember));
}

#[test]
fn what_was_set_aside_is_taken_again_if_it_counts_after_all() {
    let [mut ann, mut bob, mut carl] = three();
    let run = bob.run(2, ExperimentId::DEFAULT);
    bob.send(&mut carl);
    let role = |role| ActKind::SetRole { device: device_id(2), role, cuts: Cuts::new() };
    ann.store.declare(NOW, vec![role(Role::Reader)]).unwrap();
    ann.send(&mut carl);
    assert!(!has(&carl, run));
    ann.send(&mut bob);
    let more = Action::SetRunDeleted { id: run, deleted: true };
    assert_eq!(bob.act(more.clone()), Err(Refusal::OnlyReads));
    ann.store.declare(NOW, vec![role(Role::Writer)]).unwrap();
    ann.send(&mut carl);
    assert!(has(&carl, run), "it was here all the time");
    ann.send(&mut bob);
    bob.act(more).unwrap();
    meet(&mut bob, &mut ann);
    meet(&mut ann, &mut carl);
    assert_eq!(ann.contents(), carl.contents());
    assert_eq!(carl.contents(), carl.rebuilt());
}

#[test]
fn what_was_logged_before_joining_comes_along() {
    let mut ann = Device::founder();
    let old_workspace = workspace_id(&device_id(2), &[4; 16]);
    let act = ActKind::Found { nonce: [4; 16], name: "own".to_owned(), device_name: "bob".into() };
    let mut alone = Device::born(2, old_workspace, act);
    let experiment = alone.experiment("fraud");
    let run = alone.run(5, experiment.id);
    alone.log(run, 3, &[("lr", "0.1")]).unwrap();
    let old = alone.store.reader().snapshot().unwrap();
    let mut bob = Device::joiner(&mut ann, 2);
    assert_eq!(bob.store.adopt(NOW, &old).unwrap(), 1);
    assert_eq!(bob.store.adopt(NOW, &old).unwrap(), 1);
    meet(&mut ann, &mut bob);
    assert_eq!(ann.contents(), bob.contents());
    let held = ann.store.reader().snapshot().unwrap();
    assert_eq!(held.run(&run).unwrap(), old.run(&run).unwrap());
    assert_eq!(held.history(&run, "loss").unwrap(), old.history(&run, "loss").unwrap());
}

#[test]
fn a_blob_that_was_only_named_is_not_granted_where_runs_are_taken_along() {
    let mut ann = Device::founder();
    let run = ann.run(1, ExperimentId::DEFAULT);
    let mut bob = Device::joiner(&mut ann, 2);
    let owner = DocumentId::run(run);
    let put = |blob: u8| {
        let (path, blob) = (format!("file {blob}"), BlobHash::new([blob; 32]));
        Action::PutArtifact { owner, path, blob, size: 5 }
    };
    ann.act(put(7)).unwrap();
    meet(&mut ann, &mut bob);
    bob.act(put(8)).unwrap();
    let old = bob.store.reader().snapshot().unwrap();
    let own = workspace_id(&device_id(2), &[4; 16]);
    let act = ActKind::Found { nonce: [4; 16], name: "own".to_owned(), device_name: "bob".into() };
    let mut new = Device::born(2, own, act);
    new.store.adopt(NOW, &old).unwrap();
    let held = new.store.reader().snapshot().unwrap();
    assert_eq!(held.all_artifacts().unwrap().len(), 2);
    assert_eq!(held.granted().unwrap(), [BlobHash::new([8; 32])]);
}

/// Creates a run and logs six steps to it, in rounds of two that end in each way there is. Notes
/// each step that was acknowledged.
fn scenario(device: &mut Device, acknowledged: &mut Vec<i64>) -> Result<(), StoreError> {
    let run = RunId::new([1; 16]);
    let new = NewRun {
        id: run,
        experiment: ExperimentId::DEFAULT,
        name: "r".into(),
        user: String::new(),
        start_ms: 0,
        tags: Vec::new(),
        description: Some("note".into()),
    };
    device.store.write(NOW, vec![Action::CreateRun(new)])?;
    for (first, end) in [(0, RoundEnd::Publish), (2, RoundEnd::Seal(NOW)), (4, RoundEnd::Publish)] {
        device.store.round(|round| {
            for step in [first, first + 1] {
                let answers = round.write(NOW, vec![log_step(run, step)])?;
                answers.into_iter().for_each(|answer| drop(answer.expect("nothing is refused")));
                acknowledged.push(step);
            }
            Ok(((), end))
        })?;
    }
    device.store.seal(NOW).map(drop)
}

fn log_step(run: RunId, step: i64) -> Action {
    Action::Log(LogBatch {
        run,
        metrics: vec![metric("loss", step, f64::NAN)],
        params: vec![KeyValue::new(format!("p{step}"), "1")],
        tags: Vec::new(),
        change: RunChange { status: Some(RunStatus::Finished), ..RunChange::default() },
    })
}

#[test]
fn a_round_shows_itself_when_it_ends_and_loses_nothing_when_it_fails() {
    let mut ann = Device::founder();
    let run = ann.run(1, ExperimentId::DEFAULT);
    let reader = ann.store.reader();
    let seen = || reader.snapshot().unwrap().history(&run, "loss").unwrap().len();
    let end = |seal| if seal { RoundEnd::Seal(NOW) } else { RoundEnd::Publish };
    for (rounds, seal) in [false, true, false].into_iter().enumerate() {
        let step = 2 * rounds as i64;
        ann.store
            .round(|round| {
                round.write(NOW, vec![log_step(run, step)])?;
                round.write(NOW, vec![log_step(run, step + 1)])?;
                assert_eq!(seen(), 2 * rounds, "not before the end");
                Ok(((), end(seal)))
            })
            .unwrap();
        assert_eq!(seen(), 2 * rounds + 2);
        assert_eq!(ann.store.unsealed_edits() == 0, seal);
    }
    let failed = ann.store.round::<()>(|round| {
        round.write(NOW, vec![log_step(run, 6)])?;
        Err(StoreError::NotOurs("something fails"))
    });
    assert!(failed.is_err());
    assert_eq!(seen(), 7, "what was acknowledged before the failure is shown");
    let before = ann.contents();
    let ann = ann.restart_after_power_loss().unwrap();
    assert_eq!(ann.contents(), before);
}

#[test]
fn a_run_that_goes_on_after_its_end_was_written_ahead_is_as_one_that_was_not() {
    let mut ann = Device::founder();
    let run = ann.run(1, ExperimentId::DEFAULT);
    let end = RunChange { end_ms: Some(7), ..RunChange::default() };
    let finish = Action::UpdateRun { id: run, change: end };
    ann.store
        .round(|round| {
            assert!(!round.work_ahead()?, "no run has ended");
            round.write(NOW, vec![log_step(run, 0), finish])?;
            assert!(round.work_ahead()?);
            assert!(!round.work_ahead()?);
            round.write(NOW, vec![log_step(run, 1)])?;
            let answers = round.write(NOW, vec![log_step(run, 1), log_step(run, 2)])?;
            assert!(answers.iter().all(Result::is_ok), "{answers:?}");
            Ok(((), RoundEnd::Publish))
        })
        .unwrap();
    let row = ann.store.reader().snapshot().unwrap().run(&run).unwrap().unwrap();
    assert_eq!((row.end_ms, row.params.len()), (Some(7), 3));
    // What is kept in memory of runs hears of it, though it was not changed again.
    let before = run_changes::last(ann.store.reader().snapshot().unwrap().txn()).unwrap().unwrap();
    let renamed = RunChange { name: Some("b".to_owned()), ..RunChange::default() };
    let rename = Action::UpdateRun { id: run, change: renamed };
    ann.store
        .round(|round| {
            round.write(NOW, vec![rename])?;
            assert!(round.work_ahead()?);
            Ok(((), RoundEnd::Publish))
        })
        .unwrap();
    let snapshot = ann.store.reader().snapshot().unwrap();
    let number = snapshot.run_number(&run).unwrap().unwrap();
    let last = run_changes::last(snapshot.txn()).unwrap().unwrap();
    let changed = run_changes::between(snapshot.txn(), before, last).unwrap();
    assert_eq!(changed, Some([number].into()));
    let vector = ann.contents().vector;
    assert_eq!(ann.contents(), ann.rebuilt_after_seal(vector));
}

/// A version that makes its model if there is none.
fn new_version(id: u8, name: &str, semver: NewSemver) -> NewVersion {
    NewVersion {
        id: [id; 16],
        model: name.to_owned(),
        create_model: true,
        source: format!("s3://models/{id}"),
        storage: None,
        run_id: String::new(),
        run_link: String::new(),
        logged_model: String::new(),
        tags: Vec::new(),
        description: None,
        semver,
    }
}

/// Every write and every sync of the scenario fails once, on either file; then the power goes.
#[test]
fn nothing_acknowledged_is_lost_whatever_write_fails() {
    let mut whole = Device::founder();
    let (database, log) = (whole.database.operations(), whole.log.operations());
    scenario(&mut whole, &mut Vec::new()).unwrap();
    let operations = [whole.database.operations() - database, whole.log.operations() - log];
    for (which, operations) in operations.into_iter().enumerate() {
        for allowed in 0..operations {
            let mut device = Device::founder();
            let disk = [&device.database, &device.log][which].clone();
            disk.fail_after(Some(allowed));
            let mut acknowledged = Vec::new();
            if scenario(&mut device, &mut acknowledged).is_ok() {
                assert_eq!(acknowledged.len(), 6);
            }
            let mut device = device.restart_after_power_loss().unwrap();
            let contents = device.contents();
            let run = RunId::new([1; 16]);
            let row = device.store.reader().snapshot().unwrap().run(&run).unwrap();
            for step in &acknowledged {
                let row = row.as_ref().unwrap_or_else(|| panic!("run lost at {which}/{allowed}"));
                assert_eq!(row.param(&format!("p{step}")), Some("1"), "at {which}/{allowed}");
            }
            let vector = contents.vector.clone();
            assert_eq!(contents, device.rebuilt_after_seal(vector), "at {which}/{allowed}");
        }
    }
}

#[test]
fn edits_of_a_run_are_one_change_in_the_journal() {
    let mut ann = Device::founder();
    let run = ann.run(1, ExperimentId::DEFAULT);
    for step in 0..50 {
        ann.log(run, step, &[]).unwrap();
    }
    assert_eq!(ann.store.seal(NOW).unwrap(), 1);
    assert_eq!(ann.store.seal(NOW).unwrap(), 0);
    let snapshot = ann.store.reader().snapshot().unwrap();
    let journal = ann.store.journal();
    let count = snapshot.vector().unwrap().tip(&journal).count;
    let stored = snapshot.entries(&journal, count - 1, usize::MAX).unwrap();
    let entry = UnverifiedEntry::decode(journal, count - 1, &stored[0]).unwrap();
    // The Default experiment, the run, and its points.
    assert_eq!(entry.operations().len(), 3);
}

/// A loss as it is logged: falling, noisy, and computed as 32-bit floats.
fn loss(step: i64) -> f64 {
    let step = step as f32;
    f64::from((-step / 3e4).exp() + 0.05 * (step * 1.7).sin() * (step * 0.013).cos())
}

fn log_point(device: &mut Device, now: UnixMillis, run: RunId, step: i64) {
    let timestamp_ms = now.0 as i64;
    let point = Point { step, timestamp_ms, value: loss(step) };
    let context = MetricContext::default();
    let log = LogBatch {
        run,
        metrics: vec![Metric { key: "train/loss".to_owned(), context, point }],
        params: Vec::new(),
        tags: Vec::new(),
        change: RunChange::default(),
    };
    device.store.write(now, vec![Action::Log(log)]).unwrap().remove(0).unwrap();
}

/// Logs points `gap_ms` apart, sealing as a daemon would. Returns the journal's bytes a point.
fn journal_bytes_per_point(points: i64, gap_ms: impl Fn(i64) -> u64) -> f64 {
    let mut ann = Device::founder();
    let run = ann.run(1, ExperimentId::DEFAULT);
    ann.store.seal(NOW).unwrap();
    let bytes = |device: &Device| -> u64 {
        let journals = device.store.reader().snapshot().unwrap().journals().unwrap();
        journals.iter().map(|journal| journal.bytes).sum()
    };
    let before = bytes(&ann);
    let (mut now, mut first_edit) = (NOW, None);
    for step in 0..points {
        log_point(&mut ann, now, run, step);
        let waited = now.0 - *first_edit.get_or_insert(now.0);
        if ann.store.unsealed_bytes() >= SEAL_BYTES || waited >= 60_000 {
            ann.store.seal(now).unwrap();
            first_edit = None;
        }
        now = UnixMillis(now.0 + gap_ms(step));
    }
    ann.store.seal(now).unwrap();
    let held = ann.store.reader().snapshot().unwrap().history(&run, "train/loss").unwrap();
    assert_eq!(held.len() as i64, points);
    (bytes(&ann) - before) as f64 / points as f64
}

#[test]
fn a_tight_loop_of_100_000_points_leaves_at_most_4_bytes_each() {
    // Five calls in a millisecond, as a fast client on the same machine makes them.
    let bytes = journal_bytes_per_point(100_000, |step| u64::from(step % 5 == 0));
    println!("{bytes:.2} bytes a point");
    assert!(bytes <= 4.0, "{bytes}");
}

#[test]
fn a_point_a_second_for_a_day_alone_leaves_at_most_16_bytes_each() {
    // A timer is late by up to 20 ms.
    let bytes = journal_bytes_per_point(86_400, |step| 1_000 + step as u64 * 7919 % 20);
    println!("{bytes:.2} bytes a point");
    assert!(bytes <= 16.0, "{bytes}");
}
