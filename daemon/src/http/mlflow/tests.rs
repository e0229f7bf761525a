//! Requests that were put to a real MLflow server, put to ours: the answers must agree.
//!
//! `testdata/mlflow-probes.jsonl` holds requests to `mlflow server` 3.18.0 and its answers, in
//! order. `{RUN}` and `{EXP}` stand for the run and the experiment that they are about, `{ANY}` for
//! what differs from server to server.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::http::{Request, header};
use axum::{Router, response::Response};
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt;

use crate::app::App;
use crate::config::Config;
use crate::home::Home;
use crate::http::router;

/// Probes that are answered differently on purpose, and why.
const DIFFERENT: [(&str, &str); 10] = [
    ("version", "we answer the MLflow whose API we serve"),
    ("create same name deleted", "MLflow gives the text of its failed SQL statement"),
    ("rename to existing", "MLflow says BAD_REQUEST, with the text of its failed SQL statement"),
    ("order dup", "a mistake of the client's is not 500, at which it tries again for minutes"),
    ("search exp get", "its page token also says after which row the next page starts"),
    ("registry: archive archived", "nor is this one"),
    (
        "registry: mvfilter: version='1'",
        "only to MLflow's parser of SQL is `version` a word of its own",
    ),
    ("art list root", "the recorded server held other experiments too"),
    ("server-info", "what is not built is not offered"),
    ("trav /a%00b", "a control character is refused rather than written out"),
];

#[derive(Debug, Deserialize)]
struct Probe {
    label: String,
    method: String,
    path: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    body: Option<Value>,
    /// A body that is no JSON.
    raw: Option<String>,
    status: u16,
    answer: Option<Value>,
    text: Option<String>,
}

/// The bodies that are too long for the file.
fn long_body(label: &str) -> Value {
    let pairs = |count: usize, value: &str| -> Vec<Value> {
        (0..count).map(|at| json!({"key": format!("k{at}"), "value": value})).collect()
    };
    let points = |count: i64| -> Vec<Value> {
        (0..count)
            .map(|step| json!({"key": "big", "value": 1, "timestamp": 1, "step": step}))
            .collect()
    };
    match label {
        "exp long name" => json!({"name": "x".repeat(501)}),
        "param 6001" => json!({"run_id": "{RUN}", "key": "long", "value": "v".repeat(6001)}),
        "tag 8001" => json!({"run_id": "{RUN}", "key": "tl", "value": "v".repeat(8001)}),
        "batch 101 params" => json!({"run_id": "{RUN}", "params": pairs(101, "1")}),
        "batch 101 tags" => json!({"run_id": "{RUN}", "tags": pairs(101, "1")}),
        "batch 1001 metrics" => json!({"run_id": "{RUN}", "metrics": points(1001)}),
        "batch 1000 total" => {
            json!({"run_id": "{RUN}", "metrics": points(1000), "params": pairs(1, "1")})
        }
        "batch big" => json!({"run_id": "{RUN}", "metrics": points(1000)}),
        "batch >1e6 bytes" => json!({"run_id": "{RUN}", "params": pairs(100, &"v".repeat(20_000))}),
        _ => panic!("no body for {label}"),
    }
}

/// A server, and the run and the experiment that the probes are about.
struct Server {
    router: Router,
    /// Kept for as long as the server is.
    _folder: TempDir,
    names: BTreeMap<&'static str, String>,
}

impl Server {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let home = Home::open(folder.path()).expect("a home");
        let config = Config { require_token: Some(false), ..Config::default() };
        let app = App::open(home, config).expect("an app");
        Self { router: router(Arc::new(app)), _folder: folder, names: BTreeMap::new() }
    }

    fn filled_in(&self, text: &str) -> String {
        self.names.iter().fold(text.to_owned(), |text, (name, value)| text.replace(name, value))
    }

    async fn ask(&self, probe: &Probe) -> Response {
        let body = match (&probe.body, &probe.raw) {
            (Some(Value::String(_)), _) => {
                Body::from(self.filled_in(&long_body(&probe.label).to_string()))
            }
            (Some(body), _) => Body::from(self.filled_in(&body.to_string())),
            (None, Some(raw)) => Body::from(raw.clone()),
            (None, None) => Body::empty(),
        };
        let mut request = Request::builder()
            .method(probe.method.as_str())
            .uri(self.filled_in(&probe.path))
            .header(header::HOST, "127.0.0.1:4747");
        if !probe.headers.contains_key("content-type") {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        for (name, value) in &probe.headers {
            if name == "host" {
                request.headers_mut().expect("a request").remove(header::HOST);
            }
            request = request.header(name, value);
        }
        let request = request.body(body).expect("a request");
        self.router.clone().oneshot(request).await.expect("an answer")
    }

    /// Takes the names that later probes use.
    fn learn(&mut self, probe: &Probe, answer: &Value) {
        let (name, value) = match probe.label.as_str() {
            "exp" => ("{EXP}", &answer["experiment_id"]),
            "run no name" => ("{RUN}", &answer["run"]["info"]["run_id"]),
            _ => return,
        };
        let value = value.as_str().unwrap_or_else(|| panic!("{}: {answer}", probe.label));
        self.names.insert(name, value.to_owned());
    }
}

