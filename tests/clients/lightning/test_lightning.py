"""PyTorch Lightning's own MLFlowLogger: training that logs, that logs its checkpoints, that fails, that goes on.

Training runs in a venv of its own, on Debian's torch: `tests/nightly lightning` makes it. What it left is read here.
"""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import mlflow
import pytest
import yaml

VENV = Path(sys.prefix).with_name("clients-venv-lightning")

# A script as people write it: SCRIPT EXPERIMENT LOG_MODEL FAIL_IN_EPOCH [RUN_ID]; it prints the run's id.
SCRIPT = """
import os, sys
import torch
# Debian's torch 1.13 cannot import its torch.distributed._shard with Python 3.11 (a mutable default in a dataclass),
# which Lightning does where torch says that it can be distributed.
torch.distributed.is_available = lambda: False
import pytorch_lightning as L
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.loggers import MLFlowLogger
from torch.utils.data import DataLoader, TensorDataset

experiment, log_model, fail_in, *run_id = sys.argv[1:]


class Line(L.LightningModule):
    def __init__(self, lr, options):
        super().__init__()
        self.save_hyperparameters()
        self.layer = torch.nn.Linear(3, 1)

    def loss(self, batch):
        return torch.nn.functional.mse_loss(self.layer(batch[0]), batch[1])

    def training_step(self, batch, index):
        loss = self.loss(batch)
        self.log("train_loss", loss, on_step=True, on_epoch=True)
        return loss

    def validation_step(self, batch, index):
        self.log("val_loss", self.loss(batch))

    def on_train_epoch_start(self):
        if self.current_epoch == int(fail_in):
            raise RuntimeError("the middle of it")

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.hparams.lr)


torch.set_num_threads(1)
L.seed_everything(7)
x = torch.randn(64, 3)
points = DataLoader(TensorDataset(x, x @ torch.tensor([[1.0], [2.0], [3.0]]) + 0.5), batch_size=16)
logger = MLFlowLogger(
    experiment_name=experiment,
    run_name="line",
    tracking_uri=os.environ["MLFLOW_TRACKING_URI"],
    tags={"team": "vision"},
    log_model={"none": False, "end": True, "all": "all"}[log_model],
    run_id=run_id[0] if run_id else None,
)
print("run", logger.run_id, flush=True)
checkpoint = ModelCheckpoint("checkpoints", "{epoch}", monitor="val_loss", save_top_k=2, save_last=True)
trainer = L.Trainer(
    max_epochs=3, logger=logger, callbacks=[checkpoint], log_every_n_steps=1, accelerator="cpu", enable_progress_bar=False
)
line = Line(lr=0.1, options={"a": [1, 2], "b": {"c": None}})
trainer.fit(line, points, points, ckpt_path="last" if run_id else None)
"""

# Loads a checkpoint, as its user would.
LOAD = """
import json, sys, torch
point = torch.load(sys.argv[1])
print(json.dumps([point["epoch"], point["global_step"], point["hyper_parameters"], point["state_dict"]["layer.weight"].shape]))
"""


def python(*arguments: str, **options) -> subprocess.CompletedProcess:
    assert VENV.exists(), f"{VENV} is not there: tests/nightly lightning makes it"
    return subprocess.run([VENV / "bin" / "python", "-c", *arguments], capture_output=True, text=True, **options)


@pytest.fixture
def train(server, experiment, client, tmp_path):
    """Trains and returns the run as the server has it, and what the script said last."""

    def train(log_model: str = "none", fail_in: int = -1, run_id: str | None = None):
        name = client.get_experiment(experiment).name
        arguments = [name, log_model, str(fail_in), *([run_id] if run_id else [])]
        done = python(SCRIPT, *arguments, cwd=tmp_path, env=os.environ | {"MLFLOW_TRACKING_URI": server})
        assert (done.returncode == 0) == (fail_in < 0), done.stderr
        [started] = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("run ")]
        return client.get_run(started), done.stderr

    return train


def checkpoints(client, run_id: str) -> dict[str, set[str]]:
    """The files of each folder of a checkpoint; nothing else is there."""
    assert {item.path for item in client.list_artifacts(run_id)} <= {"model"}
    folders = client.list_artifacts(run_id, "model/checkpoints")
    return {
        Path(folder.path).name: {Path(item.path).name for item in client.list_artifacts(run_id, folder.path)}
        for folder in folders
    }


def steps(client, run_id: str, key: str) -> list[int]:
    return [point.step for point in client.get_metric_history(run_id, key)]


def folder(name: str) -> set[str]:
    return {"aliases.txt", "metadata.yaml", f"{name}.ckpt"}


