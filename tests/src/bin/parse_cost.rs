//! Prints what it costs to read the requests of a whole run: JSON, and MLflow's limits and checks.
//! It is the one stage of a run that `store_cost` of runmesh-core cannot see.

use std::error::Error;
use std::hint::black_box;
use std::io::Write;
use std::time::Instant;

use runmesh_daemon::http::parse;
use runmesh_tests::requests::{new_run, run_batch, run_end};

const RUN: &str = "0123456789abcdef0123456789abcdef";
const RUNS: u64 = 10_000;

fn main() -> Result<(), Box<dyn Error>> {
    let bodies = |number| {
        [
            ("runs/create", new_run("0", number).to_string()),
            ("runs/log-batch", run_batch(RUN, number).to_string()),
            ("runs/update", run_end(RUN, number).to_string()),
        ]
    };
    let requests: Vec<_> = (0..RUNS).flat_map(bodies).collect();
    let started = Instant::now();
    for (path, body) in &requests {
        black_box(parse(path, body.as_bytes())).ok_or("a request was refused")?;
    }
    let micros = started.elapsed().as_secs_f64() * 1e6 / RUNS as f64;
    writeln!(std::io::stdout(), "parse:                  {micros:7.1} us a run, three requests")?;
    Ok(())
}
