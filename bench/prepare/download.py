"""Fetches an archive over HTTP, continues what broke off, and renames it into place once size and checksum are right.

The transfer is the Hugging Face hub's own: it asks for what is missing, and tries again where a connection breaks.
"""

import hashlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from bench.data.archives import PrepareError


def fetch(url: str, target: Path, size: int, checksum: str, progress: Callable[[int, int], None]) -> None:
    """Fetch ``url`` into ``target``, unless a file of that size (bytes) and checksum (``md5:HEX``...) is there already.

    ``progress`` gets bytes done and bytes in all. Raises PrepareError; what came then stays in ``NAME.part`` for the
    next call, unless it proved wrong. Raises OSError where the disk does not take it.
    """
    if target.is_file() and fault_of(target, size, checksum) is None:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    _receive(url, part, size, progress)
    if fault := fault_of(part, size, checksum):
        part.unlink()  # continuing it would end in the same fault
        raise PrepareError(
            f"{url}: {fault}; what came was removed. Run again; if it stays so, the file has changed at its source: "
            f"fetch the right one by hand and pass --archives DIR, the folder with {target.name} in it"
        )
    part.replace(target)


def fault_of(path: Path, size: int, checksum: str) -> str | None:
    """What is wrong with a file of which size and checksum are known, or None."""
    if (actual := path.stat().st_size) != size:
        return f"expected {size} bytes, got {actual}"
    algorithm, _, expected = checksum.partition(":")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()
    return None if digest == expected else f"expected {algorithm} {expected}, got {digest}"


def _receive(url: str, part: Path, size: int, progress: Callable[[int, int], None]) -> None:
    """Append to ``part`` what is missing, or write it anew where the server cannot continue."""
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.file_download import http_get

    class Bar(AbstractContextManager):
        """Stands in for the downloader's tqdm."""

        def __init__(self, initial: int, **_: object):
            self.done = initial

        def __exit__(self, *_: object) -> None:
            pass

        def update(self, count: int) -> None:
            self.done += count
            if self.done > size:
                part.unlink()
                raise PrepareError(f"{url}: expected {size} bytes, the server sends more; what came was removed")
            progress(self.done, size)

    by_hand = f"fetch it on another machine and pass --archives DIR, the folder with {part.stem} in it"
    headers = {"User-Agent": "distill-bench", "Accept-Encoding": "identity"}
    try:
        with part.open("ab") as file:
            if file.tell() < size:
                http_get(url, file, resume_size=file.tell(), headers=headers, tqdm_class=Bar)
    except HfHubHTTPError as error:
        status = error.response.status_code
        if status == 416:  # the server's file ends before the part does
            part.unlink()
        raise PrepareError(f"{url}: the server answered HTTP {status}; run again later, or {by_hand}") from error
    except PrepareError:
        raise
    except Exception as error:  # of httpx or httpx2, whichever the hub is built on
        if isinstance(error, OSError) and not isinstance(error, ConnectionError):
            raise  # the disk's
        raise PrepareError(
            f"{url}: no connection, or it broke off ({error}); run again to continue where {part} ends, or {by_hand}"
        ) from error
