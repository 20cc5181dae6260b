"""Comparing runs and baselines offline, in any combination."""

import itertools

import pytest

from bench.kit.checksum import seal, unseal
from bench.plan import matrix
from bench.plan.schema import Tolerance
from bench.results import compare, record
from tests.bench.made import made
from tests.bench.results.compare.listing import remarks
from tests.bench.results.compare.results import save

CASES = [case for case in matrix.cases(matrix.load(), "ci") if case.dataset == "shapes"]
IDS = [case.id for case in CASES]
FIRST = IDS[0]
TOLERANCES = {"parameters": Tolerance(absolute=0), "knn_top1": Tolerance(absolute=3)}


def run(folder, leave_out=(), **changes):
    """A results folder with finished records of the cases; ``changes`` are parts of the first one's record."""
    for case in CASES:
        if case.id not in leave_out:
            entry = made(case, **(changes if case.id == FIRST else {}))
            record.write(entry, folder)
    return folder


def as_baseline(folder):
    """The baseline of a results folder, beside it."""
    path = folder.with_suffix(".json")
    found, _ = record.read_all(folder)
    save(path, found, selected=list(found), stated=TOLERANCES)
    return path


@pytest.mark.parametrize("kinds", list(itertools.product(("folder", "file"), repeat=2)), ids="-".join)
@pytest.mark.parametrize(("accuracy", "passes"), [(60.0, True), (57.0, True), (56.9, False)])
def test_any_two_of_folders_and_files_compare_alike(tmp_path, kinds, accuracy, passes):
    folders = run(tmp_path / "a"), run(tmp_path / "b", metrics={"knn_top1": accuracy})
    sides = [as_baseline(folder) if kind == "file" else folder for folder, kind in zip(folders, kinds, strict=True)]
    verdict = compare.compare_paths(*sides, TOLERANCES)
    assert verdict.passed == passes and verdict.compared == verdict.of == len(IDS) == 6
    # knn_top1 of six cases, parameters of the three that are no controls
    assert verdict.metrics == 9
    assert passes or verdict.failures[0].startswith(f"{FIRST}: knn_top1 60 -> 56.9")


def test_cases_on_one_side_only_are_listed(tmp_path):
    a, b = run(tmp_path / "a", leave_out=IDS[1:3]), run(tmp_path / "b", leave_out=IDS[3:4])
    verdict = compare.compare_paths(a, b, TOLERANCES)
    assert verdict.passed and verdict.compared == 3
    assert remarks(verdict) == [f"{IDS[3]}: only in {a}", f"{', '.join(sorted(IDS[1:3]))}: only in {b}"]


def test_no_common_case_fails(tmp_path):
    a, b = run(tmp_path / "a", leave_out=IDS[:3]), run(tmp_path / "b", leave_out=IDS[3:])
    assert "nothing was compared" in compare.compare_paths(a, b, TOLERANCES).failures[0]


def test_a_case_that_failed_in_the_later_run_fails(tmp_path):
    a, b = run(tmp_path / "a"), run(tmp_path / "b", status="failed", message="loss is not finite")
    assert compare.compare_paths(a, b, TOLERANCES).failures == [f"{FIRST}: failed: loss is not finite"]
    back = compare.compare_paths(b, a, TOLERANCES)
    assert back.passed and f"{FIRST}: not done in {b}" in remarks(back)


def test_another_configuration_fails_and_shows_its_metrics(tmp_path):
    a, b = run(tmp_path / "a"), run(tmp_path / "b", fingerprint="another", metrics={"knn_top1": 50.0})
    verdict = compare.compare_paths(a, b, TOLERANCES)
    assert [finding.kind for finding in verdict.findings] == ["changed", "worse"]


def test_a_value_that_is_no_number_is_an_error_on_either_side(tmp_path):
    a, b = run(tmp_path / "a"), run(tmp_path / "b", metrics={"knn_top1": float("nan")})
    for sides in ((a, b), (b, a)):
        with pytest.raises(compare.BaselineError, match=r"metrics\.knn_top1: nan is no number that can be measured"):
            compare.compare_paths(*sides, TOLERANCES)


def test_what_cannot_be_used_is_an_error(tmp_path):
    good, empty = run(tmp_path / "good"), tmp_path / "empty"
    empty.mkdir()
    broken = run(tmp_path / "broken")
    (broken / "records" / f"{FIRST}.json").write_text("{")
    for other in (empty, broken, tmp_path / "nowhere", tmp_path / "nowhere.json"):
        for sides in ((good, other), (other, good)):
            with pytest.raises(compare.BaselineError, match=other.name):
                compare.compare_paths(*sides, TOLERANCES)


def test_a_baseline_with_a_case_of_another_name_is_listed_and_not_lost(tmp_path):
    path = as_baseline(run(tmp_path / "a"))
    content = unseal(path.read_text())
    content["cases"]["shapes-dino-other-4ep"] = content["cases"].pop(FIRST)
    path.write_text(seal(content))
    verdict = compare.compare_paths(path, tmp_path / "a", TOLERANCES)
    assert verdict.compared == 5 and any("shapes-dino-other-4ep: only in" in text for text in remarks(verdict))
