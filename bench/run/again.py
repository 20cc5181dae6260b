"""Contributed cases, trained again here to see whether their figures come again."""

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.kit.progress import Progress
from bench.metrics import METRICS
from bench.plan.case import Case
from bench.plan.schema import Tolerance
from bench.results import compare, record
from bench.results.baseline import Baseline, Result
from bench.results.contributed import Line


def retrain(
    lines: Sequence[Line], count: int, tolerances: dict[str, Tolerance], say: Callable[[str], None]
) -> list[str]:
    """Train ``count`` of the cases that take seconds again, chosen at random; ``say`` gets a line about each.

    These are heads on pocket teachers that look at drawn images. Returns what is wrong: figures that differ by more than
    the ``tolerances``, either way; another teacher; or that there is no such case.
    """
    quick = [line for line in lines if line.recipe["weights"] == "pocket" and line.reads == "pooled"]
    cases = [(case_of(line), line) for line in quick]
    candidates = [(case, line) for case, line in cases if case.is_drawn and not case.has_random_teacher]
    if not candidates:
        return ["no contributed case can be trained again in seconds: add a head on a pocket teacher and drawn images"]
    faults = []
    for case, line in random.sample(candidates, min(count, len(candidates))):
        entry = trained(case)
        wrong = _differences(line, case, entry, tolerances)
        faults += [f"{line.id}, trained again: {text}" for text in wrong]
        same = entry.protocol["student_weights_sha256"] == line.weights.student
        say(
            f"{line.id}, trained again: {'differs' if wrong else 'its figures'}, {'the same' if same else 'other'} weights"
        )
    return faults


def case_of(line: Line) -> Case:
    """The case that a line is of, as far as figures depend on it."""
    own = {
        "dataset": line.dataset,
        "teacher": line.teacher.partition("@")[0],
        "student": line.student,
        "seed": line.seed,
    }
    return Case(**(line.recipe | own | {"controls": (), "threads": line.environment.hardware.get("threads")}))


def trained(case: Case) -> record.Record:
    from bench.run.job import Job
    from bench.run.session import Session

    def rounds(epoch: Callable[[], None], epochs: int) -> None:
        for _ in range(epochs):
            epoch()

    with TemporaryDirectory() as folder:
        job = Job(Path(folder), (case,), frozenset([case.id]), device="cpu")
        Session(job, Progress(None)).run(case, rounds)
        return record.load(Path(folder), case.id)


def _differences(line: Line, case: Case, entry: record.Record, tolerances: dict[str, Tolerance]) -> list[str]:
    """What differs by more than a tolerance, better or worse, of what does not depend on the machine."""
    if entry.protocol["teacher_weights_sha256"] != line.weights.teacher:
        return [f"{line.teacher} has other weights here"]
    figures = {name: value for name, value in line.figures.items() if name in tolerances and not METRICS[name].machine}
    before = Baseline("results", {case.id: Result(case.fingerprint, figures)})
    verdict = compare.against(before, (case,), {case: entry}, tolerances)
    return [finding.line() for finding in verdict.findings if finding.fails or finding.kind == "better"]
