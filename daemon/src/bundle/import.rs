//! Reading a bundle: what it brings is verified and stored like what a session brings.
//!
//! Invariants: entries and blobs are stored as they come, so that of a bundle that breaks off
//! everything before the break stays; a blob is stored only if an entry of the workspace names it
//! and its bytes have its hash; what is here already changes nothing. What this device itself had
//! written and does not hold any more is written anew, as in a session.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use runmesh_core::api::{BundleHead, BundleReport, MissingEntries, Named, StuckJournal};
use runmesh_core::bundle::{BundleError, BundleReader, BundleStart, Part};
use runmesh_core::entry::EntryError;
use runmesh_core::ids::{BlobHash, DeviceId, JournalId, WorkspaceId};
use runmesh_core::store::{Fault, Snapshot, StoreError};
use runmesh_core::sync::{self, BATCH_BYTES, Batch, Message};
use runmesh_core::vector::VersionVector;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::io::StreamReader;

use super::acknowledged;
use super::sealed::{self, SealedError};
use crate::app::App;
use crate::blobs::{BlobError, Imported};
use crate::home::HomeError;
use crate::workspace::{device_of, signing_key};
use crate::{WriteError, lines};

/// How many bytes of entries are stored in one transaction.
const GROUP_BYTES: usize = 4 * BATCH_BYTES;
/// How many bytes of entries wait for others of the same bundle that say who may write.
const PUT_OFF_BYTES: usize = 16 << 20;
/// Pieces of a blob on their way to the disk.
const PIECES: usize = 4;

/// Why no more of another line of this device's journal is carried over.
const TOO_MANY_LINES: &str = "this device's journal has more lines than are carried over";
/// The same.
const NOT_SIGNED: &str = "entries of this device's journal are damaged, or not signed by it";

/// Why nothing of a bundle was taken, or no more of it.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// It is none, or its first part is damaged.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// It cannot be decrypted.
    #[error(transparent)]
    Sealed(#[from] SealedError),
    /// It is of another workspace.
    #[error("the bundle is of workspace {of}, and this device is in workspace {here}")]
    OtherWorkspace {
        /// The bundle's.
        of: WorkspaceId,
        /// This device's.
        here: WorkspaceId,
    },
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// A blob cannot be stored.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// The home cannot be written.
    #[error(transparent)]
    Home(#[from] HomeError),
}

/// Reads a bundle and stores what it brings. Blocks, so it runs on a thread of its own.
pub fn import(app: &Arc<App>, input: impl Read + Send) -> Result<BundleReport, ImportError> {
    let (mut reader, start) = begin(app, input)?;
    let here = app.workspace.id();
    if start.workspace != here {
        return Err(ImportError::OtherWorkspace { of: start.workspace, here });
    }
    let mut import = Import::new(app, &start);
    let broken = import.read_all(&mut reader)?;
    import.settle()?;
    let members = app.workspace.snapshot()?.membership()?;
    if members.role(&start.device).is_some() {
        acknowledged::note(&app.home, &here, start.device, start.made_ms, &start.until)?;
    }
    Ok(import.report(broken, reader.offset()))
}

/// Reads a bundle and stores nothing: says what is in it, and whether it is whole.
pub fn inspect(app: &Arc<App>, input: impl Read + Send) -> Result<BundleReport, ImportError> {
    let (mut reader, start) = begin(app, input)?;
    let mut report = BundleReport::of(head(&start));
    loop {
        match reader.next() {
            Ok(Some(Part::Entries(Message::Entries { entries, .. }))) => {
                report.entries += entries.len() as u64;
            }
            Ok(Some(Part::Blob { size, .. })) => {
                report.blobs += 1;
                report.blob_bytes += size;
            }
            Ok(Some(_)) => {}
            Ok(None) => break,
            Err(error) => {
                report.broken = Some(with_cause(&error));
                break;
            }
        }
    }
    report.bytes = reader.offset();
    Ok(report)
}

type PlainReader<'a> = BundleReader<Box<dyn Read + Send + 'a>>;

fn begin<'a>(
    app: &App,
    input: impl Read + Send + 'a,
) -> Result<(PlainReader<'a>, BundleStart), ImportError> {
    let mut reader = BundleReader::new(sealed::open(input, &signing_key(&app.home))?)?;
    let offset = reader.offset();
    match reader.next()? {
        Some(Part::Start(start)) => Ok((reader, start)),
        _ => Err(BundleError::OutOfPlace { offset }.into()),
    }
}

fn head(start: &BundleStart) -> BundleHead {
    let mut until = Vec::new();
    start.until.put(&mut until);
    BundleHead {
        workspace: start.workspace,
        device: Named { id: start.device, name: start.name.clone() },
        made_ms: start.made_ms,
        from_entries: start.from.entries(),
        until_entries: start.until.entries(),
        until: data_encoding::BASE64.encode(&until),
    }
}

fn with_cause(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
}

