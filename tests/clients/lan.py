"""A LAN of hosts, each in a network namespace of its own, and the switch that they hang on.

Takes root and Debian's iproute2. The switch is a thread of the test's: each host's network card is a tap device whose
other end it holds. So every packet that a host sends passes through it and can be recorded, delayed, lost, or kept from
a host, whatever the kernel was built with. Each host has a default route to a router that is not there: what is meant
for the internet is sent, and seen.
"""

import ctypes
import fcntl
import heapq
import ipaddress
import os
import random
import select
import shutil
import struct
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

import requests
from devices import PATIENCE_S, Device, until

T = TypeVar("T")

LAN_V4, LAN_V6 = ipaddress.ip_network("10.77.0.0/24"), ipaddress.ip_network("fd77::/64")
MDNS = {ipaddress.ip_address("224.0.0.251"), ipaddress.ip_address("ff02::fb")}
# Neighbours, routers and who listens to a group: the kernel's own, and never routed.
KERNELS = (ipaddress.ip_network("224.0.0.22/32"), ipaddress.ip_network("ff02::/16"))
ROUTER = {"-4": "10.77.0.254", "-6": "fd77::fe"}
ROUTERS_CARD = "02:00:00:00:00:fe"

ARP, IPV4, IPV6 = 0x0806, 0x0800, 0x86DD
IGMP, UDP, ICMPV6, HOP_BY_HOP = 2, 17, 58, 0

CLONE_NEWNET, TUNSETIFF, TAP_WITHOUT_HEADER = 0x40000000, 0x400454CA, 0x1002


def ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, f"ip {' '.join(arguments)}: {done.stderr}"


def enter(namespace: str) -> None:
    """Moves the calling thread, and no other, into a network namespace."""
    with open(f"/run/netns/{namespace}") as file:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(file.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"cannot enter {namespace}")


class Later(Generic[T]):
    """What is done in a thread of its own."""

    def __init__(self, work: Callable[[], T]) -> None:
        self.result, self.error = None, None
        self.thread = threading.Thread(target=self.run, args=(work,), daemon=True)
        self.thread.start()

    def run(self, work: Callable[[], T]) -> None:
        try:
            self.result = work()
        except BaseException as error:  # noqa: BLE001, it is raised where the result is wanted
            self.error = error

    def get(self, timeout: float | None = None) -> T:
        self.thread.join(timeout)
        assert not self.thread.is_alive(), f"not done in {timeout} s"
        if self.error is not None:
            raise self.error
        return self.result


def in_thread(work: Callable[[], T]) -> T:
    """Does something in a thread of its own and returns what it returned."""
    return Later(work).get()


