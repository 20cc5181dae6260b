"""Tolerances of each kind, with numbers worked by hand on both sides of the limit."""

import pytest
from bench.results.compare.baseline import Baseline, Result
from bench.results.compare.limits import exceeds, limit

from bench.kit.errors import LocatedError
from bench.plan import matrix
from bench.plan.case import without_seed
from bench.plan.schema import Tolerance
from bench.results import compare
from tests.bench.results.compare.results import CASES, IDS, records

# (direction of the metric, tolerance, before, the last value that passes, the first that does not)
EDGES = [
    ("knn_top1", {"absolute": 5}, 82.4, 77.4, 77.39),
    ("similarity_kl", {"absolute": 0.25}, 0.5, 0.75, 0.7501),
    ("epoch_seconds", {"relative": 0.3}, 1.0, 1.3, 1.3001),
    ("epoch_seconds", {"relative": 4, "at_least": 1}, 0.02, 1.02, 1.021),  # 4 × 0.02 is less than the floor
    ("epoch_seconds", {"relative": 4, "at_least": 1}, 1.0, 5.0, 5.01),
    ("images_per_second", {"relative": 0.5}, 900, 450, 449),
    ("parameters", 0, 100, 100, 101),
    ("parameters", 0, 100, 100, 99),
    # Seeds 70, 72, 74: mean 72, sample variance (4 + 0 + 4) / 2 = 4, deviation 2.
    ("knn_top1", {"deviations": 3}, 72.0, 66.0, 65.99),
    ("knn_top1", {"deviations": 1.5, "at_least": 4}, 70.0, 66.0, 65.99),
    ("knn_top1", {"deviations": 1.5, "at_least": 2}, 70.0, 67.0, 66.99),
]


@pytest.mark.parametrize(("metric", "stated", "before", "passes", "fails"), EDGES)
def test_both_sides_of_the_limit(metric, stated, before, passes, fails):
    allowed = limit(Tolerance.model_validate(stated), before, [70.0, 72.0, 74.0]).value
    assert not exceeds(metric, before, passes, allowed)
    assert exceeds(metric, before, fails, allowed)


def test_what_must_be_equal_must_be_so_to_the_last_bit():
    assert exceeds("size_mb", 0.1 + 0.2, 0.3, 0.0)


@pytest.mark.parametrize("seeds", [[], [70.0]])
def test_without_two_seeds_there_is_a_floor_or_nothing(seeds):
    assert limit(Tolerance(deviations=3), 70.0, seeds) is None
    assert limit(Tolerance(deviations=3, at_least=1.5), 70.0, seeds).value == 1.5


@pytest.mark.parametrize(
    ("name", "same"),
    [("scenes-blip-cbam-10ep-s0", "scenes-blip-cbam-10ep"), ("a-b-c-5ep-s12-rkd-no-distillation", "a-b-c-5ep-rkd-no-distillation"),
     ("scenes-blip-cbam-10ep", "scenes-blip-cbam-10ep"), ("a-b-c-5ep-soft", "a-b-c-5ep-soft"), ("x-s1-b-c-5ep-s1", "x-s1-b-c-5ep")],
)  # fmt: skip
def test_seeds_of_one_configuration_differ_only_in_their_seed(name, same):
    assert without_seed(name) == same


def over_seeds(seeds, now, **tolerance):
    """The first seed of three held against a baseline of three seeds of one case, and other cases beside them."""
    cases = matrix.cases(matrix.load(), "ci", seeds=(0, 1, 2))
    mine = [case for case in cases if without_seed(case.id) == "shapes-dino-projection-4ep"]
    other = next(case for case in cases if case.student == "cbam" and case.control is None)
    held = {case.id: Result(case.fingerprint, {"knn_top1": value}) for case, value in zip(mine, seeds, strict=False)}
    held[other.id] = Result(other.fingerprint, {"knn_top1": 10.0})
    entry = records()[IDS[0]]
    entry.id, entry.fingerprint, entry.metrics = mine[0].id, mine[0].fingerprint, {"knn_top1": now}
    return compare.against(
        Baseline("ci", held), cases, [mine[0].id], {mine[0].id: entry}, {"knn_top1": Tolerance(**tolerance)}
    )


def test_deviations_are_over_the_baselines_seeds_also_of_seeds_that_were_not_selected():
    assert over_seeds([70.0, 72.0, 74.0], 64.0, deviations=3).passed
    failed = over_seeds([70.0, 72.0, 74.0], 63.9, deviations=3)
    assert "3 × 2 over 3 seeds" in failed.failures[0]


def test_deviations_with_one_seed_fail_and_say_what_to_do():
    verdict = over_seeds([70.0], 70.0, deviations=3)
    assert "needs two seeds in the baseline" in verdict.failures[0]
    assert "--seeds 0,1,2" in verdict.failures[0] and "at_least" in verdict.failures[0]
    assert over_seeds([70.0], 69.0, deviations=3, at_least=1.0).passed
    assert not over_seeds([70.0], 68.9, deviations=3, at_least=1.0).passed


def load(folder, line):
    """The repository's matrix with another line for knn_top1; returns it and the line's number."""
    text = matrix.DEFAULT.read_text()
    old = next(one for one in text.splitlines() if one.startswith("  knn_top1:"))
    (folder / "matrix.yaml").write_text(text.replace(old, line))
    return matrix.load(folder / "matrix.yaml"), text.splitlines().index(old) + 1


@pytest.mark.parametrize(
    ("line", "expected"),
    [("  knn_top1: 4", Tolerance(absolute=4)), ("  knn_top1: {relative: 0.3}", Tolerance(relative=0.3)),
     ("  knn_top1: {deviations: 3, at_least: 1.0}", Tolerance(deviations=3, at_least=1))],
)  # fmt: skip
def test_each_kind_can_be_stated(tmp_path, line, expected):
    assert load(tmp_path, line)[0].tolerances["knn_top1"] == expected


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


def test_what_is_counted_takes_no_tolerance(tmp_path):
    text = matrix.DEFAULT.read_text()
    for changed in ("  macs: 1", "  macs: {relative: 0.1}"):
        (tmp_path / "matrix.yaml").write_text(text.replace("  macs: 0", changed))
        with pytest.raises(LocatedError, match=r"tolerances\.macs: must be equal to the baseline's, expected 0"):
            matrix.load(tmp_path / "matrix.yaml")


def test_the_committed_baseline_holds_every_case_of_its_profile():
    committed = compare.read(matrix.DEFAULT.parent / "reports" / "baselines" / "ci.json")
    assert committed.profile == "ci" and set(committed.cases) == set(IDS) == {case.id for case in CASES}
