"""Daemons are killed (SIGKILL) at random moments, in all fifty times. What was acknowledged is there afterwards."""

import time

import pytest
from journal import Writer

pytestmark = pytest.mark.runmesh_only


def check_health(device):
    """The daemon is down: everything on its disk is as it should be."""
    report = device.ask("doctor")
    assert {check["verdict"] for check in report["checks"]} <= {"ok"}, report


def test_thirty_kills_while_clients_log(devices, rng):
    device = devices("ann").up()
    writers = [Writer(device, f"{rng.random()}") for _ in range(3)]
    for writer in writers:
        writer.start()
    for _ in range(30):
        time.sleep(rng.uniform(0, 0.25))
        device.kill()
        device.up()
    for writer in writers:
        writer.end()
        writer.check(device)
        assert writer.acknowledged > 30
    device.kill()
    device.up()
    for writer in writers:
        writer.check(device)
    device.down()
    check_health(device)


def test_twenty_kills_while_two_devices_log_and_sync(devices, rng):
    ann, bob = devices("ann").up(), devices("bob").up()
    bob.ask("join", ann.ask("invite")["ticket"])
    writers = [Writer(device, f"{rng.random()}", largest_artifact=1 << 18) for device in (ann, bob)]
    for writer in writers:
        writer.start()
    for _ in range(20):
        time.sleep(rng.uniform(0, 0.8))
        victim = rng.choice([ann, bob])
        victim.kill()
        victim.up()
    for writer in writers:
        writer.end()
    for device in (ann, bob, ann):
        # First what the other had not sealed, then what came of that.
        device.ask("sync", "--wait")
    for writer in writers:
        assert writer.acknowledged > 30
        for device in (ann, bob):
            writer.check(device)
    statuses = [device.ask("status") for device in (ann, bob)]
    for what in ("runs", "entries", "experiments"):
        assert statuses[0][what] == statuses[1][what]
    for device in (ann, bob):
        device.down()
        check_health(device)