class Host(Device):
    """A device on a host of its own."""

    def __init__(self, home: Path, name: str, namespace: str, switch: "Switch") -> None:
        super().__init__(home, name)
        self.namespace, self.switch = namespace, switch
        # Each host has its ports to itself.
        self.port, self.url = 4747, "http://127.0.0.1:4747"
        # Whether the LAN has a router, as far as this host knows.
        self.routed = True

    def at(self, number: int) -> None:
        """Gives the host an address, in place of the one that it has."""
        inside = ("-n", self.namespace)
        self.addresses = ipaddress.ip_address(f"10.77.0.{number}"), ipaddress.ip_address(f"fd77::{number}")
        ip(*inside, "addr", "flush", "dev", "lan", "scope", "global")
        ip(*inside, "addr", "add", f"{self.addresses[0]}/24", "dev", "lan")
        ip(*inside, "addr", "add", f"{self.addresses[1]}/64", "dev", "lan", "nodad")
        for family, router in ROUTER.items():
            if not self.routed:
                ip(*inside, family, "route", "flush", "default")
                continue
            ip(*inside, family, "neigh", "replace", router, "lladdr", ROUTERS_CARD, "dev", "lan", "nud", "permanent")
            ip(*inside, family, "route", "replace", "default", "via", router, "dev", "lan")

    def command(self, *arguments: str) -> list[str]:
        return ["ip", "netns", "exec", self.namespace, *super().command(*arguments)]

    def up(self, *flags: str, mdns: bool = True) -> "Host":
        self.mdns = mdns
        process = self.spawn(*flags)

        def ready() -> bool:
            assert process.poll() is None, f"{self.name} ended with {process.returncode}:\n{self.said()}"
            return self.run("status").returncode == 0

        until(ready, f"{self.name} answers")
        return self

    def http(self, method: str, path: str, **more) -> requests.Response:
        """Asks the daemon from its own host."""
        answer = self.http_in_background(method, path, **more).get()
        assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text[:500]}"
        return answer

    def http_in_background(self, method: str, path: str, **more) -> "Later[requests.Response]":
        def ask() -> requests.Response:
            enter(self.namespace)
            return requests.request(method, self.url + path, timeout=PATIENCE_S, **more)

        return Later(ask)

    def create_run(self, name: str) -> str:
        request = {"experiment_id": "0", "run_name": name, "start_time": 1}
        return self.http("POST", "/api/2.0/mlflow/runs/create", json=request).json()["run"]["info"]["run_id"]

    def names_of_runs(self) -> set[str]:
        answer = self.http("POST", "/api/2.0/mlflow/runs/search", json={"experiment_ids": ["0"]}).json()
        return {run["info"]["run_name"] for run in answer.get("runs", [])}

    def connected_to(self) -> set[str]:
        return {peer["device"]["name"] for peer in self.ask("peers") if peer["connected"]}

    def id(self) -> str:
        return self.ask("status")["device"]["id"]

    def resident_bytes(self) -> int:
        """The memory of its daemon."""
        status = Path(f"/proc/{self.ask('status')['pid']}/status").read_text()
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS"))


class Switch(threading.Thread):
    """Passes each frame on to the host that it is for, or to every other one."""

    def __init__(self, namespaces: list[str], seed: int) -> None:
        super().__init__(daemon=True)
        self.loss, self.delay_s = 0.0, 0.0
        self.cut: set[int] = set()
        # Which host has which card, by what it sent.
        self.cards: dict[bytes, int] = {}
        # Per host the frames that it sent, if they are recorded; per pair the bytes that went from one to the other.
        self.recorded: list[list[bytes]] | None = None
        self.passed = {(a, b): 0 for a in range(len(namespaces)) for b in range(len(namespaces))}
        self.lost = 0
        self.random = random.Random(seed)
        self.due: list[tuple[float, int, int, bytes]] = []
        self.count = 0
        self.stopping, self.stop_sender = os.pipe()
        self.ports: list[int] = in_thread(lambda: [self.plug(namespace) for namespace in namespaces])

    def plug(self, namespace: str) -> int:
        enter(namespace)
        card = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(card, TUNSETIFF, struct.pack("16sH22x", b"lan", TAP_WITHOUT_HEADER))
        return card

    def record(self) -> None:
        """From now on, what each host sends is recorded."""
        self.recorded = [[] for _ in self.ports]

    def run(self) -> None:
        while True:
            wait = max(0.0, self.due[0][0] - time.monotonic()) if self.due else None
            readable, _, _ = select.select([*self.ports, self.stopping], [], [], wait)
            if self.stopping in readable:
                return
            for sender, port in enumerate(self.ports):
                if port in readable:
                    self.take(sender, port)
            while self.due and self.due[0][0] <= time.monotonic():
                _, _, receiver, frame = heapq.heappop(self.due)
                self.put(receiver, frame)

    def take(self, sender: int, port: int) -> None:
        # A few at a time, so that nobody waits for one that sends much.
        for _ in range(64):
            try:
                frame = os.read(port, 1 << 16)
            except BlockingIOError:
                return
            if self.recorded is not None:
                self.recorded[sender].append(frame)
            if sender in self.cut:
                continue
            self.cards[frame[6:12]] = sender
            known = self.cards.get(frame[:6])
            for receiver in range(len(self.ports)) if known is None else [known]:
                if receiver == sender or receiver in self.cut:
                    continue
                if self.random.random() < self.loss:
                    self.lost += 1
                    continue
                self.passed[sender, receiver] += len(frame)
                if self.delay_s:
                    self.count += 1
                    heapq.heappush(self.due, (time.monotonic() + self.delay_s, self.count, receiver, frame))
                else:
                    self.put(receiver, frame)

    def put(self, receiver: int, frame: bytes) -> None:
        try:
            os.write(self.ports[receiver], frame)
        except OSError:
            # Its queue is full, as that of a real card can be.
            self.lost += 1

    def stop(self) -> None:
        os.write(self.stop_sender, b"x")
        self.join()
        for port in [*self.ports, self.stopping, self.stop_sender]:
            os.close(port)


