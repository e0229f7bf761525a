"""Homes that cannot be used: who starts a daemon is told why, and what to do."""

import os
import socket

import pytest

pytestmark = pytest.mark.runmesh_only


def refused(device, *flags):
    process = device.spawn(*flags)
    assert process.wait(60) != 0
    device.process = None
    return device.said()


def test_a_second_daemon_names_the_first(devices):
    first = devices("ann").up()
    second = devices("ann again", home=first.home)
    said = refused(second)
    assert str(first.process.pid) in said
    first.down()
    second.up().down()


def test_a_port_in_use_says_how_to_choose_another(devices):
    device = devices("ann")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", device.port))
        taken.listen()
        said = refused(device)
    assert str(device.port) in said
    assert "--http" in said


def test_a_home_of_a_newer_version_names_the_version(devices):
    device = devices("ann").up()
    device.down()
    (device.home / "version").write_text("9\n7.1.0\n")
    assert "7.1.0" in refused(device)


def test_a_key_that_is_misspelt_in_the_configuration_is_named(devices):
    device = devices("ann").up()
    device.down()
    (device.home / "config.toml").write_text('blubs = "all"\n')
    said = refused(device)
    assert "blubs" in said
    assert "config.toml" in said


def test_secrets_are_for_their_owner_alone(devices):
    device = devices("ann").up()
    token = device.run("token").stdout.strip()
    assert len(token) >= 32
    for folder, _, files in os.walk(device.home):
        for name in files:
            path = os.path.join(folder, name)
            with open(path, "rb") as file:
                if token.encode() in file.read():
                    assert os.stat(path).st_mode & 0o077 == 0, path
    device.down()


def test_a_daemon_that_is_told_to_stop_as_soon_as_it_answers_stops_in_order(devices):
    device = devices("ann")
    for _ in range(5):
        device.up().down()