/// Whether an answer has all that MLflow's has.
fn agrees(expected: &Value, answer: &Value) -> bool {
    match (expected, answer) {
        (Value::Object(expected), Value::Object(answer)) => expected
            .iter()
            .all(|(key, value)| answer.get(key).is_some_and(|found| agrees(value, found))),
        (Value::Array(expected), Value::Array(answer)) => {
            let mut pairs = expected.iter().zip(answer);
            expected.len() == answer.len() && pairs.all(|(a, b)| agrees(a, b))
        }
        (Value::String(expected), _) if expected == "{ANY}" => true,
        (Value::String(expected), Value::String(answer)) => {
            // Python prints sets in any order.
            let stable = |text: &str| text.split("'{'").next().map(str::to_owned);
            stable(expected) == stable(answer)
        }
        _ => expected == answer,
    }
}

/// What differs from MLflow's answer, if anything.
async fn difference(server: &mut Server, probe: &Probe) -> Option<String> {
    let response = server.ask(probe).await;
    let status = response.status().as_u16();
    let body = to_bytes(response.into_body(), usize::MAX).await.expect("a body");
    let text = String::from_utf8_lossy(&body);
    let answer: Value = serde_json::from_str(&text).unwrap_or_default();
    server.learn(probe, &answer);
    let expected = probe.answer.as_ref().map(|expected| {
        let filled = server.filled_in(&expected.to_string());
        serde_json::from_str(&filled).expect("names need no escapes")
    });
    let same = status == probe.status
        && expected.as_ref().is_none_or(|expected| agrees(expected, &answer))
        && probe.text.as_ref().is_none_or(|expected| *expected == text);
    let expected = expected.unwrap_or_default();
    (!same).then(|| {
        let told = probe.text.clone().unwrap_or_default();
        format!("{}: {} {expected}{told}\n   but: {status} {text}", probe.label, probe.status)
    })
}

fn probes() -> impl Iterator<Item = Probe> {
    let probes = include_str!("../../../testdata/mlflow-probes.jsonl").lines();
    probes.map(|line| serde_json::from_str(line).expect(line))
}

#[tokio::test]
async fn the_answers_are_those_of_mlflow() {
    let mut server = Server::start();
    let mut differences = Vec::new();
    for probe in probes() {
        let reason = DIFFERENT.iter().find(|(label, _)| *label == probe.label);
        match (difference(&mut server, &probe).await, reason) {
            (None, Some(_)) => differences.push(format!("{}: differs no more", probe.label)),
            (Some(difference), None) => differences.push(difference),
            _ => {}
        }
    }
    assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.join("\n"));
}

/// Values of all types, most of which some field or other takes.
fn strange_value() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        Just("{RUN}".to_owned()),
        Just("{EXP}".to_owned()),
        prop::sample::select(vec![
            "",
            "0",
            "-1",
            "NaN",
            "m",
            "prm",
            "1",
            "Archived",
            "true",
            "models:/m",
            "models:/prm/1",
            "runs:/{RUN}/m",
            "mlflow-artifacts:/{EXP}/{RUN}/artifacts",
            "mlflow.runName",
            "a/../b",
            "FAILED",
        ])
        .prop_map(str::to_owned),
        "\\PC{0,8}",
    ];
    let scalar = prop_oneof![
        4 => text.prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<f64>().prop_map(Value::from),
        1 => any::<bool>().prop_map(Value::from),
        1 => Just(Value::Null),
    ];
    scalar.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            strange_fields(inner),
        ]
    })
}

fn strange_fields(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    let names = prop::sample::select(vec![
        "run_id",
        "runId",
        "run_uuid",
        "experiment_id",
        "experiment_ids",
        "name",
        "new_name",
        "key",
        "value",
        "timestamp",
        "step",
        "metrics",
        "params",
        "tags",
        "status",
        "end_time",
        "filter",
        "order_by",
        "max_results",
        "page_token",
        "view_type",
        "run_view_type",
        "datasets",
        "dataset",
        "models",
        "model_id",
        "model_json",
        "metric_key",
        "artifact_location",
        "digest",
        "alias",
        "version",
        "stage",
        "stages",
        "archive_existing_versions",
        "description",
        "source",
        "source_type",
        "run_name",
        "start_time",
    ]);
    prop::collection::btree_map(names.prop_map(str::to_owned), value, 0..8)
        .prop_map(Value::from_iter)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Whatever a client sends is answered, and a mistake in it is the client's.
    #[test]
    fn no_body_is_too_strange(bodies in prop::collection::vec(strange_fields(strange_value()), 1..6)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let failures = runtime.block_on(async {
            let mut server = Server::start();
            let mut paths = Vec::new();
            for probe in probes() {
                if ["exp", "run no name"].contains(&probe.label.as_str()) {
                    difference(&mut server, &probe).await;
                }
                if probe.method == "POST" && !paths.contains(&probe.path) {
                    paths.push(probe.path);
                }
            }
            let mut failures = Vec::new();
            for body in &bodies {
                for path in &paths {
                    failures.extend(failure(&server, path, body).await);
                }
            }
            failures
        });
        prop_assert!(failures.is_empty(), "{}", failures.join("\n"));
    }
}

/// What went wrong in the server, if anything did, when it was sent a body.
async fn failure(server: &Server, path: &str, body: &Value) -> Option<String> {
    let probe = Probe {
        label: String::new(),
        method: "POST".to_owned(),
        path: path.to_owned(),
        headers: BTreeMap::new(),
        body: None,
        raw: Some(server.filled_in(&body.to_string())),
        status: 200,
        answer: None,
        text: None,
    };
    let response = server.ask(&probe).await;
    let status = response.status().as_u16();
    let answer = to_bytes(response.into_body(), usize::MAX).await.expect("a body");
    let answer = String::from_utf8_lossy(&answer);
    let is_clients = status < 500 || status == 501 || answer.contains("\"INVALID_STATE\"");
    (!is_clients).then(|| format!("{path} {body}: {status} {answer}"))
}
