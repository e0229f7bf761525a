"""What tests/run checks without a server: the licence policy, and that the clients are the pinned ones."""

import re
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from policy import allowed  # noqa: E402


@pytest.mark.parametrize(
    ("expression", "met"),
    [
        ("MIT", True),
        ("GPL-3.0", False),
        ("MIT OR GPL-3.0", True),
        ("GPL-3.0/MIT", True),
        ("MIT AND GPL-3.0", False),
        ("(GPL-3.0 OR MIT) AND ISC", True),
        ("GPL-3.0 OR (MIT AND LGPL-2.1)", False),
        ("Apache-2.0 WITH LLVM-exception", True),
        ("MIT WITH LLVM-exception", False),
    ],
)
def test_a_licence_is_allowed_only_when_it_can_be_met(expression, met):
    licences = {"MIT", "ISC", "Apache-2.0 WITH LLVM-exception"}
    assert allowed(expression, licences) == met


def test_the_clients_are_the_pinned_ones():
    for line in (HERE / "requirements.txt").read_text().splitlines():
        if pin := re.fullmatch(r"(\S+)==(\S+)", line):
            assert version(pin[1]) == pin[2], pin[1]
