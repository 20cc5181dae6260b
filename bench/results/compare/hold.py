"""Holds results against a baseline, case by case and metric by metric."""

from collections.abc import Collection, Mapping
from pathlib import Path

from bench.kit.errors import nearest
from bench.metrics import METRICS, measurable
from bench.plan.case import Case, without_seed
from bench.plan.schema import Tolerance
from bench.results.compare.baseline import Baseline, Result, read
from bench.results.compare.conditions import depends_on_machine, difference, shown
from bench.results.compare.limits import exceeds, limit
from bench.results.compare.verdict import Verdict
from bench.results.record import Record

WHAT_TO_DO = "if this is intended, renew the baseline with --save-baseline"


def against_file(
    path: Path,
    cases: tuple[Case, ...],
    found: Mapping[Case, Record | None],
    tolerances: dict[str, Tolerance],
) -> Verdict:
    """Hold what was ``found`` of the selected cases against the baseline in a file; ``cases`` is the whole profile.

    Raises :class:`~bench.results.compare.baseline.BaselineError` where that is none.
    """
    records = {case.id: entry for case, entry in found.items() if entry}
    return against(read(path), cases, [case.id for case in found], records, tolerances)


def against(
    baseline: Baseline,
    cases: tuple[Case, ...],
    selected: Collection[str],
    records: dict[str, Record],
    tolerances: dict[str, Tolerance],
) -> Verdict:
    """Hold the records of the ``selected`` ids against a baseline.

    ``cases`` is the whole profile: a baseline case that is not among them is gone, whatever was selected.
    """
    verdict, known, selected = Verdict(of=len(baseline.cases)), {case.id: case for case in cases}, list(selected)
    for name in baseline.cases:
        if name not in known:
            near = nearest(name, tuple(known))
            verdict.add("gone", name, f"gone from the matrix ({near}); {WHAT_TO_DO}")
        elif name in selected:
            found = records.get(name)
            if found is None or found.fingerprint != known[name].fingerprint:
                verdict.add("did not run", name, "did not run")
            else:
                hold(verdict, name, baseline.cases, Result.of(found, tolerances), tolerances)
    outside = sum(name in known and name not in selected for name in baseline.cases)
    if outside:
        verdict.add("not selected", "", f"{outside} cases of the baseline were not selected")
    for name in selected:
        if name not in baseline.cases:
            verdict.add("new", name, "new, not in the baseline")
    require_a_comparison(verdict)
    return verdict


def hold(
    verdict: Verdict, name: str, baseline: dict[str, Result], now: Result, tolerances: dict[str, Tolerance]
) -> None:
    """Hold one case against the baseline's case of the same id, in a ``verdict`` that is being made.

    Where the fingerprint changed, the metrics are held all the same: a person sees what a renewal would accept.
    """
    before = baseline[name]
    if now.status != "done":
        verdict.add("ended badly", name, f"{now.status}: {now.message}")
        return
    if now.fingerprint == before.fingerprint:
        verdict.compared += 1
    else:
        old, new = (one.conditions["hardware"].get("precision") for one in (before, now))
        why = f" (precision {shown(old)} -> {shown(new)})" if old and new and old != new else ""
        text = f"its fingerprint changed{why}, so the numbers mean something else; {WHAT_TO_DO}"
        verdict.add("changed", name, text)
    for metric in before.metrics:
        _metric(verdict, name, metric, baseline, now, tolerances.get(metric))
    for metric in now.metrics:
        if metric not in before.metrics:
            verdict.add("not in the baseline", name, "measured, but not in the baseline", metric=metric)


def _metric(
    verdict: Verdict, name: str, metric: str, baseline: dict[str, Result], now: Result, tolerance: Tolerance | None
) -> None:
    before, value = baseline[name].metrics[metric], now.metrics.get(metric)
    if tolerance is None:
        verdict.add("no tolerance", name, "no tolerance in matrix.yaml, so not compared", metric=metric)
        return
    if not measurable(before) or not (value is None or measurable(value)):
        text = f"not a finite number, which is never within a tolerance: {before} -> {value}"
        verdict.add("not a number", name, text, metric=metric)
        return
    if depends_on_machine(metric) and (differs := difference(baseline[name].conditions, now.conditions)):
        verdict.add("not comparable", name, f"not comparable: {differs}", metric=metric, before=before, now=value)
        return
    if metric in now.elsewhere:
        text = "not comparable: another machine measured it, before this one continued the work"
        verdict.add("not comparable", name, text, metric=metric, before=before)
        return
    if value is None:
        text = f"was not measured; the baseline has {before:g} {METRICS[metric].unit}"
        verdict.add("not measured", name, text, metric=metric, before=before)
        return
    seeds = _over_seeds(name, metric, baseline) if tolerance.deviations is not None else ()
    allowed = limit(tolerance, before, seeds)
    if allowed is None:
        text = (
            f"a tolerance of {tolerance.deviations:g} deviations needs two seeds in the baseline: make it with "
            "--seeds 0,1,2, or give the tolerance an at_least"
        )
        verdict.add("no deviation", name, text, metric=metric)
        return
    verdict.metrics += 1
    values = {"metric": metric, "before": before, "now": value, "tolerance": allowed.text}
    if exceeds(metric, before, value, allowed.value):
        verdict.add("worse", name, "changed" if METRICS[metric].better == "equal" else "worse", **values)
    elif exceeds(metric, value, before, allowed.value):  # the other way round: it was worse before
        verdict.add("better", name, "better", **values)


def _over_seeds(name: str, metric: str, baseline: dict[str, Result]) -> list[float]:
    """A metric's values over the seeds of one configuration."""
    same = (result for other, result in baseline.items() if without_seed(other) == without_seed(name))
    return [result.metrics[metric] for result in same if measurable(result.metrics.get(metric))]


def require_a_comparison(verdict: Verdict) -> None:
    """A comparison that held no value against a tolerance fails."""
    if not verdict.metrics:
        text = "nothing was compared: no metric is on both sides, with a tolerance and under equal conditions"
        verdict.add("nothing compared", "", text)
