"""A disk that runs full: writes are refused and say why, the rest goes on, nothing is damaged."""

import os
import subprocess

import mlflow
import pytest
import requests
from journal import API, Writer, get
from mlflow.exceptions import MlflowException

pytestmark = pytest.mark.runmesh_only

SIZE_MIB = 64


@pytest.fixture
def small_disk(tmp_path):
    """A disk of a few MiB. Needs root, as tests/run has it."""
    path = tmp_path / "disk"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE_MIB}m", "none", path], check=True)
    yield path
    subprocess.run(["umount", "--lazy", path], check=True)


def fill(disk, leave_mib):
    """Writes a file that leaves so much."""
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    with open(disk / "filler", "wb") as file:
        file.write(bytes(max(free - (leave_mib << 20), 0)))


def test_a_full_disk_refuses_writes_and_loses_nothing(devices, small_disk, rng):
    ann, bob = devices("ann", home=small_disk / "home").up(), devices("bob").up()
    bob.ask("join", ann.ask("invite")["ticket"])
    writer = Writer(ann, f"{rng.random()}")
    for _ in range(200):
        writer.step()
    client = mlflow.MlflowClient(ann.url)
    run = client.create_run("0").info.run_id
    client.log_metric(run, "loss", 1.5)

    fill(small_disk, leave_mib=8)
    with pytest.raises(MlflowException, match="disk is full"):
        client.log_metric(run, "loss", 2.5)
    # Larger than the disk: refused while it is being sent, and the answer still arrives.
    upload = f"{ann.url}/api/2.0/mlflow-artifacts/artifacts/0/{run}/artifacts/large"
    with requests.Session() as http:
        for _ in range(2):
            answer = http.put(upload, data=bytes(SIZE_MIB << 20), timeout=120)
            assert answer.status_code == 507, answer.text
            assert "full" in answer.json()["message"]
    # Reading and giving go on.
    writer.check(ann)
    assert client.get_run(run).data.metrics == {"loss": 1.5}
    bob.ask("sync", "--wait")
    writer.check(bob)

    (small_disk / "filler").unlink()
    client.log_metric(run, "loss", 3.5)
    for _ in range(50):
        writer.step()
    assert not writer.wrong
    ann.kill()
    ann.up()
    writer.check(ann)
    history = get(ann, f"{API}/metrics/get-history", run_id=run, metric_key="loss").json()["metrics"]
    assert [point["value"] for point in history] == [1.5, 3.5]
    ann.down()
    report = ann.ask("doctor")
    # It warns of the little room there is.
    assert {check["verdict"] for check in report["checks"]} <= {"ok", "warning"}, report


def test_a_daemon_that_starts_on_a_full_disk_says_so_or_serves_what_is_there(devices, small_disk):
    device = devices("ann", home=small_disk / "home")
    # What it says has room, however early it was killed.
    device.log = small_disk.with_name("said.log")
    device.up()
    client = mlflow.MlflowClient(device.url)
    run = client.create_run("0").info.run_id
    client.log_param(run, "lr", "0.1")
    device.kill()
    fill(small_disk, leave_mib=0)
    process = device.spawn()
    if process.wait(60) != 0:
        device.process = None
        assert "full" in device.said() or "space" in device.said()
    (small_disk / "filler").unlink()
    device.up()
    assert client.get_run(run).data.params == {"lr": "0.1"}
    device.down()
