"""Bundles, with the real client: what is logged on one device is read on another that it never met."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import mlflow
import pytest
from devices import BINARY, until
from mlflow import MlflowClient

pytestmark = pytest.mark.runmesh_only

# How many jobs with the real client run at once, and how many small ones are up at the same moment: a cluster
# has more, as `tests/nightly jobs` has.
JOBS = int(os.environ.get("RUNMESH_JOBS", "20"))
JOBS_AT_ONCE = int(os.environ.get("RUNMESH_JOBS_AT_ONCE", "12"))
# How many are started at the same moment.
WAVE = 8


def log(device, name: str, artifact: bytes = b"weights") -> str:
    mlflow.set_tracking_uri(device.url)
    mlflow.set_experiment("carried")
    with mlflow.start_run(run_name=name) as run:
        mlflow.log_param("rate", 0.1)
        for step in range(20):
            mlflow.log_metric("loss", 1 / (step + 1), step=step)
        path = Path(run.info.run_id)
        path.write_bytes(artifact)
        mlflow.log_artifact(str(path), "model")
        path.unlink()
    return run.info.run_id


def check(device, run_id: str, artifact: bytes = b"weights") -> None:
    """The run is there with its history, and its artifact loads."""
    client = MlflowClient(device.url)
    run = client.get_run(run_id)
    assert run.data.params == {"rate": "0.1"}
    assert [point.value for point in client.get_metric_history(run_id, "loss")] == [1 / (n + 1) for n in range(20)]
    mlflow.set_tracking_uri(device.url)
    local = mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path=f"model/{run_id}")
    assert Path(local).read_bytes() == artifact


class Apart:
    """Devices of which one is up at a time, so that they never meet."""

    def __init__(self, *devices) -> None:
        self.devices = devices

    def only(self, device):
        """Has this device up and no other."""
        for other in self.devices:
            if other is not device and other.process:
                other.down()
        return device if device.process else device.up()


@pytest.fixture
def apart(devices, tmp_path, monkeypatch):
    """Two devices of one workspace that never met: the second joined by its own bundle."""
    monkeypatch.chdir(tmp_path)
    ann, bob = devices("ann"), devices("bob")
    apart = Apart(ann, bob)
    ticket = apart.only(ann).ask("invite")["ticket"]
    apart.only(bob).ask("join", "--unmet", "--leave-behind", ticket)
    bob.ask("bundle", "export", "--all", str(tmp_path / "join.bundle"))
    apart.only(ann).ask("bundle", "import", str(tmp_path / "join.bundle"))
    assert {member["device"]["name"] for member in ann.ask("members")["members"]} == {"ann", "bob"}
    return apart


def refused(device, *arguments: str) -> str:
    ran = subprocess.run(device.command(*arguments), capture_output=True, text=True)
    assert ran.returncode != 0, ran.stdout
    return ran.stdout + ran.stderr


@pytest.mark.parametrize("flags", [[], ["--encrypt"]], ids=["plain", "encrypted"])
def test_a_run_is_carried_by_hand_and_loads_there(apart, tmp_path, flags):
    ann, bob = apart.devices
    big = os.urandom(3_000_000)
    first = log(ann, "first", big)
    file = str(tmp_path / "first.bundle")
    ann.ask("bundle", "export", *flags, file)
    assert Path(file).read_bytes().startswith(b"age-encryption.org/" if flags else b"runmesh bundle 1")
    report = apart.only(bob).ask("bundle", "import", file)
    assert report["entries_new"] > 0 and report["blobs_new"] == 1
    check(bob, first, big)
    # Again: nothing changes.
    entries = bob.ask("status")["entries"]
    again = bob.ask("bundle", "import", file)
    assert (again["entries_new"], again["blobs_new"]) == (0, 0)
    assert bob.ask("status")["entries"] == entries
    # Bob answers with what he holds, so the next one from Ann holds only what is new.
    answer = str(tmp_path / "answer.bundle")
    of_bob = log(bob, "of bob")
    bob.ask("bundle", "export", *flags, answer)
    apart.only(ann).ask("bundle", "import", answer)
    check(ann, of_bob)
    second = log(ann, "second")
    for start in (["--for", "bob"], ["--since", file], []):
        ann.ask("bundle", "export", "--force", *flags, *start, str(tmp_path / "second.bundle"))
        # The two runs since then hold the same file.
        assert ann.ask("bundle", "inspect", str(tmp_path / "second.bundle"))["blobs"] == 1, start
        assert Path(tmp_path / "second.bundle").stat().st_size < 1_000_000
    apart.only(bob).ask("bundle", "import", str(tmp_path / "second.bundle"))
    check(bob, second)


def test_what_is_encrypted_to_the_members_is_closed_to_others(apart, devices, tmp_path):
    ann, _ = apart.devices
    eve = devices("eve").up()
    log(ann, "secret")
    ann.ask("bundle", "export", "--encrypt", str(tmp_path / "b.bundle"))
    assert "not to this device" in refused(eve, "bundle", "inspect", str(tmp_path / "b.bundle"))
    ann.ask("bundle", "export", str(tmp_path / "plain.bundle"))
    assert "is of workspace" in refused(eve, "bundle", "import", str(tmp_path / "plain.bundle"))


@pytest.mark.parametrize("flags", [[], ["--encrypt"]], ids=["plain", "encrypted"])
def test_a_bundle_that_was_cut_or_changed_brings_what_is_whole_and_says_where_it_broke(apart, tmp_path, flags):
    ann, bob = apart.devices
    run = log(ann, "long", os.urandom(2_000_000))
    whole = tmp_path / "whole.bundle"
    ann.ask("bundle", "export", *flags, str(whole))
    data = whole.read_bytes()
    cut = tmp_path / "cut.bundle"
    cut.write_bytes(data[:-1_000_000])
    said = refused(apart.only(bob), "bundle", "import", str(cut))
    assert "byte" in said
    # Its entries are here; of the blob nothing is.
    assert MlflowClient(bob.url).get_run(run).data.params == {"rate": "0.1"}
    assert bob.ask("status")["blobs"]["held"] == 0
    changed = tmp_path / "changed.bundle"
    changed.write_bytes(data[:-1_000_000] + bytes([data[-1_000_000] ^ 1]) + data[-999_999:])
    assert "byte" in refused(bob, "bundle", "import", str(changed))
    assert bob.ask("status")["blobs"]["held"] == 0
    bob.ask("bundle", "import", str(whole))
    assert bob.ask("status")["blobs"]["held"] == 1


def test_a_gap_is_named_and_filled(apart, tmp_path):
    ann, bob = apart.devices
    log(ann, "first")
    first, second = tmp_path / "first.bundle", tmp_path / "second.bundle"
    ann.ask("bundle", "export", "--all", str(first))
    run = log(ann, "second")
    ann.ask("bundle", "export", "--since", str(first), str(second))
    # Bob holds his own entries alone; the second bundle starts where the first ended.
    assert "missing" in refused(apart.only(bob), "bundle", "import", str(second))
    bob.ask("bundle", "import", str(first))
    bob.ask("bundle", "import", str(second))
    check(bob, run)


TRAIN = """
import mlflow, os, sys, time
mlflow.set_experiment("jobs")
with mlflow.start_run(run_name=sys.argv[1]) as run:
    mlflow.log_metric("loss", 0.5)
    mlflow.log_text(sys.argv[1], "job.txt")
    print("logged", flush=True)
    if len(sys.argv) > 2:
        time.sleep(600)
