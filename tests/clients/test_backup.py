"""A home is backed up while a client logs, lost, and restored: as the same device, and as another."""

import shutil
import threading

import mlflow
import pytest
from devices import until
from mlflow import MlflowClient

pytestmark = pytest.mark.runmesh_only


def steps(device, run_id: str) -> set[int]:
    return {point.step for point in MlflowClient(device.url).get_metric_history(run_id, "loss")}


def test_a_backup_of_a_live_home_misses_nothing_and_is_restored_as_the_same_device(devices, tmp_path):
    ann, bob = devices("ann").up(), devices("bob").up()
    bob.ask("join", "--leave-behind", ann.ask("invite")["ticket"])
    client = MlflowClient(bob.url)
    run_id = client.create_run("0", run_name="long").info.run_id
    client.log_text(run_id, "x" * 100_000, "notes.txt")
    logged, stop = [], threading.Event()

    def log():
        for step in range(100_000):
            if stop.is_set():
                return
            client.log_metric(run_id, "loss", 0.5, step=step)
            logged.append(step)

    logging = threading.Thread(target=log)
    logging.start()
    until(lambda: len(logged) > 100, "the client logs")
    acknowledged = len(logged)
    folder, file = tmp_path / "copies", tmp_path / "copy.tar"
    bob.ask("backup", f"{folder}/")
    bob.ask("backup", str(file))
    until(lambda: len(logged) > acknowledged + 100, "the client logs on")
    stop.set()
    logging.join()
    again = bob.ask("backup", str(folder))
    assert again["blobs_there"] == 1
    assert bob.run("backup", str(file)).returncode == 5

    # Bob tells Ann of all of it, and its disk breaks.
    bob.ask("sync", "--wait")
    bob.down()
    shutil.rmtree(bob.home)
    assert bob.run("restore", str(file)).returncode == 2
    restored = bob.ask("restore", str(file), "--same-device")
    assert restored["complete"] and restored["device"] == restored["backup_of"]["id"] and restored["blobs"] == 1
    assert bob.run("restore", str(file), "--same-device").returncode == 5
    bob.up()
    assert set(range(acknowledged)) <= steps(bob, run_id)
    assert MlflowClient(bob.url).list_artifacts(run_id)[0].path == "notes.txt"
    until(lambda: steps(bob, run_id) == set(logged), "what Bob had sent to Ann comes back")
    MlflowClient(bob.url).log_metric(run_id, "loss", 0.5, step=1_000_000)
    until(lambda: 1_000_000 in steps(ann, run_id), "Ann hears of what Bob logs now")
    for device in (ann, bob):
        assert device.ask("audit", "verify")["wrong"] == []
        assert not [text for text in device.ask("status")["warnings"] if "does not sync" in text]


def test_a_lost_laptop_is_succeeded_by_a_new_device_with_the_recovery_ticket(devices, tmp_path):
    ann, bob = devices("ann").up(), devices("bob").up()
    mlflow.set_tracking_uri(ann.url)
    with mlflow.start_run(experiment_id="0") as run:
        mlflow.log_metric("loss", 0.5, step=1)
    bob.ask("join", "--leave-behind", ann.ask("invite")["ticket"])
    bob.ask("sync", "--wait")
    recovery = ann.ask("recovery")["ticket"]
    ann.ask("backup", str(tmp_path / "ann.tar"))
    was = ann.ask("status")["device"]["id"]
    ann.down()

    new = devices("new")
    wrong = new.run("restore", str(tmp_path / "ann.tar"), "--ticket", "runmeshx")
    assert wrong.returncode == 2
    restored = new.ask("restore", str(tmp_path / "ann.tar"), "--ticket", recovery)
    assert restored["device"] != was and restored["runs"] == 1
    new.up()
    MlflowClient(new.url).log_metric(run.info.run_id, "loss", 0.25, step=2)
    until(lambda: steps(bob, run.info.run_id) == {1, 2}, "Bob takes what the new device wrote")
    # It is senior to the founder, which it replaces.
    new.ask("remove", was[:12])
    members = bob.ask("members")
    until(lambda: [one["device"]["id"] for one in bob.ask("members")["former"]] == [was], "the laptop is out")
    assert restored["device"] in [one["device"]["id"] for one in members["members"]]


