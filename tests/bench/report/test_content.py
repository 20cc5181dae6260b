"""Rows over seeds: means, deviations, differences seed by seed, and which differences are significant."""

from dataclasses import replace
from statistics import mean, stdev

import pytest
from scipy import stats

from bench.plan import matrix
from bench.report.content import Report, Spread
from tests.bench.made import made
from tests.bench.report.seeded import by_name, rows, seeded


def test_a_row_has_mean_and_deviation_over_its_seeds():
    row = by_name(seeded())["projection", None]
    own = row.accuracy()
    assert (own.mean, own.deviation, own.text()) == (61.0, stdev((60, 61, 62)), "61.0 ± 1.0")
    assert row.accuracy_after(0) == Spread(50.0, 0.0, 3)
    assert Spread.of([3.25]).text(2) == "3.25" and Spread.of([]) is None


def test_the_headline_of_captions_is_the_mean_of_both_directions():
    case = next(case for case in matrix.cases(matrix.load(), "pocket") if case.kind == "captions")
    one = made(case, metrics={"image_to_text_r1": 59.0, "text_to_image_r1": 51.0})
    assert rows([(case, one)])[0].accuracy() == rows([(case, one)])[0].accuracy_after(case.epochs) == Spread(55.0, None)


def test_a_time_that_one_record_does_not_have_is_in_no_mean():
    cases = seeded()
    cases[0][1].metrics["epoch_seconds"] = None
    row = next(row for row in rows(cases) if cases[0][1] in row.records.values())
    assert row.metric("epoch_seconds") is None and row.metric("teacher_pass_seconds").mean == 3.0


def test_a_gain_is_the_mean_difference_of_the_seeds_that_both_have():
    cases = seeded()
    own, control = (by_name(cases)["projection", name] for name in (None, "no-distillation"))
    assert own.gain_over(control) == Spread(mean((1, 3, -1)), stdev((1, 3, -1)), 3, step=0.2)  # of 500 images
    assert own.gain_over_measured("untrained") == Spread(11.0, 1.0, 3, step=0.2)
    control.records[2].status = "failed"
    assert own.gain_over(control) == Spread(2.0, stdev((1, 3)), 2, step=0.2)


def test_a_difference_is_significant_as_scipy_has_it():
    for values in [
        (0.1, 0.5, 0.9),
        (0.5, 0.6, 0.8),
        (-2.0, -2.5),
        (-2.0, -2.1),
        (1.0, 3.0, 2.0, 5.0, 1.5),
        (0.0, 0.0, 0.3),
    ]:
        own, expected = Spread.of(list(values)), stats.ttest_1samp(values, 0)
        assert own.p_value == pytest.approx(expected.pvalue) and own.is_significant == (own.p_value < 0.05)
        assert own.interval == pytest.approx(expected.confidence_interval(0.95))
    for one, p_value in ((Spread.of([7.0]), 1.0), (Spread.of([7.0] * 12), 0.0), (Spread.of([0.0, 0.0]), 1.0)):
        assert one.p_value == p_value and one.is_significant == (p_value == 0)


def test_seeds_that_agree_to_the_image_are_no_proof_of_a_small_gain():
    """Two seeds of 500 images each: 12.706 x 0.2 / sqrt(6) / sqrt(2) is 0.73 points."""
    low, high = Spread.of([0.4, 0.4], step=0.2).interval
    assert (low, high) == pytest.approx((0.4 - 0.7336, 0.4 + 0.7336), abs=5e-4)
    assert Spread.of([5.0, 5.0], step=0.2).is_significant


def test_a_loss_has_a_row_and_a_name_of_its_own():
    cases = [case for case in matrix.cases(matrix.load(), "losses") if case.dataset == "shapes"]
    names = [row.name for row in rows([(case, made(case)) for case in cases])]
    assert "densenet (rkd)" in names and len(set(names)) == len(names) == len(cases)


def test_only_the_longest_training_of_finished_cases_that_are_no_controls_counts():
    base = {case.id: case for case in matrix.cases(matrix.load(), "pocket")}["shapes-dino-resnet-10ep"]
    cases = [base, replace(base, epochs=5), replace(base, control="no-distillation"), replace(base, student="cbam")]
    records = [made(case, 60.0, status="oom" if case.student == "cbam" else "done") for case in cases]
    kept = Report("", [*zip(cases, records, strict=True), (replace(base, teacher="beit"), None)]).longest
    assert [(row.name, row.case.epochs, row.case.control) for row in kept] == [("resnet", 10, None)]
