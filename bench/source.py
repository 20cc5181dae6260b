"""Identity of source files: what a Python file says to Python. A reworded comment makes no result another one."""

import hashlib
import tokenize
from contextlib import suppress
from functools import cache
from io import StringIO
from pathlib import Path

LAYOUT = (tokenize.NL, tokenize.INDENT, tokenize.DEDENT)


@cache
def digest(file: Path) -> str:
    """sha256 of a file; of a Python file without comments, docstrings, blank lines and spaces at line ends.

    A file that is not Python, or not right, counts byte by byte.
    """
    content = file.read_bytes()
    if file.suffix == ".py":
        with suppress(SyntaxError, tokenize.TokenError, UnicodeDecodeError):  # who runs it is told
            content = _code(content.decode()).encode()
    return hashlib.sha256(content).hexdigest()


def _code(text: str) -> str:
    """The text without its comments, its docstrings (any statement that is a plain string), and empty lines."""
    lines = text.splitlines(keepends=True)
    for (row, column), (last_row, last_column) in reversed(_silent(text)):
        rest = lines[last_row - 1][last_column:]
        lines[row - 1 : last_row] = [lines[row - 1][:column] + rest]
    return "\n".join(line.rstrip() for line in lines if line.strip())


def _silent(text: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Where comments and docstrings begin and end, by line from 1 and column, in order."""
    found, begins, docstring = [], True, None
    for token in tokenize.generate_tokens(StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            found.append((token.start, token.end))
        elif token.type == tokenize.NEWLINE:
            found += [docstring] if docstring else []
            begins, docstring = True, None
        elif token.type not in LAYOUT:
            # Of an f-string Python 3.12 makes other tokens; it is no docstring in any version.
            alone = begins and token.type == tokenize.STRING and token.string[0] in "\"'rRuU"
            begins, docstring = False, (token.start, token.end) if alone else None
    return sorted(found)
