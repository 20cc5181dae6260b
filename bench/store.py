"""Large arrays on disk: written in shards, resumable, checked by digest, read memory-mapped.

A store is a folder with one raw file per array, so that any row is one seek away, and ``journal.jsonl``, which says
which shards of rows are complete, with their digests. ``store.json`` appears when all are. A pass that was killed
goes on with the shards that the journal lacks; a shard whose bytes do not match its digest is computed again.
Where rows of an array differ in length (``bounds``), row i is ``array[bounds[i]:bounds[i + 1]]``.

Left out on purpose: compression, and any knowledge of what the arrays mean.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock

from bench.files import write_text

FORMAT = 1
IN_FLIGHT = 2  # shards that wait to be written while the next one is computed


class StoreError(RuntimeError):
    """A store cannot be written or used; the message names it and says what to do."""


@dataclass(frozen=True)
class Array:
    """What an array is: its name, element type and the shape of one row (or, with ``bounds``, of one element)."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    bounds: np.ndarray | None = None

    def span(self, start: int, stop: int) -> tuple[int, int]:
        """Where the rows from ``start`` to ``stop`` lie along the file."""
        return (start, stop) if self.bounds is None else (int(self.bounds[start]), int(self.bounds[stop]))

    def bytes(self, rows: int) -> int:
        """Size on disk of ``rows`` rows."""
        return self.span(0, rows)[1] * int(np.prod(self.shape, dtype=int)) * np.dtype(self.dtype).itemsize

    def open(self, folder: Path, rows: int, mode: str) -> np.ndarray:
        """The array, memory-mapped; in mode "c" changes stay in memory."""
        shape = (self.span(0, rows)[1], *self.shape)
        if 0 in shape:
            return np.empty(shape, self.dtype)
        return np.memmap(folder / f"{self.name}.bin", self.dtype, mode, shape=shape)


Produce = Callable[[list[slice]], Iterator[dict[str, np.ndarray]]]


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
        return sum(array.bytes(self.rows) for array in self.arrays)

    @property
    def shards(self) -> list[slice]:
        """All shards, as ranges of rows."""
        return [slice(start, min(start + self.shard, self.rows)) for start in range(0, self.rows, self.shard)]

    def described(self) -> dict:
        """What must not change while the store is in use."""
        arrays = [
            {
                "name": array.name,
                "dtype": array.dtype,
                "shape": list(array.shape),
                "length": array.span(0, self.rows)[1],
            }
            for array in self.arrays
        ]
        return {"format": FORMAT, "rows": self.rows, "shard": self.shard, "arrays": arrays, "facts": self.facts}


def missing(plan: Plan) -> list[slice]:
    """Shards that are not complete, by the journal alone."""
    done = _journal(plan)
    return [shard for index, shard in enumerate(plan.shards) if index not in done]


def fill(
    plan: Plan, produce: Produce, progress: Callable[[int, int], None] = lambda done, total: None
) -> tuple[dict[str, np.ndarray], list[str]]:
    """The arrays of the store, memory-mapped; what is missing or damaged is produced first.

    ``produce(shards)`` yields, in order, the rows of each shard by array name; it is called only if there is work.
    ``progress(done, total)`` follows the rows. Returns the arrays and notes for the user. One process fills a store
    at a time; others wait. Raises :class:`StoreError` where the disk is too small or the folder holds another store.
    """
    plan.folder.mkdir(parents=True, exist_ok=True)
    notes: list[str] = []
    with FileLock(plan.folder / "lock"):
        _claim(plan)
        broken = _damaged(plan)
        if broken:
            notes.append(f"{plan.folder}: {len(broken)} damaged shards are computed again")
            _forget(plan, broken)
        todo = missing(plan)
        if todo:
            _write_shards(plan, todo, produce, progress)
        if todo or not (plan.folder / "store.json").exists():
            write_text(plan.folder / "store.json", json.dumps(plan.described(), indent=1))
    return {array.name: array.open(plan.folder, plan.rows, "c") for array in plan.arrays}, notes


