"""What syncs other things: git, rsync, Syncthing and mlflow-export-import, each from one process to another over loopback.

Each gets as much to carry as a device of runmesh that joins: one small file for each run, with what the run holds. Each
function returns what was measured, by the title of its row.
"""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
import xml.etree.ElementTree as xml
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from servers import BENCH, Server, free_port, installed, processes_of

HOMES = BENCH / "homes"
# How many runs mlflow-export-import copies: it takes some seconds for each ten.
COPIED_RUNS = 50
PATIENCE_S = 3_600

Measured = dict[str, float]

RATE, WIRE = "to an empty one", "on the wire for that, each"
AGAIN, AGAIN_WIRE = "again, when nothing is new", "on the wire for that"
SENDER, RECEIVER = "memory of the sender, at most", "memory of the receiver, at most"


class Missing(Exception):
    """A peer is not installed, and how to install it."""


def need(program: str, package: str) -> None:
    if not shutil.which(program):
        raise Missing(f"{program} is missing: apt-get install {package}, or leave it out with --peers")


def fresh(name: str) -> Path:
    folder = HOMES / f"mesh-{name}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def loopback_bytes() -> int:
    """All that went over loopback since the start, headers and acknowledgements too."""
    for line in Path("/proc/net/dev").read_text().splitlines():
        if line.strip().startswith("lo:"):
            return int(line.split(":")[1].split()[0])
    raise RuntimeError("there is no loopback")


def reset_peak(session: int) -> None:
    """From now on, `peak_bytes` counts anew."""
    for pid in processes_of(session):
        Path(f"/proc/{pid}/clear_refs").write_text("5")


def peak_bytes(session: int) -> int:
    """The most memory that was resident since the last `reset_peak`, of all processes of a session together."""
    lines = [line for pid in processes_of(session) for line in Path(f"/proc/{pid}/status").read_text().splitlines()]
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def run_as_file(number: int, values: random.Random) -> bytes:
    """What a run of the load holds: 20 params, 5 tags, 5 metrics, with noise in every digit."""
    return json.dumps(
        {
            "name": f"run-{number}",
            "params": {f"param_{i}": f"{values.random():.6f}" for i in range(20)},
            "tags": {f"tag_{i}": f"value {number % (7 + i)}" for i in range(5)},
            "metrics": {f"metric_{i}": values.random() for i in range(5)},
        }
    ).encode()


def files(count: int) -> Iterator[tuple[str, bytes]]:
    values = random.Random(1)
    for number in range(count):
        yield f"{number // 1000:04}/run-{number}.json", run_as_file(number, values)


def write_files(folder: Path, count: int) -> None:
    for path, content in files(count):
        file = folder / path
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(content)


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"in vain until {what}")
        time.sleep(0.02)


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


@contextmanager
def running(command: list, folder: Path) -> Iterator[subprocess.Popen]:
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(list(map(str, command)), stdout=log, stderr=log, start_new_session=True)
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)


