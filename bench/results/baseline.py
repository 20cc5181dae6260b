"""The baseline's file: the metrics that have a tolerance, the conditions they were measured in, and how cases were configured.

Sorted, a line per value, so that a renewal can be reviewed. The conditions and what all cases have in common stand once; a
case has what differs. A checksum tells of damage.
"""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, JsonValue, StrictFloat, StrictInt, ValidationError

from bench.kit.errors import UserError, first_fault
from bench.kit.files import seal, unseal, write_text
from bench.metrics import measurable
from bench.plan.case import Case
from bench.plan.schema import Metric, Strict, Tolerance
from bench.results.record import Record
from bench.results.verdict import plain

FORMAT = 4
UNKNOWN = {"hardware": {}, "software": {}}
# Times, memory, throughput and energy are compared only where these and all software are equal.
HARDWARE = ("device", "precision", "processor", "threads", "cases_beside")


@dataclass(frozen=True)
class Result:
    """What is compared of a case: the values of its metrics, their meaning (fingerprint) and their conditions.

    ``notes`` say of a metric why it has no value. ``case`` is how it was configured.
    """

    fingerprint: str
    metrics: dict[str, float]
    conditions: dict = field(default_factory=lambda: UNKNOWN)
    status: str = "done"
    message: str = ""
    notes: dict[str, str] = field(default_factory=dict)
    case: dict = field(default_factory=dict)

    @classmethod
    def of(cls, record: Record, tolerances: dict[str, Tolerance]) -> "Result":
        """What a record says, of the metrics that have a tolerance and were measured."""
        values = {name: record.metrics[name] for name in sorted(tolerances) if record.metrics.get(name) is not None}
        measured_in = conditions(record.environment)
        return cls(record.fingerprint, values, measured_in, record.status, record.message, record.noted(), record.case)


def conditions(environment: dict) -> dict:
    """What of a record's environment its times depend on: device, precision, processor, threads, cases
    that ran at the same time, and all software."""
    hardware = environment.get("hardware", {})
    known = {name: hardware[name] for name in HARDWARE if hardware.get(name) is not None}
    return {"hardware": known, "software": dict(sorted(environment.get("software", {}).items()))}


@dataclass(frozen=True)
class Baseline:
    """A baseline's profile and its cases by id."""

    profile: str
    cases: dict[str, Result]


def _measured(value: float) -> float:
    if not measurable(value):
        raise ValueError("not a finite number of a size that is measured")
    return value


class _Environment(Strict):
    hardware: dict[str, str | int | dict[str, str]]
    software: dict[str, str]


class _Entry(Strict):
    fingerprint: str
    metrics: dict[Metric, Annotated[StrictInt | StrictFloat, AfterValidator(_measured)]]
    case: dict[str, JsonValue]
    environment: _Environment | None = None


class _File(Strict):
    format: Literal[FORMAT]
    profile: str
    environment: _Environment
    case: dict[str, JsonValue]
    cases: dict[str, _Entry]


def read(path: Path, profile: str | None = None) -> Baseline:
    """Read a baseline. Raises :class:`UserError` where the file is not a whole, undamaged baseline of this format, or is not
    ``profile``'s."""
    try:
        file = _File.model_validate(unseal(path.read_text(encoding="utf-8"), FORMAT))
    except ValidationError as error:
        reason = plain(first_fault(error))
    except OSError as error:
        reason = error.strerror or str(error)
    except (ValueError, RecursionError) as error:
        reason = plain(str(error))
    else:
        cases = {
            name: Result(
                entry.fingerprint,
                entry.metrics,
                (entry.environment or file.environment).model_dump(),
                case=file.case | entry.case,
            )
            for name, entry in file.cases.items()
        }
        if profile not in (None, file.profile):
            raise UserError(
                f"{path} is the baseline of profile '{file.profile}', and this is '{profile}': add --profile {file.profile}, "
                "or name another baseline"
            )
        return Baseline(file.profile, cases)
    raise UserError(f"{path} is not a usable baseline ({reason}); write one with --save-baseline FILE")


def save(
    path: Path,
    profile: str,
    cases: tuple[Case, ...],
    chosen: Mapping[Case, Record | None],
    tolerances: dict[str, Tolerance],
) -> str:
    """Write a baseline of the ``chosen`` ones of a profile's ``cases``; returns a line that says what changed.

    Raises :class:`UserError` where a chosen case has no finished record or a metric is no number, and where ``path``
    is another profile's baseline or has cases that would be lost. Merging is left out on purpose: what is done is reused,
    so renewing all of a baseline costs no more than a part of it.
    """
    records = {case.id: record for case, record in chosen.items()}
    undone = sorted(name for name, record in records.items() if record is None or record.status != "done")
    if undone or not records:
        reason = f"not done: {', '.join(undone)}" if undone else "no case was selected"
        raise UserError(f"no baseline written: {reason}")
    lost = _lost(path, profile, {case.id for case in cases}, set(records))
    content = _content(profile, {name: Result.of(records[name], tolerances) for name in sorted(records)})
    try:
        _File.model_validate(content)
        write_text(path, seal(content))
    except ValidationError as error:
        raise UserError(f"no baseline written: {plain(first_fault(error))}") from None
    except OSError as error:
        raise UserError(f"no baseline written: {error}") from None
    part = f"{len(records)} of the {len(cases)} cases of profile '{profile}'"
    return f"baseline written: {path}: {part}" + (f"; dropped: {', '.join(lost)}" if lost else "")


def _content(profile: str, results: dict[str, Result]) -> dict:
    """The file's content; the conditions that most cases have stand at its top, and what all are configured alike."""
    texts = {name: json.dumps(result.conditions, sort_keys=True) for name, result in results.items()}
    counts = Counter(texts.values())
    common = min(counts, key=lambda text: (-counts[text], text))
    configured = [result.case for result in results.values()]
    alike = {
        key: value
        for key, value in configured[0].items()
        if all(key in one and one[key] == value for one in configured)
    }
    entries = {}
    for name, result in results.items():
        own = {} if texts[name] == common else {"environment": json.loads(texts[name])}
        case = {key: value for key, value in result.case.items() if key not in alike}
        entries[name] = {"fingerprint": result.fingerprint, "metrics": result.metrics, "case": case} | own
    return {"format": FORMAT, "profile": profile, "environment": json.loads(common), "case": alike, "cases": entries}


def _lost(path: Path, profile: str, ids: set[str], selected: set[str]) -> list[str]:
    """Cases of the file at ``path`` that writing there drops because the matrix has them no more."""
    if not path.exists():
        return []
    try:
        there = read(path)
    except UserError as error:
        if selected == ids:
            return []
        raise UserError(f"no baseline written: only a part of the profile was selected, and {error}") from None
    missed, reason = set(there.cases) - selected, ""
    if there.profile != profile:
        reason = f"{path} is the baseline of profile '{there.profile}', and this is '{profile}': select that"
    elif missed and selected != ids:
        reason = f"{len(selected)} of {len(ids)} cases were selected, and {len(missed)} others in {path} would be lost"
        reason += ": select all (what is done is reused)"
    if reason:
        raise UserError(f"no baseline written: {reason}, or choose another file")
    return sorted(missed)
