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

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bench import registry
from bench.kit.errors import LocatedError
from bench.kit.located_yaml import LocatedYaml
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


@dataclass(frozen=True)
class Table:
    """One of the paper's two tables. ``size_mb[student]`` and ``accuracy[epochs][teacher][student]`` are as printed."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    title: str
    dataset: str
    kind: Literal["classification", "captions"]
    features: int
    teachers: list[str]
    students: list[str]
    size_mb: dict[str, str]
    accuracy: dict[int, dict[str, dict[str, str]]]


@dataclass(frozen=True)
class Cells:
    """Every combination of teachers, students and epochs; what a quantity does not have, or does not replace, is empty."""

    teacher: tuple[str, ...] = ()
    student: tuple[str, ...] = ()
    epochs: tuple[int, ...] = ()


@dataclass(frozen=True)
class Condition:
    """Bounds on a quantity of each cell, alone or ``operator`` ("minus", "over") each of its ``others``.

    An operator without ``others`` compares with the teacher itself.
    """

    quantity: str
    cells: Cells
    operator: str | None
    others: Cells | None
    bounds: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Claim:
    """A finding of the paper: ``where`` it is said, what it ``says``, and its tests or why there can be none."""

    id: str
    where: str
    says: str
    reading: str
    tests: tuple[Condition, ...]
    untestable: str


class Printed(BaseModel):
    """What the file says of the paper's tables, and the column heading of each student."""

    model_config = ConfigDict(extra="forbid")

    columns: Annotated[dict[str, str], Field(min_length=1)]
    tables: Annotated[list[Table], Field(min_length=1)]
    claims: object = None  # which :func:`claims` checks


# YAML's own reader takes longer than all that is made of the file.
_kept = cache(LocatedYaml)


def _read(path: Path) -> LocatedYaml:
    """The paper's own file once, any other each time."""
    return _kept(path) if path == PATH else LocatedYaml(path)


def printed(path: Path) -> Printed:
    """The tables of a file. Raises :class:`LocatedError` with ``file:line:column`` for each fault."""
    content = _read(path)
    try:
        return Printed.model_validate(content.data)
    except ValidationError as error:
        # pydantic's word for a key too many in a model, and in a dataclass.
        words = dict.fromkeys(("extra_forbidden", "unexpected_keyword_argument"), "unknown key")
        faults = [(fault["loc"], words.get(fault["type"], fault["msg"])) for fault in error.errors()]
        told = [f"{content.place(where)}: {'.'.join(map(str, where))}: {message}" for where, message in faults]
        raise LocatedError("\n".join(told)) from None


@cache
def _content() -> Printed:
    return printed(PATH)


def tables() -> list[Table]:
    """Both tables, in the paper's order."""
    return _content().tables


def columns() -> dict[str, str]:
    """The paper's column heading of each student."""
    return _content().columns


@cache
def epochs() -> tuple[int, ...]:
    """The lengths of training that the paper reports, in epochs, shortest first."""
    return tuple(sorted({length for table in tables() for length in table.accuracy}))


def claims(path: Path = PATH) -> tuple[Claim, ...]:
    """The paper's findings, in its order. Raises :class:`LocatedError` naming the claim that is at fault."""
    content = _read(path)
    found: list[Claim] = []
    entries = content.data.get("claims")
    if not isinstance(entries, list):
        raise LocatedError(f"{content.place(('claims',))}: expected 'claims' with a list of the paper's findings")
    for position, entry in enumerate(entries):
        try:
            claim = _claim(entry)
            if claim.id in [other.id for other in found]:
                raise ValueError("there is another claim with this id")
        except ValueError as error:
            name = entry.get("id") if isinstance(entry, dict) else None
            who = f"claim '{name}'" if name else f"claim number {position + 1}"
            raise LocatedError(f"{content.place(('claims', position))}: {who}: {error}") from None
        found.append(claim)
    return tuple(found)


def _claim(entry: object) -> Claim:
    """A claim from its YAML. Raises ``ValueError``."""
    known = ("id", "where", "says", "reading", "tests", "untestable")
    _check_keys(entry, known, ("id", "where", "says"))
    texts = {key: entry.get(key, "") for key in known if key != "tests"}
    wrong = [key for key, text in texts.items() if not isinstance(text, str) or (key in entry and not text.strip())]
    if wrong:
        raise ValueError(f"'{wrong[0]}' must be a text")
    if ("tests" in entry) == ("untestable" in entry):
        raise ValueError("give either 'tests' or, where no record can decide it, 'untestable' with the reason")
    tests = entry.get("tests", [])
    if not isinstance(tests, list) or ("tests" in entry and not tests):
        raise ValueError("'tests' must be a list of conditions")
    return Claim(**texts, tests=tuple(_condition(test) for test in tests))


def _condition(entry: object) -> Condition:
    _check_keys(entry, (*QUANTITIES, *OPERATORS, *BOUNDS), ())
    named = [[key for key in entry if key in group] for group in (QUANTITIES, OPERATORS, BOUNDS)]
    if len(named[0]) != 1 or len(named[1]) > 1 or not named[2]:
        raise ValueError(
            f"a condition needs one quantity ({', '.join(QUANTITIES)}), at most one of minus and over, and a bound "
            f"({', '.join(BOUNDS)}); this one has {', '.join(entry) or 'nothing'}"
        )
    quantity, operator = named[0][0], next(iter(named[1]), None)
    keys, others = QUANTITIES[quantity], None
    cells = _cells(entry[quantity], keys, keys)
    if operator and entry[operator] == "teacher":
        if quantity not in OF_TEACHERS_TOO:
            raise ValueError(f"a teacher itself has no {quantity}, only {' and '.join(OF_TEACHERS_TOO)}")
    elif operator:
        others = _cells(entry[operator], keys, ())
        if all(set(getattr(others, key) or getattr(cells, key)) & set(getattr(cells, key)) for key in keys):
            raise ValueError(f"'{operator}' compares a cell with itself")
    if operator == "over" and "about" in entry:
        raise ValueError("'about' bounds a quantity, not a ratio")
    for key in named[2]:
        if isinstance(entry[key], bool) or not isinstance(entry[key], int | float):
            raise ValueError(f"'{key}' must be a number, not {entry[key]!r}")
    return Condition(quantity, cells, operator, others, tuple((key, float(entry[key])) for key in named[2]))


def _cells(entry: object, known: tuple[str, ...], needed: tuple[str, ...]) -> Cells:
    _check_keys(entry, known, needed)
    names = {
        "teacher": tuple(teacher for table in tables() for teacher in table.teachers),
        "student": tuple(columns()),
        "epochs": epochs(),
    }
    given = {key: value if isinstance(value, list) else [value] for key, value in entry.items()}
    for key, values in given.items():
        for value in values or [None]:
            if value not in names[key]:
                ending = registry.nearest(str(value), tuple(map(str, names[key])))
                raise ValueError(f"unknown {key} {value!r}; {ending}")
    return Cells(**{key: tuple(values) for key, values in given.items()})


def _check_keys(entry: object, known: tuple[str, ...], needed: tuple[str, ...]) -> None:
    if not isinstance(entry, dict) or not entry:
        raise ValueError(f"expected a mapping with {', '.join(needed or known)}, not {entry!r}")
    for key in entry:
        if key not in known:
            raise ValueError(f"unknown key '{key}'; {registry.nearest(str(key), known)}")
    for key in needed:
        if key not in entry:
            raise ValueError(f"the key '{key}' is missing")
