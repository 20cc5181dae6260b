"""Makes a declared folder of images ready: an index of what it holds, and a store of its pixels, decoded once.

The user's folder is only read. All that is made of it lies in ``<data>/<dataset>-<digest of the declaration>/``, as of a set
that ships with the suite: ``train.json``, ``pixels-train/``, ``bad-train.txt`` where images are bad, and ``manifest.json``
last. Each file is read, examined, digested and decoded in one pass, which goes on where it was interrupted. Where the
folder has changed since, the pixels of files with the same name, size and time of change are taken over.
"""

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Collection
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from bench.data import images, own, prepared
from bench.data.archives import Index
from bench.data.own import folder as own_folder
from bench.data.own.scan import printable, scan
from bench.data.prepared import FAULT, Source
from bench.declared import Images
from bench.kit import array_store, paths
from bench.kit.environment import usable_cores
from bench.kit.errors import UserError
from bench.kit.files import seal, sweep, write_text
from bench.kit.lock import locked
from bench.kit.markdown import gigabytes
from bench.kit.prefetch import prefetch
from bench.prepare.extract import extract
from bench.prepare.origin import Say, Task
from bench.prepare.pictures import NAMED, bad_list, list_split, some_of


def make_ready(name: str, declared: Images, say: Say, task: Task) -> Source:
    """Bring what is known of the folder up to date. Raises :class:`UserError` naming what is wrong with the folder."""
    own.forget()
    source = own.source(name, declared)
    with locked(source.folder / "lock", say):
        if not own.is_current(name, declared):
            sweep(source.folder)
            _make(source, declared, say, task)
    return source


def _make(source: Source, declared: Images, say: Say, task: Task) -> None:
    (source.folder / "manifest.json").unlink(missing_ok=True)
    if own_folder.is_packed(declared):
        index = extract(declared, source.files, task)
        scan.cache_clear()
    else:
        index = own_folder.index(declared)
    stored, bad, skipped = {}, {}, []
    for split in prepared.SPLITS:
        *stored[split], faults = _make_split(source, split, index.files[split], say, task)
        bad |= faults
        skipped += [{"file": printable(file), "reason": reason} for file, reason in faults.items()][:NAMED]
    index = _without(index, bad)
    splits = {
        split: list_split(source.folder, split, index, seen, source.side)[1] | {"listed": facts}
        for split, (facts, seen) in stored.items()
    }
    _say_what_is_there(source, index, splits, bad, say)
    left_out = index.left_out | {f"bad: {reason}": count for reason, count in Counter(bad.values()).most_common(NAMED)}
    content = {
        "format": prepared.FORMAT, "dataset": source.name, "signature": own.signature(declared), "subset": False,
        "archives": [], "left_out": left_out, "skipped": skipped, "splits": splits,
    }  # fmt: skip
    write_text(source.folder / "manifest.json", seal(content))


def _make_split(
    source: Source, split: str, files: list[str], say: Say, task: Task
) -> tuple[str, list[images.Examined], dict[str, str]]:
    """Decode a split: the digest of its store's files, what these are, and what is wrong with the bad ones."""
    facts, seen = _stored(source, split, files, say, task)
    bad = {file: one.fault for file, one in zip(files, seen, strict=True) if one.fault}
    bad_list(source.folder, split).unlink(missing_ok=True)
    if bad:
        lines = (f"{printable(file)}\t{reason}\n" for file, reason in bad.items())
        write_text(bad_list(source.folder, split), "".join(lines))
        if len(bad) == len(files):
            raise UserError(f"{source.files}: all {len(files)} images of {split} are bad, {some_of(bad)}")
        # The same store without them: their pixels are copied.
        facts, seen = _stored(source, split, [file for file in files if file not in bad], say, task)
    return facts, seen, bad


def _without(index: Index, bad: Collection[str]) -> Index:
    """The index of the other images; a class of which none is left is no class."""
    good = {file for files in index.files.values() for file in files}.difference(bad)
    kept = replace(index.among(good), left_out=index.left_out)
    used = sorted({label for part in kept.labels.values() for label in part})
    number = {label: place for place, label in enumerate(used)}
    labels = {split: [number[label] for label in part] for split, part in kept.labels.items()}
    return replace(kept, labels=labels, classes=[index.classes[label] for label in used])


def _say_what_is_there(source: Source, index: Index, splits: dict, bad: dict[str, str], say: Say) -> None:
    counts = " and ".join(f"{part['images']:,} {split} images" for split, part in splits.items())
    captions = sum(part["captions"] for part in splits.values())
    what = f", {len(index.classes)} classes" if index.classes else f", {captions:,} captions" if captions else ""
    say(f"{source.name}: {counts}{what}")
    if unseen := sorted({*index.labels.get("test", ())} - {*index.labels.get("train", ())}):
        names = ", ".join(printable(index.classes[label]) for label in unseen[:NAMED])
        say(
            f"  {len(unseen):,} of the classes have no training image, so their held-out images count as wrong: {names}"
        )
    for reason, count in index.left_out.items():
        say(f"  {count:,} left out: {reason}")
    if bad:
        lists = " and ".join(paths.shown(bad_list(source.folder, split)) for split in prepared.SPLITS)
        say(f"  {len(bad):,} bad images left out, {some_of(bad)}; listed in {lists}")


