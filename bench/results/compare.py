"""Records against a baseline: per metric a direction and a tolerance, per case a verdict. It decides the exit code.

pytest bench --profile ci --save-baseline FILE
pytest bench --profile ci --baseline FILE
python -m bench compare A B               the same between any two results folders or baselines

A gate must not pass because it compared nothing, or because a case vanished, failed or changed its meaning; each
of these is a failure with a message of its own. New cases and improvements are listed, not failed.
"""

import json
import statistics
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from bench.kit.errors import UserError, nearest
from bench.metrics import METRICS, measurable
from bench.plan.case import Case, without_seed
from bench.plan.schema import Tolerance
from bench.results.baseline import HARDWARE, Baseline, Result, read
from bench.results.record import PUBLISHED, Record, read_all
from bench.results.verdict import Verdict

WHAT_TO_DO = "if this is intended, --save-baseline renews a baseline"
# What decimal fractions lose as binary ones, as a share of the value: 1.3 - 1.0 is a little more than 0.3.
ROUNDING = 1e-12
NAMED = 3  # broken records that are named


def against(
    baseline: Baseline,
    cases: tuple[Case, ...],
    chosen: Mapping[Case, Record | None],
    tolerances: dict[str, Tolerance],
) -> Verdict:
    """Hold the records of the ``chosen`` cases against a baseline.

    ``cases`` is the whole profile: a baseline case that is not among them is gone, whatever was chosen.
    """
    verdict, known = Verdict(of=len(baseline.cases)), [case.id for case in cases]
    selected = {case.id: (case, record) for case, record in chosen.items()}
    for name in baseline.cases:
        if name not in known:
            text = f"gone from the matrix, or of other --seeds or --controls ({nearest(name, known)})"
            verdict.add("gone", name, f"{text}; {WHAT_TO_DO}")
        elif name in selected:
            case, record = selected[name]
            if record is None or record.fingerprint != case.fingerprint:
                verdict.add("did not run", name, "did not run")
            else:
                _case(verdict, name, baseline.cases, Result.of(record, tolerances), tolerances)
    if outside := sum(name in known and name not in selected for name in baseline.cases):
        verdict.add("not selected", "", f"{outside} cases of the baseline were not selected")
    for name in selected:
        if name not in baseline.cases:
            verdict.add("new", name, "new, not in the baseline")
    _require_a_comparison(verdict)
    return verdict


def compare_paths(before: Path, now: Path, tolerances: dict[str, Tolerance]) -> Verdict:
    """Hold ``now`` against ``before``, each a results folder, a published report or a baseline's file.

    As with ``--baseline``, except that a case on one side only is listed and does not fail: two runs may be different
    parts of a matrix. Raises :class:`UserError` where a side cannot be read, a single broken record included.
    """
    old, new = _side(before, tolerances), _side(now, tolerances)
    verdict = Verdict(of=len(old), name="comparison")
    for name, result in old.items():
        if name not in new:
            verdict.add("one side only", name, f"only in {before}")
        elif result.status != "done":
            verdict.add("one side only", name, f"not done in {before}")
        else:
            _case(verdict, name, old, new[name], tolerances)
    for name in new:
        if name not in old:
            verdict.add("one side only", name, f"only in {now}")
    _require_a_comparison(verdict)
    return verdict


def _side(path: Path, tolerances: dict[str, Tolerance]) -> dict[str, Result]:
    """The results of a folder's records or of a baseline."""
    if not path.exists():
        raise UserError(f"{path} does not exist; expected a results folder, a published report, or a baseline's file")
    if path.name == PUBLISHED:
        path = path.parent
    if not path.is_dir():
        return read(path).cases
    records, faults = read_all(path)
    if faults or not records:
        more = [f"and {len(faults) - NAMED} more like these"] if len(faults) > NAMED else []
        raise UserError("\n".join([*faults[:NAMED], *more]) or f"{path} has no records of a run")
    return {name: Result.of(record, tolerances) for name, record in records.items()}


