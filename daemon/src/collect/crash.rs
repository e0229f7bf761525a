//! Proof by SIGKILL: while clients upload and blobs are collected by force, no artifact loses its
//! bytes, whatever the moment at which the process dies.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use runmesh_core::action::Action;
use runmesh_core::api::CollectRequest;
use runmesh_core::ids::{DocumentId, RunId};

use super::collect;
use crate::app::App;
use crate::config::Config;
use crate::home::Home;
use crate::testing::create_run;

const KILLS: usize = 10;
const LANES: u64 = 4;
const CHILD_HOME: &str = "RUNMESH_TEST_COLLECT_HOME";
const CHILD_SEED: &str = "RUNMESH_TEST_COLLECT_SEED";
const RUN: RunId = RunId::new([7; 16]);

fn open(home: &Path) -> App {
    let config = Config { name: "ann".to_owned(), ..Config::default() };
    App::open(Home::open(home).expect("opens the home"), config).expect("opens after a crash")
}

#[tokio::test]
async fn uploads_survive_sigkill_while_blobs_are_collected() {
    // The test starts itself once more for each kill; this is how the child knows what it is.
    if let (Ok(home), Ok(seed)) = (env::var(CHILD_HOME), env::var(CHILD_SEED)) {
        let (home, seed) = (home, seed.parse().expect("a number"));
        let child = std::thread::spawn(move || upload_and_collect(Path::new(&home), seed));
        child.join().expect("runs until it is killed");
    }
    let seed: u64 = rand::random();
    eprintln!("seed {seed}");
    let mut random = SmallRng::seed_from_u64(seed);
    let home = tempfile::tempdir().expect("a folder for the test");
    let (mut put, mut collected) = (0, 0);
    for _ in 0..KILLS {
        let wanted = random.random_range(5..40);
        let said = kill_after(wanted, home.path(), random.random());
        put += said.0;
        collected += said.1;
        all_artifacts_are_whole(home.path()).await;
    }
    eprintln!("{put} uploads, {collected} blobs collected");
    assert!(collected > 0, "the test shall collect something");
}

/// Starts a child that uploads and collects, kills it after so many acknowledged uploads; returns
/// how many there were, and how many blobs it collected.
fn kill_after(uploads: usize, home: &Path, seed: u64) -> (usize, usize) {
    let this_test = "collect::crash::uploads_survive_sigkill_while_blobs_are_collected";
    let mut child = Command::new(env::current_exe().expect("a test has a path"))
        .args(["--exact", this_test, "--nocapture"])
        .env(CHILD_HOME, home)
        .env(CHILD_SEED, seed.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts itself");
    let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let (mut put, mut collected) = (0, 0);
    for line in lines.map_while(Result::ok) {
        if let Some(freed) = line.strip_prefix("collected ") {
            collected += freed.parse::<usize>().expect("a number");
        }
        put += usize::from(line == "put");
        if put == uploads && line == "put" {
            child.kill().expect("kills its own child");
        }
    }
    child.wait().expect("a killed child ends");
    assert!(put >= uploads, "the child died by itself");
    (put, collected)
}

fn say(line: &str) {
    // In one write, so that the lanes' lines do not mix.
    let line = format!("\n{line}\n");
    std::io::stdout().lock().write_all(line.as_bytes()).expect("the parent listens");
}

/// The child. Its few paths are written over and over, so that there is much to collect; and its
/// few contents come again and again, so that what is being collected is uploaded at that moment.
fn upload_and_collect(home: &Path, seed: u64) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let app = Arc::new(open(home));
        // It is there already after the first kill.
        let _ = app.workspace.act(create_run(RUN)).await;
        for lane in 0..LANES {
            let app = Arc::clone(&app);
            let mut random = SmallRng::seed_from_u64(seed ^ lane);
            tokio::spawn(async move {
                loop {
                    let bytes = vec![random.random_range(0..6); 1 << random.random_range(8..17)];
                    let imported = app.blobs.import(&bytes[..]).await.expect("imports");
                    app.grant(vec![imported.hash]).await.expect("grants");
                    let path = format!("file-{}", random.random_range(0..8));
                    let (owner, blob, size) = (DocumentId::run(RUN), imported.hash, imported.size);
                    let put = Action::PutArtifact { owner, path, blob, size };
                    app.workspace.act(put).await.expect("puts");
                    say("put");
                }
            });
        }
        loop {
            let asked = CollectRequest { force: true, dry_run: false };
            let freed = collect(&app, asked).await.expect("collects").freed_blobs;
            say(&format!("collected {freed}"));
        }
    });
}

async fn all_artifacts_are_whole(home: &Path) {
    let app = open(home);
    let snapshot = app.workspace.fresh().await.expect("reads");
    for (_, row) in snapshot.all_artifacts().expect("reads") {
        assert!(snapshot.is_granted(&row.blob).expect("reads"), "{} is not granted", row.path);
        let mut file = app.blobs.open_blocking(&row.blob).expect("opens").expect("is here");
        let mut hasher = blake3::Hasher::new();
        std::io::copy(&mut file, &mut hasher).expect("reads");
        assert_eq!(hasher.finalize().as_bytes(), row.blob.as_bytes(), "{} is damaged", row.path);
    }
    drop(snapshot);
    app.workspace.stop().await;
    drop(app);
    assert_eq!(fs::read_dir(home.join("blobs/tmp")).expect("lists").count(), 0);
}
