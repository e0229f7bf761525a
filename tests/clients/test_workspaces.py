"""Several workspaces on one device, as the real client meets them at /w/NAME."""

import json

import mlflow
import pytest
import requests
from devices import until
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

pytestmark = pytest.mark.runmesh_only


def log_run(url: str, name: str, text: str) -> str:
    mlflow.set_tracking_uri(url)
    mlflow.set_experiment("shared name")
    with mlflow.start_run(run_name=name) as run:
        mlflow.log_params({"where": name})
        mlflow.log_metric("loss", 0.5, step=1)
        mlflow.log_text(text, "notes/note.txt")
    return run.info.run_id


def names(url: str) -> set[str]:
    client = MlflowClient(url)
    experiments = [found.experiment_id for found in client.search_experiments()]
    return {run.info.run_name for run in client.search_runs(experiments)}


def test_a_client_at_the_address_of_a_workspace_sees_that_one_alone(devices):
    ann = devices("ann").up()
    assert ann.ask("workspace", "create", "lab")["name"] == "lab"
    lab = f"{ann.url}/w/lab"
    here, there = log_run(ann.url, "here", "at home"), log_run(lab, "there", "in the lab")
    assert names(ann.url) == {"here"} and names(lab) == {"there"}
    assert names(f"{ann.url}/w/ann") == {"here"}, "the current one has an address, too"
    for url, run, text in ((ann.url, here, "at home"), (lab, there, "in the lab")):
        mlflow.set_tracking_uri(url)
        assert mlflow.artifacts.load_text(f"runs:/{run}/notes/note.txt") == text
        assert [file.path for file in MlflowClient(url).list_artifacts(run, "notes")] == ["notes/note.txt"]
    with pytest.raises(MlflowException) as refused:
        MlflowClient(lab).get_run(here)
    assert refused.value.error_code == "RESOURCE_DOES_NOT_EXIST"
    # The page of the workspace is at its address; what it is made of is the device's.
    assert "app/main.js" in requests.get(f"{lab}/", timeout=10).text
    moved = requests.get(f"{lab}//api/2.0/mlflow/experiments/search", timeout=10, allow_redirects=False)
    assert moved.headers["location"] == "/w/lab/api/2.0/mlflow/experiments/search"


def test_a_model_is_registered_and_loaded_in_its_workspace(devices):
    ann = devices("ann").up()
    ann.ask("workspace", "create", "lab")
    lab = f"{ann.url}/w/lab"
    run = log_run(lab, "there", "weights")
    client = MlflowClient(lab)
    client.create_registered_model("net")
    client.create_model_version("net", f"runs:/{run}/notes", run)
    assert [model.name for model in client.search_registered_models()] == ["net"]
    assert MlflowClient(ann.url).search_registered_models() == []


def test_a_name_that_is_not_here_is_answered_with_those_that_are(devices):
    ann = devices("ann").up()
    ann.ask("workspace", "create", "lab")
    with pytest.raises(MlflowException, match="There are: ann, lab") as refused:
        MlflowClient(f"{ann.url}/w/lap").search_experiments()
    assert refused.value.error_code == "RESOURCE_DOES_NOT_EXIST"
    for name in ("", "..", "%2e%2e", "lab%2f..", "x" * 5000):
        answer = requests.get(f"{ann.url}/w/{name}", timeout=10)
        assert answer.status_code in (404, 200), name
    foreign = {"host": "evil.example"}
    answer = requests.get(f"{ann.url}/w/lap/api/2.0/mlflow/experiments/search", headers=foreign, timeout=10)
    assert answer.status_code == 403 and "lab" not in answer.text
    failed = ann.run("--json", "--workspace", "lap", "runs")
    assert failed.returncode == 4 and json.loads(failed.stderr)["error"]["code"] == "not_found"


