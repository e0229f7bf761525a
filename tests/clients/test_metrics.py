"""Metrics: every value as it was logged, in MLflow's order, in pages, and at the speed of a tight loop."""

import math
import sys

import mlflow
import pytest
from devices import until
from mlflow.entities import Metric


def test_values_come_back_bit_for_bit(client, run_id, rng):
    values = [0.0, 0.1, 1 / 3, 5e-324, sys.float_info.max, -sys.float_info.max, 2.0**53 + 2, 1e-300]
    values += [rng.uniform(-1, 1) * 10.0 ** rng.randint(-300, 300) for _ in range(200)]
    client.log_batch(run_id, metrics=[Metric("m", value, 1000 + i, i) for i, value in enumerate(values)])
    history = client.get_metric_history(run_id, "m")
    assert [point.value.hex() for point in history] == [value.hex() for value in values]


@pytest.mark.runmesh_only
def test_the_sign_of_zero_is_kept(client, run_id):
    client.log_metric(run_id, "m", -0.0)
    assert math.copysign(1, client.get_metric_history(run_id, "m")[0].value) == -1


def test_nan_and_infinities_are_kept(client, run_id, request):
    for step, value in enumerate((math.nan, math.inf, -math.inf, 1.0)):
        client.log_metric(run_id, "m", value, timestamp=1000 + step, step=step)
    history = [point.value for point in client.get_metric_history(run_id, "m")]
    # MLflow's SQL cannot hold infinities and answers with the largest numbers instead.
    largest = math.inf if request.config.getoption("against") == "runmesh" else sys.float_info.max
    assert math.isnan(history[0])
    assert history[1:] == [largest, -largest, 1.0]
    client.log_metric(run_id, "last", math.nan)
    assert math.isnan(client.get_run(run_id).data.metrics["last"])


def test_history_is_ordered_by_time_and_the_latest_by_step(client, run_id):
    points = [(5.0, 3000, 1), (1.0, 1000, 2), (4.0, 2000, 0), (3.0, 2000, -1), (2.0, 1000, 2)]
    for value, timestamp, step in points:
        client.log_metric(run_id, "m", value, timestamp=timestamp, step=step)
    history = [(point.value, point.timestamp, point.step) for point in client.get_metric_history(run_id, "m")]
    assert history == sorted(points, key=lambda point: (point[1], point[2], point[0]))
    # Of equal steps and times the greater value.
    assert client.get_run(run_id).data.metrics["m"] == 2.0


def test_an_exact_repeat_is_one_point(client, run_id):
    for _ in range(3):
        client.log_metric(run_id, "m", 0.5, timestamp=1000, step=1)
    client.log_metric(run_id, "m", 0.5, timestamp=1001, step=1)
    assert len(client.get_metric_history(run_id, "m")) == 2


def test_steps_may_be_negative_and_large(client, run_id):
    steps = [-(1 << 62), -1, 0, 1, 1 << 62]
    for at, step in enumerate(steps):
        client.log_metric(run_id, "m", float(at), timestamp=1000 + at, step=step)
    assert [point.step for point in client.get_metric_history(run_id, "m")] == steps


def test_a_long_history_is_read_in_pages(client, run_id, wire):
    count = 2500
    for start in range(0, count, 1000):
        steps = range(start, min(start + 1000, count))
        client.log_batch(run_id, metrics=[Metric("m", step / 3, 1000 + step, step) for step in steps])
    assert [point.step for point in client.get_metric_history(run_id, "m")] == list(range(count))

    seen, token = [], ""
    while True:
        query = f"run_id={run_id}&metric_key=m&max_results=700" + (f"&page_token={token}" if token else "")
        page = wire.get(f"metrics/get-history?{query}").json
        seen.append([point["step"] for point in page.get("metrics", [])])
        token = page.get("next_page_token", "")
        if not token:
            break
    assert sum(seen, []) == list(range(count))
    assert {len(page) for page in seen[:3]} == {700}


def test_a_metric_nobody_logged_has_no_history(client, run_id):
    assert client.get_metric_history(run_id, "nothing") == []


@pytest.mark.parametrize("key", ["a", "loss/train", "x y.z-1:2_3", "é日本", "k" * 250])
def test_keys_that_are_allowed(client, run_id, key):
    client.log_metric(run_id, key, 1.5, step=2)
    assert [point.value for point in client.get_metric_history(run_id, key)] == [1.5]
    assert client.get_run(run_id).data.metrics == {key: 1.5}


def test_a_tight_loop_of_single_points(client, experiment):
    with mlflow.start_run() as run:
        for step in range(300):
            mlflow.log_metric("loss", 1 / (step + 1), step=step)
    history = client.get_metric_history(run.info.run_id, "loss")
    assert sorted((point.step, point.value) for point in history) == [(step, 1 / (step + 1)) for step in range(300)]


def test_asynchronous_logging_arrives_whole(client, experiment):
    with mlflow.start_run() as run:
        for step in range(500):
            mlflow.log_metric("loss", step * 0.5, step=step, synchronous=False)
        mlflow.log_param("p", 1, synchronous=False)
        mlflow.set_tag("t", 2, synchronous=False)
        mlflow.log_metrics({"a": 1, "b": 2}, step=1, synchronous=False).wait()
        mlflow.flush_async_logging()
    history = client.get_metric_history(run.info.run_id, "loss")
    assert sorted((point.step, point.value) for point in history) == [(step, step * 0.5) for step in range(500)]
    data = client.get_run(run.info.run_id).data
    assert (data.params["p"], data.tags["t"], data.metrics["a"], data.metrics["b"]) == ("1", "2", 1.0, 2.0)


def test_system_metrics_are_logged(client, experiment):
    mlflow.set_system_metrics_sampling_interval(0.1)
    mlflow.set_system_metrics_samples_before_logging(1)
    try:

        def logged():
            metrics = client.get_run(run.info.run_id).data.metrics
            return {"system/cpu_utilization_percentage", "system/system_memory_usage_megabytes"} <= metrics.keys()

        with mlflow.start_run(log_system_metrics=True) as run:
            until(logged, "system metrics are there")
    finally:
        mlflow.set_system_metrics_sampling_interval(None)
        mlflow.set_system_metrics_samples_before_logging(None)
    history = client.get_metric_history(run.info.run_id, "system/cpu_utilization_percentage")
    assert all(0 <= point.value <= 100 for point in history)
