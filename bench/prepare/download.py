"""Fetches one file over HTTP: continues what broke off, verifies it, and renames it into place only when it is whole.

While it comes, the bytes are in ``NAME.part`` and the version they belong to in ``NAME.part.json``. A new call asks for
the rest of that version only; a server that has another by now, or that cannot continue, sends the whole file again.
Left out on purpose: mirrors, logins, several connections at once.
"""

import hashlib
import json
import os
import re
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.parse import urlsplit

from filelock import FileLock

from bench.files import write_text

AGENT = "distill-bench"
PIECE_BYTES = 1 << 20
TIMEOUT_SECONDS = 60  # without a byte from the server
WAITS_SECONDS = (1, 4, 16)  # before each new try of a download that broke off
PASSING = (429, 500, 502, 503, 504)  # HTTP states that a later try may not meet


class DownloadError(RuntimeError):
    """The file was not fetched; the message says which and why, and what to do."""


class _BrokenOffError(Exception):
    """This try failed, another may succeed. ``reached`` is False where no server answered at all."""

    def __init__(self, reason: object, reached: bool = True):
        super().__init__(str(reason))
        self.reached = reached


@dataclass(frozen=True)
class _Job:
    url: str
    target: Path
    size: int | None  # bytes
    checksum: str | None

    @property
    def host(self) -> str:
        return urlsplit(self.url).netloc

    @property
    def part(self) -> Path:
        return self.target.with_name(self.target.name + ".part")

    @property
    def note(self) -> Path:
        return self.target.with_name(self.target.name + ".part.json")

    def discard(self) -> None:
        """Forget what came so far."""
        self.part.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)


def fetch(url: str, target: Path, size: int | None, checksum: str | None, progress: Callable[[int, int], None]) -> None:
    """Fetch ``url`` into ``target``, unless a file of that size and checksum is there already.

    ``size`` is in bytes and ``checksum`` is ``md5:HEX`` or ``sha256:HEX``; None means that it is not known, and with
    neither known any file that is there counts. ``progress`` gets bytes done and bytes in all, 0 where nobody says.
    Processes that fetch the same target wait for one another. Raises DownloadError; then an older target is as it was,
    and what came stays in ``NAME.part`` for the next call unless it proved wrong.
    """
    job = _Job(url, target, size, checksum)
    if urlsplit(url).scheme not in ("http", "https") or not job.host:
        raise DownloadError(f"{url}: not fetched to {target}: only http:// and https:// addresses are")
    if checksum and checksum.partition(":")[0] not in ("md5", "sha256"):
        raise DownloadError(f"{url}: checksum '{checksum}' is neither md5:HEX nor sha256:HEX")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{target}.lock"):
            if not (target.is_file() and _fault(target, size, checksum) is None):
                _fetch_anew(job, progress)
    except OSError as error:
        raise DownloadError(
            f"{url}: cannot write {target}: {error}; make room or choose another folder, then run again"
        ) from error


def _fetch_anew(job: _Job, progress: Callable[[int, int], None]) -> None:
    _receive_all(job, progress)
    if fault := _fault(job.part, job.size, job.checksum):
        job.discard()  # continuing it would end in the same fault for ever
        raise DownloadError(
            f"{job.url}: {fault}; what came was removed and {job.target} not written. Run again; if it stays so, the "
            "file has changed at its source: fetch the right one by hand and pass --archives DIR"
        )
    with job.part.open("rb+") as file:
        os.fsync(file.fileno())
    job.part.replace(job.target)
    job.note.unlink(missing_ok=True)


def _receive_all(job: _Job, progress: Callable[[int, int], None]) -> None:
    """Try until all the bytes are in the part, or no more tries are left."""
    for tries, wait in enumerate((0, *WAITS_SECONDS)):
        time.sleep(wait)
        try:
            return _receive(job, progress)
        except _BrokenOffError as error:
            failure = error
            if not (error.reached or tries):
                break  # offline, most likely: waiting would not help
    if not failure.reached:
        raise DownloadError(
            f"no connection to {job.host} ({failure}); fetch {job.url} on a connected machine and pass --archives DIR, "
            f"the folder with {job.target.name} in it"
        ) from failure
    raise DownloadError(
        f"{job.url}: broke off {tries + 1} times, at last: {failure}; run again to continue where {job.part} ends"
    ) from failure


def _fault(path: Path, size: int | None, checksum: str | None) -> str | None:
    """What is wrong with a finished file, or None."""
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


