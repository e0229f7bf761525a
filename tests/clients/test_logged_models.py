"""Logged models with the real client: logged, finalized, measured, searched, loaded; and on a second device."""

import mlflow
import numpy
import pytest
from devices import until
from mlflow import MlflowClient
from mlflow.entities import LoggedModelInput, LoggedModelOutput, LoggedModelStatus
from mlflow.exceptions import MlflowException
from sklearn.linear_model import LinearRegression

POINTS = numpy.array([[0.0], [1.0], [2.0]])


def fitted() -> LinearRegression:
    return LinearRegression().fit(POINTS, [1.0, 3.0, 5.0])


def test_a_model_is_logged_as_the_client_logs_it(client, experiment):
    with mlflow.start_run() as run:
        info = mlflow.sklearn.log_model(fitted(), name="line", params={"degree": 1}, step=3, pip_requirements=[])
    model = client.get_logged_model(info.model_id)
    assert (model.name, model.status, model.source_run_id) == ("line", LoggedModelStatus.READY, run.info.run_id)
    assert (model.experiment_id, model.params, model.model_type) == (experiment, {"degree": "1"}, "")
    assert model.artifact_location == f"mlflow-artifacts:/{experiment}/models/{info.model_id}/artifacts"
    seen = client.get_run(run.info.run_id)
    assert [(output.model_id, output.step) for output in seen.outputs.model_outputs] == [(info.model_id, 3)]
    for uri in (f"models:/{info.model_id}", f"runs:/{run.info.run_id}/line"):
        assert mlflow.sklearn.load_model(uri).predict([[3.0]])[0] == pytest.approx(7.0)
    assert mlflow.pyfunc.load_model(f"models:/{info.model_id}").predict(POINTS)[2] == pytest.approx(5.0)
    files = {file.path for file in client.list_logged_model_artifacts(info.model_id)}
    assert {"MLmodel", "requirements.txt"} <= files


def test_a_model_without_a_run_and_its_life(client, experiment):
    model = client.create_logged_model(experiment, "bare", model_type="agent", tags={"a": "1"}, params={"p": "1"})
    assert (model.status, model.source_run_id or None) == (LoggedModelStatus.PENDING, None)
    client.log_model_params(model.model_id, {"q": "2"})
    client.set_logged_model_tags(model.model_id, {"a": "2", "b": "3"})
    client.delete_logged_model_tag(model.model_id, "b")
    with pytest.raises(MlflowException, match="No tag with key 'b' found"):
        client.delete_logged_model_tag(model.model_id, "b")
    done = client.finalize_logged_model(model.model_id, "FAILED")
    assert (done.status, done.tags, done.params) == (LoggedModelStatus.FAILED, {"a": "2"}, {"p": "1", "q": "2"})
    assert done.last_updated_timestamp >= done.creation_timestamp
    with pytest.raises(MlflowException) as error:
        client.log_model_params(model.model_id, {"q": "3"})
    assert error.value.get_http_status_code() == 400
    client.delete_logged_model(model.model_id)
    with pytest.raises(MlflowException, match="not found") as error:
        client.get_logged_model(model.model_id)
    assert error.value.error_code == "RESOURCE_DOES_NOT_EXIST"
    assert client.search_logged_models([experiment]) == []


@pytest.mark.parametrize("name", ["a/b", "a:b", "a.b", "50%", 'say "a"', "it's"])
def test_names_that_no_model_may_have(client, experiment, name):
    with pytest.raises(MlflowException, match="Invalid model name"):
        client.create_logged_model(experiment, name)


