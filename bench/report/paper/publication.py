"""What the paper prints and says, from reports/paper.yaml: its two tables, and the findings that it draws from them.

A claim's ``tests`` are conditions; it holds where all of them do. A condition bounds one quantity of each of its cells,
alone or against other cells:

    {accuracy: {teacher: blip, student: cbam, epochs: [5, 10]}, minus: {student: [projection, resnet]}, above: 0}
    {gain: {teacher: clip, student: [projection, cbam]}, above: -1, below: 1}
    {size: {teacher: clip, student: attention}, over: {student: cbam}, above: 7}
    {accuracy: {teacher: dino, student: projection, epochs: 10}, minus: teacher, at_least: -5}

The other cells are the same ones with the given keys replaced; ``teacher`` stands for the teacher itself. A verdict is
never written there: ``bench.report.paper.claims`` works it out.
"""

from functools import cache
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, FiniteFloat, StrictInt, model_validator

from bench.kit.located_yaml import LocatedYaml, Strict
from bench.kit.paths import ROOT

PATH = ROOT / "reports" / "paper.yaml"

# Of each quantity the keys that name a cell of it. accuracy is in percent, size and deployed in MB, the rest in words:
# gain: accuracy after the paper's longer training minus after its shorter one; range: highest minus lowest accuracy of
# the students; teacher_pass: seconds of the teacher over the data; out_of_memory: 1 where the case ended so, else 0.
QUANTITIES = {
    "accuracy": ("teacher", "student", "epochs"),
    "gain": ("teacher", "student"),
    "range": ("teacher", "student", "epochs"),
    "size": ("teacher", "student"),
    "deployed": ("teacher", "student", "epochs"),
    "epoch_seconds": ("teacher", "student", "epochs"),
    "teacher_pass": ("teacher",),
    "out_of_memory": ("teacher", "student", "epochs"),
}
OPERATORS = ("minus", "over")
BOUNDS = ("above", "below", "at_least", "at_most", "about")  # about: within 1 %

ONE_OR_SEVERAL = Field(min_length=1), BeforeValidator(lambda value: value if isinstance(value, list) else [value])


class Table(Strict):
    """One of the paper's two tables. ``size_mb[student]`` and ``accuracy[epochs][teacher][student]`` are as printed."""

    title: str
    dataset: str
    kind: Literal["classification", "captions"]
    features: int
    teachers: list[str]
    students: list[str]
    size_mb: dict[str, str]
    accuracy: dict[int, dict[str, dict[str, str]]]


class Cells(Strict):
    """Every combination of teachers, students and epochs; what a quantity does not have, or does not replace, is empty."""

    teacher: Annotated[tuple[str, ...], *ONE_OR_SEVERAL] = ()
    student: Annotated[tuple[str, ...], *ONE_OR_SEVERAL] = ()
    epochs: Annotated[tuple[StrictInt, ...], *ONE_OR_SEVERAL] = ()


class Condition(Strict):
    """Bounds on a quantity of each cell, alone or ``operator`` ("minus", "over") each of its ``others``.

    An operator without ``others`` compares with the teacher itself.
    """

    quantity: Literal[tuple(QUANTITIES)]
    cells: Cells
    operator: Literal[OPERATORS] | None = None
    others: Cells | None = None
    bounds: dict[Literal[BOUNDS], FiniteFloat]

    @model_validator(mode="before")
    @classmethod
    def _by_role(cls, entry: dict) -> dict:
        """The fields from YAML, where each key says what stands there."""
        [quantity] = entry.keys() & QUANTITIES.keys()
        operator = next((key for key in OPERATORS if key in entry), None)
        others = None if not operator or entry[operator] == "teacher" else entry[operator]
        named = {"quantity": quantity, "cells": entry[quantity], "operator": operator, "others": others}
        return named | {"bounds": {key: value for key, value in entry.items() if key not in (quantity, operator)}}


class Claim(Strict):
    """A finding of the paper: ``where`` it is said, what it ``says``, and its tests or why there can be none."""

    id: str
    where: str
    says: str
    reading: str = ""
    tests: tuple[Condition, ...] = ()
    untestable: str = ""


class Paper(Strict):
    """All of the file; ``columns`` has the column heading of each student."""

    columns: dict[str, str]
    tables: list[Table]
    claims: tuple[Claim, ...]

    @property
    def epochs(self) -> tuple[int, ...]:
        return tuple(sorted({length for table in self.tables for length in table.accuracy}))


@cache
def paper() -> Paper:
    """What reports/paper.yaml says."""
    return LocatedYaml(PATH).read(Paper)
