"""Which shards of a store are complete: a line for each, appended once its bytes are written.

A line ends with a digest of itself. One that was cut short or altered counts as not written.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.kit.files import write_text


@dataclass(frozen=True)
class Entry:
    """A complete shard: its index, the digest of its rows by array, and the seconds that it took."""

    shard: int
    digests: dict[str, str]
    seconds: float


def read(path: Path) -> dict[int, Entry]:
    """The entries by shard; of several for one shard the last one counts."""
    entries = {}
    for line in path.read_bytes().split(b"\n") if path.exists() else ():
        text, _, digest = line.rpartition(b" ")
        if digest.decode(errors="replace") == _digest(text):
            entry = Entry(**json.loads(text))
            entries[entry.shard] = entry
    return entries


def append(path: Path, entry: Entry) -> None:
    """Add a line."""
    with path.open("a", encoding="utf-8") as file:
        file.write(_line(entry))


def rewrite(path: Path, entries: Iterable[Entry]) -> None:
    """Replace the file by these entries, atomically."""
    write_text(path, "".join(map(_line, entries)))


def _line(entry: Entry) -> str:
    text = json.dumps(asdict(entry))
    return f"{text} {_digest(text.encode())}\n"


def _digest(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()[:16]