def _case(
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
        text = f"its fingerprint changed{_what_changed(before, now)}, so the numbers mean something else; {WHAT_TO_DO}"
        verdict.add("changed", name, text)
    for metric in before.metrics:
        _metric(verdict, name, metric, baseline, now, tolerances.get(metric))
    for metric in now.metrics:
        if metric not in before.metrics:
            verdict.add("not in the baseline", name, "measured, but not in the baseline", metric=metric)


def _what_changed(before: Result, now: Result) -> str:
    """In brackets, which settings of two results differ; where none do, what else decides a fingerprint."""
    old, new = (one.case | {"precision": one.conditions["hardware"].get("precision")} for one in (before, now))

    def words(value: object) -> str:
        return "none" if value is None else _in_words(value)

    changes = [
        f"{name} {words(old[name])} -> {words(new[name])}" for name in old if old[name] != new.get(name, old[name])
    ]
    return f" ({', '.join(changes) or 'code, data or weights'})"


def _metric(
    verdict: Verdict, name: str, metric: str, baseline: dict[str, Result], now: Result, tolerance: Tolerance | None
) -> None:
    before, value = baseline[name].metrics[metric], now.metrics.get(metric)
    add = partial(verdict.add, case=name, metric=metric)
    differs = METRICS[metric].machine and (
        difference(baseline[name].conditions, now.conditions) or (value is None and now.notes.get(metric))
    )
    if tolerance is None:
        add("no tolerance", text="no tolerance in matrix.yaml, so not compared")
    elif not measurable(before) or not (value is None or measurable(value)):
        add("not a number", text=f"not a finite number, which is never within a tolerance: {before} -> {value}")
    elif differs:
        add("not comparable", text=f"not comparable: {differs}", before=before, now=value)
    elif value is None:
        text = f"was not measured; the baseline has {before:g} {METRICS[metric].unit}"
        add("not measured", text=text, before=before)
    elif (allowed := limit(tolerance, before, _over_seeds(name, metric, baseline))) is None:
        text = (
            f"a tolerance of {tolerance.deviations:g} deviations needs two seeds in the baseline: make it with "
            "--seeds 0,1,2, or give the tolerance an at_least"
        )
        add("no deviation", text=text)
    else:
        verdict.metrics += 1
        size, words = allowed
        values = {"before": before, "now": value, "tolerance": words}
        if exceeds(metric, before, value, size):
            add("worse", text="changed" if METRICS[metric].better == "equal" else "worse", **values)
        elif exceeds(metric, value, before, size):  # the other way round: it was worse before
            add("better", text="better", **values)


def _over_seeds(name: str, metric: str, baseline: dict[str, Result]) -> list[float]:
    """A metric's values over the seeds of one configuration."""
    same = (result for other, result in baseline.items() if without_seed(other) == without_seed(name))
    return [result.metrics[metric] for result in same if measurable(result.metrics.get(metric))]


def _require_a_comparison(verdict: Verdict) -> None:
    """A comparison that held no value against a tolerance fails."""
    if not verdict.metrics:
        text = "nothing was compared: no metric is on both sides, with a tolerance and under equal conditions"
        verdict.add("nothing compared", "", text)


def difference(before: dict, now: dict) -> str:
    """How the conditions differ, in words; empty where they are equal. What is not known equals nothing."""
    differences = []
    for part, names in (("hardware", HARDWARE), ("software", sorted(before["software"] | now["software"]))):
        for name in names or [part]:
            old, new = before[part].get(name), now[part].get(name)
            if old is None or old != new:
                differences.append(f"{name} {_in_words(old)} -> {_in_words(new)}")
    return ", ".join(differences)


def _in_words(condition: object) -> str:
    if isinstance(condition, dict):
        return " ".join(f"{key}={inner}" for key, inner in condition.items())
    return "unknown" if condition is None else condition if isinstance(condition, str) else json.dumps(condition)


def limit(tolerance: Tolerance, before: float, seeds: Sequence[float]) -> tuple[float, str] | None:
    """How much worse a metric may be that was ``before``, in its own unit, and in words how that came about.

    ``seeds`` are its values over the baseline's seeds; ``k`` deviations are those of a sample (n - 1). None where that
    needs two seeds, and there are fewer and no floor.
    """
    floor = tolerance.at_least
    if tolerance.absolute is not None:
        size, words = tolerance.absolute, f"{tolerance.absolute:g}"
    elif tolerance.relative is not None:
        size, words = tolerance.relative * abs(before), f"{100 * tolerance.relative:g} % of {before:.4g}"
    elif len(seeds) > 1:
        deviation = statistics.stdev(seeds)
        size = tolerance.deviations * deviation
        words = f"{tolerance.deviations:g} × {deviation:.3g} over {len(seeds)} seeds"
    else:
        return None if floor is None else (floor, f"{floor:g}, fewer than two seeds")
    return (size, words) if floor is None or size >= floor else (floor, f"at least {floor:g}")


def exceeds(metric: str, before: float, now: float, allowed: float) -> bool:
    """Whether a metric got worse by more than is allowed. What must be equal must be so to the last bit."""
    better = METRICS[metric].better
    if better == "equal":
        return now != before
    worsening = before - now if better == "higher" else now - before
    return worsening > allowed + ROUNDING * max(abs(before), abs(now))
