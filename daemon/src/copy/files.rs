//! Files: those of a run, of a logged model, of a trace.
//!
//! Invariants: a file is here, and came through the workspace that names it, before the other one
//! may serve it: who only knows a hash must not have it handed on. Files are the same bytes, but
//! for the small ones in which clients look up whose they are: those name the copies.

use runmesh_core::action::Action;
use runmesh_core::ids::{BlobHash, DocumentId, RunId};
use runmesh_core::rows::{ArtifactRow, RunRow};
use runmesh_core::store::Snapshot;
use tokio::io::AsyncReadExt;

use super::{CopyError, Copying, Thing};
use crate::blobs::{Lease, NotFetched, Wanted, off_the_runtime};

/// What a model is: the file in which clients find the model and the run that it is of.
const MLMODEL: &str = "MLmodel";
/// The steps of a trace as clients of MLflow 2 write them, which name the trace.
const TRACE_FILE: &str = "traces.json";
/// A larger one is copied as it is.
const MAX_NAMING_BYTES: u64 = 16 << 20;

/// A folder of files, and where their copies go.
pub(super) struct Folder<'a> {
    /// Whose they are.
    pub(super) of: Thing<'a>,
    /// Who owns them and their copies.
    pub(super) owners: (DocumentId, DocumentId),
    /// What their paths and those of their copies start with; empty or ending in a slash.
    pub(super) heads: (String, String),
    /// What clients call the folders.
    pub(super) addresses: (String, String),
}

impl Copying<'_> {
    /// The files of a run.
    pub(super) async fn folder_of_run(
        &self,
        run: &RunRow,
        copy: RunId,
    ) -> Result<Folder<'static>, CopyError> {
        let experiment = self.experiment(run.experiment).await?;
        Ok(Folder {
            of: Thing::Run(run.id),
            owners: (DocumentId::run(run.id), DocumentId::run(copy)),
            heads: (String::new(), String::new()),
            addresses: (format!("{}/{}/", run.experiment, run.id), format!("{experiment}/{copy}/")),
        })
    }

    /// Copies files, which must be here: nobody else of the other workspace could have them.
    pub(super) async fn copy_files(
        &self,
        folder: &Folder<'_>,
        there: &Snapshot,
    ) -> Result<(), CopyError> {
        let (from, to) = folder.owners;
        for file in self.source.artifacts_below(from, &folder.heads.0)? {
            let path = format!("{}{}", folder.heads.1, &file.path[folder.heads.0.len()..]);
            let held = there.artifact(to, &path)?.map(|held| held.blob);
            if is_naming(&file) {
                self.copy_naming(folder, &file, path, held).await?;
            } else if held != Some(file.blob) {
                let _lease = self.lease(file.blob).await;
                self.bring(folder, &file).await?;
                self.put(to, path, file.blob, file.size).await?;
            }
        }
        Ok(())
    }

    /// Copies a file so that it names copies where it named what is copied.
    async fn copy_naming(
        &self,
        folder: &Folder<'_>,
        file: &ArtifactRow,
        path: String,
        held: Option<BlobHash>,
    ) -> Result<(), CopyError> {
        let _lease = self.lease(file.blob).await;
        let mut bytes = Vec::new();
        let read = self.bring(folder, file).await?.read_to_end(&mut bytes).await;
        read.map_err(|source| CopyError::File {
            of: folder.of.to_string(),
            path: file.path.clone(),
            source,
        })?;
        let named = std::str::from_utf8(&bytes).ok().and_then(|text| {
            if name_of(file) == TRACE_FILE {
                return self.names.in_json(text);
            }
            let (from, to) = &folder.addresses;
            Some(self.names.within(&text.replace(from, to)))
        });
        let named = named.map_or(bytes, String::into_bytes);
        if held == Some(BlobHash::new(*blake3::hash(&named).as_bytes())) {
            return Ok(());
        }
        let imported = self.to.blobs.import(named.as_slice()).await?;
        self.put(folder.owners.1, path, imported.hash, imported.size).await
    }

    /// Puts a blob that is here under a path of the other workspace.
    async fn put(
        &self,
        owner: DocumentId,
        path: String,
        blob: BlobHash,
        size: u64,
    ) -> Result<(), CopyError> {
        self.to.grant(vec![blob]).await?;
        self.to.workspace.act(Action::PutArtifact { owner, path, blob, size }).await?;
        Ok(())
    }

    /// Keeps a blob from being collected until it is granted.
    async fn lease(&self, blob: BlobHash) -> Lease {
        let blobs = self.to.blobs.clone();
        off_the_runtime(move || blobs.lease(blob)).await
    }

    /// Sees to it that a file is here, and opens it.
    async fn bring(
        &self,
        folder: &Folder<'_>,
        file: &ArtifactRow,
    ) -> Result<tokio::fs::File, CopyError> {
        self.fetched(file).await.map_err(|source| CopyError::Artifact {
            of: folder.of.to_string(),
            path: file.path.clone(),
            source: Box::new(source),
        })
    }

    async fn fetched(&self, file: &ArtifactRow) -> Result<tokio::fs::File, NotFetched> {
        let (hash, size) = (file.blob, file.size);
        if !self.source.is_granted(&hash).unwrap_or(false) {
            self.from.fetch_now(Wanted { hash, size, uploaded_by: None }).await?;
        }
        self.from.open_blob(file).await
    }
}

fn name_of(file: &ArtifactRow) -> &str {
    file.path.rsplit('/').next().unwrap_or_default()
}

fn is_naming(file: &ArtifactRow) -> bool {
    [MLMODEL, TRACE_FILE].contains(&name_of(file)) && file.size <= MAX_NAMING_BYTES
}