def test_where_the_token_is_needed_names_are_told_to_who_has_it(devices):
    ann = devices("ann")
    ann.require_token = "true"
    ann.up()
    ann.ask("workspace", "create", "lab")
    path = f"{ann.url}/w/lap/api/2.0/mlflow/experiments/search"
    answer = requests.post(path, json={}, timeout=10)
    assert answer.status_code == 401 and "lab" not in answer.text
    token = {"authorization": f"Bearer {ann.ask('token')['token']}"}
    assert "lab" in requests.post(path, json={}, headers=token, timeout=10).text


def test_every_command_takes_a_workspace_and_one_is_current(devices):
    ann = devices("ann").up()
    ann.ask("workspace", "create", "lab")
    log_run(f"{ann.url}/w/lab", "there", "text")
    assert [run["name"] for run in ann.ask("-w", "lab", "runs")["runs"]] == ["there"]
    assert ann.ask("runs")["runs"] == []
    assert ann.ask("-w", "lab", "status")["place"] == "/w/lab"
    ann.ask("workspace", "use", "lab")
    assert [run["name"] for run in ann.ask("runs")["runs"]] == ["there"]
    assert names(ann.url) == {"there"}
    ann.ask("workspace", "rename", "lab", "team")
    ann.kill()
    ann.up()
    listed = {info["name"]: (info["current"], info["runs"]) for info in ann.ask("workspace", "list")}
    assert listed == {"ann": (False, 0), "team": (True, 1)}
    assert ann.run("workspace", "use", "lab").returncode == 4
    for wrong in ("../x", "a/b", ".", "x" * 65):
        assert ann.run("workspace", "create", wrong).returncode == 2, wrong


def test_two_devices_sync_two_workspaces_and_a_third_only_its_own(devices):
    ann, bob, carl = (devices(name).up() for name in ("ann", "bob", "carl"))
    ann.ask("workspace", "create", "lab")
    bob.ask("join", "--as", "lab", ann.ask("-w", "lab", "invite")["ticket"])
    carl.ask("join", "--as", "lab", ann.ask("-w", "lab", "invite")["ticket"])
    bob.ask("join", "--as", "home-of-ann", ann.ask("invite")["ticket"])
    log_run(ann.url, "private", "not for carl")
    there = log_run(f"{ann.url}/w/lab", "public", "for all")
    log_run(bob.url, "of-bob", "not for anyone")
    for device, workspace in ((bob, "lab"), (bob, "home-of-ann"), (carl, "lab")):
        device.ask("-w", workspace, "sync", "--wait")
    assert names(f"{bob.url}/w/lab") == {"public"} == names(f"{carl.url}/w/lab")
    assert names(f"{bob.url}/w/home-of-ann") == {"private"}
    assert names(bob.url) == {"of-bob"} and names(carl.url) == set()
    mlflow.set_tracking_uri(f"{carl.url}/w/lab")
    assert mlflow.artifacts.load_text(f"runs:/{there}/notes/note.txt") == "for all"
    private = next((ann.home / "blobs").glob("??/*"), None)
    assert private is not None
    held = {file.name for file in (carl.home / "blobs").glob("??/*")}
    mine = {file.name for file in (ann.home / "blobs").glob("??/*")}
    assert held < mine, "of two blobs one came"


def test_joining_with_all_there_is_keeps_the_address(devices):
    ann, bob = devices("ann").up(), devices("bob").up()
    bob.ask("workspace", "create", "side")
    log_run(f"{bob.url}/w/side", "aside", "aside")
    log_run(bob.url, "mine", "mine")
    joined = bob.ask("join", ann.ask("invite")["ticket"])
    assert (joined["place"], joined["runs_taken"]) == ("bob", 1)
    bob.ask("sync", "--wait")
    assert names(f"{bob.url}/w/bob") == {"mine"} == names(ann.url)
    assert names(f"{bob.url}/w/side") == {"aside"}
    bob.down()
    bob.up()
    assert names(bob.url) == {"mine"} and names(f"{bob.url}/w/side") == {"aside"}


