"""What a case leaves behind: one JSON file, written atomically, with enough to trust and to repeat it.

Reading and writing records needs no torch.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

from bench.kit.checksum import seal, unseal
from bench.kit.environment import environment, machine
from bench.kit.files import write_text
from bench.metrics import HEADLINE, METRICS, measurable, required
from bench.plan.case import Case
from bench.results.record_schema import FORMAT, check


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

    def as_run(self, case: Case) -> Case:
        """``case`` in the precision that this record was made in, which is no part of a profile."""
        return replace(case, precision=self.case.get("precision", case.precision))

    @property
    def own_metrics(self) -> dict[str, float | None]:
        """``metrics``, with None for times that another machine measured than the record's own."""
        elsewhere = timed_elsewhere(self)
        return {name: None if name in elsewhere else value for name, value in self.metrics.items()}


def path_of(folder: Path, case_id: str) -> Path:
    """Where the record of a case lies under a results folder."""
    return folder / "records" / f"{case_id}.json"


def picture_of(folder: Path, case_id: str) -> Path:
    """Where the picture lies that explains a case, if one was asked for."""
    return folder / "explain" / f"{case_id}.png"


def has_picture(folder: Path, case_id: str) -> bool:
    """Whether that picture is there and whole; an empty, cut or damaged one is to be drawn again."""
    from PIL import Image

    try:
        with Image.open(picture_of(folder, case_id)) as picture:
            picture.verify()  # each chunk's checksum
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return False
    return True


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
        name: {"value": value, "unit": METRICS[name].unit, "direction": METRICS[name].better}
        for name, value in values.items()
    }


def read(path: Path) -> Record:
    """Read a record. Raises :class:`RecordError` where the file is not a whole, undamaged record of this format."""
    try:
        return parse(unseal(path.read_text(encoding="utf-8"), FORMAT))
    except (OSError, ValueError, RecursionError) as error:
        raise RecordError(f"{path} is not a usable record ({error}): its case has to run again") from None


def parse(content: object) -> Record:
    """A record from its content. Raises ``ValueError`` where a part is missing or of the wrong kind."""
    check(content)
    parts = {key: value for key, value in content.items() if key != "format"}
    for part in ("metrics", "teacher"):
        parts[part] = _values(parts[part])
    parts["controls"] = {name: _values(entries) for name, entries in parts["controls"].items()}
    found = Record(**parts)
    if found.status == "done":
        check_done(found)
    return found


def _values(entries: dict[str, dict]) -> dict[str, float | None]:
    return {name: entry["value"] for name, entry in entries.items()}


def timed_elsewhere(found: Record) -> set[str]:
    """Times that another machine measured than the record's own: of work that was begun there and continued here."""
    own = machine(found.environment.get("hardware", {}))
    return {metric for metric, timed_on in found.protocol.get("timed_on", {}).items() if timed_on != own}


def check_done(found: Record) -> None:
    """Refuse a finished record that lacks what every finished record has, or has a number that nothing measures."""
    kind = "captions" if "image_to_text_r1" in found.metrics else "classification"
    groups = ("accuracy", "fidelity", "training", *(() if found.case.get("control") else ("cost",)))
    _check_numbers(found.metrics, tuple(name for group in groups for name in required(group, kind)), "it")
    controls = found.case.get("controls", ())
    if "teacher" in controls:
        _check_numbers(found.teacher, required("accuracy", kind), "the teacher")
    if "untrained" in controls:
        _check_numbers(found.controls.get("untrained", {}), required("accuracy", kind), "the untrained student")
    length = found.case.get("epochs")
    if not isinstance(length, int) or [entry.get("epoch") for entry in found.curve] != list(range(length + 1)):
        raise ValueError("a finished record's curve does not have an entry for each epoch")
    for entry in found.curve:
        of_epoch = HEADLINE[kind] if entry["epoch"] == 0 else (*HEADLINE[kind], "epoch_seconds")
        _check_numbers(entry, of_epoch, f"epoch {entry['epoch']} of its curve")
    if not all(found.environment.get(part) for part in ("software", "hardware", "git")):
        raise ValueError("a finished record lacks its environment")
    if found.in_batch and (
        "student" not in found.in_batch or min(size for size, _ in chain(*found.in_batch.values())) < 1
    ):
        raise ValueError("in_batch: expected the student's accuracy over batch sizes from 1")
    for name, value in _numbers(found):
        if value is not None and not measurable(value):
            raise ValueError(f"{name}: {value} is no number that can be measured")


def _check_numbers(values: dict, names: tuple[str, ...], what: str) -> None:
    missing = [name for name in names if values.get(name) is None]
    if missing:
        raise ValueError(f"a finished record is incomplete: {what} has no {', '.join(missing)}")


def _numbers(found: Record) -> Iterator[tuple[str, float | None]]:
    """All numbers that a report may show, by the place they have in the record."""
    parts = {"metrics": found.metrics, "teacher": found.teacher, "protocol.chance": found.protocol.get("chance", {})}
    parts |= {f"controls.{name}": values for name, values in found.controls.items()}
    parts |= {f"curve.{number}": entry for number, entry in enumerate(found.curve)}
    for part, values in parts.items():
        yield from ((f"{part}.{name}", value) for name, value in values.items())
    yield from (("in_batch", value) for value in chain(*chain(*found.in_batch.values())))
    yield "seconds", found.seconds


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
