"""Two runs compared offline: a results folder, a published report or a baseline, each of those of the shapes."""

import itertools

import pytest

from bench.kit.errors import UserError
from bench.plan.schema import Tolerance
from bench.results import record
from bench.results.compare import compare_paths
from tests.bench.made import made
from tests.bench.results.gate import CASES, remarks, save

SHAPES = [case for case in CASES if case.dataset == "shapes"]
NAMES = [case.id for case in SHAPES]
STATED = {"parameters": Tolerance(absolute=0), "knn_top1": Tolerance(absolute=3)}


def run(folder, leave_out=(), **changes):
    """A results folder with finished records of the cases; ``changes`` are parts of the first one's record."""
    for case in SHAPES:
        if case.id not in leave_out:
            record.write(made(case, **(changes if case.id == NAMES[0] else {})), folder)
    return folder


def as_kind(kind, folder):
    """What ``folder`` holds, in another form beside it."""
    entries, _ = record.read_all(folder)
    path = folder.with_suffix(f".{kind}")
    if kind == "published":
        record.publish(entries.values(), path)
    elif kind == "baseline":
        save(path, entries, selected=list(entries), stated=STATED)
    return folder if kind == "folder" else path


@pytest.mark.parametrize("kinds", list(itertools.product(("folder", "baseline", "published"), repeat=2)), ids="-".join)
def test_any_two_of_folders_reports_and_baselines_compare_alike(tmp_path, kinds):
    before = as_kind(kinds[0], run(tmp_path / "a"))
    for accuracy, passes in ((60.0, True), (57.0, True), (56.9, False)):
        now = as_kind(kinds[1], run(tmp_path / str(accuracy), metrics={"knn_top1": accuracy}))
        verdict = compare_paths(before, now, STATED)
        assert verdict.passed == passes and verdict.compared == verdict.of == len(NAMES) == 6
        # knn_top1 of six cases, parameters of the three that are no controls
        assert verdict.metrics == 9
        assert passes or verdict.failures[0].startswith(f"{NAMES[0]}: knn_top1 60 -> 56.9")


def test_cases_on_one_side_only_are_listed_and_no_common_case_fails(tmp_path):
    a, b = run(tmp_path / "a", leave_out=NAMES[1:3]), run(tmp_path / "b", leave_out=NAMES[3:4])
    verdict = compare_paths(a, b, STATED)
    assert verdict.passed and verdict.summary().startswith("comparison passed: 3 of its 4 cases compared")
    assert remarks(verdict) == [f"{NAMES[3]}: only in {a}", f"{', '.join(sorted(NAMES[1:3]))}: only in {b}"]
    c, d = run(tmp_path / "c", leave_out=NAMES[:3]), run(tmp_path / "d", leave_out=NAMES[3:])
    assert "nothing was compared" in compare_paths(c, d, STATED).failures[0]


def test_a_case_that_failed_in_the_later_run_fails(tmp_path):
    a, b = run(tmp_path / "a"), run(tmp_path / "b", status="failed", message="loss is not finite")
    assert compare_paths(a, b, STATED).failures == [f"{NAMES[0]}: failed: loss is not finite"]
    back = compare_paths(b, a, STATED)
    assert back.passed and f"{NAMES[0]}: not done in {b}" in remarks(back)


def test_a_changed_fingerprint_says_what_was_configured_otherwise(tmp_path):
    a = run(tmp_path / "a", fingerprint="older")
    b = run(tmp_path / "b")
    entry = record.load(b, NAMES[0])
    entry.case |= {"controls": ["untrained"], "ema": 0.99}
    record.write(entry, b)
    both = 'its fingerprint changed (ema none -> 0.99, controls ["untrained", "teacher"] -> ["untrained"]), so'
    assert both in compare_paths(a, b, STATED).failures[0]
    of_code = "its fingerprint changed (code, data or weights), so"
    assert of_code in compare_paths(a, run(tmp_path / "c"), STATED).failures[0]


def test_a_published_reports_file_stands_for_its_folder(tmp_path):
    a = run(tmp_path / "a")
    file = record.publish(record.read_all(a)[0].values(), tmp_path / "published")
    assert compare_paths(file, a, STATED).passed


def test_what_cannot_be_used_is_an_error_on_either_side(tmp_path):
    good, names = run(tmp_path / "good"), ("empty", "broken", "cut", "nan", "nowhere", "nowhere.json")
    (tmp_path / "empty").mkdir()
    record.path_of(run(tmp_path / "broken"), NAMES[0]).write_text("{")
    cut = record.publish(record.read_all(good)[0].values(), tmp_path / "cut")
    cut.write_bytes(cut.read_bytes()[:-20])
    run(tmp_path / "nan", metrics={"knn_top1": float("nan")})
    for name, says in zip(
        names, ("empty", NAMES[0], "cut", "metrics.knn_top1 is not a possible value", *names[4:]), strict=True
    ):
        for sides in ((good, tmp_path / name), (tmp_path / name, good)):
            with pytest.raises(UserError, match=says):
                compare_paths(*sides, STATED)
