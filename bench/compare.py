"""Records against a baseline: per metric a direction and a tolerance, per case a verdict. It decides the exit code.

A gate must not pass because it compared nothing, or because a case vanished, failed or changed its meaning; each
of these is a failure with a message of its own. New cases and improvements are listed, not failed.
"""

import json
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from bench import catalog
from bench.case import Case
from bench.files import write_text
from bench.metrics import METRICS
from bench.record import Record

FORMAT = 1
WHAT_TO_DO = "if this is meant, renew the baseline with --save-baseline"


class BaselineError(ValueError):
    """The baseline cannot be used; the message says which and why."""


@dataclass
class Verdict:
    """The outcome: ``failures`` decide, ``remarks`` inform; ``compared`` cases of the baseline's ``of``."""

    compared: int = 0
    of: int = 0
    failures: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return not self.failures

    def lines(self) -> list[str]:
        """The verdict as text, the summary first."""
        word = "passed" if self.passed else "FAILED"
        summary = f"baseline {word}: {self.compared} of its {self.of} cases compared, {len(self.failures)} failures"
        return [summary, *(f"  FAIL  {text}" for text in self.failures), *(f"  note  {text}" for text in self.remarks)]


def save(path: Path, profile: str, records: Collection[Record], tolerances: dict[str, float]) -> None:
    """Write a baseline of the finished records: the metrics that have a tolerance, sorted, a line per value.

    Raises :class:`BaselineError` where a record is not done: a baseline never holds half a matrix silently.
    """
    unfinished = sorted(entry.id for entry in records if entry.status != "done")
    if unfinished or not records:
        raise BaselineError(f"no baseline written: not done: {', '.join(unfinished) or 'every case'}")
    cases = {
        entry.id: {
            "fingerprint": entry.fingerprint,
            "metrics": {
                name: entry.metrics[name] for name in sorted(tolerances) if entry.metrics.get(name) is not None
            },
        }
        for entry in sorted(records, key=lambda entry: entry.id)
    }
    write_text(path, json.dumps({"format": FORMAT, "profile": profile, "cases": cases}, indent=1) + "\n")


def read(path: Path) -> dict[str, dict]:
    """The cases of a baseline. Raises :class:`BaselineError` where the file is not a whole baseline."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if (
            not isinstance(content, dict)
            or content.get("format") != FORMAT
            or not isinstance(content.get("cases"), dict)
        ):
            raise ValueError(f"expected an object with format {FORMAT} and cases")
        for name, entry in content["cases"].items():
            if not isinstance(entry, dict) or not isinstance(entry.get("fingerprint"), str):
                raise ValueError(f"case {name!r} has no fingerprint")
            if not isinstance(entry.get("metrics"), dict):
                raise ValueError(f"case {name!r} has no metrics")
            for metric, value in entry["metrics"].items():
                if (
                    metric not in METRICS
                    or not isinstance(value, int | float)
                    or isinstance(value, bool)
                    or value != value
                ):
                    raise ValueError(f"case {name!r} has an unknown metric or a value that is no number: {metric!r}")
    except (OSError, ValueError, RecursionError) as error:
        raise BaselineError(
            f"{path} is not a usable baseline ({error}); write one with --save-baseline {path}"
        ) from None
    return content["cases"]


def against(
    baseline: dict[str, dict],
    cases: tuple[Case, ...],
    selected: Collection[str],
    records: dict[str, Record],
    tolerances: dict[str, float],
) -> Verdict:
    """Hold the records of the ``selected`` ids against a baseline.

    ``cases`` is the whole profile: a baseline case that is not among them is gone, whatever was selected.
    """
    verdict = Verdict(of=len(baseline))
    known = {case.id: case for case in cases}
    for name, expected in baseline.items():
        if name not in known:
            near = catalog.nearest(name, tuple(known))
            verdict.failures.append(f"{name}: gone from the matrix ({near}); {WHAT_TO_DO}")
        elif name in selected:
            _one(verdict, known[name], expected, records.get(name), tolerances)
    outside = sum(name in known and name not in selected for name in baseline)
    if outside:
        verdict.remarks.append(f"{outside} cases of the baseline were not selected")
    verdict.remarks += [f"{name}: new, not in the baseline" for name in selected if name not in baseline]
    if not verdict.compared and not verdict.failures:
        verdict.failures.append("nothing was compared: no selected case is in the baseline")
    return verdict


def _one(verdict: Verdict, case: Case, expected: dict, found: Record | None, tolerances: dict[str, float]) -> None:
    if found is None or found.fingerprint != case.fingerprint:
        verdict.failures.append(f"{case.id}: did not run")
        return
    if found.status != "done":
        verdict.failures.append(f"{case.id}: {found.status}: {found.message}")
        return
    if found.fingerprint != expected["fingerprint"]:
        verdict.failures.append(f"{case.id}: its fingerprint changed, so the numbers mean something else; {WHAT_TO_DO}")
        return
    verdict.compared += 1
    for metric, before in expected["metrics"].items():
        _metric(verdict, case.id, metric, before, found.metrics.get(metric), tolerances.get(metric))


def _metric(
    verdict: Verdict, name: str, metric: str, before: float, now: float | None, tolerance: float | None
) -> None:
    unit, direction = METRICS[metric]
    if tolerance is None:
        verdict.remarks.append(f"{name}: {metric} has no tolerance in matrix.yaml and was not compared")
        return
    if now is None or now != now:
        verdict.failures.append(f"{name}: {metric} was not measured; the baseline has {before:g} {unit}")
        return
    change = now - before
    worse = {"higher": -change, "lower": change, "equal": abs(change)}[direction]
    text = f"{name}: {metric} {before:g} -> {now:g} {unit} ({change:+g}, tolerance {tolerance:g})"
    if worse > tolerance:
        verdict.failures.append(text)
    elif direction != "equal" and -worse > tolerance:
        verdict.remarks.append(f"{text}: better")
