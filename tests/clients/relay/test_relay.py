"""Members that reach each other over nothing but a relay of their own, which is iroh's server. See lan.py for the LAN.

`tests/nightly relay` installs the server and runs this.
"""

import os
import subprocess

import pytest
from devices import until
from lan import Host, Lan, goes_to, ip, packet

pytestmark = pytest.mark.runmesh_only

RELAY = os.environ["IROH_RELAY"]
PORT = 3340


@pytest.fixture
def lan(tmp_path, rng):
    lan = Lan(tmp_path, ["ann", "bob", "relay"], rng.randrange(1 << 32))
    yield lan
    lan.end()


@pytest.fixture
def relay(lan, tmp_path):
    log, config = tmp_path / "relay.log", tmp_path / "relay.toml"
    config.write_text(f'http_bind_addr = "[::]:{PORT}"\nenable_metrics = false\n')
    command = ["ip", "netns", "exec", lan.hosts[2].namespace, RELAY, "--dev", "--config-path", config]
    with log.open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        yield f"http://{lan.hosts[2].addresses[0]}:{PORT}"
    finally:
        process.kill()
        process.wait()
        print(f"--- relay:\n{log.read_text()}")


def keep_apart(ann: Host, bob: Host, apart: bool = True) -> None:
    """Has neither reach the other, as if a firewall stood between their sites."""
    for host, other in ((ann, bob), (bob, ann)):
        for target in other.addresses:
            ip("-n", host.namespace, "route", "add" if apart else "del", "blackhole", str(target))


def directly(lan: Lan) -> int:
    """How many packets either has sent to an address of the other."""
    ann, bob, _ = lan.hosts
    pairs = ((ann, bob), (bob, ann))
    sent = [(packet(frame), other) for host, other in pairs for frame in lan.sent_by(host)]
    return sum(found is not None and found[1] in other.addresses for found, other in sent)


def test_what_two_sites_have_goes_over_their_relay(lan, relay):
    ann, bob, between = lan.hosts
    keep_apart(ann, bob)
    lan.switch.record()
    for host in (ann, bob):
        host.up("--relay", relay, mdns=False)
    bob.ask("join", ann.ask("invite")["ticket"])

    run = ann.create_run("of the other site")
    until(lambda: "of the other site" in bob.names_of_runs(), "the run comes over the relay")
    path, body = f"/api/2.0/mlflow-artifacts/artifacts/0/{run}/artifacts/model.bin", os.urandom(3 << 20)
    ann.http("PUT", path, data=body)
    until(lambda: bob.ask("artifacts", "ls", run), "bob hears of the file")
    assert bob.http("GET", path).content == body
    assert directly(lan) == 0, "they are kept apart"
    assert lan.passed(between, bob) > len(body)
    beyond = {goes_to(frame) for host in (ann, bob) for frame in lan.sent_by(host)} - {"lan", "mdns", "kernel"}
    assert not beyond, beyond

    keep_apart(ann, bob, apart=False)
    ann.create_run("later")
    until(lambda: "later" in bob.names_of_runs(), "they go on")
    until(lambda: directly(lan) > 10, "they speak directly as soon as they can")
