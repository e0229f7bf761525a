"""Runs: their life, params, tags, notes, batches, nesting, datasets."""

import time

import mlflow
import pandas as pd
import pytest
from mlflow.entities import Metric, Param, RunStatus, RunTag
from mlflow.exceptions import MlflowException


def test_a_run_goes_through_its_life(client, experiment):
    run = client.create_run(experiment, start_time=1_700_000_000_000, run_name="first", tags={"a": "1"})
    id = run.info.run_id
    assert run.info.status == "RUNNING"
    assert (run.info.start_time, run.info.end_time) == (1_700_000_000_000, None)
    assert run.info.artifact_uri == f"mlflow-artifacts:/{experiment}/{id}/artifacts"
    assert run.data.tags == {"a": "1", "mlflow.runName": "first"}

    client.set_terminated(id, "FAILED", end_time=1_700_000_001_000)
    info = client.get_run(id).info
    assert (info.status, info.end_time) == ("FAILED", 1_700_000_001_000)

    client.update_run(id, status="RUNNING", name="second")
    run = client.get_run(id)
    assert (run.info.status, run.info.run_name) == ("RUNNING", "second")
    assert run.data.tags["mlflow.runName"] == "second"

    client.delete_run(id)
    assert client.get_run(id).info.lifecycle_stage == "deleted"
    assert client.search_runs([experiment]) == []
    client.restore_run(id)
    assert client.get_run(id).info.lifecycle_stage == "active"
    assert len(client.search_runs([experiment])) == 1


def test_a_run_without_a_name_gets_one(client, experiment):
    run = client.create_run(experiment)
    assert run.info.run_name
    assert run.data.tags["mlflow.runName"] == run.info.run_name


def test_a_run_is_renamed_by_its_tag(client, run_id):
    client.set_tag(run_id, "mlflow.runName", "by tag")
    assert client.get_run(run_id).info.run_name == "by tag"


def test_params_and_tags_keep_what_they_are_given(client, run_id):
    values = {"plain": "1", "empty": "", "long": "x" * 6000, "unicode": "Größe 日本 \U0001f40d", "lines": 'a\n"b"\t\\'}
    for key, value in values.items():
        client.log_param(run_id, key, value)
        client.set_tag(run_id, f"tag/{key}", value)
    data = client.get_run(run_id).data
    assert data.params == values
    assert {key.removeprefix("tag/"): value for key, value in data.tags.items() if key.startswith("tag/")} == values


def test_tags_are_overwritten_and_deleted(client, run_id):
    client.set_tag(run_id, "k", "1")
    client.set_tag(run_id, "k", "2")
    assert client.get_run(run_id).data.tags["k"] == "2"
    client.delete_tag(run_id, "k")
    assert "k" not in client.get_run(run_id).data.tags
    with pytest.raises(MlflowException) as refused:
        client.delete_tag(run_id, "k")
    assert refused.value.error_code == "RESOURCE_DOES_NOT_EXIST"


def test_the_note_of_a_run_can_be_rewritten(client, run_id):
    for note in ("# A note\n\nwith é", "# A shorter note", "# A note that is longer\n\n" + "text " * 1000):
        client.set_tag(run_id, "mlflow.note.content", note)
        assert client.get_run(run_id).data.tags["mlflow.note.content"] == note


def test_a_param_cannot_be_changed_but_repeated(client, run_id):
    client.log_param(run_id, "lr", 0.1)
    client.log_param(run_id, "lr", 0.1)
    with pytest.raises(MlflowException, match="Changing param values is not allowed") as refused:
        client.log_param(run_id, "lr", 0.2)
    assert refused.value.error_code == "INVALID_PARAMETER_VALUE"
    with pytest.raises(MlflowException, match="Changing param values is not allowed"):
        client.log_batch(run_id, params=[Param("new", "1"), Param("lr", "0.3")])
    assert client.get_run(run_id).data.params == {"lr": "0.1"}


def test_a_batch_logs_everything_in_it(client, run_id):
    now = 1_700_000_000_000
    client.log_batch(
        run_id,
        metrics=[Metric(f"m{i % 10}", i / 7, now + i, i) for i in range(800)],
        params=[Param(f"p{i}", str(i)) for i in range(100)],
        tags=[RunTag(f"t{i}", str(i)) for i in range(100)],
    )
    data = client.get_run(run_id).data
    assert data.params == {f"p{i}": str(i) for i in range(100)}
    assert {f"t{i}": str(i) for i in range(100)}.items() <= data.tags.items()
    assert data.metrics == {f"m{i % 10}": i / 7 for i in range(790, 800)}


def test_the_client_splits_what_is_more_than_a_batch(client, run_id):
    with mlflow.start_run(run_id):
        mlflow.log_params({f"p{i}": i for i in range(250)})
        mlflow.log_metrics({f"m{i}": i for i in range(1500)}, step=3)
        mlflow.set_tags({f"t{i}": i for i in range(250)})
    data = client.get_run(run_id).data
    assert len(data.params) == 250
    assert len(data.metrics) == 1500
    assert len([key for key in data.tags if key.startswith("t")]) == 250


