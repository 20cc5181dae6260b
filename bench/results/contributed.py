"""Results that others append to: ``results/NAME.jsonl`` in the checkout, a file a contributed run, a line a finished case.

    python -m bench results add RUN          write the file, of a results folder or a published report
    python -m bench results check            whether all files are whole, and their figures comparable
    python -m bench results table            the leaderboard

A line is JSON with the sha256 of its own content; :class:`Line` says what it has. Needs no torch.
"""

import re
from collections.abc import Iterator
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from bench import registry
from bench.kit.errors import UserError, first_fault
from bench.kit.files import seal, unseal, write_text
from bench.kit.paths import ROOT
from bench.metrics import HEADLINE, KINDS, METRICS, measurable, required
from bench.plan.case import NO_FACTS, Case
from bench.results import record
from bench.results.record import PROTOCOL, Metric, Number, Record
from bench.results.verdict import plain

FORMAT = 1
FOLDER = ROOT / "results"
OWN = {"dataset", "teacher", "student", "seed"}  # of a case, and no part of the recipe
KNOWN = {field.name for field in fields(Case)} - OWN - {*NO_FACTS}
NEEDED = {field.name for field in fields(Case) if field.default is MISSING} - OWN | {"control"}
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class Environment(_Part):
    """As a record has it."""

    software: Annotated[dict[str, str], Field(min_length=1)]
    hardware: Annotated[dict, Field(min_length=1)]
    git: dict[Literal["commit", "dirty"], str | bool | None]


class Weights(_Part):
    """sha256 of the tensors of teacher and trained student."""

    teacher: Sha256
    student: Sha256


class Line(_Part):
    """A finished case. ``teacher`` is ``NAME@REVISION``: the hub's commit, or else the first digits of its weights' sha256.

    ``recipe`` is the rest of the resolved case, ``reads`` what the student reads ("pixels": it replaces its teacher),
    ``images`` how many there are by split; ``figures`` are the metrics by their names in ``bench.metrics``.
    """

    format: Literal[FORMAT] = FORMAT
    protocol: int
    id: str
    kind: Literal[KINDS]
    dataset: str
    images: dict[Literal["train", "test"], int]
    teacher: Annotated[str, Field(pattern="^[^@]+@[^@]+$")]
    student: str
    reads: Literal[registry.ALLOWED["student", "READS"]]
    recipe: dict
    seed: int
    figures: dict[Metric, Number]
    fingerprint: Annotated[str, Field(pattern="^[0-9a-f]{16}$")]
    environment: Environment
    weights: Weights
    started: str
    seconds: Number

    @field_validator("recipe")
    @classmethod
    def _is_a_case(cls, recipe: dict) -> dict:
        if missing := NEEDED - recipe.keys():
            raise ValueError(f"missing: {', '.join(sorted(missing))}")
        if unknown := recipe.keys() - KNOWN:
            raise ValueError(f"unknown: {', '.join(sorted(unknown))}")
        return recipe

    @model_validator(mode="after")
    def _is_whole(self) -> "Line":
        groups = ("accuracy", "fidelity", *(() if self.recipe.get("control") else ("cost",)))
        if missing := {name for group in groups for name in required(group, self.kind)} - self.figures.keys():
            raise ValueError(f"figures: missing: {', '.join(sorted(missing))}")
        for name, value in self.figures.items():
            if not measurable(value) or value < 0 or (METRICS[name].unit == "%" and value > 100):
                raise ValueError(f"figures.{name}: {value} is not a possible value")
        revision = self.teacher.partition("@")[2]
        if self.recipe.get("weights") == "pocket" and not self.weights.teacher.startswith(revision):
            raise ValueError("weights.teacher is not the sha256 that stands in teacher")
        if not self.id.startswith(f"{self.dataset}-{self.teacher.partition('@')[0]}-{self.student}-"):
            raise ValueError("id is not of its dataset, teacher and student")
        return self