sys.exit(7)
"""


# One that is small itself, and ends when all are told to.
SMALL = """
import json, os, sys, time, urllib.request
from pathlib import Path

def post(path, body):
    url = os.environ["MLFLOW_TRACKING_URI"] + "/api/2.0/mlflow/" + path
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    return json.load(urllib.request.urlopen(request, timeout=600))

name, yard = sys.argv[1], Path(sys.argv[2])
run = post("runs/create", {"experiment_id": "0", "run_name": name, "start_time": 1})["run"]["info"]["run_id"]
post("runs/log-metric", {"run_id": run, "key": "loss", "value": 0.5, "timestamp": 1})
(yard / name).touch()
while not (yard / "end").exists():
    time.sleep(0.5)
post("runs/log-metric", {"run_id": run, "key": "loss", "value": 0.25, "timestamp": 2, "step": 1})
post("runs/update", {"run_id": run, "status": "FINISHED", "end_time": 2})
sys.exit(7)
"""


def job(folder: Path, *arguments: str, script: str = TRAIN, **options) -> subprocess.Popen:
    command = [str(BINARY), "run", "--bundle", str(folder), *options.pop("flags", []), "--", sys.executable, "-c", script]
    return subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture
def login(devices, tmp_path):
    """A login node that collects what jobs drop, and the folder they drop it in."""
    folder = tmp_path / "drop"
    folder.mkdir()
    login = devices("login")
    login.home.mkdir()
    (login.home / "config.toml").write_text(f"watch-dir = '{folder}'\n")
    login.up()
    ticket = login.ask("invite", "--uses", "1000", "--expires", "7d")["ticket"]
    (folder / "runmesh.ticket").write_text(ticket)
    return login, folder


def names_in(device) -> list[str]:
    client = MlflowClient(device.url)
    ids = [found.experiment_id for found in client.search_experiments()]
    return sorted(run.info.run_name for run in client.search_runs(ids, max_results=1000))


def test_jobs_without_a_daemon_are_collected_once_each(login):
    login, folder = login

    def run(number: int) -> None:
        said, errors = (ran := job(folder, f"job {number}")).communicate()
        assert ran.returncode == 7, said + errors

    with ThreadPoolExecutor(JOBS) as pool:
        list(pool.map(run, range(JOBS)))
    expected = sorted(f"job {number}" for number in range(JOBS))
    until(lambda: names_in(login) == expected, "all jobs are collected")
    assert len(list(folder.glob("*.bundle"))) == JOBS
    assert not list(folder.glob(".runmesh-*"))
    status = login.ask("status")["watched"]
    assert status["failed"] == []
    # A restart takes nothing in twice.
    login.down()
    login.up()
    assert names_in(login) == expected


def test_many_jobs_that_are_up_at_once_do_not_disturb_each_other(login, tmp_path):
    login, folder = login
    yard = tmp_path / "yard"
    yard.mkdir()
    names = [f"job {number:03}" for number in range(JOBS_AT_ONCE)]
    running = []
    for start in range(0, len(names), WAVE):
        wave = names[start : start + WAVE]
        running += [job(folder, name, str(yard), script=SMALL, flags=["--every", "20s"]) for name in wave]
        until(lambda wave=wave: all((yard / name).exists() for name in wave), f"{wave} have logged")
    assert all(process.poll() is None for process in running), "all are up"
    (yard / "end").touch()
    for process in running:
        said, errors = process.communicate(timeout=1800)
        assert process.returncode == 7, said + errors
    until(lambda: names_in(login) == names, "all jobs are collected")
    client = MlflowClient(login.url)
    runs = client.search_runs(["0"], max_results=1000)
    assert {(run.info.status, run.data.metrics["loss"]) for run in runs} == {("FINISHED", 0.25)}
    assert len(list(folder.glob("*.bundle"))) == JOBS_AT_ONCE
    assert not list(folder.glob(".runmesh-*"))
    assert login.ask("status")["watched"]["failed"] == []


def test_a_job_that_is_told_to_stop_leaves_its_bundle(login):
    login, folder = login
    running = job(folder, "cut short", "wait", flags=["--every", "1s"])
    assert running.stdout.readline() == "logged\n"
    # Before it ends, too.
    until(lambda: names_in(login) == ["cut short"], "the job is collected while it runs")
    running.send_signal(signal.SIGTERM)
    running.communicate()
    assert running.returncode == 128 + signal.SIGTERM
    until(lambda: login.ask("status")["watched"]["failed"] == [], "the last bundle is whole")
    assert names_in(login) == ["cut short"]
