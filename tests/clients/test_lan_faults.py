"""What sync takes when the network between hosts is bad, and what a stranger on it gets. See lan.py for the LAN."""

import hashlib
import socket

import pytest
from devices import PATIENCE_S, until
from lan import Host, Lan, enter, in_thread

pytestmark = pytest.mark.runmesh_only


@pytest.fixture
def lan(tmp_path, rng):
    lan = Lan(tmp_path, ["ann", "bob", "carl"], rng.randrange(1 << 32))
    for host in lan.hosts:
        host.up(mdns=False)
    yield lan
    lan.end()


def join(newcomer: Host, member: Host) -> None:
    newcomer.ask("join", member.ask("invite")["ticket"])
    newcomer.ask("sync", "--wait")


def put_artifact(host: Host, content: bytes, run: str | None = None) -> str:
    run = run or host.create_run("with weights")
    uri = host.http("GET", "/api/2.0/mlflow/runs/get", params={"run_id": run}).json()["run"]["info"]["artifact_uri"]
    path = f"/api/2.0/mlflow-artifacts/artifacts/{uri.removeprefix('mlflow-artifacts:/')}/weights.bin"
    host.http("PUT", path, data=content)
    return path


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_what_was_logged_while_the_link_was_cut_is_everywhere_after_healing(lan):
    ann, bob, carl = lan.hosts
    join(bob, ann)
    join(carl, ann)
    # Each came in through ann, who tells them where the other is.
    until(lambda: carl.connected_to() == {"ann", "bob"}, "all are connected")
    lan.cut(ann)
    for number in range(20):
        ann.create_run(f"ann {number}")
        bob.create_run(f"bob {number}")
    # Those who are together go on.
    until(lambda: "bob 19" in carl.names_of_runs(), "carl has what bob logged")
    assert not any(name.startswith("ann") for name in carl.names_of_runs() | bob.names_of_runs())
    lan.heal(ann)
    everything = {f"{name} {number}" for name in ("ann", "bob") for number in range(20)}
    for host in lan.hosts:
        until(lambda host=host: host.names_of_runs() == everything, f"{host.name} has all runs")


def test_a_slow_link_that_loses_packets_loses_no_run(lan, rng):
    ann, bob, _ = lan.hosts
    lan.switch.delay_s, lan.switch.loss = 0.2, 0.05
    content = rng.randbytes(150_000)
    path = put_artifact(ann, content)
    for number in range(50):
        ann.create_run(f"before {number}")
    join(bob, ann)
    for number in range(50):
        bob.create_run(f"after {number}")
    everything = {f"{when} {number}" for when in ("before", "after") for number in range(50)} | {"with weights"}
    until(lambda: bob.names_of_runs() == ann.names_of_runs() == everything, "both have all runs")
    assert digest(bob.http("GET", path).content) == digest(content)
    assert lan.switch.lost > 0


def test_a_host_that_changes_its_address_goes_on(lan):
    ann, bob, carl = lan.hosts
    join(bob, ann)
    join(carl, ann)
    bob.at(52)
    bob.create_run("from the new address")
    until(lambda: "from the new address" in ann.names_of_runs(), "ann has it")
    ann.create_run("to the new address")
    until(lambda: "to the new address" in bob.names_of_runs(), "bob has it")
    until(lambda: "to the new address" in carl.names_of_runs(), "carl has it")


def holders(host: Host, run: str) -> set[str]:
    """Of whom a host can fetch the one file of a run now."""
    [held] = host.http("GET", f"/api/v1/runs/{run}/holders").json()
    return {holder["device"]["name"] for holder in held["holders"] if holder["connected"]}


def test_a_blob_goes_on_where_its_provider_was_killed(lan, rng):
    ann, bob, _ = lan.hosts
    content = rng.randbytes(48 << 20)
    join(bob, ann)
    run = ann.create_run("with weights")
    path = put_artifact(ann, content, run)
    bob.ask("sync", "--wait")
    until(lambda: holders(bob, run) == {"ann"}, "bob has heard who holds it")
    before = lan.passed(ann, bob)
    # It is too large to be fetched unasked, so this asks for it, and waits in vain until ann is back.
    waiting = bob.http_in_background("GET", path)
    until(lambda: lan.passed(ann, bob) - before > 8 << 20, "a part has come")
    ann.kill()
    ann.up(mdns=False)
    answered = waiting.get(timeout=PATIENCE_S)
    if not answered.ok:
        # It gave up meanwhile; what it had is kept.
        until(lambda: holders(bob, run) == {"ann"}, "bob finds ann again")
        answered = bob.http("GET", path)
    assert digest(answered.content) == digest(content)
    # With what QUIC and the hash tree add, but without the first part once more.
    assert lan.passed(ann, bob) - before < len(content) * 1.15


