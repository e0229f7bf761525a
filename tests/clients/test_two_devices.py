"""Two devices, each with the real client: what is logged on one, while apart or together, is read on the other."""

import mlflow
import numpy
import pytest
from devices import until
from mlflow import MlflowClient

pytestmark = pytest.mark.runmesh_only


def use(device, experiment: str = "Default") -> None:
    mlflow.set_tracking_uri(device.url)
    mlflow.set_experiment(experiment)


def log_training(device, name: str, rate: float) -> str:
    """A parent run with two children, as a sweep logs it. Returns the parent's id."""
    use(device, "fraud-detection")
    with mlflow.start_run(run_name=name) as parent:
        mlflow.log_param("rate", rate)
        for depth in (2, 3):
            with mlflow.start_run(run_name=f"{name} {depth}", nested=True):
                mlflow.log_params({"depth": depth})
                for step in range(5):
                    mlflow.log_metric("loss", rate / (step + 1), step=step)
                mlflow.log_dict({"depth": depth}, "config/model.json")
        mlflow.log_text("notes of " + name, "notes.txt")
        mlflow.log_image(numpy.full((4, 4, 3), 200, dtype=numpy.uint8), "pixel.png")
        mlflow.log_metric("best", float("nan"))
    return parent.info.run_id


def pair(ann, bob, *flags: str):
    return bob.ask("join", *flags, ann.ask("invite")["ticket"])


def seen_by(device) -> dict:
    """All runs as a client sees them, with their histories and artifacts."""
    client = MlflowClient(device.url)
    seen = {}
    ids = [experiment.experiment_id for experiment in client.search_experiments()]
    for run in client.search_runs(ids):
        run_id = run.info.run_id
        history = {
            key: [(point.step, str(point.value)) for point in client.get_metric_history(run_id, key)]
            for key in run.data.metrics
        }
        artifacts = sorted(file.path for file in client.list_artifacts(run_id))
        seen[run_id] = (run.info.run_name, run.info.status, run.data.params, run.data.tags, history, artifacts)
    return seen


def test_what_was_logged_apart_is_the_same_on_both_after_pairing(devices, tmp_path):
    ann, bob = devices("ann").up(), devices("bob").up()
    of_ann, of_bob = log_training(ann, "on ann", 0.1), log_training(bob, "on bob", 0.2)
    joined = pair(ann, bob)
    assert joined["runs_taken"] == 3
    bob.ask("sync", "--wait")
    ann.ask("sync", "--wait")
    assert seen_by(ann) == seen_by(bob)
    assert set(seen_by(ann)) >= {of_ann, of_bob}
    # One experiment, though both created it.
    named = MlflowClient(ann.url).search_experiments(filter_string="name = 'fraud-detection'")
    assert len(named) == 1
    for device, run, name in [(bob, of_ann, "on ann"), (ann, of_bob, "on bob")]:
        mlflow.set_tracking_uri(device.url)
        assert mlflow.artifacts.load_text(f"runs:/{run}/notes.txt") == "notes of " + name
        table = mlflow.search_runs(experiment_names=["fraud-detection"], filter_string="metrics.loss < 0.03")
        assert set(table["params.depth"]) == {"2", "3"}
        path = mlflow.artifacts.download_artifacts(f"runs:/{run}/pixel.png", dst_path=str(tmp_path / device.name))
        with open(path, "rb") as file:
            assert file.read(4) == b"\x89PNG"


def test_runs_that_are_left_behind_stay_out_of_the_workspace(devices):
    ann, bob = devices("ann").up(), devices("bob").up()
    log_training(bob, "private", 0.3)
    pair(ann, bob, "--leave-behind")
    bob.ask("sync", "--wait")
    assert seen_by(ann) == seen_by(bob) == {}


def test_a_run_is_seen_elsewhere_while_it_is_logged(devices):
    ann, bob = devices("ann").up(), devices("bob").up()
    pair(ann, bob)
    use(ann)
    with mlflow.start_run() as run:
        mlflow.log_metric("loss", 0.5, step=1)
        other = MlflowClient(bob.url)
        until(lambda: seen_by(bob).get(run.info.run_id), "the run is seen on bob")
        assert other.get_run(run.info.run_id).info.status == "RUNNING"
        # And written to from there.
        other.set_tag(run.info.run_id, "watched", "yes")
        until(lambda: MlflowClient(ann.url).get_run(run.info.run_id).data.tags.get("watched"), "the tag is on ann")


def test_a_device_that_was_down_gets_what_it_missed(devices):
    ann, bob = devices("ann").up(), devices("bob").up()
    pair(ann, bob)
    bob.down()
    run = log_training(ann, "while bob was down", 0.4)
    bob.up()
    until(lambda: bob.ask("status")["peers"][0]["connected"], "bob found ann again")
    bob.ask("sync", "--wait")
    assert run in seen_by(bob)
    assert seen_by(ann) == seen_by(bob)


def test_an_artifact_that_the_policy_leaves_is_fetched_when_it_is_read(devices, tmp_path):
    ann, bob = devices("ann").up(), devices("bob").up("--blobs", "none")
    pair(ann, bob)
    use(ann)
    large = tmp_path / "weights.bin"
    large.write_bytes(bytes(range(256)) * 20_000)
    with mlflow.start_run() as run:
        mlflow.log_artifact(str(large), "model")
    bob.ask("sync", "--wait")
    assert bob.ask("status")["blobs"]["held"] == 0
    mlflow.set_tracking_uri(bob.url)
    path = mlflow.artifacts.download_artifacts(f"runs:/{run.info.run_id}/model/weights.bin")
    with open(path, "rb") as file:
        assert file.read() == large.read_bytes()
    assert bob.ask("status")["blobs"]["held"] == 1


def test_the_command_line_shows_on_one_what_was_logged_on_the_other(devices, tmp_path):
    ann, bob = devices("ann").up(), devices("bob").up()
    run = log_training(ann, "shown", 0.5)
    pair(ann, bob)
    bob.ask("sync", "--wait")
    assert {found["id"] for found in bob.ask("runs", "attributes.run_name = 'shown'")["runs"]} == {run}
    shown = bob.run("show", run)
    assert shown.returncode == 0
    for text in ("shown", "rate", "0.5", "notes.txt"):
        assert text in shown.stdout
    got = bob.run("artifacts", "get", run, "notes.txt", "--output", str(tmp_path / "got.txt"))
    assert got.returncode == 0, got.stderr
    assert (tmp_path / "got.txt").read_text() == "notes of shown"
    peers = bob.ask("peers")
    assert [peer["device"]["name"] for peer in peers] == ["ann"]
    gone = bob.run("show", "f" * 32)
    assert gone.returncode == 4
    assert "f" * 32 in gone.stderr
