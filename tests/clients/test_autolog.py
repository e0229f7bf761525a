"""Autologging: a script that only says `autolog()` and trains."""

import mlflow
import numpy as np
from sklearn.linear_model import LogisticRegression


def test_scikit_learn_logs_itself(client, experiment):
    x = np.arange(40, dtype=float).reshape(20, 2)
    y = (x[:, 0] > 15).astype(int)
    # Models need the registry's endpoints, which this test leaves out.
    mlflow.sklearn.autolog(log_models=False)
    try:
        with mlflow.start_run() as run:
            LogisticRegression(C=0.5).fit(x, y)
    finally:
        mlflow.sklearn.autolog(disable=True)
    run = client.get_run(run.info.run_id)
    assert run.data.params["C"] == "0.5"
    assert run.data.metrics["training_score"] >= 0.9
    assert run.data.tags["estimator_name"] == "LogisticRegression"
    assert "training_confusion_matrix.png" in {item.path for item in client.list_artifacts(run.info.run_id)}
    assert [item.dataset.name for item in run.inputs.dataset_inputs] == ["dataset"]