def test_what_is_left_behind_stays_on_the_device(devices):
    ann, bob = devices("ann").up(), devices("bob").up()
    log_run(bob.url, "mine", "mine")
    log_run(ann.url, "theirs", "theirs")
    joined = bob.ask("join", "--leave-behind", ann.ask("invite")["ticket"])
    bob.ask("sync", "--wait")
    until(lambda: names(bob.url) == {"theirs"}, "the joined workspace is the current one")
    assert joined["place"] == "ann" and names(f"{bob.url}/w/bob") == {"mine"}
    assert names(ann.url) == {"theirs"}


def blobs(device) -> set[str]:
    return {file.name for file in (device.home / "blobs").glob("??/*") if not file.suffix}


def test_a_copied_run_is_the_same_and_says_where_it_is_from(devices):
    ann, bob = devices("ann").up(), devices("bob").up()
    ann.ask("workspace", "create", "lab")
    bob.ask("join", "--as", "lab", ann.ask("-w", "lab", "invite")["ticket"])
    run = log_run(ann.url, "here", "a note")
    child = MlflowClient(ann.url).create_run("0", tags={"mlflow.parentRunId": run}, run_name="child").info.run_id
    for value in (float("nan"), float("inf"), 0.25):
        MlflowClient(ann.url).log_metric(run, "loss", value, step=2)
    copies = ann.ask("copy", run[:12], child, "--to", "lab")["copies"]
    assert [(copied["run"], copied["new"]) for copied in copies] == [(run, True), (child, True)]
    source, target = MlflowClient(ann.url), MlflowClient(f"{ann.url}/w/lab")
    copy = target.get_run(copies[0]["copy"])
    before = source.get_run(run)
    assert copy.data.params == before.data.params and copy.info.run_name == "here"
    assert (copy.info.status, copy.info.start_time, copy.info.end_time) == (
        before.info.status,
        before.info.start_time,
        before.info.end_time,
    )
    points = [
        [(point.step, point.timestamp, str(point.value)) for point in client.get_metric_history(of, "loss")]
        for client, of in ((source, run), (target, copies[0]["copy"]))
    ]
    assert points[0] == points[1] and len(points[0]) == 4
    origin = json.loads(copy.data.tags.pop("runmesh.copied_from"))
    workspace = ann.ask("status")["workspace"]["id"]
    device = ann.ask("status")["device"]["id"]
    assert (origin["workspace"], origin["run"], origin["device"]) == (workspace, run, device)
    assert copy.data.tags == before.data.tags
    assert target.get_run(copies[1]["copy"]).data.tags["mlflow.parentRunId"] == copies[0]["copy"]
    assert target.get_experiment(copy.info.experiment_id).name == "shared name"

    # Again it adds what is new, and nothing twice.
    source.log_metric(run, "late", 1.0)
    again = ann.ask("copy", run, "--to", "lab")["copies"]
    assert again == [{**copies[0], "new": False}]
    copy = target.get_run(copies[0]["copy"])
    assert copy.data.metrics["late"] == 1.0 and len(target.get_metric_history(copy.info.run_id, "loss")) == 4
    assert json.loads(copy.data.tags["runmesh.copied_from"]) == origin

    # Its files go where it goes.
    bob.ask("-w", "lab", "sync", "--wait")
    mlflow.set_tracking_uri(f"{bob.url}/w/lab")
    assert mlflow.artifacts.load_text(f"runs:/{copies[0]['copy']}/notes/note.txt") == "a note"
    assert ann.run("copy", run, "--to", "ann").returncode == 2
    assert ann.run("copy", "ffffffffffff", "--to", "lab").returncode == 4
    assert ann.run("copy", run, "--to", "lap").returncode == 4


