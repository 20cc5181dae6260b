"""Parts of a matrix for machines that know nothing of each other: ``--shard 2/8``. Needs no torch.

A part is the same wherever it is asked for: it depends on the profile and on what its published report took, not on what
lies on a machine. A teacher's cases stay together as far as equal parts allow.
"""

from collections.abc import Iterable
from statistics import mean

from bench.kit.paths import ROOT
from bench.plan.case import Case, without_seed
from bench.run.job import by_run, key_of
from bench.run.preview import taken_by

# Seconds of an epoch by what a student reads, in the pocket profile on one thread; where no published report has better.
EPOCH_SECONDS = {"pixels": 2.0, "tokens": 0.5, "pooled": 0.1}
CASE_SECONDS = 2.0  # what a case costs however short it is


def shard(cases: Iterable[Case], profile: str, part: int, parts: int) -> set[str]:
    """The ids of the ``part``-th of ``parts``, from 1: disjoint, together all, and none longer than the mean and a run.

    The runs stand in a row, those of a teacher side by side, and the row is cut into equal lengths; a run belongs where
    its middle is.
    """
    cases = list(cases)
    seconds = _seconds(cases, profile)
    share, start, ids = sum(seconds.values()) / parts, 0.0, set()
    for run in sorted(by_run(cases).values(), key=lambda run: (key_of(run[0]), run[0].run)):
        length = sum(seconds[case.id] for case in run)
        middle, start = start + length / 2, start + length
        if part - 1 <= middle / share < part:
            ids |= {case.id for case in run}
    return ids


def _seconds(cases: list[Case], profile: str) -> dict[str, float]:
    """What each case takes: as published, and where a case was not, by the mean ratio of those that were to an estimate."""
    estimates = {case.id: CASE_SECONDS + case.epochs * EPOCH_SECONDS[case.reads] for case in cases}
    # Of however many images: what is prepared on one machine must not decide what another one runs.
    taken = {name: seconds for (name, _), seconds in taken_by(ROOT / "reports" / profile).items()}
    known = {case.id: taken.get(case.id, taken.get(without_seed(case.id))) for case in cases}
    known = {name: seconds for name, seconds in known.items() if seconds}
    scale = mean(known[name] / estimates[name] for name in known) if known else 1.0
    return {name: known.get(name, scale * estimate) for name, estimate in estimates.items()}