def test_training_logs_params_metrics_and_tags(client, experiment, train):
    run, _ = train()
    run_id = run.info.run_id
    assert (run.info.status, run.info.run_name, run.info.experiment_id) == ("FINISHED", "line", experiment)
    assert run.info.end_time >= run.info.start_time
    assert run.data.params == {"lr": "0.1", "options/a": "[1, 2]", "options/b/c": "None"}
    assert run.data.tags["team"] == "vision"
    assert run.data.tags["mlflow.source.type"] == "LOCAL"
    # 64 points in batches of 16, three times.
    assert steps(client, run_id, "train_loss_step") == list(range(12))
    assert steps(client, run_id, "train_loss_epoch") == steps(client, run_id, "val_loss") == [3, 7, 11]
    losses = [point.value for point in client.get_metric_history(run_id, "val_loss")]
    assert losses == sorted(losses, reverse=True)
    assert run.data.metrics["val_loss"] == losses[-1]
    # Of the points of one step, each is kept.
    assert steps(client, run_id, "epoch") == [0, 1, 2, 3, 3, 3, 4, 5, 6, 7, 7, 7, 8, 9, 10, 11, 11, 11]
    assert run.data.metrics["epoch"] == 2
    assert checkpoints(client, run_id) == {}
    found = client.search_runs([experiment], "metrics.val_loss < 1 and params.lr = '0.1' and tags.team = 'vision'")
    assert [one.info.run_id for one in found] == [run_id]


def test_the_best_checkpoints_are_artifacts_at_the_end(client, train, tmp_path):
    run, _ = train("end")
    run_id = run.info.run_id
    assert run.info.status == "FINISHED"
    assert checkpoints(client, run_id) == {name: folder(name) for name in ("epoch=1", "epoch=2", "last")}
    root = f"runs:/{run_id}/model/checkpoints"
    texts = {name: mlflow.artifacts.load_text(f"{root}/{name}/aliases.txt") for name in ("epoch=1", "epoch=2", "last")}
    aliases = {name: ast.literal_eval(text) for name, text in texts.items()}
    assert aliases == {"epoch=1": ["latest"], "epoch=2": ["latest", "best"], "last": ["latest"]}
    metadata = yaml.safe_load(mlflow.artifacts.load_text(f"{root}/epoch=2/metadata.yaml"))
    assert metadata["original_filename"] == "epoch=2.ckpt"
    assert metadata["score"] == pytest.approx(run.data.metrics["val_loss"])
    assert (metadata["Checkpoint"]["monitor"], metadata["Checkpoint"]["save_top_k"]) == ("val_loss", 2)
    for name in aliases:
        got = Path(mlflow.artifacts.download_artifacts(f"{root}/{name}/{name}.ckpt"))
        assert got.read_bytes() == (tmp_path / "checkpoints" / f"{name}.ckpt").read_bytes()
    loaded = python(LOAD, mlflow.artifacts.download_artifacts(f"{root}/epoch=2/epoch=2.ckpt"))
    assert loaded.returncode == 0, loaded.stderr
    assert json.loads(loaded.stdout) == [2, 12, {"lr": 0.1, "options": {"a": [1, 2], "b": {"c": None}}}, [1, 3]]


def test_every_checkpoint_is_an_artifact_as_it_is_made(client, train, tmp_path):
    run, _ = train("all")
    run_id = run.info.run_id
    assert checkpoints(client, run_id) == {name: folder(name) for name in ("epoch=0", "epoch=1", "epoch=2", "last")}
    # The first is no more among the best two, so that only the server has it.
    assert not (tmp_path / "checkpoints" / "epoch=0.ckpt").exists()
    loaded = python(LOAD, mlflow.artifacts.download_artifacts(f"runs:/{run_id}/model/checkpoints/epoch=0/epoch=0.ckpt"))
    assert json.loads(loaded.stdout)[:2] == [0, 4], loaded.stderr
    # Written over with each epoch, under one name.
    last = Path(mlflow.artifacts.download_artifacts(f"runs:/{run_id}/model/checkpoints/last/last.ckpt"))
    assert last.read_bytes() == (tmp_path / "checkpoints" / "last.ckpt").read_bytes()


@pytest.mark.parametrize("log_model", ["none", "end", "all"])
def test_training_that_fails_keeps_what_was_logged(client, experiment, train, log_model):
    run, said = train(log_model, fail_in=1)
    run_id = run.info.run_id
    assert said.splitlines()[-1] == "RuntimeError: the middle of it"
    assert run.info.status == "FAILED"
    assert run.info.end_time
    assert steps(client, run_id, "train_loss_step") == [0, 1, 2, 3]
    assert steps(client, run_id, "val_loss") == [3]
    made = {} if log_model == "none" else {name: folder(name) for name in ("epoch=0", "last")}
    assert checkpoints(client, run_id) == made
    assert [one.info.run_id for one in client.search_runs([experiment], "attributes.status = 'FAILED'")] == [run_id]


def test_training_goes_on_in_the_run_that_failed(client, experiment, train):
    failed, _ = train("end", fail_in=1)
    run_id = failed.info.run_id
    # The params are logged again; that they are the same is no error.
    run, _ = train("end", run_id=run_id)
    assert (run.info.run_id, run.info.status) == (run_id, "FINISHED")
    assert run.data.params == failed.data.params
    assert steps(client, run_id, "train_loss_step") == list(range(12))
    assert steps(client, run_id, "val_loss") == [3, 7, 11]
    assert set(checkpoints(client, run_id)) == {"epoch=0", "epoch=1", "epoch=2", "last"}
    assert len(client.search_runs([experiment])) == 1