def test_a_home_that_was_copied_by_hand_and_ran_twice_loses_nothing(devices):
    ann, bob, twin = devices("ann").up(), devices("bob").up(), devices("twin")
    bob.ask("join", "--leave-behind", ann.ask("invite")["ticket"])
    first = MlflowClient(bob.url).create_run("0", run_name="before").info.run_id
    bob.ask("sync", "--wait")
    bob.down()
    shutil.copytree(bob.home, twin.home)
    bob.up()
    by_bob = MlflowClient(bob.url).create_run("0", run_name="of bob").info.run_id
    bob.ask("sync", "--wait")
    bob.down()
    # The copy writes another entry under the same number. Then it meets Ann, who has the first.
    ann.down()
    twin.up()
    by_twin = MlflowClient(twin.url).create_run("0", run_name="of twin").info.run_id
    twin.down()
    ann.up()
    twin.up()
    everything = {first, by_bob, by_twin}

    def holds(device) -> bool:
        return {run.info.run_id for run in MlflowClient(device.url).search_runs(["0"])} == everything

    until(lambda: holds(ann) and holds(twin), "both hold what both wrote")
    assert any("ran twice" in text for text in twin.ask("status")["warnings"])
    twin.down()
    bob.up()
    until(lambda: holds(bob), "so does the one that was copied")
    for device in (ann, bob):
        assert device.ask("audit", "verify")["wrong"] == []
    later = MlflowClient(bob.url).create_run("0", run_name="later").info.run_id
    everything.add(later)
    until(lambda: holds(ann), "and it goes on")


@pytest.mark.parametrize("sealed", [True, False], ids=["sealed", "not sealed yet"])
def test_a_restored_laptop_gets_back_by_a_stick_what_it_had_written_since_its_backup(devices, tmp_path, sealed):
    laptop, stick = devices("laptop").up(), str(tmp_path / "stick.bundle")

    def log(name: str) -> str:
        mlflow.set_tracking_uri(laptop.url)
        with mlflow.start_run(run_name=name, experiment_id="0") as run:
            mlflow.log_metric("loss", 0.5)
            mlflow.log_text(name, "note.txt")
        return run.info.run_id

    before = log("before")
    laptop.down()
    shutil.copytree(laptop.home, tmp_path / "backup")
    laptop.up()
    since = log("since")
    laptop.ask("bundle", "export", "--all", stick)
    # The disk breaks, and the home is set back by hand. It goes on under numbers that it has used before.
    laptop.kill()
    shutil.rmtree(laptop.home)
    shutil.copytree(tmp_path / "backup", laptop.home)
    laptop.up()
    after = log("after")
    if sealed:
        laptop.ask("bundle", "export", "--all", str(tmp_path / "other.bundle"))
    report = laptop.ask("bundle", "import", stick)
    assert report["entries_carried"] > 0 and report["blobs_new"] == 1
    assert (report["stuck"], report["missing"]) == ([], [])
    client = MlflowClient(laptop.url)
    for run, name in ((before, "before"), (since, "since"), (after, "after")):
        assert client.get_run(run).data.metrics == {"loss": 0.5}
        assert mlflow.artifacts.load_text(f"runs:/{run}/note.txt") == name
    again = laptop.ask("bundle", "import", stick)
    assert (again["entries_carried"], again["entries_new"], again["blobs_new"]) == (0, 0, 0)
    assert any("ran twice" in text for text in laptop.ask("status")["warnings"])
    assert laptop.ask("audit", "verify")["wrong"] == []
    # Who comes later gets all of it.
    bob = devices("bob").up()
    bob.ask("join", "--leave-behind", laptop.ask("invite")["ticket"])
    bob.ask("sync", "--wait")
    assert {run.info.run_id for run in MlflowClient(bob.url).search_runs(["0"])} == {before, since, after}


def test_a_restored_laptop_that_has_written_nothing_goes_on_where_the_stick_ends(devices, tmp_path):
    laptop, stick = devices("laptop").up(), str(tmp_path / "stick.bundle")
    laptop.down()
    shutil.copytree(laptop.home, tmp_path / "backup")
    laptop.up()
    since = MlflowClient(laptop.url).create_run("0", run_name="since").info.run_id
    laptop.ask("bundle", "export", "--all", stick)
    laptop.kill()
    shutil.rmtree(laptop.home)
    shutil.copytree(tmp_path / "backup", laptop.home)
    laptop.up()
    report = laptop.ask("bundle", "import", stick)
    assert (report["entries_carried"], report["entries_new"] > 0) == (0, True)
    assert MlflowClient(laptop.url).get_run(since).info.run_name == "since"
    assert not any("ran twice" in text for text in laptop.ask("status")["warnings"])
