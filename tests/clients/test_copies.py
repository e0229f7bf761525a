"""Runs copied into another workspace with their models and traces, as the real client finds them there."""

import json
import os
import subprocess
import sys
from pathlib import Path

import mlflow
import numpy
import pytest
import requests
from mlflow import MlflowClient
from mlflow.entities import AssessmentSource, Feedback, LoggedModelInput, LoggedModelStatus, SpanType
from mlflow.exceptions import MlflowException
from sklearn.linear_model import LinearRegression

pytestmark = pytest.mark.runmesh_only

POINTS = numpy.array([[0.0], [1.0], [2.0]])
ORIGIN = "runmesh.copied_from"


@pytest.fixture
def ann(devices):
    """A device with a workspace of its own, `ann`, and another, `lab`."""
    ann = devices("ann").up()
    ann.ask("workspace", "create", "lab")
    return ann


def log_model(url: str, name: str = "line") -> tuple[str, str]:
    """Logs a run with a model, and returns the ids of both."""
    mlflow.set_tracking_uri(url)
    mlflow.set_experiment("models")
    with mlflow.start_run(run_name=name) as run:
        model = LinearRegression().fit(POINTS, [1.0, 3.0, 5.0])
        info = mlflow.sklearn.log_model(model, name=name, params={"degree": 1}, step=3, pip_requirements=[])
        mlflow.log_metric("error", 0.25, model_id=info.model_id)
    return run.info.run_id, info.model_id


def copy(device, *runs: str, to: str = "lab") -> list[dict]:
    return device.ask("copy", *runs, "--to", to)["copies"]


def entries(device, folder: Path) -> int:
    """How many entries the other workspace has once all that was written is in one."""
    device.ask("-w", "lab", "bundle", "export", "--all", "--force", str(folder / "all.bundle"))
    return device.ask("-w", "lab", "status")["entries"]


def model_of(client: MlflowClient, run: str) -> str:
    (output,) = client.get_run(run).outputs.model_outputs
    assert output.step == 3
    return output.model_id


def test_a_copied_model_is_the_same_and_loads_where_it_was_copied(ann, devices):
    bob = devices("bob").up()
    bob.ask("join", "--as", "lab", ann.ask("-w", "lab", "invite")["ticket"])
    run, model = log_model(ann.url)
    source, lab = MlflowClient(ann.url), f"{ann.url}/w/lab"
    source.set_logged_model_tags(model, {"stage": "draft", "made by": run})
    judge = source.create_run("0", run_name="judge").info.run_id
    source.log_inputs(judge, models=[LoggedModelInput(model)])
    judged, first = copy(ann, judge, run)
    assert (first["models"], judged["models"], first["traces"]) == (1, 0, 0)

    target = MlflowClient(lab)
    copied = target.get_logged_model(model_of(target, first["copy"]))
    assert copied.model_id != model and copied.source_run_id == first["copy"]
    assert (copied.name, copied.status, copied.params) == ("line", LoggedModelStatus.READY, {"degree": "1"})
    assert [(point.key, point.value, point.run_id) for point in copied.metrics] == [("error", 0.25, first["copy"])]
    origin = json.loads(copied.tags.pop(ORIGIN))
    assert (origin["model"], origin["workspace"]) == (model, ann.ask("status")["workspace"]["id"])
    assert copied.tags == source.get_logged_model(model).tags | {"made by": first["copy"]}
    assert [one.model_id for one in target.get_run(judged["copy"]).inputs.model_inputs] == [copied.model_id]
    assert source.get_logged_model(model).source_run_id == run, "the original is what it was"

    # A client that knows nothing but the address, and one on another device.
    uri = f"models:/{copied.model_id}"
    script = f"import mlflow; print(mlflow.pyfunc.load_model({uri!r}).predict([[3.0]])[0])"
    environment = os.environ | {"MLFLOW_TRACKING_URI": lab}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and float(done.stdout) == pytest.approx(7.0), done.stderr
    bob.ask("-w", "lab", "sync", "--wait")
    mlflow.set_tracking_uri(f"{bob.url}/w/lab")
    loaded = mlflow.pyfunc.load_model(uri)
    assert loaded.predict(POINTS)[2] == pytest.approx(5.0)
    # What is measured of it is measured of the copy, and nothing speaks of the original.
    assert (loaded.model_id, loaded.metadata.run_id) == (copied.model_id, first["copy"])
    described = (Path(mlflow.artifacts.download_artifacts(uri)) / "MLmodel").read_text()
    assert run not in described and model not in described


