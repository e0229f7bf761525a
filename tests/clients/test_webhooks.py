"""Webhooks with the real client: configured on a device, sent by it, signed as MLflow signs."""

import http.server
import json
import os
import queue
import stat
import threading

import pytest
from devices import PATIENCE_S
from mlflow import MlflowClient
from mlflow.entities.webhook import WebhookAction, WebhookEntity, WebhookEvent, WebhookStatus
from mlflow.exceptions import MlflowException
from mlflow.webhooks.delivery import _generate_hmac_signature

pytestmark = pytest.mark.runmesh_only

CREATED = WebhookEvent(WebhookEntity.REGISTERED_MODEL, WebhookAction.CREATED)
TAGGED = WebhookEvent(WebhookEntity.MODEL_VERSION_TAG, WebhookAction.SET)
SECRET = "a secret"


class Receiver:
    """An HTTP server of the test's own that keeps what it is sent."""

    def __init__(self) -> None:
        self.received = queue.Queue()
        self.answers = []
        self.may_answer = threading.Event()
        self.may_answer.set()
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.received.put((self.headers, body.decode()))
                receiver.may_answer.wait(PATIENCE_S)
                self.send_response(receiver.answers.pop(0) if receiver.answers else 200)
                self.end_headers()
                self.wfile.write(b"heard")

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def next(self) -> dict:
        """The next event, whose signature must be right."""
        headers, body = self.received.get(timeout=PATIENCE_S)
        parts = (headers["X-MLflow-Delivery-Id"], headers["X-MLflow-Timestamp"], body)
        assert headers["X-MLflow-Signature"] == _generate_hmac_signature(SECRET, *parts)
        assert headers["Content-Type"] == "application/json"
        event = json.loads(body)
        # As MLflow orders it, so that what a receiver shows of it says first what it is about.
        assert list(event) == ["entity", "action", "timestamp", "data"]
        assert next(iter(event["data"])) == "name"
        return event


@pytest.fixture
def receiver():
    receiver = Receiver()
    yield receiver
    receiver.may_answer.set()
    receiver.server.shutdown()


@pytest.fixture
def ann(devices):
    return devices("ann").up("--webhooks", "any")


def test_a_webhook_is_told_and_can_tell_who_told_it(ann, receiver):
    client = MlflowClient(ann.url)
    hook = client.create_webhook("ci", receiver.url, [CREATED, TAGGED], description="builds", secret=SECRET)
    assert (hook.name, hook.url, hook.description, hook.status) == ("ci", receiver.url, "builds", WebhookStatus.ACTIVE)
    tested = client.test_webhook(hook.webhook_id)
    assert (tested.success, tested.response_status, tested.response_body) == (True, 200, "heard")
    event = receiver.next()
    assert (event["entity"], event["action"]) == ("registered_model", "created")
    assert event["data"]["name"] == "example_model"
    client.test_webhook(hook.webhook_id, event=TAGGED)
    assert receiver.next()["data"] == {"name": "example_model", "version": "1", "key": "example_key", "value": "example_value"}
    receiver.answers.append(404)
    tested = client.test_webhook(hook.webhook_id)
    assert (tested.success, tested.response_status) == (False, 404)


def test_what_is_done_in_the_registry_is_told(ann, receiver):
    client = MlflowClient(ann.url)
    names = ["registered_model.created", "model_version.created", "model_version_tag.set", "model_version_tag.deleted"]
    names += ["model_version_alias.created", "model_version_alias.deleted"]
    client.create_webhook("ci", receiver.url, [WebhookEvent.from_str(name) for name in names], secret=SECRET)
    # A receiver that does not answer holds up nobody.
    receiver.may_answer.clear()
    client.create_registered_model("fraud", tags={"team": "risk"}, description="finds fraud")
    client.create_model_version("fraud", "s3://bucket/model")
    client.set_model_version_tag("fraud", "1", "checked", "yes")
    client.set_registered_model_alias("fraud", "champion", "1")
    client.delete_registered_model_alias("fraud", "champion")
    client.delete_model_version_tag("fraud", "1", "checked")
    receiver.may_answer.set()
    told = [receiver.next() for _ in names]
    told = {f"{event['entity']}.{event['action']}": event["data"] for event in told}
    assert set(told) == set(names)
    assert told["registered_model.created"] == {"name": "fraud", "tags": {"team": "risk"}, "description": "finds fraud"}
    assert list(told["model_version.created"]) == ["name", "version", "source", "run_id", "tags", "description"]
    assert (told["model_version.created"]["version"], told["model_version.created"]["source"]) == ("1", "s3://bucket/model")
    assert told["model_version_tag.set"] == {"name": "fraud", "version": "1", "key": "checked", "value": "yes"}
    assert told["model_version_alias.deleted"] == {"name": "fraud", "alias": "champion"}


def test_the_life_of_a_webhook(ann):
    client = MlflowClient(ann.url)
    hooks = [client.create_webhook(f"hook-{number}", "https://example.com/", [CREATED]) for number in range(3)]
    assert [hook.name for hook in client.list_webhooks(max_results=2)] == ["hook-2", "hook-1"]
    token = client.list_webhooks(max_results=2).token
    assert [hook.name for hook in client.list_webhooks(max_results=2, page_token=token)] == ["hook-0"]
    changed = client.update_webhook(hooks[0].webhook_id, name="new", events=[TAGGED], status=WebhookStatus.DISABLED)
    assert (changed.name, changed.events, changed.status) == ("new", [TAGGED], WebhookStatus.DISABLED)
    ann.kill()
    ann.up("--webhooks", "any")
    assert client.get_webhook(hooks[0].webhook_id).name == "new"
    for events in ([CREATED, TAGGED], [TAGGED, CREATED]):
        assert client.update_webhook(hooks[1].webhook_id, events=events).events == events
    with pytest.raises(MlflowException, match="cannot be empty or just whitespace"):
        client.update_webhook(hooks[1].webhook_id, url="   ")
    client.delete_webhook(hooks[0].webhook_id)
    with pytest.raises(MlflowException, match="not found"):
        client.get_webhook(hooks[0].webhook_id)
    for name in ("no spaces", "-x", "x" * 64):
        with pytest.raises(MlflowException, match="is invalid"):
            client.create_webhook(name, "https://example.com/", [CREATED])


def test_secrets_stay_on_the_device(devices, receiver):
    ann, bob = devices("ann").up("--webhooks", "any"), devices("bob").up()
    bob.ask("join", ann.ask("invite")["ticket"])
    client = MlflowClient(ann.url)
    client.create_webhook("ci", receiver.url, [CREATED], secret=SECRET)
    ann.ask("sync", "--wait")
    bob.ask("sync", "--wait")
    assert list(MlflowClient(bob.url).list_webhooks()) == []
    file = ann.home / "webhooks.json"
    assert stat.S_IMODE(os.stat(file).st_mode) == 0o600 and SECRET in file.read_text()
    assert all(hook.secret is None for hook in client.list_webhooks())


@pytest.mark.parametrize("url", ["http://example.com/", "https://127.0.0.1/", "https://localhost/", "https://[::1]/", "https://10.0.0.1/", "ftp://8.8.8.8/", "x"])
def test_by_default_only_the_internet_is_told(devices, url):
    client = MlflowClient(devices("ann").up().url)
    with pytest.raises(MlflowException, match="scheme|non-public|Invalid webhook URL") as error:
        client.create_webhook("ci", url, [CREATED])
    assert error.value.error_code == "INVALID_PARAMETER_VALUE"
