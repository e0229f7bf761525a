//! Prints what a run costs, by stage, and what it takes on disk.
//!
//! `cargo run --release -p runmesh-core --example store_cost [RUNS]`, in a folder on the disk that
//! is to be measured. A run has 20 params, 5 tags and 5 metrics.
#![allow(clippy::print_stdout)] // Printing is what it is for.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use ed25519_dalek::SigningKey;
use runmesh_core::act::{ActKind, Role, workspace_id};
use runmesh_core::action::Action;
use runmesh_core::entry::{UnverifiedEntry, verify_chain};
use runmesh_core::store::SEAL_BYTES;

use self::runs::{NOW, Outcome, actions, device, store};

mod runs;

fn micros(spent: Duration, runs: u64) -> f64 {
    spent.as_secs_f64() * 1e6 / runs as f64
}

fn main() -> Outcome<()> {
    let runs: u64 = std::env::args().nth(1).map_or(Ok(10_000), |text| text.parse())?;
    let root = Path::new("target/store_cost");
    let (ann, bob) = (SigningKey::from_bytes(&[1; 32]), SigningKey::from_bytes(&[2; 32]));
    let nonce = [9; 16];
    let workspace = workspace_id(&device(&ann), &nonce);
    let found = ActKind::Found { nonce, name: "lab".into(), device_name: "ann".into() };
    let mut ours = store(&root.join("ann"), &ann, workspace, found)?;
    let ticket = SigningKey::from_bytes(&[3; 32]);
    let key = ticket.verifying_key().to_bytes();
    let invite = ActKind::Invite { key, role: Role::Writer, expires_ms: 0, uses: 1 };
    ours.declare(NOW, vec![invite])?;

    let (mut written, mut sealed) = (Duration::ZERO, Duration::ZERO);
    let mut seals = 0;
    for group in (0..runs).collect::<Vec<_>>().chunks(5) {
        // What 15 connections leave in the queue: five runs' worth of requests.
        let actions: Vec<Action> = group.iter().flat_map(|number| actions(*number)).collect();
        let started = Instant::now();
        for answer in ours.write(NOW, actions)? {
            answer?;
        }
        written += started.elapsed();
        if ours.unsealed_bytes() >= SEAL_BYTES {
            let started = Instant::now();
            ours.seal(NOW)?;
            sealed += started.elapsed();
            seals += 1;
        }
    }
    let started = Instant::now();
    ours.seal(NOW)?;
    sealed += started.elapsed();
    println!(
        "plan, index and commit: {:7.1} us a run, in groups of 15 actions",
        micros(written, runs)
    );
    println!("seal:                   {:7.1} us a run, {seals} seals", micros(sealed, runs));

    let join = ActKind::join(&ticket, &workspace, &device(&bob), "bob".into());
    let mut theirs = store(&root.join("bob"), &bob, workspace, join)?;
    let snapshot = ours.reader().snapshot()?;
    let (mut verifying, mut ingesting) = (Duration::ZERO, Duration::ZERO);
    let mut journal_bytes = 0;
    let lacking = snapshot.vector()?.missing_from(&theirs.reader().snapshot()?.vector()?);
    for (journal, range) in lacking {
        let mut from = range.start;
        while from < range.end {
            let stored = snapshot.entries(&journal, from, 1 << 20)?;
            journal_bytes += stored.iter().map(Vec::len).sum::<usize>();
            let started = Instant::now();
            let numbered = (from..).zip(&stored);
            let read =
                numbered.map(|(number, bytes)| UnverifiedEntry::decode(journal, number, bytes));
            let tip = theirs.reader().snapshot()?.vector()?.tip(&journal);
            let (good, fault) = verify_chain(workspace, tip, read.collect::<Result<_, _>>()?, 2);
            if let Some(fault) = fault {
                return Err(fault.into());
            }
            verifying += started.elapsed();
            let started = Instant::now();
            theirs.ingest(NOW, good)?;
            ingesting += started.elapsed();
            from += stored.len() as u64;
        }
    }
    println!("read and verify:        {:7.1} us a run", micros(verifying, runs));
    println!("ingest:                 {:7.1} us a run", micros(ingesting, runs));
    println!("journal:                {:7.1} bytes a run", journal_bytes as f64 / runs as f64);
    let started = Instant::now();
    ours.rebuild()?;
    println!("rebuild:                {:7.1} us a run", micros(started.elapsed(), runs));
    drop((ours, theirs, snapshot));
    for name in ["ann", "bob"] {
        let bytes = fs::metadata(root.join(name).join("store.redb"))?.len();
        println!("store.redb of {name}:      {:7.1} bytes a run", bytes as f64 / runs as f64);
    }
    Ok(fs::remove_dir_all(root)?)
}
