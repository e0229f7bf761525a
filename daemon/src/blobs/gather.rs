//! Gathers one blob from the peers that have it, from several at once if it is asked to.
//!
//! Invariants: what a peer sends is written only if it was verified and only where that peer was
//! to bring it; a peer that fails costs what it had promised to bring, not what it brought; what
//! arrived before an interruption is kept and not asked for again.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bao_tree::io::BaoContentItem;
use iroh::endpoint::Connection;
use runmesh_core::ids::WorkspaceId;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::fetch::{Attempt, FetchError, Wanted};
use super::leases::Lease;
use super::partial::Partial;
use super::parts::{Next, Parts};
use super::tree::last_group;
use super::{BlobError, Blobs, off_the_runtime};

/// Who is told how many bytes are here.
type OnProgress = Box<dyn Fn(u64) + Send + Sync>;

impl Blobs {
    /// Fetches a blob from peers, each by a connection of the blob protocol, at the same time. When
    /// this returns, it is durable.
    ///
    /// `progress` is told how many of its bytes are here. A blob that is here already through
    /// another workspace is not sent again, but a peer must prove that it has it. Nobody collects
    /// the blob while the lease is held. Fails with what the last peer failed with, if all do; what
    /// the others failed with is in the log.
    pub async fn fetch(
        &self,
        sources: &[Connection],
        workspace: &WorkspaceId,
        wanted: &Wanted,
        progress: impl Fn(u64) + Send + Sync + 'static,
    ) -> Result<Lease, FetchError> {
        let (blobs, wanted) = (self.clone(), *wanted);
        let opening = move || (blobs.lease(wanted.hash), Target::open(blobs, &wanted));
        let (lease, target) = off_the_runtime(opening).await;
        let target = target?;
        let missing = target.missing();
        progress(target.verified_bytes());
        let (progress, parts) = (Box::new(progress), Parts::new(missing, sources.len()));
        let gathering = Arc::new(Gathering {
            wanted,
            workspace: *workspace,
            progress,
            state: Mutex::new(State { target: Some(target), parts }),
            changed: watch::Sender::new(()),
        });
        let gathered = gathering.run(sources.iter().cloned()).await;
        // From here on, nothing is written by a source that was not waited for.
        let target = gathering.locked().target.take().expect("nobody else takes it");
        gathered?;
        off_the_runtime(|| target.finish()).await?;
        Ok(lease)
    }
}

/// Where the bytes go.
enum Target {
    /// To the disk.
    Partial(Partial),
    /// Nowhere: the blob is here, but not for this workspace. The last group is proof enough that
    /// the peer has it.
    Here { size: u64 },
}

impl Target {
    fn open(blobs: Blobs, wanted: &Wanted) -> Result<Self, FetchError> {
        if blobs.size(&wanted.hash)? == Some(wanted.size) {
            return Ok(Self::Here { size: wanted.size });
        }
        Ok(Self::Partial(Partial::open(blobs, wanted.hash, wanted.size)?))
    }

    /// What is to be sent.
    fn missing(&self) -> Vec<Range<u64>> {
        match self {
            Self::Partial(partial) => partial.missing(),
            Self::Here { size } => vec![Range { start: last_group(*size), end: *size }],
        }
    }

    /// How much need not be sent, or has come.
    fn verified_bytes(&self) -> u64 {
        match self {
            Self::Partial(partial) => partial.verified_bytes(),
            Self::Here { size } => last_group(*size),
        }
    }

    fn add(&mut self, item: &BaoContentItem) -> Result<(), BlobError> {
        match (self, item) {
            (Self::Here { .. }, _) => Ok(()),
            (Self::Partial(partial), BaoContentItem::Parent(parent)) => partial.add_node(parent),
            (Self::Partial(partial), BaoContentItem::Leaf(leaf)) => partial.add_group(leaf),
        }
    }

    fn finish(self) -> Result<(), FetchError> {
        match self {
            Self::Partial(partial) => Ok(partial.finish()?),
            Self::Here { .. } => Ok(()),
        }
    }
}

/// One blob that is coming.
pub(super) struct Gathering {
    pub(super) wanted: Wanted,
    pub(super) workspace: WorkspaceId,
    progress: OnProgress,
    state: Mutex<State>,
    /// Told when a source may have something else to do.
    changed: watch::Sender<()>,
}

struct State {
    /// None once nothing more may be written.
    target: Option<Target>,
    parts: Parts,
}

impl Gathering {
    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many bytes are here.
    pub(super) fn verified_bytes(&self) -> u64 {
        self.locked().target.as_ref().map_or(0, Target::verified_bytes)
    }

