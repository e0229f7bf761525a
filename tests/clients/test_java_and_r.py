"""The requests of MLflow's Java and R clients, as these put them on the wire.

The Java client prints protobuf as JSON: pretty, snake case, 64-bit integers as texts, a run's id under its old name
too. The R client turns every scalar into a text. Both read answers leniently, so what counts is that they are
understood. (Java: MlflowProtobufMapper, MlflowHttpCaller; R: tracking-rest.R, tracking-runs.R, tracking-experiments.R.)
"""

import json
import uuid
from urllib.parse import urlencode

import pytest

START = 1_732_573_923_456


class Java:
    headers = {"Content-Type": "application/json", "User-Agent": "mlflow-java-client/3.17.2"}

    @staticmethod
    def run(run_id: str) -> dict:
        return {"run_uuid": run_id, "run_id": run_id}

    @staticmethod
    def number(value: float):
        # What JSON has no number for is a text in protobuf's JSON.
        return value if value == value and abs(value) != float("inf") else {"inf": "Infinity"}.get(str(value), "NaN")

    # 64-bit integers are texts, others are numbers.
    integer = str
    count = int


class R:
    headers = {"Content-Type": "application/json", "User-Agent": "mlflow-r-client/3.17.2"}
    run = Java.run

    @staticmethod
    def number(value: float) -> str:
        return {"inf": "Infinity", "nan": "NaN"}.get(str(value), f"{value:.15g}")

    integer = str
    count = str


@pytest.fixture(params=[Java, R])
def dialect(request):
    return request.param


@pytest.fixture
def post(wire, dialect):
    def post(path: str, body: dict) -> dict:
        data = json.dumps(body, indent=2, ensure_ascii=False).encode()
        answer = wire.send("POST", f"/api/2.0/mlflow/{path}", data, dialect.headers)
        assert answer.status == 200, (path, body, answer.body)
        return answer.json

    return post


@pytest.fixture
def get(wire, dialect):
    def get(path: str, query: dict) -> dict:
        answer = wire.send("GET", f"/api/2.0/mlflow/{path}?{urlencode(query)}", None, dialect.headers)
        assert answer.status == 200, (path, query, answer.body)
        return answer.json

    return get


def test_an_experiment_as_java_and_r_make_it(dialect, post, get):
    name = f"é {uuid.uuid4().hex}"
    experiment = post("experiments/create", {"name": name})["experiment_id"]
    found = get("experiments/get-by-name", {"experiment_name": name})["experiment"]
    assert found["experiment_id"] == experiment
    post("experiments/set-experiment-tag", {"experiment_id": experiment, "key": "team", "value": "fraud"})
    post("experiments/update", {"experiment_id": experiment, "new_name": f"{name}!"})
    found = get("experiments/get", {"experiment_id": experiment})["experiment"]
    assert (found["name"], found["tags"]) == (f"{name}!", [{"key": "team", "value": "fraud"}])
    post("experiments/delete", {"experiment_id": experiment})
    post("experiments/restore", {"experiment_id": experiment})
    search = {"filter": f"name = '{name}!'", "view_type": "ACTIVE_ONLY", "max_results": dialect.integer(1000)}
    assert [one["experiment_id"] for one in post("experiments/search", search)["experiments"]] == [experiment]


def test_a_run_as_java_and_r_log_it(dialect, post, get, experiment):
    created = post(
        "runs/create",
        {
            "experiment_id": experiment,
            "user_id": "ann",
            "start_time": dialect.integer(START),
            "tags": [{"key": "mlflow.source.type", "value": "LOCAL"}],
        },
    )
    run = dialect.run(created["run"]["info"]["run_uuid"])
    run_id = run["run_id"]
    for step, value in enumerate([0.5, -1e-300, float("nan"), 12345678.25]):
        post(
            "runs/log-metric",
            run
            | {
                "key": "loss",
                "value": dialect.number(value),
                "timestamp": dialect.integer(START + step),
                "step": dialect.integer(step),
            },
        )
    post("runs/log-parameter", run | {"key": "lr", "value": "0.1"})
    post("runs/set-tag", run | {"key": "stage", "value": "draft"})
    post("runs/delete-tag", {"run_id": run_id, "key": "stage"})
    post(
        "runs/log-batch",
        {
            "run_id": run_id,
            "metrics": [
                {"key": "auc", "value": dialect.number(0.75), "step": dialect.integer(-3), "timestamp": dialect.integer(START)}
            ],
            "params": [{"key": "depth", "value": "4"}],
            "tags": [{"key": "team", "value": "fraud"}],
        },
    )
    updated = post("runs/update", run | {"status": "FINISHED", "end_time": dialect.integer(START + 9)})
    assert updated["run_info"]["run_uuid"] == run_id

    found = get("runs/get", run)["run"]
    assert (found["info"]["status"], found["info"]["end_time"]) == ("FINISHED", START + 9)
    assert found["info"]["start_time"] == START
    assert {metric["key"]: metric["value"] for metric in found["data"]["metrics"]} == {"auc": 0.75, "loss": 12345678.25}
    assert {param["key"]: param["value"] for param in found["data"]["params"]} == {"lr": "0.1", "depth": "4"}
    tags = {tag["key"]: tag["value"] for tag in found["data"]["tags"]}
    assert tags.pop("mlflow.runName")
    assert tags == {"mlflow.source.type": "LOCAL", "team": "fraud"}

    page = {"metric_key": "loss", "max_results": 25000}
    history = get("metrics/get-history", run | page)["metrics"]
    assert [point["value"] for point in history] == [0.5, -1e-300, "NaN", 12345678.25]
    assert get("artifacts/list", run | {"path": ""})["root_uri"] == found["info"]["artifact_uri"]

    search = {
        "experiment_ids": [experiment],
        "filter": "metrics.auc > 0.5 and params.lr = '0.1'",
        "run_view_type": "ACTIVE_ONLY",
        "max_results": dialect.count(1000),
        "order_by": ["metrics.auc DESC"],
    }
    assert [one["info"]["run_id"] for one in post("runs/search", search)["runs"]] == [run_id]
    post("runs/delete", {"run_id": run_id})
    assert "runs" not in post("runs/search", search)
    post("runs/restore", {"run_id": run_id})
    assert post("runs/search", search)["runs"]


def test_r_records_a_model_the_old_way(wire, run_id):
    model = '{"artifact_path":"model","run_id":"%s","utc_time_created":"2026-01-01 00:00:00","flavors":{"crate":{}}}' % run_id
    answer = wire.post("runs/log-model", {"run_id": run_id, "model_json": model})
    assert answer.status == 200, answer.body