class Lan:
    """Hosts and their switch."""

    def __init__(self, folder: Path, names: list[str], seed: int) -> None:
        assert os.geteuid() == 0, "this test makes network namespaces: run it as root"
        assert shutil.which("ip"), "this test needs ip: install Debian's iproute2"
        assert Path("/dev/net/tun").exists(), "this test makes tap devices: it needs /dev/net/tun"
        self.namespaces = [f"runmesh-{os.getpid()}-{name}" for name in names]
        self.hosts: list[Host] = []
        for namespace in self.namespaces:
            ip("netns", "add", namespace)
        self.switch = Switch(self.namespaces, seed)
        for number, (name, namespace) in enumerate(zip(names, self.namespaces, strict=True), 1):
            for card in ("lo", "lan"):
                ip("-n", namespace, "link", "set", card, "up")
            self.hosts.append(Host(folder / name, name, namespace, self.switch))
            self.hosts[-1].at(number)
        self.switch.start()

    def passed(self, sender: Host, receiver: Host) -> int:
        """How many bytes of frames went from one host to another."""
        return self.switch.passed[self.hosts.index(sender), self.hosts.index(receiver)]

    def cut(self, host: Host) -> None:
        self.switch.cut.add(self.hosts.index(host))

    def heal(self, host: Host) -> None:
        self.switch.cut.discard(self.hosts.index(host))

    def sent_by(self, host: Host) -> list[bytes]:
        return list(self.switch.recorded[self.hosts.index(host)])

    def end(self) -> None:
        for host in self.hosts:
            if host.process:
                host.kill()
            print(f"--- {host.name}:\n{host.said()}")
        if self.switch.is_alive():
            self.switch.stop()
        for namespace in self.namespaces:
            subprocess.run(["ip", "netns", "del", namespace], capture_output=True)


def kind_of(frame: bytes) -> int:
    (kind,) = struct.unpack("!H", frame[12:14])
    return kind


def packet(frame: bytes) -> tuple | None:
    """The protocol, the target and the rest of an IP packet, if a frame is one."""
    kind, body = kind_of(frame), frame[14:]
    if kind == IPV4:
        return body[9], ipaddress.ip_address(body[16:20]), body[(body[0] & 15) * 4 :]
    if kind == IPV6:
        return body[6], ipaddress.ip_address(body[24:40]), body[40:]
    return None


def goes_to(frame: bytes) -> str:
    """What a frame is: "lan", "mdns", "kernel" (which keeps the link itself), or where else it goes."""
    kind, found = kind_of(frame), packet(frame)
    if kind == ARP:
        return "kernel"
    if found is None:
        return f"a frame of kind {kind:#x}"
    protocol, target, rest = found
    if target in MDNS and protocol == UDP and rest[2:4] == struct.pack("!H", 5353):
        return "mdns"
    if protocol in (IGMP, ICMPV6, HOP_BY_HOP) and (target in MDNS or any(target in net for net in KERNELS)):
        return "kernel"
    if target in (LAN_V4 if kind == IPV4 else LAN_V6) or (kind == IPV6 and target.is_link_local):
        return "lan"
    return f"{target}, protocol {protocol}"
