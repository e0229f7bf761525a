//! A load of an MLflow tracking server, the same for every server, for tests/bench/run.
//!
//! One thread drives all connections, so that on two cores the server has one to itself. Every
//! connection keeps one request in flight and sends the next when the answer is there. The values
//! logged depend on the connection and step alone. The last line printed is JSON.

use std::cell::Cell;
use std::error::Error;
use std::io::Write;
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::{Parser, ValueEnum};
use futures_util::future::try_join_all;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

type Failure = Box<dyn Error>;

/// Drives an MLflow tracking server and prints how fast it answered.
#[derive(Parser)]
struct Arguments {
    /// Host and port of the server.
    #[arg(long)]
    server: String,
    /// What to do over and over.
    #[arg(long)]
    scenario: Scenario,
    /// How many connections do it at the same time.
    #[arg(long, default_value_t = 1)]
    connections: usize,
    /// Ends after so many operations …
    #[arg(long, default_value_t = u64::MAX)]
    count: u64,
    /// … or after so many seconds, whatever comes first.
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// How many points `history` reads back.
    #[arg(long, default_value_t = 100_000)]
    points: u64,
}

#[derive(Clone, Copy, ValueEnum)]
enum Scenario {
    /// One point a request, each at a new step of its connection's run.
    LogMetric,
    /// 1,000 points a request: 10 metrics at 100 steps.
    LogBatch,
    /// Creates a run, logs 20 params, 5 tags and 5 metrics in one batch, finishes it.
    Run,
    /// Reads all points of one metric in one request.
    History,
}

/// When to stop, shared by all connections.
struct Budget {
    left: Cell<u64>,
    ends: Instant,
}

impl Budget {
    fn take(&self) -> bool {
        let left = self.left.get();
        self.left.set(left.saturating_sub(1));
        left > 0 && Instant::now() < self.ends
    }
}

/// One HTTP connection to the server.
struct Connection {
    server: String,
    sender: SendRequest<Full<Bytes>>,
}

impl Connection {
    async fn open(server: &str) -> Result<Self, Failure> {
        let stream = TcpStream::connect(server).await?;
        stream.set_nodelay(true)?;
        let (sender, driver) = handshake(TokioIo::new(stream)).await?;
        tokio::task::spawn_local(driver);
        Ok(Self { server: server.to_owned(), sender })
    }

    /// Sends a request and returns the body of the answer, which must be 200.
    async fn send(&mut self, method: Method, path: &str, body: String) -> Result<Bytes, Failure> {
        let request = Request::builder()
            .method(method)
            .uri(format!("/api/2.0/mlflow/{path}"))
            .header("host", &self.server)
            .header("content-type", "application/json")
            .body(Full::from(body))?;
        self.sender.ready().await?;
        let answer = self.sender.send_request(request).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        if status != 200 {
            return Err(format!("{path}: {status}: {}", String::from_utf8_lossy(&body)).into());
        }
        Ok(body)
    }

    async fn post(&mut self, path: &str, body: &Value) -> Result<Bytes, Failure> {
        self.send(Method::POST, path, body.to_string()).await
    }

    async fn create_run(&mut self, experiment: &str, number: u64) -> Result<String, Failure> {
        let body = json!({
            "experiment_id": experiment,
            "run_name": format!("run-{number}"),
            "start_time": START_MS + number as i64,
        });
        let answer: Value = serde_json::from_slice(&self.post("runs/create", &body).await?)?;
        let id = answer["run"]["info"]["run_id"].as_str().ok_or("runs/create named no run")?;
        Ok(id.to_owned())
    }
}

/// Some moment of 2025 at which all runs start, and from which points count.
const START_MS: i64 = 1_750_000_000_000;

/// A loss curve with noise in every bit of the fraction, as training prints it.
fn loss(seed: u64, step: u64) -> f64 {
    let mut bits = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ step.wrapping_add(1);
    for _ in 0..3 {
        bits ^= bits << 13;
        bits ^= bits >> 7;
        bits ^= bits << 17;
    }
    let noise = (bits >> 11) as f64 / (1_u64 << 53) as f64;
    2.0 / (1.0 + step as f64 / 1000.0) + 0.05 * noise
}

fn point(key: &str, seed: u64, step: u64) -> Value {
    json!({ "key": key, "value": loss(seed, step), "timestamp": START_MS + step as i64 * 20, "step": step })
}

/// A batch of 1,000 points: the `number`th 1,000 steps of one metric, or 100 steps of ten.
fn batch(run: &str, seed: u64, number: u64, keys: u64) -> Value {
    let steps = 1000 / keys;
    let points: Vec<Value> = (0..1000)
        .map(|i| point(&format!("metric-{}", i % keys), seed + i % keys, number * steps + i / keys))
        .collect();
    json!({ "run_id": run, "metrics": points })
}

