//! Prints what it takes until devices that meet by chance, two at a time, hold the same runs:
//! `cargo run --release --workspace --bin meetings`, as a table in Markdown.

use std::io::{self, Write};

use runmesh_tests::simulation::Simulation;

/// Every row is the mean of so many seeds.
const SEEDS: u64 = 3;
const DEVICES: [usize; 4] = [5, 10, 20, 50];
const RUNS_EACH: [u64; 3] = [1, 10, 100];

fn main() -> io::Result<()> {
    let mut out = io::stdout();
    writeln!(
        out,
        "| devices | runs of each | rounds | bytes sent : bytes needed | bytes, each device |"
    )?;
    writeln!(out, "| ---: | ---: | ---: | ---: | ---: |")?;
    for devices in DEVICES {
        for runs in RUNS_EACH {
            let (mut rounds, mut sent, mut needed) = (0, 0, 0);
            for seed in 0..SEEDS {
                let mut simulation = Simulation::of_calm_devices(seed, devices);
                simulation.log_runs(runs);
                let cost = simulation.meet_until_agreed();
                rounds += cost.rounds;
                sent += cost.bytes;
                // Every device needs what the others wrote, once.
                needed += cost.journal_bytes * (devices as u64 - 1);
            }
            let ratio = sent as f64 / needed as f64;
            let (rounds, each) = (rounds as f64 / SEEDS as f64, sent / SEEDS / devices as u64);
            writeln!(out, "| {devices} | {runs} | {rounds:.1} | {ratio:.2} | {each} |")?;
            out.flush()?;
        }
    }
    Ok(())
}
