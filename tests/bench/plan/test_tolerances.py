"""Tolerances as matrix.yaml states them: each kind, and each fault with its place."""

import pytest

from bench.kit.errors import LocatedError
from bench.plan import matrix
from bench.plan.schema import Tolerance


def load(folder, line, instead_of="  knn_top1:"):
    """The repository's matrix with another line."""
    text = matrix.DEFAULT.read_text()
    old = next(one for one in text.splitlines() if one.startswith(instead_of))
    (folder / "matrix.yaml").write_text(text.replace(old, line))
    return matrix.load(folder / "matrix.yaml")


@pytest.mark.parametrize(
    ("line", "expected"),
    [("  knn_top1: 4", Tolerance(absolute=4)), ("  knn_top1: {relative: 0.3}", Tolerance(relative=0.3)),
     ("  knn_top1: {deviations: 3, at_least: 1.0}", Tolerance(deviations=3, at_least=1))],
)  # fmt: skip
def test_each_kind_can_be_stated(tmp_path, line, expected):
    assert load(tmp_path, line).tolerances["knn_top1"] == expected


BROKEN = [
    ("  knn_top1: -1", "greater than or equal to 0"),
    ("  knn_top1: .inf", "finite number"),
    ("  knn_top1: true", "expected a number"),
    ("  knn_top1: many", "valid number"),
    ("  knn_top1: [1]", "valid number"),
    ("  knn_top1:", "expected a number, or one of"),
    ("  knn_top1: {}", "expected a number, or one of"),
    ("  knn_top1: {at_least: 1}", "expected a number, or one of"),
    ("  knn_top1: {relative: 0.1, deviations: 3}", "one of relative and deviations"),
    ("  knn_top1: {absolute: 3, at_least: 1}", "at_least goes with"),
    ("  knn_top1: {deviation: 3}", "did you mean 'deviations'?"),
    ("  knn_top1: {deviations: .nan}", "finite number"),
    ("  images_per_seconds: 3", "did you mean 'images_per_second'?"),
]


@pytest.mark.parametrize(("line", "says"), BROKEN, ids=[row[0].strip() for row in BROKEN])
def test_a_bad_tolerance_is_an_error_with_its_place(tmp_path, line, says):
    with pytest.raises(LocatedError) as caught:
        load(tmp_path, line)
    number = next(
        index for index, one in enumerate((tmp_path / "matrix.yaml").read_text().splitlines(), 1) if one == line
    )
    assert says in str(caught.value) and f"matrix.yaml:{number}:" in str(caught.value)


@pytest.mark.parametrize("line", ["  macs: 1", "  macs: {relative: 0.1}"])
def test_what_is_counted_takes_no_tolerance(tmp_path, line):
    with pytest.raises(LocatedError, match=r"tolerances\.macs: must be equal to the baseline's, expected 0"):
        load(tmp_path, line, instead_of="  macs: 0")
