"""The code that decides a case's numbers, as digests: the folder is the fingerprint.

All of ``bench/data``, ``bench/features``, ``bench/training`` and ``bench/measure`` counts, and what the students and the
teachers share; of entries (students, teachers, datasets, losses) only those that a case names. Nothing is listed by hand.
A file counts as what it says to Python: a reworded comment makes no result another one.
"""

import ast
import hashlib
import json
from contextlib import suppress
from functools import cache
from pathlib import Path

from bench import registry
from bench.kit.paths import ROOT

FOLDERS = ("bench/data", "bench/features", "bench/training", "bench/measure", "students", "teachers")


@cache
def sources(*entries: Path) -> dict[str, str]:
    """The digest of each file that decides the numbers of a case, whose entries are defined in these files."""
    files = {file for folder in FOLDERS for file in shared(folder)}
    files |= _with_imported([*entries])
    return {str(file.relative_to(ROOT)): digest(file) for file in sorted(files)}


def _with_imported(files: list[Path]) -> set[Path]:
    """Files of entries, and those of the entries that they import: a student may be made of another."""
    entries, chosen = _entries(), set()
    while files:
        file = files.pop()
        if file not in chosen:
            chosen.add(file)
            files += entries & _imported(file)
    return chosen


@cache
def _entries() -> frozenset[Path]:
    """The files of all students, teachers, datasets and losses, and those of what a matrix may declare."""
    return frozenset(file for kind in registry.FOLDERS for file in (*registry.entries(kind), *registry.libraries(kind)))


@cache
def _imported(file: Path) -> frozenset[Path]:
    """The files of the checkout that a Python file may import; none of one that is missing or not valid."""
    files = set()
    with suppress(OSError, SyntaxError, ValueError):
        for node in ast.walk(ast.parse(file.read_bytes())):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
            if isinstance(node, ast.ImportFrom):
                modules = [node.module or "", *(f"{node.module}.{name}" for name in modules)]
            files |= {ROOT.joinpath(*module.split(".")).with_suffix(".py") for module in modules if module}
    return frozenset(files)


@cache
def shared(folder: str) -> list[Path]:
    """The files of a folder of the checkout that count for every case: all but the entries, and what shipped teachers were
    trained with, which is in their weights."""
    trained_by = (registry.FOLDERS["teacher"] / "pocket").rglob("*.py")
    return sorted({*(ROOT / folder).rglob("*.py")} - _entries() - {*trained_by})


@cache
def digest(file: Path) -> str:
    """sha256 of a file; of a valid Python file without comments, docstrings and layout. "missing" where there is none."""
    if not file.exists():
        return "missing"
    content = file.read_bytes()
    if file.suffix == ".py":
        with suppress(SyntaxError, ValueError):  # reported where it is run
            content = json.dumps(_plain(ast.parse(content))).encode()
    return hashlib.sha256(content).hexdigest()


def _plain(node: object) -> object:
    """A syntax tree as plain data, without docstrings: statements that are a plain string.

    Nor with fields that are empty: later versions of Python have more of these.
    """
    if isinstance(node, ast.JoinedStr):  # the first versions of Python 3.12 put empty parts into f-strings
        node.values = [part for part in node.values if getattr(part, "value", None) != ""]
    if isinstance(node, ast.AST):
        fields = {name: _plain(value) for name, value in ast.iter_fields(node) if value not in (None, [])}
        return [type(node).__name__, fields]
    if isinstance(node, list):
        return [_plain(each) for each in node if not _is_docstring(each)]
    return repr(node)


def _is_docstring(node: object) -> bool:
    constant = node.value if isinstance(node, ast.Expr) else None
    return isinstance(constant, ast.Constant) and isinstance(constant.value, str)
