"""The description of the native API: what the daemon answers is what it says there, and it says nothing too much or too little.

Schemas are closed for these tests: a field that an answer has and the description lacks is a fault.
"""

import json

import pytest
from devices import Device
from jsonschema import Draft202012Validator
from mlflow import MlflowClient
from mlflow.entities import LoggedModelOutput
from wire import Wire

pytestmark = pytest.mark.runmesh_only

SCHEMAS = "#/components/schemas/"


def closed(schema, whole: bool = True):
    """The same schema, which lets nothing through that it does not name."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: closed(value, key != "allOf") for key, value in schema.items()}
    if "allOf" in schema:
        # Its parts stay open: what one of them names the other need not know.
        made["allOf"] = [closed(part, False) for part in schema["allOf"]]
        made["unevaluatedProperties"] = False
    elif whole and schema.get("type") == "object" and "properties" in schema:
        made["unevaluatedProperties"] = False
    return made


class Described:
    """The description, and a device that is held to it."""

    def __init__(self, device: Device, wire) -> None:
        self.device, self.wire = device, wire
        self.document = self.ask("get", "/openapi.json")
        self.asked: set[tuple[str, str]] = set()

    def ask(self, method: str, path: str, body=None, query: str = ""):
        token = self.device.ask("token")["token"]
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        answer = self.wire.send(method.upper(), f"/api/v1{path}{query}", data, headers)
        assert answer.status == 200, (method, path, answer.status, answer.body[:500])
        return json.loads(answer.body)

    def validator(self, schema) -> Draft202012Validator:
        schemas = self.document["components"]["schemas"]
        # A type that another takes into itself is not closed by itself.
        flattened = {part["$ref"] for one in schemas.values() for part in one.get("allOf", []) if "$ref" in part}
        every = {name: closed(one, SCHEMAS + name not in flattened) for name, one in schemas.items()}
        return Draft202012Validator({"components": {"schemas": every}, **schema})

    def check(self, method: str, path: str, body=None, query: str = "", **named: str):
        """Asks, holds question and answer against the description, and returns the answer."""
        operation = self.document["paths"][path][method]
        self.asked.add((method, path))
        if isinstance(body, dict):
            schema = operation["requestBody"]["content"]["application/json"]["schema"]
            self.validator(schema).validate(body)
        answer = self.ask(method, path.format(**named), body, query)
        self.validator(operation["responses"]["200"]["content"]["application/json"]["schema"]).validate(answer)
        return answer


@pytest.fixture
def described(devices):
    device = devices("ann").up()
    return Described(device, Wire(device.url))


def test_answers_are_what_the_description_says(described, devices):
    check, client = described.check, MlflowClient(described.device.url)
    experiment = check("post", "/experiments", {"name": "described"})["id"]
    run = client.create_run(experiment, run_name="first").info.run_id
    client.log_param(run, "lr", "0.1")
    for step, value in enumerate([1.0, float("nan"), float("inf")]):
        client.log_metric(run, "loss", value, step=step)
    client.set_tag(run, "NaN", "NaN")
    client.log_text(run, "flavors: {}\n", "model/MLmodel")
    model = client.create_logged_model(experiment, name="net", source_run_id=run)
    client.log_outputs(run, [LoggedModelOutput(model.model_id, 0)])
    at = {"run": run}

    columns = ["metrics.loss", "params.lr", "tags.NaN", "tags.none"]
    check("get", "/status")
    check("get", "/peers")
    check("get", "/members")
    check("get", "/conflicts")
    check("get", "/workspaces")
    check("post", "/workspaces/create", {"name": "side"})
    check("post", "/workspaces/rename", {"name": "side", "new_name": "lab"})
    check("get", "/experiments")
    check("post", "/experiments/{experiment}", {"description": "a note"}, experiment=experiment)
    assert check("get", "/columns", query=f"?experiment={experiment}")["metrics"] == ["loss"]
    check("post", "/curves", {"runs": [run], "keys": ["loss"], "points": 10})
    assert check("post", "/runs/search", {"experiments": ["described"], "limit": 5})["runs"]
    assert check("post", "/runs/table", {"experiments": [experiment], "columns": columns, "limit": 5})["rows"][0]["values"] == [
        "Infinity", "0.1", "NaN", None,
    ]
    check("post", "/runs/groups", {"experiments": [experiment], "by": "params.lr", "metrics": ["loss"]})
    check("post", "/runs/update", {"runs": [run], "set_tags": {"a": "b"}})
    check("post", "/views", {"name": "mine", "address": "#/experiments"})
    assert check("get", "/views")
    assert check("get", "/runs/{run}", **at)["outputs"]
    assert check("get", "/runs/{run}/artifacts", query="?path=model", **at)
    check("put", "/runs/{run}/artifact", b"bytes", query="?path=bytes.bin", **at)
    blob = check("get", "/runs/{run}/holders", query="?path=bytes.bin", **at)[0]["blob"]
    assert check("get", "/blobs/{hash}/holders", hash=blob)["holders"][0]["here"]
    check("get", "/transfers")
    assert check("post", "/pins", {"what": f"{run}/bytes.bin"})["blobs"] == 1
    assert check("get", "/pins")
    check("post", "/pins/remove", {"what": f"{run}/bytes.bin"})
    assert check("post", "/gc", {"dry_run": True, "force": False})["kept"]
    gone = client.create_run(experiment).info.run_id
    client.delete_run(gone)
    check("post", "/runs/{run}/purge", run=gone)
    gone = [client.create_run(experiment).info.run_id for _ in range(2)]
    for each in gone:
        client.delete_run(each)
    assert check("post", "/runs/purge", {"runs": gone})["runs"] == 2
    blob = check("get", "/runs/{run}/holders", **at)[0]["blob"]
    assert check("get", "/blobs/{hash}/holders", hash=blob)["holders"]
    check("post", "/pins", {"what": run})
    assert check("get", "/pins")
    check("post", "/pins/remove", {"what": run})
    check("get", "/transfers")
    check("post", "/gc", {"dry_run": True})
    assert check("get", "/logged-models/{model}", model=model.model_id)["name"] == "net"
    check("get", "/logged-models/{model}/artifacts", model=model.model_id)
    check("post", "/models/register", {"run": run, "name": "registered", "note": "first"})
    check("post", "/models/promote", {"name": "registered", "version": "1"})
    check("get", "/models")
    assert check("get", "/models/{name}", name="registered")["history"]
    assert check("get", "/runs/{run}/versions", run=run)[0]["model"] == "registered"
    invitation = check("post", "/invite", {"role": "writer", "uses": 1})
    check("get", "/members")
    check("get", "/recovery")
    check("get", "/doctor")
    assert check("get", "/doctor", query="?all=true")["checks"]
    assert check("post", "/doctor/rebuild", query="?all=true")["checks"]
    assert check("get", "/join") == []
    assert check("post", "/audit", {"run": run})["lines"]
    check("post", "/audit/verify")

    bob = devices("bob").up()
    bob.ask("join", "--leave-behind", invitation["ticket"])
    assert check("get", "/peers")
    check("post", "/sync", {"timeout_ms": 60_000})
    named = check("post", "/members/rename", {"device": "bob", "name": "robert"})
    check("post", "/members/role", {"device": named["id"], "role": "reader"})
    check("post", "/members/remove", {"device": named["id"]})
    assert check("get", "/members")["former"]
    check("post", "/invite", {"role": "reader", "uses": 2})
    # The recovery ticket cannot be revoked; the tickets stand in the order of their keys.
    open_tickets = [ticket for ticket in check("get", "/members")["tickets"] if not ticket["recovery"]]
    check("post", "/members/revoke", {"ticket": open_tickets[0]["key"]})


def test_an_error_is_what_the_description_says(described):
    answer = described.wire.send("GET", f"/api/v1/runs/{'0' * 32}", b"", {})
    assert answer.status == 404
    schema = described.document["paths"]["/runs/{run}"]["get"]["responses"]["default"]["content"]["application/json"]["schema"]
    described.validator(schema).validate(json.loads(answer.body))


def test_what_demands_the_token_says_so(described):
    for path, item in described.document["paths"].items():
        for method, operation in item.items():
            if path == "/events":
                continue  # It would answer for ever.
            wants = {} not in operation["security"]
            answer = described.wire.send(method.upper(), f"/api/v1{path}", b"", {})
            assert (answer.status == 401) == wants, (method, path)