def test_copying_again_adds_what_is_new_of_a_model_and_nothing_twice(ann, tmp_path):
    run, model = log_model(ann.url)
    source, target = MlflowClient(ann.url), MlflowClient(f"{ann.url}/w/lab")
    first = copy(ann, run)[0]
    copied = model_of(target, first["copy"])
    target.set_logged_model_tags(copied, {"stage": "approved"})
    source.set_logged_model_tags(model, {"stage": "draft", "note": "late"})
    source.log_model_params(model, {"late": "1"})
    source.log_metric(run, "error", 0.125, step=1, model_id=model)
    assert copy(ann, run) == [{**first, "new": False}]
    again = target.get_logged_model(copied)
    assert (again.tags["stage"], again.tags["note"]) == ("approved", "late")
    assert again.params == {"degree": "1", "late": "1"}
    points = target.get_metric_history(first["copy"], "error")
    assert [point.value for point in points] == [0.25, 0.125]
    before = entries(ann, tmp_path)
    copy(ann, run)
    assert entries(ann, tmp_path) == before, "nothing is written where nothing is new"
    target.delete_logged_model(copied)
    assert copy(ann, run)[0]["models"] == 0, "what was deleted there stays so"
    with pytest.raises(MlflowException, match="not found"):
        target.get_logged_model(copied)


def test_runs_that_are_copied_one_by_one_in_any_order_come_to_the_same(ann, tmp_path):
    run, model = log_model(ann.url)
    source, target = MlflowClient(ann.url), MlflowClient(f"{ann.url}/w/lab")
    judge = source.create_run(source.get_run(run).info.experiment_id, run_name="judge").info.run_id
    source.log_inputs(judge, models=[LoggedModelInput(model)])
    source.log_metric(judge, "score", 0.5, model_id=model)
    mlflow.set_active_model(model_id=model)
    try:
        with mlflow.start_run(run_id=judge):
            ask("how good?")
    finally:
        mlflow.clear_active_model()

    def named() -> str:
        """The model that the copied trace names."""
        return traces(f"{ann.url}/w/lab", judged)["how good?"].info.trace_metadata["mlflow.modelId"]

    judged = copy(ann, judge)[0]["copy"]
    assert not target.get_run(judged).inputs.model_inputs and named() == model, "it is not there"
    first = copy(ann, run)[0]["copy"]
    copied = model_of(target, first)
    assert copy(ann, judge)[0] == {"run": judge, "copy": judged, "new": False, "models": 0, "traces": 1}
    assert named() == copied
    # A third one that comes last names what is there.
    last = source.create_run("0", tags={"mlflow.parentRunId": run}).info.run_id
    assert target.get_run(copy(ann, last)[0]["copy"]).data.tags["mlflow.parentRunId"] == first
    assert [one.model_id for one in target.get_run(judged).inputs.model_inputs] == [copied]
    assert len(target.get_metric_history(judged, "score")) == 1
    measured = {(point.key, point.run_id) for point in target.get_logged_model(copied).metrics}
    assert ("score", judged) in measured
    before = entries(ann, tmp_path)
    for runs in ([judge, run], [run], [judge]):
        copy(ann, *runs)
    assert entries(ann, tmp_path) == before, "nothing is written where nothing is new"


