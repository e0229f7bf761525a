"""Searching runs: MLflow's language, its order and its pages."""

import math

import mlflow
import pytest
from mlflow.entities import Metric, Param, RunTag, ViewType
from mlflow.exceptions import MlflowException

START_MS = 1_700_000_000_000


@pytest.fixture
def runs(client, experiment) -> list[str]:
    """Ten runs: loss falls from 0.9 to 0.0, the model alternates, every third has a note of its own."""
    ids = []
    for i in range(10):
        run = client.create_run(experiment, start_time=START_MS + i, run_name=f"run-{i}")
        id = run.info.run_id
        tags = [RunTag("kind", "odd" if i % 2 else "even")] + ([RunTag("third", f"Third {i}")] if i % 3 == 0 else [])
        client.log_batch(
            id,
            metrics=[Metric("loss", (9 - i) / 10, START_MS, 0), Metric("a b/c", float(i), START_MS, 0)],
            params=[Param("model", "cnn" if i % 2 else "Tree"), Param("lr", f"{10.0 ** -i:g}")],
            tags=tags,
        )
        if i == 9:
            client.set_terminated(id, "FINISHED", end_time=START_MS + 100)
        ids.append(id)
    return ids


FILTERS = [
    ("", range(10)),
    ("metrics.loss < 0.25", [7, 8, 9]),
    ("metrics.loss <= 0.2 AND metrics.loss > 0", [7, 8]),
    ("metrics.loss != 0.5", [0, 1, 2, 3, 5, 6, 7, 8, 9]),
    ("metric.loss = 0.9", [0]),
    ('metrics."a b/c" >= 8', [8, 9]),
    ("metrics.`a b/c` = 3", [3]),
    ("metrics.nothing > 0", []),
    ("params.model = 'cnn'", [1, 3, 5, 7, 9]),
    ("params.model != 'cnn'", [0, 2, 4, 6, 8]),
    ("param.model LIKE 'T%'", [0, 2, 4, 6, 8]),
    ("params.model LIKE 't%'", []),
    ("params.model ILIKE 't%'", [0, 2, 4, 6, 8]),
    ("params.lr = '0.001'", [3]),
    ("tags.kind = 'odd' and params.model = 'cnn' AND metrics.loss < 0.5", [5, 7, 9]),
    ("tags.third LIKE 'Third %'", [0, 3, 6, 9]),
    ("tags.third IS NULL", [1, 2, 4, 5, 7, 8]),
    ("tags.third IS NOT NULL", [0, 3, 6, 9]),
    ("tags.third != 'Third 3'", [0, 6, 9]),
    ("attributes.status = 'FINISHED'", [9]),
    ("status != 'FINISHED'", range(9)),
    ("run_name = 'run-4'", [4]),
    ("attributes.run_name LIKE 'run-%'", range(10)),
    (f"start_time >= {START_MS + 8}", [8, 9]),
    (f"end_time = {START_MS + 100}", [9]),
]


@pytest.mark.parametrize(("text", "expected"), FILTERS)
def test_a_filter_finds_what_it_says(client, experiment, runs, text, expected):
    found = {run.info.run_id for run in client.search_runs([experiment], text)}
    assert found == {runs[i] for i in expected}


def test_runs_are_found_by_their_ids(client, experiment, runs):
    found = client.search_runs([experiment], f"run_id IN ('{runs[2]}', '{runs[5]}')")
    assert {run.info.run_id for run in found} == {runs[2], runs[5]}
    found = client.search_runs([experiment], f"attributes.run_id = '{runs[2]}'")
    assert [run.info.run_id for run in found] == [runs[2]]


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ([], [*reversed(range(10))]),
        (["metrics.loss ASC"], [*reversed(range(10))]),
        (["metrics.loss DESC"], [*range(10)]),
        (["attributes.start_time ASC"], [*range(10)]),
        (["tags.kind", "metrics.loss"], [8, 6, 4, 2, 0, 9, 7, 5, 3, 1]),
        (["params.model DESC", "start_time ASC"], [1, 3, 5, 7, 9, 0, 2, 4, 6, 8]),
        # What has no value comes last, whatever the direction.
        (["tags.third ASC", "start_time ASC"], [0, 3, 6, 9, 1, 2, 4, 5, 7, 8]),
        (["tags.third DESC", "start_time ASC"], [9, 6, 3, 0, 1, 2, 4, 5, 7, 8]),
        (["run_name DESC"], [*reversed(range(10))]),
    ],
)
def test_an_order_is_kept_over_pages(client, experiment, runs, order, expected):
    for size in (1000, 3):
        seen, token = [], None
        while True:
            page = client.search_runs([experiment], order_by=order, max_results=size, page_token=token)
            seen += [run.info.run_id for run in page]
            token = page.token
            if not token:
                break
        assert [runs.index(id) for id in seen] == expected


