"""Fixtures: a daemon with real runs, and a browser that fails a test for what it should not have to say.

A page that logs an error, throws, opens a dialog or asks another host than the daemon fails its test. Pictures of
every view are kept in target/web-shots, or where --shots says.
"""

import json
import math
import os
import random
import sys
import tempfile
from pathlib import Path

import pytest
from playwright.sync_api import Page, sync_playwright

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "clients"))

# Before mlflow is imported: no packet leaves this machine, and no failure is hidden by patience.
os.environ |= {
    "DO_NOT_TRACK": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}

import mlflow  # noqa: E402
import pyarrow as pa  # noqa: E402
from pyarrow import parquet  # noqa: E402
from devices import PATIENCE_S, REPOSITORY, Device  # noqa: E402
from mlflow.entities import LoggedModelOutput, Metric, Param  # noqa: E402

AXE = HERE / "node_modules" / "axe-core" / "axe.min.js"
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
# As root a browser has no sandbox of its own, and unasked it looks for its maker's hosts.
FLAGS = "--no-sandbox --disable-gpu --disable-quic --disable-background-networking --disable-component-update --disable-sync"

# In every name that a client can choose. It runs if anything reads it as HTML.
HOSTILE = "<img src=x onerror=window.ran=1>\"'`& 🦀 مرحبا"


def pytest_addoption(parser):
    parser.addoption("--shots", type=Path, default=REPOSITORY / "target" / "web-shots", help="where pictures go")


DIFF = """diff --git a/train.py b/train.py
--- a/train.py
+++ b/train.py
@@ -1,3 +1,4 @@
 import mlflow
-rate = 0.1
+rate = 0.01  # <b>slower</b>
+seed = 3
 print(rate)
"""


MLMODEL = """flavors:
  python_function:
    env:
      conda: conda.yaml
    loader_module: mlflow.sklearn
    python_version: 3.11.2
mlflow_version: 3.17.2
model_size_bytes: 12345
signature:
  inputs: '[{"type": "double", "name": "the customer''s <b>age", "required": true}, {"type": "long",
    "name": "visits", "required": false}]'
  outputs: '[{"type": "tensor", "tensor-spec": {"dtype": "int64", "shape": [-1, 2]}}]'
  params: null
"""


class Logged:
    """What was logged, by the names that tests use."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.client = mlflow.MlflowClient(url)
        self.experiments: dict[str, str] = {}
        self.runs: dict[str, str] = {}

    def experiment(self, name: str, called: str | None = None) -> str:
        self.experiments[called or name] = self.client.create_experiment(name)
        return self.experiments[called or name]

    def run(self, experiment: str, name: str, called: str | None = None, **params) -> str:
        run = self.client.create_run(self.experiments[experiment], run_name=name)
        self.client.log_batch(run.info.run_id, params=[Param(key, str(value)) for key, value in params.items()])
        self.runs[called or name] = run.info.run_id
        return run.info.run_id

    def curve(self, run: str, key: str, values, first: int = 0) -> None:
        points = [Metric(key, value, 1_750_000_000_000 + 1000 * step, step) for step, value in enumerate(values, first)]
        self.client.log_batch(run, metrics=points)

    def hash(self, experiment: str, run: str | None = None) -> str:
        """The view's address after `#`."""
        path = f"/experiments/{self.experiments[experiment]}"
        return f"{path}/runs/{self.runs[run]}" if run else path


def log_tables(client, run: str) -> None:
    """The same table in every way that is shown, and one that is not."""
    table = pa.table({"step": range(3_000), "loss": [1 / (step + 1) for step in range(3_000)], "name": [f"<b>{step}" for step in range(3_000)]})
    with tempfile.TemporaryDirectory() as folder:
        for compression in ["snappy", "zstd", "none", "brotli"]:
            path = Path(folder) / f"{compression}.parquet"
            parquet.write_table(table, path, compression=compression)
            client.log_artifact(run, str(path), "tables")


def log_model(logged: Logged, run: str) -> None:
    model = logged.client.create_logged_model(logged.experiments["fraud"], name="net", source_run_id=run, params={"layers": "3"}, model_type="classifier")
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "MLmodel").write_text(MLMODEL)
        (Path(folder) / "requirements.txt").write_text("scikit-learn==1.9\n")
        logged.client.log_model_artifacts(model.model_id, folder)
    logged.client.finalize_logged_model(model.model_id, "READY")
    logged.client.log_outputs(run, [LoggedModelOutput(model.model_id, 0)])


