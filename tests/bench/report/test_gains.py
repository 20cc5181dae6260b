"""Gains over controls, the controls that they are over, and who leads."""

from dataclasses import replace

import pytest

from bench import controls
from bench.plan import matrix
from bench.report import gains, teachers
from bench.report.content import Report, Spread
from bench.report.gains import below_chance, best, control_of, controls_of, gained, leads, least_gain
from tests.bench.made import made
from tests.bench.report.seeded import by_name, rows, seeded

ALL = ("untrained", "no-distillation", "random-teacher")


def losses(accuracies, **options):
    """Rows of the profile that compares losses, with an accuracy for each seed of some of them, by default 60 %."""
    cases = [case for case in matrix.cases(matrix.load(), "losses", **options) if case.dataset == "shapes"]
    return rows(
        [(case, made(case, accuracies.get(case.loss, (60.0, 60.0))[case.seed], untrained=50.0)) for case in cases]
    )


def test_a_loss_is_never_bold():
    spread = Spread.of([-3.0, -3.1, -3.2])
    assert spread.is_significant and gained(spread) == "−3.1 ± 0.1"


def test_a_gain_is_bold_where_it_is_significant():
    named = by_name(seeded())
    texts = [gained(gains.gain(named["projection", None], name, [*named.values()])) for name in ALL]
    assert texts == ["**+11.0 ± 1.0**", "+1.0 ± 2.0", "**+41.0 ± 1.7**"] and gained(None) == "–"


def test_the_least_gain_is_the_one_over_the_best_control():
    named = by_name(seeded())
    least = least_gain(named["projection", None], [*named.values()])
    assert (least.spread.text(sign="+"), least.over, least.is_worth) == ("+1.0 ± 2.0", "no distillation", False)
    least = least_gain(named["cbam", None], [*named.values()])
    assert least.spread.is_significant  # over the untrained student, which shows nothing of distillation
    assert (least.over, least.is_worth) == ("untrained; no distillation not run", False)


@pytest.mark.parametrize(("alone", "is_worth"), [((50.0, 51.0, 52.0), True), ((50.0, 51.0, 75.0), False)])
def test_a_gain_is_worth_something_where_seeds_agree_that_it_is_from_distillation(alone, is_worth):
    cases = [(case, one) for case, one in seeded() if case.control != "random-teacher" and case.student == "projection"]
    cases = [(case, made(case, alone[case.seed]) if case.control else one) for case, one in cases]
    named = by_name(cases)
    assert least_gain(named["projection", None], [*named.values()]).is_worth is is_worth


def test_only_a_significant_lead_counts():
    named = by_name(seeded())
    students = [row for row in named.values() if row.case.control is None]
    assert best(students).case.student == "cbam"
    assert leads(named["cbam", None], students) and not leads(named["projection", None], students)
    assert not leads(named["cbam", None], [named["cbam", None]])  # there is nobody to be better than
    compared = losses({"rkd": (70.0, 70.5), "feature-mse": (79.0, 79.5)}, seeds=(0, 1))
    assert [row.case.loss for row in compared if leads(row, compared)] == ["feature-mse"]


@pytest.mark.parametrize(
    ("loss", "name", "expected"),
    [
        ("rkd", "random-teacher", ("rkd", "random-teacher")),
        ("rkd", "no-distillation", ("cross-entropy", None)),
        ("cross-entropy", "random-teacher", ("cross-entropy", "random-teacher")),
        ("cross-entropy", "no-distillation", None),  # it is its own control
    ],
)
def test_a_control_has_the_loss_that_it_has_as_a_control_of_the_student(loss, name, expected):
    compared = losses({}, controls=("no-distillation", "random-teacher"))
    row = next(row for row in compared if (row.case.loss, row.case.control) == (loss, None))
    control = control_of(row, name, compared)
    assert (control and (control.case.loss, control.case.control)) == expected


def test_where_losses_are_compared_the_tasks_own_is_the_control():
    compared = losses({"rkd": (70.0,), "cross-entropy": (79.0,)}, seeds=(0,))
    rkd = next(row for row in compared if row.case.loss == "rkd")
    assert controls_of(compared) == ["untrained", "no-distillation"]
    least = least_gain(rkd, compared)
    assert (least.spread.mean, least.over) == (-9.0, "no distillation; one seed")


@pytest.mark.parametrize("trained", [True, False])
def test_a_new_control_is_one_row(monkeypatch, trained):
    """A trained one is a case of its own, a measured one stands in each record."""
    make = (lambda case: replace(case, learning_rate=0.5)) if trained else None
    row = controls.Control("mine", "mine", "it shows", make, None if trained else "controls:mine", gain=True)
    monkeypatch.setattr(gains, "ROWS", (*controls.ROWS, row))
    monkeypatch.setitem(controls.CONTROLS, "mine", row)
    cases = [(case, one) for case, one in seeded((0,)) if (case.student, case.control) == ("projection", None)]
    for case, one in cases[:]:
        one.controls["mine"] = {"knn_top1": 40.0}
        cases += [(replace(case, control="mine"), made(case, 40.0))] * trained
    named = rows(cases)
    assert controls_of(named) == ["untrained", "mine"] and gains.gain(named[0], "mine", named).mean == 20.0


@pytest.mark.parametrize(("untrained", "gain", "below"), [
    (0.0, (20.0, "chance"), {"untrained": 0.0}), (9.5, (20.0, "chance"), {}), (12.0, (18.0, "untrained"), {}),
])  # fmt: skip
def test_a_control_below_chance_makes_no_gain_larger(untrained, gain, below):
    """A network that scores 0 where guessing scores 10 has learned to be wrong: nobody gains 30 points over it."""
    case = next(
        case
        for case in matrix.cases(matrix.load(), "pocket")
        if case.student == "resnet" and case.kind == "classification"
    )
    entry = made(case, 30.0, untrained, protocol={"chance": {"knn_top1": 10.0}})
    (row,) = rows = Report("", [(case, entry)]).rows
    least = least_gain(row, rows)
    assert (least.spread.mean, least.over.partition(";")[0]) == gain and below_chance(row, rows) == below
    warned = "Controls below chance**: resnet, untrained (0.0)" in teachers.of_pair("shapes", case.teacher, rows)
    assert warned is bool(below)
