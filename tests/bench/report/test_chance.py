"""How many gains are chance: Holm's correction as statsmodels has it, and a report's gains counted by hand."""

import pytest

import tests.bench.report.seeded
from bench.report import chance
from bench.report.content import Report
from tests.bench.report.seeded import seeded


@pytest.mark.parametrize(
    ("p_values", "adjusted"),
    [
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),  # statsmodels 0.15.0: multipletests(..., method="holm")
        ([0.9, 0.5], [1.0, 1.0]),
        ([0.02], [0.02]),
    ],
)
def test_holm_is_that_of_statsmodels(p_values, adjusted):
    assert chance.holm(p_values) == pytest.approx(adjusted)


def test_gains_are_counted_for_each_control_and_what_is_left_is_named():
    """By hand: over untrained projection gains 10, 11 and 12 points (t = 19.1, p = 0.0027) and cbam 20, 21.5 and 22 (t = 35.2, p =
    0.0008): both are left of two. Over no distillation and a random teacher there is but one gain each."""
    text = chance.section(Report("pocket", seeded()))
    assert [line for line in text.splitlines() if line.startswith("| untrained")] == ["| untrained | 2 | 2 | 0.1 | 2 |"]
    assert "| no distillation |" not in text and "a random teacher |" not in text


def test_a_gain_that_is_bold_by_itself_may_not_be_left(monkeypatch):
    """By hand: projection gains 10, 11 and 15 points over untrained (t = 7.9, p = 0.0158), the others nothing: four times that is
    above 0.05."""
    unmoved = {(student, None): (49.0, 50.0, 51.0) for student in ("bottleneck", "attention", "resnet")}
    monkeypatch.setattr(tests.bench.report.seeded, "ACCURACY", unmoved | {("projection", None): (60.0, 61.0, 65.0)})
    assert "| untrained | 4 | 1 | 0.1 | 0 |" in chance.section(Report("pocket", seeded()))


def test_a_report_of_one_seed_has_no_such_section():
    assert chance.section(Report("pocket", seeded(seeds=(0,)))) == ""
