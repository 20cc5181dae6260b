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

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, FiniteFloat, StrictInt, StringConstraints, model_validator

from bench.kit.errors import nearest
from bench.kit.located_yaml import Fault, LocatedYaml, Strict, refuse
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
OF_TEACHERS_TOO = ("accuracy", "deployed")
OPERATORS = ("minus", "over")
BOUNDS = ("above", "below", "at_least", "at_most", "about")  # about: within 1 %

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
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

    def names(self) -> list[tuple[str, str | int]]:
        """Each name with its key."""
        return [(key, name) for key, names in self for name in names]


class Condition(Strict):
    """Bounds on a quantity of each cell, alone or ``operator`` ("minus", "over") each of its ``others``.

    An operator without ``others`` compares with the teacher itself.
    """

    quantity: Literal[tuple(QUANTITIES)]
    cells: Cells
    operator: Literal[OPERATORS] | None = None
    others: Cells | None = None
    bounds: dict[str, Annotated[FiniteFloat, Field(strict=True)]]

    @model_validator(mode="before")
    @classmethod
    def _by_role(cls, entry: object) -> dict:
        """The fields from YAML, where each key says what stands there."""
        if not isinstance(entry, dict):
            raise ValueError("expected a mapping")
        groups = QUANTITIES, OPERATORS, BOUNDS
        known = [name for group in groups for name in group]
        refuse(((), f"unknown key '{key}', {nearest(str(key), known)}") for key in entry if key not in known)
        quantities, operators, bounds = ([key for key in entry if key in group] for group in groups)
        if len(quantities) != 1 or len(operators) > 1 or not bounds:
            needs = f"one quantity ({', '.join(QUANTITIES)}), at most one of minus and over, and a bound ({', '.join(BOUNDS)})"
            refuse([((), f"a condition needs {needs}; this one has {', '.join(entry) or 'nothing'}")])
        quantity, operator = quantities[0], next(iter(operators), None)
        others = None if not operator or entry[operator] == "teacher" else entry[operator] or {}
        named = {"quantity": quantity, "cells": entry[quantity], "operator": operator, "others": others}
        return named | {"bounds": {key: entry[key] for key in bounds}}

    def faults(self) -> Iterator[Fault]:
        keys, given = QUANTITIES[self.quantity], self.cells.model_fields_set
        if given != {*keys}:
            yield (
                (),
                f"{self.quantity} needs the keys {', '.join(keys)}; this one has {', '.join(sorted(given)) or 'none'}",
            )
        elif self.others:
            replaced = self.others.model_fields_set
            if not replaced or replaced - given:
                yield (
                    (),
                    f"'{self.operator}' may replace {', '.join(keys)}; this one replaces {', '.join(replaced) or 'nothing'}",
                )
            both = [(getattr(self.cells, key), getattr(self.others, key)) for key in keys]
            if all({*(other or own)} & {*own} for own, other in both):
                yield (), f"'{self.operator}' compares a cell with itself"
        elif self.operator and self.quantity not in OF_TEACHERS_TOO:
            yield (), f"a teacher itself has no {self.quantity}, only {' and '.join(OF_TEACHERS_TOO)}"
        if self.operator == "over" and "about" in self.bounds:
            yield (), "'about' bounds a quantity, not a ratio"


class Claim(Strict):
    """A finding of the paper: ``where`` it is said, what it ``says``, and its tests or why there can be none."""

    id: Text
    where: Text
    says: Text
    reading: Text = ""
    tests: Annotated[tuple[Condition, ...], Field(min_length=1)] = ()
    untestable: Text = ""

    def faults(self) -> Iterator[Fault]:
        if bool(self.tests) == bool(self.untestable):
            yield (), "give either 'tests' or, where no record can decide it, 'untestable' with the reason"


class Paper(Strict):
    """All of the file; ``columns`` has the column heading of each student."""

    columns: Annotated[dict[str, str], Field(min_length=1)]
    tables: Annotated[list[Table], Field(min_length=1)]
    claims: tuple[Claim, ...]

    @property
    def epochs(self) -> tuple[int, ...]:
        return tuple(sorted({length for table in self.tables for length in table.accuracy}))

    def faults(self) -> Iterator[Fault]:
        teachers = [name for table in self.tables for name in table.teachers]
        known = {"teacher": teachers, "student": self.columns, "epochs": self.epochs}
        ids = [claim.id for claim in self.claims]
        for position, claim in enumerate(self.claims):
            if claim.id in ids[:position]:
                yield ("claims", position), "there is another claim with this id"
            for at, test in enumerate(claim.tests):
                for key, name in (*test.cells.names(), *(test.others.names() if test.others else ())):
                    if name not in known[key]:
                        reason = f"unknown {key} {name!r}, {nearest(str(name), map(str, known[key]))}"
                        yield ("claims", position, "tests", at), reason


def read(path: Path) -> Paper:
    """What a file says of the paper. Raises :class:`LocatedError`, whose lines name the claims that are at fault."""
    file = LocatedYaml(path)

    def name(where: tuple) -> str:
        if len(where) < 2 or where[0] != "claims":
            return ""
        claim = file.data["claims"][where[1]]
        known = isinstance(claim, dict) and claim.get("id")
        return f"claim '{known}': " if known else f"claim number {where[1] + 1}: "

    return file.read(Paper, name)


@cache
def paper() -> Paper:
    """What reports/paper.yaml says."""
    return read(PATH)
