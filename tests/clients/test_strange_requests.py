"""Requests that are a little or very wrong: no 5xx, no panic, and what is refused leaves nothing behind.

Each test starts from requests that are well-formed and damages them at random; the seed is in the report's header.
"""

import json
import random
from urllib.parse import quote, urlencode

import pytest
from wire import Wire

pytestmark = pytest.mark.runmesh_only

ROUNDS = 600

STRANGE = [
    *(None, True, False, 0, -1, 1, 2**31, 2**53, 2**63, -(2**63), 2**64, 1e308, -1e-320, 0.5, 10**400),
    *("", " ", "0", "-1", "a", "NaN", "Infinity", "1e400", "null", "🦀", "\u0000", "\ud800", "é" * 300, "x" * 9000),
    *("../..", "a/b", "mlflow.runName", "mlflow.note.content", "'", '"', "`", "%00", "{}", "[]", "FAILED", "ALL"),
    *([], {}, [[]], [{}], [None], ["0"], [1, "a"], {"key": "k"}, {"a": {"b": {"c": []}}}),
]


@pytest.fixture
def device(devices):
    return devices("ann").up()


@pytest.fixture
def wire(device):
    return Wire(device.url)


class State:
    """All that a client can see, by two requests."""

    def __init__(self, wire, experiment: str) -> None:
        self.wire = wire
        self.experiment = experiment

    def read(self):
        runs = self.wire.post("runs/search", {"experiment_ids": [self.experiment], "run_view_type": "ALL"}).json
        experiments = self.wire.post("experiments/search", {"view_type": "ALL", "max_results": 5000}).json
        listed = self.wire.send("GET", "/api/2.0/mlflow-artifacts/artifacts").json
        return json.dumps([runs, experiments, listed], sort_keys=True)


@pytest.fixture
def experiment(wire) -> str:
    return wire.post("experiments/create", {"name": "strange"}).json["experiment_id"]


@pytest.fixture
def run_id(wire, experiment) -> str:
    return wire.post("runs/create", {"experiment_id": experiment}).json["run"]["info"]["run_id"]


@pytest.fixture
def state(wire, experiment, run_id) -> State:
    return State(wire, experiment)


def must_be_the_clients_fault(sent, answer) -> None:
    # 501 says that a thing is not done here; MLflow has a 500 of its own for renaming what is deleted.
    expected = answer.status < 500 or answer.status == 501 or b'"INVALID_STATE"' in answer.body
    assert expected, (sent, answer.status, answer.body[:500])


@pytest.fixture
def unharmed(device):
    """Whatever the test did, the daemon goes on and has not panicked."""
    yield
    assert device.process.poll() is None, device.said()
    assert "panicked" not in device.log.read_text(errors="replace"), device.said()


def bodies(experiment: str, run_id: str) -> dict[str, dict]:
    """A well-formed body for everything that takes one."""
    point = {"key": "m", "value": 0.5, "timestamp": 1, "step": 1}
    dataset = {"name": "d", "digest": "1", "source_type": "s", "source": "{}", "schema": "{}", "profile": "{}"}
    pair = {"key": "k", "value": "v"}
    run = {"run_id": run_id}
    return {
        "experiments/create": {"name": "new", "artifact_location": "s3://b/k", "tags": [pair]},
        "experiments/search": {"max_results": 5, "filter": "name = 'a'", "order_by": ["name"], "view_type": "ALL"},
        "experiments/update": {"experiment_id": experiment, "new_name": "newer"},
        "experiments/set-experiment-tag": {"experiment_id": experiment} | pair,
        "experiments/delete-experiment-tag": {"experiment_id": experiment, "key": "k"},
        "runs/create": {"experiment_id": experiment, "start_time": 1, "run_name": "r", "tags": [pair]},
        "runs/update": run | {"status": "FINISHED", "end_time": 5, "run_name": "r"},
        "runs/search": {"experiment_ids": [experiment], "filter": "metrics.m > 0", "max_results": 5},
        "runs/log-metric": run | point | {"model_id": "m-1", "dataset_name": "d", "dataset_digest": "1"},
        "runs/log-parameter": run | pair,
        "runs/set-tag": run | pair,
        "runs/delete-tag": run | {"key": "k"},
        "runs/log-batch": run | {"metrics": [point], "params": [pair], "tags": [pair]},
        "runs/log-inputs": run | {"datasets": [{"dataset": dataset, "tags": [pair]}], "models": [{"model_id": "m-1"}]},
        "runs/outputs": run | {"models": [{"model_id": "m-1", "step": 1}]},
        "runs/log-model": run | {"model_json": "{}"},
        "registered-models/create": {"name": "model", "description": "d", "tags": [pair]},
        "registered-models/rename": {"name": "model", "new_name": "model2"},
        "registered-models/set-tag": {"name": "model"} | pair,
        "registered-models/alias": {"name": "model", "alias": "best", "version": "1"},
        "registered-models/get-latest-versions": {"name": "model", "stages": ["None"]},
        "model-versions/create": {"name": "model", "source": "s3://b/k", "run_id": run_id, "tags": [pair]},
        "model-versions/set-tag": {"name": "model", "version": "1"} | pair,
        "model-versions/transition-stage": {"name": "model", "version": "1", "stage": "Staging"},
        "logged-models": {"experiment_id": experiment, "name": "l", "model_type": "t", "params": [pair], "tags": [pair]},
        "logged-models/search": {"experiment_ids": [experiment], "filter": "name = 'l'", "max_results": 5},
    }


