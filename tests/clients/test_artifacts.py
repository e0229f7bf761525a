"""Artifacts: whatever the client logs comes back byte for byte, under its name, wherever it is asked for."""

import hashlib
import json
import random
from pathlib import Path

import matplotlib.pyplot as plt
import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from PIL import Image


def files(folder) -> dict[str, bytes]:
    root = Path(folder)
    return {str(file.relative_to(root)): file.read_bytes() for file in root.rglob("*") if file.is_file()}


def write(folder: Path, contents: dict[str, bytes]) -> None:
    for path, content in contents.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


def listing(client, run_id, path=None) -> dict[str, int | None]:
    """Path and size of each artifact in a folder; folders have none."""
    return {item.path: None if item.is_dir else item.file_size or 0 for item in client.list_artifacts(run_id, path)}


@pytest.fixture
def run(experiment):
    with mlflow.start_run() as run:
        yield run.info.run_id


def test_a_folder_comes_back_as_it_was(client, run, tmp_path, rng):
    contents = {
        "model/weights.bin": rng.randbytes(3_000_000),
        "model/deep/er/est.txt": b"here",
        "empty": b"",
        "notes.md": "Größe 日本\r\n".encode(),
    }
    write(tmp_path / "in", contents)
    mlflow.log_artifacts(tmp_path / "in")
    mlflow.log_artifacts(tmp_path / "in", "copy/of it")
    assert files(client.download_artifacts(run, "")) == contents | {f"copy/of it/{k}": v for k, v in contents.items()}
    part = client.download_artifacts(run, "copy/of it/model")
    assert files(part) == {"weights.bin": contents["model/weights.bin"], "deep/er/est.txt": b"here"}
    assert listing(client, run) == {"copy": None, "empty": 0, "model": None, "notes.md": len(contents["notes.md"])}
    assert listing(client, run, "model") == {"model/deep": None, "model/weights.bin": 3_000_000}
    assert listing(client, run, "model/deep/er") == {"model/deep/er/est.txt": 4}
    assert listing(client, run, "nothing") == {}


# Without "?", which the client itself cuts off, and "%" before two hexadecimal digits, which MLflow's
# server decodes as often as it can.
ODD_NAMES = [
    "with space.txt",
    "100%.txt",
    "plus+and&and=.txt",
    "quote'and\"quote.txt",
    "ünïcödé 日本 \U0001f40d.txt",
    "semi;colon,comma.txt",
    "(round)[square]{curly}.txt",
    ".hidden",
    "no-extension",
    "tilde~at@dollar$.txt",
    "a" * 200 + ".txt",
    "ends with dot.",
    "-dash",
]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_are_names(client, run, tmp_path, name):
    content = name.encode() * 3
    write(tmp_path, {name: content})
    mlflow.log_artifact(tmp_path / name)
    mlflow.log_artifact(tmp_path / name, "folder of it")
    assert listing(client, run) == {name: len(content), "folder of it": None}
    assert listing(client, run, "folder of it") == {f"folder of it/{name}": len(content)}
    assert Path(client.download_artifacts(run, name)).read_bytes() == content
    assert Path(client.download_artifacts(run, f"folder of it/{name}")).read_bytes() == content


def test_what_the_client_makes_comes_back(client, run):
    mlflow.log_text("Text é\n日本", "made/text.txt")
    mlflow.log_dict({"a": [1, 2.5, None], "é": {"b": True}}, "made/data.json")
    mlflow.log_dict({"a": [1, 2.5], "b": "x"}, "made/data.yaml")
    assert mlflow.artifacts.load_text(f"runs:/{run}/made/text.txt") == "Text é\n日本"
    assert mlflow.artifacts.load_dict(f"runs:/{run}/made/data.json") == {"a": [1, 2.5, None], "é": {"b": True}}
    assert listing(client, run, "made").keys() == {"made/text.txt", "made/data.json", "made/data.yaml"}


def test_figures_and_images_can_be_opened_again(client, run):
    figure, axes = plt.subplots()
    axes.plot([1, 2, 3], [3, 1, 2])
    mlflow.log_figure(figure, "plots/curve.png")
    mlflow.log_figure(figure, "plots/curve.pdf")
    plt.close(figure)
    pixels = np.arange(20 * 30 * 3, dtype=np.uint8).reshape(20, 30, 3)
    mlflow.log_image(pixels, "pixels.png")
    mlflow.log_image(Image.fromarray(pixels), "picture.png")

    assert mlflow.artifacts.load_image(f"runs:/{run}/plots/curve.png").size == (640, 480)
    assert (Path(client.download_artifacts(run, "plots/curve.pdf")).read_bytes()).startswith(b"%PDF")
    for name in ("pixels.png", "picture.png"):
        assert (np.asarray(mlflow.artifacts.load_image(f"runs:/{run}/{name}")) == pixels).all()


def test_images_of_a_series_are_logged_by_key_and_step(client, run):
    pixels = np.zeros((4, 4, 3), dtype=np.uint8)
    for step in range(3):
        mlflow.log_image(pixels + step, key="sample", step=step, synchronous=True)
    names = [Path(path).name.split("+") for path in listing(client, run, "images")]
    # Once whole and once small, with the key and step in the name.
    assert sorted(name[2] for name in names) == ["0", "0", "1", "1", "2", "2"]
    assert {name[0] for name in names} == {"sample"}