def _claim(plan: Plan) -> None:
    """Make sure that the folder is this store's: new, or begun under the same description."""
    path = plan.folder / "plan.json"
    text = json.dumps(plan.described(), indent=1, sort_keys=True)
    if path.exists() and (plan.folder / "journal.jsonl").exists():
        if path.read_text(encoding="utf-8") == text and all(_whole(plan, array) for array in plan.arrays):
            return
        for file in plan.folder.iterdir():
            if file.name != "lock":
                file.unlink()
    free = shutil.disk_usage(plan.folder).free
    if plan.bytes > free:
        raise StoreError(
            f"{plan.folder} needs {gigabytes(plan.bytes)}, but the disk has {gigabytes(free)} free; make room "
            "(python -m bench cache prune) or choose another place with --data DIR"
        )
    for array in plan.arrays:
        with (plan.folder / f"{array.name}.bin").open("wb") as file:
            file.truncate(array.bytes(plan.rows))
    write_text(path, text)
    (plan.folder / "journal.jsonl").touch()


def gigabytes(count: int) -> str:
    """A size as a person reads it; 1 GB is 10^9 bytes."""
    return f"{count / 1e9:.2f} GB" if count >= 1e7 else f"{count / 1e6:.2f} MB"


def _whole(plan: Plan, array: Array) -> bool:
    file = plan.folder / f"{array.name}.bin"
    return file.exists() and file.stat().st_size == array.bytes(plan.rows)


def _journal(plan: Plan) -> dict[int, dict[str, str]]:
    """Digests of the complete shards by array. A line that was cut short counts as not written."""
    done: dict[int, dict[str, str]] = {}
    path = plan.folder / "journal.jsonl"
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else ():
        try:
            entry = json.loads(line)
            done[int(entry["shard"])] = dict(entry["digests"])
        except (ValueError, KeyError, TypeError):
            continue
    return done


def _forget(plan: Plan, broken: list[int]) -> None:
    kept = {index: digests for index, digests in _journal(plan).items() if index not in broken}
    lines = [json.dumps({"shard": index, "digests": digests}) + "\n" for index, digests in kept.items()]
    write_text(plan.folder / "journal.jsonl", "".join(lines))


def _damaged(plan: Plan) -> list[int]:
    """Indices of the shards whose bytes do not match the journal, read on all cores."""
    arrays = {array.name: (array, array.open(plan.folder, plan.rows, "r")) for array in plan.arrays}
    shards = plan.shards

    def intact(item: tuple[int, dict[str, str]]) -> bool:
        index, digests = item
        if index >= len(shards) or set(digests) != set(arrays):
            return False
        return all(
            digests[name] == _digest(content[slice(*array.span(shards[index].start, shards[index].stop))])
            for name, (array, content) in arrays.items()
        )

    entries = list(_journal(plan).items())
    with ThreadPoolExecutor() as threads:
        return [index for (index, _), good in zip(entries, threads.map(intact, entries), strict=True) if not good]


def _write_shards(plan: Plan, todo: list[slice], produce: Produce, progress: Callable[[int, int], None]) -> None:
    """Produce and write shards; writing runs beside the production of the next ones."""
    arrays = {array.name: (array, array.open(plan.folder, plan.rows, "r+")) for array in plan.arrays}

    def write(shard: slice, rows: dict[str, np.ndarray]) -> None:
        digests = {}
        for name, (array, target) in arrays.items():
            place = slice(*array.span(shard.start, shard.stop))
            target[place] = rows[name]
            # No flush: what a crash of the machine leaves unwritten does not match its digest and is computed again.
            digests[name] = _digest(target[place])
        with (plan.folder / "journal.jsonl").open("a", encoding="utf-8") as journal:
            journal.write(json.dumps({"shard": shard.start // plan.shard, "digests": digests}) + "\n")

    done = plan.rows - sum(shard.stop - shard.start for shard in todo)
    with ThreadPoolExecutor(1) as writer:
        waiting: list[Future] = []
        for shard, rows in zip(todo, produce(todo), strict=True):
            waiting.append(writer.submit(write, shard, rows))
            if len(waiting) > IN_FLIGHT:
                waiting.pop(0).result()
            done += shard.stop - shard.start
            progress(done, plan.rows)
        for future in waiting:
            future.result()


def _digest(rows: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(rows)).hexdigest()