def timed(command: list, **options) -> tuple[float, int]:
    """How long a command took, and what went over loopback meanwhile."""
    command, to_pipe = list(map(str, command)), {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    before, started = loopback_bytes(), time.monotonic()
    done = subprocess.run(command, text=True, **to_pipe, **options)
    took, moved = time.monotonic() - started, loopback_bytes() - before
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return took, moved


def fetched_twice(count: int, first: tuple[float, int], again: tuple[float, int]) -> Measured:
    return {
        RATE: count / first[0],
        WIRE: first[1] / count,
        AGAIN: again[0] * 1000,
        AGAIN_WIRE: again[1],
    }


def git(count: int) -> Measured:
    """`git fetch` of as many commits, each with one file, from `git daemon`."""
    need("git", "git")
    folder = fresh("git")
    there, here = folder / "there.git", folder / "here.git"
    for repository in (there, here):
        subprocess.run(["git", "init", "--quiet", "--bare", repository], check=True)
    importing = subprocess.Popen(
        ["git", "--git-dir", there, "fast-import", "--quiet"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    for number, (path, content) in enumerate(files(count)):
        head = f"commit refs/heads/main\ncommitter ann <ann@lab> {1_750_000_000 + number} +0000\ndata 3\nrun\n"
        importing.stdin.write(f"{head}M 644 inline {path}\ndata {len(content)}\n".encode() + content + b"\n")
    importing.stdin.close()
    if importing.wait() != 0:
        raise RuntimeError("git fast-import failed")
    # As a repository is that has been in use: git does this by itself from time to time.
    subprocess.run(["git", "--git-dir", there, "repack", "-adq"], check=True)
    (there / "git-daemon-export-ok").touch()
    port = free_port()
    serve = ["git", "daemon", "--reuseaddr", "--listen=127.0.0.1", f"--port={port}", f"--base-path={folder}", folder]
    with running(serve, folder):
        until(lambda: listens(port), "git daemon listens")
        fetch = ["git", "--git-dir", here, "fetch", "--quiet", f"git://127.0.0.1:{port}/there.git", "main:main"]
        first, again = timed(fetch), timed(fetch)
    found = subprocess.run(["git", "--git-dir", here, "rev-list", "--count", "main"], check=True, stdout=subprocess.PIPE)
    if int(found.stdout) != count:
        raise RuntimeError(f"git fetched {int(found.stdout)} commits of {count}")
    return fetched_twice(count, first, again)


def rsync(count: int) -> Measured:
    """`rsync -a` of the same files from `rsync --daemon`."""
    need("rsync", "rsync")
    folder = fresh("rsync")
    (folder / "there").mkdir()
    write_files(folder / "there", count)
    port = free_port()
    as_root = "uid = 0\ngid = 0\n" if os.geteuid() == 0 else ""
    (folder / "conf").write_text(f"{as_root}use chroot = no\n[runs]\npath = {folder}/there\n")
    serve = ["rsync", "--daemon", "--no-detach", "--address=127.0.0.1", f"--port={port}", f"--config={folder}/conf"]
    with running(serve, folder):
        until(lambda: listens(port), "rsync listens")
        fetch = ["rsync", "-a", f"rsync://127.0.0.1:{port}/runs/", f"{folder}/here/"]
        first, again = timed(fetch), timed(fetch)
    if sum(1 for file in (folder / "here").rglob("*.json")) != count:
        raise RuntimeError("rsync did not fetch all files")
    return fetched_twice(count, first, again)


class Syncthing:
    """One instance with one folder, which speaks to nobody but the other one."""

    KEY = "bench"

    def __init__(self, home: Path, folder: Path) -> None:
        self.home, self.folder = home, folder
        self.port, self.gui = free_port(), free_port()
        generate = ["syncthing", "generate", "--no-default-folder", f"--home={home}"]
        subprocess.run(generate, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        asked = ["syncthing", f"--home={home}", "--device-id"]
        self.device = subprocess.run(asked, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()

    def configure(self, other: "Syncthing") -> None:
        """Writes the configuration; `other` is paused at first."""
        file = self.home / "config.xml"
        tree = xml.parse(file)
        root = tree.getroot()
        for child in [*root.findall("device"), *root.findall("folder")]:
            root.remove(child)
        options = root.find("options")
        for name in list(options):
            options.remove(name)
        off = ("globalAnnounceEnabled", "localAnnounceEnabled", "relaysEnabled", "natEnabled", "crashReportingEnabled")
        quiet = {**dict.fromkeys(off, "false"), "urAccepted": "-1", "autoUpgradeIntervalH": "0", "startBrowser": "false"}
        for name, value in {**quiet, "listenAddress": f"tcp://127.0.0.1:{self.port}"}.items():
            xml.SubElement(options, name).text = value
        gui = root.find("gui")
        gui.find("address").text = f"127.0.0.1:{self.gui}"
        gui.find("apikey").text = self.KEY
        shared = {"id": "runs", "path": str(self.folder), "rescanIntervalS": "0", "fsWatcherEnabled": "false"}
        folder = xml.SubElement(root, "folder", shared)
        for one in (self, other):
            xml.SubElement(folder, "device", {"id": one.device})
            device = xml.SubElement(root, "device", {"id": one.device, "name": one.home.name})
            xml.SubElement(device, "address").text = f"tcp://127.0.0.1:{one.port}"
            xml.SubElement(device, "paused").text = str(one is other).lower()
        tree.write(file)

    def command(self) -> list[str]:
        return ["syncthing", "serve", "--no-browser", "--no-restart", "--no-upgrade", f"--home={self.home}"]

    def ask(self, path: str, method: str = "GET", body: object = None):
        data = None if body is None else json.dumps(body).encode()
        headers = {"X-API-Key": self.KEY, "Content-Type": "application/json"}
        request = urllib.request.Request(f"http://127.0.0.1:{self.gui}/rest/{path}", data, headers, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def holds(self, count: int) -> bool:
        status = self.ask("db/status?folder=runs")
        return status["state"] == "idle" and status["localFiles"] == count

    def wire_bytes(self) -> int:
        total = self.ask("system/connections")["total"]
        return total["inBytesTotal"] + total["outBytesTotal"]


def syncthing(count: int) -> Measured:
    """Two instances of Syncthing, of which one has the files; the clock starts when they may connect."""
    need("syncthing", "syncthing")
    folder = fresh("syncthing")
    for name in ("there", "here"):
        (folder / name).mkdir()
        (folder / name / ".stfolder").mkdir()
    write_files(folder / "there", count)
    there, here = (Syncthing(folder / f"{name}-home", folder / name) for name in ("there", "here"))
    there.configure(here)
    here.configure(there)
    with running(there.command(), folder) as sender, running(here.command(), folder) as receiver:
        until(lambda: listens(there.gui) and listens(here.gui), "Syncthing answers")
        until(lambda: there.holds(count), "Syncthing has scanned the files")
        until(lambda: here.holds(0), "Syncthing is ready")
        for process in (sender, receiver):
            reset_peak(process.pid)
        started = time.monotonic()
        there.ask(f"config/devices/{here.device}", "PATCH", {"paused": False})
        here.ask(f"config/devices/{there.device}", "PATCH", {"paused": False})
        until(lambda: here.holds(count), "Syncthing has all files")
        seconds = time.monotonic() - started
        return {
            RATE: count / seconds,
            WIRE: here.wire_bytes() / count,
            SENDER: peak_bytes(sender.pid) / 1e6,
            RECEIVER: peak_bytes(receiver.pid) / 1e6,
        }


def export_import(count: int, load: Callable[..., dict]) -> Measured:
    """mlflow-export-import of some runs from one `mlflow server` to another, by a folder."""
    count = min(count, COPIED_RUNS)
    # It was written for MLflow 2, and does not name all that it needs.
    tool = installed("export-import", "mlflow==2.22.4", "setuptools<81", "tabulate", "mlflow-export-import==1.2.0")
    folder = fresh("export-import")
    with Server.start("mlflow", folder / "there") as there, Server.start("mlflow", folder / "here") as here:
        made = load(there, "--scenario", "run", "--connections", 4, "--count", count)
        quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "1", "GIT_PYTHON_REFRESH": "quiet"}

        def at(server: Server) -> dict:
            return {**os.environ, **quiet, "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{server.port}"}

        experiment = ["--experiment", made["experiment"], "--output-dir", folder / "carried"]
        out = timed([tool / "export-experiment", *experiment], env=at(there))
        named = ["--experiment-name", "copied", "--input-dir", folder / "carried"]
        back = timed([tool / "import-experiment", *named], env=at(here))
        copied = made["operations"]
    return {RATE: copied / (out[0] + back[0]), WIRE: (out[1] + back[1]) / copied}
