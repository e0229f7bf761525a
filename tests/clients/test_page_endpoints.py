"""What only MLflow's own page asks for, under /ajax-api: charts of many runs, datasets, small uploads."""

import json

import mlflow
import pytest

AJAX = "/ajax-api/2.0/mlflow"


def post(wire, path: str, body: dict):
    return wire.send("POST", f"{AJAX}/{path}", json.dumps(body).encode(), {"Content-Type": "application/json"})


def log_dataset(client, run_id: str, name: str, context: str | None) -> None:
    source = mlflow.data.meta_dataset.MetaDataset(mlflow.data.http_dataset_source.HTTPDatasetSource("http://x/y"), name=name)
    with mlflow.start_run(run_id=run_id):
        mlflow.log_input(source, context=context)


def test_the_datasets_of_an_experiment_are_listed_once(client, wire, experiment):
    runs = [client.create_run(experiment).info.run_id for _ in range(3)]
    log_dataset(client, runs[0], "old", "train")
    log_dataset(client, runs[1], "old", "train")
    log_dataset(client, runs[1], "new", None)
    log_dataset(client, runs[2], "old", "test")
    client.delete_run(runs[2])
    answer = post(wire, "experiments/search-datasets", {"experiment_ids": [experiment]})
    found = answer.json["dataset_summaries"]
    assert sorted((one["name"], one.get("context")) for one in found if one.get("context")) == [
        ("old", "test"),
        ("old", "train"),
    ]
    assert [one["name"] for one in found if not one.get("context")] == ["new"]
    assert {one["experiment_id"] for one in found} == {experiment}
    assert all(one["digest"] for one in found)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([], "SearchDatasets request must specify at least one experiment_id."),
        (["0"] * 21, "cannot specify more than 20 experiment_ids. Received 21 experiment_ids."),
    ],
)
def test_datasets_of_none_or_many_experiments_are_refused(wire, ids, message):
    answer = post(wire, "experiments/search-datasets", {"experiment_ids": ids})
    assert (answer.status, answer.code) == (400, "INVALID_PARAMETER_VALUE")
    assert message in answer.message


def test_an_experiment_without_datasets_lists_none(wire, experiment):
    assert post(wire, "experiments/search-datasets", {"experiment_ids": [experiment]}).json == {}


def test_a_file_is_uploaded_to_a_run(client, wire, run_id):
    answer = wire.send("POST", f"{AJAX}/upload-artifact?run_uuid={run_id}&path=a%20b/note.txt", b"hello")
    assert answer.status == 200, answer.body
    assert wire.send("GET", f"/get-artifact?run_uuid={run_id}&path=a%20b/note.txt").body == b"hello"
    assert mlflow.artifacts.load_text(f"runs:/{run_id}/a b/note.txt") == "hello"


@pytest.mark.parametrize(
    ("query", "body", "message"),
    [
        ("", b"x", "Request must specify run_uuid."),
        ("run_uuid={run}", b"x", "Request must specify path."),
        ("run_uuid={run}&path=", b"x", "Request must specify path."),
        ("run_uuid={run}&path=../x", b"x", "Invalid path"),
        ("run_uuid={run}&path=%252e%252e/x", b"x", "Invalid path"),
        ("run_uuid={run}&path=x", b"", "Request must specify data."),
    ],
)
def test_an_upload_that_says_too_little_is_refused(client, wire, run_id, query, body, message):
    answer = wire.send("POST", f"{AJAX}/upload-artifact?{query.replace('{run}', run_id)}", body)
    assert (answer.status, answer.code) == (400, "INVALID_PARAMETER_VALUE"), answer.body
    assert message in answer.message
    assert client.list_artifacts(run_id) == []


def test_doubled_slashes_are_led_to_the_path_that_is_meant(wire):
    answer = wire.send("GET", "//api/2.0//mlflow/experiments/get?experiment_id=0")
    assert answer.status == 308
    assert answer.headers["Location"].endswith("/api/2.0/mlflow/experiments/get?experiment_id=0")
