"""The tracking servers that the benchmark compares: how each is installed, started and measured."""

import dataclasses
import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target"))
BENCH = TARGET / "bench"
# Where the binaries are that are measured.
PROFILE = TARGET / "release"


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def installed(name: str, *packages: str) -> Path:
    """The bin folder of a venv that holds the packages."""
    venv = BENCH / f"venv-{name}"
    made_of = venv / "made-of"
    if not made_of.exists() or made_of.read_text() != " ".join(packages):
        print(f"installing {' '.join(packages)} into {venv}", file=sys.stderr)
        shutil.rmtree(venv, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        subprocess.run([venv / "bin/pip", "install", "--quiet", *packages], check=True)
        made_of.write_text(" ".join(packages))
    return venv / "bin"


def runmesh(home: Path, port: int) -> list[str]:
    return [str(PROFILE / "runmesh"), "--home", str(home), "up", "--http", f"127.0.0.1:{port}"]


def fasttrackml(home: Path, port: int) -> list[str]:
    # Its Python dependencies are those of its client; the server is one Go binary.
    fml = installed("fasttrackml", "--no-deps", "fasttrackml==0.6.0") / "fml"
    database = f"sqlite://{home}/fasttrackml.db"
    listen = f"127.0.0.1:{port}"
    return [str(fml), "server", "-a", listen, "-d", database, "--default-artifact-root", str(home / "artifacts")]


def mlflow(home: Path, port: int) -> list[str]:
    # The tests' own venv has the same, if they were run here.
    binary = TARGET / "clients-venv/bin/mlflow"
    if not binary.exists():
        binary = installed("mlflow", "-r", str(REPOSITORY / "tests/clients/requirements.txt")) / "mlflow"
    return [
        *(str(binary), "server", "--host", "127.0.0.1", "--port", str(port)),
        *("--backend-store-uri", f"sqlite:///{home}/mlflow.db", "--artifacts-destination", str(home / "artifacts")),
    ]


def floor(home: Path, port: int) -> list[str]:
    """No tracking server: the least that one with durable writes can do."""
    return [str(PROFILE / "floor"), "--http", f"127.0.0.1:{port}", "--file", str(home / "log")]


SERVERS: dict[str, Callable[[Path, int], list[str]]] = {
    "runmesh": runmesh,
    "fasttrackml": fasttrackml,
    "mlflow": mlflow,
}

COMMANDS = {**SERVERS, "floor": floor}


def processes_of(session: int) -> list[int]:
    """What leads a session (of processes), and all that it started."""
    pids = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            found = int(stat.read_text().rsplit(")", 1)[1].split()[3])
        except (OSError, IndexError):
            continue
        if found == session:
            pids.append(int(stat.parent.name))
    return pids


@dataclasses.dataclass
class Server:
    """A server on a home of its own, in a session (of processes) of its own."""

    name: str
    home: Path
    port: int
    process: subprocess.Popen

    @classmethod
    def start(cls, name: str, home: Path) -> "Server":
        home.mkdir(parents=True, exist_ok=True)
        port = free_port()
        log = home.with_suffix(".log").open("ab")
        process = subprocess.Popen(
            COMMANDS[name](home, port), stdout=log, stderr=log, cwd=home, start_new_session=True
        )
        server = cls(name, home, port, process)
        deadline = time.monotonic() + 120
        while not server.healthy():
            if process.poll() is not None or time.monotonic() > deadline:
                server.stop()
                raise RuntimeError(f"{name} did not start; see {log.name}")
            time.sleep(0.05)
        return server

    def healthy(self) -> bool:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
            connection.request("GET", "/api/2.0/mlflow/experiments/get?experiment_id=0")
            return connection.getresponse().status == 200
        except OSError:
            return False

    def stop(self) -> None:
        """Stops it in order, so that what it had still to write is on disk."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def processes(self) -> list[int]:
        return processes_of(self.process.pid)

    def resident_bytes(self) -> int:
        total = 0
        for pid in self.processes():
            try:
                total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")
            except OSError:
                continue
        return total

    def cpu_seconds(self) -> float:
        ticks = 0
        for pid in self.processes():
            fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")


def disk_bytes(home: Path) -> int:
    """What the file system gives to the files of a home."""
    return sum(file.lstat().st_blocks * 512 for file in home.rglob("*") if file.is_file())