    /// Has all sources bring parts until everything is here, or all have failed.
    async fn run(
        self: &Arc<Self>,
        sources: impl Iterator<Item = Connection>,
    ) -> Result<(), FetchError> {
        if self.locked().parts.is_done() {
            return Ok(());
        }
        let mut working = JoinSet::new();
        for (source, connection) in sources.enumerate() {
            working.spawn(Arc::clone(self).work(source, connection));
        }
        loop {
            let worked = working.join_next().await.expect("the last source returned before");
            match worked.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic())) {
                Ok(()) => return Ok(()),
                // The other sources' bytes would meet the same disk.
                Err(error @ FetchError::Store(_)) => return Err(error),
                Err(error) if working.is_empty() => return Err(error),
                Err(error) => error.log(),
            }
        }
    }

    /// Has one source bring part after part until everything is here.
    async fn work(
        self: Arc<Self>,
        source: usize,
        connection: Connection,
    ) -> Result<(), FetchError> {
        let mut changed = self.changed.subscribe();
        loop {
            changed.mark_unchanged();
            let next = self.locked().parts.next(source, Instant::now());
            match next {
                Next::Part(start) => self.bring(source, &connection, start, &mut changed).await?,
                Next::Later(when) => {
                    // Never an error: this holds the other end, too.
                    let _ = tokio::time::timeout_at(when.into(), changed.changed()).await;
                }
                Next::Done => return Ok(()),
            }
        }
    }

    async fn bring(
        self: &Arc<Self>,
        source: usize,
        connection: &Connection,
        start: u64,
        changed: &mut watch::Receiver<()>,
    ) -> Result<(), FetchError> {
        // Another may have lost its part to this one.
        self.changed.send_replace(());
        let attempt = Attempt::new(Arc::clone(self), source, connection, start);
        let passed = async {
            while !self.locked().parts.is_passed(source) {
                let _ = changed.changed().await;
            }
        };
        let brought = tokio::select! {
            brought = attempt.run(connection) => brought,
            () = passed => Err(attempt.passed()),
        };
        self.locked().parts.give_back(source);
        self.changed.send_replace(());
        brought
    }

    /// Takes in what a source has sent and was verified. Returns whether it is to send more.
    pub(super) fn take_in(&self, source: usize, item: &BaoContentItem) -> Result<bool, BlobError> {
        let mut state = self.locked();
        let State { target: Some(target), parts } = &mut *state else { return Ok(false) };
        let BaoContentItem::Leaf(leaf) = item else {
            // The same whoever sends it.
            target.add(item)?;
            return Ok(true);
        };
        if !parts.awaits(source, leaf.offset) {
            return Ok(false);
        }
        target.add(item)?;
        let goes_on = parts.advance(source, leaf.offset + leaf.data.len() as u64, Instant::now());
        (self.progress)(target.verified_bytes());
        Ok(goes_on)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use bao_tree::io::outboard::PostOrderMemOutboard;
    use runmesh_core::ids::BlobHash;

    use super::super::tree::GROUP;
    use super::*;
    use crate::blobs::Provider;
    use crate::blobs::testing::{Link, WORKSPACE, granting, noise, sends, store};

    const MIB: u64 = 1 << 20;

    fn wanted(bytes: &[u8]) -> Wanted {
        let hash = BlobHash::new(*blake3::hash(bytes).as_bytes());
        Wanted { hash, size: bytes.len() as u64, uploaded_by: None }
    }

    /// A device that has these bytes, and a line to it.
    async fn holder(bytes: &[u8]) -> (tempfile::TempDir, Link) {
        let (home, blobs) = store();
        let hash = blobs.import(bytes).await.expect("imports").hash;
        (home, Link::serving(Provider::new(blobs, granting([hash]))).await)
    }

    fn lines(links: &[&Link]) -> Vec<Connection> {
        links.iter().map(|link| link.asker.clone()).collect()
    }

    fn received(link: &Link) -> u64 {
        link.asker.stats().udp_rx.bytes
    }

    fn assert_whole(blobs: &Blobs, bytes: &[u8]) {
        let hash = wanted(bytes).hash;
        assert!(fs::read(blobs.path(&hash)).expect("is here") == bytes);
        let outboard = PostOrderMemOutboard::create(bytes, GROUP).data;
        assert!(fs::read(blobs.outboard_path(&hash)).expect("is here") == outboard);
        assert_eq!(fs::read_dir(blobs.partial_folder()).expect("lists").count(), 0);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn two_holders_bring_a_part_each() {
        let bytes = noise(48 << 20);
        let ((_a, first), (_b, second)) = (holder(&bytes).await, holder(&bytes).await);
        let (_c, blobs) = store();
        let sources = lines(&[&first, &second]);
        blobs.fetch(&sources, &WORKSPACE, &wanted(&bytes), |_| {}).await.expect("fetches");
        assert_whole(&blobs, &bytes);
        for link in [&first, &second] {
            assert!(received(link) > 4 * MIB, "{} bytes", received(link));
        }
        // Whoever is to stop has sent something more by then.
        assert!(received(&first) + received(&second) < 60 * MIB);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn when_one_is_cut_off_the_other_brings_the_rest_and_nothing_twice() {
        let bytes = noise(48 << 20);
        let ((_a, first), (_b, second)) = (holder(&bytes).await, holder(&bytes).await);
        let (_c, blobs) = store();
        let sources = lines(&[&first, &second]);
        let line = first.provider.clone();
        let cut = move |verified| {
            if verified > 20 * MIB {
                line.close(0u32.into(), b"cut");
            }
        };
        blobs.fetch(&sources, &WORKSPACE, &wanted(&bytes), cut).await.expect("the other has it");
        assert_whole(&blobs, &bytes);
        assert!(received(&first) > MIB, "it had begun");
        assert!(received(&first) + received(&second) < 60 * MIB);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_several_left_is_gone_on_with_from_where_each_was() {
        let bytes = noise(48 << 20);
        let ((_a, first), (_b, second)) = (holder(&bytes).await, holder(&bytes).await);
        let (_c, blobs) = store();
        let sources = lines(&[&first, &second]);
        let both = [first.provider.clone(), second.provider.clone()];
        let cut = move |verified| {
            if verified > 24 * MIB {
                both.iter().for_each(|line| line.close(0u32.into(), b"cut"));
            }
        };
        let error = blobs.fetch(&sources, &WORKSPACE, &wanted(&bytes), cut).await;
        assert!(matches!(error, Err(FetchError::Interrupted { .. })), "{error:?}");
        let left = Partial::open(blobs.clone(), wanted(&bytes).hash, 48 << 20).expect("opens");
        let (here, missing) = (left.verified_bytes(), left.missing());
        assert!(here > 24 * MIB && here < 48 * MIB, "{here}");
        assert!(missing.len() > 1, "each was in the middle of its part: {missing:?}");
        drop(left);

        let (_d, third) = holder(&bytes).await;
        let told = Arc::new(Mutex::new(Vec::new()));
        let tell = told.clone();
        let progress = move |verified| tell.lock().expect("unpoisoned").push(verified);
        let sources = lines(&[&third]);
        blobs.fetch(&sources, &WORKSPACE, &wanted(&bytes), progress).await.expect("goes on");
        assert_whole(&blobs, &bytes);
        assert!(received(&third) < 48 * MIB - here + 8 * MIB);
        let told = told.lock().expect("unpoisoned");
        assert_eq!((told[0], told.last()), (here, Some(&(48 * MIB))));
        assert!(told.is_sorted());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn one_that_lies_is_found_out_and_the_other_brings_its_part() {
        let bytes = noise(32 << 20);
        let mut wrong = bytes.clone();
        // Wherever it is asked to begin, not far from there.
        wrong.iter_mut().step_by(3 << 20).for_each(|byte| *byte ^= 1);
        let liar = Link::bare().await;
        let lying = tokio::spawn(sends(liar.provider.clone(), bytes.clone(), wrong, usize::MAX));
        let (_b, honest) = holder(&bytes).await;
        let (_c, blobs) = store();
        let sources = lines(&[&liar, &honest]);
        blobs.fetch(&sources, &WORKSPACE, &wanted(&bytes), |_| {}).await.expect("one is honest");
        assert_whole(&blobs, &bytes);
        assert!(received(&liar) > 64_000, "it was asked");
        lying.abort();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn one_that_stops_is_not_waited_for() {
        let bytes = noise(20 << 20);
        let mute = Link::bare().await;
        let sent = bytes.clone();
        let stalling = tokio::spawn(sends(mute.provider.clone(), bytes.clone(), sent, 200_000));
        let (_b, other) = holder(&bytes).await;
        let (_c, blobs) = store();
        let sources = lines(&[&mute, &other]);
        blobs
            .fetch(&sources, &WORKSPACE, &wanted(&bytes), |_| {})
            .await
            .expect("the other goes on");
        assert_whole(&blobs, &bytes);
        stalling.abort();
    }
}
