"""SHA256SUMS: what the files of a folder must hold, in the form that ``sha256sum --check SHA256SUMS`` reads.

Left out on purpose: what coreutils escapes, a file name with a backslash or a line break in it, which is then unlisted.
"""

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

from bench.kit.files import write_atomically, write_text

NAME = "SHA256SUMS"
LINE = re.compile(r"^\\?([0-9a-fA-F]{64}) [ *](?:\./)?(.+)$")  # the sum, the file's name


def matches(path: Path) -> bool | None:
    """Whether a file holds what the list beside it says; None where there is no list or it does not have the file.

    Of a file that is listed several times, any of the sums will do: see :func:`replace`.
    """
    listed = _listed(path)
    return _sum(path) in listed if listed else None


def enter(path: Path) -> None:
    """Put a file's sum into the list beside it, which is made where there is none, in place of what was there of it."""
    _enter(path, [_sum(path)])


def replace(path: Path, write: Callable[[Path], object]) -> None:
    """Call ``write`` on a temporary file, rename it to ``path`` and enter its sum.

    A listed file goes on matching its list if this is interrupted at any moment: while the file is renamed, the list has
    the sums of the old one and of the new one. A file that was not listed is entered last. Raises
    :class:`bench.kit.files.WriteError` where the disk does not take it.
    """

    def write_and_list(temporary: Path) -> None:
        write(temporary)
        if listed := _listed(path):
            _enter(path, [*listed, _sum(temporary)])

    write_atomically(path, write_and_list)
    enter(path)


def _enter(path: Path, sums: list[str]) -> None:
    """List a file with these sums. Other lines stay as they are, by name, those that name no file first."""
    lines = [line for line in _lines(path.parent) if _entry(line)[1] != path.name]
    lines += [f"{digest}  {path.name}" for digest in dict.fromkeys(sums)]
    ordered = sorted(lines, key=lambda line: _entry(line)[1])
    write_text(path.parent / NAME, "".join(f"{line}\n" for line in ordered))


def _listed(path: Path) -> list[str]:
    """The sums of a file in the list beside it."""
    entries = [_entry(line) for line in _lines(path.parent)]
    return [digest for digest, name in entries if name == path.name]


def _lines(folder: Path) -> list[str]:
    path = folder / NAME
    # Bytes that are no text make no name or sum; Windows' editors put a byte-order mark first.
    return path.read_text(encoding="utf-8-sig", errors="replace").splitlines() if path.exists() else []


def _entry(line: str) -> tuple[str, str]:
    """The sum and the file's name in a line; a line of another form, such as a comment, lists nothing: both empty."""
    found = LINE.match(line)
    return (found[1].lower(), found[2]) if found else ("", "")


def _sum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
