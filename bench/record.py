"""What a case leaves behind: one JSON file, written atomically, with enough to trust and to repeat it.

Reading and writing records needs no torch.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from bench.case import Case
from bench.environment import environment
from bench.files import write_text
from bench.metrics import ACCURACIES, COSTS, FIDELITY, HEADLINE, METRICS
from bench.sealed import seal, unseal

FORMAT = 3
STATUSES = ("done", "failed", "oom", "timeout", "skipped", "crashed")


class RecordError(ValueError):
    """A record cannot be read; the message says which and why."""


@dataclass
class Record:
    """The result of one case. ``metrics`` and ``teacher`` map a name of ``METRICS`` to its value.

    ``controls`` does so for each control that was measured beside it, and for "shuffled", which should be at chance;
    ``in_batch`` has the paper's accuracy of "student" and "teacher" over the batch size: ``[[B, %], ...]``.
    """

    id: str
    case: dict
    fingerprint: str
    # A record starts as crashed and is overwritten when its case ends: what stays crashed was killed.
    status: str = "crashed"
    message: str = "the case was started and did not end; it will be tried again"
    metrics: dict[str, float | None] = field(default_factory=dict)
    teacher: dict[str, float] = field(default_factory=dict)
    controls: dict[str, dict[str, float]] = field(default_factory=dict)
    in_batch: dict[str, list] = field(default_factory=dict)
    curve: list[dict] = field(default_factory=list)
    protocol: dict = field(default_factory=dict)
    environment: dict = field(default_factory=dict)
    started: str = ""
    seconds: float | None = None

    @classmethod
    def of(cls, case: Case) -> "Record":
        """A new record of ``case``, not yet run."""
        started = datetime.now(UTC).isoformat(timespec="seconds")
        return cls(case.id, case.resolved(), case.fingerprint, environment=environment(), started=started)


def path_of(folder: Path, case_id: str) -> Path:
    """Where the record of a case lies under a results folder."""
    return folder / "records" / f"{case_id}.json"


def picture_of(folder: Path, case_id: str) -> Path:
    """Where the picture lies that explains a case, if one was asked for."""
    return folder / "explain" / f"{case_id}.png"


def write(record: Record, folder: Path) -> Path:
    """Write a record atomically, with its digest; each metric gets its unit and direction."""
    content = {"format": FORMAT} | asdict(record)
    for part in ("metrics", "teacher"):
        content[part] = _with_units(content[part])
    content["controls"] = {name: _with_units(values) for name, values in content["controls"].items()}
    path = path_of(folder, record.id)
    write_text(path, seal(content))
    return path


def _with_units(values: dict[str, float | None]) -> dict[str, dict]:
    return {
        name: {"value": value, "unit": METRICS[name][0], "direction": METRICS[name][1]}
        for name, value in values.items()
    }


def read(path: Path) -> Record:
    """Read a record. Raises :class:`RecordError` where the file is not a whole, undamaged record of this format."""
    try:
        return parse(unseal(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError) as error:
        raise RecordError(f"{path} is not a usable record ({error}); delete it and run its case again") from None


def parse(content: object) -> Record:
    """A record from its content. Raises ``ValueError`` where a part is missing or of the wrong kind."""
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f"expected an object with format {FORMAT}")
    content = {key: value for key, value in content.items() if key != "format"}
    expected = {
        "id": str,
        "case": dict,
        "fingerprint": str,
        "status": str,
        "metrics": dict,
        "teacher": dict,
        "controls": dict,
        "in_batch": dict,
        "curve": list,
    }
    for key, kind in expected.items():
        if not isinstance(content.get(key), kind):
            raise ValueError(f"'{key}' is missing or not of type {kind.__name__}")
    if content["status"] not in STATUSES:
        raise ValueError(f"unknown status {content['status']!r}")
    for part in ("metrics", "teacher"):
        content[part] = _values(part, content[part])
    content["controls"] = {name: _values(f"controls.{name}", part) for name, part in content["controls"].items()}
    try:
        found = Record(**content)
    except TypeError as error:
        raise ValueError(str(error)) from None
    if found.status == "done":
        _check_done(found)
    return found


def _values(part: str, entries: object) -> dict[str, float | None]:
    """The values of a part's metrics. Raises ``ValueError`` naming what is wrong."""
    if not isinstance(entries, dict):
        raise ValueError(f"'{part}' is not an object")
    for name, entry in entries.items():
        if name not in METRICS or not isinstance(entry, dict) or "value" not in entry:
            raise ValueError(f"'{part}' has an unknown or incomplete metric {name!r}")
        if not isinstance(entry["value"], int | float | None) or isinstance(entry["value"], bool):
            raise ValueError(f"'{part}.{name}' is not a number")
    return {name: entry["value"] for name, entry in entries.items()}


def _check_done(found: Record) -> None:
    """Refuse a finished record that lacks what every finished record has."""
    kind = "captions" if "image_to_text_r1" in found.metrics else "classification"
    costs = () if found.case.get("control") else COSTS
    _check_numbers(found.metrics, (*ACCURACIES[kind], "paper_accuracy", "epoch_seconds", *FIDELITY, *costs), "it")
    controls = found.case.get("controls", ())
    if "teacher" in controls:
        _check_numbers(found.teacher, ACCURACIES[kind], "the teacher")
    if "untrained" in controls:
        _check_numbers(found.controls.get("untrained", {}), ACCURACIES[kind], "the untrained student")
    length = found.case.get("epochs")
    entries = [entry for entry in found.curve if isinstance(entry, dict)]
    if not isinstance(length, int) or [entry.get("epoch") for entry in entries] != list(range(length + 1)):
        raise ValueError("a finished record's curve does not have an entry for each epoch")
    for entry in entries:
        of_epoch = HEADLINE[kind] if entry["epoch"] == 0 else (*HEADLINE[kind], "epoch_seconds")
        _check_numbers(entry, of_epoch, f"epoch {entry['epoch']} of its curve")
    if not all(isinstance(found.environment.get(part), dict) for part in ("software", "hardware", "git")):
        raise ValueError("a finished record lacks its environment")


def _check_numbers(values: dict, names: tuple[str, ...], what: str) -> None:
    missing = [name for name in names if not isinstance(values.get(name), int | float)]
    if missing:
        raise ValueError(f"a finished record is incomplete: {what} has no {', '.join(missing)}")


def read_all(folder: Path) -> tuple[dict[str, Record], list[str]]:
    """All records under a results folder by id, and a message for each file that cannot be used."""
    records, faults = {}, []
    for path in sorted((folder / "records").glob("*.json")):
        try:
            record = read(path)
            records[record.id] = record
        except RecordError as error:
            faults.append(str(error))
    return records, faults


def reusable(case: Case, folder: Path, say: Callable[[str], None] = lambda text: None) -> Record | None:
    """The record of ``case`` if it is done under the same fingerprint; ``say`` gets a line about a damaged one."""
    path = path_of(folder, case.id)
    if not path.exists():
        return None
    try:
        record = read(path)
    except RecordError as error:
        say(str(error))
        return None
    return record if record.status == "done" and record.fingerprint == case.fingerprint else None
