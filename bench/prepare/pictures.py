"""Turns the pictures of one split into what is read later: an index that knows each by its digest, a store of pixels.

Every picture is looked at twice: first to find the bad ones, since the store must know how many rows it will have (a
JPEG's check costs about a half of its decoding), then to decode it.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from bench import registry
from bench.data import images, prepared
from bench.data.archives import Index, PrepareError
from bench.data.own.scan import printable
from bench.kit import array_store, paths
from bench.kit.environment import usable_cores
from bench.kit.files import write_text
from bench.kit.markdown import gigabytes
from bench.kit.prefetch import prefetch
from bench.prepare.origin import Say, Task

TOLERATED = 0.001  # share of a split's images that may be bad
NAMED = 20  # bad images that an error names
Result = TypeVar("Result")


def prepare_split(name: str, folder: Path, split: str, index: Index, say: Say, task: Task) -> tuple[dict, list[dict]]:
    """Check, list and decode a split's images; ``bad_list`` has the bad ones, of which ``TOLERATED`` are skipped.

    Returns what the manifest says about the split, and what was skipped why. Raises :class:`PrepareError` where more are
    bad.
    """
    files = index.files[split]
    with task(f"{split}: check every image") as advance:
        examined = _on_all_cores(lambda file: images.examine(folder / "files" / file), advance, files)
    bad = {file: one.fault for file, one in zip(files, examined, strict=True) if one.fault}
    if bad:
        write_text(bad_list(folder, split), "".join(f"{file}\t{reason}\n" for file, reason in bad.items()))
    if len(bad) > TOLERATED * len(files):
        lacking = "; --subset leaves out those that are missing" if "missing" in bad.values() else ""
        raise PrepareError(
            f"{len(bad):,} of {len(files):,} images of {split} are bad, more than {100 * TOLERATED:g} %: {some_of(bad)}; all "
            f"are listed in {paths.shown(bad_list(folder, split))}; the archive holds them so: fetch it again{lacking}"
        )
    kept = [row for row, one in enumerate(examined) if not one.fault]
    listed, facts = list_split(folder, split, index, examined, registry.module("dataset", name).SIDE)
    identity, concepts = facts["identity"], None
    _decode(name, folder, split, identity, listed, say, task)
    say(f"  {split}: {len(kept):,} images")
    if split in index.concepts:
        names, labels = index.concepts[split]
        labels = [labels[row] for row in kept]
        concepts = write_index(folder / f"concepts-{split}.json", {"names": names, "labels": labels})
        say(f"  {split}: {sum(label >= 0 for label in labels):,} images show a single one of {len(names)} concepts")
    for file, reason in bad.items():
        say(f"    skipped {file}: {reason}")
    if bad:
        say(f"  {split}: {len(bad):,} skipped in all, listed in {paths.shown(bad_list(folder, split))}")
    return facts | {"concepts": concepts}, [{"file": file, "reason": reason} for file, reason in bad.items()]


def list_split(
    folder: Path, split: str, index: Index, examined: Sequence[images.Examined], side: int
) -> tuple[dict, dict]:
    """Write what the images of a split are that are not bad; the list, and what the manifest says of it."""
    kept = [row for row, one in enumerate(examined) if not one.fault]
    listed = {
        "files": [index.files[split][row] for row in kept],
        "checksums": [examined[row].checksum for row in kept],
        "exact": all(examined[row].size == (side, side) for row in kept),
        "classes": index.classes,
    }
    for key, values in (("labels", index.labels), ("captions", index.captions)):
        if split in values:
            listed[key] = [values[split][row] for row in kept]
    identity, captions = write_index(folder / f"{split}.json", listed), sum(map(len, listed.get("captions", ())))
    return listed, {"images": len(kept), "captions": captions, "identity": identity, "concepts": None}


def some_of(bad: dict[str, str]) -> str:
    """Some bad files with what is wrong with each, and how many more there are."""
    shown = ", ".join(f"{printable(file)} ({reason})" for file, reason in list(bad.items())[:NAMED])
    return shown + (f" and {len(bad) - NAMED:,} more" if len(bad) > NAMED else "")


def write_index(path: Path, content: dict) -> str:
    """Write what the images are, as :mod:`bench.data.prepared` describes it; returns the file's digest."""
    text = json.dumps(content)
    write_text(path, text)
    return hashlib.sha256(text.encode()).hexdigest()


def bad_list(folder: Path, split: str) -> Path:
    """The file that names a split's bad images, if it has any: on each line one's path, a tab, and what is wrong."""
    return folder / f"bad-{split}.txt"


def check_split(folder: Path, split: str, listed: dict, task: Task) -> str | None:
    """A picture that is not the one that was prepared, if any, going by the split's index."""
    with task(f"{split}: verify every image") as advance:
        paths = [folder / "files" / file for file in listed["files"]]
        intact = _on_all_cores(images.is_intact, advance, paths, listed["checksums"])
    return None if all(intact) else str(paths[intact.index(False)])


def _on_all_cores(work: Callable[..., Result], advance: Callable[[int, int], None], *columns: Sequence) -> list[Result]:
    """``work`` on each row of the columns, some at a time: jobs that wait take memory, too."""
    total, done = len(columns[0]), []
    with ThreadPoolExecutor(usable_cores()) as threads:
        for start in range(0, total, prepared.SHARD):
            done += threads.map(work, *(column[start : start + prepared.SHARD] for column in columns))
            advance(len(done), total)
    return done


def _decode(name: str, folder: Path, split: str, identity: str, listed: dict, say: Say, task: Task) -> None:
    """Fill the split's store of pixels, going by its index."""
    paths = [folder / "files" / file for file in listed["files"]]
    plan = prepared.pixels_plan(prepared.shipped(name), split, len(paths), identity)
    side = plan.arrays[0].shape[-1]
    short_side = side if plan.facts["crop"] else None
    with (
        task(f"{split}: decode to {side} px, {gigabytes(plan.bytes)}") as advance,
        ThreadPoolExecutor(usable_cores()) as threads,
    ):

        def work(shard: slice):
            return {"pixels": images.decode_all(paths[shard], side, short_side, threads, listed["checksums"][shard])}

        array_store.fill(plan, lambda shards: prefetch(shards, work), advance, say)
