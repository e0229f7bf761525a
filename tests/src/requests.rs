//! The requests that the benchmarks send: what is logged depends on numbers alone, so that every
//! server is given the same.

use serde_json::{Value, json};

/// Some moment of 2025 at which all runs start, and from which points count.
pub const START_MS: i64 = 1_750_000_000_000;

/// A loss curve with noise in every bit of the fraction, as training prints it.
pub fn loss(seed: u64, step: u64) -> f64 {
    let mut bits = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ step.wrapping_add(1);
    for _ in 0..3 {
        bits ^= bits << 13;
        bits ^= bits >> 7;
        bits ^= bits << 17;
    }
    let noise = (bits >> 11) as f64 / (1_u64 << 53) as f64;
    2.0 / (1.0 + step as f64 / 1000.0) + 0.05 * noise
}

/// A point of a series.
pub fn point(key: &str, seed: u64, step: u64) -> Value {
    json!({ "key": key, "value": loss(seed, step), "timestamp": START_MS + step as i64 * 20, "step": step })
}

/// A batch of 1,000 points: the `number`th 1,000 steps of one metric, or 100 steps of ten.
pub fn batch(run: &str, seed: u64, number: u64, keys: u64) -> Value {
    let steps = 1000 / keys;
    let points: Vec<Value> = (0..1000)
        .map(|i| point(&format!("metric_{}", i % keys), seed + i % keys, number * steps + i / keys))
        .collect();
    json!({ "run_id": run, "metrics": points })
}

/// What a run of the scenario `run` logs besides its fields.
pub fn run_batch(run: &str, number: u64) -> Value {
    let params: Vec<Value> = (0..20)
        .map(|i| json!({ "key": format!("param_{i}"), "value": format!("{:.6}", loss(i, number)) }))
        .collect();
    let tags: Vec<Value> = (0..5)
        .map(|i| match i {
            4 => json!({ "key": "all", "value": "same" }),
            _ => {
                json!({ "key": format!("tag_{i}"), "value": format!("value {}", number % (7 + i)) })
            }
        })
        .collect();
    let metrics: Vec<Value> =
        (0..5).map(|i| point(&format!("metric_{i}"), number * 5 + i, 1)).collect();
    json!({ "run_id": run, "params": params, "tags": tags, "metrics": metrics })
}

/// What creates the `number`th run of an experiment.
pub fn new_run(experiment: &str, number: u64) -> Value {
    json!({
        "experiment_id": experiment,
        "run_name": format!("run-{number}"),
        "start_time": START_MS + number as i64,
    })
}

/// What ends the `number`th run.
pub fn run_end(run: &str, number: u64) -> Value {
    json!({
        "run_id": run,
        "status": "FINISHED",
        "end_time": START_MS + number as i64 + 1000,
    })
}