def test_a_copy_that_broke_off_goes_on_and_says_a_model_is_ready_when_it_is(ann, devices):
    run, _ = log_model(ann.url)
    bob = devices("bob").up("--blobs", "none")
    bob.ask("join", "--as", "shared", ann.ask("invite")["ticket"])
    bob.ask("-w", "shared", "sync", "--wait")
    ann.down()
    failed = bob.run("-w", "shared", "copy", run, "--to", "bob")
    assert failed.returncode == 1 and "of model m-" in failed.stderr, failed.stderr
    target = MlflowClient(f"{bob.url}/w/bob")
    experiment = target.get_experiment_by_name("models").experiment_id
    (started,) = target.search_logged_models([experiment])
    assert started.status == LoggedModelStatus.PENDING and json.loads(started.tags[ORIGIN])["model"]
    ann.up()
    bob.ask("-w", "shared", "sync", "--wait")
    (copied,) = bob.ask("-w", "shared", "copy", run, "--to", "bob")["copies"]
    assert (copied["new"], copied["models"]) == (False, 1)
    ann.down()
    assert model_of(target, copied["copy"]) == started.model_id
    assert target.get_logged_model(started.model_id).status == LoggedModelStatus.READY
    mlflow.set_tracking_uri(f"{bob.url}/w/bob")
    model = mlflow.sklearn.load_model(f"models:/{started.model_id}")
    assert model.predict([[3.0]])[0] == pytest.approx(7.0)


@mlflow.trace(span_type=SpanType.CHAIN)
def answer(question: str) -> str:
    with mlflow.start_span("model", span_type=SpanType.LLM) as span:
        span.set_inputs({"question": question})
        span.set_outputs("forty-two")
    mlflow.update_current_trace(tags={"color": "red"}, metadata={"mlflow.trace.session": "s-1"})
    return "forty-two"


def ask(question: str) -> str:
    answer(question)
    mlflow.flush_trace_async_logging()
    return mlflow.get_last_active_trace_id()


def traces(url: str, run: str) -> dict:
    """The traces of a run by what was asked, with their spans."""
    mlflow.set_tracking_uri(url)
    found = mlflow.search_traces(run_id=run, return_type="list", locations=[MlflowClient(url).get_run(run).info.experiment_id])
    return {json.loads(trace.info.request_preview)["question"]: trace for trace in found}


def log_traces(url: str) -> tuple[str, str, str, str]:
    """A run with a model that was asked something, and a trace of no run that was linked to it."""
    run, model = log_model(url)
    mlflow.set_active_model(model_id=model)
    try:
        with mlflow.start_run(run_id=run):
            inside = ask(f"why {run}?")
    finally:
        mlflow.clear_active_model()
    outside = ask("how?")
    MlflowClient(url).link_traces_to_run([outside], run)
    return run, model, inside, outside


def said(trace) -> dict:
    return {one.name: (one.value, one.valid) for one in trace.info.assessments}


