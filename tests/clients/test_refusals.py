"""What is wrong is refused with MLflow's code and message, and nothing of it is written."""

import pytest

MISSING = "Missing value for required parameter"


@pytest.fixture
def state(client, run_id):
    """What is stored of the run; asserted to be the same after the test."""
    client.log_param(run_id, "kept", "1")
    client.log_metric(run_id, "kept", 1.0, timestamp=1000, step=1)
    client.set_tag(run_id, "kept", "1")
    before = client.get_run(run_id).to_dictionary()
    yield run_id
    after = client.get_run(run_id).to_dictionary()
    assert after == before
    assert client.list_artifacts(run_id) == []


def refused(answer, status: int, code: str, message: str) -> None:
    assert (answer.status, answer.code) == (status, code), answer.body
    assert message in answer.message


POINT = {"key": "m", "value": 1.0, "timestamp": 1000, "step": 0}

BAD_WRITES = [
    # path, body besides the run's id, part of the message
    ("runs/log-metric", {"value": 1, "timestamp": 1}, f"{MISSING} 'key'"),
    ("runs/log-metric", {"key": "m", "timestamp": 1}, f"{MISSING} 'value'"),
    ("runs/log-metric", {"key": "m", "value": 1}, f"{MISSING} 'timestamp'"),
    ("runs/log-metric", POINT | {"value": "much"}, "Invalid value"),
    ("runs/log-metric", POINT | {"step": "one"}, "Invalid value"),
    ("runs/log-metric", POINT | {"timestamp": -1}, "nonnegative"),
    ("runs/log-metric", POINT | {"key": "k" * 251}, "250"),
    ("runs/log-metric", POINT | {"key": "a#b"}, "Names may only contain"),
    ("runs/log-metric", POINT | {"key": "../m"}, "must not resolve to other names"),
    ("runs/log-metric", POINT | {"key": "/m"}, "must not resolve to other names"),
    ("runs/log-metric", POINT | {"key": "a//b"}, "must not resolve to other names"),
    ("runs/log-parameter", {"value": "1"}, f"{MISSING} 'key'"),
    ("runs/log-parameter", {"key": "p", "value": 1}, "Invalid value"),
    ("runs/log-parameter", {"key": "p", "value": ["1"]}, "Invalid value"),
    ("runs/log-parameter", {"key": "k" * 251, "value": "1"}, "250"),
    ("runs/log-parameter", {"key": "kept", "value": "2"}, "Changing param values is not allowed"),
    ("runs/set-tag", {"value": "1"}, f"{MISSING} 'key'"),
    ("runs/set-tag", {"key": "k" * 251, "value": "1"}, "250"),
    ("runs/set-tag", {"key": "t", "value": {"a": 1}}, "Invalid value"),
    ("runs/log-batch", {"metrics": [POINT | {"step": i} for i in range(1001)]}, "at most 1000"),
    ("runs/log-batch", {"params": [{"key": f"p{i}", "value": "1"} for i in range(101)]}, "at most 100"),
    ("runs/log-batch", {"tags": [{"key": f"t{i}", "value": "1"} for i in range(101)]}, "at most 100"),
    (
        "runs/log-batch",
        {"metrics": [POINT | {"step": i} for i in range(950)], "tags": [{"key": f"t{i}"} for i in range(51)]},
        "at most 1000",
    ),
    ("runs/log-batch", {"params": [{"key": "p", "value": "1"}] * 2}, "Duplicate parameter keys"),
    ("runs/log-batch", {"metrics": [POINT, POINT | {"key": "a#b"}]}, "Names may only contain"),
    ("runs/log-batch", {"metrics": [POINT, {"key": "m"}]}, MISSING),
    ("runs/log-batch", {"metrics": {"key": "m"}}, "Invalid value"),
    ("runs/log-batch", {"metrics": "m"}, "Invalid value"),
    ("runs/log-batch", {"params": [{"key": "new", "value": "1"}, {"key": "kept", "value": "2"}]}, "Changing param"),
    ("runs/delete-tag", {}, f"{MISSING} 'key'"),
    ("runs/update", {"end_time": "soon"}, "Invalid value"),
]


@pytest.mark.parametrize(("path", "body", "message"), BAD_WRITES)
def test_a_bad_write_is_refused_whole(wire, state, path, body, message):
    refused(wire.post(path, {"run_id": state} | body), 400, "INVALID_PARAMETER_VALUE", message)


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("experiments/create", {}, f"{MISSING} 'name'"),
        ("experiments/create", {"name": ["a"]}, "Invalid value"),
        ("experiments/create", {"name": "x" * 501}, "500"),
        ("experiments/search", {}, "max_results"),
        ("experiments/search", {"max_results": 50_001}, "max_results"),
        ("runs/create", {"experiment_id": 5}, "Invalid value"),
        ("runs/search", {"experiment_ids": ["0"], "max_results": 0}, "max_results"),
        ("runs/search", {"experiment_ids": ["0"], "max_results": 50_001}, "max_results"),
        ("runs/search", {"experiment_ids": ["0"], "page_token": "nonsense"}, "token"),
        ("runs/search", {"experiment_ids": "0"}, "Invalid value"),
        ("runs/log-metric", POINT, "run_id"),
        ("runs/log-batch", {"metrics": [POINT]}, "run_id"),
    ],
)
def test_a_bad_request_is_refused(wire, path, body, message):
    refused(wire.post(path, body), 400, "INVALID_PARAMETER_VALUE", message)


