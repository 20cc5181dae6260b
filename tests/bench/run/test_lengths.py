"""How long cases are expected to take, and which come first for it."""

import pytest

from bench.plan import matrix
from bench.results import record
from bench.run.lengths import expected, longest_first
from tests.bench.made import made


def cases():
    """One of each student of pocket's first teacher, after five epochs, and the same after ten."""
    return [case for case in matrix.cases(matrix.load(), "pocket", controls=()) if case.teacher == "dino"]


def test_what_was_never_run_takes_the_longer_the_more_a_student_reads():
    seconds = expected(cases())
    # 2 s a case, and 0.1, 0.5 or 2.0 s an epoch of one that reads features, tokens or pixels.
    of = {case.student: seconds[case.id] for case in cases() if case.epochs == 10}
    assert (of["projection"], of["cbam"], of["resnet"]) == (3.0, 7.0, 22.0)


def test_an_estimate_is_scaled_by_what_is_known(tmp_path):
    known = next(case for case in cases() if (case.student, case.epochs) == ("resnet", 10))
    record.write(made(known, seconds=44.0, fingerprint="older"), tmp_path)
    seconds = {(case.student, case.epochs): expected(cases(), tmp_path)[case.id] for case in cases()}
    assert seconds["resnet", 10] == 44.0 and seconds["densenet", 10] == 44.0 and seconds["projection", 10] == 6.0


def test_the_last_folder_that_knows_a_case_counts(tmp_path):
    known = cases()[0]
    for name, seconds in (("published", 10.0), ("here", 20.0)):
        record.write(made(known, seconds=seconds, fingerprint="older"), tmp_path / name)
    for names, seconds in ((("published", "here"), 20.0), (("here", "published", "none"), 10.0)):
        assert expected(cases(), *(tmp_path / name for name in names))[known.id] == seconds


@pytest.mark.parametrize("slowest", ["projection", "cbam"])
def test_the_longest_run_comes_first_and_stays_whole(slowest):
    seconds = {case.id: 50.0 if case.student == slowest else case.epochs for case in cases()}
    first, second, *others = longest_first(cases(), seconds)
    assert [(case.student, case.epochs) for case in (first, second)] == [(slowest, 5), (slowest, 10)]
    # Runs of the same length keep their order.
    assert [case.id for case in others] == [case.id for case in cases() if case.student != slowest]