def test_a_blob_comes_from_two_hosts_and_when_one_is_killed_from_the_other(lan, rng):
    ann, bob, carl = lan.hosts
    content = rng.randbytes(48 << 20)
    join(carl, ann)
    join(bob, ann)
    run = ann.create_run("with weights")
    path = put_artifact(ann, content, run)
    carl.ask("sync", "--wait")
    assert digest(carl.http("GET", path).content) == digest(content)
    bob.ask("sync", "--wait")

    until(lambda: holders(bob, run) == {"ann", "carl"}, "bob has heard who holds it")
    before = {host: lan.passed(host, bob) for host in (ann, carl)}

    def came(host: Host) -> int:
        return lan.passed(host, bob) - before[host]

    waiting = bob.http_in_background("GET", path)
    until(lambda: min(came(ann), came(carl)) > 1 << 20, "both bring some")
    ann.kill()
    answered = waiting.get(timeout=PATIENCE_S)
    assert answered.ok and digest(answered.content) == digest(content), answered.status_code
    # What each sent past the end of its part is little, and nothing came twice.
    assert came(ann) + came(carl) < len(content) * 1.25, (came(ann), came(carl))


def test_a_blob_goes_on_where_its_receiver_was_killed(lan, rng):
    ann, bob, _ = lan.hosts
    content = rng.randbytes(48 << 20)
    join(bob, ann)
    path = put_artifact(ann, content)
    bob.ask("sync", "--wait")
    before = lan.passed(ann, bob)
    waiting = bob.http_in_background("GET", path)
    until(lambda: lan.passed(ann, bob) - before > 16 << 20, "a part has come")
    bob.kill()
    with pytest.raises(OSError):
        waiting.get(timeout=PATIENCE_S)
    bob.up(mdns=False)
    until(lambda: bob.connected_to() == {"ann"}, "they have met again")
    assert digest(bob.http("GET", path).content) == digest(content)
    assert lan.passed(ann, bob) - before < len(content) * 1.25


def test_a_stranger_gets_nothing_but_a_closed_connection(lan, rng):
    ann, bob, eve = lan.hosts
    used = ann.ask("invite")["ticket"]
    bob.ask("join", used)
    path = put_artifact(ann, rng.randbytes(200_000))
    for number in range(20):
        ann.create_run(f"secret {number}")
    bob.ask("sync", "--wait")
    refused = eve.run("join", used)
    assert refused.returncode != 0 and "used already" in refused.stderr, refused.stderr
    assert eve.names_of_runs() == set()
    # A handshake, which shows ann's key to whoever calls, and a goodbye.
    assert 0 < lan.passed(ann, eve) < 16_000, lan.passed(ann, eve)
    assert lan.passed(bob, eve) < 2_000
    assert bob.http("GET", path).ok


def test_who_sends_garbage_gets_less_than_it_sent(lan, rng):
    ann, _, eve = lan.hosts

    def send() -> None:
        enter(eve.namespace)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for size in (1, 20, 100, 1200, 1400) * 40:
                sender.sendto(rng.randbytes(size), ("10.77.0.1", 4747))
                # The start of a handshake of an unknown version.
                sender.sendto(b"\xc0" + rng.randbytes(size), ("10.77.0.1", 4747))

    asked, answered = lan.passed(eve, ann), lan.passed(ann, eve)

    def much_is_there() -> bool:
        # A switch that has no time drops what comes in a burst.
        in_thread(send)
        return lan.passed(eve, ann) - asked > 100_000

    until(much_is_there, "much of it is there")
    ann.create_run("it goes on")
    assert "it goes on" in ann.names_of_runs()
    assert lan.passed(ann, eve) - answered < lan.passed(eve, ann) - asked