@pytest.mark.parametrize("body", [b"", b"{", b"nonsense", b"[1]", b"\xff\xfe", b"null", b"1" * 100_000])
def test_a_body_that_is_no_message_is_refused(wire, state, body):
    for path in ("runs/log-metric", "runs/log-batch", "runs/set-tag", "runs/create", "experiments/create"):
        answer = wire.post(path, body)
        assert answer.status in (400, 500), answer.body


def test_json_nested_very_deep_breaks_nothing(wire, state):
    for depth in (1000, 100_000):
        body = b'{"run_id": "' + state.encode() + b'", "metrics": ' + b"[" * depth + b"]" * depth + b"}"
        assert wire.post("runs/log-batch", body).status in (400, 500)
    assert wire.send("GET", "/health").body == b"OK"


def test_a_body_must_say_that_it_is_json(wire, state):
    body = b'{"run_id": "%s", "key": "t", "value": "1"}' % state.encode()
    for headers in ({}, {"Content-Type": "text/plain"}, {"Content-Type": "application/x-www-form-urlencoded"}):
        answer = wire.send("POST", "/api/2.0/mlflow/runs/set-tag", body, headers)
        refused(answer, 400, "INVALID_PARAMETER_VALUE", "Bad Request. Content-Type")


def test_an_unknown_path_and_method_are_no_api(wire):
    assert wire.post("runs/nonsense", {}).status == 404
    assert wire.send("GET", "/nonsense").status == 404
    assert wire.get("runs/create").status == 405


def test_other_names_and_pages_are_kept_out(wire, state):
    path = "/api/2.0/mlflow/runs/set-tag"
    body = b'{"run_id": "%s", "key": "t", "value": "1"}' % state.encode()
    as_json = {"Content-Type": "application/json"}
    assert wire.send("POST", path, body, as_json | {"Host": "evil.example"}).status == 403
    assert wire.send("POST", path, body, as_json | {"Origin": "http://evil.example"}).status == 403


def artifacts(path: str) -> str:
    return f"/api/2.0/mlflow-artifacts/artifacts/{path}"


TRAVERSALS = [
    "../escaped",
    "../../../../../../tmp/escaped",
    "%2e%2e/escaped",
    "..%2fescaped",
    "%2e%2e%2fescaped",
    "%252e%252e%252fescaped",
    "%25252e%25252e/escaped",
    "a/../../escaped",
    "a/%2e%2e/%2e%2e/escaped",
    "a%23b",
]


@pytest.mark.parametrize("method", ["PUT", "GET"])
@pytest.mark.parametrize("path", TRAVERSALS)
def test_no_path_leads_out_of_the_artifacts(wire, state, client, path, method):
    root = client.get_run(state).info.artifact_uri.removeprefix("mlflow-artifacts:/")
    answer = wire.send(method, artifacts(f"{root}/{path}"), b"x" if method == "PUT" else None)
    refused(answer, 400, "INVALID_PARAMETER_VALUE", "Invalid path")


# What means something else on another system that the artifact may be synced to.
FOREIGN = ["..\\escaped", "..%5cescaped", "a\\b", "C:\\a", "C:/a", "%43%3a%5ca", "c%3Aa", "nul%00byte", "nul\x00byte", "a%0ab"]


@pytest.mark.runmesh_only
@pytest.mark.parametrize("method", ["PUT", "GET", "DELETE"])
@pytest.mark.parametrize("path", TRAVERSALS + FOREIGN)
def test_no_path_means_another_file_elsewhere(wire, state, client, path, method):
    # A drive letter counts at the start of the whole path, and so does a slash.
    absolute = [f"/{path}", f"//{path}", f"%2f{path}"]
    root = client.get_run(state).info.artifact_uri.removeprefix("mlflow-artifacts:/")
    in_run = [] if ":" in path or "%3" in path else [f"{root}/{path}"]
    for sent in [path, *absolute, *in_run]:
        answer = wire.send(method, artifacts(sent), b"x" if method == "PUT" else None)
        assert answer.status == 400, (sent, answer.body)


@pytest.mark.parametrize("path", ["/etc/passwd", "//etc/passwd", "%2fetc%2fpasswd", "%252fetc/passwd", "file:///etc/passwd"])
def test_no_absolute_path_is_read(wire, path):
    answer = wire.send("GET", f"/api/2.0/mlflow-artifacts/artifacts/{path}")
    assert answer.status in (400, 404)
    assert b"root:" not in answer.body


@pytest.mark.parametrize("path", ["..", "../..", "%2e%2e", "/etc", "%2fetc", "a/../..", "C:/", "nul%00"])
def test_no_folder_outside_is_listed(wire, state, path):
    for query in (f"mlflow/artifacts/list?run_id={state}&path={path}", f"mlflow-artifacts/artifacts?path={path}"):
        answer = wire.send("GET", f"/api/2.0/{query}")
        assert answer.status == 400 or not answer.json.get("files"), answer.body


def test_upload_and_folder_cannot_share_a_path(wire, client, run_id):
    root = "/api/2.0/mlflow-artifacts/artifacts/" + client.get_run(run_id).info.artifact_uri.removeprefix(
        "mlflow-artifacts:/"
    )
    assert wire.send("PUT", f"{root}/a", b"file").status == 200
    assert wire.send("PUT", f"{root}/a/b", b"below a file").status >= 400
    assert wire.send("GET", f"{root}/a").body == b"file"
