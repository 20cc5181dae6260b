"""Rows over seeds: means, deviations, gains over controls, and what is bold."""

from statistics import mean, stdev

import pytest
from scipy import stats

from bench.controls import NAMES
from bench.plan import matrix
from bench.report import summary, teachers
from bench.report.gains import best, control_of, controls_of, gained, leads, smallest_gain
from bench.report.seeds import T_QUANTILES, Spread, rows
from tests.bench.made import made

SEEDS = (0, 1, 2)
# Accuracies in percent by (student, control), one for each seed.
ACCURACY = {
    ("projection", None): (60.0, 61.0, 62.0),
    ("projection", "no-distillation"): (59.0, 58.0, 63.0),
    ("projection", "random-teacher"): (20.0, 21.0, 19.0),
    ("cbam", None): (70.0, 71.5, 72.0),
}


def chosen(seeds=SEEDS, controls=NAMES):
    cases = matrix.cases(matrix.load(), "pocket", seeds=seeds, controls=controls)
    cases = [case for case in cases if (case.dataset, case.teacher, case.epochs) == ("shapes", "dino", 10)]
    cases = [case for case in cases if (case.student, case.control) in ACCURACY]
    return [(case, made(case, ACCURACY[case.student, case.control][case.seed], untrained=50.0)) for case in cases]


@pytest.fixture
def found():
    return {(row.case.student, row.case.control): row for row in rows(chosen())}


def test_times_of_another_machine_are_in_no_mean():
    items = chosen()
    for _, one in items[:1]:
        one.set_time("epoch_seconds", 9.0, "another machine")
    row = next(row for row in rows(items) if items[0][1] in row.found.values())
    assert row.metric("epoch_seconds") is None and row.metric("teacher_pass_seconds").mean == 3.0


def test_a_row_has_mean_and_deviation_over_its_seeds(found):
    own = found["projection", None].accuracy()
    assert (own.mean, own.deviation) == (mean(ACCURACY["projection", None]), stdev((60, 61, 62)))
    assert own.text() == "61.0 ± 1.0" and Spread.of([3.25]).text(2) == "3.25" and Spread.of([]) is None


def test_a_gain_is_the_mean_difference_seed_by_seed(found):
    own, control = found["projection", None], found["projection", "no-distillation"]
    gain = own.gain_over(control)
    assert gain.mean == pytest.approx(mean((1, 3, -1))) and gain.deviation == pytest.approx(stdev((1, 3, -1)))
    assert gained(gain) == "+1.0 ± 2.0"  # inside the spread: not bold
    assert gained(own.gain_over(found["projection", "random-teacher"])) == "**+41.0 ± 1.7**"
    assert gained(own.gain_over_untrained()) == "**+11.0 ± 1.0**"


def test_the_smallest_gain_is_the_one_over_the_best_control(found):
    assert smallest_gain(found["projection", None], list(found.values())) == "+1.0 ± 2.0 (no distillation)"
    assert smallest_gain(found["cbam", None], list(found.values())).endswith("(untrained)")


def test_a_difference_is_significant_as_scipy_has_it():
    assert pytest.approx([stats.t.ppf(0.975, freedom) for freedom in range(1, 10)], abs=5e-4) == T_QUANTILES
    for values in [(0.1, 0.5, 0.9), (0.5, 0.6, 0.8), (-2.0, -2.5), (-2.0, -2.1), (1.0, 3.0, 2.0, 5.0, 1.5)]:
        assert Spread.of(list(values)).is_significant == (stats.ttest_1samp(values, 0).pvalue < 0.05), values
    assert not Spread.of([7.0]).is_significant and Spread.of([7.0] * 12).is_significant


def test_only_a_significant_lead_is_bold(found):
    students = [row for row in found.values() if row.case.control is None]
    assert best(students).case.student == "cbam"
    assert leads(found["cbam", None], students) and not leads(found["projection", None], students)


def test_of_one_students_losses_only_the_best_leads():
    accuracies = {"rkd": (70.0, 70.5), "feature-mse": (79.0, 79.5), "dist-loss": (60.0, 60.5)}
    cases = [case for case in matrix.cases(matrix.load(), "losses", seeds=(0, 1)) if case.dataset == "shapes"]
    known = [(case, made(case, accuracies[case.loss][case.seed])) for case in cases if case.loss in accuracies]
    found = rows(known)
    assert [row.case.loss for row in found if leads(row, found)] == ["feature-mse"]
    alone = [row for row in found if row.case.loss == "rkd"]
    assert not leads(alone[0], alone)  # there is nobody to be better than


