"""Identity of source files: what a Python file says to Python. A reworded comment makes no result another one."""

import hashlib
import re
import tokenize
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from io import StringIO
from pathlib import Path

LAYOUT = (tokenize.NL, tokenize.INDENT, tokenize.DEDENT)
COOKIE = re.compile(
    rb"^[ \t\f]*#.*?coding[:=]", re.MULTILINE
)  # states an encoding, by which a comment counts after all

Span = tuple[tuple[int, int], tuple[int, int]]  # from where to where: lines from 1, columns from 0


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
