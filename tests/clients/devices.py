"""Devices under test: a home, and the daemon that runs on it."""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import requests

REPOSITORY = Path(__file__).resolve().parents[2]
BINARY = Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target")) / "debug" / "runmesh"

# How long a condition that must come true may take on the slowest machine. Not a measurement.
PATIENCE_S = 120


T = TypeVar("T")


def until(condition: Callable[[], T], what: str) -> T:
    """Waits until a condition is true and returns what it returned."""
    deadline = time.monotonic() + PATIENCE_S
    while not (result := condition()):
        assert time.monotonic() < deadline, f"waited {PATIENCE_S} s in vain until {what}"
        time.sleep(0.02)
    return result


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/health", timeout=10).status_code == 200
    except requests.RequestException:
        return False


class Device:
    """One home and, while it is up, its daemon. The address stays the same over restarts."""

    def __init__(self, home: Path, name: str) -> None:
        self.home = home
        self.name = name
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = home.with_name(f"{home.name}.log")
        self.process: subprocess.Popen | None = None
        self.require_token = "false"
        # Those of other tests are none of its business.
        self.mdns = False

    def command(self, *arguments: str) -> list[str]:
        return [str(BINARY), "--home", str(self.home), *arguments]

    def spawn(self, *flags: str) -> subprocess.Popen:
        """Starts the daemon without waiting for it."""
        assert self.process is None, f"{self.name} is up already"
        up = self.command("up", "--http", f"127.0.0.1:{self.port}", "--name", self.name)
        up += ["--require-token", self.require_token]
        if not self.mdns:
            up.append("--mdns=false")
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([*up, *flags], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        return self.process

    def up(self, *flags: str) -> "Device":
        process = self.spawn(*flags)

        def ready() -> bool:
            assert process.poll() is None, f"{self.name} ended with {process.returncode}:\n{self.said()}"
            return answers(self.url)

        until(ready, f"{self.name} answers")
        return self

    def down(self) -> None:
        """Stops the daemon as a service manager does; it must end well."""
        process, self.process = self.process, None
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0, f"{self.name} ended with {process.returncode}:\n{self.said()}"

    def kill(self) -> None:
        """Kills the daemon as a power cut does."""
        process, self.process = self.process, None
        process.kill()
        process.wait()

    def said(self) -> str:
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return text[-4000:]

    def run(self, *arguments: str) -> subprocess.CompletedProcess:
        """Runs `runmesh` for this home; what it exits with is for the caller to judge."""
        return subprocess.run(
            self.command(*arguments), capture_output=True, text=True, timeout=PATIENCE_S, stdin=subprocess.DEVNULL
        )

    def ask(self, *arguments: str):
        """Runs `runmesh --json`, which must succeed, and returns what it printed."""
        done = self.run("--json", *arguments)
        assert done.returncode == 0, f"runmesh {' '.join(arguments)}: {done.stderr}"
        return json.loads(done.stdout)
