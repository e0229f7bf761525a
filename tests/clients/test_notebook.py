"""A notebook that tracks: executed whole by nbconvert, as people run them in the night."""

import json
import os
import subprocess
import sys

CELLS = [
    "import mlflow\nmlflow.set_experiment(NAME)",
    "with mlflow.start_run(run_name='night') as run:\n"
    "    mlflow.log_params({'lr': 0.1, 'layers': 3})\n"
    "    for step in range(10):\n"
    "        mlflow.log_metric('loss', 1 / (step + 1), step=step)\n"
    "    mlflow.log_text('done', 'notes.txt')",
    "found = mlflow.search_runs(filter_string=\"params.layers = '3'\")\nprint(list(found['metrics.loss']))",
    "print(mlflow.artifacts.load_text(f'runs:/{run.info.run_id}/notes.txt'))",
]


def test_a_notebook_tracks_what_it_does(client, server, experiment, tmp_path):
    name = client.get_experiment(experiment).name
    sources = [source.replace("NAME", repr(name)) for source in CELLS]
    empty = {"cell_type": "code", "metadata": {}, "execution_count": None, "outputs": []}
    notebook = {
        "cells": [{**empty, "id": f"cell-{at}", "source": source} for at, source in enumerate(sources)],
        "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    (tmp_path / "night.ipynb").write_text(json.dumps(notebook))
    done = subprocess.run(
        [sys.executable, "-m", "jupyter", "nbconvert", "--to", "notebook", "--execute", "--inplace", "night.ipynb"],
        cwd=tmp_path,
        # Nothing of the user's own Jupyter.
        env=os.environ | {"MLFLOW_TRACKING_URI": server, "HOME": str(tmp_path), "IPYTHONDIR": str(tmp_path / "ipython")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr

    executed = json.loads((tmp_path / "night.ipynb").read_text())["cells"]
    printed = ["".join(output.get("text", "")) for cell in executed for output in cell["outputs"]]
    assert "[0.1]\n" in printed and "done\n" in printed
    [run] = client.search_runs([experiment])
    assert (run.info.run_name, run.info.status) == ("night", "FINISHED")
    assert run.data.params == {"lr": "0.1", "layers": "3"}
    assert len(client.get_metric_history(run.info.run_id, "loss")) == 10