/// A bundle on its way into the store.
struct Import<'a> {
    app: &'a App,
    device: DeviceId,
    runtime: Handle,
    report: BundleReport,
    group: Vec<Batch>,
    group_bytes: usize,
    put_off: Vec<Batch>,
    put_off_bytes: usize,
    /// What who has imported all of it holds, as the bundle says.
    until: VersionVector,
    faults: BTreeMap<JournalId, Fault>,
    /// The blobs that the workspace names and that are not granted; none before the first blob.
    wanted: Option<HashMap<BlobHash, u64>>,
    blob: Option<Incoming>,
}

impl<'a> Import<'a> {
    fn new(app: &'a App, start: &BundleStart) -> Self {
        Self {
            app,
            device: device_of(&app.home),
            runtime: Handle::current(),
            report: BundleReport::of(head(start)),
            group: Vec::new(),
            group_bytes: 0,
            put_off: Vec::new(),
            put_off_bytes: 0,
            until: start.until.clone(),
            faults: BTreeMap::new(),
            wanted: None,
            blob: None,
        }
    }

    /// Stores part after part; returns where the bundle broke, if it did.
    fn read_all(&mut self, reader: &mut PlainReader<'_>) -> Result<Option<String>, ImportError> {
        loop {
            match reader.next() {
                Ok(Some(part)) => self.take(part)?,
                Ok(None) => return Ok(None),
                Err(error) => return Ok(Some(with_cause(&error))),
            }
        }
    }

    fn take(&mut self, part: Part) -> Result<(), ImportError> {
        match part {
            Part::Entries(Message::Entries { journal, first, previous, entries }) => {
                self.report.entries += entries.len() as u64;
                self.group_bytes += entries.iter().map(Vec::len).sum::<usize>();
                self.group.push(Batch { journal, first, previous, entries });
                if self.group_bytes >= GROUP_BYTES {
                    self.store_group()?;
                }
                Ok(())
            }
            Part::Blob { hash, size } => {
                self.store_group()?;
                self.finish_blob()?;
                self.begin_blob(hash, size)
            }
            Part::Chunk(bytes) => {
                if let Some(blob) = &mut self.blob {
                    blob.push(bytes);
                }
                Ok(())
            }
            Part::End { .. } => self.finish_blob(),
            Part::Start(_) | Part::Entries(_) => Ok(()),
        }
    }

    /// Stores what has gathered of entries; what others of the bundle may yet allow is put off.
    fn store_group(&mut self) -> Result<(), ImportError> {
        self.group_bytes = 0;
        let batches = std::mem::take(&mut self.group);
        let kept = batches.clone();
        for (journal, fault) in self.store(batches)? {
            if may_pass(&fault) {
                for batch in kept.iter().filter(|batch| batch.journal == journal) {
                    let bytes: usize = batch.entries.iter().map(Vec::len).sum();
                    if self.put_off_bytes + bytes <= PUT_OFF_BYTES {
                        self.put_off_bytes += bytes;
                        self.put_off.push(batch.clone());
                    }
                }
            }
            self.faults.entry(journal).or_insert(fault);
        }
        Ok(())
    }

    fn store(&mut self, batches: Vec<Batch>) -> Result<Vec<(JournalId, Fault)>, ImportError> {
        if batches.is_empty() {
            return Ok(Vec::new());
        }
        let batches = self.carry_own_lines(batches)?;
        let snapshot = self.app.workspace.snapshot()?;
        let mut own = Vec::new();
        for batch in &batches {
            if self.is_lost(&snapshot, batch)? {
                own.push(batch.clone());
            }
        }
        let (vector, id) = (snapshot.vector()?, self.app.workspace.id());
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let (good, mut faults) = sync::verify(id, &vector, batches, threads);
        if !good.is_empty() {
            let mut ingested = self.runtime.block_on(self.app.workspace.ingest(good))?;
            self.report.entries_new += ingested.entries as u64;
            faults.append(&mut ingested.faults);
        }
        // What was edited here meanwhile is sealed by now, under numbers that the bundle may use.
        let wanted = own.len();
        if self.carry_own_lines(own)?.len() < wanted {
            let this = self.device;
            faults.retain(|(journal, _)| journal.device != this);
        }
        Ok(faults)
    }

    /// Whether a batch is of this device's own journal, of which the bundle holds what is not here.
    fn is_lost(&self, snapshot: &Snapshot, batch: &Batch) -> Result<bool, StoreError> {
        let journal = &batch.journal;
        Ok(journal.device == self.device && !snapshot.holds(journal, &self.until.tip(journal))?)
    }

    /// Carries over what is of another line of this device's journal than it has here. Returns the
    /// other batches.
    fn carry_own_lines(&mut self, batches: Vec<Batch>) -> Result<Vec<Batch>, ImportError> {
        let workspace = &self.app.workspace;
        let mut rest = Vec::with_capacity(batches.len());
        for batch in batches {
            let snapshot = workspace.snapshot()?;
            // Of most bundles all that this device wrote stands here as it does there.
            let is_lost = self.is_lost(&snapshot, &batch)?;
            if !is_lost || !snapshot.is_another_line(workspace.id(), &batch)? {
                rest.push(batch);
                continue;
            }
            let wanted = batch.first + batch.entries.len() as u64;
            let reclaimed = self.runtime.block_on(lines::reclaim(workspace, batch))?;
            self.report.entries_carried += reclaimed.carried.entries as u64;
            let why = match reclaimed.tip {
                _ if reclaimed.carried.frozen => TOO_MANY_LINES,
                Some(tip) if tip.count == wanted => continue,
                _ => NOT_SIGNED,
            };
            self.report.stuck.push(StuckJournal { device: self.device, why: why.to_owned() });
        }
        Ok(rest)
    }

