"""Atomic writes, of which a reader sees the old content or the new; and JSON that carries the sha256 of its own content.

A digit that flipped on a disk is noticed. The checksum is of what the JSON says, not of how it is laid out: line ends and
indentation may change.
"""

import errno
import hashlib
import json
import os
import socket
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from safetensors import SafetensorError

KEY = "sha256"


class WriteError(OSError):
    """A file cannot be written; the message names it and says what to do."""


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Call ``write`` on a temporary file beside ``path``, flush it to disk and rename it into place.

    If ``write`` fails, ``path`` stays as it was and the temporary file is removed. Raises :class:`WriteError` where the
    disk does not take it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        prefix = f".{path.name}.{_host()}-{os.getpid()}."
        handle, name = tempfile.mkstemp(prefix=prefix, suffix=".tmp", dir=path.parent)
        temporary = Path(name)
        try:
            os.close(handle)
            write(temporary)
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            temporary.chmod(0o644)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    # safetensors has an error of its own for a full disk.
    except (OSError, SafetensorError) as error:
        raise WriteError(unwritten(path, error)) from error


def unwritten(path: Path, error: Exception) -> str:
    """The error message where ``path`` could not be written, and is as it was."""
    full = not isinstance(error, OSError) or error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    remedy = "make room" if full else "fix that"
    return f"{path} cannot be written ({error}); what was there before stays: {remedy}, and run the same command again"


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def sweep(folder: Path) -> None:
    """Remove temporary files under ``folder`` that killed processes of this machine left behind, where that is allowed."""
    for path in folder.rglob(".*.tmp"):
        # A process of another machine, which shares the folder, may be alive whatever its number says here.
        host, _, process = path.name.split(".")[-3].rpartition("-")
        if host == _host() and process.isdigit() and not _alive(int(process)):
            with suppress(OSError):  # the folder is read-only, or another user's
                path.unlink()


def _host() -> str:
    return socket.gethostname().replace(".", "-")


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it is another user's
        pass
    return True


def seal(content: dict, indent: int | None = 1) -> str:
    """The text of a JSON object, with the checksum of the rest of it as its last entry; without ``indent`` one line."""
    plain = json.loads(json.dumps(content))
    return json.dumps(plain | {KEY: _checksum(plain)}, indent=indent) + "\n"


def unseal(text: str, form: int | None = None) -> dict:
    """The object that was sealed. Raises ``ValueError`` where the text is no JSON object or not what was sealed.

    Where a ``form`` is given, the object must have it as its ``format``: an older file is called that, not damaged.
    """
    content = json.loads(text)
    if form is not None and isinstance(content, dict) and content.get("format") != form:
        raise ValueError(f"its format is {str(content.get('format'))[:20]}, and this version reads {form}")
    if not isinstance(content, dict) or KEY not in content:
        raise ValueError(f"expected an object with its {KEY}")
    sealed = {name: part for name, part in content.items() if name != KEY}
    if content[KEY] != _checksum(sealed):
        raise ValueError(f"its content is not what its {KEY} says: damaged, or edited by hand")
    return sealed


def _checksum(content: dict) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
