"""Records of the ci profile made by hand, a baseline of them, and the verdict of the one on the other."""

from bench.plan import matrix
from bench.plan.schema import Tolerance
from bench.results import baseline
from bench.results.compare import against
from bench.results.record import Record

CASES = matrix.cases(matrix.load(), "ci")
IDS = [case.id for case in CASES]
FIRST = IDS[0]
METRICS = {"parameters": 100, "knn_top1": 70.0, "epoch_seconds": 1.0}
HARDWARE = {
    "device": "cpu",
    "processor": "Some CPU",
    "threads": 2,
    "cases_beside": 1,
    "precision": {"teacher": "fp32", "training": "fp32"},
    "cores": 8,
}
SOFTWARE = {"python": "3.11.7", "torch": "2.15.0"}


def tolerances(**changes):
    """Tolerances as matrix.yaml states them."""
    stated = {"parameters": 0, "knn_top1": 3.0, "epoch_seconds": {"relative": 0.3}} | changes
    return {metric: Tolerance.model_validate(value) for metric, value in stated.items()}


def records(**changes):
    """Finished records of all cases by id; ``changes`` are metrics of the first one."""
    made = {}
    for case in CASES:
        entry = Record.of(case)
        entry.status, entry.message, entry.metrics = "done", "", dict(METRICS)
        entry.environment = {"hardware": dict(HARDWARE), "software": dict(SOFTWARE), "git": {}}
        made[case.id] = entry
    made[FIRST].metrics |= changes
    return made


def save(path, entries=None, selected=IDS, profile="ci", stated=None):
    """Write a baseline of ``entries``, by default of the records as they are."""
    entries = records() if entries is None else entries
    by_id = {case.id: case for case in CASES}
    chosen = {by_id[name]: entries.get(name) for name in selected}
    return baseline.save(path, profile, CASES, chosen, stated or tolerances())


def hold(before, entries=None, selected=IDS, stated=None):
    """The verdict on ``entries`` against the baseline ``before``."""
    entries = records() if entries is None else entries
    chosen = {case: entries.get(case.id) for case in CASES if case.id in selected}
    return against(before, CASES, chosen, stated or tolerances())


def remarks(verdict):
    """What a verdict lists without failing: improvements, then all else in groups."""
    return [finding.line() for finding in verdict.findings if finding.kind == "better"] + verdict.notes()
