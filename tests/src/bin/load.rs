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
use runmesh_tests::requests::{batch, new_run, point, run_batch, run_end};
use serde::Deserialize;
use serde::de::IgnoredAny;
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
    /// Uses this experiment instead of a new one.
    #[arg(long)]
    experiment: Option<String>,
    /// What a search finds.
    #[arg(long, default_value = "")]
    filter: String,
    /// What a search sorts by.
    #[arg(long)]
    order_by: Vec<String>,
    /// How many runs a search returns at most, or one page of it.
    #[arg(long, default_value_t = 50)]
    max_results: u64,
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
    /// Asks nothing but whether the server is there.
    Health,
    /// Reads the first page that a search finds.
    Search,
    /// Reads all pages that a search finds, one after the other.
    Pages,
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
        let uri = match path {
            "health" => "/health".to_owned(),
            path => format!("/api/2.0/mlflow/{path}"),
        };
        let request = Request::builder()
            .method(method)
            .uri(uri)
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
        let body = new_run(experiment, number);
        let answer: Value = serde_json::from_slice(&self.post("runs/create", &body).await?)?;
        let id = answer["run"]["info"]["run_id"].as_str().ok_or("runs/create named no run")?;
        Ok(id.to_owned())
    }
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
    let reads = matches!(arguments.scenario, Scenario::Search | Scenario::Pages);
    let run = if reads { String::new() } else { connection.create_run(experiment, index).await? };
    if let Scenario::History = arguments.scenario {
        for number in 0..arguments.points.div_ceil(1000) {
            connection.post("runs/log-batch", &batch(&run, index, number, 1)).await?;
        }
    }
    Ok(Worker { connection, index, run })
}

/// The answer to `runs/search`, read as far as it takes to count and go on.
#[derive(Deserialize)]
struct Found {
    #[serde(default)]
    runs: Vec<IgnoredAny>,
    #[serde(default)]
    next_page_token: Option<String>,
}

/// Reads one page of a search.
async fn search(
    connection: &mut Connection,
    arguments: &Arguments,
    experiment: &str,
    token: Option<String>,
) -> Result<Found, Failure> {
    let mut body = json!({
        "experiment_ids": [experiment],
        "filter": arguments.filter,
        "order_by": arguments.order_by,
        "max_results": arguments.max_results,
    });
    if let Some(token) = token {
        body["page_token"] = json!(token);
    }
    let mut found: Found = serde_json::from_slice(&connection.post("runs/search", &body).await?)?;
    found.next_page_token = found.next_page_token.filter(|token| !token.is_empty());
    Ok(found)
}

/// What one connection did.
#[derive(Default)]
struct Done {
    /// How long each operation took.
    took: Vec<Duration>,
    /// How many runs its searches found.
    runs_found: usize,
}

/// What one connection does, until the budget is used up.
async fn work(
    arguments: &Arguments,
    worker: Worker,
    experiment: &str,
    budget: &Budget,
) -> Result<Done, Failure> {
    let Worker { mut connection, index, run } = worker;
    let history = format!("metrics/get-history?run_id={run}&run_uuid={run}&metric_key=metric_0");
    let mut done = Done::default();
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
                connection.post("runs/update", &run_end(&run, number)).await?;
            }
            Scenario::History => {
                let body = connection.send(Method::GET, &history, String::new()).await?;
                let answer: History = serde_json::from_slice(&body)?;
                let points = answer.metrics.len();
                if points as u64 != arguments.points || answer.metrics.iter().any(Logged::is_odd) {
                    return Err(format!("{points} points of {} came back", arguments.points).into());
                }
            }
            Scenario::Health => drop(connection.send(Method::GET, "health", String::new()).await?),
            Scenario::Search => {
                let found = search(&mut connection, arguments, experiment, None).await?;
                done.runs_found += found.runs.len();
            }
            Scenario::Pages => {
                let mut token = None;
                loop {
                    let found = search(&mut connection, arguments, experiment, token).await?;
                    done.runs_found += found.runs.len();
                    token = found.next_page_token;
                    if token.is_none() {
                        break;
                    }
                }
            }
        }
        done.took.push(started.elapsed());
        number += 1;
    }
    Ok(done)
}

async fn create_experiment(server: &str) -> Result<String, Failure> {
    let mut connection = Connection::open(server).await?;
    let name = format!("load {:?}", std::time::SystemTime::now());
    let answer = connection.post("experiments/create", &json!({ "name": name })).await?;
    let answer: Value = serde_json::from_slice(&answer)?;
    Ok(answer["experiment_id"].as_str().ok_or("experiments/create named none")?.to_owned())
}

async fn load(arguments: &Arguments) -> Result<Value, Failure> {
    let experiment = &match &arguments.experiment {
        Some(experiment) => experiment.clone(),
        None => create_experiment(&arguments.server).await?,
    };
    let workers = (0..arguments.connections as u64).map(|i| prepare(arguments, experiment, i));
    let workers = try_join_all(workers).await?;
    let started = Instant::now();
    let budget = Budget {
        left: Cell::new(arguments.count),
        ends: started + Duration::from_secs_f64(arguments.seconds),
    };
    let work = workers.into_iter().map(|worker| work(arguments, worker, experiment, &budget));
    let done = try_join_all(work).await?;
    let seconds = started.elapsed().as_secs_f64();
    let runs_found: usize = done.iter().map(|done| done.runs_found).sum();
    let mut took: Vec<_> = done.into_iter().flat_map(|done| done.took).collect();
    took.sort();
    let at = |share: f64| took.get((took.len() as f64 * share) as usize).map(|t| t.as_micros());
    Ok(json!({
        "experiment": experiment,
        "operations": took.len(),
        "seconds": seconds,
        "per_second": took.len() as f64 / seconds,
        "p50_us": at(0.5),
        "p99_us": at(0.99),
        "runs_found": runs_found,
    }))
}

fn main() -> Result<(), Failure> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = LocalSet::new().block_on(&runtime, load(&arguments))?;
    writeln!(std::io::stdout(), "{result}")?;
    Ok(())
}
