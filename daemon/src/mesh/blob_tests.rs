//! Who holds which blobs, told and kept between devices over real sockets.

use runmesh_core::act::ActKind;
use runmesh_core::action::Action;
use runmesh_core::api::{CollectRequest, Collected, KeptWhy};
use runmesh_core::ids::{BlobHash, DeviceId, DocumentId, RunId};
use tokio::time::timeout;

use super::tests::{Device, PATIENCE};
use crate::blobs::{NotFetched, Pin, Wanted};
use crate::collect::{collect, free_purged};
use crate::config::BlobPolicy;

impl Device {
    /// Waits until this device has heard that those and no others hold a blob.
    pub(super) async fn hears_of(&self, blob: BlobHash, mut holders: Vec<DeviceId>) {
        holders.sort();
        let mut heard = self.app.fetcher.heard();
        let held = || {
            let id = self.app.workspace.id();
            self.app.blobs.ledger().holders(&id, &blob).unwrap()
        };
        while held() != holders {
            timeout(PATIENCE, heard.changed()).await.expect("it is told").unwrap();
        }
    }

    /// Waits until a blob is here and may be served.
    pub(super) async fn gets(&self, blob: BlobHash) {
        let mut progress = self.app.fetcher.progress();
        while !self.app.workspace.snapshot().unwrap().is_granted(&blob).unwrap() {
            timeout(PATIENCE, progress.changed()).await.expect("it comes").unwrap();
        }
        assert!(self.app.blobs.has(&blob).unwrap());
    }

    pub(super) fn pin(&self, run: RunId, path: &str) {
        let pin = Pin::Artifacts { owner: DocumentId::run(run), path: path.to_owned() };
        self.app.blobs.ledger().pin(&self.app.workspace.id(), &pin, 1).unwrap();
        self.app.fetcher.offer_pinned(&self.app.workspace.snapshot().unwrap()).unwrap();
    }
}

