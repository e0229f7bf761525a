"""A pytest plugin that puts MLflow's own tests to a server in a process of its own: runmesh, or MLflow's.

`run` loads it into a checkout of MLflow's repository. Each test gets a server with a new home, at the first of:
asking for the URI of a database, which is the server's address instead; starting a server in the test's own
process, which is this one instead; or asking for a SQL store, which is a client of the server instead. So a test
that MLflow's own server passes tells nothing of internals, and one that only runmesh fails is a bug of runmesh's.
"""

import contextlib
import json
import shutil
import sys
import tempfile
from functools import partial
from pathlib import Path

import pytest
from devices import free_port
from servers import Forks, Runmesh

# The modules whose fixture `store` is a SQL store, and what it stores.
STORES = {
    "tests.store.tracking.conftest": "tracking",
    "tests.store.tracking.sqlalchemy_store.test_sqlalchemy_store": "tracking",
    "tests.store.model_registry.test_sqlalchemy_store": "model_registry",
}

# The modules that start `mlflow server` by a function of their own, and the flags of the daemon in its place.
LAUNCHERS = {
    "tests.tracking.test_mlflow_artifacts": ("_launch_server", []),
    "tests.webhooks.test_e2e": ("_run_mlflow_server", ["--webhooks", "any"]),
}


def pytest_addoption(parser):
    parser.addoption("--against", choices=["runmesh", "mlflow"], required=True, help="the server under test")
    parser.addoption("--outcomes", type=Path, required=True, help="where to append what came of each test")


def pytest_configure(config):
    judge = Judge(config)
    config.pluginmanager.register(judge, "judge")
    config.add_cleanup(judge.servers.close)
    # Before any test is imported, because tests take these names from the module.
    sys.path.insert(0, str(config.rootpath))
    from mlflow.server import handlers
    from tests.tracking import integration_test_utils

    handlers.initialize_backend_stores = lambda *arguments, **options: None
    integration_test_utils.ServerThread = lambda app, port: contextlib.nullcontext(judge.server())
    integration_test_utils._init_server = judge.another_server


def rest_store(kind: str):
    """MLflow's store that asks a server, with the defaults that its SQL stores have and `MlflowClient` fills in."""
    if kind == "model_registry":
        from mlflow.store.model_registry.rest_store import RestStore

        return RestStore
    from mlflow.store.tracking.rest_store import RestStore

    class Store(RestStore):
        def create_run(self, experiment_id, user_id, start_time, tags, run_name):
            return super().create_run(experiment_id, user_id, start_time, tags or [], run_name)

        def search_experiments(self, *arguments, **options):
            if len(arguments) < 2:
                options.setdefault("max_results", 1000)
            return super().search_experiments(*arguments, **options)

    return Store


class Judge:
    def __init__(self, config) -> None:
        self.outcomes = config.getoption("outcomes")
        self.servers = Runmesh() if config.getoption("against") == "runmesh" else Forks()
        self.of_test = contextlib.ExitStack()
        self.url = None

    def server(self) -> str:
        """The address of this test's server, which is started when it is first needed."""
        if self.url is None:
            self.url = self.of_test.enter_context(self.new_server())
        return self.url

    @contextlib.contextmanager
    def new_server(self, *flags: str, port: int | None = None):
        home = Path(tempfile.mkdtemp(prefix="judge-"))
        try:
            with self.servers.start(home, *flags, port=port or free_port()) as url:
                yield url
        finally:
            shutil.rmtree(home, ignore_errors=True)

    @contextlib.contextmanager
    def another_server(self, *arguments, **options):
        import mlflow

        mlflow.set_tracking_uri(None)
        with self.new_server() as url:
            yield url

    def pytest_collection_modifyitems(self, items):
        """Puts the daemon in the place of a `mlflow server` that a module starts; MLflow's is left to the module."""
        if isinstance(self.servers, Forks):
            return
        for module in {item.module for item in items}:
            if launcher := LAUNCHERS.get(module.__name__):
                name, flags = launcher
                setattr(module, name, partial(self.launched, flags))

    @contextlib.contextmanager
    def launched(self, flags, *arguments):
        """A server on the port that is among the arguments, if one is."""
        port = next((argument for argument in arguments if isinstance(argument, int)), None)
        with self.new_server(*flags, port=port) as url:
            yield url

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_teardown(self):
        try:
            return (yield)
        finally:
            self.url = None
            self.of_test.close()

    @pytest.hookimpl(tryfirst=True)
    def pytest_fixture_setup(self, fixturedef, request):
        name, module = fixturedef.argname, fixturedef.func.__module__
        if name == "db_uri" and module == "tests.conftest":
            value = self.server()
        elif name == "store" and module in STORES:
            value = self.client_of(STORES[module])
        else:
            return None  # The fixture stays as it is.
        fixturedef.cached_result = (value, fixturedef.cache_key(request), None)
        return value

    def client_of(self, kind: str):
        """A store that asks the server over REST."""
        from mlflow.utils.rest_utils import MlflowHostCreds

        url = self.server()
        return rest_store(kind)(lambda: MlflowHostCreds(url))

    def pytest_runtest_logreport(self, report):
        if report.passed and report.when != "call":
            return
        crash = getattr(report.longrepr, "reprcrash", None)
        reason = crash.message if crash else str(report.longrepr or "")
        line = {"test": report.nodeid, "when": report.when, "outcome": report.outcome, "reason": reason[:2000]}
        with self.outcomes.open("a") as file:
            file.write(json.dumps(line) + "\n")