def test_metrics_are_of_a_model_and_a_dataset(client, experiment, run_id):
    model, other = (client.create_logged_model(experiment, name) for name in ("tree", "forest"))
    train = dict(dataset_name="train", dataset_digest="t1")
    client.log_metric(run_id, "auc", 0.9, step=1, timestamp=10, model_id=model.model_id, **train)
    client.log_metric(run_id, "auc", 0.7, step=2, timestamp=20, model_id=model.model_id)
    client.log_metric(run_id, "auc", 0.8, step=1, timestamp=10, model_id=other.model_id, **train)
    points = {
        (metric.key, metric.value, metric.step, metric.dataset_name, metric.dataset_digest, metric.run_id)
        for metric in client.get_logged_model(model.model_id).metrics
    }
    assert points == {("auc", 0.9, 1, "train", "t1", run_id), ("auc", 0.7, 2, None, None, run_id)}
    client.log_inputs(run_id, models=[LoggedModelInput(other.model_id)])
    client.log_outputs(run_id, [LoggedModelOutput(model.model_id, 4)])
    run = client.get_run(run_id)
    assert [model.model_id for model in run.inputs.model_inputs] == [other.model_id]

    def found(filter_string=None, **more):
        page = client.search_logged_models([experiment], filter_string=filter_string, **more)
        return [model.name for model in page]

    assert found("metrics.auc > 0.85") == ["tree"]
    assert found("metrics.auc > 0.75 AND name = 'forest'") == ["forest"]
    datasets = [{"dataset_name": "train", "dataset_digest": "t1"}]
    assert sorted(found(datasets=datasets)) == ["forest", "tree"]
    assert found("metrics.auc < 0.75", datasets=datasets) == []
    by_auc = {"field_name": "metrics.auc", "ascending": False}
    assert found(order_by=[by_auc]) == ["forest", "tree"]
    assert found(order_by=[by_auc | {"dataset_name": "train"}]) == ["tree", "forest"]


def test_a_search_is_paged_and_its_tokens_are_of_that_search(client, experiment):
    for number in range(5):
        model = client.create_logged_model(experiment, f"m{number}", tags={"odd": str(number % 2)})
    client.finalize_logged_model(model.model_id, "READY")
    by_name = [{"field_name": "name", "ascending": True}]
    names, token = [], None
    while True:
        page = client.search_logged_models([experiment], max_results=2, page_token=token, order_by=by_name)
        names += [model.name for model in page]
        token = page.token
        if not token:
            break
        with pytest.raises(MlflowException, match="does not match"):
            client.search_logged_models([experiment], filter_string="name = 'x'", page_token=token, order_by=by_name)
    assert names == [f"m{number}" for number in range(5)]
    table = mlflow.search_logged_models([experiment], filter_string="tags.odd = '1'")
    assert sorted(table["name"]) == ["m1", "m3"]
    # The latest first.
    found = mlflow.search_logged_models([experiment], output_format="list")
    assert [model.creation_timestamp for model in found] == sorted(
        (model.creation_timestamp for model in found), reverse=True
    )


@pytest.mark.runmesh_only
def test_a_status_is_found_by_its_word(client, experiment):
    model = client.create_logged_model(experiment, "ready")
    client.create_logged_model(experiment, "pending")
    client.finalize_logged_model(model.model_id, "READY")
    for word in ("READY", "LOGGED_MODEL_READY"):
        found = client.search_logged_models([experiment], filter_string=f"status = '{word}'")
        assert [model.name for model in found] == ["ready"]


def test_a_deleted_experiment_takes_no_new_models(client, experiment):
    client.delete_experiment(experiment)
    with pytest.raises(MlflowException, match="must be in the 'active' state"):
        client.create_logged_model(experiment, "late")


@pytest.mark.runmesh_only
def test_a_model_of_one_device_is_loaded_and_measured_on_another(devices):
    ann, bob = devices("ann").up(), devices("bob").up("--blobs", "none")
    mlflow.set_tracking_uri(ann.url)
    experiment = mlflow.set_experiment("lines").experiment_id
    with mlflow.start_run():
        info = mlflow.sklearn.log_model(fitted(), name="line", pip_requirements=[])
    bob.ask("join", ann.ask("invite")["ticket"])
    bob.ask("sync", "--wait")
    mlflow.set_tracking_uri(bob.url)
    of_bob = MlflowClient(bob.url)
    assert of_bob.get_logged_model(info.model_id).status == LoggedModelStatus.READY
    # Its files are fetched as they are read.
    assert mlflow.sklearn.load_model(f"models:/{info.model_id}").predict([[4.0]])[0] == pytest.approx(9.0)
    run = of_bob.create_run(experiment)
    of_bob.log_metric(run.info.run_id, "r2", 0.75, model_id=info.model_id)
    of_ann = MlflowClient(ann.url)
    measured = until(lambda: of_ann.get_logged_model(info.model_id).metrics, "ann has what bob measured")
    assert [(metric.key, metric.value, metric.run_id) for metric in measured] == [("r2", 0.75, run.info.run_id)]