def log_all(logged: Logged) -> None:
    rng = random.Random(5)
    client = logged.client
    logged.experiment("fraud")
    for at in range(30):
        model, lr = rng.choice(["resnet", "vit", "mlp"]), rng.choice([0.1, 0.01, 0.001])
        run = logged.run("fraud", f"trial {at}", model=model, lr=lr, seed=at)
        floor = 0.1 + at / 100
        logged.curve(run, "loss", [floor + math.exp(-step / 12) + rng.gauss(0, 0.02) for step in range(60)])
        logged.curve(run, "accuracy", [0.95 - floor - 0.6 * math.exp(-step / 9) for step in range(60)])
        client.set_tag(run, "team", rng.choice(["vision", "risk"]))
        client.set_terminated(run, "FAILED" if at % 10 == 7 else "FINISHED")
    full = logged.runs["trial 3"]
    client.set_tag(full, "mlflow.note.content", "# Baseline\n\nTried **June**.\n\n| a | b |\n|---|---|\n| 1 | 2 |\n")
    client.log_text(full, "step,loss\n1,0.5\n2,0.25\n", "tables/history.csv")
    client.log_dict(full, {"a": {"b": [1, 2]}}, "config.json")
    client.log_text(full, "---\nlicense: mit\ntags:\n- fraud\n- <b>tabular\n---\n# Card\n\nFor *fraud* only.\n", "card.md")
    client.log_text(full, "<h1>Report</h1><script>document.body.append('it ran here alone')</script>", "report.html")
    client.log_text(full, "\0\1\2binary", "really.txt")
    client.log_text(full, DIFF, "diff.patch")
    client.set_tag(full, "mlflow.source.git.commit", "5b2b9a0c7d1f")
    log_tables(client, full)
    log_model(logged, full)
    client.create_registered_model("detector", description="Finds *fraud*.")
    for name in ["trial 2", "trial 3"]:
        client.create_model_version("detector", f"runs:/{logged.runs[name]}/model", run_id=logged.runs[name])
    client.transition_model_version_stage("detector", "1", "Production")
    client.set_registered_model_alias("detector", "champion", "2")
    child = logged.run("fraud", "fold 1")
    client.set_tag(child, "mlflow.parentRunId", full)
    logged.experiment("empty")

    logged.experiment(HOSTILE, "hostile")
    run = logged.run("hostile", HOSTILE, "hostile")
    note = f"{HOSTILE}\n\n<script>window.ran=2</script>\n\n[link](javascript:window.ran=3) ![picture](http://192.0.2.1/x.png)"
    for key, value in {"mlflow.note.content": note, "mlflow.user": HOSTILE, "tag": HOSTILE}.items():
        client.set_tag(run, key, value)
    values = [("p", HOSTILE), *((f"long {at}", "x" * at) for at in range(300))]
    client.log_batch(run, params=[Param(key, value) for key, value in values[:100]])
    for key, value in [("nan", math.nan), ("inf", math.inf), ("minus", -math.inf), ("mixed", 1.0), ("mixed", math.nan)]:
        client.log_metric(run, key, value)
    client.log_text(run, HOSTILE, "<b>.txt")
    client.log_text(run, f"# {HOSTILE}\n<script>window.ran=4</script>", "card.md")
    client.log_text(run, "<svg xmlns='http://www.w3.org/2000/svg'><script>window.ran=5</script></svg>", "picture.svg")


@pytest.fixture(scope="session")
def device(tmp_path_factory):
    device = Device(tmp_path_factory.mktemp("web") / "home", "laptop").up()
    yield device
    device.down()


@pytest.fixture
def devices(tmp_path):
    """Makes devices of a test's own, and ends those that are still up after it."""
    made: list[Device] = []

    def make(name: str) -> Device:
        made.append(Device(tmp_path / name, name))
        return made[-1]

    yield make
    for device in made:
        if device.process:
            device.kill()


@pytest.fixture(scope="session")
def logged(device) -> Logged:
    logged = Logged(device.url)
    log_all(logged)
    return logged


@pytest.fixture(scope="session")
def chromium():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS.split())
        yield browser
        browser.close()


class Watched:
    """A page, and what went wrong on it."""

    def __init__(self, page: Page, url: str) -> None:
        self.page, self.url = page, url
        self.faults: list[str] = []
        # A refused request is an error on the console too; tests that provoke one say so.
        self.may_be_refused = False
        page.on("console", lambda message: self.on_console(message))
        page.on("pageerror", lambda error: self.faults.append(f"threw {error}"))
        page.on("dialog", lambda dialog: (self.faults.append(f"dialog {dialog.message}"), dialog.dismiss()))
        page.on("request", self.on_request)

    def on_console(self, message) -> None:
        refused = self.may_be_refused and "Failed to load resource" in message.text
        if message.type in ("error", "warning") and not refused:
            self.faults.append(f"console: {message.text}")

    def on_request(self, request) -> None:
        if not request.url.startswith((f"{self.url}/", "blob:", "data:")):
            self.faults.append(f"asked {request.url}")

    def open(self, view: str) -> Page:
        self.page.goto(f"{self.url}/#{view}")
        self.page.wait_for_selector("main :is(h1, h2)")
        return self.page

    def axe(self) -> list[str]:
        """What axe-core finds serious or worse."""
        self.page.evaluate(AXE.read_text())
        found = self.page.evaluate("axe.run({ resultTypes: ['violations'] })")
        bad = [one for one in found["violations"] if one["impact"] in ("serious", "critical")]
        return [f"{one['id']}: {one['help']}: {[node['html'][:200] for node in one['nodes'][:3]]}" for one in bad]


@pytest.fixture
def open_browser(chromium, device):
    """Opens pages with a screen and theme; after the test nothing may have gone wrong on any."""
    opened: list[Watched] = []

    def make(url: str = device.url, scheme: str = "light", width: int = 1280, height: int = 800) -> Watched:
        context = chromium.new_context(color_scheme=scheme, viewport={"width": width, "height": height}, accept_downloads=True)
        context.set_default_timeout(PATIENCE_S * 1000)
        opened.append(Watched(context.new_page(), url))
        return opened[-1]

    yield make
    for watched in opened:
        ran = watched.page.evaluate("window.ran")
        watched.page.context.close()
        assert ran is None, f"a text ran as a script: {ran}"
        assert watched.faults == [], json.dumps(watched.faults, indent=1)


@pytest.fixture
def browser(open_browser, logged) -> Watched:
    return open_browser()


@pytest.fixture(scope="session")
def shots(request) -> Path:
    folder = request.config.getoption("--shots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
