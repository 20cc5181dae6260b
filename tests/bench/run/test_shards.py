"""Parts of the matrix for machines that know nothing of each other."""

from collections import defaultdict
from functools import cache

import pytest

from bench.kit.paths import ROOT
from bench.plan import matrix
from bench.run import lengths, shards
from bench.run.job import key_of
from bench.run.shards import shard
from tests.breadth import some


def cases_of(profile, seeds="", controls=""):
    chosen = matrix.chosen(seeds or None, controls or None)
    return matrix.cases(matrix.load(), profile, matrix.DEFAULT, *chosen)


@pytest.fixture(autouse=True)
def read_once(monkeypatch):
    """A machine works out once how long cases take; a test asks for the parts of all of its machines."""
    kept, expected = cache(lambda cases, folder: lengths.expected(cases, folder)), shards.expected
    assert expected is lengths.expected
    monkeypatch.setattr(shards, "expected", lambda cases, folder: kept(tuple(cases), folder))


@pytest.fixture(params=[True, False], ids=["published", "estimated"])
def seconds(request, monkeypatch):
    if not request.param:
        monkeypatch.setattr(lengths, "finished", lambda folder: {})


@pytest.mark.parametrize("parts", [1, 2, 3, 8, 100])
@pytest.mark.parametrize("profile", ["pocket", "paper", "ci"])
@pytest.mark.usefixtures("seconds")
def test_parts_are_disjoint_and_together_all_and_each_run_is_in_one(profile, parts):
    cases = cases_of(profile)
    of = [shard(cases, profile, part, parts) for part in range(1, parts + 1)]
    assert sum(map(len, of)) == len(cases) and set().union(*of) == {case.id for case in cases}
    places = defaultdict(set)
    for case in cases:
        places[case.run].add(next(number for number, ids in enumerate(of) if case.id in ids))
    assert all(len(numbers) == 1 for numbers in places.values())


def test_teachers_stay_together_as_far_as_equal_parts_allow(monkeypatch):
    """Pocket's four teachers have twelve cases each; let every case take the same."""
    cases = cases_of("pocket", controls="none")
    monkeypatch.setattr(lengths, "taken_by", lambda records: dict.fromkeys(((case.id, None) for case in cases), 1.0))
    for parts, teachers, size in ((2, 2, 24), (4, 1, 12), (8, 1, 6)):
        for part in range(1, parts + 1):
            ids = shard(cases, "pocket", part, parts)
            assert (len({key_of(case) for case in cases if case.id in ids}), len(ids)) == (teachers, size)


@pytest.mark.parametrize("parts", [2, 4, 8, 32])
def test_no_part_is_longer_than_the_mean_and_a_run(parts):
    cases = cases_of("paper", seeds="0,1,2", controls="all")
    seconds = lengths.expected(cases, ROOT / "reports" / "paper")
    runs = defaultdict(float)
    for case in cases:
        runs[case.run] += seconds[case.id]
    long = [sum(seconds[name] for name in shard(cases, "paper", part, parts)) for part in range(1, parts + 1)]
    assert max(long) <= sum(seconds.values()) / parts + max(runs.values())
    assert sum(long) == pytest.approx(sum(seconds.values()))


@pytest.mark.parametrize("text", some(["0/8", "9/8", "2", "a/b", "-1/2", "2/0"], ["0/8", "a/b"]))
def test_what_is_no_part_is_a_usage_error(run_bench, tmp_path, text):
    ran = run_bench(tmp_path, f"--shard={text}", "--collect-only")
    assert ran.status == pytest.ExitCode.USAGE_ERROR and "expected PART/PARTS, such as 2/8" in ran.output


def test_pytest_runs_the_cases_of_its_part(run_bench, tmp_path):
    counts = []
    for part in (1, 2):
        ran = run_bench(tmp_path, f"--shard={part}/2", "--collect-only", "-q")
        counts.append(ran.output.count("test_distill["))
        assert ran.status == 0 and "deselected" in ran.output, ran.output
    assert sum(counts) == 8 and min(counts) > 0