def line_of(entry: Record) -> Line:
    """A finished record as a line. Raises :class:`UserError` where others cannot compare it."""
    case, facts = dict(entry.case), entry.protocol
    if "version" not in facts:
        raise UserError(f"{entry.id}: its record is older than the protocol's version {PROTOCOL}; run the case again")
    if "several" in case:
        raise UserError(f"{entry.id}: it has several teachers, and a line names one")
    if case["images"]:
        raise UserError(f"{entry.id}: its images are your own, which nobody else can compare with")
    dataset, teacher, student, seed = (case.pop(name) for name in ("dataset", "teacher", "student", "seed"))
    digest = facts["teacher_weights_sha256"]
    return Line(
        protocol=facts["version"], id=entry.id, fingerprint=entry.fingerprint, started=entry.started, seconds=entry.seconds,
        kind=next(kind for kind, names in HEADLINE.items() if names[0] in entry.metrics),
        dataset=dataset, images={"train": facts["train_images"], "test": facts["test_images"]},
        teacher=f"{teacher}@{facts['teacher'].get('revision') or digest[:12]}", student=student, seed=seed, recipe=case,
        reads="pixels" if case["student_model"] else registry.constant("student", student, "READS"),
        figures={name: value for name, value in entry.metrics.items() if value is not None},
        environment=Environment(**entry.environment),
        weights=Weights(teacher=digest, student=facts["student_weights_sha256"]),
    )  # fmt: skip


def add(run: Path, name: str | None, folder: Path) -> tuple[Path, int]:
    """Write the finished cases of a results folder or a published report to ``NAME.jsonl``, without a name by its own.

    Returns the file, which an older one of this name makes room for, and how many cases it has. Raises :class:`UserError`
    where a record cannot be read or compared, or none is finished.
    """
    name = (name or run.resolve().name).removesuffix(".jsonl")
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", name):
        raise UserError(f"--name {name}: expected letters, digits and -")
    if not run.is_dir():
        raise UserError(f"{run} is no folder; expected a results folder or a published report")
    records, faults = record.read_all(run)
    if faults:
        raise UserError(faults[0])
    lines = [line_of(entry) for _, entry in sorted(records.items()) if entry.status == "done"]
    if not lines:
        raise UserError(f"{run} has no finished case")
    path = folder / f"{name}.jsonl"
    write_text(path, "".join(seal(line.model_dump(), indent=None) for line in lines))
    return path, len(lines)


def read(path: Path) -> tuple[list[Line], list[str]]:
    """The lines of a file that are whole, and what is wrong with the others, each with its place."""
    lines, faults = [], []
    for number, content in enumerate(path.read_bytes().splitlines(), 1):
        place = f"{path.name}:{number}"
        try:
            lines.append(Line.model_validate(unseal(content.decode(), FORMAT)))
        except ValidationError as error:
            faults.append(f"{place}: {plain(first_fault(error))}")
        except (ValueError, RecursionError) as error:
            faults.append(f"{place}: {plain(str(error))}")
    return lines, faults or ([] if lines else [f"{path.name} is empty"])


def read_all(folder: Path) -> tuple[dict[str, list[Line]], list[str]]:
    """The lines by the name of their file, and all that is wrong: with lines, within files and between them."""
    runs, faults = {}, []
    for path in sorted(folder.glob("*.jsonl")):
        runs[path.stem], wrong = read(path)
        faults += [*wrong, *_repeated(path.name, runs[path.stem])]
    versions = {name: {line.protocol for line in lines} for name, lines in runs.items()}
    for name, of in versions.items():
        if other := of - {PROTOCOL}:
            faults.append(
                f"{name}.jsonl has figures of protocol {', '.join(map(str, sorted(other)))}, which do not stand beside those of "
                f"{PROTOCOL}: run it again and add it, or delete it"
            )
    return runs, faults


def _repeated(name: str, lines: list[Line]) -> Iterator[str]:
    """Cases that are there twice, and seeds that are one: the same student cannot come of two."""
    ids, students = set(), {}
    for line in lines:
        if line.id in ids:
            yield f"{name}: {line.id} is there twice"
        ids.add(line.id)
        other = students.setdefault(line.weights.student, line)
        if other.seed != line.seed:
            yield f"{name}: {line.id} has the weights of {other.id}, which has another seed"
