"""Runs side by side, as the command line shows them."""

import mlflow
import pytest


@pytest.mark.runmesh_only
def test_runs_are_compared_side_by_side(devices, tmp_path):
    ann = devices("ann").up()
    mlflow.set_tracking_uri(ann.url)
    mlflow.set_experiment("fraud")
    runs = []
    for rate, auc in ((0.1, 0.8), (0.2, 0.9)):
        with mlflow.start_run(run_name=f"rate {rate}") as run:
            mlflow.log_params({"rate": rate, "depth": 3})
            mlflow.log_metrics({"auc": auc, "loss": 1 - auc})
        runs.append(run.info.run_id)
    seen = ann.ask("compare", *runs, "--metric", "auc:max")
    assert [row["key"] for row in seen["params"]] == ["rate", "depth"]
    auc, loss = seen["metrics"]
    assert (auc["key"], auc["best"], auc["worst"]) == ("auc", [1], [0])
    assert (loss["direction"], loss["best"]) == ("min", [1])
    page = tmp_path / "compared.html"
    assert ann.run("compare", *runs, "--html", str(page)).returncode == 0
    assert "rate 0.2" in page.read_text()
