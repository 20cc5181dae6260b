"""What a case leaves behind: one JSON file, written atomically, with enough to trust and to repeat it.

A published report keeps all of its records in one compressed file, one a line. Either form is read. Needs no torch.
"""

import gzip
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields, replace
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, ValidationError, model_validator

from bench.kit.environment import environment, machine
from bench.kit.errors import UserError, first_fault
from bench.kit.files import seal, unseal, write_atomically, write_text
from bench.metrics import HEADLINE, METRICS, measurable, required
from bench.plan.case import Case

FORMAT = 4
# Of how figures come about: data, teachers, training and measures as docs/protocol.md describes them. It rises where a change
# moves figures by more than their tolerances, and figures of different versions do not stand beside each other.
PROTOCOL = 1
PUBLISHED = "records.jsonl.gz"
STATUSES = ("done", "failed", "oom", "timeout", "interrupted", "crashed")


class RecordError(UserError):
    """A record cannot be read; the message says which and why."""


def _value(entry: object) -> object:
    return entry["value"] if isinstance(entry, dict) and "value" in entry else entry


def _with_units(values: dict[str, float | None]) -> dict[str, dict]:
    return {
        name: {"value": value, "unit": METRICS[name].unit, "direction": METRICS[name].better}
        for name, value in values.items()
    }


Number = int | float  # strict: neither true nor "1"
Metric = Literal[tuple(METRICS)]
# In the file each metric stands with its unit and with what is better.
Metrics = Annotated[dict[Metric, Annotated[Number | None, BeforeValidator(_value)]], PlainSerializer(_with_units)]
Scores = Annotated[dict[Metric, Annotated[Number, BeforeValidator(_value)]], PlainSerializer(_with_units)]
Point = Annotated[list[Number], Field(min_length=2, max_length=2)]  # [B, %]


class Record(BaseModel):
    """The result of one case. ``metrics`` and ``teacher`` map a name of ``METRICS`` to its value.

    ``controls`` does so for each control that was measured beside it, and for "shuffled", which should be at chance;
    ``in_batch`` has the paper's accuracy of "student" and "teacher" over the batch size: ``[[B, %], ...]``. ``notes`` say why a
    metric is None; each begins with the metric's name. ``retries`` is how many processes were killed in the case before it ended.
    """

    model_config = ConfigDict(strict=True, extra="forbid")

    format: Literal[FORMAT] = FORMAT
    id: str
    case: dict
    fingerprint: str
    # A record starts as crashed and is overwritten when its case ends: what stays crashed was killed.
    status: Literal[STATUSES] = "crashed"
    message: str = "the case was started and did not end; it will be tried again"
    metrics: Metrics = {}
    teacher: Metrics = {}
    controls: dict[str, Scores] = {}
    notes: list[str] = []
    in_batch: dict[Literal["student", "teacher"], Annotated[list[Point], Field(min_length=1)]] = {}
    curve: list[dict[str, Number]] = []
    protocol: dict = {}
    environment: dict = {}
    started: str = ""
    seconds: Number | None = None
    retries: int = 0

    @classmethod
    def of(cls, case: Case) -> "Record":
        """A new record of ``case``, not yet run."""
        return cls(
            id=case.id,
            case=case.resolved(),
            fingerprint=case.fingerprint,
            environment=environment(),
            started=datetime.now(UTC).isoformat(timespec="seconds"),
        )

    def as_run(self, case: Case) -> Case:
        """``case`` in the precision that this record was made in, which is no part of a profile."""
        return replace(case, precision=self.case.get("precision", case.precision))

    def is_current(self, case: Case) -> bool:
        """Whether the configuration, code, data and weights of ``case`` are those that made this record."""
        return self.fingerprint == self.as_run(case).fingerprint

    def has_facts_of(self, case: Case) -> bool:
        """Whether ``case`` is configured as this record's was; an option that is newer than the record had its default."""
        defaults = {field.name: field.default for field in fields(Case)}
        facts = self.as_run(case).resolved()
        return all(self.case.get(name, defaults.get(name)) == value for name, value in facts.items())

    def set_time(self, metric: str, seconds: float, timed_on: str) -> None:
        """Keep a time of the machine ``timed_on``; where that is not the record's own, None and a note that says so."""
        self.metrics[metric] = seconds
        if timed_on != machine(self.environment["hardware"]):
            self.metrics[metric] = None
            self.notes.append(
                f"{metric} was measured on {timed_on} before another machine continued the work; it is not shown"
            )

    def noted(self) -> dict[str, str]:
        """The notes by the metric that each is about."""
        return {note.partition(" ")[0]: note for note in self.notes}

    @model_validator(mode="after")
    def _done_is_whole(self) -> "Record":
        if self.status == "done":
            self.check_done()
        return self

    def check_done(self) -> None:
        """Raise ``ValueError`` where a finished record is incomplete, or has a number that no measure gives."""
        kind = next((kind for kind, names in HEADLINE.items() if names[0] in self.metrics), "classification")
        groups = ("accuracy", "fidelity", "training", *(() if self.case.get("control") else ("cost",)))
        _require("it", self.metrics | self.noted(), [name for group in groups for name in required(group, kind)])
        controls = self.case.get("controls", ())
        if "teacher" in controls:
            _require("the teacher", self.teacher, required("accuracy", kind))
        if "untrained" in controls:
            _require(
                "the untrained student",
                self.controls.get("untrained", {}),
                (*required("accuracy", kind), *HEADLINE[kind]),
            )
        length = self.case.get("epochs")
        if length is None or [entry.get("epoch") for entry in self.curve] != list(range(length + 1)):
            raise ValueError("a finished record's curve does not have an entry for each epoch")
        for entry in self.curve:
            scores = HEADLINE[kind] if entry["epoch"] in (0, length) else ()  # between them some epochs may have none
            times = ("epoch_seconds",) if entry["epoch"] else ()
            _require(f"epoch {entry['epoch']} of its curve", entry, (*scores, *times))
        if not all(self.environment.get(part) for part in ("software", "hardware", "git")):
            raise ValueError("a finished record lacks its environment")
        if self.in_batch and (
            "student" not in self.in_batch or min(size for size, _ in chain(*self.in_batch.values())) < 1
        ):
            raise ValueError("in_batch: expected the student's accuracy over batch sizes from 1")
        for name, value in self._numbers():
            if value is not None and not measurable(value):
                raise ValueError(f"{name} is not a possible value: {value}")

    def _numbers(self) -> Iterator[tuple[str, float | None]]:
        """All numbers that a report may show, by the place they have in the record."""
        parts = {"metrics": self.metrics, "teacher": self.teacher, "protocol.chance": self.protocol.get("chance", {})}
        parts |= {f"controls.{name}": values for name, values in self.controls.items()}
        parts |= {f"curve.{number}": entry for number, entry in enumerate(self.curve)}
        for part, values in parts.items():
            yield from ((f"{part}.{name}", value) for name, value in values.items())
        yield from (("in_batch", value) for value in chain(*chain(*self.in_batch.values())))
        yield "seconds", self.seconds


