"""How fast runs are found: searches, pages and counts in an experiment of many runs."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

from servers import BENCH, Server

TIMED_SECONDS = 5
# What the load gives param_3 of its run 5,000.
ONE_VALUE = "0.351504"

# Title, filter, order_by. What the load logs is in tests/src/requests.rs.
SEARCHES = [
    ("latest 50", "", []),
    ("top 50 by a metric, range on another", "metrics.metric_0 > 2.03", ["metrics.metric_1 DESC"]),
    ("50 of a range: the best 1 of 100", "metrics.metric_0 > 2.0475", []),
    ("one run, by a param's value", f"params.param_3 = '{ONE_VALUE}'", []),
    ("50 of one tag's value: 1 of 7", "tags.tag_0 = 'value 3'", []),
    ("50 of a prefix, all among the oldest 10,000", "params.param_1 LIKE '0.2%'", []),
    (
        "50 of three clauses: 1 of 7, 1 of 8, 1 of 2",
        "tags.tag_0 = 'value 3' AND tags.tag_1 = 'value 5' AND metrics.metric_0 > 2.02",
        [],
    ),
    ("50 of LIKE '%…%' on a tag: 1 of 8", "tags.tag_1 LIKE '%lue 5%'", []),
    ("scan: LIKE '%…%' that no tag matches", "tags.tag_1 LIKE '%nothing%'", []),
    ("scan: != that no tag matches", "tags.all != 'same'", []),
]


def load(server: Server, program: Path, *arguments: object) -> dict:
    command = [program, "--server", f"127.0.0.1:{server.port}", *map(str, arguments)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def fill(name: str, program: Path, runs: int) -> tuple[Path, str]:
    """A home whose server holds an experiment of so many runs; it is kept for the next time."""
    home = BENCH / "homes" / f"{name}-search-{runs}"
    marker = home.with_suffix(".experiment")
    if not marker.exists():
        shutil.rmtree(home, ignore_errors=True)
        with Server.start(name, home) as server:
            made = load(server, program, "--scenario", "run", "--connections", 16, "--count", runs, "--seconds", 36_000)
        marker.write_text(made["experiment"])
    return home, marker.read_text()


def measure(table, name: str, program: Path, runs: int) -> None:
    home, experiment = fill(name, program, runs)
    started = time.monotonic()
    with Server.start(name, home) as server:
        table.put(name, "start until it answers", "ms", (time.monotonic() - started) * 1000)
        base = ["--experiment", experiment, "--seconds", TIMED_SECONDS]
        for title, filter, order in SEARCHES:
            orders = [part for one in order for part in ("--order-by", one)]
            try:
                result = load(server, program, "--scenario", "search", *base, "--filter", filter, *orders)
            except subprocess.CalledProcessError:
                print(f"{name}: {title}: refused", file=sys.stderr)
                continue
            table.put(name, title, "ms", result["p50_us"] / 1000)
            if title.startswith("scan"):
                table.put(name, f"{title}: rate", "rows/s", runs / result["p50_us"] * 1e6)
        try:
            result = load(server, program, "--scenario", "pages", *base, "--max-results", 1000)
        except subprocess.CalledProcessError:
            # FastTrackML 0.6 does not take back the token of its own tenth page.
            print(f"{name}: pages: refused", file=sys.stderr)
        else:
            table.put(name, "all of them by pages of 1,000", "runs/s", result["runs_found"] / result["seconds"])
        table.put(name, "memory after that", "MB", server.resident_bytes() / 1e6)
