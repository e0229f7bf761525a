"""Evaluation datasets and scorers with the real client, as far as it needs no network."""

import json
import uuid

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.genai.datasets import create_dataset, delete_dataset, get_dataset, search_datasets
from mlflow.genai.scorers import Correctness, Safety, delete_scorer, get_scorer, list_scorers, scorer


def name_of(kind: str) -> str:
    return f"{kind} {uuid.uuid4().hex[:8]}"


def test_an_evaluation_dataset_and_its_records(client, experiment):
    name = name_of("questions")
    dataset = create_dataset(name=name, experiment_id=experiment, tags={"team": "nlp"})
    assert dataset.dataset_id.startswith("d-") and dataset.experiment_ids == [experiment]
    dataset.merge_records([
        {"inputs": {"question": "why"}, "expectations": {"answer": "because"}, "tags": {"by": "ann"}},
        {"inputs": {"question": "who", "k": 3}, "outputs": {"text": "nobody"}},
    ])
    dataset.merge_records([{"inputs": {"question": "why"}, "expectations": {"tone": "calm"}}])
    held = get_dataset(name=name)
    assert held.dataset_id == dataset.dataset_id
    assert held.name == name and json.loads(held.profile) == {"num_records": 2}
    assert json.loads(held.schema)["inputs"] == {"k": "integer", "question": "string"}
    table = held.to_df()
    assert [inputs["question"] for inputs in table["inputs"]] == ["why", "who"]
    assert table["expectations"][0] == {"answer": "because", "tone": "calm"}
    assert table["tags"][0]["by"] == "ann" and table["outputs"][1] == {"text": "nobody"}
    assert all(record.startswith("dr-") for record in table["dataset_record_id"])
    assert held.delete_records([table["dataset_record_id"][0]]) == 1
    again = get_dataset(dataset_id=dataset.dataset_id)
    assert len(again.to_df()) == 1 and again.digest
    delete_dataset(dataset_id=dataset.dataset_id)
    with pytest.raises(MlflowException, match="not found"):
        client.get_dataset(dataset.dataset_id)


def test_datasets_are_found_by_name_tag_and_experiment(client, experiment):
    first, second = name_of("first"), name_of("second")
    of_experiment = create_dataset(name=first, experiment_id=experiment, tags={"kind": first})
    other = create_dataset(name=second, experiment_id="0", tags={"kind": second})

    def found(**how):
        return [dataset.name for dataset in search_datasets(**how)]

    assert found(experiment_ids=experiment) == [first]
    assert found(filter_string=f"tags.kind = '{second}'") == [second]
    assert found(filter_string=f"name = '{first}'") == [first]
    assert found(filter_string=f"name IN ('{first}', '{second}')", order_by=["name DESC"]) == [second, first]
    client.add_dataset_to_experiments(other.dataset_id, [experiment])
    assert found(experiment_ids=[experiment], order_by=["created_time ASC"]) == [first, second]
    client.remove_dataset_from_experiments(of_experiment.dataset_id, [experiment])
    assert found(experiment_ids=[experiment]) == [second]
    client.set_dataset_tags(other.dataset_id, {"kind": "new", "size": 5})
    client.delete_dataset_tag(other.dataset_id, "absent")
    assert get_dataset(dataset_id=other.dataset_id).tags["size"] == "5"
    with pytest.raises(MlflowException, match="No Experiment with id"):
        client.add_dataset_to_experiments(other.dataset_id, ["123456789"])


def test_records_come_by_pages(client, experiment, wire):
    dataset = create_dataset(name=name_of("many"), experiment_id=experiment)
    dataset.merge_records([{"inputs": {"n": number}} for number in range(7)])
    seen, token = [], ""
    while True:
        path = f"/api/3.0/mlflow/datasets/{dataset.dataset_id}/records?max_results=3&page_token={token}"
        page = wire.send("GET", path).json
        seen += [record["inputs"]["n"] for record in json.loads(page["records"])]
        token = page.get("next_page_token", "").replace("=", "%3D")
        if not token:
            break
    assert sorted(seen) == list(range(7)) and len(seen) == 7