def _receive(job: _Job, progress: Callable[[int, int], None]) -> None:
    """One try: leaves all the bytes in the part, or raises _BrokenOffError with as many as came."""
    start, version, total = _so_far(job)
    if start and start == total:
        return  # ended between the last byte and the renaming
    response = _open(job, start, version)
    if response is None:
        return
    with response:
        start, total = _begin(job, response, start, version)
        progress(start, total or 0)
        with job.part.open("ab") as file:
            for piece in _pieces(response):
                start += len(piece)
                if total is not None and start > total:
                    job.discard()
                    raise DownloadError(f"{job.url}: expected {total} bytes, the server sends more; nothing was kept")
                file.write(piece)
                progress(start, total or 0)
    if total is not None and start < total:
        raise _BrokenOffError(f"{start} of {total} bytes came")


def _so_far(job: _Job) -> tuple[int, str, int | None]:
    """How many bytes are there to be continued, of which version of the file, and how many it has in all."""
    try:
        note = json.loads(job.note.read_text(encoding="utf-8"))
        start, version = job.part.stat().st_size, note["version"]
        total = note["total"] if job.size is None else job.size
        # A version goes into a header; without one, the server cannot say that the file is still the same.
        usable = note["url"] == job.url and version and version.isascii() and version.isprintable()
        if usable and (total is None or start <= total):
            return start, version, total
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        pass  # no part yet, or a note that says nothing
    return 0, "", job.size


def _open(job: _Job, start: int, version: str) -> HTTPResponse | None:
    """The server's answer, or None if it says that nothing comes after ``start``."""
    continuing = {"Range": f"bytes={start}-", "If-Range": version} if start else {}
    opener = urllib.request.OpenerDirector()  # build_opener's would follow a redirection to ftp://
    for handler in ("Proxy", "Unknown", "HTTP", "HTTPS", "HTTPRedirect", "HTTPDefaultError"):
        opener.add_handler(getattr(urllib.request, f"{handler}Handler")())
    opener.add_handler(urllib.request.HTTPErrorProcessor())
    try:
        request = urllib.request.Request(job.url, headers={"User-Agent": AGENT} | continuing)
        return opener.open(request, timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416 and start:
            if error.headers.get("Content-Range") == f"bytes */{start}":
                return None
            job.discard()
            raise _BrokenOffError(f"the server's file is not the one that {start} bytes came of") from error
        if error.code in PASSING:
            raise _BrokenOffError(error) from error
        raise DownloadError(
            f"{job.url}: {error}; the file may have moved: fetch {job.target.name} by hand and pass --archives DIR"
        ) from error
    except urllib.error.URLError as error:
        raise _BrokenOffError(error.reason, reached=False) from error
    except (OSError, HTTPException) as error:
        raise _BrokenOffError(repr(error)) from error


def _begin(job: _Job, response: HTTPResponse, start: int, version: str) -> tuple[int, int | None]:
    """Prepare the part for what the server sends: where that begins, and how many bytes the file has in all."""
    tag = response.headers.get("ETag", "")
    offered = tag if tag.startswith('"') else response.headers.get("Last-Modified", "")  # If-Range takes no weak tag
    total = response.length
    if response.status == 206:
        total = _total_of_range(response, start)
        if total is None or offered not in ("", version):
            job.discard()
            raise _BrokenOffError(f"asked for the bytes from {start} of version {version}, got other ones")
    elif response.status == 200:
        start = 0
    else:
        raise DownloadError(f"{job.url}: the server answered HTTP {response.status}, expected 200; try again later")
    if None not in (job.size, total) and total != job.size:
        raise DownloadError(
            f"{job.url}: expected {job.size} bytes for {job.target}, found {total} at the server: "
            "not the file that is meant; fetch the right one by hand and pass --archives DIR"
        )
    total = total if job.size is None else job.size
    if not start:
        job.discard()
    _require_space(job, (total or 0) - start)
    if not start:
        write_text(job.note, json.dumps({"url": job.url, "version": offered, "total": total}))
    return start, total


def _total_of_range(response: HTTPResponse, start: int) -> int | None:
    """The bytes of the whole file, from an answer with all those after ``start``; None if it holds others."""
    place = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", response.headers.get("Content-Range", ""))
    if not place:
        return None
    first, last, total = map(int, place.groups())
    return total if first == start and last + 1 == total else None


def _require_space(job: _Job, needed: int) -> None:
    missing = needed - shutil.disk_usage(job.target.parent).free
    if missing > 0:
        raise DownloadError(
            f"{job.url}: {needed} more bytes do not fit into {job.target.parent}: {missing / 2**20:.1f} MB are missing; "
            "free them or choose another folder"
        )


def _pieces(response: HTTPResponse) -> Iterator[bytes]:
    """What comes, as it comes; apart from the writing, so that a full disk is not taken for a broken connection."""
    try:
        while piece := response.read1(PIECE_BYTES):
            yield piece
    except (OSError, HTTPException) as error:
        raise _BrokenOffError(repr(error)) from error
