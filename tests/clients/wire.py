"""HTTP as it goes over the wire: requests that no well-behaved client sends, with nothing tidied up."""

import dataclasses
import http.client
import json
from urllib.parse import urlsplit


@dataclasses.dataclass
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return self.json["error_code"]

    @property
    def message(self) -> str:
        return self.json["message"]


class Unchecked(http.client.HTTPConnection):
    """Sends paths that http.client would refuse."""

    def _validate_path(self, url: str) -> None:
        pass


class Wire:
    """A server's address. Paths are sent exactly as given, bytes that HTTP allows in them too."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.host, self.port = parts.hostname, parts.port

    def send(self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Answer:
        connection = Unchecked(self.host, self.port, timeout=60)
        try:
            connection.putrequest(method, path, skip_accept_encoding=True, skip_host="Host" in (headers or {}))
            for name, value in (headers or {}).items():
                connection.putheader(name, value)
            if body is not None:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def post(self, path: str, body) -> Answer:
        """Posts JSON to MLflow's API; bytes are sent as they are."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.send("POST", f"/api/2.0/mlflow/{path}", data, {"Content-Type": "application/json"})

    def get(self, path: str) -> Answer:
        return self.send("GET", f"/api/2.0/mlflow/{path}")
