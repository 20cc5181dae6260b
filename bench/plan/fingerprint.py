"""The code that decides a case's numbers, as digests: the folder is the fingerprint.

All of ``bench/data``, ``bench/features``, ``bench/training`` and ``bench/measure`` counts, and what the students and the
teachers share; of entries (students, teachers, datasets, losses) only those that a case names. Nothing is listed by hand.
A file counts as what it says to Python: a reworded comment makes no result another one.
"""

import ast
import hashlib
import re
import tokenize
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from io import StringIO
from pathlib import Path

from bench import registry
from bench.kit.paths import ROOT

# What states an encoding, by which a comment counts after all.
COOKIE = re.compile(rb"^[ \t\f]*#.*?coding[:=]", re.MULTILINE)
FOLDERS = ("bench/data", "bench/features", "bench/training", "bench/measure", "students", "teachers")


@cache
def sources(*entries: tuple[str, str]) -> dict[str, str]:
    """The digest of each file that decides the numbers of a case, which names ``entries`` as (kind, name)."""
    files = {file for folder in FOLDERS for file in shared(folder)}
    files |= _with_imported([registry.path(kind, name) for kind, name in entries])
    return {str(file.relative_to(ROOT)): digest(file) for file in sorted(files)}


def _with_imported(files: list[Path]) -> set[Path]:
    """Files of entries, and those of the entries that they import: a student may be made of another."""
    entries, chosen = _entries(), set()
    while files:
        file = files.pop()
        if file not in chosen:
            chosen.add(file)
            files += entries & {*_imported(file)}
    return chosen


def _entries() -> set[Path]:
    """The files of all students, teachers, datasets and losses."""
    return {file for kind in registry.FOLDERS for file in registry.entries(kind)}


def _imported(file: Path) -> Iterator[Path]:
    """The files of the checkout that a Python file may import; none of one that is missing or not valid."""
    with suppress(OSError, SyntaxError, ValueError):
        for node in ast.walk(ast.parse(file.read_bytes())):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
            if isinstance(node, ast.ImportFrom):
                modules = [node.module or "", *(f"{node.module}.{name}" for name in modules)]
            yield from (ROOT.joinpath(*module.split(".")).with_suffix(".py") for module in modules if module)


@cache
def shared(folder: str) -> list[Path]:
    """The files of a folder of the checkout that count for every case: all but the entries, and what shipped teachers were
    trained with, which is in their weights."""
    trained_by = registry.pocket().rglob("*.py")
    return sorted({*(ROOT / folder).rglob("*.py")} - _entries() - {*trained_by})


@cache
def digest(file: Path) -> str:
    """sha256 of a file; of a valid Python file without comments, docstrings and layout. "missing" where there is none."""
    if not file.exists():
        return "missing"
    content = file.read_bytes()
    if file.suffix == ".py" and not COOKIE.search(content):
        with suppress(SyntaxError, tokenize.TokenError, UnicodeDecodeError):  # reported where it is run
            content = _code(content.decode()).encode()
    return hashlib.sha256(content).hexdigest()


def _code(text: str) -> str:
    """The statements of Python code, one a line, without comments and docstrings: statements that are a plain string."""
    lines, words, indents = [], [], [""]
    for kind, word in _tokens(text):
        if kind == tokenize.INDENT:
            indents.append(word)
        elif kind == tokenize.DEDENT:
            indents.pop()
        elif kind != tokenize.NEWLINE:
            words.append(word)
        else:
            statement = " ".join(words)
            if len(words) > 1 or not re.match(r"[rRuU]?[\"']", statement):
                lines.append(indents[-1] + statement)
            words = []
    return "\n".join(lines)


def _tokens(text: str) -> Iterator[tuple[int, str]]:
    """Type and text of each token that is said to Python. An f-string is one token, as it was before Python 3.12."""
    lines, begun = StringIO(text).readlines(), []
    for token in tokenize.generate_tokens(StringIO(text).readline):
        name = tokenize.tok_name[token.type]
        if name.endswith("STRING_START"):
            begun.append(token.start)
        elif name.endswith("STRING_END"):
            (row, column), (last_row, last_column) = begun.pop(), token.end
            if not begun:
                rows = [*lines[row - 1 : last_row - 1], lines[last_row - 1][:last_column]]
                yield tokenize.STRING, "".join(rows)[column:]
        elif not begun and name not in ("COMMENT", "NL", "ENDMARKER"):
            yield token.type, token.string
