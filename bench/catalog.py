"""What there is: teachers, students and datasets, found by looking at their folders.

A file is an entry and its name (with ``-`` for ``_``) is the entry's name. The few facts that a plan needs are
constants of the file, read from its source without importing it, so that collection never imports torch.
"""

import ast
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from bench.located import LocatedError

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = {"teacher": ROOT / "teachers", "student": ROOT / "students", "dataset": ROOT / "bench" / "data"}
NOT_ENTRIES = {"draw"}
PAPERS = ["dino", "beit", "clip", "blip", "projection", "bottleneck", "attention", "cbam", "resnet", "densenet"]


def path(kind: str, name: str) -> Path:
    """The file that defines the ``kind`` ("teacher", "student" or "dataset") called ``name``."""
    return FOLDERS[kind] / f"{name.replace('-', '_')}.py"


def names(kind: str) -> tuple[str, ...]:
    """Names of all entries of a kind: the paper's in its order, then the others by name."""
    stems = (file.stem for file in FOLDERS[kind].glob("*.py"))
    found = {stem.replace("_", "-") for stem in stems if stem[0] != "_" and stem not in NOT_ENTRIES}
    return tuple(sorted(found, key=lambda name: (PAPERS.index(name) if name in PAPERS else len(PAPERS), name)))


def teachers_for(dataset: str, weights: str | None = None) -> tuple[str, ...]:
    """All teachers of the kind of ``dataset``; with ``weights`` "pocket" only those that have pocket weights for it."""
    kind = constant("dataset", dataset, "KIND")
    fitting = (name for name in names("teacher") if constant("teacher", name, "KIND") == kind)
    return tuple(name for name in fitting if weights != "pocket" or has_pocket_weights(name, dataset))


def has_pocket_weights(teacher: str, dataset: str) -> bool:
    """Whether they are there, or are listed beside: a clone that lost the file must not go on without the teacher."""
    file = pocket_weights(teacher, dataset)
    sums = file.with_name("SHA256SUMS")
    return file.exists() or (sums.exists() and file.name in sums.read_text("utf-8", "replace").split())


def pocket_weights(teacher: str, dataset: str) -> Path:
    """The file of a teacher's shipped weights for a dataset: one that is prepared has its own, drawn ones share theirs."""
    own = f"-{dataset}" if constant("dataset", dataset, "PREPARED") else ""
    return FOLDERS["teacher"] / "pocket" / f"{teacher}{own}.safetensors"


def module(kind: str, name: str) -> ModuleType:
    """The entry's module, imported."""
    return import_module(".".join(path(kind, name).relative_to(ROOT).with_suffix("").parts))


def constant(kind: str, name: str, variable: str) -> Any:
    """The literal that the entry's file assigns to ``variable``.

    Raises :class:`LocatedError` naming the file where it has no such literal.
    """
    return read_constant(path(kind, name), variable)


@cache
def read_constant(file: Path, variable: str) -> Any:
    """The literal that a Python file assigns to ``variable`` at its top level, without running the file."""
    try:
        for statement in ast.parse(file.read_text(encoding="utf-8"), str(file)).body:
            targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
            if any(getattr(target, "id", None) == variable for target in targets) and statement.value is not None:
                return ast.literal_eval(statement.value)
    except SyntaxError as error:
        raise LocatedError(f"{file.name}:{error.lineno}:{error.offset}: not valid Python: {error.msg}") from None
    except (OSError, ValueError):
        pass  # not readable, or not a literal
    raise LocatedError(f"{file.name}: expected a line '{variable} = ...' with a plain literal at the top level")


def nearest(name: str, known: tuple[str, ...]) -> str:
    """An ending for an error message: the nearest known name, or all of them."""
    match = get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean '{match[0]}'?" if match else f"known: {', '.join(known)}"
