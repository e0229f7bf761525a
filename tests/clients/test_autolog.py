"""Autologging and callbacks: a script that says `autolog()`, or names MLflow to its library, and trains."""

import mlflow
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

X = np.arange(80, dtype=float).reshape(40, 2)
Y = (X[:, 0] > 35).astype(int)


@pytest.fixture
def autolog():
    """Turns a library's autologging on for the test alone."""
    on = []

    def autolog(flavor, **options) -> None:
        on.append(flavor)
        flavor.autolog(**options)

    yield autolog
    for flavor in on:
        flavor.autolog(disable=True)


def files(client, run_id: str) -> set[str]:
    return {item.path for item in client.list_artifacts(run_id)}


def test_scikit_learn_logs_itself(client, experiment, autolog):
    # Models have tests of their own.
    autolog(mlflow.sklearn, log_models=False)
    with mlflow.start_run() as run:
        LogisticRegression(C=0.5).fit(X, Y)
    run = client.get_run(run.info.run_id)
    assert run.data.params["C"] == "0.5"
    assert run.data.metrics["training_score"] >= 0.9
    assert run.data.tags["estimator_name"] == "LogisticRegression"
    assert "training_confusion_matrix.png" in files(client, run.info.run_id)
    assert [item.dataset.name for item in run.inputs.dataset_inputs] == ["dataset"]


def test_xgboost_logs_itself(client, experiment, autolog):
    import xgboost

    autolog(mlflow.xgboost, log_models=False)
    data = xgboost.DMatrix(X, label=Y)
    with mlflow.start_run() as run:
        options = {"objective": "binary:logistic", "max_depth": 2, "eval_metric": ["logloss", "error"]}
        xgboost.train(options, data, num_boost_round=5, evals=[(data, "train")], verbose_eval=False)
    run = client.get_run(run.info.run_id)
    assert run.data.params["max_depth"] == "2"
    assert run.data.metrics["train-error"] == 0
    history = client.get_metric_history(run.info.run_id, "train-logloss")
    assert [point.step for point in history] == [0, 1, 2, 3, 4]
    assert history[-1].value < history[0].value
    assert "feature_importance_weight.json" in files(client, run.info.run_id)


def test_lightgbm_logs_itself(client, experiment, autolog):
    import lightgbm

    autolog(mlflow.lightgbm, log_models=False)
    data = lightgbm.Dataset(X, label=Y)
    with mlflow.start_run() as run:
        options = {"objective": "binary", "metric": "binary_logloss", "min_data_in_leaf": 1, "verbose": -1, "num_threads": 1}
        lightgbm.train(options, data, num_boost_round=5, valid_sets=[data], valid_names=["train"])
    run = client.get_run(run.info.run_id)
    assert run.data.params["objective"] == "binary"
    assert len(client.get_metric_history(run.info.run_id, "train-binary_logloss")) == 5
    assert "feature_importance_gain.json" in files(client, run.info.run_id)


def test_optunas_callback_logs_each_trial(client, experiment):
    import optuna

    from optuna_integration.mlflow import MLflowCallback

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    callback = MLflowCallback(
        tracking_uri=mlflow.get_tracking_uri(), metric_name="error", create_experiment=False, mlflow_kwargs={"nested": True}
    )
    study = optuna.create_study(study_name="sweep", sampler=optuna.samplers.RandomSampler(seed=1))
    with mlflow.start_run() as parent:
        study.optimize(lambda trial: (trial.suggest_float("x", -1, 1) - 0.5) ** 2, n_trials=4, callbacks=[callback])
    trials = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'", order_by=["metrics.error"])
    assert len(trials) == 4
    best = trials[0]
    assert best.data.metrics["error"] == study.best_value
    assert float(best.data.params["x"]) == study.best_params["x"]
    assert best.data.tags["direction"] == "MINIMIZE"


def test_shap_explanations_are_artifacts(client, experiment, tmp_path):
    import shap

    model = LogisticRegression().fit(X, Y)
    with mlflow.start_run() as run:
        folder = mlflow.shap.log_explanation(model.predict, X[:5])
        explainer = shap.LinearExplainer(model, X)
        expected = explainer.shap_values(X[:3])
        with (tmp_path / "explainer.bin").open("wb") as file:
            explainer.save(file)
        mlflow.log_artifact(tmp_path / "explainer.bin", "explainer")
    names = {item.path for item in client.list_artifacts(run.info.run_id, "model_explanations_shap")}
    assert {"model_explanations_shap/shap_values.npy", "model_explanations_shap/base_values.npy"} <= names
    values = np.load(mlflow.artifacts.download_artifacts(f"{folder}/shap_values.npy"))
    assert values.shape == (5, 2)
    with open(mlflow.artifacts.download_artifacts(f"runs:/{run.info.run_id}/explainer/explainer.bin"), "rb") as file:
        again = shap.LinearExplainer.load(file)
    assert (again.shap_values(X[:3]) == expected).all()
