//! As much of an MLflow client as a training script needs: the same requests, over the same REST
//! API, that `mlflow.log_metric` and its like send.

use std::time::Duration;

use serde_json::{Value, json};
use ureq::http::Response;
use ureq::{Agent, Body};

use crate::demo::stage::Device;
use crate::demo::train::Score;
use crate::error::CliError;
use crate::text::now_ms;

/// An MLflow client of one device.
pub(crate) struct Mlflow {
    agent: Agent,
    url: String,
    authorization: String,
    device: &'static str,
}

/// A run that is being logged.
pub(crate) struct LoggedRun {
    pub(crate) id: String,
    /// Where its artifacts go, below the artifact proxy.
    artifacts: String,
}

impl Mlflow {
    /// A client of a device.
    pub(crate) fn of(device: &Device) -> Self {
        let config = Agent::config_builder().http_status_as_error(false).proxy(None);
        Self {
            agent: config.timeout_global(Some(Duration::from_secs(60))).build().into(),
            url: format!("http://{}/api/2.0", device.client.address()),
            authorization: format!("Bearer {}", device.token),
            device: device.name,
        }
    }

    /// `mlflow.set_experiment`.
    pub(crate) fn set_experiment(&self, name: &str) -> Result<String, CliError> {
        let url = format!("{}/mlflow/experiments/get-by-name", self.url);
        let request = self.agent.get(url).query("experiment_name", name);
        let answer = request.header("authorization", &self.authorization).call();
        let answer = answer.map_err(|error| self.failed(error.to_string()))?;
        if answer.status() == 404 {
            let created = self.post("experiments/create", &json!({ "name": name }))?;
            return self.text(&created["experiment_id"]);
        }
        let found = self.read(answer)?;
        self.text(&found["experiment"]["experiment_id"])
    }

    /// `mlflow.start_run` and `mlflow.log_params`.
    pub(crate) fn start_run(
        &self,
        experiment: &str,
        name: &str,
        params: &[(&str, String)],
    ) -> Result<LoggedRun, CliError> {
        let tags = json!([
            { "key": "mlflow.user", "value": self.device },
            { "key": "mlflow.source.name", "value": "runmesh demo" },
        ]);
        let run = self.post(
            "runs/create",
            &json!({
                "experiment_id": experiment,
                "run_name": name,
                "user_id": self.device,
                "start_time": now_ms(),
                "tags": tags,
            }),
        )?;
        let info = &run["run"]["info"];
        let (id, uri) = (self.text(&info["run_id"])?, self.text(&info["artifact_uri"])?);
        let pair = |(key, value): &(&str, String)| json!({ "key": key, "value": value });
        let params: Vec<Value> = params.iter().map(pair).collect();
        self.post("runs/log-batch", &json!({ "run_id": id, "params": params }))?;
        let artifacts = uri.strip_prefix("mlflow-artifacts:/");
        let artifacts = artifacts.ok_or_else(|| self.failed(format!("artifacts go to {uri}")))?;
        Ok(LoggedRun { artifacts: artifacts.to_owned(), id })
    }

    /// `mlflow.log_metrics`, for several steps at once.
    pub(crate) fn log_scores(
        &self,
        run: &LoggedRun,
        scores: &[(u32, i64, Score)],
    ) -> Result<(), CliError> {
        let point = |key: &str, value: f64, step: u32, timestamp: i64| json!({ "key": key, "value": value, "step": step, "timestamp": timestamp });
        let metrics = scores.iter().flat_map(|(step, ms, score)| {
            [point("loss", score.loss, *step, *ms), point("accuracy", score.accuracy, *step, *ms)]
        });
        let metrics: Vec<Value> = metrics.collect();
        self.post("runs/log-batch", &json!({ "run_id": run.id, "metrics": metrics })).map(drop)
    }

    /// `mlflow.log_artifact`.
    pub(crate) fn log_artifact(
        &self,
        run: &LoggedRun,
        path: &str,
        bytes: &[u8],
    ) -> Result<(), CliError> {
        let request = self.agent.put(self.artifact_url(run, path));
        let request = request.header("content-type", "application/json");
        let answer = request.header("authorization", &self.authorization).send(bytes);
        self.check(answer.map_err(|error| self.failed(error.to_string()))?).map(drop)
    }

    /// `mlflow.artifacts.download_artifacts`.
    pub(crate) fn artifact(&self, run: &LoggedRun, path: &str) -> Result<Vec<u8>, CliError> {
        let request = self.agent.get(self.artifact_url(run, path));
        let answer = request.header("authorization", &self.authorization).call();
        let answer = self.check(answer.map_err(|error| self.failed(error.to_string()))?)?;
        answer.into_body().read_to_vec().map_err(|error| self.failed(error.to_string()))
    }

    fn artifact_url(&self, run: &LoggedRun, path: &str) -> String {
        format!("{}/mlflow-artifacts/artifacts/{}/{path}", self.url, run.artifacts)
    }

    /// `mlflow.end_run`.
    pub(crate) fn end_run(&self, run: &LoggedRun) -> Result<(), CliError> {
        let body = json!({ "run_id": run.id, "status": "FINISHED", "end_time": now_ms() });
        self.post("runs/update", &body).map(drop)
    }

    fn post(&self, path: &str, body: &Value) -> Result<Value, CliError> {
        let request = self.agent.post(format!("{}/mlflow/{path}", self.url));
        let answer = request.header("authorization", &self.authorization).send_json(body);
        self.read(answer.map_err(|error| self.failed(error.to_string()))?)
    }

    fn read(&self, answer: Response<Body>) -> Result<Value, CliError> {
        let answer = self.check(answer)?;
        answer.into_body().read_json().map_err(|error| self.failed(error.to_string()))
    }

    fn check(&self, answer: Response<Body>) -> Result<Response<Body>, CliError> {
        if answer.status().is_success() {
            return Ok(answer);
        }
        let status = answer.status();
        let text = answer.into_body().read_to_string().unwrap_or_default();
        let error: Value = serde_json::from_str(&text).unwrap_or_default();
        let message = error["message"].as_str().map_or(text, str::to_owned);
        Err(self.failed(format!("{status}: {message}")))
    }

    fn text(&self, value: &Value) -> Result<String, CliError> {
        let text = value.as_str().map(str::to_owned);
        text.ok_or_else(|| self.failed("an id is missing in its answer".to_owned()))
    }

    fn failed(&self, message: String) -> CliError {
        CliError::Mlflow { device: self.device, message }
    }
}