    /// Stores what was gathered or put off, and ends a blob that broke off.
    fn settle(&mut self) -> Result<(), ImportError> {
        self.blob = None;
        self.store_group()?;
        // Each round may let in another device's journal.
        while !self.put_off.is_empty() {
            let before = self.report.entries_new;
            let again = std::mem::take(&mut self.put_off);
            for batch in &again {
                self.faults.remove(&batch.journal);
            }
            for (journal, fault) in self.store(again.clone())? {
                self.faults.entry(journal).or_insert(fault);
            }
            if self.report.entries_new > before {
                let stuck = |batch: &Batch| self.faults.get(&batch.journal).is_some_and(may_pass);
                self.put_off = again.into_iter().filter(stuck).collect();
            }
        }
        Ok(())
    }

    fn begin_blob(&mut self, hash: BlobHash, size: u64) -> Result<(), ImportError> {
        self.report.blobs += 1;
        self.report.blob_bytes += size;
        if self.wanted.is_none() {
            // Entries that were put off may name blobs too.
            self.settle()?;
            self.wanted = Some(self.blobs_wanted()?);
        }
        let wanted = self.wanted.as_mut().and_then(|wanted| wanted.remove(&hash));
        self.blob = (wanted == Some(size)).then(|| Incoming::begin(self.app, hash));
        Ok(())
    }

    fn blobs_wanted(&self) -> Result<HashMap<BlobHash, u64>, ImportError> {
        let snapshot = self.app.workspace.snapshot()?;
        let mut wanted = HashMap::new();
        for (_, row) in snapshot.all_artifacts()? {
            if !snapshot.is_granted(&row.blob)? {
                wanted.insert(row.blob, row.size);
            }
        }
        Ok(wanted)
    }

    fn finish_blob(&mut self) -> Result<(), ImportError> {
        let Some(blob) = self.blob.take() else { return Ok(()) };
        let hash = blob.hash;
        match self.runtime.block_on(blob.finish()) {
            Ok(imported) => {
                self.runtime.block_on(self.app.grant(vec![imported.hash]))?;
                self.report.blobs_new += 1;
            }
            Err(BlobError::UploadBroken { .. }) => self.report.blobs_bad.push(hash),
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    fn report(mut self, broken: Option<String>, bytes: u64) -> BundleReport {
        self.report.bytes = bytes;
        self.report.broken = broken;
        for (journal, fault) in std::mem::take(&mut self.faults) {
            if let Fault::Entry(EntryError::Gap { number, wanted, .. }) = fault {
                self.report.missing.push(MissingEntries {
                    device: journal.device,
                    from: wanted,
                    until: number,
                });
            } else {
                let why = with_cause(&fault);
                self.report.stuck.push(StuckJournal { device: journal.device, why });
            }
        }
        self.report
    }
}

/// Whether entries that are yet to come may take a fault away.
const fn may_pass(fault: &Fault) -> bool {
    matches!(fault, Fault::NotAMember(_) | Fault::NotAWriter(_))
}

/// A blob on its way to the disk. If it is dropped before it is finished, nothing of it stays.
struct Incoming {
    hash: BlobHash,
    hasher: blake3::Hasher,
    pieces: mpsc::Sender<Bytes>,
    /// Whether all came, and what came has the hash: without it the import is given up.
    whole: Arc<AtomicBool>,
    import: JoinHandle<Result<Imported, BlobError>>,
}

impl Incoming {
    fn begin(app: &App, hash: BlobHash) -> Self {
        let (pieces, mut coming) = mpsc::channel(PIECES);
        let whole = Arc::new(AtomicBool::new(false));
        let is_whole = Arc::clone(&whole);
        let stream = futures_util::stream::poll_fn(move |context| {
            coming.poll_recv(context).map(|piece: Option<Bytes>| match piece {
                Some(bytes) => Some(Ok(bytes)),
                None if is_whole.load(Ordering::Acquire) => None,
                None => Some(Err(io::Error::from(io::ErrorKind::UnexpectedEof))),
            })
        });
        let blobs = app.blobs.clone();
        let import = async move { blobs.import(StreamReader::new(stream)).await };
        let import = Handle::current().spawn(import);
        Self { hash, hasher: blake3::Hasher::new(), pieces, whole, import }
    }

    fn push(&mut self, bytes: Vec<u8>) {
        self.hasher.update(&bytes);
        // An import that has failed says so when it is finished.
        let _ = self.pieces.blocking_send(bytes.into());
    }

    async fn finish(self) -> Result<Imported, BlobError> {
        let whole = self.hasher.finalize().as_bytes() == self.hash.as_bytes();
        self.whole.store(whole, Ordering::Release);
        drop(self.pieces);
        self.import.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
    }
}