def test_what_is_no_record_is_refused(client, experiment, wire):
    dataset = create_dataset(name=name_of("strict"), experiment_id=experiment)
    path = f"/api/3.0/mlflow/datasets/{dataset.dataset_id}/records"
    for records in ('[{"inputs": {"a": 1}, "source": {"source_type": "nowhere"}}]',):
        body = json.dumps({"records": records}).encode()
        answer = wire.send("POST", path, body, {"Content-Type": "application/json"})
        assert (answer.status, answer.code) == (400, "INVALID_PARAMETER_VALUE")


@pytest.mark.runmesh_only
@pytest.mark.parametrize("records", ["x", "[5]", '[{"inputs": 5}]', '{"inputs": {}}', "[{}, null]"])
def test_what_is_no_list_of_records_is_the_clients_mistake(client, experiment, wire, records):
    dataset = create_dataset(name=name_of("strict"), experiment_id=experiment)
    path = f"/api/3.0/mlflow/datasets/{dataset.dataset_id}/records"
    body = json.dumps({"records": records}).encode()
    answer = wire.send("POST", path, body, {"Content-Type": "application/json"})
    assert (answer.status, answer.code) == (400, "INVALID_PARAMETER_VALUE")


def test_scorers_have_versions(client, experiment):
    first = Safety(name="safe").register(experiment_id=experiment)
    second = Safety(name="safe").register(experiment_id=experiment)
    Correctness(name="right").register(experiment_id=experiment)
    assert (first.name, second.name) == ("safe", "safe")
    assert [held.name for held in list_scorers(experiment_id=experiment)] == ["right", "safe"]
    assert isinstance(get_scorer(name="safe", experiment_id=experiment), Safety)
    store = client._tracking_client.store
    versions = store.list_scorer_versions(experiment, "safe")
    assert [version.scorer_version for version in versions] == [1, 2]
    assert len({version.scorer_id for version in versions}) == 1
    with pytest.raises(MlflowException, match="version 9 not found"):
        get_scorer(name="safe", experiment_id=experiment, version=9)
    delete_scorer(name="safe", experiment_id=experiment, version=1)
    assert [version.scorer_version for version in store.list_scorer_versions(experiment, "safe")] == [2]
    delete_scorer(name="safe", experiment_id=experiment, version="all")
    with pytest.raises(MlflowException, match="Scorer with name 'safe' not found"):
        get_scorer(name="safe", experiment_id=experiment)


def test_a_scorer_that_carries_code_is_refused(client, experiment):
    @scorer
    def is_short(outputs) -> bool:
        return len(outputs) < 10

    with pytest.raises(MlflowException, match="Custom scorer registration"):
        is_short.register(experiment_id=experiment)


@pytest.mark.runmesh_only
def test_a_dataset_and_a_scorer_of_one_device_are_used_on_another(devices):
    ann, bob = devices("ann").up(), devices("bob").up()
    bob.ask("join", ann.ask("invite")["ticket"])
    mlflow.set_tracking_uri(ann.url)
    experiment = mlflow.set_experiment("questions").experiment_id
    dataset = create_dataset(name="questions", experiment_id=experiment)
    dataset.merge_records([{"inputs": {"question": "why"}}])
    Safety(name="safe").register(experiment_id=experiment)
    ann.ask("sync", "--wait")
    mlflow.set_tracking_uri(bob.url)
    held = get_dataset(name="questions")
    held.merge_records([{"inputs": {"question": "why"}, "expectations": {"answer": "so"}}, {"inputs": {"question": "who"}}])
    Safety(name="safe").register(experiment_id=experiment)
    bob.ask("sync", "--wait")
    mlflow.set_tracking_uri(ann.url)
    table = get_dataset(name="questions").to_df()
    assert [inputs["question"] for inputs in table["inputs"]] == ["why", "who"]
    assert table["expectations"][0] == {"answer": "so"}
    versions = MlflowClient(ann.url)._tracking_client.store.list_scorer_versions(experiment, "safe")
    assert [version.scorer_version for version in versions] == [1, 2]
