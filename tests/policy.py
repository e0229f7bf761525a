#!/usr/bin/env python3
"""Checks the dependencies against deny.toml, and that `core` stays pure.

`cargo deny` checks more, but takes minutes to build; this needs only cargo and Python, so it
always runs. It prints each breach and exits 1 if there is any.
"""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

CRATES_IO = "registry+https://github.com/rust-lang/crates.io-index"

# Runtimes and networks, which core must not reach even through another crate, and what it must not
# use itself (Automerge draws its actors from rand; core names each one).
WORLD = ("tokio", "iroh", "axum", "hyper", "mio")
RANDOM = ("rand", "getrandom", "fastrand", "uuid")

# What core's sources must not name: it is told the time, and gets its settings as arguments.
IMPURE = re.compile(r"\b(SystemTime|Instant)::now\b|\bstd::(env|net|process|thread::(spawn|sleep))\b")


def allowed(expression: str, licences: set[str]) -> bool:
    """Whether an SPDX expression can be met by the licences alone."""
    tokens = re.findall(r"[()]|[^\s()]+", expression.replace("/", " OR "))

    def either() -> bool:
        met = both()
        while tokens and tokens[0] == "OR":
            tokens.pop(0)
            met = both() or met
        return met

    def both() -> bool:
        met = one()
        while tokens and tokens[0] == "AND":
            tokens.pop(0)
            met = one() and met
        return met

    def one() -> bool:
        token = tokens.pop(0)
        if token == "(":
            met = either()
            assert tokens.pop(0) == ")", f"unbalanced licence {expression!r}"
            return met
        if tokens and tokens[0] == "WITH":
            token = f"{token} WITH {tokens[1]}"
            del tokens[:2]
        return token in licences

    met = either()
    assert not tokens, f"cannot read the licence {expression!r}"
    return met


def cargo(*arguments: str) -> str:
    return subprocess.run(["cargo", *arguments, "--locked"], check=True, text=True, stdout=subprocess.PIPE).stdout


def dependency_breaches() -> list[str]:
    with open("deny.toml", "rb") as file:
        policy = tomllib.load(file)
    licences = set(policy["licenses"]["allow"])
    banned = set(policy["bans"]["deny"])
    breaches = []
    for package in json.loads(cargo("metadata", "--format-version", "1"))["packages"]:
        name = f"{package['name']} {package['version']}"
        if package["source"] not in (None, CRATES_IO):
            breaches.append(f"{name} comes from {package['source']}, not from crates.io")
        if package["name"] in banned:
            breaches.append(f"{name} is banned in deny.toml")
        if not package["license"]:
            breaches.append(f"{name} names no licence")
        elif not allowed(package["license"], licences):
            breaches.append(f"{name} is under {package['license']}, which deny.toml does not allow")
    return breaches


def core_tree(*arguments: str) -> set[str]:
    """The names in `cargo tree` of core, without what only its tests need."""
    tree = cargo("tree", "--package", "runmesh-core", "--edges", "normal,build", "--prefix", "none", *arguments)
    crates = {line.split()[0] for line in tree.splitlines() if line.strip()}
    assert "runmesh-core" in crates, f"cargo tree printed nothing of runmesh-core:\n{tree}"
    return crates


def purity_breaches() -> list[str]:
    world = {name for name in core_tree() if name in WORLD or name.startswith(("tokio-", "iroh-"))}
    random = core_tree("--depth", "1") & set(RANDOM)
    breaches = [f"runmesh-core depends on {name}: core must stay pure" for name in sorted(world | random)]
    for file in sorted(Path("core/src").rglob("*.rs")):
        for number, line in enumerate(file.read_text().splitlines(), 1):
            if found := IMPURE.search(line):
                breaches.append(f"{file}:{number} uses {found[0]}: core must stay pure")
    return breaches


def main() -> int:
    breaches = dependency_breaches() + purity_breaches()
    for breach in breaches:
        print(f"policy: {breach}")
    print(f"policy: {len(breaches)} breaches of deny.toml and of core's purity")
    return bool(breaches)


if __name__ == "__main__":
    sys.exit(main())
