"""Other versions of the client, each in a venv of its own: the newest 2.x, and 3.x without its extras.

A team seldom moves all its scripts at once. `mlflow-skinny` is the client without what it needs to serve models and
pages; the newest 2.x is the one that most old scripts run with.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent

# What such a script does; it prints what it read back.
SCRIPT = """
import json, pathlib, sys, tempfile
import mlflow
from mlflow import MlflowClient

mlflow.set_experiment(experiment_id=sys.argv[1])
with mlflow.start_run(run_name="parent") as parent:
    mlflow.log_params({"lr": 0.1, "name": "é"})
    mlflow.set_tag("team", "fraud")
    for step in range(5):
        mlflow.log_metric("loss", 1 / (step + 1), step=step)
    mlflow.log_metrics({"auc": 0.75, "inf": float("nan")})
    with mlflow.start_run(run_name="child", nested=True) as child:
        mlflow.log_metric("auc", 0.5)
    folder = pathlib.Path(tempfile.mkdtemp())
    (folder / "a").mkdir()
    (folder / "a" / "b.txt").write_text("text")
    mlflow.log_artifacts(str(folder), "files")
    mlflow.log_dict({"a": [1, None]}, "made/data.json")
client = MlflowClient()
found = client.search_runs([sys.argv[1]], "metrics.auc >= 0.5 and params.name = 'é'", order_by=["metrics.auc DESC"])
children = client.search_runs([sys.argv[1]], f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'")
try:
    client.log_param(parent.info.run_id, "lr", "0.2")
    refused = ""
except mlflow.exceptions.MlflowException as error:
    refused = error.error_code
print(json.dumps({
    "version": mlflow.__version__,
    "found": [run.info.run_name for run in found],
    "children": [run.info.run_name for run in children],
    "history": [point.value for point in client.get_metric_history(parent.info.run_id, "loss")],
    "files": sorted(item.path for item in client.list_artifacts(parent.info.run_id, "files/a")),
    "text": mlflow.artifacts.load_text(f"runs:/{parent.info.run_id}/files/a/b.txt"),
    "data": mlflow.artifacts.load_dict(f"runs:/{parent.info.run_id}/made/data.json"),
    "refused": refused,
}))
"""


@pytest.mark.parametrize("name", ["skinny", "mlflow2"])
def test_another_version_does_the_same(client, server, experiment, name):
    # tests/run makes them beside the one that the tests run in.
    venv = Path(sys.prefix).with_name(f"clients-venv-{name}")
    assert venv.exists(), f"{venv} is not there: tests/run clients makes it"
    done = subprocess.run(
        [venv / "bin" / "python", "-c", SCRIPT, experiment],
        env=os.environ | {"MLFLOW_TRACKING_URI": server},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    read = json.loads(done.stdout.splitlines()[-1])
    pinned = (HERE / f"requirements-{name}.txt").read_text()
    assert f"mlflow-skinny=={read.pop('version')}\n" in pinned
    assert read == {
        "found": ["parent"],
        "children": ["child"],
        "history": [1 / (step + 1) for step in range(5)],
        "files": ["files/a/b.txt"],
        "text": "text",
        "data": {"a": [1, None]},
        "refused": "INVALID_PARAMETER_VALUE",
    }
    assert len(client.search_runs([experiment])) == 2
