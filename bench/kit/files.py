"""Atomic writes: a reader sees the old content or the new, never half of one."""

import errno
import os
import socket
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from safetensors import SafetensorError


class WriteError(OSError):
    """A file cannot be written; the message names it and says what to do."""


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Call ``write`` on a temporary file beside ``path``, flush it to disk and rename it into place.

    If ``write`` fails, ``path`` stays as it was and the temporary file is removed. Raises :class:`WriteError` where the
    disk does not take it.
    """
    try:
        _write(path, write)
    # safetensors has an error of its own for a full disk.
    except (OSError, SafetensorError) as error:
        raise WriteError(unwritten(path, error)) from error


def unwritten(path: Path, error: Exception) -> str:
    """The error message where ``path`` could not be written, and is as it was."""
    full = not isinstance(error, OSError) or error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    remedy = "make room" if full else "fix that"
    return f"{path} cannot be written ({error}); what was there before stays: {remedy}, and run the same command again"


def _write(path: Path, write: Callable[[Path], object]) -> None:
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
