"""Roles as the real client and a person at a terminal meet them: readers, removed devices, tickets."""

import mlflow
import pytest
from devices import until
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

pytestmark = pytest.mark.runmesh_only


def names_of(device) -> dict[str, str]:
    return {member["device"]["name"]: member["role"] for member in device.ask("members")["members"]}


def test_a_reader_reads_everything_and_is_told_why_it_cannot_write(devices):
    ann, bob = devices("ann").up(), devices("bob").up()
    mlflow.set_tracking_uri(ann.url)
    with mlflow.start_run(experiment_id="0") as run:
        mlflow.log_metric("loss", 0.5)
        mlflow.log_text("notes", "notes.txt")
    invited = ann.ask("invite", "--role", "reader", "--expires", "1h", "--uses", "1", "--name", "gpu-box")
    bob.ask("join", "--leave-behind", invited["ticket"])
    bob.ask("sync", "--wait")
    client = MlflowClient(bob.url)
    assert client.get_run(run.info.run_id).data.metrics == {"loss": 0.5}
    assert mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/notes.txt") == "notes"
    for write in (
        lambda: client.create_run("0"),
        lambda: client.log_metric(run.info.run_id, "loss", 0.4),
        lambda: client.set_tag(run.info.run_id, "seen", "yes"),
        lambda: client.create_experiment("mine"),
        lambda: client.delete_run(run.info.run_id),
    ):
        with pytest.raises(MlflowException, match="may only read the workspace") as refused:
            write()
        assert refused.value.error_code == "PERMISSION_DENIED"
    assert names_of(ann) == {"ann": "admin", "gpu-box": "reader"}

    ann.ask("role", "gpu-box", "writer")
    until(lambda: names_of(bob).get("gpu-box") == "writer", "the reader hears that it may write")
    client.log_metric(run.info.run_id, "loss", 0.4)
    bob.ask("sync", "--wait")
    assert MlflowClient(ann.url).get_run(run.info.run_id).data.metrics == {"loss": 0.4}


def test_a_removed_device_changes_nothing_any_more(devices):
    ann, bob, carl = (devices(name).up() for name in ("ann", "bob", "carl"))
    for device in (bob, carl):
        device.ask("join", ann.ask("invite")["ticket"])
    before = MlflowClient(bob.url).create_run("0").info.run_id
    for device in (bob, ann, carl):
        device.ask("sync", "--wait")
    bob.down()
    ann.ask("rename", "bob", "bob's old laptop")
    assert ann.ask("remove", "bob's old laptop")["name"] == "bob's old laptop"
    bob.up()
    # Bob has not heard of it, and whom he calls says no more than goodbye.
    after = MlflowClient(bob.url).create_run("0").info.run_id
    until(lambda: any(peer["last_error"] for peer in bob.ask("peers")), "bob is sent away")
    ann.ask("sync", "--wait")
    for device in (ann, carl):
        client = MlflowClient(device.url)
        assert client.get_run(before).info.run_id == before
        with pytest.raises(MlflowException, match="not found"):
            client.get_run(after)
        assert names_of(device) == {"ann": "admin", "carl": "writer"}
        assert [gone["device"]["name"] for gone in device.ask("members")["former"]] == ["bob's old laptop"]


def test_what_is_refused_says_why(devices):
    ann, bob = devices("ann").up(), devices("bob").up()
    bob.ask("join", ann.ask("invite")["ticket"])
    bob.ask("sync", "--wait")
    for command, code, says in (
        (bob.run("invite"), 5, "not an admin"),
        (bob.run("remove", "ann"), 5, "not an admin"),
        (ann.run("remove", "ann"), 5, "the only admin"),
        (ann.run("role", "ann", "writer"), 5, "the only admin"),
        (ann.run("remove", "nobody"), 4, "no member's id starts with"),
        (ann.run("revoke", "ffffff"), 4, "no open ticket"),
        (ann.run("invite", "--uses", "2", "--name", "x"), 2, "for one device"),
    ):
        assert (command.returncode, says in command.stderr) == (code, True), command.stderr
    ticket = ann.ask("invite")["ticket"]
    ann.ask("revoke", ticket)
    carl = devices("carl").up()
    refused = carl.run("join", ticket)
    assert refused.returncode == 5 and "was revoked" in refused.stderr


def test_the_founder_keeps_a_recovery_ticket_until_told_to_forget_it(devices):
    ann = devices("ann").up()
    ticket = ann.ask("recovery")["ticket"]
    assert ticket.startswith("runmesh")
    assert [held["recovery"] for held in ann.ask("members")["tickets"]] == [True]
    assert "cannot be revoked" in ann.run("revoke", ticket).stderr
    ann.ask("recovery", "--forget")
    ann.down()
    assert ann.up().ask("recovery")["ticket"] is None
