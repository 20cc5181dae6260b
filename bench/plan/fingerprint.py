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

LAYOUT = (tokenize.NL, tokenize.INDENT, tokenize.DEDENT)
COOKIE = re.compile(
    rb"^[ \t\f]*#.*?coding[:=]", re.MULTILINE
)  # states an encoding, by which a comment counts after all

FOLDERS = ("bench/data", "bench/features", "bench/training", "bench/measure", "students", "teachers")

Span = tuple[tuple[int, int], tuple[int, int]]  # from where to where: lines from 1, columns from 0


@cache
def sources(*entries: tuple[str, str]) -> dict[str, str]:
    """The digest of each file that decides the numbers of a case, which names ``entries`` as (kind, name)."""
    files = {file for folder in FOLDERS for file in shared(folder)}
    files |= _with_imported([registry.path(kind, name) for kind, name in entries])
    return {str(file.relative_to(ROOT)): digest(file) if file.exists() else "missing" for file in sorted(files)}


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
    """sha256 of a file; of a Python file without comments, docstrings, blank lines and spaces at line ends.

    A file that is not Python, or not right, counts byte by byte.
    """
    content = file.read_bytes()
    if file.suffix == ".py" and not COOKIE.search(content):
        with suppress(SyntaxError, tokenize.TokenError, UnicodeDecodeError):  # who runs it is told
            content = _code(content.decode()).encode()
    return hashlib.sha256(content).hexdigest()


def _code(text: str) -> str:
    """The text without its comments, its docstrings (any statement that is a plain string), and empty lines."""
    lines = StringIO(text).readlines()
    tokens = list(tokenize.generate_tokens(StringIO(text).readline))
    silent = sorted(_silent(tokens), reverse=True)
    for (row, column), (last_row, last_column) in silent:
        rest = lines[last_row - 1][last_column:]
        lines[row - 1 : last_row] = [lines[row - 1][:column] + rest, *[""] * (last_row - row)]
    # Line ends within a string, and those that a backslash hides, are said to Python.
    spans = [span for span in _strings(tokens) if span not in silent]
    exact = {row for start, end in spans for row in range(start[0], end[0])}
    exact |= {row + more for row, line in enumerate(lines, 1) if line.rstrip("\r\n").endswith("\\") for more in (0, 1)}
    numbered = [(line, row in exact) for row, line in enumerate(lines, 1)]
    return "\n".join(line if as_is else line.rstrip() for line, as_is in numbered if as_is or line.strip())


def _silent(tokens: list[tokenize.TokenInfo]) -> Iterator[Span]:
    """Where comments and docstrings are."""
    begins, docstring = True, None
    for token in tokens:
        if token.type == tokenize.COMMENT:
            yield token.start, token.end
        elif token.type == tokenize.NEWLINE:
            if docstring:
                yield docstring
            begins, docstring = True, None
        elif token.type not in LAYOUT:
            # Python 3.12 makes other tokens of an f-string, which is no docstring in any version.
            plain = token.type == tokenize.STRING and re.match(r"[rRuU]?[\"']", token.string)
            begins, docstring = False, (token.start, token.end) if begins and plain else None


def _strings(tokens: list[tokenize.TokenInfo]) -> Iterator[Span]:
    """Where strings are; of an f-string in the tokens of Python 3.12, from its beginning to its end."""
    begun = []
    for token in tokens:
        name = tokenize.tok_name[token.type]
        if name == "STRING":
            yield token.start, token.end
        elif name.endswith("STRING_START"):
            begun.append(token.start)
        elif name.endswith("STRING_END"):
            yield begun.pop(), token.end
