"""What a case leaves behind: one JSON file, written atomically, with enough to trust and to repeat it.

Reading and writing records needs no torch.
"""

import json
import os
import platform
import subprocess
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path

from bench import catalog
from bench.case import Case
from bench.files import write_text
from bench.metrics import METRICS

FORMAT = 1
STATUSES = ("done", "failed", "oom", "timeout", "skipped", "crashed")


# What every finished record has, whatever its data.
NEEDED = (
    "parameters", "size_mb", "deployed_mb", "macs", "deployed_macs", "epoch_seconds", "latency_ms_batch_1",
    "latency_ms_batch_64", "paper_accuracy",
)  # fmt: skip


CLASSES = ("knn_top1",)
CAPTIONS = tuple(f"{direction}_r{k}" for direction in ("image_to_text", "text_to_image") for k in (1, 5, 10))


class RecordError(ValueError):
    """A record cannot be read; the message says which and why."""


@dataclass
class Record:
    """The result of one case. ``metrics`` and ``teacher`` map a name of ``METRICS`` to its value."""

    id: str
    case: dict
    fingerprint: str
    # A record starts as crashed and is overwritten when its case ends: what stays crashed was killed.
    status: str = "crashed"
    message: str = "the case was started and did not end; it will be tried again"
    metrics: dict[str, float | None] = field(default_factory=dict)
    teacher: dict[str, float] = field(default_factory=dict)
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


def write(record: Record, folder: Path) -> Path:
    """Write a record atomically; each metric gets its unit and direction."""
    content = {"format": FORMAT} | asdict(record)
    for part in ("metrics", "teacher"):
        content[part] = {
            name: {"value": value, "unit": METRICS[name][0], "direction": METRICS[name][1]}
            for name, value in content[part].items()
        }
    path = path_of(folder, record.id)
    write_text(path, json.dumps(content, indent=1) + "\n")
    return path


def read(path: Path) -> Record:
    """Read a record. Raises :class:`RecordError` where the file is not a whole record of this format."""
    try:
        return parse(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError) as error:
        raise RecordError(f"{path} is not a usable record ({error}); delete it and run its case again") from None


def parse(content: object) -> Record:
    """A record from its JSON content. Raises ``ValueError`` where a part is missing or of the wrong kind."""
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
        "curve": list,
    }
    for key, kind in expected.items():
        if not isinstance(content.get(key), kind):
            raise ValueError(f"'{key}' is missing or not of type {kind.__name__}")
    if content["status"] not in STATUSES:
        raise ValueError(f"unknown status {content['status']!r}")
    for part in ("metrics", "teacher"):
        for name, entry in content[part].items():
            if name not in METRICS or not isinstance(entry, dict) or "value" not in entry:
                raise ValueError(f"'{part}' has an unknown or incomplete metric {name!r}")
            if not isinstance(entry["value"], int | float | None) or isinstance(entry["value"], bool):
                raise ValueError(f"'{part}.{name}' is not a number")
        content[part] = {name: entry["value"] for name, entry in content[part].items()}
    try:
        found = Record(**content)
    except TypeError as error:
        raise ValueError(str(error)) from None
    if found.status == "done":
        _check_done(found)
    return found


def _check_done(found: Record) -> None:
    """Refuse a finished record that lacks what every finished record has."""
    own = CAPTIONS if "image_to_text_r1" in found.metrics else CLASSES
    missing = [name for name in (*NEEDED, *own) if not isinstance(found.metrics.get(name), int | float)]
    if missing:
        raise ValueError(f"a finished record lacks {', '.join(missing)}")
    length = found.case.get("epochs")
    entries = [entry for entry in found.curve if isinstance(entry, dict)]
    if not isinstance(length, int) or [entry.get("epoch") for entry in entries] != list(range(length + 1)):
        raise ValueError("a finished record's curve does not have an entry for each epoch")
    if not all(isinstance(entry.get("epoch_seconds"), int | float) for entry in entries[1:]):
        raise ValueError("a finished record's curve lacks its epochs' seconds")
    if not all(isinstance(scores.get(name), int | float) for scores in (entries[0], found.teacher) for name in own):
        raise ValueError("a finished record lacks the accuracies of the untrained student or of the teacher")
    if not all(isinstance(found.environment.get(part), dict) for part in ("software", "hardware", "git")):
        raise ValueError("a finished record lacks its environment")


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


def reusable(case: Case, folder: Path) -> Record | None:
    """The record of ``case`` if it is done under the same fingerprint."""
    path = path_of(folder, case.id)
    if not path.exists():
        return None
    try:
        record = read(path)
    except RecordError:
        return None
    return record if record.status == "done" and record.fingerprint == case.fingerprint else None


@cache
def _environment() -> dict:
    packages = ("torch", "torchvision", "timm", "open_clip_torch", "transformers", "fvcore", "numpy")
    return {
        "software": {"python": platform.python_version()} | {name: metadata.version(name) for name in packages},
        "hardware": {"machine": platform.machine(), "processor": _processor(), "cores": os.cpu_count()},
        "git": _git(),
    }


def environment() -> dict:
    """Software, hardware and git commit; devices are added by who knows them."""
    return json.loads(json.dumps(_environment()))


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or "unknown"


def _git() -> dict:
    def ask(*words: str) -> str | None:
        try:
            answer = subprocess.run(["git", *words], cwd=catalog.ROOT, capture_output=True, text=True, timeout=10)
        except (OSError, subprocess.TimeoutExpired):
            return None
        return answer.stdout.strip() if answer.returncode == 0 else None

    status = ask("status", "--porcelain")
    return {"commit": ask("rev-parse", "HEAD"), "dirty": None if status is None else bool(status)}