def test_runs_nest(client, experiment):
    with mlflow.start_run(run_name="parent") as parent:
        with mlflow.start_run(run_name="child", nested=True) as child:
            mlflow.log_metric("depth", 2)
            with mlflow.start_run(run_name="grandchild", nested=True) as grandchild:
                mlflow.log_metric("depth", 3)
        mlflow.log_metric("depth", 1)
    tag = "mlflow.parentRunId"
    assert client.get_run(child.info.run_id).data.tags[tag] == parent.info.run_id
    assert client.get_run(grandchild.info.run_id).data.tags[tag] == child.info.run_id
    children = client.search_runs([experiment], f"tags.`{tag}` = '{parent.info.run_id}'")
    assert [run.info.run_name for run in children] == ["child"]
    assert client.get_parent_run(child.info.run_id).info.run_id == parent.info.run_id
    assert client.get_run(parent.info.run_id).info.status == "FINISHED"


def test_a_run_that_raises_is_marked_failed(client, experiment):
    with pytest.raises(ZeroDivisionError), mlflow.start_run() as run:
        raise ZeroDivisionError
    assert client.get_run(run.info.run_id).info.status == "FAILED"


def test_a_run_is_resumed_by_its_id(client, experiment):
    with mlflow.start_run() as run:
        mlflow.log_metric("m", 1, step=1)
    with mlflow.start_run(run_id=run.info.run_id):
        mlflow.log_metric("m", 2, step=2)
    assert [point.value for point in client.get_metric_history(run.info.run_id, "m")] == [1, 2]


def test_datasets_are_logged_once(client, experiment):
    frame = pd.DataFrame({"x": [1.5, 2.5], "label": ["a", "b"]})
    dataset = mlflow.data.from_pandas(frame, source="https://example.org/data.csv", name="toy", targets="label")
    with mlflow.start_run() as run:
        mlflow.log_input(dataset, context="training", tags={"split": "80"})
        mlflow.log_input(dataset, context="training")
        mlflow.log_input(mlflow.data.from_pandas(frame[["x"]], name="other"), context="test")
    inputs = client.get_run(run.info.run_id).inputs.dataset_inputs
    by_name = {item.dataset.name: item for item in inputs}
    assert sorted(by_name) == ["other", "toy"]
    toy = by_name["toy"]
    assert toy.dataset.digest == dataset.digest
    assert '"label"' in toy.dataset.schema
    assert "example.org/data.csv" in toy.dataset.source
    assert {tag.key: tag.value for tag in toy.tags} == {"mlflow.data.context": "training", "split": "80"}
    assert mlflow.data.get_source(toy.dataset).url == "https://example.org/data.csv"
    found = client.search_runs([experiment], "dataset.name = 'toy' AND dataset.context = 'training'")
    assert [item.info.run_id for item in found] == [run.info.run_id]
    assert client.search_runs([experiment], "dataset.name = 'missing'") == []


def test_datasets_of_one_call_keep_their_order(client, run_id):
    names = ["c", "a", "d", "b", "a"]
    contexts = ["one", "two", "three", "four", "five"]
    frame = pd.DataFrame({"x": [1.5, 2.5]})
    with mlflow.start_run(run_id=run_id):
        mlflow.log_inputs([mlflow.data.from_pandas(frame, name=name) for name in names], contexts, [None] * 5, None)
        mlflow.log_input(mlflow.data.from_pandas(frame, name="0"), context="six")
    inputs = client.get_run(run_id).inputs.dataset_inputs
    read = [(item.dataset.name, item.tags[0].value) for item in inputs]
    # Of two that are one, the first counts.
    assert read == [("c", "one"), ("a", "two"), ("d", "three"), ("b", "four"), ("0", "six")]


def test_the_statuses_are_mlflows(client, experiment):
    for status in RunStatus.all_status():
        run = client.create_run(experiment)
        client.update_run(run.info.run_id, status=RunStatus.to_string(status))
        assert client.get_run(run.info.run_id).info.status == RunStatus.to_string(status)


def test_a_deleted_run_takes_nothing_and_is_still_read(client, run_id):
    client.log_param(run_id, "p", "1")
    client.delete_run(run_id)
    writes = (
        lambda: client.log_metric(run_id, "m", 1),
        lambda: client.log_param(run_id, "q", "1"),
        lambda: client.set_tag(run_id, "t", "1"),
        lambda: client.log_batch(run_id, metrics=[Metric("m", 1, int(time.time() * 1000), 0)]),
        lambda: client.set_terminated(run_id),
    )
    for write in writes:
        with pytest.raises(MlflowException, match="active") as refused:
            write()
        assert refused.value.error_code == "INVALID_PARAMETER_VALUE"
    run = client.get_run(run_id)
    assert (run.data.params, run.data.metrics, run.info.status) == ({"p": "1"}, {}, "RUNNING")
    assert "t" not in run.data.tags
    client.delete_run(run_id)
    client.restore_run(run_id)
    client.restore_run(run_id)
    client.log_metric(run_id, "m", 1)


def test_an_unknown_run_is_absent(client, experiment):
    unknown = "0123456789abcdef" * 2
    calls = (
        lambda: client.get_run(unknown),
        lambda: client.log_metric(unknown, "m", 1),
        lambda: client.log_param(unknown, "p", 1),
        lambda: client.set_tag(unknown, "t", 1),
        lambda: client.log_batch(unknown, tags=[RunTag("t", "1")]),
        lambda: client.set_terminated(unknown),
        lambda: client.delete_run(unknown),
        lambda: client.restore_run(unknown),
    )
    for call in calls:
        with pytest.raises(MlflowException) as refused:
            call()
        assert refused.value.error_code == "RESOURCE_DOES_NOT_EXIST"
    assert client.get_metric_history(unknown, "m") == []
