"""Finished records, sent to where people keep results: ``--log mlflow``, ``tensorboard``, ``wandb``.

    pytest bench --log mlflow,tensorboard          at the end of the session, whatever ran the cases, reused ones too
    python -m bench report --log wandb             after the fact
    python -m bench export CASE --to DIR --log mlflow      with the exported student

A case is a run of the tracker with its parameters, its curve over the epochs (``curve/NAME``), its metrics, those of its
teacher (``teacher/NAME``) and of its controls (``controls/CONTROL/NAME``); the report is a run of its own. Sent again, a run
takes the place of its older self. Each tracker is one module with one function, ``send(run, folder)``, and keeps its files
in the results folder unless its own environment variables say otherwise.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from bench.kit.environment import machine
from bench.kit.errors import UserError, nearest
from bench.kit.lock import locked
from bench.kit.markdown import counted
from bench.results.record import Record

LIBRARIES = {"mlflow": ("mlflow", "sqlalchemy"), "tensorboard": ("tensorboard",), "wandb": ("wandb",)}


@dataclass(frozen=True)
class Run:
    """What a tracker gets. ``key`` names the run in it for good, ``digest`` is that of all it says.

    ``curve`` has the metrics by epoch; ``files`` are folders or files by the name that they get in the tracker, and ``text``
    is what a tracker without files shows of them.
    """

    name: str
    profile: str
    key: str
    digest: str
    parameters: dict[str, str | int | float] = field(default_factory=dict)
    curve: dict[int, dict[str, float]] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    files: dict[str, tuple[Path, ...]] = field(default_factory=dict)
    text: str = ""
    started: datetime | None = None


def names(text: str) -> list[str]:
    """Trackers, by commas. Raises :class:`UserError` for what is none, or is not installed."""
    chosen = text.split(",")
    for name in chosen:
        if name not in LIBRARIES:
            raise UserError(f"unknown tracker '{name}', {nearest(name, LIBRARIES)}")
        if missing := [library for library in LIBRARIES[name] if not find_spec(library)]:
            raise UserError(f"{name} needs {', '.join(missing)}: install it with uv sync --extra {name}")
    return chosen


def log(
    trackers: Iterable[str],
    folder: Path,
    profile: str,
    records: Sequence[Record],
    task: Callable,
    report: Sequence[Path] = (),
    export: Path | None = None,
) -> list[str]:
    """Send the finished ones of the ``records`` to each tracker, with the files of their ``report``, or the folder of one's
    exported student. A tracker's own files go to the results ``folder``; ``task`` shows progress.

    Returns a line for each tracker. Raises :class:`UserError` where its library fails, in whatever way.
    """
    runs = [run_of(entry, profile, export) for entry in records if entry.status == "done"]
    if not runs:
        return ["nothing to log: no case is done"]
    runs += [_report(report, profile)] if report else []
    lines = []
    for name in dict.fromkeys(trackers):
        send = import_module(f"bench.trackers.{name}").send
        try:
            # Sessions that wait for the same last case end at the same moment.
            with locked(folder / "trackers.lock"), task(f"to {name}") as advance:
                for done, run in enumerate(runs, 1):
                    place = send(run, folder)
                    advance(done, len(runs))
        except Exception as error:
            raise UserError(
                f"--log {name}: {type(error).__name__}: {error}; the records are kept, and python -m bench report --log {name} "
                "sends them again"
            ) from error
        lines.append(f"{counted(len(runs), 'run')} sent to {name}: {place}")
    return lines


def run_of(entry: Record, profile: str, export: Path | None = None) -> Run:
    """A finished record as a run; with the folder of its exported student, where there is one."""
    hardware = entry.environment["hardware"]
    facts = {
        "fingerprint": entry.fingerprint,
        "commit": entry.environment["git"].get("commit"),
        "machine": machine(hardware),
    }
    parameters = {name: _plain(value) for name, value in (entry.case | facts).items()}
    parts = {"": entry.metrics, "teacher/": entry.teacher}
    parts |= {f"controls/{control}/": scores for control, scores in entry.controls.items()}
    metrics = {f"{part}{name}": value for part, values in parts.items() for name, value in values.items()}
    return Run(
        name=entry.id, profile=profile, key=_digest(f"{entry.id} {entry.fingerprint}"), digest=_digest(entry.model_dump_json()),
        parameters=parameters, metrics={name: value for name, value in metrics.items() if value is not None},
        curve={
            point["epoch"]: {f"curve/{name}": value for name, value in point.items() if name != "epoch"}
            for point in entry.curve
        },
        files={"export": (export,)} if export else {}, text=(export / "README.md").read_text("utf-8") if export else "",
        started=datetime.fromisoformat(entry.started),
    )  # fmt: skip


def _report(files: Sequence[Path], profile: str) -> Run:
    text = next(path for path in files if path.suffix == ".md").read_text("utf-8")
    digest = _digest("".join(_digest(path.read_bytes()) for path in files))
    files = {"report": tuple(files)}
    return Run(name="report", profile=profile, key=_digest(f"report {profile}"), digest=digest, files=files, text=text)


def _plain(value: object) -> str | int | float:
    return value if isinstance(value, str | int | float) else "none" if value is None else json.dumps(value)


def _digest(content: str | bytes) -> str:
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()[:32]