def test_runs_that_come_and_go_between_pages_shift_nothing(client, experiment, runs):
    for order in ([], ["metrics.loss DESC"], ["tags.third ASC"]):
        seen, token = [], None
        while True:
            page = client.search_runs([experiment], order_by=order, max_results=3, page_token=token)
            seen += [run.info.run_id for run in page]
            token = page.token
            if not token:
                break
            # It comes before all others in each of these orders.
            first = client.create_run(experiment, start_time=START_MS * 2, tags={"third": "!"}).info.run_id
            client.log_metric(first, "loss", 1e9)
        assert len(seen) == len(set(seen)) and set(runs) <= set(seen)
        for run in client.search_runs([experiment]):
            if run.info.run_id not in runs:
                client.delete_run(run.info.run_id)


def test_nan_comes_after_numbers_and_before_nothing(client, experiment):
    values = {"one": 1.0, "nan": math.nan, "two": 2.0}
    for name, value in values.items():
        run = client.create_run(experiment, run_name=name, start_time=START_MS)
        client.log_metric(run.info.run_id, "m", value)
    client.create_run(experiment, run_name="none", start_time=START_MS)
    for order, expected in (("ASC", ["one", "two", "nan", "none"]), ("DESC", ["two", "one", "nan", "none"])):
        found = client.search_runs([experiment], order_by=[f"metrics.m {order}"])
        assert [run.info.run_name for run in found] == expected


def test_a_search_sees_the_latest_value(client, experiment):
    run = client.create_run(experiment).info.run_id
    for step, value in enumerate((0.9, 0.5, 0.7)):
        client.log_metric(run, "loss", value, timestamp=START_MS + step, step=step)
    assert len(client.search_runs([experiment], "metrics.loss = 0.7")) == 1
    assert client.search_runs([experiment], "metrics.loss = 0.5") == []


def test_several_experiments_are_searched_at_once(client, experiment, request):
    other = client.create_experiment(f"{request.node.name} {experiment}")
    runs = {client.create_run(id).info.run_id for id in (experiment, other)}
    assert {run.info.run_id for run in client.search_runs([experiment, other])} == runs
    frame = mlflow.search_runs([experiment, other])
    assert set(frame["run_id"]) == runs
    assert client.search_runs(["4503599627370495"]) == []


def test_deleted_runs_are_found_when_asked_for(client, experiment, runs):
    client.delete_run(runs[3])
    views = {ViewType.ACTIVE_ONLY: 9, ViewType.DELETED_ONLY: 1, ViewType.ALL: 10}
    assert {view: len(client.search_runs([experiment], run_view_type=view)) for view in views} == views


@pytest.mark.parametrize(
    "text",
    [
        "metrics.loss",
        "metrics.loss > '1'",
        "params.lr = 1",
        "params.lr > '1'",
        "params.a = '1' OR params.a = '2'",
        "NOT params.a = '1'",
        "(params.a = '1')",
        "foo.bar = '1'",
        "attributes.nothing = '1'",
        "metrics.loss IS NULL",
        "status IN ('FINISHED')",
        "params.a = '1'; params.b = '2'",
    ],
)
def test_a_filter_that_makes_no_sense_is_refused(client, experiment, text):
    with pytest.raises(MlflowException) as refused:
        client.search_runs([experiment], text)
    assert refused.value.error_code == "INVALID_PARAMETER_VALUE"


def test_an_order_that_makes_no_sense_is_refused(client, experiment):
    for order in ("foo.bar", "metrics.loss SIDEWAYS", "datasets.name"):
        with pytest.raises(MlflowException) as refused:
            client.search_runs([experiment], order_by=[order])
        assert refused.value.error_code == "INVALID_PARAMETER_VALUE"


def test_runs_come_as_a_dataframe(client, experiment, runs):
    found = mlflow.search_runs([experiment], "metrics.loss < 0.35", order_by=["metrics.loss ASC"])
    assert list(found["run_id"]) == [runs[i] for i in (9, 8, 7, 6)]
    assert list(found["metrics.loss"]) == [0.0, 0.1, 0.2, 0.3]
    assert list(found["params.model"]) == ["cnn", "Tree", "cnn", "Tree"]
    assert list(found["tags.third"].fillna("")) == ["Third 9", "", "", "Third 6"]
    assert [time.timestamp() * 1000 for time in found["start_time"]] == [START_MS + i for i in (9, 8, 7, 6)]
    assert list(found["end_time"].notna()) == [True, False, False, False]
    assert mlflow.search_runs([experiment], "metrics.loss > 1").empty
    names = mlflow.search_runs(experiment_names=[client.get_experiment(experiment).name], max_results=3)
    assert len(names) == 3