def test_leaving_tells_what_is_lost_and_frees_what_nobody_else_needs(devices):
    ann, bob = devices("ann").up(), devices("bob").up()
    ann.ask("workspace", "create", "lab")
    log_run(ann.url, "here", "in both")
    only_here = blobs(ann)
    log_run(f"{ann.url}/w/lab", "there", "in both")
    log_run(f"{ann.url}/w/lab", "more", "in the lab only")
    assert only_here < blobs(ann)
    refused = ann.run("workspace", "leave", "ann", "--yes")
    assert refused.returncode == 5 and "workspace use" in refused.stderr
    told = ann.run("workspace", "leave", "lab")
    assert told.returncode == 5 and "ALL OF IT IS LOST" in told.stderr and "--yes" in told.stderr
    assert names(f"{ann.url}/w/lab") == {"there", "more"}, "nothing was done"

    bob.ask("join", "--as", "lab", ann.ask("-w", "lab", "invite")["ticket"])
    bob.ask("-w", "lab", "sync", "--wait")
    kept = "a ticket brings them back"
    until(lambda: kept in ann.run("workspace", "leave", "lab").stderr, "ann hears that bob holds all")
    left = ann.ask("workspace", "leave", "lab", "--yes")
    assert (left["left"], left["runs"], left["entries_only_here"], left["blobs"]) == (True, 2, 0, 1)
    assert blobs(ann) == only_here
    assert len(list((ann.home / "workspaces").iterdir())) == 1
    with pytest.raises(MlflowException, match="There are: ann"):
        MlflowClient(f"{ann.url}/w/lab").search_experiments()
    mlflow.set_tracking_uri(ann.url)
    run = MlflowClient(ann.url).search_runs([MlflowClient(ann.url).get_experiment_by_name("shared name").experiment_id])[0]
    assert mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/notes/note.txt") == "in both"
    # The others have it all.
    assert names(f"{bob.url}/w/lab") == {"there", "more"}
    ann.down()
    ann.up()
    assert [info["name"] for info in ann.ask("workspace", "list")] == ["ann"]


def test_the_doctor_looks_at_every_workspace_or_at_the_one_that_is_named(devices):
    ann = devices("ann").up()
    ann.ask("workspace", "create", "lab")
    log_run(f"{ann.url}/w/lab", "there", "text")

    def looked_at(*arguments: str) -> list:
        report = ann.ask(*arguments)
        assert {check["verdict"] for check in report["checks"]} == {"ok"}, report
        return [(check.get("workspace"), check["name"]) for check in report["checks"]]

    home = [(None, "home"), (None, "disk")]
    sections = {name: [(name, what) for what in ("journals", "index", "blobs")] for name in ("ann", "lab")}
    rebuilt = {name: [(name, "rebuild"), *checks] for name, checks in sections.items()}
    for up in (True, False):
        if not up:
            ann.down()
        assert looked_at("doctor") == home + sections["ann"] + sections["lab"], up
        assert looked_at("-w", "lab", "doctor") == home + sections["lab"], up
        assert looked_at("doctor", "--rebuild") == home + rebuilt["ann"] + rebuilt["lab"], up
        assert ann.run("-w", "lap", "doctor").returncode == 4, up
        told = ann.run("doctor").stdout
        assert "\nworkspace ann\n" in told and "\nworkspace lab\n" in told, told
    # One that is broken is named, and the others are looked at all the same.
    store = next(path for path in (ann.home / "workspaces").glob("*/store.redb") if is_of(ann, path, "lab"))
    store.write_bytes(b"not a store")
    broken = ann.run("--json", "doctor")
    checks = json.loads(broken.stdout)["checks"]
    assert broken.returncode == 1
    assert [(check["workspace"], check["name"]) for check in checks if check["verdict"] == "broken"] == [("lab", "store")]
    assert [check["verdict"] for check in checks if check.get("workspace") == "ann"] == ["ok"] * 3


def is_of(device, store, name: str) -> bool:
    """Whether a store is of the workspace that the home's list calls so."""
    listed = dict(line.split()[::-1] for line in (device.home / "workspace").read_text().splitlines()[1:])
    return store.parent.name == listed[name]