pub(super) fn hash(bytes: &[u8]) -> BlobHash {
    BlobHash::new(*blake3::hash(bytes).as_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_holds_a_blob_is_known_when_it_is_away() {
    let ann = Device::up("ann").await;
    let bob = Device::up_wanting("bob", BlobPolicy::None).await;
    let run = ann.run(1).await;
    let (early, late) = ([1; 1000], [2; 2000]);
    ann.put(run, "early.bin", &early).await;
    bob.join(&ann.invite().await).await.unwrap();
    bob.hears_of(hash(&early), vec![ann.id()]).await;
    ann.put(run, "late.bin", &late).await;
    bob.hears_of(hash(&late), vec![ann.id()]).await;
    assert!(!bob.app.blobs.has(&hash(&early)).unwrap(), "the policy is none");
    assert!(
        ann.app.blobs.ledger().holders(&ann.app.workspace.id(), &hash(&early)).unwrap().is_empty()
    );

    let wanted = Wanted { hash: hash(&early), size: 1000, uploaded_by: None };
    bob.app.fetcher.fetch_now(wanted).await.unwrap();
    ann.hears_of(hash(&early), vec![bob.id()]).await;
    assert!(bob.synced().await);
    ann.down().await;

    let wanted = Wanted { hash: hash(&late), size: 2000, uploaded_by: None };
    let error = bob.app.fetcher.fetch_now(wanted).await.unwrap_err();
    assert!(matches!(error, NotFetched::Nobody { .. }), "{error:?}");
    assert!(error.to_string().contains("which ann held when last heard of"), "{error}");
    bob.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_comes_that_is_asked_for_as_soon_as_there_is_a_session() {
    let ann = Device::up("ann").await;
    let bob = Device::up_wanting("bob", BlobPolicy::None).await;
    let run = ann.run(1).await;
    ann.put(run, "a.bin", &[1; 1000]).await;
    bob.join(&ann.invite().await).await.unwrap();
    assert!(bob.synced().await);
    // Whether files can be asked for by now is not known: that takes another connection.
    let rows =
        bob.app.workspace.snapshot().unwrap().artifacts_at_or_below(DocumentId::run(run), "");
    bob.app.open_blob(&rows.unwrap()[0]).await.unwrap();
    ann.down().await;
    bob.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pinned_run_comes_whole_whatever_the_policy() {
    let ann = Device::up("ann").await;
    let bob = Device::up_wanting("bob", BlobPolicy::None).await;
    let (run, other) = (ann.run(1).await, ann.run(2).await);
    ann.put(run, "model/weights.bin", &[1; 30_000]).await;
    ann.put(other, "model/weights.bin", &[2; 30_000]).await;
    bob.join(&ann.invite().await).await.unwrap();
    assert!(bob.synced().await);
    bob.pin(run, "");
    bob.gets(hash(&[1; 30_000])).await;
    // What comes to the run later is kept, too.
    ann.put(run, "model/more.bin", &[3; 30_000]).await;
    bob.gets(hash(&[3; 30_000])).await;
    ann.hears_of(hash(&[3; 30_000]), vec![bob.id()]).await;
    assert!(!bob.app.blobs.has(&hash(&[2; 30_000])).unwrap());
    ann.down().await;
    bob.down().await;
}

fn asked(force: bool, dry_run: bool) -> CollectRequest {
    CollectRequest { force, dry_run }
}

/// What was kept and why, in numbers of blobs.
fn kept(done: &Collected) -> Vec<(KeptWhy, u64)> {
    done.kept.iter().map(|kept| (kept.why, kept.blobs)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_goes_when_another_member_promised_to_keep_its_own() {
    let ann = Device::up_wanting("ann", BlobPolicy::None).await;
    let bob = Device::up_wanting("bob", BlobPolicy::All).await;
    let run = ann.run(1).await;
    ann.put(run, "a.bin", &[1; 1000]).await;
    ann.put(run, "b.bin", &[2; 2000]).await;
    ann.pin(run, "b.bin");
    // Alone, nothing goes, and not by force either: documents name both.
    for force in [false, true] {
        let done = collect(&ann.app, asked(force, false)).await.unwrap();
        assert_eq!(
            (done.freed_blobs, kept(&done)),
            (0, vec![(KeptWhy::Pinned, 1), (KeptWhy::OnlyCopy, 1)])
        );
    }
    bob.join(&ann.invite().await).await.unwrap();
    bob.gets(hash(&[1; 1000])).await;
    bob.gets(hash(&[2; 2000])).await;
    ann.hears_of(hash(&[1; 1000]), vec![bob.id()]).await;
    let likely = collect(&ann.app, asked(false, true)).await.unwrap();
    assert_eq!((likely.freed_blobs, likely.freed_bytes), (1, 1000));
    assert!(ann.app.blobs.has(&hash(&[1; 1000])).unwrap(), "nothing was done");
    let done = collect(&ann.app, asked(false, false)).await.unwrap();
    assert_eq!((done.freed_blobs, done.freed_bytes), (1, 1000));
    assert!(!ann.app.blobs.has(&hash(&[1; 1000])).unwrap());
    bob.hears_of(hash(&[1; 1000]), vec![]).await;

    // Bob keeps his word, whatever he is asked, and ann reads it from him again.
    bob.app
        .workspace
        .act(Action::RemoveArtifacts { owner: DocumentId::run(run), path: "a.bin".to_owned() })
        .await
        .unwrap();
    let done = collect(&bob.app, asked(true, false)).await.unwrap();
    assert_eq!(kept(&done), [(KeptWhy::Wanted, 1), (KeptWhy::Promised, 1)]);
    let wanted = Wanted { hash: hash(&[1; 1000]), size: 1000, uploaded_by: None };
    ann.app.fetcher.fetch_now(wanted).await.unwrap();
    ann.down().await;
    bob.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_document_names_goes_by_force_or_by_a_promise() {
    let ann = Device::up("ann").await;
    let run = ann.run(1).await;
    ann.put(run, "last.ckpt", &[1; 1000]).await;
    ann.put(run, "last.ckpt", &[2; 2000]).await;
    let coming = ann.app.blobs.import(&[3; 3000][..]).await.unwrap();
    let done = collect(&ann.app, asked(false, false)).await.unwrap();
    assert_eq!(kept(&done), [(KeptWhy::Wanted, 1), (KeptWhy::NobodyPromised, 2)]);
    let done = collect(&ann.app, asked(true, false)).await.unwrap();
    assert_eq!((done.freed_blobs, done.freed_bytes), (1, 1000));
    assert_eq!(kept(&done), [(KeptWhy::Wanted, 1), (KeptWhy::ComingIn, 1)]);
    assert!(ann.app.blobs.has(&coming.hash).unwrap());
    assert!(ann.app.blobs.has(&hash(&[2; 2000])).unwrap());
    drop(coming);
    let done = collect(&ann.app, asked(true, false)).await.unwrap();
    assert_eq!((done.freed_blobs, done.freed_bytes), (1, 3000));
    ann.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_that_collect_at_once_keep_one_copy() {
    for _ in 0..5 {
        let ann = Device::up_wanting("ann", BlobPolicy::None).await;
        let bob = Device::up_wanting("bob", BlobPolicy::None).await;
        let run = ann.run(1).await;
        ann.put(run, "a.bin", &[1; 1000]).await;
        bob.join(&ann.invite().await).await.unwrap();
        let (blob, size) = (hash(&[1; 1000]), 1000);
        bob.hears_of(blob, vec![ann.id()]).await;
        bob.app.fetcher.fetch_now(Wanted { hash: blob, size, uploaded_by: None }).await.unwrap();
        ann.hears_of(blob, vec![bob.id()]).await;
        bob.hears_of(blob, vec![ann.id()]).await;
        let (first, second) = tokio::join!(
            collect(&ann.app, asked(false, false)),
            collect(&bob.app, asked(false, false))
        );
        assert!(first.unwrap().freed_blobs + second.unwrap().freed_blobs < 2);
        let copies = [&ann, &bob].map(|device| device.app.blobs.has(&blob).unwrap());
        assert_ne!(copies, [false, false], "nobody has it any more");
        ann.down().await;
        bob.down().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purge_frees_files_everywhere_but_those_that_others_have() {
    let ann = Device::up_wanting("ann", BlobPolicy::All).await;
    let bob = Device::up_wanting("bob", BlobPolicy::All).await;
    let (gone, stays) = (ann.run(1).await, ann.run(2).await);
    ann.put(gone, "only.bin", &[1; 1000]).await;
    ann.put(gone, "shared.bin", &[2; 2000]).await;
    ann.put(stays, "shared.bin", &[2; 2000]).await;
    bob.join(&ann.invite().await).await.unwrap();
    bob.gets(hash(&[1; 1000])).await;
    bob.gets(hash(&[2; 2000])).await;
    bob.pin(gone, "");
    ann.app.workspace.act(Action::SetRunDeleted { id: gone, deleted: true }).await.unwrap();
    let document = DocumentId::run(gone);
    ann.app.workspace.declare(vec![ActKind::Purge { document }]).await.unwrap();
    assert_eq!(free_purged(&ann.app).await.unwrap(), (1, 1000));
    assert!(bob.synced().await);
    assert!(!bob.has(gone) && bob.has(stays));
    assert_eq!(free_purged(&bob.app).await.unwrap(), (1, 1000));
    ann.hears_of(hash(&[1; 1000]), vec![]).await;
    for device in [&ann, &bob] {
        assert!(!device.app.blobs.has(&hash(&[1; 1000])).unwrap());
        assert!(device.app.blobs.has(&hash(&[2; 2000])).unwrap());
        assert!(device.app.workspace.snapshot().unwrap().purged_blobs().unwrap().is_empty());
    }
    ann.down().await;
    bob.down().await;
}

/// Has a run purged and its files freed on a device, which holds or fetches some.
async fn purge_and_free(ann: &Device, bob: &Device, run: RunId) {
    let deleted = Action::SetRunDeleted { id: run, deleted: true };
    ann.app.workspace.act(deleted).await.unwrap();
    let document = DocumentId::run(run);
    ann.app.workspace.declare(vec![ActKind::Purge { document }]).await.unwrap();
    assert!(bob.synced().await);
    assert!(!bob.has(run));
    // What is being taken in is left for the next time.
    while !bob.app.workspace.snapshot().unwrap().purged_blobs().unwrap().is_empty() {
        free_purged(&bob.app).await.unwrap();
        tokio::task::yield_now().await;
    }
}

/// A file that breaks off at one of its bytes, far beyond what is on its way at any time: that is lost
/// when it breaks off.
const BREAKS_AT: usize = 10_000_000;

/// Two devices, of which the first has a run with a file that breaks off there, if it does; the other
/// knows of it and has not asked for it.
async fn with_a_file(size: u32, breaks_at: Option<usize>) -> (Device, Device, RunId, Wanted) {
    let ann = Device::up_wanting("ann", BlobPolicy::All).await;
    let bob = Device::up_wanting("bob", BlobPolicy::None).await;
    let run = ann.run(1).await;
    let bytes: Vec<u8> = (0..size).map(|at| ((at / 7) ^ (at >> 9)) as u8).collect();
    ann.put(run, "large.bin", &bytes).await;
    let wanted = Wanted { hash: hash(&bytes), size: u64::from(size), uploaded_by: None };
    if let Some(at) = breaks_at {
        ann.app.blobs.damage(&wanted.hash, at);
    }
    bob.join(&ann.invite().await).await.unwrap();
    assert!(bob.synced().await);
    bob.hears_of(wanted.hash, vec![ann.id()]).await;
    (ann, bob, run, wanted)
}

fn assert_nothing_of(bob: &Device, blob: BlobHash) {
    assert!(!bob.app.blobs.has(&blob).unwrap());
    assert_eq!(bob.app.blobs.partials(), 0);
    assert!(bob.app.fetcher.under_way().is_empty());
    assert_eq!(bob.app.fetcher.progress().borrow().queued, 0);
    assert!(!bob.app.workspace.snapshot().unwrap().is_granted(&blob).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_coming_while_its_run_is_purged_leaves_nothing() {
    let (ann, bob, run, wanted) = with_a_file(30_000_000, None).await;
    let mut progress = bob.app.fetcher.progress();
    let purging = async {
        // Once all has come, nothing is told as under way.
        let has_begun = |done: u64| done > 0 || bob.app.blobs.has(&wanted.hash).unwrap();
        progress.wait_for(|progress| has_begun(progress.bytes_done)).await.unwrap();
        purge_and_free(&ann, &bob, run).await;
    };
    // Whether it was faster than the purge or was given up: nothing of it stays.
    let (_, ()) = tokio::join!(bob.app.fetcher.fetch_now(wanted), purging);
    assert_nothing_of(&bob, wanted.hash);
    ann.down().await;
    bob.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_came_in_part_before_its_run_was_purged_leaves_nothing() {
    let (ann, bob, run, wanted) = with_a_file(12_000_000, Some(BREAKS_AT)).await;
    // It is to be tried again and again.
    bob.pin(run, "");
    bob.app.fetcher.fetch_now(wanted).await.unwrap_err();
    assert!(bob.app.blobs.partials() > 0);
    purge_and_free(&ann, &bob, run).await;
    assert_nothing_of(&bob, wanted.hash);
    ann.down().await;
    bob.down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_in_part_is_collected_once_nothing_names_it() {
    let (ann, bob, run, wanted) = with_a_file(12_000_000, Some(BREAKS_AT)).await;
    bob.app.fetcher.fetch_now(wanted).await.unwrap_err();
    let left = bob.app.blobs.partials();
    assert!(left > 0);
    // It may be wanted again while the run has it.
    assert_eq!(collect(&bob.app, asked(true, false)).await.unwrap().freed_blobs, 0);
    assert_eq!(bob.app.blobs.partials(), left);
    let path = "large.bin".to_owned();
    let remove = Action::RemoveArtifacts { owner: DocumentId::run(run), path };
    ann.app.workspace.act(remove).await.unwrap();
    assert!(bob.synced().await);
    assert_eq!(collect(&bob.app, asked(false, true)).await.unwrap().freed_blobs, 1);
    assert_eq!(bob.app.blobs.partials(), left, "nothing was done");
    assert_eq!(collect(&bob.app, asked(false, false)).await.unwrap().freed_blobs, 1);
    assert_eq!(bob.app.blobs.partials(), 0);
    ann.down().await;
    bob.down().await;
}
