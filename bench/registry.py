"""What there is: teachers, students, datasets and losses, found by looking at their folders.

A file is an entry and its name (with ``-`` for ``_``) is the entry's name. The few facts that a plan needs are
constants of the file, read from its source without importing it, so that collection never imports torch.
"""

import ast
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from bench.kit.errors import LocatedError, nearest, shown
from bench.kit.paths import ROOT

FOLDERS = {
    "teacher": ROOT / "teachers",
    "student": ROOT / "students",
    "dataset": ROOT / "bench" / "data",
    "loss": ROOT / "bench" / "training" / "losses",
}
REQUIRED = object()
# What a file's facts may be.
ALLOWED = {
    ("teacher", "KIND"): ("classification", "captions"),
    ("dataset", "KIND"): ("classification", "captions"),
    ("student", "READS"): ("pooled", "tokens", "pixels"),
    ("student", "TEXT_READS"): ("pooled", "tokens"),
    ("loss", "NEEDS"): ("any", "images", "captions", "classification", "attention", "map"),
    ("loss", "TARGETS"): ("joint", "tokens", "attention", "logits", "labels"),
}
PAPERS = ["dino", "beit", "clip", "blip", "projection", "bottleneck", "attention", "cbam", "resnet", "densenet"]


def path(kind: str, name: str) -> Path:
    """The file that defines the ``kind`` ("teacher", "student", "dataset" or "loss") called ``name``."""
    return FOLDERS[kind] / f"{name.replace('-', '_')}.py"


def names(kind: str) -> tuple[str, ...]:
    """Names of all entries of a kind: the paper's in its order, then the others by name."""
    stems = (file.stem for file in entries(kind))
    order = (stem.replace("_", "-") for stem in stems)
    return tuple(sorted(order, key=lambda name: (PAPERS.index(name) if name in PAPERS else len(PAPERS), name)))


def shipped(kind: str) -> tuple[str, ...]:
    """Those of the paper, which ``students: all`` stands for: a file of one's own joins a profile by name."""
    return tuple(name for name in names(kind) if name in PAPERS)


def entries(kind: str) -> list[Path]:
    """The files that define the entries of a kind; a name that begins with ``_`` is that of a file they share.

    What datasets share lies beside them under plain names: a dataset is a file that states its ``KIND``.
    """
    files = [file for file in sorted(FOLDERS[kind].glob("*.py")) if not file.name.startswith("_")]
    return [file for file in files if kind != "dataset" or _states(file, "KIND")]


def library(kind: str, name: str) -> Path:
    """The file that makes entries of a kind out of what a matrix declares: a model of the library ``name``, or a folder."""
    return FOLDERS[kind] / ("own" if kind == "dataset" else "libraries") / f"{name}.py"


def libraries(kind: str) -> list[Path]:
    """The files of all that a matrix may declare of a kind; like entries, they enter the fingerprint of the cases that name them."""
    folder = library(kind, "").parent
    return [file for file in sorted(folder.glob("*.py")) if file.name != "__init__.py"]


def teachers_for(dataset: str, weights: str | None = None) -> tuple[str, ...]:
    """All teachers of the kind of ``dataset``; with ``weights`` "pocket" only those that have pocket weights for it."""
    kind = constant("dataset", dataset, "KIND")
    fitting = (name for name in names("teacher") if constant("teacher", name, "KIND") == kind)
    return tuple(name for name in fitting if weights != "pocket" or has_pocket_weights(name, dataset))


def has_pocket_weights(teacher: str, dataset: str) -> bool:
    """Whether they or their model card are there: a clone that lost the weights must not go on without the teacher."""
    file = pocket_weights(teacher, dataset)
    return file.exists() or file.with_suffix(".md").exists()


def pocket_weights(teacher: str, dataset: str) -> Path:
    """The file of a teacher's shipped weights for a dataset: one that is prepared has its own, drawn ones share theirs."""
    own = f"-{dataset}" if constant("dataset", dataset, "PREPARED") else ""
    return FOLDERS["teacher"] / "pocket" / f"{teacher}{own}.safetensors"


def module(kind: str, name: str) -> ModuleType:
    """The entry's module, imported."""
    return import_module(".".join(path(kind, name).relative_to(ROOT).with_suffix("").parts))


def constant(kind: str, name: str, variable: str, default: Any = REQUIRED) -> Any:
    """The literal that the entry's file assigns to ``variable`` at its top level, read without running the file.

    Raises :class:`LocatedError` naming the file where it has no such literal, and no ``default`` is given, or one that is
    not among ``ALLOWED``.
    """
    file = path(kind, name)
    where = f"{file.parent.name}/{file.name}"
    try:
        values = _assigned(file)
        if variable not in values and default is not REQUIRED:
            return default
        value = ast.literal_eval(values[variable])
    except SyntaxError as error:
        raise LocatedError(f"{where}:{error.lineno}:{error.offset}: not valid Python: {error.msg}") from None
    except FileNotFoundError:
        what = f"the file of {kind} '{name}' has '_' where the name has '-'"
        raise LocatedError(f"{where} is not there; {what}") from None
    except (OSError, ValueError, KeyError):  # not readable, not a literal, not there
        expected = f"expected a line '{variable} = ...' with a plain literal at the top level"
        raise LocatedError(f"{where}: {expected}") from None
    return _allowed(where, kind, variable, value)


def _allowed(where: str, kind: str, variable: str, value: Any) -> Any:
    """``value``, or of ``TARGETS`` each of its parts, if that is one of those that are ``ALLOWED``."""
    known, parts = ALLOWED.get((kind, variable)), value if variable == "TARGETS" else (value,)
    if not isinstance(parts, tuple | list):
        raise LocatedError(f"{where}: TARGETS is {shown(value)}, expected a tuple like ('joint',)")
    for part in parts if known else ():
        if part not in known:
            raise LocatedError(f"{where}: unknown {variable} {shown(part)}, {nearest(str(part), known)}")
    return value


def _states(file: Path, variable: str) -> bool:
    """Whether a file assigns to ``variable``; one that is not valid Python is taken to, and refused where it is read."""
    try:
        return variable in _assigned(file)
    except SyntaxError:
        return True


@cache
def _assigned(file: Path) -> dict[str, ast.expr]:
    """The expressions that a Python file assigns to names at its top level."""
    values = {}
    for statement in ast.parse(file.read_text(encoding="utf-8"), str(file)).body:
        targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
        values |= {target.id: statement.value for target in targets if hasattr(target, "id") and statement.value}
    return values
