"""Parts of a matrix for machines that know nothing of each other: ``--shard 2/8``. Needs no torch.

A part is the same wherever it is asked for: it depends on the profile and on what its published report took, not on what
lies on a machine. A teacher's cases stay together as far as equal parts allow.
"""

from collections.abc import Iterable

from bench.kit.paths import ROOT
from bench.plan.case import Case
from bench.run.job import by_run, key_of
from bench.run.lengths import expected


def shard(cases: Iterable[Case], profile: str, part: int, parts: int) -> set[str]:
    """The ids of the ``part``-th of ``parts``, from 1: disjoint, together all, and none longer than the mean and a run.

    The runs stand in a row, those of a teacher side by side, and the row is cut into equal lengths; a run belongs where
    its middle is.
    """
    cases = list(cases)
    seconds = expected(cases, ROOT / "reports" / profile)
    share, start, ids = sum(seconds.values()) / parts, 0.0, set()
    for run in sorted(by_run(cases).values(), key=lambda run: (key_of(run[0]), run[0].run)):
        length = sum(seconds[case.id] for case in run)
        middle, start = start + length / 2, start + length
        if part - 1 <= middle / share < part:
            ids |= {case.id for case in run}
    return ids
