"""What it costs two devices of runmesh to hold the same: time, and bytes on the wire."""

import json
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import servers
from peers import peak_bytes, reset_peak
from servers import BENCH, Server


def ask(home: Path, *arguments: str) -> dict:
    command = [servers.PROFILE / "runmesh", "--home", home, *arguments, "--json"]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def load(server: Server, program: Path, *arguments: str) -> None:
    command = [program, "--server", f"127.0.0.1:{server.port}", *arguments, "--seconds", "600"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def wire_bytes(home: Path) -> int:
    """All UDP payload that a device sent and got."""
    traffic = ask(home, "status")["traffic"]
    return traffic["bytes_in"] + traffic["bytes_out"]


def wait_for_runs(home: Path, runs: int) -> None:
    while ask(home, "status")["runs"] < runs:
        time.sleep(0.02)


def markdown(lines: Sequence[Sequence[str]]) -> str:
    """Rows of a table."""
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def join(ann_home: Path) -> str:
    """The same of a home that holds many runs already, and of asking again when nothing is new."""
    bob_home = BENCH / "homes" / "join-bob"
    shutil.rmtree(bob_home, ignore_errors=True)
    with Server.start("runmesh", ann_home) as ann, Server.start("runmesh", bob_home) as bob:
        ticket = ask(ann_home, "invite")["ticket"]
        held = ask(ann_home, "status")
        for server in (ann, bob):
            reset_peak(server.process.pid)
        started = time.monotonic()
        ask(bob_home, "join", ticket)
        wait_for_runs(bob_home, held["runs"])
        seconds = time.monotonic() - started
        ask(bob_home, "sync", "--wait")
        wire, again = wire_bytes(bob_home), []
        for _ in range(9):
            before = wire_bytes(bob_home)
            ask(bob_home, "sync", "--wait")
            again.append(wire_bytes(bob_home) - before)
        lines = [
            ("", "measured"),
            ("---", "---:"),
            (f"an empty device joins and gets {held['runs']:,} runs", f"{seconds:,.0f} s, {held['runs'] / seconds:,.0f} runs/s"),
            ("bytes on the wire for that : bytes of the sealed journal", f"{wire / held['disk']['journal_bytes']:.2f}"),
            ("memory of the one that gets them, at most", f"{peak_bytes(bob.process.pid) / 1e6:,.0f} MB"),
            ("memory of the other, at most", f"{peak_bytes(ann.process.pid) / 1e6:,.0f} MB"),
            ("bytes on the wire for finding out that nothing is new", f"{sorted(again)[4]:,}"),
        ]
    return markdown(lines)


def measure(runs: int, program: Path) -> str:
    """Rows in Markdown: what was measured, and what it shall be."""
    homes = [BENCH / "homes" / name for name in ("sync-ann", "sync-bob")]
    for home in homes:
        shutil.rmtree(home, ignore_errors=True)
    ann_home, bob_home = homes
    with Server.start("runmesh", ann_home) as ann, Server.start("runmesh", bob_home):
        load(ann, program, "--scenario", "run", "--connections", "16", "--count", str(runs))
        ticket = ask(ann_home, "invite")["ticket"]
        held = ask(ann_home, "status")
        started = time.monotonic()
        ask(bob_home, "join", ticket)
        wait_for_runs(bob_home, held["runs"])
        seconds = time.monotonic() - started
        ask(bob_home, "sync", "--wait")
        journal, wire = held["disk"]["journal_bytes"], wire_bytes(bob_home)
        load(ann, program, "--scenario", "run", "--count", "1")
        started = time.monotonic()
        ask(bob_home, "sync", "--wait")
        one_seconds, one_wire = time.monotonic() - started, wire_bytes(bob_home) - wire
        found = ask(bob_home, "status")["runs"]
        if found != ask(ann_home, "status")["runs"]:
            raise RuntimeError(f"the devices do not hold the same runs: {found} came")
    lines = [
        ("", "measured", "wanted"),
        ("---", "---:", "---:"),
        (f"an empty device joins and gets {held['runs']:,} runs", f"{held['runs'] / seconds:,.0f} runs/s", "2,000 runs/s"),
        ("bytes on the wire for that : bytes of the sealed journal", f"{wire / journal:.2f}", "at most 1.20"),
        ("the sealed journal, each run", f"{journal / held['runs']:,.0f} bytes", ""),
        ("bytes on the wire for one more run", f"{one_wire:,}", "under 8,192"),
        ("time of `sync --wait` for it, the command included", f"{one_seconds * 1000:,.0f} ms", ""),
    ]
    return markdown(lines)
