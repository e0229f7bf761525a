"""What two devices decide differently while apart: listed on both, settled on one, gone on both."""

import mlflow
import pytest
from devices import until
from mlflow import MlflowClient

pytestmark = pytest.mark.runmesh_only


def keys(device) -> list[str]:
    return sorted(conflict["key"] for conflict in device.ask("conflicts")["conflicts"])


def test_conflicts_are_listed_on_both_devices_and_settled_for_both(devices):
    ann, bob = devices("ann").up(), devices("bob").up()
    mlflow.set_tracking_uri(ann.url)
    with mlflow.start_run(experiment_id="0", run_name="first") as run:
        mlflow.log_metric("loss", 0.5)
    run_id = run.info.run_id
    bob.ask("join", "--leave-behind", ann.ask("invite")["ticket"])
    bob.ask("sync", "--wait")
    assert keys(ann) == keys(bob) == []

    ann.down()
    at_bob = MlflowClient(bob.url)
    at_bob.log_param(run_id, "lr", "0.2")
    at_bob.set_tag(run_id, "verdict", "keep")
    at_bob.set_tag(run_id, "same", "yes")
    bob.down()
    ann.up()
    at_ann = MlflowClient(ann.url)
    at_ann.log_param(run_id, "lr", "0.1")
    at_ann.set_tag(run_id, "verdict", "drop")
    at_ann.set_tag(run_id, "same", "yes")
    bob.up()
    until(lambda: keys(ann) == keys(bob) == ["params.lr", "tags.verdict"], "both list both conflicts")

    conflict = next(found for found in ann.ask("conflicts")["conflicts"] if found["key"] == "params.lr")
    assert conflict["kind"] == "run" and conflict["document"] == run_id and conflict["name"] == "first"
    said = {value["device"]["name"]: value["value"] for value in conflict["values"]}
    assert said == {"ann": "0.1", "bob": "0.2"}
    assert [value["label"] for value in conflict["values"]] == ["A", "B"]
    # Until it is settled, clients of both are answered the same.
    assert at_ann.get_run(run_id).data.params == at_bob.get_run(run_id).data.params == {"lr": conflict["values"][0]["value"]}
    shown = bob.run("conflicts").stdout
    assert "params.lr" in shown and "0.1" in shown and "0.2" in shown

    absent = ann.run("resolve", "12345678", "--take", "A")
    assert absent.returncode == 4 and "runmesh conflicts" in absent.stderr
    ann.ask("resolve", conflict["id"], "--take", "B")
    bob.ask("resolve", run_id[:8], "verdict", "--take", "undecided")
    until(lambda: keys(ann) == keys(bob) == [], "nothing is left to settle")
    ann.ask("sync", "--wait")
    for client in (at_ann, at_bob):
        data = client.get_run(run_id).data
        assert data.params == {"lr": conflict["values"][1]["value"]}
        assert data.tags["verdict"] == "undecided"