/// What a run of the scenario `run` logs besides its fields.
fn run_batch(run: &str, number: u64) -> Value {
    let params: Vec<Value> = (0..20)
        .map(|i| json!({ "key": format!("param-{i}"), "value": format!("{:.6}", loss(i, number)) }))
        .collect();
    let tags: Vec<Value> = (0..5)
        .map(|i| json!({ "key": format!("tag-{i}"), "value": format!("value {}", number % (7 + i)) }))
        .collect();
    let metrics: Vec<Value> =
        (0..5).map(|i| point(&format!("metric-{i}"), number * 5 + i, 1)).collect();
    json!({ "run_id": run, "params": params, "tags": tags, "metrics": metrics })
}

/// The answer to `metrics/get-history`, read as far as all servers write it alike.
#[derive(Deserialize)]
struct History {
    metrics: Vec<Logged>,
}

#[derive(Deserialize)]
struct Logged {
    value: f64,
}

impl Logged {
    /// Whether it cannot be what was logged.
    fn is_odd(&self) -> bool {
        !(0.0..=2.1).contains(&self.value)
    }
}

/// One connection, and the run of its own that it logs to unless it creates others.
struct Worker {
    connection: Connection,
    index: u64,
    run: String,
}

/// Connects, creates a run and logs what `history` shall read.
async fn prepare(arguments: &Arguments, experiment: &str, index: u64) -> Result<Worker, Failure> {
    let mut connection = Connection::open(&arguments.server).await?;
    let run = connection.create_run(experiment, index).await?;
    if let Scenario::History = arguments.scenario {
        for number in 0..arguments.points.div_ceil(1000) {
            connection.post("runs/log-batch", &batch(&run, index, number, 1)).await?;
        }
    }
    Ok(Worker { connection, index, run })
}

/// What one connection does, until the budget is used up; returns how long each operation took.
async fn work(
    arguments: &Arguments,
    worker: Worker,
    experiment: &str,
    budget: &Budget,
) -> Result<Vec<Duration>, Failure> {
    let Worker { mut connection, index, run } = worker;
    let history = format!("metrics/get-history?run_id={run}&run_uuid={run}&metric_key=metric-0");
    let mut took = Vec::new();
    let mut number = 0;
    while budget.take() {
        let started = Instant::now();
        match arguments.scenario {
            Scenario::LogMetric => {
                let mut body = point("loss", index, number);
                body["run_id"] = json!(run);
                connection.post("runs/log-metric", &body).await?;
            }
            Scenario::LogBatch => {
                connection.post("runs/log-batch", &batch(&run, index, number, 10)).await?;
            }
            Scenario::Run => {
                let number = number * arguments.connections as u64 + index;
                let run = connection.create_run(experiment, number).await?;
                connection.post("runs/log-batch", &run_batch(&run, number)).await?;
                let end = json!({
                    "run_id": run,
                    "status": "FINISHED",
                    "end_time": START_MS + number as i64 + 1000,
                });
                connection.post("runs/update", &end).await?;
            }
            Scenario::History => {
                let body = connection.send(Method::GET, &history, String::new()).await?;
                let answer: History = serde_json::from_slice(&body)?;
                let points = answer.metrics.len();
                if points as u64 != arguments.points || answer.metrics.iter().any(Logged::is_odd) {
                    return Err(format!("{points} points of {} came back", arguments.points).into());
                }
            }
        }
        took.push(started.elapsed());
        number += 1;
    }
    Ok(took)
}

async fn load(arguments: &Arguments) -> Result<Value, Failure> {
    let mut first = Connection::open(&arguments.server).await?;
    let name = format!("load {:?}", std::time::SystemTime::now());
    let answer = first.post("experiments/create", &json!({ "name": name })).await?;
    let answer: Value = serde_json::from_slice(&answer)?;
    let experiment = answer["experiment_id"].as_str().ok_or("experiments/create named none")?;

    let workers = (0..arguments.connections as u64).map(|i| prepare(arguments, experiment, i));
    let workers = try_join_all(workers).await?;
    let started = Instant::now();
    let budget = Budget {
        left: Cell::new(arguments.count),
        ends: started + Duration::from_secs_f64(arguments.seconds),
    };
    let work = workers.into_iter().map(|worker| work(arguments, worker, experiment, &budget));
    let mut took = try_join_all(work).await?.concat();
    let seconds = started.elapsed().as_secs_f64();
    took.sort();
    let at = |share: f64| took.get((took.len() as f64 * share) as usize).map(|t| t.as_micros());
    Ok(json!({
        "experiment": experiment,
        "operations": took.len(),
        "seconds": seconds,
        "per_second": took.len() as f64 / seconds,
        "p50_us": at(0.5),
        "p99_us": at(0.99),
    }))
}

fn main() -> Result<(), Failure> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = LocalSet::new().block_on(&runtime, load(&arguments))?;
    writeln!(std::io::stdout(), "{result}")?;
    Ok(())
}
