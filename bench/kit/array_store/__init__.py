"""Large arrays on disk: written in shards, resumable, checked by digest, read memory-mapped.

A store is a folder with one raw file per array, so that any row is one seek away; ``plan.json``, which says what the
arrays are; and ``journal.jsonl``, which says which shards of rows are complete, with their digests. All that the journal
names is checked at each opening. A pass that was killed goes on with the shards that the journal lacks; a shard whose
bytes do not match its digest is produced again. Processes that fill a store at once, on one machine or several that share
the folder, share its parts out by locks; what others wrote is read back and checked. Where rows of an array differ in
length (``bounds``), row i is ``array[bounds[i]:bounds[i + 1]]``.

Left out on purpose: compression, and any knowledge of what the arrays mean.
"""

import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from filelock import FileLock
from xxhash import xxh3_128_hexdigest

from bench.kit.array_store.layout import Array, Entry, Plan, read_journal
from bench.kit.errors import UserError
from bench.kit.files import sweep, write_text
from bench.kit.lock import locked
from bench.kit.paths import lacking, shown
from bench.kit.prefetch import prefetch

WRITERS = 6  # threads that write and digest shards: together faster than a GPU produces them


class StoreError(UserError):
    """A store cannot be written or used; the message names it and says what to do."""


class Filled(NamedTuple):
    """A complete store: its arrays, memory-mapped; the seconds that producing it took, in all processes that took
    part; and whether all of it was produced just now."""

    arrays: dict[str, np.ndarray]
    seconds: float
    fresh: bool


Rows = dict[str, np.ndarray]
Produce = Callable[[Iterable[slice]], Generator[Rows, None, None]]


def fill(
    plan: Plan,
    produce: Produce,
    progress: Callable[[int, int], None] = lambda done, total: None,
    say: Callable[[str], None] = lambda text: None,
) -> Filled:
    """The arrays of the store; what is missing or damaged is produced first.

    ``produce(shards)`` yields, in order, the rows of each shard by array name; it is called only if there is work. It asks for
    shards as it goes: other processes may take some. ``progress(done, total)`` follows the rows; ``say`` gets lines for the
    user. Raises :class:`StoreError` where the disk is too small.
    """
    ours, fresh = set(), True
    while True:
        with locked(plan.folder / "lock"):  # for a moment
            sweep(plan.folder)
            kept = intact(plan)
            _report(plan, kept, say)
            todo = set(range(len(plan.shards))) - kept.keys()
            fresh = fresh and ours >= kept.keys()
            if todo:
                check_space(plan.folder, plan.unwritten())
                with _named(plan):
                    _begin(plan, kept)
        ours |= _take_parts(plan, produce, progress, say) if todo else set()
        if ours >= todo:
            break
    seconds = sum(entry.seconds for entry in read_journal(plan.journal).values())
    return Filled({array.name: array.open(plan.folder, plan.rows) for array in plan.arrays}, seconds, fresh)


def check_space(folder: Path, count: int) -> None:
    """Raise :class:`StoreError` where the disk of ``folder`` does not have ``count`` bytes free."""
    if lack := lacking(folder, count):
        raise StoreError(lack)


def intact(plan: Plan) -> dict[int, Entry]:
    """The journal's entries, by shard, that the bytes on disk match; read on all cores, and nothing is written."""
    if not plan.is_begun():
        return {}
    shards, contents = plan.shards, [(array, _content(plan, array)) for array in plan.arrays]
    entries = {index: entry for index, entry in read_journal(plan.journal).items() if index in range(len(shards))}

    def matches(entry: Entry) -> bool:
        rows = shards[entry.shard]
        # Of a file that is too short, the digest of what there is.
        return entry.digests == {
            array.name: _digest(content[slice(*array.bytes(rows.start, rows.stop))]) for array, content in contents
        }

    with ThreadPoolExecutor() as threads:
        good = list(threads.map(matches, entries.values()))
    return {index: entry for (index, entry), kept in zip(entries.items(), good, strict=True) if kept}


def _report(plan: Plan, kept: dict[int, Entry], say: Callable[[str], None]) -> None:
    """Say what is wrong with a store that was begun before."""
    written = len(read_journal(plan.journal))
    if not plan.is_begun():
        if written:
            say(f"{shown(plan.folder)} was begun for other content; it is made anew")
    elif len(kept) < len(plan.shards):
        damaged = f", {written - len(kept)} are damaged" if len(kept) < written else ""
        say(
            f"{shown(plan.folder)}: {len(kept)} of {len(plan.shards)} shards are complete{damaged}; the rest is made now"
        )


