//! What a session asks for that takes time: loading and ingesting entries, sealing, carrying over.
//!
//! Invariant: each answers the session with an input, once, or with why it failed.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use runmesh_core::ids::JournalId;
use runmesh_core::store::{Chain, Fault, Ingested, StoreError};
use runmesh_core::sync::{self, Batch, FirstEntry, Frame, Held, Input, Message, Output};
use runmesh_core::vector::Tip;
use tokio::sync::mpsc;

use super::{Event, Link, LinkError};
use crate::lines;
use crate::mesh::Inner;
use crate::workspace::Workspace;

/// Batches are ingested together up to so many bytes, some 5,000 runs: each time ends in a sync of the
/// disk, but what is taken in takes many times the memory that it takes in its entry.
const TOGETHER_BYTES: usize = 1 << 20;

/// Where what a session asks for goes.
pub(super) struct Ports<'a> {
    pub(super) frames: &'a mpsc::UnboundedSender<Frame>,
    pub(super) to_ingest: &'a mpsc::UnboundedSender<Batch>,
    pub(super) events: &'a mpsc::Sender<Event>,
}

impl Link {
    /// Begins what an output asks for.
    pub(super) fn act(
        &self,
        workspace: &Workspace,
        output: Output,
        ports: &Ports<'_>,
    ) -> Result<(), LinkError> {
        match output {
            Output::Send(message) => {
                if let Message::Entries { entries, .. } = &message {
                    let count = entries.len() as u64;
                    self.moved.entries_out.fetch_add(count, Ordering::Relaxed);
                }
                // The writer ends only with the session.
                let _ = ports.frames.send(message.frame());
            }
            Output::Load { journal, from, max_bytes, max_entries } => {
                let snapshot = workspace.snapshot()?;
                let events = ports.events.clone();
                tokio::task::spawn_blocking(move || {
                    let event = match snapshot.chain(&journal, from, max_bytes, max_entries) {
                        Ok(chain) => {
                            let nothing = Chain { previous: Tip::START.hash, entries: Vec::new() };
                            let Chain { previous, entries } = chain.unwrap_or(nothing);
                            Event::Input(Input::Loaded { journal, first: from, previous, entries })
                        }
                        Err(error) => Event::Failed(error.into()),
                    };
                    let _ = events.blocking_send(event);
                });
            }
            Output::Ingest { journal, first, previous, entries } => {
                let _ = ports.to_ingest.send(Batch { journal, first, previous, entries });
            }
            Output::Reclaim { journal, first, previous, entries } => {
                let (workspace, events) = (workspace.clone(), ports.events.clone());
                tokio::spawn(async move {
                    let batch = Batch { journal, first, previous, entries };
                    let input = reclaim(&workspace, batch).await;
                    let _ = events.send(input.map_or_else(Event::Failed, Event::Input)).await;
                });
            }
            Output::Seal { token } => {
                let (workspace, events) = (workspace.clone(), ports.events.clone());
                tokio::spawn(async move {
                    let sealed = async {
                        workspace.seal().await?;
                        Ok(Input::Sealed { token, held: read_held(&workspace)? })
                    };
                    let _ =
                        events.send(sealed.await.map_or_else(Event::Failed, Event::Input)).await;
                });
            }
            Output::WakeAt(_) | Output::Learn(_) | Output::Done(_) => {
                unreachable!("taken by the caller")
            }
        }
        Ok(())
    }

    /// Ingests what came, much of what waits in one transaction.
    pub(super) async fn ingest_all(
        &self,
        inner: &Arc<Inner>,
        workspace: &Workspace,
        mut batches: mpsc::UnboundedReceiver<Batch>,
        events: &mpsc::Sender<Event>,
    ) {
        while let Some(first) = batches.recv().await {
            let mut bytes = bytes_of(&first);
            let mut all = vec![first];
            while bytes < TOGETHER_BYTES
                && let Ok(next) = batches.try_recv()
            {
                bytes += bytes_of(&next);
                all.push(next);
            }
            let count = all.len();
            let event = match ingest(inner, workspace, all).await {
                Ok((ingested, faults)) => {
                    let entries = ingested.entries as u64;
                    self.moved.entries_in.fetch_add(entries, Ordering::Relaxed);
                    // What a workspace names that is being joined is offered once it is joined.
                    if workspace.id() == inner.workspace.id() {
                        inner.offer(ingested.blobs);
                    }
                    match read_held(workspace) {
                        Ok(held) => Event::Input(Input::Ingested { batches: count, held, faults }),
                        Err(error) => Event::Failed(error.into()),
                    }
                }
                Err(error) => Event::Failed(error),
            };
            if events.send(event).await.is_err() {
                return;
            }
        }
    }
}

fn bytes_of(batch: &Batch) -> usize {
    batch.entries.iter().map(Vec::len).sum()
}

/// What is held of a workspace now.
pub(in crate::mesh) fn read_held(workspace: &Workspace) -> Result<Held, StoreError> {
    let snapshot = workspace.snapshot()?;
    Ok(Held { vector: snapshot.vector()?, membership: Arc::new(snapshot.membership()?) })
}

/// The first entry of this device's journal, by which others know it.
pub(super) fn first_entry(workspace: &Workspace) -> Result<Option<FirstEntry>, StoreError> {
    let snapshot = workspace.snapshot()?;
    // The journal may have begun anew since: who does not know the device needs its join.
    let journal = snapshot.birth_of(&workspace.journal())?;
    let first = snapshot.entries(&journal, 0, 1)?.into_iter().next();
    Ok(first.map(|stored| FirstEntry { incarnation: journal.incarnation, stored }))
}

/// Carries over what a peer holds of this device's own journal and is not here.
async fn reclaim(workspace: &Workspace, batch: Batch) -> Result<Input, LinkError> {
    let journal = batch.journal;
    let tip = lines::reclaim(workspace, batch).await?.tip;
    Ok(Input::Reclaimed { journal, tip, held: read_held(workspace)? })
}

type Faults = Vec<(JournalId, Fault)>;

/// Verifies batches and stores what is good of them.
async fn ingest(
    inner: &Arc<Inner>,
    workspace: &Workspace,
    batches: Vec<Batch>,
) -> Result<(Ingested, Faults), LinkError> {
    let vector = workspace.snapshot()?.vector()?;
    let id = workspace.id();
    let verify = move || {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        sync::verify(id, &vector, batches, threads)
    };
    let verified = tokio::task::spawn_blocking(verify).await;
    let (good, mut faults) = verified.expect("checking entries does not panic");
    let mut ingested =
        if good.is_empty() { Ingested::default() } else { workspace.ingest(good).await? };
    faults.append(&mut ingested.faults);
    if ingested.membership_changed {
        inner.refresh_membership();
    }
    Ok((ingested, faults))
}
