"""Servers in processes of their own: runmesh, or MLflow's, forked from a process that has imported it."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

from devices import Device, answers, until


class Runmesh:
    @contextlib.contextmanager
    def start(self, home: Path, *flags: str, port: int):
        device = Device(home / "home", "judged")
        device.port, device.url = port, f"http://127.0.0.1:{port}"
        device.up(*flags)
        try:
            yield device.url
        finally:
            if device.process.poll() is not None:
                print(f"the daemon ended with {device.process.returncode}:\n{device.said()}")
            device.kill()

    def close(self) -> None:
        pass


class Forks:
    """MLflow's server takes seconds to import and to make its tables: both are done once, in a process that forks."""

    def __init__(self) -> None:
        command = [sys.executable, __file__]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    @contextlib.contextmanager
    def start(self, home: Path, *, port: int):
        self.process.stdin.write(f"{port} {home}\n")
        self.process.stdin.flush()
        pid = int(self.process.stdout.readline())
        url = f"http://127.0.0.1:{port}"
        try:
            until(lambda: answers(url), "MLflow's server answers")
            yield url
        finally:
            os.kill(pid, signal.SIGKILL)

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def fork_servers() -> None:
    """Forks a server for each line of standard input, a port and a home, and says its process id."""
    import shutil
    import tempfile

    import uvicorn
    from mlflow import server
    from mlflow.server.fastapi_app import app
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with tempfile.TemporaryDirectory(prefix="judge-") as folder:
        tables = Path(folder, "mlflow.db")
        SqlAlchemyStore(f"sqlite:///{tables}", "mlflow-artifacts:/").engine.dispose()
        for line in sys.stdin:
            port, home = line.rstrip("\n").split(" ", 1)
            if pid := os.fork():
                print(pid, flush=True)
                continue
            database = shutil.copy(tables, home)
            os.environ |= {
                server.BACKEND_STORE_URI_ENV_VAR: f"sqlite:///{database}",
                server.ARTIFACT_ROOT_ENV_VAR: "mlflow-artifacts:/",
                server.ARTIFACTS_DESTINATION_ENV_VAR: f"{home}/artifacts",
                server.SERVE_ARTIFACTS_ENV_VAR: "true",
            }
            os.dup2(2, 1)
            uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="error", ws="none")
            os._exit(0)


if __name__ == "__main__":
    fork_servers()
