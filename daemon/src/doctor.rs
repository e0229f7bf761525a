//! The doctor: looks whether a home and the workspaces in it are sound, and builds anew what is
//! derived.
//!
//! Invariants: looking changes nothing; what is broken is named with what to do about it; a
//! workspace that cannot be opened keeps nobody from looking at the others.

use std::path::Path;
use std::time::{Duration, Instant};

use runmesh_core::api::{Check, Diagnosis, Verdict};
use runmesh_core::audit;
use runmesh_core::ids::WorkspaceId;
use runmesh_core::store::Snapshot;

use crate::WriteError;
use crate::app::AppError;
use crate::blobs::Blobs;
use crate::config::{Config, ConfigError};
use crate::device::Device;
use crate::home::{Home, HomeError};
use crate::places::{Place, PlaceError, PlaceName};
use crate::workspace::{OpenError, Workspace};

/// Less free space than this is worth a word.
const LOW_SPACE_BYTES: u64 = 1 << 30;

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why a home cannot be examined at all.
#[derive(Debug, thiserror::Error)]
pub enum ExamineError {
    /// The home cannot be opened.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// What is in it cannot be opened.
    #[error(transparent)]
    App(#[from] AppError),
    /// There is no such workspace.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// No threads to work with.
    #[error("cannot start the runtime")]
    Runtime(#[source] std::io::Error),
}

/// Examines the home at `path`, which no daemon may have open, and one of its workspaces, or all;
/// with `rebuild` everything derived of them is dropped and built again first.
pub fn examine(
    path: &Path,
    workspace: Option<&PlaceName>,
    rebuild: bool,
) -> Result<Diagnosis, ExamineError> {
    let started = Instant::now();
    let home = Home::open(path)?;
    let config = Config::load(path)?;
    let runtime = tokio::runtime::Runtime::new().map_err(ExamineError::Runtime)?;
    runtime.block_on(async {
        let device = Device::open(home, config)?;
        let mut checks = look_at_home(&device.home);
        for place in places(&device, workspace).await? {
            checks.extend(examine_one(&device, &place, rebuild).await);
        }
        device.close().await;
        Ok(Diagnosis { checks, took_ms: millis(started.elapsed()) })
    })
}

/// The workspaces that are asked for. A home that is new gets its first one.
async fn places(device: &Device, wanted: Option<&PlaceName>) -> Result<Vec<Place>, ExamineError> {
    if device.home.places()?.is_none() {
        let founded = Workspace::open(&device.home, &device.config.name).map_err(AppError::from)?;
        founded.stop().await;
    }
    let all = device.home.places()?;
    let all = all.iter().flat_map(|places| places.all()).cloned();
    let Some(name) = wanted else { return Ok(all.collect()) };
    let named: Vec<_> = all.filter(|place| place.name == *name).collect();
    if named.is_empty() {
        return Err(PlaceError::NoSuch(name.to_string()).into());
    }
    Ok(named)
}

async fn examine_one(device: &Device, place: &Place, rebuild: bool) -> Vec<Check> {
    let name = place.name.as_str();
    let workspace = match Workspace::open_one(&device.home, place.id) {
        Ok(workspace) => workspace,
        Err(error) => return vec![not_opened(name, &error)],
    };
    let mut checks = Vec::new();
    if rebuild {
        checks.push(rebuilt(name, workspace.rebuild().await));
    }
    match workspace.snapshot() {
        Ok(snapshot) => {
            checks.extend(look_at_workspace(name, &device.blobs, &snapshot, place.id));
        }
        Err(error) => checks.push(not_opened(name, &error.into())),
    }
    workspace.stop().await;
    checks
}

fn not_opened(name: &str, error: &OpenError) -> Check {
    of_workspace(name, broken("store", error, Some(ENTRIES_HINT)))
}

/// Says what came of building everything derived of a workspace again.
pub(crate) fn rebuilt(name: &str, entries: Result<u64, WriteError>) -> Check {
    let check = match entries {
        Ok(entries) => {
            ok("rebuild", format!("all that is derived was built again from {entries} entries"))
        }
        Err(error) => {
            broken("rebuild", &error, Some("what was there before still is; see what is wrong"))
        }
    };
    of_workspace(name, check)
}

/// Milliseconds of a duration.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// What to do where entries are not what they should be.
const ENTRIES_HINT: &str = "sync with a peer from a new home: what peers hold is not lost";

/// Looks at what a home has one of.
pub(crate) fn look_at_home(home: &Home) -> Vec<Check> {
    vec![
        verdict("home", secrets(home), Some("make it so: chmod 600 device.key token")),
        verdict("disk", space(home), Some("free some space: writes are refused when it is full")),
    ]
}

/// Looks at a workspace that is open, and that the home calls `name`.
pub(crate) fn look_at_workspace(
    name: &str,
    blobs: &Blobs,
    snapshot: &Snapshot,
    id: WorkspaceId,
) -> Vec<Check> {
    let index_hint = "build it again: `runmesh doctor --rebuild`";
    let blob_hint = "delete the file; it is fetched again from a peer that has it";
    let checks = [
        verdict("journals", journals(snapshot, id), Some(ENTRIES_HINT)),
        verdict("index", index(snapshot), Some(index_hint)),
        verdict("blobs", artifacts(blobs, snapshot), Some(blob_hint)),
    ];
    checks.into_iter().map(|check| of_workspace(name, check)).collect()
}

fn of_workspace(name: &str, check: Check) -> Check {
    Check { workspace: Some(name.to_owned()), ..check }
}

fn check(name: &str, verdict: Verdict, detail: String, hint: Option<&str>) -> Check {
    let hint = hint.map(str::to_owned);
    Check { name: name.to_owned(), workspace: None, verdict, detail, hint }
}

fn ok(name: &str, detail: String) -> Check {
    check(name, Verdict::Ok, detail, None)
}

fn broken(name: &str, error: &dyn std::error::Error, hint: Option<&str>) -> Check {
    let mut detail = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        detail = format!("{detail}: {error}");
        cause = error.source();
    }
    check(name, Verdict::Broken, detail, hint)
}

/// What a look came to: whether it was good, and what was seen.
type Look = Result<(Verdict, String), Cause>;

fn verdict(name: &str, look: Look, hint: Option<&str>) -> Check {
    match look {
        Ok((Verdict::Ok, detail)) => ok(name, detail),
        Ok((verdict, detail)) => check(name, verdict, detail, hint),
        Err(error) => broken(name, error.as_ref(), hint),
    }
}

fn secrets(home: &Home) -> Look {
    let path = home.path().display();
    #[cfg(unix)]
    for file in ["device.key", "token"] {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(home.path().join(file))?.permissions().mode();
        if mode & 0o077 != 0 {
            return Ok((Verdict::Warning, format!("others can read {path}/{file}")));
        }
    }
    Ok((Verdict::Ok, format!("{path}, its secrets are its owner's alone")))
}

fn space(home: &Home) -> Look {
    let free = fs4::available_space(home.path())?;
    let verdict = if free < LOW_SPACE_BYTES { Verdict::Warning } else { Verdict::Ok };
    Ok((verdict, format!("{} MiB are free", free >> 20)))
}

/// Verifies every entry: its place in its journal, its content and its signature.
fn journals(snapshot: &Snapshot, workspace: WorkspaceId) -> Look {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let verified = audit::verify(snapshot, workspace, threads)?;
    if let Some(wrong) = verified.wrong.into_iter().next() {
        return Err(wrong.why.into());
    }
    let (entries, count, kib) = (verified.entries, verified.journals, verified.bytes >> 10);
    Ok((Verdict::Ok, format!("{entries} entries of {count} journals are genuine ({kib} KiB)")))
}

/// Reads every row and every history.
fn index(snapshot: &Snapshot) -> Look {
    let experiments = snapshot.experiments()?.len();
    let (mut runs, mut points) = (0u64, 0u64);
    for row in snapshot.runs()? {
        let row = row?;
        runs += 1;
        for metric in &row.metrics {
            let series = snapshot.series(&row.id, &metric.key, &metric.context)?;
            if series.is_empty() {
                let detail = format!("metric {:?} of run {} has no points", metric.key, row.id);
                return Ok((Verdict::Broken, detail));
            }
            points += series.len() as u64;
        }
    }
    let counts = snapshot.counts()?;
    let mut detail =
        format!("{experiments} experiments, {runs} runs and {points} points read well");
    if counts.waiting_changes > 0 {
        let waiting = counts.waiting_changes;
        detail = format!("{detail}; {waiting} changes wait for others to arrive");
        return Ok((Verdict::Ok, detail));
    }
    Ok((Verdict::Ok, detail))
}

/// Compares the size of every blob that is here with what its artifact says.
fn artifacts(blobs: &Blobs, snapshot: &Snapshot) -> Look {
    let (mut here, mut elsewhere) = (0u64, 0u64);
    for (_, row) in snapshot.all_artifacts()? {
        match blobs.size(&row.blob)? {
            Some(size) if size == row.size => here += 1,
            Some(size) => {
                let detail = format!("blob {} has {size} bytes, not {}", row.blob, row.size);
                return Ok((Verdict::Broken, detail));
            }
            None => elsewhere += 1,
        }
    }
    Ok((Verdict::Ok, format!("{here} artifacts are here, {elsewhere} on other devices")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worst(diagnosis: &Diagnosis) -> Verdict {
        let verdicts = diagnosis.checks.iter().filter(|check| check.name != "disk");
        verdicts.map(|check| check.verdict).max().unwrap_or(Verdict::Ok)
    }

    #[test]
    fn a_new_home_is_sound_before_and_after_a_rebuild() -> Result<(), ExamineError> {
        let dir = tempfile::tempdir().expect("a temporary folder");
        for rebuild in [false, true] {
            let diagnosis = examine(dir.path(), None, rebuild)?;
            assert_eq!(worst(&diagnosis), Verdict::Ok, "{diagnosis:?}");
            assert_eq!(diagnosis.checks[2].name == "rebuild", rebuild);
        }
        Ok(())
    }

    /// What was looked at of each workspace of a home.
    fn looked_at(diagnosis: &Diagnosis) -> Vec<(&str, &str)> {
        let of_some = diagnosis.checks.iter().filter_map(|check| {
            check.workspace.as_deref().map(|workspace| (workspace, check.name.as_str()))
        });
        of_some.collect()
    }

    #[test]
    fn every_workspace_is_looked_at_and_one_that_is_broken_hides_no_other() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let open = || Home::open(dir.path()).expect("a home");
        let runtime = tokio::runtime::Runtime::new().expect("threads");
        let lab = runtime.block_on(async {
            let home = open();
            let first = Workspace::open(&home, "ann").expect("a workspace");
            let lab = Workspace::found(&home, "lab", "ann").expect("another");
            let listed = home.change_places(|places| places.add(lab.id(), "lab".parse().unwrap()));
            listed.expect("a list");
            first.stop().await;
            lab.stop().await;
            home.workspace_dir(&lab.id()).expect("a folder")
        });
        let all = examine(dir.path(), None, false).expect("a diagnosis");
        let three = |name| [(name, "journals"), (name, "index"), (name, "blobs")];
        assert_eq!(looked_at(&all), [three("ann"), three("lab")].concat());
        let name = |text: &str| text.parse::<PlaceName>().expect("a name");
        let one = examine(dir.path(), Some(&name("lab")), true).expect("a diagnosis");
        assert_eq!(looked_at(&one)[0], ("lab", "rebuild"));
        assert_eq!(looked_at(&one)[1..], three("lab"));
        let none = examine(dir.path(), Some(&name("lap")), false);
        assert!(matches!(none, Err(ExamineError::Place(PlaceError::NoSuch(_)))), "{none:?}");

        std::fs::write(lab.join("store.redb"), b"not a store").expect("it is ours");
        let broken = examine(dir.path(), None, true).expect("a diagnosis");
        assert_eq!(worst(&broken), Verdict::Broken);
        let [.., last] = &broken.checks[..] else { panic!("{broken:?}") };
        assert_eq!((last.workspace.as_deref(), last.name.as_str()), (Some("lab"), "store"));
        let ann = looked_at(&broken).into_iter().filter(|(workspace, _)| *workspace == "ann");
        assert_eq!(ann.count(), 4);
    }

    #[test]
    fn a_home_in_use_is_not_touched() -> Result<(), ExamineError> {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let _daemon = Home::open(dir.path())?;
        let refused = examine(dir.path(), None, true);
        assert!(matches!(refused, Err(ExamineError::Home(HomeError::InUse { .. }))));
        Ok(())
    }

    #[cfg(unix)]
    #[test]
    fn a_key_that_others_can_read_is_pointed_out() -> Result<(), ExamineError> {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().expect("a temporary folder");
        examine(dir.path(), None, false)?;
        let key = dir.path().join("device.key");
        let open = std::fs::Permissions::from_mode(0o644);
        std::fs::set_permissions(key, open).expect("it is ours");
        let diagnosis = examine(dir.path(), None, false)?;
        assert_eq!(worst(&diagnosis), Verdict::Warning);
        assert!(diagnosis.checks[0].detail.contains("device.key"), "{diagnosis:?}");
        Ok(())
    }
}
