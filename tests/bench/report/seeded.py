"""One teacher's students and their controls over three seeds, with accuracies that are easy to reckon with."""

from bench.controls import NAMES
from bench.plan import matrix
from bench.report.content import Report
from tests.bench.made import made

# In percent by (student, control), one for each seed.
ACCURACY = {
    ("projection", None): (60.0, 61.0, 62.0),
    ("projection", "no-distillation"): (59.0, 58.0, 63.0),
    ("projection", "random-teacher"): (20.0, 21.0, 19.0),
    ("cbam", None): (70.0, 71.5, 72.0),
}


def seeded(seeds=(0, 1, 2)):
    """Cases and records; untrained students have 50 %."""
    cases = matrix.cases(matrix.load(), "pocket", seeds=seeds, controls=NAMES)
    cases = [case for case in cases if (case.dataset, case.teacher, case.epochs) == ("shapes", "dino", 10)]
    cases = [case for case in cases if (case.student, case.control) in ACCURACY]
    return [(case, made(case, ACCURACY[case.student, case.control][case.seed], untrained=50.0)) for case in cases]


def rows(cases):
    return Report("", cases).rows


def by_name(cases):
    """Rows by student and control."""
    return {(row.case.student, row.case.control): row for row in rows(cases)}