def _stored(source: Source, split: str, files: list[str], say: Say, task: Task) -> tuple[str, list[images.Examined]]:
    """Fill the split's store with the files' pixels; the digest of the list of files, and what each of them is."""
    there = scan(str(source.files))
    listed = [[file, there[file].bytes, there[file].changed] for file in files]
    text = json.dumps(listed)
    digest = hashlib.sha256(text.encode()).hexdigest()
    before = _Before(source, split)
    before.set_aside(text)
    plan = prepared.pixels_plan(source, split, len(files), digest)
    short_side = source.side if source.crop else None
    title = f"{source.name} {split}: decode {len(files):,} images to {source.side} px, {gigabytes(plan.bytes)}"

    def work(shard: slice) -> dict[str, np.ndarray]:
        made = {array.name: np.empty((shard.stop - shard.start, *array.shape), array.dtype) for array in plan.arrays}
        for row, entry in enumerate(listed[shard]):
            if not before.copy(entry, made, row):
                _decode(source.files / entry[0], source.side, short_side, made, row)
        return made

    with task(title) as advance:
        arrays = array_store.fill(plan, partial(prefetch, work=work, threads=usable_cores()), advance, say).arrays
    before.remove()
    columns = (np.asarray(arrays[name]) for name in ("checksum", "size", "fault"))
    return digest, [_seen(*values) for values in zip(*columns, strict=True)]


def _decode(path: Path, side: int, short_side: int | None, made: dict[str, np.ndarray], row: int) -> None:
    """Fill a row with an image's pixels, and with what it is."""
    try:
        seen, pixels = images.examine_and_decode(path, side, short_side)
    except OSError as error:
        seen, pixels = images.Examined(fault=f"cannot be read: {error.strerror}"), None
    fault = (seen.fault or "").encode("utf-8", "replace")[:FAULT]
    made["fault"][row] = np.frombuffer(fault.ljust(FAULT, b"\0"), np.uint8)
    made["pixels"][row], made["size"][row] = 0 if pixels is None else pixels, seen.size
    made["checksum"][row] = np.frombuffer(bytes.fromhex(seen.checksum).ljust(16, b"\0"), np.uint8)


def _seen(checksum: np.ndarray, size: np.ndarray, fault: np.ndarray) -> images.Examined:
    """What was written of a file."""
    reason = fault.tobytes().rstrip(b"\0").decode("utf-8", "ignore")
    return images.Examined(checksum.tobytes().hex(), tuple(size.tolist()), reason or None)


class _Before:
    """The store of a split as it was before its files changed: what it holds of files that did not is taken over."""

    def __init__(self, source: Source, split: str):
        self.source, self.split = source, split
        self.now, self.then = source.folder / f"pixels-{split}", source.folder / f"before-{split}"
        self.rows: dict[tuple, int] = {}
        self.arrays: dict[str, np.ndarray] = {}

    def set_aside(self, text: str) -> None:
        """Move a store of another list of files than ``text`` out of the way, and open it; begin one of this list."""
        path = self.now / "listed.json"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            if path.exists() and not self.then.exists():
                self.now.rename(self.then)
            shutil.rmtree(self.now, ignore_errors=True)  # one that was begun after the store that is aside
            write_text(path, text)
        if self.then.exists():
            self._open()

    def _open(self) -> None:
        text = (self.then / "listed.json").read_text(encoding="utf-8")
        listed, digest = json.loads(text), hashlib.sha256(text.encode()).hexdigest()
        plan = replace(prepared.pixels_plan(self.source, self.split, len(listed), digest), folder=self.then)
        kept = [row for shard in array_store.intact(plan) for row in range(plan.rows)[plan.shards[shard]]]
        self.rows = {tuple(listed[row]): row for row in kept}
        if kept:
            self.arrays = {array.name: array.open(plan.folder, plan.rows) for array in plan.arrays}

    def copy(self, entry: list, made: dict[str, np.ndarray], row: int) -> bool:
        """Take over the row of a file that is the same by name, size and time of change; whether there is one."""
        known = self.rows.get(tuple(entry))
        if known is not None:
            for name, array in self.arrays.items():
                made[name][row] = array[known]
        return known is not None

    def remove(self) -> None:
        """Delete what was set aside."""
        self.arrays = {}
        shutil.rmtree(self.then, ignore_errors=True)
