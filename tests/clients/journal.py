"""A client that writes without pause and notes what it was told is written."""

import dataclasses
import math
import random
import threading
import time

import requests
from devices import Device

API = "api/2.0/mlflow"


@dataclasses.dataclass
class Written:
    """What one run was told to hold."""

    points: dict[int, float] = dataclasses.field(default_factory=dict)
    params: dict[str, str] = dataclasses.field(default_factory=dict)
    artifacts: dict[str, bytes] = dataclasses.field(default_factory=dict)
    # A tag set again: the last that was acknowledged, and what was asked for since.
    tag: str | None = None
    asked: set[str] = dataclasses.field(default_factory=set)


class Writer(threading.Thread):
    """Writes to runs of its own, one request after the other; a request that fails is not asked again."""

    def __init__(self, device: Device, seed: str, largest_artifact: int = 1 << 16) -> None:
        super().__init__(daemon=True)
        self.device = device
        self.rng = random.Random(seed)
        self.largest_artifact = largest_artifact
        self.runs: dict[str, Written] = {}
        self.acknowledged = 0
        self.wrong: list[str] = []
        self.ended = threading.Event()
        self.http = requests.Session()

    def run(self) -> None:
        while not self.ended.is_set():
            try:
                self.step()
            except requests.RequestException:
                # Killed. What this request did is not known, and not asked for later.
                self.http = requests.Session()
                time.sleep(0.01)

    def end(self) -> None:
        self.ended.set()
        self.join()
        assert not self.wrong, self.wrong

    def ask(self, method: str, path: str, **kwargs) -> requests.Response:
        answer = self.http.request(method, f"{self.device.url}/{path}", timeout=60, **kwargs)
        if answer.status_code != 200:
            self.wrong.append(f"{path}: {answer.status_code}: {answer.text[:300]}")
            self.ended.set()
            answer.raise_for_status()
        self.acknowledged += 1
        return answer

    def step(self) -> None:
        rng = self.rng
        if not self.runs or rng.random() < 0.05:
            made = self.ask("POST", f"{API}/runs/create", json={"experiment_id": "0", "start_time": 1}).json()
            self.runs[made["run"]["info"]["run_id"]] = Written()
            return
        run_id = rng.choice(list(self.runs))
        run = self.runs[run_id]
        name, chance = f"{rng.getrandbits(40):x}", rng.random()
        if chance < 0.6:
            step, value = rng.randrange(1 << 40), rng.choice([rng.random(), "NaN", "Infinity"])
            point = {"run_id": run_id, "key": "loss", "value": value, "timestamp": 5, "step": step}
            self.ask("POST", f"{API}/runs/log-metric", json=point)
            run.points[step] = float(value)
        elif chance < 0.75:
            self.ask("POST", f"{API}/runs/log-parameter", json={"run_id": run_id, "key": name, "value": name})
            run.params[name] = name
        elif chance < 0.9:
            run.asked.add(name)
            self.ask("POST", f"{API}/runs/set-tag", json={"run_id": run_id, "key": "last", "value": name})
            run.tag, run.asked = name, set()
        else:
            data = rng.randbytes(rng.randrange(self.largest_artifact))
            self.ask("PUT", f"api/2.0/mlflow-artifacts/artifacts/0/{run_id}/artifacts/{name}", data=data)
            run.artifacts[name] = data

    def check(self, device: Device) -> None:
        """Finds on a device all that was acknowledged."""
        for run_id, written in self.runs.items():
            data = get(device, f"{API}/runs/get", run_id=run_id).json()["run"]["data"]
            params = {param["key"]: param["value"] for param in data.get("params", [])}
            assert written.params.items() <= params.items()
            tags = {tag["key"]: tag["value"] for tag in data.get("tags", [])}
            assert written.tag is None or tags["last"] in written.asked | {written.tag}
            history = get(device, f"{API}/metrics/get-history", run_id=run_id, metric_key="loss").json()
            found = {int(point["step"]): float(point["value"]) for point in history.get("metrics", [])}
            for step, value in written.points.items():
                assert found[step] == value or (math.isnan(value) and math.isnan(found[step])), (run_id, step)
            for name, data in written.artifacts.items():
                path = f"api/2.0/mlflow-artifacts/artifacts/0/{run_id}/artifacts/{name}"
                assert get(device, path).content == data, (run_id, name)


def get(device: Device, path: str, **query) -> requests.Response:
    answer = requests.get(f"{device.url}/{path}", params=query, timeout=120)
    assert answer.status_code == 200, f"{device.name}: {path}: {answer.status_code}: {answer.text[:300]}"
    return answer
