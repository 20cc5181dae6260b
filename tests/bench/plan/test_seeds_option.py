"""``--seeds``: which seeds are taken, and what is said of those that cannot be."""

import subprocess
import sys

import pytest

from bench.kit.errors import LocatedError
from bench.kit.paths import ROOT
from bench.plan import matrix


@pytest.mark.parametrize("text", ["", ",", "0,", "0,0", "00,0", "-1", "a", "1.0", "٣", "1099511627776", "9" * 5000])
def test_seeds_that_cannot_be_are_an_error_message(text):
    with pytest.raises(LocatedError, match="expected different whole numbers below 1099511627776") as caught:
        matrix.chosen(text, None)
    assert len(str(caught.value)) < 300


def test_the_largest_seed_is_taken_and_can_be_drawn_with():
    (seed,), _ = matrix.chosen("1099511627775", None)
    assert 0 < seed * 1_000_003 + 10**6 < 2**63  # bench.training.run


@pytest.mark.parametrize("command", ["pytest bench --collect-only -q", "bench plan"])
def test_endless_seeds_are_told_without_a_traceback(command):
    words = [sys.executable, "-m", *command.split(), "--seeds", "9" * 5000]
    ran = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert ran.returncode in (2, pytest.ExitCode.USAGE_ERROR) and "expected different whole numbers" in ran.stderr
    assert "Traceback" not in ran.stderr and "INTERNALERROR" not in ran.stdout + ran.stderr
