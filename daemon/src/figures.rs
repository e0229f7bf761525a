//! Figures that take long to count where there is much: blobs, and bytes on the disk.
//!
//! Invariant: who asks waits for at most [`PATIENCE`]. What took long to count is believed for a
//! while, so that monitors do not keep the disk busy; what is counted fast is always counted anew.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use runmesh_core::api::{BlobStatus, DiskStatus};
use runmesh_core::store::{Snapshot, StoreError};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::app::App;
use crate::blobs::BlobError;
use crate::causes::with_causes;

/// How long who asks waits for new figures before taking those of last time.
const PATIENCE: Duration = Duration::from_millis(300);
/// Counting that takes no longer is done for everyone who asks.
const FAST: Duration = Duration::from_millis(50);
/// For how many times as long as it took slow counting is believed.
const BELIEVED: u32 = 20;

/// What was counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counted {
    /// Blobs.
    pub blobs: BlobStatus,
    /// Bytes on the disk.
    pub disk: DiskStatus,
}

/// Figures of a home, and whether they are being counted.
pub struct Figures {
    last: Mutex<Option<Last>>,
    counting: Mutex<bool>,
    counted: watch::Sender<u64>,
}

#[derive(Clone)]
struct Last {
    counted: Counted,
    at: Instant,
    took: Duration,
}

#[derive(Debug, thiserror::Error)]
enum CountError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Blob(#[from] BlobError),
    #[error("the disk cannot be measured")]
    Disk(#[from] io::Error),
}

impl Default for Figures {
    fn default() -> Self {
        Self { last: Mutex::default(), counting: Mutex::default(), counted: watch::Sender::new(0) }
    }
}

impl Figures {
    /// The figures as they are now, or as they were lately.
    pub async fn of(app: &Arc<App>) -> Counted {
        let figures = &app.figures;
        if let Some(last) = figures.last().filter(Last::is_believed) {
            return last.counted;
        }
        let mut counted = figures.counted.subscribe();
        figures.count(app);
        // Time being up is no fault: then the last figures have to do.
        let _ = timeout(PATIENCE, counted.changed()).await;
        figures.last().map(|last| last.counted).unwrap_or_default()
    }

    fn last(&self) -> Option<Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Starts to count, unless somebody does.
    fn count(&self, app: &Arc<App>) {
        let mut counting = self.counting.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::replace(&mut *counting, true) {
            return;
        }
        let app = Arc::clone(app);
        tokio::task::spawn_blocking(move || {
            let started = Instant::now();
            let counted = count(&app);
            let figures = &app.figures;
            *figures.counting.lock().unwrap_or_else(PoisonError::into_inner) = false;
            match counted {
                Ok(counted) => {
                    let (at, took) = (Instant::now(), started.elapsed());
                    *figures.last.lock().unwrap_or_else(PoisonError::into_inner) =
                        Some(Last { counted, at, took });
                }
                Err(error) => tracing::warn!("cannot count what is here: {}", with_causes(&error)),
            }
            figures.counted.send_modify(|count| *count += 1);
        });
    }
}

impl Last {
    fn is_believed(&self) -> bool {
        self.took > FAST && self.at.elapsed() < self.took * BELIEVED
    }
}

fn count(app: &App) -> Result<Counted, CountError> {
    let snapshot = app.workspace.snapshot()?;
    Ok(Counted { blobs: blobs(app, &snapshot)?, disk: disk(app, &snapshot)? })
}

fn blobs(app: &App, snapshot: &Snapshot) -> Result<BlobStatus, CountError> {
    let usage = app.blobs.usage()?;
    let mut status = BlobStatus { held: usage.blobs, bytes: usage.bytes, queued: 0, elsewhere: 0 };
    let mut seen = HashSet::new();
    for (_, row) in snapshot.all_artifacts()? {
        if !seen.insert(row.blob) || app.blobs.has(&row.blob)? {
            continue;
        }
        match app.config.blobs.wants(row.size) {
            true => status.queued += 1,
            false => status.elsewhere += 1,
        }
    }
    Ok(status)
}

fn disk(app: &App, snapshot: &Snapshot) -> Result<DiskStatus, CountError> {
    let home = app.home.path();
    let workspace = home.join("workspaces").join(app.workspace.id().to_string());
    Ok(DiskStatus {
        store_bytes: size_of(&workspace)?,
        journal_bytes: snapshot.journals()?.iter().map(|journal| journal.bytes).sum(),
        blob_bytes: size_of(&app.home.blobs_dir())?,
        free_bytes: fs4::available_space(home)?,
    })
}

/// What a folder and all in it take on disk. Files that go away meanwhile take nothing.
fn size_of(path: &Path) -> io::Result<u64> {
    let gone = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    let mut total = 0;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        match entry.metadata() {
            Ok(meta) if meta.is_dir() => total += size_of(&entry.path())?,
            Ok(meta) => total += size_on_disk(&meta),
            Err(error) if gone(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(total)
}

/// What a file takes on disk: a store's file may have holes.
fn size_on_disk(meta: &fs::Metadata) -> u64 {
    #[cfg(unix)]
    let bytes = std::os::unix::fs::MetadataExt::blocks(meta) * 512;
    #[cfg(not(unix))]
    let bytes = meta.len();
    bytes
}
