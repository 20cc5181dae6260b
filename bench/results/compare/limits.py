"""By how much a metric may get worse: the tolerances of matrix.yaml as numbers."""

import statistics
from collections.abc import Iterable
from dataclasses import dataclass

from bench.metrics import METRICS
from bench.plan.schema import Tolerance

# What decimal fractions lose as binary ones, as a share of the value: 1.3 - 1.0 is a little more than 0.3.
ROUNDING = 1e-12


@dataclass(frozen=True)
class Limit:
    """How much worse a metric may be, in its own unit, and in words how that came about."""

    value: float
    text: str


def limit(tolerance: Tolerance, before: float, seeds: Iterable[float]) -> Limit | None:
    """The limit for a metric that was ``before``, and whose values over the baseline's seeds are ``seeds``.

    ``k`` deviations are those of a sample (n - 1). None where that needs two seeds, and there are fewer and no floor.
    """
    if tolerance.absolute is not None:
        return Limit(tolerance.absolute, f"{tolerance.absolute:g}")
    floor = tolerance.at_least
    if tolerance.relative is not None:
        found = Limit(tolerance.relative * abs(before), f"{100 * tolerance.relative:g} % of {before:.4g}")
    else:
        values = list(seeds)
        if len(values) < 2:
            return None if floor is None else Limit(floor, f"{floor:g}, fewer than two seeds")
        deviation = statistics.stdev(values)
        text = f"{tolerance.deviations:g} × {deviation:.3g} over {len(values)} seeds"
        found = Limit(tolerance.deviations * deviation, text)
    return found if floor is None or found.value >= floor else Limit(floor, f"at least {floor:g}")


def exceeds(metric: str, before: float, now: float, allowed: float) -> bool:
    """Whether a metric got worse by more than is allowed. What must be equal must be so to the last bit."""
    if METRICS[metric].better == "equal":
        return now != before
    return _worsening(metric, before, now) > allowed + ROUNDING * max(abs(before), abs(now))


def _worsening(metric: str, before: float, now: float) -> float:
    """By how much a metric got worse, in its own unit; negative where it got better."""
    change = now - before
    return -change if METRICS[metric].better == "higher" else change
