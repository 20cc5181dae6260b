"""Compares any two runs or baselines offline: ``python -m bench compare A B``."""

from pathlib import Path

from bench.plan.schema import Tolerance
from bench.results import record
from bench.results.compare.baseline import BaselineError, Result, read
from bench.results.compare.hold import hold, require_a_comparison
from bench.results.compare.verdict import Verdict

SHOWN = 3  # broken records that are named


def compare_paths(before: Path, now: Path, tolerances: dict[str, Tolerance]) -> Verdict:
    """Hold ``now`` against ``before``, each a results folder or a baseline's file.

    As with ``--baseline``, except that a case on one side only is listed and does not fail: two runs may be different
    parts of a matrix. Raises :class:`BaselineError` where a side cannot be read, a single broken record included.
    """
    old, new = _side(before, tolerances), _side(now, tolerances)
    verdict = Verdict(of=len(old))
    for name, result in old.items():
        if name not in new:
            verdict.add("one side only", name, f"only in {before}")
        elif result.status != "done":
            verdict.add("one side only", name, f"not done in {before}")
        else:
            hold(verdict, name, old, new[name], tolerances)
    for name in new:
        if name not in old:
            verdict.add("one side only", name, f"only in {now}")
    require_a_comparison(verdict)
    return verdict


def _side(path: Path, tolerances: dict[str, Tolerance]) -> dict[str, Result]:
    """The results of a folder's records or of a baseline."""
    if not path.is_dir():
        return read(path).cases
    records, faults = record.read_all(path)
    if faults or not records:
        more = [f"and {len(faults) - SHOWN} more like these"] if len(faults) > SHOWN else []
        raise BaselineError("\n".join([*faults[:SHOWN], *more]) or f"{path} has no records/*.json of a run")
    return {name: Result.of(entry, tolerances) for name, entry in records.items()}
