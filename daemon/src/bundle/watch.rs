//! The watched folder: every bundle that appears there is imported.
//!
//! A shared file system tells nobody of changes, so the folder is listed every few seconds. Only
//! files whose names end in `.bundle` count: whoever drops one writes it under another name and
//! renames it. Files are never changed or removed. What was imported is noted in the home by name,
//! size and time of change, so that a restart reads nothing again; reading again would change
//! nothing.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use runmesh_core::api::{BundleReport, WatchStatus};
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;

use super::import::{ImportError, import};
use crate::causes::with_causes;
use crate::workspaces::Workspaces;

/// How often the folder is listed.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How many failures are shown.
const MAX_SHOWN: usize = 16;
/// What the names of bundles end in.
const SUFFIX: &str = "bundle";

/// A file as it was when it was imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stamp {
    size: u64,
    changed_ns: u64,
}

/// What was imported, by name.
pub(crate) type Seen = BTreeMap<String, Stamp>;

/// What a person is told of the watched folder.
#[derive(Debug, Default)]
pub struct WatchState(Mutex<Told>);

#[derive(Debug, Default)]
struct Told {
    imported: u64,
    last: Option<String>,
    failed: BTreeMap<String, String>,
    error: Option<String>,
}

impl WatchState {
    /// For the status of the device.
    pub fn status(&self, folder: &Path) -> WatchStatus {
        let told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = told.failed.iter().map(|(name, why)| format!("{name}: {why}"));
        WatchStatus {
            folder: folder.display().to_string(),
            imported: told.imported,
            last: told.last.clone(),
            failed: told.error.iter().cloned().chain(failed).take(MAX_SHOWN).collect(),
        }
    }

    fn change(&self, change: impl FnOnce(&mut Told)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// The task that watches a folder.
pub struct Watch(JoinHandle<()>);

impl Watch {
    /// Watches the folder of the configuration until the daemon stops.
    pub fn start(workspaces: &Arc<Workspaces>) -> Option<Self> {
        let folder = workspaces.device().config.watch_dir.clone()?;
        let workspaces = Arc::clone(workspaces);
        Some(Self(tokio::spawn(async move {
            let mut failed = Seen::new();
            loop {
                let (looking, folder) = (Arc::clone(&workspaces), folder.clone());
                let look = move || {
                    let looked = look(&looking, &folder, &mut failed);
                    let error =
                        looked.err().map(|error| format!("the folder cannot be read: {error}"));
                    looking.device().watch.change(|told| told.error = error);
                    failed
                };
                match tokio::task::spawn_blocking(look).await {
                    Ok(same) => failed = same,
                    Err(_) => return,
                }
                tokio::select! {
                    () = workspaces.device().stopping.cancelled() => return,
                    () = tokio::time::sleep(LOOK_EVERY) => {}
                }
            }
        })))
    }

    /// Waits until the import under way is done.
    pub async fn stop(self) {
        // A panic was logged where it happened.
        let _ = self.0.await;
    }
}

/// Imports what is new in the folder. `failed` holds what could not be, as it was then.
fn look(workspaces: &Workspaces, folder: &Path, failed: &mut Seen) -> io::Result<()> {
    let there = list(folder)?;
    let device = workspaces.device();
    let mut seen = device.home.watched().map_err(io::Error::other)?;
    let known = seen.len();
    seen.retain(|name, _| there.contains_key(name));
    failed.retain(|name, _| there.contains_key(name));
    device.watch.change(|told| told.failed.retain(|name, _| there.contains_key(name)));
    let mut changed = seen.len() != known;
    for (name, stamp) in &there {
        if device.stopping.is_cancelled() {
            break;
        }
        if seen.get(name) == Some(stamp) || failed.get(name) == Some(stamp) {
            continue;
        }
        let Taken { whole, brought } = take(workspaces, name, &folder.join(name));
        if brought {
            // What others lacked may be here now.
            failed.clear();
        }
        let list = if whole { &mut seen } else { &mut *failed };
        list.insert(name.clone(), *stamp);
        changed |= whole;
    }
    if changed {
        device.home.set_watched(&seen).map_err(io::Error::other)?;
    }
    Ok(())
}

fn list(folder: &Path) -> io::Result<BTreeMap<String, Stamp>> {
    let mut there = BTreeMap::new();
    for file in fs::read_dir(folder)? {
        let file = file?;
        let path = PathBuf::from(file.file_name());
        let (Some(name), Some(SUFFIX)) =
            (path.to_str(), path.extension().and_then(|end| end.to_str()))
        else {
            continue;
        };
        // Another may have taken it away meanwhile.
        let Ok(meta) = fs::metadata(file.path()) else { continue };
        if !meta.is_file() || name.starts_with('.') {
            continue;
        }
        let changed = meta.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        let changed_ns = u64::try_from(changed.as_nanos()).unwrap_or(u64::MAX);
        there.insert(name.to_owned(), Stamp { size: meta.len(), changed_ns });
    }
    Ok(there)
}

/// What came of one bundle.
struct Taken {
    /// Whether all of it is here now.
    whole: bool,
    /// Whether it brought entries.
    brought: bool,
}

/// Imports a bundle into the workspace that it is of.
fn import_where_it_belongs(workspaces: &Workspaces, path: &Path) -> Result<BundleReport, String> {
    let open = || File::open(path).map_err(|error| error.to_string());
    let imported = match import(&workspaces.current().app, open()?) {
        Err(ImportError::OtherWorkspace { of, here }) => match workspaces.with_id(of) {
            Some(space) => import(&space.app, open()?),
            None => Err(ImportError::OtherWorkspace { of, here }),
        },
        imported => imported,
    };
    imported.map_err(|error| with_causes(&error))
}

fn take(workspaces: &Workspaces, name: &str, path: &Path) -> Taken {
    let watch = &workspaces.device().watch;
    match import_where_it_belongs(workspaces, path) {
        Ok(report) if report.is_complete() => {
            let said = format!("{name} brought {}", brought(&report));
            tracing::info!("{said}");
            watch.change(|told| {
                told.imported += 1;
                told.failed.remove(name);
                told.last = Some(said);
            });
            Taken { whole: true, brought: brought_entries(&report) }
        }
        Ok(report) => {
            told_failed(
                watch,
                name,
                format!("{} (it brought {})", wrong(&report), brought(&report)),
            );
            Taken { whole: false, brought: brought_entries(&report) }
        }
        Err(error) => {
            told_failed(watch, name, error);
            Taken { whole: false, brought: false }
        }
    }
}

fn told_failed(watch: &WatchState, name: &str, why: String) {
    tracing::warn!("bundle {name} was not imported whole: {why}");
    watch.change(|told| {
        told.last = Some(format!("{name}: {why}"));
        told.failed.insert(name.to_owned(), why);
    });
}

const fn brought_entries(report: &BundleReport) -> bool {
    report.entries_new > 0 || report.entries_carried > 0
}

fn brought(report: &BundleReport) -> String {
    format!("{} new entries and {} new blobs", report.entries_new, report.blobs_new)
}

fn wrong(report: &BundleReport) -> String {
    if let Some(broken) = &report.broken {
        return broken.clone();
    }
    if let Some(missing) = report.missing.first() {
        let (from, until) = (missing.from, missing.until);
        return format!("entries {from} to {until} of device {} are missing", missing.device);
    }
    match report.stuck.first() {
        Some(stuck) => stuck.why.clone(),
        None => "a blob in it is not what its hash says".to_owned(),
    }
}
