//! The doctor: looks whether a home is sound, and builds anew what is derived.
//!
//! Invariant: looking changes nothing; what is broken is named with what to do about it.

use std::path::Path;
use std::time::{Duration, Instant};

use runmesh_core::api::{Check, Diagnosis, Verdict};
use runmesh_core::audit;
use runmesh_core::ids::WorkspaceId;
use runmesh_core::store::Snapshot;

use crate::WriteError;
use crate::app::{App, AppError};
use crate::blobs::Blobs;
use crate::config::{Config, ConfigError};
use crate::home::{Home, HomeError};

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
    /// The rebuild failed; what was there before still is.
    #[error("the rebuild failed; what was there before still is")]
    Rebuild(#[source] WriteError),
    /// No threads to work with.
    #[error("cannot start the runtime")]
    Runtime(#[source] std::io::Error),
}

/// Examines the home at `path`, which no daemon may have open; with `rebuild` everything derived is
/// dropped and built again first.
pub fn examine(path: &Path, rebuild: bool) -> Result<Diagnosis, ExamineError> {
    let started = Instant::now();
    let home = Home::open(path)?;
    let config = Config::load(path)?;
    let runtime = tokio::runtime::Runtime::new().map_err(ExamineError::Runtime)?;
    runtime.block_on(async {
        let app = App::open(home, config)?;
        let mut first = None;
        if rebuild {
            let entries = app.workspace.rebuild().await.map_err(ExamineError::Rebuild)?;
            first = Some(rebuilt(entries));
        }
        let id = app.workspace.id();
        let mut diagnosis = match app.workspace.snapshot() {
            Ok(snapshot) => look(&app.home, &app.blobs, &snapshot, id),
            Err(error) => Diagnosis { checks: vec![broken("store", &error, None)], took_ms: 0 },
        };
        diagnosis.checks.splice(0..0, first);
        diagnosis.took_ms = millis(started.elapsed());
        app.workspace.stop().await;
        Ok(diagnosis)
    })
}

/// Says that everything derived was built again.
pub(crate) fn rebuilt(entries: u64) -> Check {
    ok("rebuild", format!("all that is derived was built again from {entries} entries"))
}

/// Milliseconds of a duration.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Looks at a home that is open.
pub(crate) fn look(
    home: &Home,
    blobs: &Blobs,
    snapshot: &Snapshot,
    workspace: WorkspaceId,
) -> Diagnosis {
    let started = Instant::now();
    let entries_hint = "sync with a peer from a new home: what peers hold is not lost";
    let index_hint = "build it again: `runmesh doctor --rebuild`";
    let blob_hint = "delete the file; it is fetched again from a peer that has it";
    let checks = vec![
        verdict("home", secrets(home), Some("make it so: chmod 600 device.key token")),
        verdict("disk", space(home), Some("free some space: writes are refused when it is full")),
        verdict("journals", journals(snapshot, workspace), Some(entries_hint)),
        verdict("index", index(snapshot), Some(index_hint)),
        verdict("blobs", artifacts(blobs, snapshot), Some(blob_hint)),
    ];
    Diagnosis { checks, took_ms: millis(started.elapsed()) }
}

fn ok(name: &str, detail: String) -> Check {
    Check { name: name.to_owned(), verdict: Verdict::Ok, detail, hint: None }
}

fn broken(name: &str, error: &dyn std::error::Error, hint: Option<&str>) -> Check {
    let mut detail = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        detail = format!("{detail}: {error}");
        cause = error.source();
    }
    let hint = hint.map(str::to_owned);
    Check { name: name.to_owned(), verdict: Verdict::Broken, detail, hint }
}

/// What a look came to: whether it was good, and what was seen.
type Look = Result<(Verdict, String), Cause>;

fn verdict(name: &str, look: Look, hint: Option<&str>) -> Check {
    match look {
        Ok((Verdict::Ok, detail)) => ok(name, detail),
        Ok((verdict, detail)) => {
            Check { name: name.to_owned(), verdict, detail, hint: hint.map(str::to_owned) }
        }
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
            let diagnosis = examine(dir.path(), rebuild)?;
            assert_eq!(worst(&diagnosis), Verdict::Ok, "{diagnosis:?}");
            assert_eq!(diagnosis.checks[0].name == "rebuild", rebuild);
        }
        Ok(())
    }

    #[test]
    fn a_home_in_use_is_not_touched() -> Result<(), ExamineError> {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let _daemon = Home::open(dir.path())?;
        let refused = examine(dir.path(), true);
        assert!(matches!(refused, Err(ExamineError::Home(HomeError::InUse { .. }))));
        Ok(())
    }

    #[cfg(unix)]
    #[test]
    fn a_key_that_others_can_read_is_pointed_out() -> Result<(), ExamineError> {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().expect("a temporary folder");
        examine(dir.path(), false)?;
        let key = dir.path().join("device.key");
        let open = std::fs::Permissions::from_mode(0o644);
        std::fs::set_permissions(key, open).expect("it is ours");
        let diagnosis = examine(dir.path(), false)?;
        assert_eq!(worst(&diagnosis), Verdict::Warning);
        assert!(diagnosis.checks[0].detail.contains("device.key"), "{diagnosis:?}");
        Ok(())
    }
}
