"""One try to get a file over HTTP: asks for what is still missing, and takes nothing that belongs to another version.

While a file comes, its bytes are in ``NAME.part`` and the version they belong to in ``NAME.part.json``. A new try asks
for the rest of that version only; a server that has another by now, or that cannot continue, sends the whole file.
"""

import json
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.parse import urlsplit

from bench.kit.files import write_text
from bench.kit.paths import lacking

AGENT = "distill-bench"
PIECE_BYTES = 1 << 20
TIMEOUT_SECONDS = 60  # without a byte from the server
PASSING = (429, 500, 502, 503, 504)  # HTTP states that a later try may not meet


class DownloadError(RuntimeError):
    """The file was not fetched; the message says which and why, and what to do."""


class BrokenOffError(Exception):
    """This try failed, another may succeed. ``reached`` is False where no server answered at all."""

    def __init__(self, reason: object, reached: bool = True):
        super().__init__(str(reason))
        self.reached = reached


@dataclass(frozen=True)
class Job:
    """A file to be fetched, and where it is kept until it is whole."""

    url: str
    target: Path
    size: int | None  # bytes
    checksum: str | None

    @property
    def host(self) -> str:
        """The server's name, with the port if it has one."""
        return urlsplit(self.url).netloc

    @property
    def part(self) -> Path:
        """The bytes that came so far."""
        return self.target.with_name(self.target.name + ".part")

    @property
    def note(self) -> Path:
        """Which version of the file they belong to."""
        return self.target.with_name(self.target.name + ".part.json")

    def discard(self) -> None:
        """Forget what came so far."""
        self.part.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)


def receive(job: Job, progress: Callable[[int, int], None]) -> None:
    """One try: leaves all the bytes in the part, or raises BrokenOffError with as many as came."""
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
        raise BrokenOffError(f"{start} of {total} bytes arrived")


def _so_far(job: Job) -> tuple[int, str, int | None]:
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


def _open(job: Job, start: int, version: str) -> HTTPResponse | None:
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
            raise BrokenOffError(f"the file on the server changed after its first {start} bytes") from error
        if error.code in PASSING:
            raise BrokenOffError(error) from error
        raise DownloadError(
            f"{job.url}: {error}; the file may have moved: fetch {job.target.name} by hand and pass --archives DIR"
        ) from error
    except urllib.error.URLError as error:
        raise BrokenOffError(error.reason, reached=False) from error
    except (OSError, HTTPException) as error:
        raise BrokenOffError(repr(error)) from error


def _begin(job: Job, response: HTTPResponse, start: int, version: str) -> tuple[int, int | None]:
    """Prepare the part for what the server sends: where that begins, and how many bytes the file has in all."""
    tag = response.headers.get("ETag", "")
    offered = tag if tag.startswith('"') else response.headers.get("Last-Modified", "")  # If-Range takes no weak tag
    total = response.length
    if response.status == 206:
        total = _total_of_range(response, start)
        if total is None or offered not in ("", version):
            job.discard()
            raise BrokenOffError(f"asked for the bytes from {start} of version {version}, got other ones")
    elif response.status == 200:
        start = 0
    else:
        raise DownloadError(f"{job.url}: the server answered HTTP {response.status}, expected 200; try again later")
    if None not in (job.size, total) and total != job.size:
        raise DownloadError(
            f"{job.url}: expected {job.size} bytes for {job.target}, found {total} at the server: "
            "not the expected file; fetch the right one by hand and pass --archives DIR"
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


def _require_space(job: Job, needed: int) -> None:
    if lack := lacking(job.target.parent, needed):
        raise DownloadError(f"{job.url}: {lack}")


def _pieces(response: HTTPResponse) -> Iterator[bytes]:
    """What comes, as it comes; apart from the writing, so that a full disk is not taken for a broken connection."""
    try:
        while piece := response.read1(PIECE_BYTES):
            yield piece
    except (OSError, HTTPException) as error:
        raise BrokenOffError(repr(error)) from error