def test_copied_traces_are_found_in_the_copied_run_with_all_that_was_said_of_them(ann):
    run, model, inside, outside = log_traces(ann.url)
    person = AssessmentSource("HUMAN", "ann")
    mlflow.log_feedback(trace_id=inside, name="good", value=False, source=person)
    mlflow.log_expectation(trace_id=inside, name="expected", value={"is": [42]}, source=person)
    experiment = MlflowClient(ann.url).get_experiment_by_name("models").experiment_id
    proxy = "api/2.0/mlflow-artifacts/artifacts"
    file = f"{ann.url}/{proxy}/{experiment}/traces/{inside}/artifacts/attachments/note.txt"
    requests.put(file, data=b"a note", timeout=10).raise_for_status()
    source = traces(ann.url, run)
    copied = copy(ann, run)[0]
    assert (copied["models"], copied["traces"]) == (1, 2)

    lab = f"{ann.url}/w/lab"
    found = traces(lab, copied["copy"])
    assert set(found) == {f"why {run}?", "how?"}, "what was asked stays what it was"
    trace, before = found[f"why {run}?"], source[f"why {run}?"]
    target = MlflowClient(lab)
    facts = {"mlflow.sourceRun": copied["copy"], "mlflow.modelId": model_of(target, copied["copy"])}
    assert facts.items() <= trace.info.trace_metadata.items()
    same = before.info.trace_metadata.keys() - facts.keys()
    assert {key: trace.info.trace_metadata[key] for key in same} == {key: before.info.trace_metadata[key] for key in same}
    assert (trace.info.state, trace.info.request_time, trace.info.execution_duration) == (
        before.info.state,
        before.info.request_time,
        before.info.execution_duration,
    )
    assert trace.info.tags["color"] == "red" and json.loads(trace.info.tags[ORIGIN])["trace"] == inside
    assert said(trace) == said(before) == {"good": (False, True), "expected": ({"is": [42]}, None)}
    assert {one.trace_id for one in trace.info.assessments} == {trace.info.trace_id} != {inside}
    steps = [
        [(span.name, span.span_type, span.inputs, span.outputs, span.start_time_ns, span.end_time_ns) for span in of.data.spans]
        for of in (trace, before)
    ]
    assert steps[0] == steps[1] and len(steps[0]) == 2
    assert {span.trace_id for span in trace.data.spans} == {trace.info.trace_id}
    note = requests.get(
        f"{lab}/ajax-api/2.0/mlflow/get-trace-artifact",
        params={"request_id": trace.info.trace_id, "path": "note.txt"},
        timeout=10,
    )
    assert note.content == b"a note"
    mlflow.set_tracking_uri(lab)
    assert mlflow.get_trace(trace.info.trace_id).info.trace_id == trace.info.trace_id
    with pytest.raises(MlflowException):
        target.get_run(run)


def test_copying_again_adds_what_was_traced_and_said_since(ann, tmp_path):
    run, _, inside, _ = log_traces(ann.url)
    person = AssessmentSource("HUMAN", "ann")
    first = mlflow.log_feedback(trace_id=inside, name="good", value=False, source=person)
    mlflow.log_feedback(trace_id=inside, name="clear", value=1, source=person)
    copied = copy(ann, run)[0]
    lab = f"{ann.url}/w/lab"
    trace = traces(lab, copied["copy"])[f"why {run}?"].info.trace_id
    held = {one.name: one.assessment_id for one in mlflow.get_trace(trace).info.assessments}
    # In the lab somebody changes a tag and an assessment, and deletes a trace.
    mlflow.set_trace_tag(trace, "color", "green")
    changed = Feedback(name="clear", value=5, source=person)
    mlflow.update_assessment(trace_id=trace, assessment_id=held["clear"], assessment=changed)
    gone = traces(lab, copied["copy"])["how?"].info
    MlflowClient(lab).delete_traces(gone.experiment_id, trace_ids=[gone.trace_id])

    mlflow.set_tracking_uri(ann.url)
    mlflow.override_feedback(trace_id=inside, assessment_id=first.assessment_id, value=True, source=person)
    mlflow.set_trace_tag(inside, "color", "blue")
    mlflow.set_trace_tag(inside, "late", "1")
    with mlflow.start_run(run_id=run):
        ask("late?")
    assert copy(ann, run)[0]["traces"] == 2
    found = traces(lab, copied["copy"])
    assert set(found) == {f"why {run}?", "late?"}
    info = found[f"why {run}?"].info
    assert info.trace_id == trace and (info.tags["color"], info.tags["late"]) == ("green", "1")
    values = sorted((one.name, one.value, one.valid) for one in info.assessments)
    assert values == [("clear", 5, True), ("good", False, False), ("good", True, True)]
    before = entries(ann, tmp_path)
    assert copy(ann, run)[0] == {**copied, "new": False, "traces": 2}
    assert entries(ann, tmp_path) == before, "nothing is written where nothing is new"