def _content(plan: Plan, array: Array) -> np.ndarray:
    """The bytes of an array's file."""
    path = plan.folder / f"{array.name}.bin"
    return np.memmap(path, mode="r") if path.exists() and path.stat().st_size else np.empty(0, np.uint8)


def _digest(rows: np.ndarray) -> str:
    """A checksum against damage, a tenth of sha256's time: XXH3 is no protection against deliberate changes, but
    whoever makes those can rewrite the journal, too."""
    return xxh3_128_hexdigest(rows)


def _begin(plan: Plan, kept: dict[int, Entry]) -> None:
    """Make the folder this store's, with these shards complete and room for the others."""
    if not plan.is_begun():
        # Deleted, not overwritten: a process may be reading them. The journal first: it must not speak for other files.
        plan.journal.unlink(missing_ok=True)
        for file in plan.folder.glob("*.bin"):
            file.unlink()
    for array in plan.arrays:
        with (plan.folder / f"{array.name}.bin").open("ab") as file:
            file.truncate(array.bytes(0, plan.rows)[1])
    write_text(plan.folder / "plan.json", plan.text)
    write_text(plan.journal, "".join(entry.line for entry in kept.values()))


def _take_parts(
    plan: Plan, produce: Produce, progress: Callable[[int, int], None], say: Callable[[str], None]
) -> set[int]:
    """Write what is missing of all parts that no other process writes, then of those that one left unfinished.

    Returns the shards that were written here.
    """
    written, shards = set(), plan.shards

    def take(parts: list[range], wait: bool) -> list[range]:
        """Write what is missing of these parts; returns those that other processes hold."""
        taken, others = [], []

        def claimed() -> Iterator[slice]:
            """What is missing, part by part as it is asked for; a part is held until all of them are written."""
            for part in parts:
                if held.enter_context(locked(plan.folder / f"lock-{part.start}", say, wait)):
                    complete = read_journal(plan.journal)
                    for shard in (shards[index] for index in part if index not in complete):
                        taken.append(shard)
                        yield shard
                else:
                    others.append(part)

        with ExitStack() as held, closing(produce(claimed())) as rows:
            _write_shards(plan, iter(taken), rows, progress)
        written.update(shard.start // plan.shard for shard in taken)
        return others

    for part in take(plan.parts, wait=False):
        take([part], wait=True)
    return written


def _write_shards(
    plan: Plan, shards: Iterator[slice], rows: Generator[Rows, None, None], progress: Callable[[int, int], None]
) -> None:
    """Write shards on threads while the next ones are produced; each is complete once its line is in the journal."""
    turn, last = threading.Lock(), time.perf_counter()

    def write(job: tuple[slice, Rows]) -> int:
        nonlocal last
        shard, made = job
        with _named(plan):
            digests = {array.name: _write(plan, array, shard, made[array.name]) for array in plan.arrays}
            with turn, FileLock(plan.folder / "lock"):
                now = time.perf_counter()
                # No flush: what a crash of the machine leaves unwritten does not match its digest and is made again.
                with plan.journal.open("a", encoding="utf-8") as journal:
                    journal.write(Entry(shard.start // plan.shard, digests, now - last).line)
                last = now
        return shard.stop - shard.start

    all_shards = plan.shards
    done = sum(all_shards[index].stop - all_shards[index].start for index in read_journal(plan.journal))
    for count in prefetch(((next(shards), made) for made in rows), write, threads=WRITERS):
        done += count
        progress(done, plan.rows)


@contextmanager
def _named(plan: Plan) -> Iterator[None]:
    """Turn an error of writing into one that names the store."""
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"{shown(plan.folder)} cannot be written ({error}); what is complete stays: make room, and the same command "
            "goes on from there"
        ) from error


def _write(plan: Plan, array: Array, shard: slice, rows: np.ndarray) -> str:
    """Write a shard's rows of one array; returns their digest, taken from memory: it also vouches for the writing."""
    start, stop = array.span(shard.start, shard.stop)
    if rows.shape != (stop - start, *array.shape) or rows.dtype != array.dtype:
        raise ValueError(f"{array.name} of rows {shard.start} to {shard.stop} is {rows.dtype} {rows.shape}")
    rows = np.ascontiguousarray(rows)
    with (plan.folder / f"{array.name}.bin").open("r+b") as file:
        file.seek(array.bytes(shard.start, shard.stop)[0])
        file.write(rows)
    return _digest(rows)
