"""How a store lies on disk: what its arrays are, where their rows are in the files, and which shards are complete.

The journal has a line for each complete shard, appended once its bytes are written. A line ends with a digest of itself:
one that was cut short or altered counts as not written.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

FORMAT = 2
PARTS = 16  # of a store, at most: processes that fill it at once take one after another
PART = 8  # shards of a part, at least: with each one reading ahead begins anew


@dataclass(frozen=True)
class Entry:
    """A complete shard: its index, the digest of its rows by array, and the seconds that it took."""

    shard: int
    digests: dict[str, str]
    seconds: float

    @property
    def line(self) -> str:
        """The journal's line."""
        text = json.dumps(asdict(self))
        return f"{text} {_digest(text.encode())}\n"


def read_journal(path: Path) -> dict[int, Entry]:
    """The entries by shard; of several for one shard the last one counts."""
    entries = {}
    for line in path.read_bytes().split(b"\n") if path.exists() else ():
        text, _, digest = line.rpartition(b" ")
        if digest.decode(errors="replace") == _digest(text):
            entry = Entry(**json.loads(text))
            entries[entry.shard] = entry
    return entries


def _digest(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()[:16]


@dataclass(frozen=True)
class Array:
    """What an array is: its name, element type and the shape of one row (or, with ``bounds``, of one element)."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    bounds: np.ndarray | None = None

    def span(self, start: int, stop: int) -> tuple[int, int]:
        """Where the rows from ``start`` to ``stop`` lie along the first axis."""
        return (start, stop) if self.bounds is None else (int(self.bounds[start]), int(self.bounds[stop]))

    def bytes(self, start: int, stop: int) -> tuple[int, int]:
        """Where they lie in the file."""
        width = int(np.prod(self.shape, dtype=int)) * np.dtype(self.dtype).itemsize
        return self.span(start, stop)[0] * width, self.span(start, stop)[1] * width

    def open(self, folder: Path, rows: int) -> np.ndarray:
        """The array, memory-mapped; changes stay in memory."""
        shape = (self.span(0, rows)[1], *self.shape)
        if 0 in shape:
            return np.empty(shape, self.dtype)
        return np.memmap(folder / f"{self.name}.bin", self.dtype, "c", shape=shape)

    def described(self, rows: int) -> dict:
        """It as plain data."""
        bounds = None if self.bounds is None else hashlib.sha256(np.ascontiguousarray(self.bounds)).hexdigest()
        shape = [self.span(0, rows)[1], *self.shape]
        return {"name": self.name, "dtype": self.dtype, "shape": shape, "bounds": bounds}


@dataclass(frozen=True)
class Plan:
    """What a store holds: its folder, its facts (plain data, kept beside it), arrays, rows, and rows of a shard."""

    folder: Path
    facts: dict
    arrays: tuple[Array, ...]
    rows: int
    shard: int

    @property
    def bytes(self) -> int:
        """Size on disk when it is complete."""
        return sum(array.bytes(0, self.rows)[1] for array in self.arrays)

    @property
    def shards(self) -> list[slice]:
        """All shards, as ranges of rows."""
        return [slice(start, min(start + self.shard, self.rows)) for start in range(0, self.rows, self.shard)]

    @property
    def parts(self) -> list[range]:
        """The indices of the shards in parts, which several processes can fill side by side."""
        count = len(self.shards)
        size = max(PART, -(-count // PARTS))
        return [range(start, min(start + size, count)) for start in range(0, count, size)]

    @property
    def text(self) -> str:
        """What must not change while the store is in use, as it is written to ``plan.json``."""
        arrays = [array.described(self.rows) for array in self.arrays]
        facts = {"format": FORMAT, "rows": self.rows, "shard": self.shard, "arrays": arrays, "facts": self.facts}
        return json.dumps(facts, indent=1, sort_keys=True)

    @property
    def journal(self) -> Path:
        """Where it is written which shards are complete."""
        return self.folder / "journal.jsonl"

    def is_begun(self) -> bool:
        """Whether the folder is this store's."""
        path = self.folder / "plan.json"
        return path.exists() and path.read_bytes() == self.text.encode()

    def is_complete(self) -> bool:
        """Whether no shard is missing, by the journal alone."""
        return self.is_begun() and read_journal(self.journal).keys() >= set(range(len(self.shards)))

    def unwritten(self) -> int:
        """Bytes that the disk must still give for it: files that are being filled have holes."""
        files = [self.folder / f"{array.name}.bin" for array in self.arrays]
        given = sum(file.stat().st_blocks * 512 for file in files if file.exists())
        return max(0, self.bytes - given)
