"""Experiments: created, found, renamed, tagged, deleted and restored through the client."""

import mlflow
import pytest
from mlflow.entities import ViewType
from mlflow.exceptions import MlflowException


def test_default_is_there_from_the_start(client):
    default = client.get_experiment("0")
    assert default.name == "Default"
    assert default.lifecycle_stage == "active"


def test_an_experiment_goes_through_its_life(client, request):
    name = f"{request.node.name} /&?#%é日本"
    id = client.create_experiment(name, tags={"team": "vision", "mlflow.note.content": "first note"})
    made = client.get_experiment(id)
    assert (made.name, made.tags["team"]) == (name, "vision")
    assert made.tags["mlflow.note.content"] == "first note"
    assert made.artifact_location == f"mlflow-artifacts:/{id}"
    assert made.creation_time > 0
    assert client.get_experiment_by_name(name).experiment_id == id

    client.rename_experiment(id, name + "2")
    assert client.get_experiment(id).name == name + "2"
    assert client.get_experiment_by_name(name) is None

    client.set_experiment_tag(id, "team", "audio")
    client.set_experiment_tag(id, "mlflow.note.content", "second note")
    client.delete_experiment_tag(id, "team")
    tags = client.get_experiment(id).tags
    assert "team" not in tags
    assert tags["mlflow.note.content"] == "second note"

    client.delete_experiment(id)
    assert client.get_experiment(id).lifecycle_stage == "deleted"
    assert client.get_experiment_by_name(name + "2").lifecycle_stage == "deleted"
    client.restore_experiment(id)
    assert client.get_experiment(id).lifecycle_stage == "active"


def test_ids_are_numbers_that_javascript_holds(client, experiment):
    assert 0 < int(experiment) < 1 << 53


def test_setting_a_new_experiment_creates_it_once(client, experiment):
    name = client.get_experiment(experiment).name
    assert mlflow.set_experiment(name).experiment_id == experiment
    assert len(client.search_experiments(filter_string=f"name = '{name}'")) == 1


def test_deleting_an_experiment_takes_its_runs_along_and_restoring_brings_them_back(client, experiment):
    run = client.create_run(experiment).info.run_id
    client.delete_experiment(experiment)
    assert client.get_run(run).info.lifecycle_stage == "deleted"
    with pytest.raises(MlflowException, match="active"):
        client.create_run(experiment)
    client.restore_experiment(experiment)
    assert client.get_run(run).info.lifecycle_stage == "active"
    assert [found.info.run_id for found in client.search_runs([experiment])] == [run]


def test_a_name_is_taken_even_by_a_deleted_experiment(client, experiment):
    name = client.get_experiment(experiment).name
    for _ in ("active", "deleted"):
        with pytest.raises(MlflowException, match="already exists") as refused:
            client.create_experiment(name)
        assert refused.value.error_code == "RESOURCE_ALREADY_EXISTS"
        if client.get_experiment(experiment).lifecycle_stage == "active":
            client.delete_experiment(experiment)


def test_experiments_are_searched_in_pages_in_the_order_asked_for(client, request):
    prefix = request.node.name
    ids = [client.create_experiment(f"{prefix}-{i}", tags={"group": prefix, "i": str(i)}) for i in range(7)]
    mine = f"name LIKE '{prefix}-%'"

    def names(**arguments):
        return [found.name for found in client.search_experiments(filter_string=mine, **arguments)]

    assert names(order_by=["name ASC"]) == [f"{prefix}-{i}" for i in range(7)]
    assert names(order_by=["name DESC"]) == [f"{prefix}-{i}" for i in reversed(range(7))]

    seen, token = [], None
    while True:
        page = client.search_experiments(filter_string=mine, order_by=["name ASC"], max_results=3, page_token=token)
        seen.append([found.experiment_id for found in page])
        token = page.token
        if not token:
            break
    assert seen == [ids[:3], ids[3:6], ids[6:]]

    by_tag = client.search_experiments(filter_string=f"tags.group = '{prefix}' AND tags.i = '4'")
    assert [found.experiment_id for found in by_tag] == [ids[4]]

    client.delete_experiment(ids[0])
    assert len(names()) == 6
    assert names(view_type=ViewType.DELETED_ONLY) == [f"{prefix}-0"]
    assert len(names(view_type=ViewType.ALL)) == 7


@pytest.mark.parametrize("name", ["", "x" * 501])
def test_a_name_that_is_none_is_refused(client, name):
    with pytest.raises(MlflowException) as refused:
        client.create_experiment(name)
    assert refused.value.error_code == "INVALID_PARAMETER_VALUE"


def test_an_unknown_experiment_is_absent(client):
    for call in (
        lambda: client.get_experiment("4503599627370495"),
        lambda: client.delete_experiment("4503599627370495"),
        lambda: client.set_experiment_tag("4503599627370495", "a", "b"),
        lambda: client.rename_experiment("4503599627370495", "b"),
    ):
        with pytest.raises(MlflowException) as refused:
            call()
        assert refused.value.error_code == "RESOURCE_DOES_NOT_EXIST"
    assert client.get_experiment_by_name("no such experiment") is None
