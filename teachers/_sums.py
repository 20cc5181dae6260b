"""SHA256SUMS: what the files of a folder must hold, in the form that ``sha256sum --check SHA256SUMS`` reads."""

import hashlib
from pathlib import Path

from bench.files import write_text

NAME = "SHA256SUMS"


def matches(path: Path) -> bool | None:
    """Whether a file holds what the list beside it says; None where there is no list or it does not have the file."""
    listed = _listed(path.parent).get(path.name)
    return None if listed is None else listed == _sum(path)


def enter(path: Path) -> None:
    """Put a file's sum into the list beside it, which is made where there is none."""
    listed = _listed(path.parent) | {path.name: _sum(path)}
    write_text(path.parent / NAME, "".join(f"{digest}  {name}\n" for name, digest in sorted(listed.items())))


def _listed(folder: Path) -> dict[str, str]:
    """The sums by file name. A line of another form lists nothing: the file that it meant is then unlisted."""
    path = folder / NAME
    # Bytes that are no text make no name or sum.
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else ()
    parts = (line.split(maxsplit=1) for line in lines)
    return {name.removeprefix("*"): digest for digest, name in (found for found in parts if len(found) == 2)}


def _sum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
