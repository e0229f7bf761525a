"""What keeps a daemon running and tells how it does: metrics, the service unit, logs, stopping."""

import shutil
import subprocess

import mlflow
import pytest
import requests
from devices import BINARY, until
from mlflow import MlflowClient

pytestmark = pytest.mark.runmesh_only


def metrics(device) -> dict[str, float]:
    answer = requests.get(f"{device.url}/metrics", timeout=30)
    assert answer.status_code == 200 and "openmetrics-text" in answer.headers["content-type"]
    assert answer.text.endswith("# EOF\n")
    lines = [line for line in answer.text.splitlines() if not line.startswith("#")]
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}


def test_metrics_tell_how_a_device_and_its_peers_are_doing(devices):
    ann, bob = devices("ann").up(), devices("bob").up()
    mlflow.set_tracking_uri(ann.url)
    with mlflow.start_run(experiment_id="0"):
        mlflow.log_metric("loss", 0.5)
        mlflow.log_text("hello", "hello.txt")
    bob.ask("join", "--leave-behind", ann.ask("invite")["ticket"])
    bob.ask("sync", "--wait")
    told = until(lambda: (m := metrics(bob)) and m["runmesh_peers_connected"] == 1 and m, "bob's metrics show ann")
    assert told["runmesh_peers"] == 1 and told["runmesh_runs"] == 1
    of_ann = next(name for name in told if name.startswith("runmesh_peer_lag_entries{") and 'name="ann"' in name)
    assert told[of_ann] == 0
    assert told["runmesh_received_bytes_total"] > 0 and told["runmesh_store_bytes"] > 0
    at_ann = metrics(ann)
    assert at_ann["runmesh_commit_seconds_count"] > 0
    assert at_ann["runmesh_blobs_held"] == 1 and at_ann["runmesh_blobs_missing"] == 0


def test_metrics_need_the_token_where_clients_do(devices):
    ann = devices("ann")
    ann.require_token = "true"
    ann.up()
    assert requests.get(f"{ann.url}/metrics", timeout=30).status_code == 401
    token = ann.ask("token")["token"]
    answer = requests.get(f"{ann.url}/metrics", headers={"authorization": f"Bearer {token}"}, timeout=30)
    assert answer.status_code == 200


def test_the_service_unit_is_written_where_systemd_does_not_run(devices, tmp_path):
    ann = devices("ann")
    environment = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}

    def run(*arguments: str) -> subprocess.CompletedProcess:
        return subprocess.run(ann.command(*arguments), env=environment, capture_output=True, text=True)

    installed = run("service", "install")
    assert installed.returncode == 0, installed.stderr
    unit = tmp_path / ".config/systemd/user/runmesh.service"
    assert f'--home "{ann.home}" up' in unit.read_text() and str(BINARY) in unit.read_text()
    if shutil.which("systemd-analyze"):
        checked = subprocess.run(["systemd-analyze", "--user", "verify", str(unit)], capture_output=True, text=True)
        assert "runmesh.service" not in checked.stderr, checked.stderr
    removed = run("service", "uninstall")
    assert removed.returncode == 0 and not unit.exists()
    assert run("service", "uninstall").returncode == 0


def test_a_daemon_that_is_told_to_stop_while_it_syncs_stops_and_is_whole(devices):
    ann, bob = devices("ann").up(), devices("bob").up()
    client = MlflowClient(ann.url)
    for number in range(300):
        run = client.create_run("0", run_name=f"run {number}")
        client.log_param(run.info.run_id, "lr", "x" * 400)
    client.log_text(run.info.run_id, "x" * 8_000_000, "large.txt")
    bob.ask("join", "--leave-behind", ann.ask("invite")["ticket"])
    # It takes in entries and a blob now. However far it is: it ends, and is whole afterwards.
    bob.down()
    bob.up()
    assert bob.ask("audit", "verify")["wrong"] == []
    until(lambda: len(MlflowClient(bob.url).search_runs(["0"], max_results=500)) == 300, "the rest comes")