def test_tables_grow_and_are_loaded(client, run):
    mlflow.log_table({"question": ["a", "b"], "score": [0.5, 0.25]}, "eval/table.json")
    mlflow.log_table(pd.DataFrame({"question": ["c"], "score": [1.0]}), "eval/table.json")
    table = mlflow.load_table("eval/table.json", run_ids=[run])
    assert table[["question", "score"]].to_dict("list") == {"question": ["a", "b", "c"], "score": [0.5, 0.25, 1.0]}
    tag = json.loads(client.get_run(run).data.tags["mlflow.loggedArtifacts"])
    assert tag == [{"path": "eval/table.json", "type": "table"}]


def test_a_path_logged_twice_serves_the_last(client, run):
    for content in ("first", "second, longer"):
        mlflow.log_text(content, "same.txt")
    assert mlflow.artifacts.load_text(f"runs:/{run}/same.txt") == "second, longer"
    assert listing(client, run) == {"same.txt": 14}


def test_an_absent_artifact_is_an_error(client, run):
    with pytest.raises(MlflowException):
        client.download_artifacts(run, "nothing.txt")


def test_a_deleted_runs_artifacts_are_still_read(client, run):
    mlflow.log_text("kept", "a.txt")
    mlflow.end_run()
    client.delete_run(run)
    assert mlflow.artifacts.load_text(f"runs:/{run}/a.txt") == "kept"


def proxy_path(client, run_id: str, name: str) -> str:
    root = client.get_run(run_id).info.artifact_uri.removeprefix("mlflow-artifacts:/")
    return f"/api/2.0/mlflow-artifacts/artifacts/{root}/{name}"


def test_a_download_can_be_resumed(client, wire, run, rng):
    content = rng.randbytes(200_000)
    path = proxy_path(client, run, "big.bin")
    assert wire.send("PUT", path, content).status == 200

    def part(range: str):
        return wire.send("GET", path, headers={"Range": range})

    whole = wire.send("GET", path)
    assert (whole.status, whole.body) == (200, content)
    assert whole.headers["Content-Length"] == "200000"
    assert whole.headers["X-Content-Type-Options"] == "nosniff"
    assert whole.headers["Content-Disposition"].startswith("attachment")
    for text, start, end in [("bytes=0-99", 0, 100), ("bytes=150000-", 150_000, 200_000), ("bytes=-7", 199_993, 200_000)]:
        answer = part(text)
        assert (answer.status, answer.body) == (206, content[start:end])
        assert answer.headers["Content-Range"] == f"bytes {start}-{end - 1}/200000"
    assert part("bytes=200000-").status == 416


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("notes.txt", "text/plain"),
        ("data.json", "text/plain"),
        ("MLmodel", "text/plain"),
        ("mlproject", "text/plain"),
        ("plot.png", "image/png"),
        ("paper.pdf", "application/pdf"),
        ("model.pkl", "application/octet-stream"),
    ],
)
def test_a_download_has_the_type_of_its_name(client, wire, run, name, expected):
    path = proxy_path(client, run, name)
    assert wire.send("PUT", path, b"x").status == 200
    for place in (path, f"/get-artifact?run_id={run}&path={name}"):
        # Whatever the client would rather have.
        answer = wire.send("GET", place, headers={"Accept": "text/html"})
        assert (answer.status, answer.headers["Content-Type"]) == (200, expected), place
        assert answer.headers["Content-Disposition"] == f"attachment; filename={name}"


def test_a_large_artifact_goes_through_in_pieces(client, run, tmp_path):
    # 64 MiB that do not compress; a server that held them in memory would show in its size, which
    # the benchmark prints.
    path = tmp_path / "large.bin"
    source = random.Random(7)
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for _ in range(64):
            block = source.randbytes(1 << 20)
            digest.update(block)
            file.write(block)
    mlflow.log_artifact(path)
    back = Path(client.download_artifacts(run, "large.bin"))
    assert hashlib.sha256(back.read_bytes()).digest() == digest.digest()


def test_the_proxy_lists_and_deletes(client, wire, run):
    for name in ("d/a.txt", "d/e/b.txt", "c.txt"):
        assert wire.send("PUT", proxy_path(client, run, name), b"x").status == 200
    root = client.get_run(run).info.artifact_uri.removeprefix("mlflow-artifacts:/")
    listed = wire.send("GET", f"/api/2.0/mlflow-artifacts/artifacts?path={root}/d").json["files"]
    assert sorted((item["path"], item["is_dir"]) for item in listed) == [("a.txt", False), ("e", True)]
    for _ in range(2):
        assert wire.send("DELETE", proxy_path(client, run, "d")).status == 200
    assert listing(client, run) == {"c.txt": 1}
    gone = wire.send("GET", proxy_path(client, run, "d/a.txt"))
    assert (gone.status, gone.code) == (404, "RESOURCE_DOES_NOT_EXIST")