def damaged(value, rng: random.Random):
    """The value with something in it replaced, left out, repeated or wrapped."""
    choice = rng.random()
    if isinstance(value, dict) and value and choice < 0.8:
        key = rng.choice(list(value))
        rest = {k: v for k, v in value.items() if k != key}
        if choice < 0.1:
            return rest
        if choice < 0.2:
            camel = "".join(part.title() if at else part for at, part in enumerate(key.split("_")))
            return rest | {camel: value[key], rng.choice(list(value)): value[key]}
        return rest | {key: damaged(value[key], rng)}
    if isinstance(value, list) and value and choice < 0.7:
        return [damaged(item, rng) for item in value] * rng.choice([1, 1, 2])
    return [value] if choice > 0.95 else rng.choice(STRANGE)


def test_damaged_bodies_are_refused_whole(wire, state, experiment, run_id, rng, unharmed):
    originals = list(bodies(experiment, run_id).items())
    before = state.read()
    for _ in range(ROUNDS):
        path, body = rng.choice(originals)
        body = damaged(body, rng)
        data = json.dumps(body).encode()
        if rng.random() < 0.05:
            at = rng.randrange(len(data) + 1)
            data = data[:at] + rng.randbytes(rng.randrange(4)) + data[at + rng.randrange(4) :]
        answer = wire.post(path, data)
        must_be_the_clients_fault((path, data[:2000]), answer)
        after = state.read()
        assert answer.status < 400 or after == before, (path, data[:2000], answer.body)
        before = after


WORDS = [
    *("metrics", "metric", "params", "tags", "attributes", "attr", "run", "dataset", "datasets", "foo", "name", "status"),
    *(".", ".", ".", "m", "k", "`m`", '"k"', "`a.b c`", "start_time", "run_id", "version_number", "creation_time"),
    *("=", "!=", ">", ">=", "<", "<=", "<>", "==", "LIKE", "ilike", "IN", "NOT IN", "IS NULL", "IS NOT NULL", "BETWEEN"),
    *("'a'", '"a"', "''", "'%'", "'_%'", "1", "-1.5", "1e400", "0x1", "NaN", "'", '"', "`", "\\", "('a', 'b')", "(", ")"),
    *("AND", "and", "OR", "NOT", ";", ",", "--", "/*", "*/", "%", "\u0000", "é", "🦀", "\ud7ff", "ASC", "DESC", "NULL"),
]


def sentence(rng: random.Random) -> str:
    clause = [rng.choice(WORDS) for _ in range(rng.randrange(8))]
    return rng.choice(["", " ", " "]).join(clause) * rng.choice([1, 1, 1, 40])


def test_filters_and_orders_of_any_words_are_answered(wire, state, experiment, rng, unharmed):
    queries = ["runs/search", "experiments/search", "logged-models/search"]
    lists = ["registered-models/search", "model-versions/search"]
    before = state.read()
    for _ in range(ROUNDS):
        order = [sentence(rng) for _ in range(rng.randrange(3))]
        body = {"filter": sentence(rng), "order_by": order, "max_results": 5}
        if rng.random() < 0.3:
            body["page_token"] = rng.choice(["", "zzz", "e30=", "eyJvZmZzZXQiOiAtMX0=", "eyJvZmZzZXQiOiAxZTMwMH0="])
        if rng.random() < 0.2:
            path = rng.choice(lists)
            answer = wire.get(f"{path}?{urlencode(body, doseq=True)}")
        else:
            path = rng.choice(queries)
            answer = wire.post(path, body | {"experiment_ids": [experiment]})
        must_be_the_clients_fault((path, body), answer)
        assert b"SELECT" not in answer.body, (path, body, answer.body)
    assert state.read() == before


PARTS = [
    *("a", "..", ".", "...", "", " ", "%2e%2e", "%252e%252e", "%2f", "%5c", "\\", "C:", "nul", "con", "a b", "é", "🦀", "#", "?"),
    *("%00", "%0a", "%ff", "%", "%zz", "~", "*", "|", "<x>", "a" * 300, "file:", "http:", "mlflow-artifacts:", "0", "artifacts"),
]


def test_no_path_leads_out_or_breaks_anything(device, wire, state, experiment, run_id, rng, unharmed):
    outside = sorted(str(file) for file in device.home.parent.iterdir())
    before = state.read()
    for _ in range(ROUNDS):
        path = "/".join(rng.choice(PARTS) for _ in range(rng.randrange(1, 6)))
        root = rng.choice(["", f"{experiment}/", f"{experiment}/{run_id}/artifacts/", f"{experiment}/{run_id}/"])
        as_sent = quote(root + path, safe="/%\\:*|<>~#?") if rng.random() < 0.5 else quote(root + path, safe="")
        method = rng.choice(["PUT", "PUT", "GET", "DELETE"])
        answer = wire.send(method, f"/api/2.0/mlflow-artifacts/artifacts/{as_sent}", b"x" if method == "PUT" else None)
        must_be_the_clients_fault((method, as_sent), answer)
        after = state.read()
        assert answer.status < 400 or after == before, (method, as_sent, answer.body)
        before = after
        query = urlencode({"run_id": run_id, "path": path})
        for read in (f"mlflow/artifacts/list?{query}", f"mlflow-artifacts/artifacts?{query}"):
            must_be_the_clients_fault(read, wire.send("GET", f"/api/2.0/{read}"))
        must_be_the_clients_fault(query, wire.send("GET", f"/get-artifact?{query}"))
    assert sorted(str(file) for file in device.home.parent.iterdir()) == outside