def test_with_one_seed_nothing_is_bold():
    found = rows(chosen(seeds=(0,)))
    text = teachers.section("shapes", "dino", found)
    lines = [line for line in text.splitlines() if line.startswith(("| projection", "| cbam"))]
    assert lines and not any("**" in line for line in lines)


def test_a_seed_that_failed_is_left_out_of_both_sides():
    cells = chosen()
    for case, record in cells:
        if (case.control, case.seed) == ("no-distillation", 2):
            record.status = "failed"
    found = {(row.case.student, row.case.control): row for row in rows(cells)}
    gain = found["projection", None].gain_over(found["projection", "no-distillation"])
    assert (gain.mean, gain.deviation) == (2.0, pytest.approx(stdev((1, 3))))


def test_a_loss_has_a_row_and_a_name_of_its_own():
    cases = matrix.cases(matrix.load(), "losses", controls=("no-distillation", "random-teacher"))
    found = rows([(case, made(case)) for case in cases if case.dataset == "shapes"])
    names = [row.name for row in found if row.case.control is None]
    assert "densenet (rkd)" in names and len(set(names)) == len(names)
    rkd = next(row for row in found if row.case.loss == "rkd" and row.case.control is None)
    assert control_of(rkd, "random-teacher", found).case.loss == "rkd"
    assert control_of(rkd, "no-distillation", found).case.loss == "cross-entropy"


def test_where_losses_are_compared_the_tasks_own_is_the_control_and_not_the_best_student():
    cases = [case for case in matrix.cases(matrix.load(), "losses") if case.dataset == "shapes"]
    accuracies = {"rkd": 70.0, "cross-entropy": 79.0}
    found = rows([(case, made(case, accuracies.get(case.loss, 60.0), untrained=50.0)) for case in cases])
    rkd, task = (next(row for row in found if row.case.loss == loss) for loss in ("rkd", "cross-entropy"))
    assert "no-distillation" in controls_of(found) and control_of(rkd, "no-distillation", found) is task
    assert smallest_gain(rkd, found) == "-9.0 (no distillation)"
    assert control_of(task, "no-distillation", found) is None
    told = summary._lines("dino on shapes", found)
    assert [line[2] for line in told] == ["densenet (rkd), 10 ep"]


def test_the_section_shows_gains_controls_and_references():
    cells = chosen()
    for _, record in cells:
        record.controls["raw-pixels"] = {"knn_top1": 33.0}
        record.teacher["deployed_mb"] = 1.5
    text = teachers.section("shapes", "dino", rows(cells))
    table = text.split("<details>")[0]
    assert "gain over untrained | over no distillation | over a random teacher" in table
    assert "| **dino itself** | – | 65.0 | – | – | – | – | 1.50 |" in table and "| raw pixels | – | 33.0 |" in table
    assert "| projection | 10 | 61.0 ± 1.0 | **+11.0 ± 1.0** | +1.0 ± 2.0 | **+41.0 ± 1.7** | 0.25 | 1.75 |" in table
    assert "| **cbam**" not in table and "**71.2 ± 1.0**" in table
    assert "projection, no distillation" in text and "projection, untrained" in text and "linear CKA" in text


def test_the_number_of_seeds_is_told_and_where_some_are_missing():
    cells = chosen()
    assert "k-NN top-1 (%), n = 3 |" in teachers.section("shapes", "dino", rows(cells))
    for case, record in cells:
        if case.student == "cbam" and case.seed == 2:
            record.status = "failed"
    assert "| cbam | 10 | **70.8 ± 1.1** (n = 2) |" in teachers.section("shapes", "dino", rows(cells))
    assert "n =" not in teachers.section("shapes", "dino", rows(chosen(seeds=(0,))))


def test_a_case_that_is_not_done_says_what_happened():
    cells = chosen()
    for case, record in cells:
        if case.student == "cbam":
            record.status = "oom"
    assert "| cbam | 10 | out of memory | – | – | – | – | – |" in teachers.section("shapes", "dino", rows(cells))
