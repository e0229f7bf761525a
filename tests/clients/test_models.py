"""The model registry with the real client: registered, promoted, found, loaded; and on two devices."""

import mlflow
import numpy
import pytest
from devices import until
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.models import infer_signature
from sklearn.linear_model import LinearRegression

POINTS = numpy.array([[0.0], [1.0], [2.0]])


def fitted(slope: float = 2.0) -> LinearRegression:
    return LinearRegression().fit(POINTS, [1.0, 1.0 + slope, 1.0 + 2 * slope])


def log_line(slope: float = 2.0, **more) -> mlflow.models.model.ModelInfo:
    with mlflow.start_run():
        return mlflow.sklearn.log_model(fitted(slope), name="model", pip_requirements=[], **more)


class Doubled(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return [2 * value for value in model_input]


@pytest.fixture
def name(experiment) -> str:
    """A name that no other test uses."""
    return f"model-{experiment}"


def predicted(uri: str, at: float = 3.0) -> float:
    return float(mlflow.pyfunc.load_model(uri).predict(numpy.array([[at]]))[0])


def test_a_model_goes_from_run_to_production(client, experiment, name):
    first = log_line(2.0, registered_model_name=name)
    second = mlflow.register_model(f"models:/{log_line(5.0).model_id}", name)
    assert (int(first.registered_model_version), int(second.version)) == (1, 2)
    client.set_registered_model_alias(name, "champion", "1")
    client.transition_model_version_stage(name, "1", "staging")
    client.transition_model_version_stage(name, "1", "Production")
    for suffix in ("/1", "/Production", "@champion"):
        assert predicted(f"models:/{name}{suffix}") == pytest.approx(7.0), suffix
    assert predicted(f"models:/{name}/latest") == pytest.approx(16.0)
    client.transition_model_version_stage(name, "2", "Production", archive_existing_versions=True)
    assert client.get_model_version(name, "1").current_stage == "Archived"
    assert predicted(f"models:/{name}/production") == pytest.approx(16.0)
    client.set_registered_model_alias(name, "champion", "2")
    assert mlflow.sklearn.load_model(f"models:/{name}@champion").coef_[0] == pytest.approx(5.0)
    version = client.get_model_version_by_alias(name, "champion")
    assert (int(version.version), version.aliases) == (2, ["champion"])
    assert client.get_registered_model(name).aliases == {"champion": "2"}
    client.delete_registered_model_alias(name, "champion")
    with pytest.raises(MlflowException, match="Registered model alias champion not found"):
        client.get_model_version_by_alias(name, "champion")


def boosted_by_xgboost():
    import xgboost

    data = xgboost.DMatrix(POINTS, label=[1.0, 3.0, 5.0])
    return mlflow.xgboost, xgboost.train({"max_depth": 1, "nthread": 1}, data, num_boost_round=3), xgboost.DMatrix(POINTS)


def boosted_by_lightgbm():
    import lightgbm

    options = {"min_data_in_leaf": 1, "min_data_in_bin": 1, "verbose": -1, "num_threads": 1}
    data = lightgbm.Dataset(POINTS, label=[1.0, 3.0, 5.0])
    return mlflow.lightgbm, lightgbm.train(options, data, num_boost_round=3), POINTS


@pytest.mark.parametrize("boosted", [boosted_by_xgboost, boosted_by_lightgbm])
def test_boosted_trees_are_registered_promoted_and_loaded(client, experiment, name, boosted):
    flavor, model, points = boosted()
    with mlflow.start_run():
        flavor.log_model(model, name="model", registered_model_name=name, pip_requirements=[])
    client.set_registered_model_alias(name, "champion", "1")
    client.transition_model_version_stage(name, "1", "Production")
    expected = model.predict(points).tolist()
    assert flavor.load_model(f"models:/{name}@champion").predict(points).tolist() == expected
    assert mlflow.pyfunc.load_model(f"models:/{name}/Production").predict(POINTS).tolist() == expected


def test_a_version_knows_its_run_and_its_logged_model(client, experiment, name):
    logged = log_line(registered_model_name=name)
    version = client.get_model_version(name, "1")
    assert version.run_id == logged.run_id
    assert version.source == f"models:/{logged.model_id}"
    assert client.get_model_version_download_uri(name, "1").endswith(f"/models/{logged.model_id}/artifacts")
    tags = client.get_logged_model(logged.model_id).tags
    assert f'{{"name": "{name}", "version": 1}}' in tags["mlflow.modelVersions"]
    # By run and path, as scripts for older versions of MLflow do.
    again = mlflow.register_model(f"runs:/{logged.run_id}/model", name)
    assert (int(again.version), again.run_id) == (2, logged.run_id)
    assert predicted(f"models:/{name}/2") == pytest.approx(7.0)
    copy = client.copy_model_version(f"models:/{name}/1", f"{name}-copy")
    assert (copy.source, copy.run_id) == (f"models:/{name}/1", logged.run_id)
    assert predicted(f"models:/{name}-copy/1") == pytest.approx(7.0)


def test_a_python_function_and_files_of_a_run_are_registered(client, experiment, name):
    with mlflow.start_run() as run:
        mlflow.pyfunc.log_model(name="double", python_model=Doubled(), registered_model_name=name, pip_requirements=[])
    assert mlflow.pyfunc.load_model(f"models:/{name}/1").predict([4]) == [8]
    client.log_text(run.info.run_id, "weights", "plain/weights.txt")
    source = f"{run.info.artifact_uri}/plain"
    version = client.create_model_version(name, source, run.info.run_id)
    path = mlflow.artifacts.download_artifacts(f"models:/{name}/{version.version}/weights.txt")
    with open(path) as file:
        assert file.read() == "weights"


def test_descriptions_tags_and_names_change(client, experiment, name):
    client.create_registered_model(name, tags={"team": "risk"}, description="finds fraud")
    with pytest.raises(MlflowException, match=f"name={name}\\) already exists") as error:
        client.create_registered_model(name)
    assert error.value.error_code == "RESOURCE_ALREADY_EXISTS"
    client.create_model_version(name, "s3://bucket/model", tags={"a": "b"}, description="first")
    client.update_registered_model(name, "finds more")
    client.update_model_version(name, "1", "better")
    client.set_registered_model_tag(name, "team", "fraud")
    client.set_registered_model_tag(name, "gone", "1")
    client.delete_registered_model_tag(name, "gone")
    client.set_model_version_tag(name, "1", "checked", "yes")
    client.delete_model_version_tag(name, "1", "a")
    client.rename_registered_model(name, f"{name}-new")
    model = client.get_registered_model(f"{name}-new")
    assert (model.description, model.tags) == ("finds more", {"team": "fraud"})
    version = client.get_model_version(f"{name}-new", "1")
    assert (version.name, version.description, version.tags) == (f"{name}-new", "better", {"checked": "yes"})
    with pytest.raises(MlflowException, match="not found"):
        client.get_registered_model(name)
    # A new model of the name starts anew.
    client.create_registered_model(name)
    assert client.search_model_versions(f"name = '{name}'") == []


def test_what_is_deleted_is_gone_and_its_number_too(client, experiment, name):
    client.create_registered_model(name)
    for at in range(3):
        client.create_model_version(name, f"s3://bucket/{at}")
    client.delete_model_version(name, "3")
    with pytest.raises(MlflowException, match="not found") as error:
        client.get_model_version(name, "3")
    assert error.value.error_code == "RESOURCE_DOES_NOT_EXIST"
    assert int(client.create_model_version(name, "s3://bucket/4").version) == 4
    client.delete_registered_model(name)
    with pytest.raises(MlflowException, match="not found"):
        client.get_registered_model(name)
    client.create_registered_model(name)
    assert int(client.create_model_version(name, "s3://bucket/1").version) == 1


def test_models_and_versions_are_found_page_by_page(client, experiment, name):
    for at in range(5):
        client.create_registered_model(f"{name}-{at}", tags={"at": str(at), "test": name})
        for source in ("s3://a", "s3://b"):
            client.create_model_version(f"{name}-{at}", source, tags={"test": name})
    found, token = [], None
    while True:
        page = client.search_registered_models(
            f"tags.test = '{name}'", max_results=2, order_by=["name DESC"], page_token=token
        )
        found += [model.name for model in page]
        token = page.token
        if not token:
            break
    assert found == [f"{name}-{at}" for at in (4, 3, 2, 1, 0)]
    search = client.search_registered_models
    assert [model.name for model in search(f"name LIKE '{name}%' AND tags.at = '3'")] == [f"{name}-3"]
    assert [int(one.version) for one in search(f"name = '{name}-3'")[0].latest_versions] == [2]
    versions = client.search_model_versions(f"name = '{name}-1'", order_by=["version_number ASC"])
    assert [(int(one.version), one.source) for one in versions] == [(1, "s3://a"), (2, "s3://b")]
    versions = client.search_model_versions(f"tags.test = '{name}' AND version_number > 1 AND source_path ILIKE 'S3://B'")
    assert sorted(one.name for one in versions) == [f"{name}-{at}" for at in range(5)]
    with pytest.raises(MlflowException, match="Invalid attribute key 'creation_timestamp'"):
        client.search_model_versions("creation_timestamp > 1")


def test_sources_outside_of_what_is_named_are_refused(client, experiment, name):
    client.create_registered_model(name)
    run = client.create_run(experiment)
    other = client.create_run(experiment)
    for source, run_id in [
        ("/etc", None),
        ("file:///etc", run.info.run_id),
        (f"{run.info.artifact_uri}/model", other.info.run_id),
        (f"{run.info.artifact_uri}/../{other.info.run_id}", run.info.run_id),
        (f"{run.info.artifact_uri}/%2e%2e/x", run.info.run_id),
        (f"runs:/{run.info.run_id}/model", other.info.run_id),
        ("models:/m-0123456789abcdef0123456789abcdef", run.info.run_id),
    ]:
        with pytest.raises(MlflowException, match="Invalid model version source"):
            client.create_model_version(name, source, run_id)
    assert client.search_model_versions(f"name = '{name}'") == []


def test_prompts_are_kept_apart_from_models(client, experiment, name):
    prompt = mlflow.genai.register_prompt(name, "Say {{word}}.", commit_message="first", tags={"lang": "en"})
    assert (prompt.version, prompt.template) == (1, "Say {{word}}.")
    mlflow.genai.register_prompt(name, "Shout {{word}}!")
    mlflow.genai.set_prompt_alias(name, "live", 1)
    assert mlflow.genai.load_prompt(f"prompts:/{name}@live").format(word="hi") == "Say hi."
    assert mlflow.genai.load_prompt(f"prompts:/{name}/2").template == "Shout {{word}}!"
    assert name in [found.name for found in mlflow.genai.search_prompts()]
    assert client.search_registered_models(f"name = '{name}'") == []
    assert client.search_model_versions(f"name = '{name}'") == []
    with pytest.raises(MlflowException, match="already taken by a prompt"):
        client.create_registered_model(name)


@pytest.mark.runmesh_only
def test_a_semantic_version_is_seen_and_set_as_a_tag(client, experiment, name):
    client.create_registered_model(name)
    client.create_model_version(name, "s3://bucket/1", tags={"runmesh.semver": "1.0.0"})
    client.create_model_version(name, "s3://bucket/2")
    with pytest.raises(MlflowException, match="1.0.0 already"):
        client.set_model_version_tag(name, "2", "runmesh.semver", "1.0.0")
    with pytest.raises(MlflowException, match="must be MAJOR.MINOR.PATCH"):
        client.set_model_version_tag(name, "2", "runmesh.semver", "2")
    client.set_model_version_tag(name, "2", "runmesh.semver", "1.1.0-rc.1")
    found = client.search_model_versions(f"name = '{name}' AND tags.`runmesh.semver` LIKE '1.1%'")
    assert [(int(one.version), one.tags) for one in found] == [(2, {"runmesh.semver": "1.1.0-rc.1"})]


def use(device, experiment: str = "Default") -> MlflowClient:
    # The registry follows. To set it would leave MLFLOW_REGISTRY_URI behind for every later test.
    mlflow.set_tracking_uri(device.url)
    mlflow.set_experiment(experiment)
    return MlflowClient(device.url)


@pytest.fixture
def pair(devices):
    """Two devices of one workspace."""
    ann, bob = devices("ann").up(), devices("bob").up()
    bob.ask("join", ann.ask("invite")["ticket"])
    bob.ask("sync", "--wait")
    return ann, bob


@pytest.mark.runmesh_only
def test_a_model_is_loaded_where_it_was_only_synced(pair, monkeypatch):
    ann, bob = pair
    use(ann, "fraud")
    logged = log_line(2.0, registered_model_name="fraud")
    monkeypatch.setenv("USER", "ann lee")
    ann.ask("models", "promote", "fraud", "1", "--note", "best on the holdout")
    client = use(ann, "fraud")
    client.set_registered_model_alias("fraud", "champion", "1")
    bob.ask("sync", "--wait")
    use(bob, "fraud")
    for uri in (
        "models:/fraud/1",
        "models:/fraud@champion",
        "models:/fraud/Production",
        "models:/fraud/latest",
        f"models:/{logged.model_id}",
        f"runs:/{logged.run_id}/model",
    ):
        assert predicted(uri) == pytest.approx(7.0), uri
    history = bob.ask("models", "show", "fraud")["history"]
    promoted = next(event for event in history if event["what"] == "promoted")
    assert (promoted["note"], promoted["device_name"], promoted["version"]) == ("best on the holdout", "ann", 1)
    assert promoted["who"] == "ann lee"


@pytest.mark.runmesh_only
def test_one_number_registered_on_two_devices_while_apart(devices):
    """Each had version 1 before they met: a pinned number becomes no other model, and nothing is lost."""
    ann, bob = devices("ann").up(), devices("bob").up()
    for device, slope in ((ann, 2.0), (bob, 5.0)):
        use(device, "fraud")
        log_line(slope, registered_model_name="fraud")
        assert predicted("models:/fraud/1") == pytest.approx(1.0 + 3 * slope)
    bob.ask("join", ann.ask("invite")["ticket"])
    bob.ask("sync", "--wait")
    ann.ask("sync", "--wait")
    for device in (ann, bob):
        shown = device.ask("models", "show", "fraud")
        assert shown["conflicts"] == [{"number": 1}]
        assert [version["number"] for version in shown["all"]] == [1, 1]
    # Ann registered first: hers is the one that all who never served bob's serve.
    use(ann, "fraud")
    assert predicted("models:/fraud/1") == pytest.approx(7.0)
    use(bob, "fraud")
    of_bob, of_ann = bob.ask("models", "show", "fraud")["all"]
    with pytest.raises(MlflowException, match="on two devices while they were apart") as error:
        predicted("models:/fraud/1")
    assert of_bob["id"] in str(error.value) and of_ann["id"] in str(error.value)
    resolved = bob.ask("models", "resolve", "fraud", "--keep", of_bob["id"])
    assert (resolved["number"], resolved["served"]) == (1, True)
    bob.ask("sync", "--wait")
    for device in (ann, bob):
        use(device, "fraud")
        assert predicted("models:/fraud/1") == pytest.approx(16.0)
        assert predicted("models:/fraud/2") == pytest.approx(7.0)
        assert device.ask("models", "show", "fraud")["conflicts"] == []


@pytest.mark.runmesh_only
def test_an_alias_moved_on_two_devices_is_flagged_until_it_is_moved_again(pair):
    ann, bob = pair
    client = use(ann)
    client.create_registered_model("fraud")
    for at in range(3):
        client.create_model_version("fraud", f"s3://bucket/{at}")
    ann.ask("sync", "--wait")
    bob.down()
    client.set_registered_model_alias("fraud", "champion", "2")
    ann.down()
    bob.up()
    use(bob).set_registered_model_alias("fraud", "champion", "3")
    ann.up()
    until(lambda: any(peer["connected"] for peer in bob.ask("peers")), "they meet")
    bob.ask("sync", "--wait")
    ann.ask("sync", "--wait")
    seen = {use(device).get_model_version_by_alias("fraud", "champion").version for device in pair}
    assert len(seen) == 1
    for device in pair:
        assert device.ask("models", "show", "fraud")["conflicts"] == [{"alias": "champion"}]
    bob.ask("models", "promote", "fraud", "2", "--alias", "champion")
    bob.ask("sync", "--wait")
    for device in pair:
        assert device.ask("models", "show", "fraud")["conflicts"] == []
        assert int(use(device).get_model_version_by_alias("fraud", "champion").version) == 2


@pytest.mark.runmesh_only
def test_versions_follow_what_callers_see(devices):
    ann = devices("ann").up()
    use(ann, "fraud")
    frame = {"signature": infer_signature(POINTS, fitted().predict(POINTS))}
    runs = [log_line(slope, **frame).run_id for slope in (1.0, 2.0)]
    changed = log_line(3.0, signature=infer_signature(POINTS.astype("float32"), fitted().predict(POINTS))).run_id
    register = ("models", "register")
    named = ("--name", "fraud", "--path", "model")
    assert ann.ask(*register, runs[0], *named, "--bump", "minor")["semver"] == "1.0.0"
    second = ann.ask(*register, runs[1], *named, "--bump", "minor", "--note", "more data")
    assert (second["number"], second["semver"], second["run"]) == (2, "1.1.0", runs[1])
    refused = ann.run(*register, changed, *named, "--bump", "minor")
    assert refused.returncode == 5
    assert "float64" in refused.stderr and "float32" in refused.stderr and "--bump major" in refused.stderr
    assert ann.ask(*register, changed, *named, "--bump", "major")["semver"] == "2.0.0"
    ann.ask("models", "promote", "fraud", "2.0.0", "--note", "faster")
    # The model of float32 takes no other input.
    at = numpy.array([[1.0]], dtype="float32")
    assert mlflow.pyfunc.load_model("models:/fraud/Production").predict(at)[0] == pytest.approx(4.0)
    ann.ask("models", "rollback", "fraud", "--to", "1.1.0", "--note", "drifted")
    assert predicted("models:/fraud/Production", 1.0) == pytest.approx(3.0)
    shown = ann.ask("models", "show", "fraud")
    assert [version["stage"] for version in shown["all"]] == ["Archived", "Production", "None"]
    acts = [(event["what"], event["note"]) for event in shown["history"][:3]]
    assert acts == [("rolled_back", "drifted"), ("replaced", "drifted"), ("promoted", "faster")]
    assert ann.run("models", "promote", "fraud", "9.9.9").returncode == 4
    for words in (("models", "ls"), ("models", "show", "fraud")):
        said = ann.run(*words)
        assert said.returncode == 0 and "1.1.0" in said.stdout
