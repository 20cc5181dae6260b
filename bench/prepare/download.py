"""Fetches one file over HTTP: continues what broke off, verifies it, and renames it into place only when it is whole.

Left out on purpose: mirrors, logins, several connections at once.
"""

import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from filelock import FileLock

from bench.prepare.transfer import BrokenOffError, DownloadError, Job, receive

WAITS_SECONDS = (1, 4, 16)  # before each new try of a download that broke off
WORTHWHILE_BYTES = 1 << 20  # a try that brought so many is not one of those after which it gives up


def fetch(url: str, target: Path, size: int | None, checksum: str | None, progress: Callable[[int, int], None]) -> None:
    """Fetch ``url`` into ``target``, unless a file of that size and checksum is there already.

    ``size`` is in bytes and ``checksum`` is ``md5:HEX`` or ``sha256:HEX``; None means that it is not known, and with
    neither known any file that is there counts. ``progress`` gets bytes done and bytes in all, 0 where nobody says.
    Processes that fetch the same target wait for one another. Raises DownloadError; then an older target is as it was,
    and what came stays in ``NAME.part`` for the next call unless it proved wrong.
    """
    job = Job(url, target, size, checksum)
    if urlsplit(url).scheme not in ("http", "https") or not job.host:
        raise DownloadError(f"{url}: not fetched to {target}: only http:// and https:// addresses are")
    if checksum and checksum.partition(":")[0] not in ("md5", "sha256"):
        raise DownloadError(f"{url}: checksum '{checksum}' is neither md5:HEX nor sha256:HEX")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{target}.lock"):
            if not (target.is_file() and fault_of(target, size, checksum) is None):
                _fetch_anew(job, progress)
    except OSError as error:
        raise DownloadError(
            f"{url}: cannot write {target}: {error}; make room or choose another folder, then run again"
        ) from error


def _fetch_anew(job: Job, progress: Callable[[int, int], None]) -> None:
    _receive_all(job, progress)
    if fault := fault_of(job.part, job.size, job.checksum):
        job.discard()  # continuing it would end in the same fault for ever
        raise DownloadError(
            f"{job.url}: {fault}; what came was removed and {job.target} not written. Run again; if it stays so, the "
            "file has changed at its source: fetch the right one by hand and pass --archives DIR"
        )
    with job.part.open("rb+") as file:
        os.fsync(file.fileno())
    job.part.replace(job.target)
    job.note.unlink(missing_ok=True)


def _receive_all(job: Job, progress: Callable[[int, int], None]) -> None:
    """Try until all the bytes are in the part, or no more tries are left; after one that brought much, all are again."""
    waits, tries, most = [0, *WAITS_SECONDS], 0, _length(job.part)
    while waits:
        time.sleep(waits.pop(0))
        tries += 1
        try:
            return receive(job, progress)
        except BrokenOffError as error:
            failure = error
            if not error.reached and tries == 1:
                break  # offline, most likely: waiting would not help
            # More than ever before: a server that begins anew each time could bring as much for ever.
            if (length := _length(job.part)) - most >= WORTHWHILE_BYTES:
                waits, most = list(WAITS_SECONDS), length
    if not failure.reached:
        raise DownloadError(
            f"no connection to {job.host} ({failure}); fetch {job.url} on a connected machine and pass --archives DIR, "
            f"the folder with {job.target.name} in it"
        ) from failure
    raise DownloadError(
        f"{job.url}: broke off {tries} times, at last: {failure}; run again to continue where {job.part} ends"
    ) from failure


def _length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def fault_of(path: Path, size: int | None, checksum: str | None) -> str | None:
    """What is wrong with a finished file, or None; ``size`` and ``checksum`` as for :func:`fetch`."""
    found = path.stat().st_size
    if size is not None and found != size:
        return f"expected {size} bytes, found {found}"
    if checksum:
        algorithm, _, expected = checksum.partition(":")
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()
        if digest != expected.lower():
            return f"expected {algorithm} {expected}, found {digest}"
    return None