def _require(what: str, values: dict, names: Iterable[str]) -> None:
    missing = [name for name in names if values.get(name) is None]
    if missing:
        raise ValueError(f"a finished record is incomplete: {what} has no {', '.join(missing)}")


def path_of(folder: Path, case_id: str) -> Path:
    """Where the record of a case lies under a results folder."""
    return folder / "records" / f"{case_id}.json"


def picture_of(folder: Path, case_id: str) -> Path:
    """Where the picture lies that explains a case, if one was asked for."""
    return folder / "explain" / f"{case_id}.png"


def write(record: Record, folder: Path) -> Path:
    """Write a record under a results folder, atomically and with its checksum; returns its path."""
    path = path_of(folder, record.id)
    write_text(path, seal(record.model_dump(warnings=False)))
    return path


def publish(records: Iterable[Record], folder: Path) -> Path:
    """Write records as the one file of a published report, sorted, the same bytes for the same records; returns its path."""
    path, in_order = folder / PUBLISHED, sorted(records, key=lambda record: record.id)
    lines = "".join(seal(record.model_dump(warnings=False), indent=None) for record in in_order)
    write_atomically(path, lambda temporary: temporary.write_bytes(gzip.compress(lines.encode(), mtime=0)))
    return path


def read(path: Path) -> Record:
    """Read a record's file. Raises :class:`RecordError` where it is not a whole, undamaged record of this format."""
    try:
        return _parse(path.read_bytes(), path)
    except OSError as error:
        raise _unusable(path, error) from None


def _parse(content: bytes, place: object) -> Record:
    try:
        return Record.model_validate(unseal(content.decode(), FORMAT))
    except ValidationError as error:
        raise _unusable(place, first_fault(error)[:160]) from None
    except (ValueError, RecursionError) as error:
        raise _unusable(place, error) from None


def _unusable(place: object, reason: object) -> RecordError:
    return RecordError(f"{place} is not a usable record ({reason}): its case has to run again")


def _published(folder: Path) -> list[tuple[bytes, str]]:
    """The lines of a published report's records, each with its place. Raises :class:`RecordError` where the file is damaged."""
    path = folder / PUBLISHED
    if not path.exists():
        return []
    try:
        lines = gzip.decompress(path.read_bytes()).splitlines()
    except (OSError, EOFError, zlib.error) as error:
        raise RecordError(f"{path} cannot be read ({error}): restore it, for example from git") from None
    return [(line, f"line {number} of {path}") for number, line in enumerate(lines, 1)]


def read_all(folder: Path) -> tuple[dict[str, Record], list[str]]:
    """All records of a results folder or a published report by id, and a message for each that cannot be used."""
    faults = []

    def attempt(work: Callable, *arguments) -> object:
        try:
            return work(*arguments)
        except RecordError as error:
            faults.append(str(error))
        return None

    records = [attempt(_parse, *line) for line in attempt(_published, folder) or ()]
    records += [attempt(read, path) for path in sorted((folder / "records").glob("*.json"))]
    return {record.id: record for record in records if record}, faults


def load(folder: Path, case_id: str) -> Record | None:
    """The record of a case in a results folder or a published report; None where there is none.

    Raises :class:`RecordError` where it cannot be used.
    """
    path = path_of(folder, case_id)
    if path.exists():
        return read(path)
    named = f'"id": "{case_id}"'.encode()
    return next((_parse(line, place) for line, place in _published(folder) if named in line), None)


def finished(folder: Path, case_id: str, say: Callable[[str], None] = lambda text: None) -> Record | None:
    """The finished record of the case, of whatever configuration; ``say`` gets a line about a damaged one."""
    try:
        record = load(folder, case_id)
    except RecordError as error:
        say(str(error))
        return None
    return record if record and record.status == "done" else None


def reusable(case: Case, folder: Path, say: Callable[[str], None] = lambda text: None) -> Record | None:
    """The finished record of ``case`` if it has the same fingerprint; ``say`` gets a line about a damaged one."""
    record = finished(folder, case.id, say)
    return record if record and record.fingerprint == case.fingerprint else None
