//! Proof by SIGKILL: what an import acknowledged is there after the process dies, and whole.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use bao_tree::io::outboard::PostOrderMemOutboard;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use runmesh_core::ids::BlobHash;

use super::Blobs;
use super::tree::GROUP;

const KILLS: usize = 25;
const CHILD_FOLDER: &str = "RUNMESH_TEST_CRASH_FOLDER";
const CHILD_SEED: &str = "RUNMESH_TEST_CRASH_SEED";

#[test]
fn what_was_acknowledged_survives_sigkill() {
    // The test starts itself once more for each kill; this is how the child knows what it is.
    if let (Ok(folder), Ok(seed)) = (env::var(CHILD_FOLDER), env::var(CHILD_SEED)) {
        import_forever(Path::new(&folder), seed.parse().expect("a number"));
    }
    let seed: u64 = rand::random();
    eprintln!("seed {seed}");
    let mut random = SmallRng::seed_from_u64(seed);
    let home = tempfile::tempdir().expect("a folder for the test");
    let mut acknowledged = BTreeSet::new();
    for _ in 0..KILLS {
        let wanted = random.random_range(1..30);
        acknowledged.extend(kill_after(wanted, home.path(), random.random()));
    }
    let blobs = Blobs::in_folder(home.path()).expect("opens after a crash");
    assert_eq!(fs::read_dir(blobs.tmp_folder()).expect("lists").count(), 0);
    for hash in &acknowledged {
        assert!(blobs.has(hash).expect("looks"), "{hash} was acknowledged and is lost");
    }
    assert!(assert_all_whole(&blobs) >= acknowledged.len());
}

/// Starts a child that imports, kills it after so many acknowledgements; returns them all.
fn kill_after(acknowledgements: usize, folder: &Path, seed: u64) -> Vec<BlobHash> {
    let this_test = "blobs::crash::what_was_acknowledged_survives_sigkill";
    let mut child = Command::new(env::current_exe().expect("a test has a path"))
        .args(["--exact", this_test, "--nocapture"])
        .env(CHILD_FOLDER, folder)
        .env(CHILD_SEED, seed.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts itself");
    let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut hashes = Vec::new();
    // After the kill, this reads on to what the child had said before it died.
    for line in lines.map_while(Result::ok) {
        hashes
            .extend(line.strip_prefix("imported ").and_then(|hash| hash.parse::<BlobHash>().ok()));
        if hashes.len() == acknowledgements {
            child.kill().expect("kills its own child");
        }
    }
    child.wait().expect("a killed child ends");
    assert!(hashes.len() >= acknowledgements, "the child died by itself");
    hashes
}

/// The child: imports blobs of many sizes, several at once, and says so when each is durable.
fn import_forever(folder: &Path, seed: u64) -> ! {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let blobs = Blobs::in_folder(folder).expect("opens after the last crash");
    for lane in 0..4 {
        let blobs = blobs.clone();
        let mut random = SmallRng::seed_from_u64(seed ^ lane);
        runtime.spawn(async move {
            loop {
                let mut bytes = vec![0; 1 << random.random_range(0..21)];
                random.fill(&mut bytes[..]);
                let hash = blobs.import(&bytes[..]).await.expect("imports").hash;
                // In one write, so that the lanes' lines do not mix.
                let line = format!("\nimported {hash}\n");
                std::io::stdout().lock().write_all(line.as_bytes()).expect("the parent listens");
            }
        });
    }
    loop {
        std::thread::park();
    }
}

/// Checks every file under a blob's name, its outboard too; returns how many there are.
fn assert_all_whole(blobs: &Blobs) -> usize {
    let shards = fs::read_dir(blobs.root()).expect("lists").map(|shard| shard.expect("lists"));
    let mut whole = 0;
    for shard in shards.filter(|shard| shard.file_name().len() == 2) {
        for file in fs::read_dir(shard.path()).expect("lists") {
            let path = file.expect("lists").path();
            if path.extension().is_some() {
                continue;
            }
            let bytes = fs::read(&path).expect("reads");
            let hash = blake3::hash(&bytes);
            assert_eq!(
                path.file_name(),
                Some(hash.to_hex().as_str().as_ref()),
                "{}",
                path.display()
            );
            let outboard = PostOrderMemOutboard::create(&bytes, GROUP).data;
            if !outboard.is_empty() {
                let kept = fs::read(blobs.outboard_path(&BlobHash::new(*hash.as_bytes())));
                assert_eq!(kept.expect("reads"), outboard, "{}", path.display());
            }
            whole += 1;
        }
    }
    whole
}
