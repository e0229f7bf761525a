"""Fixtures: the server under test, clients of it, and devices that a test may kill.

`pytest tests/clients --against mlflow` runs what is not runmesh's own against MLflow's own server, which
shows that the tests demand what MLflow does and nothing else.
"""

import os
import random
import subprocess
import sys
import uuid
from pathlib import Path

# Before mlflow is imported: no packet leaves this machine, and no failure is hidden by patience.
os.environ |= {
    "DO_NOT_TRACK": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "GIT_PYTHON_REFRESH": "quiet",
    "MPLBACKEND": "agg",
}

import mlflow  # noqa: E402
import pytest  # noqa: E402
from devices import Device, answers, free_port, until  # noqa: E402
from wire import Wire  # noqa: E402


def pytest_addoption(parser):
    parser.addoption("--against", choices=["runmesh", "mlflow"], default="runmesh", help="the server under test")
    parser.addoption("--seed", type=int, default=None, help="repeat a run that failed with this seed")


def pytest_configure(config):
    config.addinivalue_line("markers", "runmesh_only: what MLflow's own server does otherwise or not at all")
    if config.getoption("seed") is None:
        config.option.seed = random.SystemRandom().randrange(1 << 32)


def pytest_report_header(config):
    return f"against: {config.getoption('against')}; repeat with: --seed {config.getoption('seed')}"


def pytest_collection_modifyitems(config, items):
    if config.getoption("against") == "mlflow":
        own = [item for item in items if item.get_closest_marker("runmesh_only")]
        config.hook.pytest_deselected(items=own)
        items[:] = [item for item in items if item not in own]


@pytest.fixture
def rng(request) -> random.Random:
    """Randomness of this test alone; the seed is in the report's header."""
    return random.Random(f"{request.config.getoption('seed')} {request.node.nodeid}")


def mlflow_server(home: Path):
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [
        *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
        *("--backend-store-uri", f"sqlite:///{home}/mlflow.db", "--artifacts-destination", str(home / "artifacts")),
    ]
    process = subprocess.Popen(command, cwd=home, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until(lambda: answers(url), "MLflow's server answers")
    yield url
    process.terminate()
    process.wait()


@pytest.fixture(scope="session")
def server(request, tmp_path_factory):
    """The address of the server that all tests share which do no harm to it."""
    home = tmp_path_factory.mktemp("server")
    if request.config.getoption("against") == "mlflow":
        yield from mlflow_server(home)
    else:
        device = Device(home / "home", "shared").up()
        yield device.url
        device.down()


@pytest.fixture
def client(server) -> mlflow.MlflowClient:
    mlflow.set_tracking_uri(server)
    return mlflow.MlflowClient(server)


@pytest.fixture
def wire(server) -> Wire:
    """Requests as no client would send them."""
    return Wire(server)


@pytest.fixture
def experiment(client, request) -> str:
    """The id of an experiment of the test's own, which is also the active one."""
    name = f"{request.node.name[:200]} {uuid.uuid4().hex[:8]}"
    return mlflow.set_experiment(name).experiment_id


@pytest.fixture
def run_id(client, experiment) -> str:
    return client.create_run(experiment).info.run_id


@pytest.fixture
def devices(tmp_path):
    """Makes devices, and ends those that are still up after the test."""
    made: list[Device] = []

    def make(name: str, home: Path | None = None) -> Device:
        made.append(Device(home or tmp_path / name, name))
        return made[-1]

    yield make
    for device in made:
        if device.process:
            device.kill()
        # Shown with a test that failed.
        print(f"--- {device.name}:\n{device.said()}")


@pytest.fixture(autouse=True)
def no_run_stays_active():
    yield
    while mlflow.active_run():
        mlflow.end_run()
