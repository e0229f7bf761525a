"""How devices on a LAN find each other, and that they speak to nobody else. See lan.py for the LAN."""

import os
import socket
import struct
import time

import pytest
from devices import until
from lan import Lan, enter, goes_to, in_thread

pytestmark = pytest.mark.runmesh_only

# For how long a daemon is watched that has nothing to do: longer than anything in it waits.
RECORD_S = float(os.environ.get("RUNMESH_RECORD_S", "65"))


@pytest.fixture
def lan(tmp_path, rng):
    lan = Lan(tmp_path, ["ann", "bob", "carl"], rng.randrange(1 << 32))
    yield lan
    lan.end()


def join(newcomer, member) -> None:
    newcomer.ask("join", member.ask("invite")["ticket"])
    newcomer.ask("sync", "--wait")


def test_a_default_daemon_sends_nothing_beyond_the_lan(lan):
    ann, bob, _ = lan.hosts
    lan.switch.record()
    ann.up()
    bob.up()
    join(bob, ann)
    # Alone again, which has it look for the other one.
    bob.down()
    time.sleep(RECORD_S)
    ann.down()
    kinds = [goes_to(frame) for host in (ann, bob) for frame in lan.sent_by(host)]
    beyond = sorted({kind for kind in kinds if kind not in ("lan", "mdns", "kernel")})
    assert not beyond, f"{len(kinds)} packets, among them to {beyond}"
    # It was not deaf: there was mDNS, and there was a session.
    assert kinds.count("mdns") > 2 and kinds.count("lan") > 10, {kind: kinds.count(kind) for kind in kinds}


def test_the_switch_sees_what_leaves_the_lan(lan):
    ann = lan.hosts[0]
    lan.switch.record()

    def send() -> None:
        enter(ann.namespace)
        for family, target in [(socket.AF_INET, "192.0.2.7"), (socket.AF_INET6, "2001:db8::7")]:
            with socket.socket(family, socket.SOCK_DGRAM) as sender:
                sender.sendto(b"x", (target, 53))

    in_thread(send)
    beyond = {"192.0.2.7, protocol 17", "2001:db8::7, protocol 17"}
    until(lambda: beyond <= {goes_to(frame) for frame in lan.sent_by(ann)}, "both are seen")


def test_members_find_each_other_at_new_addresses(lan):
    ann, bob, _ = lan.hosts
    ann.up(mdns=False)
    bob.up(mdns=False)
    join(bob, ann)
    ann.down()
    bob.down()
    # All that each knows of the other's address is wrong now.
    ann.at(51)
    bob.at(52)
    ann.up()
    bob.up()
    until(lambda: ann.connected_to() == {"bob"}, "they find each other by mDNS")


def test_many_who_say_that_they_are_there_cost_little_memory(lan, rng):
    ann, bob, eve = lan.hosts
    ann.up()
    bob.up(mdns=False)
    join(bob, ann)
    resident = ann.resident_bytes()

    def flood() -> None:
        enter(eve.namespace)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("10.77.0.3"))
            for _ in range(2_000):
                names = [rng.randbytes(31).hex() for _ in range(10)]
                sender.sendto(announcement(names), ("224.0.0.251", 5353))
                # No faster than they are read.
                time.sleep(0.002)

    in_thread(flood)
    until(lambda: "too many devices on the LAN" in ann.said(), "she has heard enough")
    assert ann.resident_bytes() - resident < 64 << 20
    # Where the others are she knows without it.
    bob.create_run("meanwhile")
    until(lambda: "meanwhile" in ann.names_of_runs(), "they go on")


def announcement(names: list[str]) -> bytes:
    """What devices with these names say by mDNS, in one packet: each that it is at 10.77.0.3."""

    def label(text: str) -> bytes:
        return bytes([len(text)]) + text.encode()

    local = label("local") + b"\0"
    service = label("_runmesh") + label("_udp") + local
    host = label("eve") + local
    address = host + struct.pack("!HHIH", 1, 1, 120, 4) + bytes([10, 77, 0, 3])
    data = struct.pack("!HHH", 0, 0, 4747) + host
    answers = [label(name) + service + struct.pack("!HHIH", 33, 1, 120, len(data)) + data for name in names]
    return struct.pack("!HHHHHH", 0, 0x8400, 0, len(names), 0, 1) + b"".join(answers) + address


def test_a_lan_without_a_router_will_do(lan):
    ann, bob, _ = lan.hosts
    for host in (ann, bob):
        host.routed = False
        host.at(60 + lan.hosts.index(host))
        host.up(mdns=False)
    join(bob, ann)
    for host in (ann, bob):
        host.down()
        host.at(70 + lan.hosts.index(host))
    ann.up()
    bob.up()
    until(lambda: ann.connected_to() == {"bob"}, "they find each other by mDNS")


def test_the_configuration_says_where_a_member_is(lan):
    ann, bob, _ = lan.hosts
    ann.up(mdns=False)
    bob.up(mdns=False)
    join(bob, ann)
    device = ann.id()
    ann.down()
    bob.down()
    ann.at(51)
    bob.at(52)
    ann.up("--peer-port", "24747", mdns=False)
    (bob.home / "config.toml").write_text(f"mdns = false\npeers = ['{device}@10.77.0.51:24747']\n")
    bob.up()
    until(lambda: bob.connected_to() == {"ann"}, "bob calls where ann is said to be")


def test_a_member_is_found_by_what_others_tell(lan):
    ann, bob, carl = lan.hosts
    for host in lan.hosts:
        host.up(mdns=False)
    # Made before there are others that they could name.
    for_bob, for_carl = (ann.ask("invite")["ticket"] for _ in range(2))
    bob.ask("join", for_bob)
    bob.ask("sync", "--wait")
    bob.down()
    bob.at(52)
    carl.ask("join", for_carl)
    carl.ask("sync", "--wait")
    assert carl.connected_to() == {"ann"}
    bob.up(mdns=False)
    until(lambda: carl.connected_to() == {"ann", "bob"}, "ann has told where the others are")
    # It stays known when she is gone.
    for host in lan.hosts:
        host.down()
    for host in (bob, carl):
        host.up(mdns=False)
    until(lambda: carl.connected_to() == {"bob"}, "carl remembers where bob is")


def test_a_relay_of_ones_own_is_all_that_is_called(lan):
    ann, _, carl = lan.hosts

    def listen() -> socket.socket:
        enter(carl.namespace)
        return socket.create_server(("10.77.0.3", 3340))

    with in_thread(listen) as listener:
        lan.switch.record()
        listener.settimeout(60)
        ann.up("--relay", "http://10.77.0.3:3340")
        # It measures how far the relay is, and then asks it to relay.
        path, deadline = b"", time.monotonic() + 60
        while path != b"/relay":
            assert time.monotonic() < deadline, f"the last that was asked for is {path}"
            caller, _ = listener.accept()
            with caller:
                caller.settimeout(60)
                path = caller.recv(4096).split(b" ")[1]
                caller.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
    ann.down()
    beyond = {goes_to(frame) for frame in lan.sent_by(ann)} - {"lan", "mdns", "kernel"}
    assert not beyond, beyond
