"""The audit: what the real client did is told with who did it, and can be proven elsewhere."""

import json
import subprocess

import mlflow
import pytest
from devices import BINARY, until
from mlflow import MlflowClient

pytestmark = pytest.mark.runmesh_only


def parts(page: dict) -> list[str]:
    return [part for line in page["lines"] for part in line["said"]]


def test_what_was_done_is_told_and_a_file_proves_it_without_a_home(devices, tmp_path):
    ann, bob = devices("ann").up(), devices("bob").up()
    mlflow.set_tracking_uri(ann.url)
    with mlflow.start_run(experiment_id="0", run_name="baseline") as run:
        for step in range(120):
            mlflow.log_metric("loss", 1 / (step + 1), step=step)
        mlflow.log_param("lr", "0.1")
        mlflow.log_text("hello", "notes/hello.txt")
    run_id = run.info.run_id
    client = MlflowClient(ann.url)
    client.create_registered_model("fraud")
    client.create_model_version("fraud", "s3://models/1", run_id)
    client.set_registered_model_alias("fraud", "champion", 1)
    bob.ask("join", "--leave-behind", ann.ask("invite")["ticket"])
    bob.ask("sync", "--wait")
    # What was just acknowledged is told, however soon it is asked for.
    for verdict in ["wait", "drop", "see", "hold", "keep"]:
        MlflowClient(bob.url).set_tag(run_id, "verdict", verdict)
        of_run = bob.ask("audit", "--run", run_id[:8])
        said = parts(of_run)
        assert f'set tag verdict to "{verdict}"' in said and 'set param lr to "0.1"' in said
    assert any(part.startswith('created run "baseline" in "Default"') for part in said)
    assert sum(int(part.split()[1]) for part in said if part.endswith("of loss")) == 120
    assert any(part.startswith("put artifact notes/hello.txt (5 bytes, ") for part in said)
    # Newest first, and each line names who did it.
    assert of_run["lines"][0]["device"]["name"] == "bob"
    assert {line["device"]["name"] for line in of_run["lines"]} == {"ann", "bob"}
    assert all(line["document"] == run_id for line in of_run["lines"])

    assert "moved alias champion to version 1" in parts(ann.ask("audit", "--model", "fraud"))
    by_bob = bob.ask("audit", "--device", "bob")["lines"]
    assert any(part.startswith('joined as "bob"') for line in by_bob for part in line["said"])
    few = ann.ask("audit", "-n", "3")
    assert len(few["lines"]) == 3 and few["cursor"]
    shown = ann.run("audit", "-n", "200").stdout
    assert "logged 120 points of loss" in shown or "points of loss" in shown
    assert ann.run("audit", "--device", "nobody").returncode == 4

    until(lambda: ann.ask("audit", "--device", "bob")["lines"], "ann has heard of bob")
    assert ann.ask("audit", "verify")["wrong"] == []
    file = tmp_path / "lab.audit"
    ann.ask("audit", "export", str(file))
    nowhere = {"HOME": str(tmp_path / "nowhere"), "PATH": "/usr/bin:/bin"}

    def verify(path) -> subprocess.CompletedProcess:
        command = [str(BINARY), "--json", "audit", "verify", str(path)]
        return subprocess.run(command, env=nowhere, capture_output=True, text=True)

    checked = verify(file)
    assert checked.returncode == 0, checked.stderr
    report = json.loads(checked.stdout)
    assert report["sound"] and {held["device"]["name"] for held in report["journals"]} == {"ann", "bob"}

    changed = bytearray(file.read_bytes())
    changed[len(changed) // 2] ^= 1
    damaged = tmp_path / "damaged.audit"
    damaged.write_bytes(changed)
    checked = verify(damaged)
    assert checked.returncode == 1 and not json.loads(checked.stdout)["sound"]
    assert verify(BINARY).returncode == 1
